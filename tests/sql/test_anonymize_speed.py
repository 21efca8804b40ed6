"""How long masking takes: by the size of what is masked, whatever it is."""

from __future__ import annotations

import json
import os
from typing import Any, LiteralString

import psycopg
import pytest

from tests.spent import seconds
from tests.sql.anonymizer_corpus import EMAIL
from tests.sql.anonymizer_hostile import ENDINGS, GATES, RULES, Unit, name_of, repeated
from tests.sql.events import ingest, usage

Db = psycopg.Connection[Any]

# Twice the text may take so many times as long.
GROWTH = 2.5
# What takes less is the machine's noise as much as ours.
FLOOR_S = 0.05
# Long enough for a square to show, short enough for hundreds of texts.
SIZE = 32_000
MASK: LiteralString = "select length(bcp_internal.anonymize_text(%s))"


def too_slow(
    db: Db, query: LiteralString, unit: Unit, size: int = SIZE, most_a_megabyte: float = 40.0
) -> str | None:
    """Say how much longer twice the text takes, None where that is all right.

    The best of 3 of each size counts, and of 3 more where that fails: other processes only make it slower.
    """
    half, whole = repeated(unit, size), repeated(unit, 2 * size)
    halves, wholes = [], [seconds(db, query, [whole])]
    for _ in range(6):
        if min(wholes) <= FLOOR_S:
            return None
        halves.append(seconds(db, query, [half]))
        if min(wholes) <= GROWTH * min(halves) and min(wholes) * 1e6 <= most_a_megabyte * len(whole):
            return None
        wholes.append(seconds(db, query, [whole]))
    return (
        f"{name_of(unit)}: {min(wholes) / min(halves):.1f} times as long for twice the text,"
        f" {min(wholes) * 1000:.0f} ms for {size // 500} kB"
    )


def test_every_rule_has_hostile_texts(db: Db) -> None:
    """A new rule needs some in tests/sql/anonymizer_hostile.py, also where it is of a pack that is off."""
    names = {
        name
        for (name,) in db.execute(
            "select name from bcp.anonymization_rules where enabled or pack is not null"
        )
    }
    assert names == set(RULES)
    assert all(len(units) >= 2 for units in RULES.values())


@pytest.mark.native("growth is the engine's, and measured where it runs by itself")
@pytest.mark.skipif(
    "BCP_TEST_GROWTH" not in os.environ, reason="takes minutes of a quiet processor: BCP_TEST_GROWTH=1"
)
@pytest.mark.parametrize("rule", RULES)
def test_twice_the_text_takes_a_rule_twice_the_time(db: Db, rule: str) -> None:
    """Also where the rule is of a pack that is off."""
    db.execute(
        "update bcp.anonymization_packs set enabled = true"
        " where name = (select pack from bcp.anonymization_rules where name = %s) and not enabled",
        [rule],
    )
    slow = [said for unit in RULES[rule] if (said := too_slow(db, MASK, unit))]
    assert not slow, "\n".join(slow)


def test_a_long_rule_is_applied_way_by_way(db: Db) -> None:
    """Each way keeps its own groups, and a bar that stands in a group or in brackets parts nothing."""
    words = "|".join(f"never{n}x" for n in range(400))
    db.cursor().executemany(
        "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, action, replacement)"
        " values (%s, 1, 'mine', %s, %s, 'redact', %s)",
        [
            (
                "mine",
                f"(?i)(zyx (?:a|[|)] )b )[0-9]+|(zyx )(and )[0-9]+|(?:{words})|(zyx\\|)[0-9]+",
                ["zyx", "never"],
                "\\1\\2\\3\\4[GONE]",
            ),
            # A list of words is applied at once.
            ("list", words, ["never"], "[GONE]"),
        ],
    )
    parts = dict(
        db.execute(
            "select name, count(*) from bcp_internal.anonymizer_rules"
            " where name in ('mine', 'list') group by 1"
        ).fetchall()
    )
    assert parts == {"mine": 4, "list": 1}
    row = db.execute(
        "select bcp_internal.anonymize_text(%s)",
        ["ZYX ab 12, zyx | b 13, zyx and 14, zyx|15, zyx 16, never7X"],
    ).fetchone()
    assert row == ("ZYX ab [GONE], zyx | b [GONE], zyx and [GONE], zyx|[GONE], zyx 16, [GONE]",)


def test_every_gate_has_hostile_texts(db: Db) -> None:
    names = {
        name
        for (name,) in db.execute(
            "select attname from pg_attribute where attrelid = 'bcp_internal.anonymizer_state'::regclass"
            " and attnum > 0 and not attisdropped and attname like '%%gate%%'"
        )
    }
    assert names == set(GATES)


@pytest.mark.native("growth is the engine's, and measured where it runs by itself")
@pytest.mark.skipif(
    "BCP_TEST_GROWTH" not in os.environ, reason="takes minutes of a quiet processor: BCP_TEST_GROWTH=1"
)
@pytest.mark.parametrize("gate", GATES)
def test_twice_the_text_takes_a_gate_twice_the_time(db: Db, gate: str) -> None:
    """The gate by itself, and the text through all of the anonymiser."""
    alone: LiteralString = (
        f'select cast(%s as text) collate "C" ~ any (array[{gate}]) from bcp_internal.anonymizer_state'
    )
    slow = [said for query in (alone, MASK) for unit in GATES[gate] if (said := too_slow(db, query, unit))]
    assert not slow, "\n".join(slow)


