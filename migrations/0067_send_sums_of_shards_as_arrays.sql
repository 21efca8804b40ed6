-- bcp_internal.sketch_rows has taken its place.
drop function if exists bcp_internal.latency_counts(timestamptz, timestamptz, interval, text, jsonb);
