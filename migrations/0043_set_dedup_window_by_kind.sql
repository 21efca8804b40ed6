-- How long ids are remembered, by kind. An id costs 143 bytes, so a week of a thousand calls a second is 86 GB of them.
insert into bcp.settings (name, value, unit, kind, minimum, maximum, description)
select 'dedup_window_' || k.kind, '0 seconds', 'interval', 'interval', '0 seconds', '366 days',
       pg_catalog.format(
           'As dedup_window, for %s alone; 0: as dedup_window says. It must be longer than senders try again.', k.says)
from (values ('tool_usage', 'tool calls'), ('errors', 'errors'), ('metrics', 'metrics'), ('sessions', 'sessions'))
    as k (kind, says);

-- At a thousand calls a second, sessions of ten calls are 8.6 million rows a day.
insert into bcp.settings (name, value, unit, kind, minimum, maximum, description)
values ('activity_retention', '0 seconds', 'interval', 'interval', '0 seconds', '36500 days',
        'Days of user_activity_1d and session_activity_1d that are older go, once their calls are gone; 0: they stay.');
