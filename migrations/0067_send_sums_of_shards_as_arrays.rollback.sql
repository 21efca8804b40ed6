-- Loading the files of before makes latency_counts again as it was.
drop function if exists bcp_internal.await_shard(text, text, text[]);
drop function if exists bcp_internal.sketch_rows(timestamptz, timestamptz, interval, text, jsonb);
drop function if exists bcp_internal.usage_minutes(timestamptz, timestamptz, interval, text, jsonb);
drop function if exists bcp_internal.quantiles_of_shards(
    timestamptz, timestamptz, interval, text, double precision[], jsonb);
drop function if exists bcp_internal.peaks_of_shards(timestamptz, timestamptz, interval, text, jsonb);
