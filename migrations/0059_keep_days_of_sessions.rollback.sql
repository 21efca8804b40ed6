drop table bcp_internal.changed_session_days;
drop table bcp_internal.session_days;
