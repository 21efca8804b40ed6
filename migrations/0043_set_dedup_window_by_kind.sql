-- How long ids are remembered, by kind. An id costs 143 bytes, so a week of a thousand calls a second is 86 GB of them.
insert into bcp.settings (name, value, unit, kind, minimum, maximum, description)
select 'dedup_window_' || k.kind, '0 seconds', 'interval', 'interval', '0 seconds', '366 days',
       pg_catalog.format(
           'As dedup_window, for %s alone; 0: as dedup_window says. It must be longer than senders try again.', k.says)
from (values ('tool_usage', 'tool calls'), ('errors', 'errors'), ('metrics', 'metrics'), ('sessions', 'sessions'))
    as k (kind, says);
