-- One expression for all rules of digits had an automaton of many states, since some also look for letters.
alter table bcp_internal.anonymizer_state rename column digit_gate to digit_gates;
alter table bcp_internal.anonymizer_state alter column digit_gates type text[] using array[digit_gates];

comment on column bcp_internal.anonymizer_state.digit_gates is
    'Regular expressions. One of these or of word_gates matches every text, in lower case, in which a rule may match; '
    'these are for numbers.';

comment on column bcp_internal.anonymizer_rules.is_digits is
    'Whether the hint is a branch of one of digit_gates of bcp_internal.anonymizer_state.';

-- It returns another type.
drop function if exists bcp_internal.compile_gates();

-- The compiler of an earlier version does not know the column. Rules that later migrations bring are compiled once sql/
-- is loaded, which makes these triggers again.
drop function if exists bcp_internal.compile_anonymizer_trigger() cascade;
