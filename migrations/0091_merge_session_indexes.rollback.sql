create index user_sessions_user_id_idx on bcp.user_sessions (user_id, started_at);

create index user_sessions_client_idx
    on bcp.user_sessions (coalesce(user_id, ''), left(coalesce(client_name, ''), 100), last_activity);

drop index bcp.user_sessions_user_idx;
