"""What is too large is cut before it is masked; what is left is a document, the beginning of what came."""

from __future__ import annotations

import json
from typing import Any, LiteralString

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.property.test_anonymize import PIECES, documents
from tests.spent import seconds
from tests.sql.anonymizer_corpus import EMAIL
from tests.sql.events import ingest, rows, usage

Db = psycopg.Connection[Any]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
DEPTH = 100
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiw{'aB3d' * 60}fQ.{'x9Yz' * 10}abc"


def one(db: Db, query: str, *args: Any) -> Any:
    row = db.execute(query, args).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def canonical(db: Db, doc: Any) -> tuple[str, Any]:
    """Return the document as PostgreSQL writes it, and with its keys in that order."""
    text = one(db, "select %s::jsonb::text", json.dumps(doc))
    return text, json.loads(text)


def is_beginning(cut: Any, whole: Any) -> bool:
    """Tell whether one document is the other up to some place."""
    if isinstance(cut, str) and isinstance(whole, str):
        if whole.startswith(cut):
            return True
        try:
            # JSON inside of a string is closed too.
            inner = json.loads(cut)
        except ValueError:
            return False
        return (
            cut[:1] in "{["
            and whole.startswith(cut.rstrip('"]} \t\r\n')[:-1])
            and isinstance(inner, (dict, list))
        )
    if isinstance(cut, list) and isinstance(whole, list):
        return (
            len(cut) <= len(whole)
            and cut[:-1] == whole[: len(cut) - 1 if cut else 0]
            and (not cut or is_beginning(cut[-1], whole[len(cut) - 1]))
        )
    if isinstance(cut, dict) and isinstance(whole, dict):
        names = list(whole)[: len(cut)]
        return (
            list(cut) == names
            and all(cut[name] == whole[name] for name in names[:-1])
            and (not cut or is_beginning(cut[names[-1]], whole[names[-1]]))
        )
    return bool(cut == whole) and type(cut) is type(whole)


texts = st.lists(
    st.sampled_from([*PIECES, "\\", '"', "\n", "\u0001", "é", "\U0001f600", "{", "]", " "]), max_size=12
).map("".join)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(texts, inner, max_size=5)),
    max_leaves=30,
)


@given(doc=st.one_of(trees, documents, trees.map(json.dumps)), limit=st.integers(0, 400))
@example(doc={"a": [1, {"b": "x y z"}]}, limit=20)
@example(doc={"a": "\\" * 50}, limit=21)
@example(doc=[1, 10**2000, 5], limit=1500)
@example(doc=["\u0001" * 20], limit=16)
@example(doc={"k": json.dumps({"password": "x y", "n": [1, 2, "three four five"]})}, limit=50)
@shared
def test_a_cut_document_is_the_beginning_of_the_whole(db: Db, doc: Any, limit: int) -> None:
    text, whole = canonical(db, doc)
    cut_text = one(db, "select bcp_internal.cut_json(%s::jsonb, %s, %s)::text", text, limit, DEPTH)
    cut = json.loads(cut_text)
    if len(text.encode()) <= limit:
        assert cut == whole
        return
    assert len(cut_text.encode()) <= max(limit, 2)
    # What cannot be closed is the beginning of its text.
    assert is_beginning(cut, whole) or (isinstance(cut, str) and text.startswith(cut))


@given(text=texts.map(lambda t: t * 20), limit=st.integers(0, 400))
@shared
def test_cut_text_is_the_beginning_of_the_whole(db: Db, text: str, limit: int) -> None:
    cut = one(db, "select bcp_internal.cut_text(%s, %s)", text.replace("\0", ""), limit)
    assert text.startswith(cut)
    assert len(cut.encode()) <= max(limit, 0)


@pytest.mark.parametrize(
    "doc",
    [
        {"note": "word " * 60_000},
        "word " * 60_000,
        {"note": "x" * 300_000},
        {"content": [{"type": "text", "text": json.dumps({"list": ["some words"] * 30_000})}]},
        ["words"] * 60_000,
    ],
    ids=["value", "string", "word", "json", "array"],
)
def test_a_cut_document_keeps_what_fits(db: Db, doc: Any) -> None:
    assert (
        one(db, "select octet_length(bcp_internal.cut_json(%s::jsonb, 131072, 100)::text)", json.dumps(doc))
        > 130_000
    )


@pytest.mark.parametrize(
    "text",
    ["x" * 400_000, "some words of prose. " * 20_000, "日本語の文章です。" * 15_000, "1,2,3;\n" * 60_000],
    ids=["one word", "prose", "Japanese", "lines"],
)
def test_of_a_text_that_is_too_large_the_head_stays(db: Db, text: str) -> None:
    ingest(db, [usage(parameters={"text": text}, error_message=text, success=False)])
    [row] = rows(db, "select parameters, error_message from bcp.tool_usage_logs")
    head = json.loads(row["parameters"]["_head"] + '"}')["text"]
    assert text.startswith(head)
    assert len(json.dumps(head, ensure_ascii=False).encode()) > 55_000
    message = row["error_message"].partition(" [TRUNCATED ")[0]
    assert text.startswith(message)
    assert len(message.encode()) > 60_000


