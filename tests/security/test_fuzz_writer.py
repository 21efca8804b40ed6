"""Whatever a writer calls, with whatever arguments and settings, the store goes on for everyone else."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

from bcp_analytics.queries._questions import QUESTIONS
from tests.sql.events import rows

if TYPE_CHECKING:
    Db = psycopg.Connection[Any]

# Of each function; BCP_TEST_EXAMPLES=10000 looks harder.
CALLS = int(os.environ.get("BCP_TEST_EXAMPLES", "25"))
# What the anonymiser is there for: in no table, whatever it came in by.
SECRET = "ada.lovelace@example.org"

INTEGERS = [0, 1, 5, -1, 2**31, 2**40, 2**40 + 1, 2**53, 2**63 - 1, -(2**63)]
ADDRESSES = ["10.1.2.3", "10.0.0.0/8", "::1", "::ffff:10.1.2.3/120", "2001:db8::/32"]
TEXTS = [
    *("a", "call", "error", "raw", "", " ", "\n\t", "x" * 501, "y" * 70_000, "\u202e\x1b[2J", "\u00a0"),
    *("%s{}'\"\\", "null", "-1", "1e400", "[]", "{}", "DEBUG", "1d", "timeout", "🙈" * 300),
    f"write to {SECRET}",
]
VALUES: dict[str, list[Any]] = {
    "bigint": INTEGERS,
    "boolean": [True, False],
    "double precision": [
        *(*map(float, INTEGERS), 0.5, 1e100, 1e101, 1.7e308, -1.7e308, 5e-324),
        *map(float, ("inf", "-inf", "nan")),
    ],
    "inet": ADDRESSES,
    "text": TEXTS,
    "timestamp with time zone": [
        *(
            "now",
            "now",
            "today",
            "yesterday",
            "2026-06-15 12:00",
            "1970-01-01",
            "9999-12-31",
            "0001-01-01 BC",
        ),
        *("4713-01-01 BC", "294276-12-31", "infinity", "-infinity"),
    ],
    "uuid": [str(uuid.UUID(int=n)) for n in (0, 1, 2**128 - 1)],
}
SETTINGS = {
    "application_name": ["fuzz", SECRET, "x" * 60],
    "array_nulls": ["on", "off"],
    "backslash_quote": ["safe_encoding", "off"],
    "bcp.now": ["", "2300-01-01", "0044-03-15 BC", "no time"],
    "bytea_output": ["hex", "escape"],
    "datestyle": ["ISO", "German", "SQL, DMY"],
    "default_transaction_isolation": ["read committed", "serializable"],
    "enable_seqscan": ["on", "off"],
    "extra_float_digits": ["1", "-15"],
    "intervalstyle": ["postgres", "sql_standard", "iso_8601"],
    "plan_cache_mode": ["auto", "force_custom_plan", "force_generic_plan"],
    "quote_all_identifiers": ["off", "on"],
    "row_security": ["on", "off"],
    "search_path": ["public", "pg_temp, bcp", "bcp_internal"],
    "standard_conforming_strings": ["on", "off"],
    "timezone": ["UTC", "Pacific/Kiritimati", "<-23:59>+23:59"],
    "transform_null_equals": ["off", "on"],
}
WELL_FORMED = {
    "bcp_name": "files",
    "tool_name": "read",
    "level": "error",
    "message": "it broke",
    "metric_name": "queue_ms",
    "metric_value": 1,
    "session_id": "s",
}
# Of every kind of event, and one that none knows.
FIELDS = [
    *WELL_FORMED,
    *("event_id", "user_id", "conversation_id", "operation", "outcome", "error_type", "error_message"),
    *("stack_trace", "aggregation_period", "start_time", "end_time", "timestamp", "started_at", "release"),
    *(
        "last_activity",
        "ended_at",
        "client_name",
        "request_bytes",
        "response_bytes",
        "response_tokens",
        "duration_ms",
        "success",
    ),
    *("ip_address", "fingerprint", "parameters", "response_data", "context", "tool_context", "labels"),
    *("attributes", "request_id", "other"),
]


class Routine(NamedTuple):
    """A function that the writer may call, and its arguments."""

    name: str
    arguments: list[str]
    types: list[str]
    optional: list[str]


class Fuzz:
    """Makes calls up; open calls it has seen the ids of are among them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self.open: list[str] = []

    def pick(self, choices: list[Any]) -> Any:
        return self._random.choice(choices)

    def one_in(self, n: int) -> bool:
        return self._random.randrange(n) == 0

    def document(self, depth: int = 0) -> Any:
        if depth > 2 or not self.one_in(3):
            return self.pick(
                [self.pick(INTEGERS), self.pick(TEXTS), 1.7e308, 10**400, True, None, *ADDRESSES]
            )
        if self.one_in(2):
            return [self.document(depth + 1) for _ in range(3)]
        return {self.pick([*FIELDS, "tools", "bytes", "name"]): self.document(depth + 1) for _ in range(3)}

    def field(self, name: str) -> Any:
        if name.endswith(("_time", "_at", "timestamp", "activity")):
            return self.pick(VALUES["timestamp with time zone"])
        return self.document()

    def event(self) -> Any:
        if self.one_in(10):
            return self.document()
        changed = [self.pick(FIELDS) for _ in range(self.pick([0, 1, 2, 3]))]
        return WELL_FORMED | {name: self.field(name) for name in changed}

    def argument(self, name: str, kind: str) -> Any:
        if name in ("p_events", "p_events_text", "p_calls") and not self.one_in(8):
            text = json.dumps([self.event() for _ in range(self.pick([0, 1, 2, 3]))])
            # What jsonb cannot hold.
            return text.replace("call", self.pick(["\\u0000", "\\ud800", "call"])) if kind == "text" else text
        if name[2:] in WELL_FORMED and not self.one_in(4):
            return WELL_FORMED[name[2:]]
        if self.one_in(10):
            return None
        if kind in ("jsonb", "bcp.tool_call[]"):
            return json.dumps(self.document())
        return self.pick(VALUES[kind] + (self.open if kind == "uuid" else []))

    def call(self, routine: Routine) -> sql.Composed:
        # With an extreme value in each argument none would come in.
        optional = set(
            self._random.sample(routine.optional, min(self.pick([0, 1, 2, 4]), len(routine.optional)))
        )
        arguments = []
        for name, kind in zip(routine.arguments, routine.types, strict=True):
            if name in routine.optional and name not in optional:
                continue
            value = self.argument(name, kind)
            cast = "({})::" + kind
            if kind.endswith("[]") and value is not None:
                cast = "array(select jsonb_populate_record(null::bcp.tool_call, e)"
                cast += " from jsonb_array_elements({}) as e)"
            argument = sql.SQL(cast).format(sql.Literal(value))  # type: ignore[arg-type]
            arguments.append(sql.SQL("{} => {}").format(sql.Identifier(name), argument))
        function = sql.SQL(routine.name)  # type: ignore[arg-type]
        return sql.SQL("select {}({})::text").format(function, sql.SQL(", ").join(arguments))


