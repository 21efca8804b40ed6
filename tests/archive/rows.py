"""Rows with every type and edge value, and what a table holds, to compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg import sql

from bcp_analytics.archive._export import time_column_of

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    Db = psycopg.Connection[Any]

TABLES = ("tool_usage_logs", "error_logs", "performance_metrics")
DAYS = ("2026-01-05", "2026-01-06")
TEXTS = (
    "", " ", '"', '""', "'", "\\N", "\\.", "a\n\\.\nb", "line\nline\r\nline\rend", ",", "null", "NULL", "-",
    "a,b", "\t", "é", "日本語", "👩‍👩‍👧", "a\u0301", "\u200b", "\x01\x7f", "{}", "true", "x" * 70_000,
    "1:a-", "\ufeff",
)  # fmt: skip
JSONS = (
    "null", "{}", "[]", '""', '"\\\\N"', "0", "-0.0", "1e-400", "1" + "0" * 400,
    "123456789012345678901234567890.12345",
    '{"a": [1, {"b": [null, true, {"c": "\\n\\"x\\""}]}], "é": "日"}', '"a\\nb\\u0001"',
    json.dumps({"deep": "y" * 90_000}),
)  # fmt: skip
FLOATS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "-0.0",
    "0",
    "1e-308",
    "4.9e-324",
    "1.7976931348623157e308",
    "0.1",
    "-1.5",
)


def fill(conn: Db, days: tuple[str, ...] = DAYS) -> None:
    """Insert rows with all of the values above, and nulls, for each day, also at its very ends."""
    for day in days:
        for n, (text, document) in enumerate(_pairs()):
            conn.execute(
                "insert into bcp.tool_usage_logs (start_time, end_time, created_at, event_id, bcp_name,"
                " tool_name, operation, success, error_message, parameters, response_data, request_bytes,"
                " user_id, ip_address, attributes)"
                " values (%(day)s::timestamptz + %(n)s * interval '1.000001 second',"
                " %(day)s::timestamptz + %(n)s * interval '1.7 second',"
                " case %(n)s when 1 then 'infinity' when 2 then '-infinity' else now() end,"
                " gen_random_uuid(), %(text)s, %(text)s, 'call', %(n)s %% 3 = 0, %(text)s,"
                " %(json)s::jsonb, %(json)s::jsonb,"
                " 9223372036854775807 - %(n)s, %(text)s,"
                " (array['10.0.0.0/24', '10.0.0.1', '2001:db8::/48', '::1', null])[1 + %(n)s %% 5]::inet,"
                " null)",
                {"day": day, "n": n, "text": text, "json": document},
            )
            conn.execute(
                "insert into bcp.error_logs (timestamp, created_at, event_id, level, message, fingerprint,"
                " stack_trace, context, tool_context, resolved)"
                " values (%(day)s::timestamptz + %(n)s * interval '1 second', now(), gen_random_uuid(),"
                " (enum_range(null::bcp.error_level_enum))[1 + %(n)s %% 5], %(text)s, 'f', %(text)s,"
                " %(json)s::jsonb, null, %(n)s %% 2 = 0)",
                {"day": day, "n": n, "text": text, "json": document},
            )
            conn.execute(
                "insert into bcp.performance_metrics (timestamp, created_at, event_id, metric_name,"
                " metric_value, labels) values (%(day)s::timestamptz + %(n)s * interval '1 second', now(),"
                " gen_random_uuid(), %(text)s, %(value)s::float8, %(json)s::jsonb)",
                {"day": day, "n": n, "text": text, "json": document, "value": FLOATS[n % len(FLOATS)]},
            )
        conn.execute(
            "insert into bcp.tool_usage_logs (start_time, created_at, event_id, bcp_name, tool_name,"
            " operation) values (%(day)s::timestamptz, now(), gen_random_uuid(), 'b', 't', 'o'),"
            " (%(day)s::timestamptz + interval '1 day' - interval '1 microsecond', now(), gen_random_uuid(),"
            " 'b', 't', 'o')",
            {"day": day},
        )
        # A NaN with the other sign than the one that 'NaN' is read as.
        conn.execute(
            "insert into bcp.performance_metrics (timestamp, created_at, event_id, metric_name, metric_value)"
            " values (%s::timestamptz + interval '1 hour', now(), gen_random_uuid(), 'nan',"
            " '-Infinity'::float8 + 'Infinity'::float8)",
            [day],
        )


def _pairs() -> list[tuple[str | None, str | None]]:
    number = max(len(TEXTS), len(JSONS))
    return [(TEXTS[n % len(TEXTS)], JSONS[n % len(JSONS)]) for n in range(number)]


def few(conn: Db, day: str, number: int = 3, table: str = "tool_usage_logs") -> None:
    """Insert plain rows; the table is named so that a test can choose."""
    if table == "tool_usage_logs":
        conn.execute(
            "insert into bcp.tool_usage_logs (start_time, end_time, created_at, event_id, bcp_name,"
            " tool_name, operation, user_id) select %s::timestamptz + n * interval '1 minute',"
            " %s::timestamptz + n * interval '61 seconds', now(), gen_random_uuid(), 'mail', 'send', 'call',"
            " 'u' || n from generate_series(1, %s) n",
            [day, day, number],
        )
    else:
        conn.execute(
            "insert into bcp.error_logs (timestamp, created_at, event_id, level, message, fingerprint)"
            " select %s::timestamptz + n * interval '1 minute', now(), gen_random_uuid(), 'error',"
            " 'm' || n, 'f' from generate_series(1, %s) n",
            [day, number],
        )


def drop(
    conn: Db, table: str = "tool_usage_logs", start: str = "2026-01-05", end: str = "2026-01-07"
) -> None:
    """Do as cleanup does: drop chunks that are archived as they are, and say so in the manifest."""
    with conn.transaction():
        for first, last in conn.execute(
            "select range_start, range_end from timescaledb_information.chunks"
            " where hypertable_schema = 'bcp' and hypertable_name = %s"
            " and range_start >= %s and range_end <= %s",
            [table, start, end],
        ).fetchall():
            [(archived,)] = conn.execute(
                "select bcp_internal.chunk_is_archived(%s, %s, %s)", [table, first, last]
            ).fetchall()
            assert archived
            conn.execute(
                sql.SQL(
                    "select drop_chunks({}, newer_than => %s::timestamptz, older_than => %s::timestamptz)"
                ).format(sql.Literal(f"bcp.{table}")),
                [first, last],
            )
            conn.execute(
                "update bcp.archives set state = 'dropped', dropped_at = now(), keep_until = null"
                " where table_name = %s and range_start >= %s and range_end <= %s"
                " and state in ('verified', 'restored')",
                [table, first, last],
            )


def count(conn: Db, table: str = "tool_usage_logs") -> int:
    [(number,)] = conn.execute(f"select count(*) from bcp.{table}").fetchall()  # type: ignore[arg-type]
    return int(number)


def checksum(conn: Db, table: str, start: str = "-infinity", end: str = "infinity") -> tuple[int, str]:
    [row] = conn.execute(
        "select row_count, checksum from bcp_internal.archive_checksum(format('bcp.%%I', %s::text)::regclass,"
        " bcp_internal.archive_columns(%s), %s, %s, %s)",
        [table, table, time_column_of(conn, table), start, end],
    ).fetchall()
    return row


def time(text: str) -> datetime:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(text + "T00:00:00+00:00")
