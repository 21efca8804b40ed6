alter table bcp.data_retention_policies add column columnstore_after_days integer
    constraint columnstore_after_days_positive check (columnstore_after_days > 0);

comment on column bcp.data_retention_policies.columnstore_after_days is
    'Chunks move to the columnstore at this age, in days; null: never.';

alter table bcp.data_retention_policies disable trigger user;

-- Part of a day becomes a day.
update bcp.data_retention_policies
set columnstore_after_days = ceil(extract(epoch from columnstore_after) / 86400)::integer;

alter table bcp.data_retention_policies enable trigger user;

alter table bcp.data_retention_policies drop column columnstore_after;

alter table bcp.data_retention_policies add constraint columnstore_before_retention
    check (columnstore_after_days < retention_days);