@pytest.mark.any_target("the code is the same, and so is how its time grows")
@pytest.mark.slow
@pytest.mark.parametrize("unit", ['"', "\\", '\\"', "[", '{"a":', "a ", "x", "1,", "\n", "é", '{"k": "v"}, '])
@pytest.mark.parametrize("form", ["string", "array", "keys", "json", "deep"])
def test_a_cut_takes_time_by_the_size_of_what_is_cut(db: Db, unit: str, form: str) -> None:
    """Ten times the document may take thirty times as long, no more."""
    took = []
    for size in (200_000, 2_000_000):
        text = unit * (size // len(unit))
        doc: Any = {"string": text, "array": [unit] * (size // 8), "json": json.dumps({"a": text})}.get(form)
        if form == "keys":
            doc = {f"{n}{unit}": [n] for n in range(size // 20)}
        elif form == "deep":
            doc = []
            for _ in range(90):
                doc = [doc, unit]
            doc = [doc] * (size // 800)
        query: LiteralString = "select length(bcp_internal.cut_json(%s::jsonb, %s, 100)::text)"
        took.append(seconds(db, query, [json.dumps(doc), size // 10]))
    assert took[1] < max(30 * took[0], 2.0)


@given(offset=st.integers(-400, 60), wrap=st.booleans(), glue=st.sampled_from([" ", ";", "|"]))
@example(offset=-300, wrap=False, glue=";")
@shared
def test_nothing_secret_is_left_where_the_cut_is(db: Db, offset: int, glue: str, *, wrap: bool) -> None:
    """Not even a part of a secret that stands where the cut is, which no rule would know."""
    limit = 2_000
    # Of this masking leaves a third, so that all that was masked fits.
    filler = f"password={'x' * 56}{glue}" * 200
    card = "4111 1111 1111 1111".replace(" ", " " if glue == " " else "")
    secrets = glue.join([EMAIL, card, JWT])
    doc: Any = {"note": f"{filler[: 2 * limit + offset]}{glue}{secrets}{glue}{filler}"}
    if wrap:
        # A pair that only JSON shows to be one.
        pair = {"name": "DB_PASSWORD", "n": 1, "value": "some words " * 800}
        doc = {"text": json.dumps([pair]) + " " + filler}
    with db.transaction(force_rollback=True):
        db.execute("update bcp.settings set value = %s where name = 'max_document_bytes'", [str(limit)])
        db.execute("update bcp.settings set value = %s where name = 'max_text_bytes'", [str(limit)])
        ingest(db, [usage(parameters=doc, error_message=doc.get("note"), success=False)])
        [row] = rows(
            db,
            "select parameters, parameters::text as text, error_message, request_bytes"
            " from bcp.tool_usage_logs",
        )
    size = len(canonical(db, doc)[0].encode())
    assert row["request_bytes"] == size
    assert row["parameters"]["_truncated"] is True
    assert row["parameters"]["_bytes"] == size
    assert len(row["text"].encode()) <= limit
    for kept in (row["text"], row["error_message"] or ""):
        assert EMAIL not in kept
        assert "4111" not in kept
        assert JWT[:30] not in kept
    if wrap:
        assert "words" not in row["text"]


@pytest.mark.parametrize("field", ["parameters", "response_data", "extra"])
def test_what_was_cut_says_so_even_where_masking_made_it_fit(db: Db, field: str) -> None:
    doc = {"password": ["x" * 50] * 20_000, "note": "some words"}
    event = usage(**{field: doc}) if field != "extra" else usage(password=doc["password"])
    ingest(db, [event])
    with db.cursor(row_factory=dict_row) as cur:
        row = cur.execute("select * from bcp.tool_usage_logs").fetchone()
    assert row is not None
    kept = row["attributes" if field == "extra" else field]
    assert kept["_truncated"] is True
    assert kept["_bytes"] > 1_000_000
    assert "xxxx" not in kept["_head"]


def test_every_field_of_text_is_cut_and_an_id_is_not(db: Db) -> None:
    db.execute("update bcp.settings set value = '200' where name = 'max_text_bytes'")
    long, name = "many words " * 100, "n" * 450
    call = usage(
        bcp_name=name, session_id=name, user_agent=long, client_name=long, request_id=long, error_type=long
    )
    ingest(db, [call | {"trace_id": long, "release": long, "client_model": long, "error_message": long}])
    error = {"level": "error", "message": long, "error_code": long, "stack_trace": long, "user_id": name}
    ingest(db, [error | {"trace_id": long, "release": long, "tool_name": long}], "errors")
    ingest(db, [{"session_id": name + "2", "user_agent": long, "client_version": long}], "sessions")
    for table, ids in (
        ("tool_usage_logs", {"bcp_name", "session_id"}),
        ("error_logs", {"user_id"}),
        ("user_sessions", {"session_id", "user_id"}),
    ):
        for row in rows(db, f"select * from bcp.{table}"):
            for field, value in row.items():
                if isinstance(value, str) and field in ids:
                    assert value.startswith(("n" * 450, "gap-"))
                elif isinstance(value, str):
                    assert len(value.encode()) <= 200, field
                    assert "many" not in value or value.endswith("[TRUNCATED 1100 bytes]")
