-- The age at which chunks move to the columnstore, as an interval. A store of a thousand calls a second has 40 GB of
-- rows in a day, so there a day is too long.
alter table bcp.data_retention_policies add column columnstore_after interval
    constraint columnstore_after_positive check (columnstore_after > interval '0');

comment on column bcp.data_retention_policies.columnstore_after is
    'Chunks move to the columnstore once they are over for so long; null: never.';

-- The triggers of the table would carry out a change that is none.
alter table bcp.data_retention_policies disable trigger user;

update bcp.data_retention_policies set columnstore_after = make_interval(days => columnstore_after_days);

alter table bcp.data_retention_policies enable trigger user;

-- Its checks go with it.
alter table bcp.data_retention_policies drop column columnstore_after_days;

alter table bcp.data_retention_policies add constraint columnstore_before_retention
    check (columnstore_after < make_interval(days => retention_days));
