"""A batch is masked as each of its documents would be alone, whatever stands at the edges of them.

The gates look at all texts of a batch at once. So these batches are made of what joins the texts, of what a
gate may match across two of them, and of what looks like a joint inside of one.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import psycopg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property.test_anonymize import everything, query
from tests.sql.anonymizer_corpus import API_KEY, CARDS, EMAIL, GITHUB_KEY, JWT, SSN
from tests.sql.events import NOW, ingest, rows, usage

Db = psycopg.Connection[Any]
# BCP_TEST_EXAMPLES=300 looks harder; 100000 takes hours, and --timeout=0.
EXAMPLES = int(os.environ.get("BCP_TEST_EXAMPLES", "60"))
# Plain documents before the others shift these to where the gates part a batch: every 256 and every
# 1,024 texts. They differ, because the gates look at equal texts once.
SHIFTS = [0] * 12 + [250, 255, 256, 511, 512, 1023]
# Each example only reads, so they may share one transaction.
shared = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)

# What gates look for, whole and in part: a match may begin in one text and end in the next.
WORDS = [
    "basic", "Basic ", "bearer", "bearer ", "ending in", "end", "ends with ", "born", "dob", "ssn", "cvv",
    "password", "pass", "word", "pin", "PIN", "token", "api", "key", "apiKey", "email", "phone", "code is",
    "otp was", "curl ", "mysql", "card ending ", "last four digits", "://", "@", "sk-", "eyJ", "ghp_",
    "--password", "name", "value", "id", "x-api-key", "cookie",
]  # fmt: skip
# What may join texts, and what an expression may take for the end of one.
SEPARATORS = [
    "\x01", "\n\x01\n", "\n", "\r", "\r\n", "\n\n", "\x01\n", "\n\x01", "\x02", "\x03", "\x1c", "\x1d",
    "\x1e", "\x1f", "\x0b", "\x0c", "\x7f", "\x85", "\u2028", "\u2029", "\ufffe", "\uffff",
    "\ue000", "\ue001",
    "\uf8ff", "\U000f0000", "\U0010ffff", "\u200b", " ", "  ", "\t", "\\n", "\\u0001", "\\",
]  # fmt: skip
QUOTES = [
    '"', "'", '\\"', '":', '": "', "=", ":", ": ", "{", "}", "[", "]", ",", "<", ">", "-", "--", "a", "b",
]  # fmt: skip
NUMBERS = ["1", "12", "4111", "555-", "0", "030 ", "+49", "219-"]
# Each is masked wherever it stands between spaces.
SECRETS = [EMAIL, GITHUB_KEY, API_KEY, JWT, SSN, CARDS[0], f"bearer {API_KEY}", "postgres://app:kestrel9@db"]

noise = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(SEPARATORS), st.sampled_from(QUOTES + NUMBERS)),
    max_size=6,
).map("".join)
planted = st.builds("{} {} {}".format, noise, st.sampled_from(SECRETS), noise)
texts = st.one_of(noise, noise, planted, st.sampled_from(WORDS), st.sampled_from(SEPARATORS))
fields = st.sampled_from(["user_agent", "error_message", "note", "basic", "a\n\x01\nb", "x=", "\x1f"])
documents = st.one_of(
    texts,
    st.dictionaries(fields, texts, min_size=1, max_size=3),
    st.lists(texts, max_size=3),
    st.builds(lambda doc: {"json": json.dumps(doc)}, st.dictionaries(fields, texts, max_size=2)),
    st.builds(
        lambda key, noise: {key: "kestrel8", "n": noise}, st.sampled_from(["password", "apiKey"]), noise
    ),
)
SURE = [*SECRETS[:6], "kestrel8", "kestrel9"]


def all_together_and_each_alone(db: Db, docs: list[Any], before: int) -> tuple[list[Any], list[Any]]:
    together, alone = query(
        db,
        "with docs as materialized (select array_agg(d order by n) as docs"
        " from jsonb_array_elements(%s::jsonb) with ordinality as t (d, n)), masked as materialized ("
        "   select bcp_internal.anonymize_documents(array("
        "     select to_jsonb('flight ' || n) from generate_series(1, %s) as n) || docs) as m from docs)"
        " select jsonb_build_array(to_jsonb(m[%s + 1:]), ("
        "   select jsonb_agg((bcp_internal.anonymize_documents(array[d]))[1] order by n)"
        "   from unnest(docs) with ordinality as t (d, n))) from docs, masked",
        json.dumps(docs),
        before,
        before,
    )
    return together, alone


@given(docs=st.lists(documents, min_size=2, max_size=12), before=st.sampled_from(SHIFTS))
@example(docs=["basic", f"see {GITHUB_KEY} now", "a\n\x01\nb"], before=0)
# Its quote, colon and space read like the end of a key.
@example(docs=[{": password": "kestrel8"}, {"a": json.dumps({": password": "kestrel8"})}], before=0)
@example(docs=["", {"basic": "", "a\n\x01\nb": "", "user_agent": f" {API_KEY} "}], before=0)
@example(docs=[{"a": ["basic", f"see {GITHUB_KEY} now", "a\n\x01\nb"]}], before=0)
@example(docs=["ending in", f"see {EMAIL} now", "1"], before=0)
@example(docs=["\n\x01\n", "basic", f"see {GITHUB_KEY} now", "basic"], before=0)
@example(docs=[{"password": "kestrel8"}, "pass", "word: 1"], before=255)
@shared
def test_a_batch_is_masked_as_each_of_it_alone(db: Db, docs: list[Any], before: int) -> None:
    together, alone = all_together_and_each_alone(db, docs, before)
    assert together == alone
    survivors = [secret for secret in SURE if secret in everything(together)]
    assert survivors == []


# Batches share the documents of a pool, each of which is masked alone once: that is most of the time. The
# first pool that is drawn is the simplest.
POOLS = max(6, EXAMPLES // 500)


def masked_together(db: Db, docs: list[str], before: int) -> list[Any]:
    found: list[Any] = query(
        db,
        "select to_jsonb(m[%s + 1:]) from bcp_internal.anonymize_documents(array("
        "  select to_jsonb('flight ' || n) from generate_series(1, %s) as n) || %s::jsonb[]) as m",
        before,
        before,
        docs,
    )
    return found


@given(pool=st.lists(documents, min_size=40, max_size=40), seed=st.integers(0, 2**32))
@settings(parent=shared, max_examples=POOLS)
def test_a_document_is_masked_alike_in_whatever_batches(db: Db, pool: list[Any], seed: int) -> None:
    """Many batches of few documents, for many neighbours of each."""
    chance = random.Random(seed)  # noqa: S311
    docs = [json.dumps(doc) for doc in pool]
    alone = [masked_together(db, [doc], 0)[0] for doc in docs]
    for _ in range(-(-EXAMPLES // POOLS)):
        # Mostly two or three: what a gate takes for one text lies side by side, and each more costs time.
        some = chance.choices(range(len(docs)), k=min(2 + int(chance.expovariate(0.7)), 12))
        before = chance.choice(SHIFTS)
        together = masked_together(db, [docs[n] for n in some], before)
        assert together == [alone[n] for n in some], ([pool[n] for n in some], before)


short = st.fixed_dictionaries(
    {}, optional={name: texts.map(lambda text: text[:60]) for name in ("user_agent", "user_id", "session_id")}
)
calls = st.builds(
    lambda more, message, parameters: usage(**more, error_message=message, parameters={"a": parameters}),
    short, texts, documents,
)  # fmt: skip


def stored(db: Db, events: list[dict[str, Any]]) -> Any:
    ingest(db, events)
    return [
        rows(db, "select to_jsonb(l) - '{event_id}'::text[] as call from bcp.tool_usage_logs l"),
        rows(db, "select to_jsonb(r) as event from bcp.rejected_events r"),
        rows(db, "select to_jsonb(s) as session from bcp.user_sessions s"),
    ]


@given(events=st.lists(calls, min_size=2, max_size=6))
@example(
    events=[
        usage(user_agent="basic"),
        usage(error_message=f"no access with {GITHUB_KEY} here"),
        usage(error_message="a\n\x01\nb"),
    ]
)
@settings(parent=shared, max_examples=max(shared.max_examples // 5, 10))
def test_no_secret_of_a_batch_of_calls_is_stored(db: Db, events: list[dict[str, Any]]) -> None:
    with db.transaction(force_rollback=True):
        db.execute("select set_config('bcp.now', %s, true)", [NOW])
        kept = everything(stored(db, [event | {"start_time": NOW} for event in events]))
    assert [secret for secret in SURE if secret in kept] == []
