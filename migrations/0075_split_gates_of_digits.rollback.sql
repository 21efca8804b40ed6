drop function if exists bcp_internal.compile_gates();
alter table bcp_internal.anonymizer_state
    alter column digit_gates type text using coalesce(array_to_string(nullif(digit_gates, '{}'), '|'), '(?!)');
alter table bcp_internal.anonymizer_state rename column digit_gates to digit_gate;

comment on column bcp_internal.anonymizer_state.digit_gate is
    'Regular expression. This or one of word_gates matches every text, in lower case, in which a rule may match; this '
    'one is for numbers.';

comment on column bcp_internal.anonymizer_rules.is_digits is
    'Whether the hint is a branch of digit_gate of bcp_internal.anonymizer_state.';
