"""What the benchmarks share of the requirements' own design."""

from __future__ import annotations

from typing import LiteralString

# Up to its last column: the primary key depends on partitioning.
TABLE: LiteralString = """
create schema requirements;
create table requirements.users (id integer primary key);
create table requirements.tool_usage_logs (
    id bigserial, bcp_name varchar(100) not null, tool_name varchar(100) not null,
    operation varchar(100) not null, parameters jsonb, response_data jsonb,
    user_id integer references requirements.users (id), session_id varchar(255),
    start_time timestamptz default current_timestamp, end_time timestamptz,
    duration_ms integer generated always as (extract(epoch from (end_time - start_time)) * 1000) stored,
    success boolean default null, error_message text, ip_address inet, user_agent text,
    created_at timestamptz default current_timestamp"""

# With one change that PostgreSQL demands: the key contains the partitioning column.
BY_MONTH: LiteralString = (
    TABLE
    + """, primary key (id, created_at))
partition by range (created_at);
create table requirements.m08 partition of requirements.tool_usage_logs
    for values from ('2026-08-01') to ('2026-09-01');
create table requirements.m09 partition of requirements.tool_usage_logs
    for values from ('2026-09-01') to ('2026-10-01');
create table requirements.m10 partition of requirements.tool_usage_logs
    for values from ('2026-10-01') to ('2026-11-01');
create table requirements.m11 partition of requirements.tool_usage_logs
    for values from ('2026-11-01') to ('2026-12-01');
"""
)

INDEXES: LiteralString = """
create index on requirements.tool_usage_logs (bcp_name, created_at desc);
create index on requirements.tool_usage_logs (tool_name, created_at desc);
create index on requirements.tool_usage_logs (user_id, created_at desc);
create index on requirements.tool_usage_logs (success) where success = false;
create index on requirements.tool_usage_logs (duration_ms) where duration_ms > 5000;
create index on requirements.tool_usage_logs using gin (parameters);
"""