def writable(db: Db) -> list[Routine]:
    found = db.execute(
        "select oid::regproc::text, proargnames[:pronargs], array("
        "  select format_type(t, null) from unnest(proargtypes) with ordinality as a (t, n) order by n),"
        " proargnames[pronargs - pronargdefaults + 1:pronargs]"
        " from pg_proc where pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
        " and has_function_privilege('bcp_writer', oid, 'execute') order by oid::regprocedure::text"
    ).fetchall()
    return [Routine(*row) for row in found]


def check_books(db: Db) -> None:
    """Each event that was taken in is a row, a duplicate or a rejected event."""
    for kind, count in {
        "tool_usage": "select count(*) from bcp.tool_usage_logs",
        "errors": "select count(*) from bcp.error_logs",
        "metrics": "select count(*) from bcp.performance_metrics",
        "sessions": "select sum(stored) from bcp.ingest_batches where kind = 'sessions'",
    }.items():
        query = sql.SQL(
            "select sum(accepted - stored - duplicates - rejected)::int as unbooked,"
            " sum(stored)::int as stored, sum(rejected)::int as rejected, ({})::int as are_stored,"
            " (select count(*)::int from bcp.rejected_events where kind = {}) as are_rejected"
            " from bcp.ingest_batches where kind = {}"
        ).format(sql.SQL(count), kind, kind)  # type: ignore[arg-type]
        [found] = rows(db, query)
        assert found["unbooked"] == 0, kind
        assert found["stored"] == found["are_stored"] > 0, kind
        assert found["rejected"] == found["are_rejected"] > 0, kind


