-- Each new session, and each batch that goes on with one, writes every index of it. This one serves the sessions of a
-- user and bcp_internal.resolve_sessions alike: a session that began in a range was last active after its start, and
-- few sessions of one user are active within a gap, whatever their clients are.

create index user_sessions_user_idx on bcp.user_sessions (user_id, last_activity);

drop index bcp.user_sessions_user_id_idx;

drop index bcp.user_sessions_client_idx;