@pytest.mark.native("growth is the engine's, and measured where it runs by itself")
@pytest.mark.skipif(
    "BCP_TEST_GROWTH" not in os.environ, reason="takes minutes of a quiet processor: BCP_TEST_GROWTH=1"
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_twice_the_words_of_rules_take_twice_the_time(db: Db, ending: str) -> None:
    """Each word of each rule, and pairs of them, with the same ending over and over."""
    words = [
        word
        for (word,) in db.execute(
            "select distinct w from bcp.anonymization_rules, unnest(words) as w where pack is null order by w"
        )
    ]
    pairs = [f"{word}{ending}{other}" for word, other in zip(words, words[97:] + words[:97], strict=True)]
    slow = [
        said
        for unit in [*words, *pairs]
        if (said := too_slow(db, MASK, f"{unit}{ending}", size=12_000, most_a_megabyte=30.0))
    ]
    assert not slow, "\n".join(slow)


@pytest.mark.any_target("the code is the same, and so is how its time grows")
@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["password{}=x ", '<input name="password{}" value="x"> ', "/home/u{}/x ", "cell{},b\n"]
)
def test_different_keys_take_time_by_their_number(db: Db, form: str) -> None:
    """Eight times the keys may take sixteen times as long, no more: they are not compared one by one."""
    took = []
    for count in (250, 2000):
        text = "".join(form.format(n) for n in range(count))
        took.append(min(seconds(db, MASK, [text]) for _ in range(2)))
    assert took[1] < max(16 * took[0], 1.0)


@pytest.mark.any_target("the code is the same, and so is how its time grows")
@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "a@",
        "4111 1111 1111 1112 ",
        "1",
        "1 ",
        "555-",
        "a",
        "a=",
        "a a ",
        "a:",
        "{",
        '{"a":',
        '"',
        "\\",
        "<a>",
        "é@",
        "-----BEGIN ",
        "born ",
        "eyJ",
        "password=",
    ],
)
def test_a_megabyte_of_anything_takes_seconds_not_minutes(db: Db, unit: str) -> None:
    """Ten times the text may take thirty times as long, no more: the expressions do not backtrack."""
    took = []
    for size in (100_000, 1_000_000):
        text = (unit * (size // len(unit) + 1))[:size]
        try:
            took.append(seconds(db, MASK, [text]))
        except psycopg.Error as error:
            assert error.sqlstate == "ZB005"  # noqa: PT017
            return
    print(f"\n{unit!r}: {took[0] * 1000:.0f} ms for 100 kB, {took[1] * 1000:.0f} ms for 1 MB")  # noqa: T201
    assert took[1] < max(30 * took[0], 1.0)


@pytest.mark.any_target("the code is the same, and so is how its time grows")
@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        '"flight 12"',
        '"jane@example.com"',
        '{"id": 1, "email": "x", "a": {"b": "c"}}',
        '"{\\"dob\\": 1, \\"n\\": 2}"',
        "4111111111111111",
        "[]",
    ],
)
@pytest.mark.parametrize("form", ["array", "keys"])
def test_a_wide_document_takes_time_by_its_size(db: Db, unit: str, form: str) -> None:
    """Ten times the elements may take thirty times as long, no more."""
    took = []
    for count in (400, 4000):
        values = [json.loads(unit)] * count
        doc = values if form == "array" else {f"user{n}@example.com": value for n, value in enumerate(values)}
        query: LiteralString = "select length(bcp_internal.anonymize_json(%s::jsonb)::text)"
        took.append(seconds(db, query, [json.dumps([doc, EMAIL])]))
    assert took[1] < max(30 * took[0], 1.0)


def test_a_batch_of_plain_calls_needs_fewer_expressions_than_are_kept_compiled(db: Db) -> None:
    """PostgreSQL keeps 32. With one more in turn it would compile each of them anew in every batch."""
    if db.info.server_version < 160000:
        pytest.skip("PostgreSQL shows what it keeps compiled since version 16")
    calls = [
        usage(
            user_id=f"u{n}",
            session_id=f"s-{n % 7}",
            parameters={"sql": f"select count(*) from visits where day >= '2026-01-{n % 28 + 1:02}'"},
            response_data={"columns": ["count"], "rows": [[n * 7919]]},
        )
        for n in range(100)
    ]
    calls[50]["parameters"] = {"sql": f"select * from visits where contact = '{EMAIL}'"}
    assert_few_expressions(db, calls)


def test_a_half_masked_batch_needs_fewer_expressions_than_are_kept_compiled(db: Db) -> None:
    """E-mail addresses, telephone and card numbers, sensitive keys, and names beside all that has none."""
    if db.info.server_version < 160000:
        pytest.skip("PostgreSQL shows what it keeps compiled since version 16")
    calls = [
        usage(
            user_id=f"u{n}",
            session_id=f"s-{n % 7}",
            parameters={"customer_id": n, "to": f"ada{n}@example.com", "ssn": "219-09-9999"}
            if n % 2
            else {"query": f"visits of 2026-01-{n % 28 + 1:02}", "limit": n},
            response_data={
                "content": [
                    {
                        "type": "text",
                        "text": json.dumps({"name": f"Ada {n}", "note": note, "dob": "1990-01-01"}),
                    }
                ]
            },
        )
        for n, note in enumerate(
            ["asked to be called at +1 377 555 1088", "card 4111111111111111 of ada@example.com", "paid"] * 33
        )
    ]
    assert_few_expressions(db, calls)


def assert_few_expressions(db: Db, calls: list[dict[str, Any]]) -> None:
    ingest(db, calls)
    db.execute("select count(*) from generate_series(1, 32) as n where 'x' ~ ('unused' || n)")
    ingest(db, calls)
    row = db.execute(
        "select count(*) filter (where ident like 'unused%'), count(*)"
        " from pg_backend_memory_contexts where name = 'RegexpMemoryContext'"
    ).fetchone()
    assert row is not None
    left, kept = row
    assert kept == 32
    assert left > 0, "none is left of what the batch did not need"