def check_commands(db: Db) -> None:
    """Everybody else's: refresh, questions, relations, alerts, jobs."""
    db.execute("call bcp.refresh_analytics_views()")
    for ask, _ in QUESTIONS.values():
        ask(db)
    relations = db.execute(
        "select oid::regclass::text from pg_class"
        " where relnamespace = 'bcp'::regnamespace and relkind in ('r', 'v')"
    ).fetchall()
    for (relation,) in relations:
        query = sql.SQL("select count(*) from {} t where strpos(t::text, {}) > 0")
        held = db.execute(query.format(sql.SQL(relation), SECRET.partition("@")[0])).fetchone()
        assert held == (0,), relation
    for job in (
        "evaluate_alerts_job",
        "find_floods_job",
        "forget_keys_job",
        "columnstore_job",
        "cleanup_job",
    ):
        db.execute(sql.SQL("call bcp_internal.{}(0, null)").format(sql.Identifier(job)))
    assert rows(db, "select * from bcp.alert_rules where last_error is not null") == []
    # Of so many names as ten thousand calls have, the store may say that they are a flood.
    failed = rows(db, "select * from bcp.health() where status = 'fail'")
    assert {check["check_name"] for check in failed} <= {"rejected", "floods"}, failed


def test_a_writer_stops_nobody(clean_db: Db, dsn: str) -> None:
    fuzz = Fuzz(seed=CALLS)
    routines = writable(clean_db)
    assert len(routines) > 15
    outcomes: Counter[str | None] = Counter()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set session authorization bcp_writer")
        for _ in range(CALLS):
            setting = fuzz.pick(list(SETTINGS))
            conn.execute("select set_config(%s, %s, false)", [setting, fuzz.pick(SETTINGS[setting])])
            for routine in routines:
                query = fuzz.call(routine)
                try:
                    answer = conn.execute(query).fetchone()
                except psycopg.Error as error:
                    outcomes[error.sqlstate] += 1
                    # Ours, or an argument that is no value of its type and never came in.
                    if error.sqlstate not in ("ZB001", "ZB002", "ZB005") and not error.sqlstate.startswith(
                        "22"
                    ):
                        error.add_note(query.as_string())
                        raise
                else:
                    outcomes[None] += 1
                    if routine.name == "bcp.begin_tool_call" and answer is not None:
                        fuzz.open = [*fuzz.open[-3:], answer[0]]
    # Enough of it came in for the rest to mean anything.
    assert outcomes[None] > outcomes.total() / 2, outcomes
    check_books(clean_db)
    check_commands(clean_db)


def test_no_setting_of_a_session_reads_the_expressions_otherwise(clean_db: Db, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("set session authorization bcp_writer")
        conn.execute("set standard_conforming_strings = off")
        call = {"bcp_name": "files", "tool_name": "read", "error_message": f"no answer from {SECRET}"}
        for kind in ("text", "jsonb"):
            query = sql.SQL("select stored from bcp.ingest_tool_usage(null, %s::{})").format(sql.SQL(kind))
            assert conn.execute(query, [json.dumps([call])]).fetchone() == (1,)
        conn.execute("select bcp.begin_tool_call('files', 'read', p_parameters => %s)", [json.dumps(call)])
        conn.execute("select bcp.report_collector(%s, %s)", [SECRET, uuid.UUID(int=1)])
    held = clean_db.execute(
        "select count(*), bool_or(strpos(t, %s) > 0) from ("
        " select error_message from bcp.tool_usage_logs union all select event::text from bcp.open_tool_calls"
        " union all select source from bcp.collector_reports) as s (t)",
        [SECRET.partition("@")[0]],
    ).fetchone()
    assert held == (4, False)
