"""The anonymiser on documents that nobody thought of."""

from __future__ import annotations

import json
import os
import string
from typing import Any

import psycopg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property.documents import nested
from tests.sql.anonymizer_corpus import API_KEY, CARDS, JWT, PLAIN, wide

Db = psycopg.Connection[Any]
# Each example only reads, so they may share one transaction.
shared = settings(
    max_examples=int(os.environ.get("BCP_TEST_EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)

# Pieces that rules and keys are made of, to be joined to whatever comes of it.
PIECES = [
    "jane@example.com", "@", ".com", "4111 1111 1111 1111", "4111111111111111", "1", "12", "4111", "-", " ",
    "  ", "\n", "\t",
    "555-010-4477", "+1", "+49 30 901820", "(555)", "030 901820", "219-09-9999", "ssn ", "password",
    "Password", "pass", "word",
    "token", "max_tokens", "email", "e-mail", "pin", "PIN", "user", "DOB ", "born on ", "1990-01-01",
    "May 3, 1990", ",", ";",
    "=", ":", ": ", "=>", '"', "'", "\\", "\\n", "\\u0040", "%40", "{", "}", "[", "]", "<", ">", "(", ")",
    "/", "://", "?", "&", "#",
    "Bearer ", "Authorization: ", "Cookie: a=b", "--password ", "password is ", "ending in ", "card ",
    "[REDACTED]",
    "email#k1#bcdfghjklmnpqrtv", "#k1#", "DE89370400440532013000", API_KEY, JWT, "é", "ü", "\u200b", "\u0430",
    wide("password"),
    wide("4"), "\ue000", "\ue001", "\U0001f600", "a", "b", "x", "Z", "_", ".",
    "-----BEGIN X PRIVATE KEY-----", "0", "e",
]  # fmt: skip

pieces = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
strings = st.one_of(
    pieces,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    st.text(string.digits + " -.", max_size=25),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False,
    allow_infinity=False), strings,
    st.sampled_from([int(CARDS[0]), 4.111111111111111e15]),
)  # fmt: skip


documents = nested(scalars, pieces)


def query(db: Db, text: str, *args: Any) -> Any:
    row = db.execute(text, args).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row[0]


def mask(db: Db, doc: Any) -> Any:
    return query(db, "select bcp_internal.anonymize_json(%s::jsonb)", json.dumps(doc))


def everything(value: Any) -> str:
    """All text of a document, with what is JSON inside of its strings read too."""
    if isinstance(value, dict):
        return "\n".join(f"{k}\n{everything(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "\n".join(map(everything, value))
    if isinstance(value, str):
        try:
            return value + "\n" + everything(json.loads(value))
        except ValueError:
            return value
    return json.dumps(value)


@given(doc=documents)
@shared
def test_masking_twice_is_masking_once(db: Db, doc: Any) -> None:
    once = mask(db, doc)
    assert mask(db, once) == once


# What a plain document has not: long keys, JSON in strings with other blanks than ours, strings that begin
# or end as what is between strings does.
SPELLINGS: list[Any] = [
    {"config.services.authentication.providers.keycloak.production.client_secret": "hunter2Zq9"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_password": "hunter2Zq9"},
    {"SPRING_SECURITY_OAUTH2_CLIENT_REGISTRATION_GOOGLE_ACME_CLIENT_SECRET": "hunter2Zq9"},
    {"args": '["login","--password","hunter2Zq9"]'},
    {"args": '["mysql","-phunter2Zq9"]'},
    "pass\x02word=hunter2Zq9",
    {"args": '["curl","-u","bob:x"]'},
    {"args": '["my","password","is","x1x"]'},
    {"args": '["--x","4111","1111","1111","1111"]'},
    {"content": '{"a": "[[\\"password\\", \\"hunter2Zq9\\"]]"}'},
    {"content": '{"h": [ ["password", "hunter2Zq9"] ]}'},
    {"content": '{"username" : "jane.roe"}'},
    {"content": '{"user-email!" : "jane"}'},
    {"content": '{"password"\n: "abc"}'},
    ["redis-cli", "[", "-a", "hunter2Zq9"],
    ["curl", "]", "-u", "bob:hunter2Zq9"],
    ["sshpass", "[", "-p", "x"],
    ["mysql", "]", "-px"],
    {"columns": ["]", "password"], "rows": [["1", "hunter2Zq9"]]},
    [[": password", "hunter2Zq9"]],
    ["C:\\", "]", "--password", "x1"],
    {"a": "C:\\", "b": ["x [", "--password", "x1"]},
]


@given(docs=st.lists(documents, min_size=1, max_size=8))
@example(docs=[{"a": "pass\nword: hunter2", "pass\nword": 1}])
@example(docs=[{"a": '{"pass\\u0077ord": "x", "t": "a\\u0040b.cd"}'}])
@example(docs=['[\n "ssn="\n]'] * 2)
@example(docs=[{"t": '{"id": "apiKey", "value": "hunter2"'}, {"t": 'x "field-name": "apiKey", "Value": "y"'}])
@example(docs=[{f"\u00e9{API_KEY}": None}])
@example(docs=SPELLINGS)
@example(docs=[{'n"ame': "password", "val": "hunter2Zq9"}])
@example(docs=[{"na\\me": "password", 'v"al': "hunter2Zq9"}])
@example(docs=["[\n 4111111111111111.0,\n 4111111111111111.0\n]", [4111111111111112.0, 4111111111111112.0]])
@example(docs=[{"a": '{"email" : "x"}'}, {"at": "2026-01-31T23:59:59"}, {"k": "password", "v": "x"}] * 12)
# All rules over all strings, one by one, take a fifth of a second a document on the embedded target.
@settings(parent=shared, max_examples=max(10, shared.max_examples // 10))
def test_what_is_skipped_is_what_a_full_walk_leaves_alone(db: Db, docs: list[Any]) -> None:
    """Without gates and hints every rule looks at every string, and every word of every key is looked up.
    Nor does it matter what else is masked at the same time."""
    events = [json.dumps(doc) for doc in docs]
    masked = query(db, "select to_jsonb(bcp_internal.anonymize_documents(%s::jsonb[]))", events)
    with db.transaction(force_rollback=True):
        db.execute("update bcp_internal.anonymizer_state set word_gates = null, key_parts = key_parts || '|'")
        db.execute(
            "update bcp_internal.anonymizer_rules"
            " set likes = null, hint = null, hint_ordinal = null, shapes = null"
        )
        alone = {event: mask(db, json.loads(event)) for event in dict.fromkeys(events)}
    assert [alone[event] for event in events] == masked


@given(
    found=st.lists(st.text("ab x-\n", max_size=12), min_size=1, max_size=300),
    gate=st.sampled_from(
        ["ab", "a[^x]*b", "b\\s+x", "x-|xx", "a\\W+b", "b[^a-z]*x|a(?=x)", "[\\x01-\\x20]+a"]
    ),
)
@example(found=["ab\nab", "x", "ab"], gate="ab")
@shared
def test_a_gate_misses_no_text_of_a_batch(db: Db, found: list[str], gate: str) -> None:
    """Nor does a match reach into the next text, where that can be told; and each is told of once."""
    matching = query(
        db,
        "select coalesce(jsonb_agg(n), '[]')"
        " from jsonb_array_elements_text(%s::jsonb) with ordinality as t (doc, n) where doc ~ %s",
        json.dumps(found),
        gate,
    )
    told = query(
        db,
        "select to_jsonb(bcp_internal.matching(array(select generate_series(1, jsonb_array_length(docs))),"
        " array(select jsonb_array_elements_text(docs)), %s, false)) from cast(%s as jsonb) as docs",
        gate,
        json.dumps(found),
    )
    assert set(matching) <= set(told)
    assert len(told) == len(set(told))
    if "x01" not in gate and "W" not in gate:
        assert sorted(told) == matching


@given(texts=st.lists(st.text("0123456789 .-:/()+x\u00b0\n", max_size=40), min_size=1, max_size=60))
@example(texts=["10.0.0.1", "52.5200, 13.4050", "219-09-9999", "9 \u00b0", "2001:db8::1"])
@shared
def test_a_hint_matches_no_text_without_its_shape(db: Db, texts: list[str]) -> None:
    assert not query(
        db,
        "select coalesce(jsonb_agg(distinct r.name), '[]')"
        " from jsonb_array_elements_text(%s::jsonb) as t (text)"
        " join bcp_internal.anonymizer_rules r on t.text ~ r.hint"
        " where not translate(t.text, '012345678', '999999999') like any (r.shapes)",
        json.dumps(texts),
    )


@given(
    branches=st.lists(
        st.lists(
            st.sampled_from([
                "[0-9]", "[2-6]", "[0-9-]", "[a-z]", "[^0-9]", "[.]", "7", "a", "%", "_", "\\.", "\\m",
                "(?:a|1)", "(b)", "[0-9]{2}", "[a-z]{0,2}", "a?", "[0-9]*", "-+", "(?:1a){2}", "[0-9]{1,}",
                "[[:digit:]]", "\\d", ".",
            ]),
            min_size=1,
            max_size=6,
        ).map("".join),
        min_size=1,
        max_size=3,
    ),
    texts=st.lists(st.text("0123a.-%_b\n", max_size=12), min_size=1, max_size=30),
)  # fmt: skip
@shared
def test_shapes_hold_for_any_hint(db: Db, branches: list[str], texts: list[str]) -> None:
    hint = "|".join(branches)
    assert not query(
        db,
        "select coalesce(jsonb_agg(t.text), '[]') from jsonb_array_elements_text(%s::jsonb) as t (text)"
        " where t.text ~ %s and not translate(t.text, '012345678', '999999999') like any ("
        " bcp_internal.shapes_of_hint(%s))",
        json.dumps(texts),
        hint,
        hint,
    )


sensitive_keys = st.lists(
    st.sampled_from(["pass", "word", "Pass", "Word", "pin", "PIN", "api", "key", "user", "tokens", "a", "1"]),
    min_size=1,
    max_size=3,
).flatmap(
    lambda words: st.lists(
        st.sampled_from(["", "_", "-", " ", ".", '"', "\\", ":", '":', "'", "\n"]),
        min_size=len(words),
        max_size=len(words),
    ).map(lambda between: "".join(map("".join, zip(words, between, strict=True))))
)


@given(key=sensitive_keys, inside=st.integers(0, 2))
@example(key='pass"word', inside=0)
@shared
def test_a_gate_misses_no_key(db: Db, key: str, inside: int) -> None:
    """Whatever stands between its words, in JSON and in JSON within its strings."""
    doc: Any = {key: "kestrel"}
    for _ in range(inside):
        doc = {"x": json.dumps(doc)}
    is_sensitive = query(
        db, "select bcp_internal.is_sensitive_key(%s, 'string', bcp_internal.load_anonymizer())", key
    )
    assert not is_sensitive or "kestrel" not in everything(mask(db, doc))


@given(text=strings)
@shared
def test_text_is_masked_as_it_is_in_a_document(db: Db, text: str) -> None:
    assert query(db, "select bcp_internal.anonymize_text(%s)", text) == mask(db, {"t": text})["t"]


emails = st.builds(
    "{}@{}.{}".format,
    st.text(string.ascii_letters + string.digits, min_size=3, max_size=12),
    st.text(string.ascii_lowercase, min_size=3, max_size=10),
    st.sampled_from(["com", "co.uk", "example", "de"]),
)
phones = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["+1 ", "+1", "", "1-"]),
    st.integers(200, 999),
    st.sampled_from(["-", ".", " "]),
    st.integers(200, 999).map(lambda n: f"{n}-"),
    st.integers(1000, 9999),
)


def with_check_digit(body: str) -> str:
    total = sum(sum(divmod(int(c) * (2 - n % 2), 10)) for n, c in enumerate(reversed(body)))
    return body + str(-total % 10)


cards = st.builds(
    lambda digits, separator: separator.join(digits[n : n + 4] for n in range(0, 16, 4)),
    st.text(string.digits, min_size=14, max_size=14).map(lambda s: with_check_digit("4" + s)),
    st.sampled_from(["", " ", "-", "."]),
)
ssns = st.builds("{:03d}-{:02d}-{:04d}".format, st.integers(1, 899), st.integers(1, 99), st.integers(1, 9999))
SENSITIVE = [
    "password",
    "userPassword",
    "e-mail",
    "PHONE_NUMBER",
    "credit card",
    "apiKey",
    "dob",
    "PIN",
    wide("token"),
    "p\u0430sswd",
]
secrets = st.one_of(emails, phones, cards, ssns)
wrappers = st.sampled_from(
    [
        lambda v: [v],
        lambda v: [1, v, "x"],
        lambda v: {"note": v},
        lambda v: {"a b": {"c": v}, "n": 1},
        json.dumps,
        lambda v: json.dumps(v, indent=2),
        lambda v: json.dumps([v, 1]),
        lambda v: {"content": [{"type": "text", "text": json.dumps({"v": v})}]},
        lambda v: "\n " + json.dumps({"v": v}) + "\n",
    ]
)
around = st.sampled_from(
    [
        "{}",
        "see {} now",
        "({})",
        "'{}'",
        "a\n{}\nb",
        "to: {}, from: x",
        "\u00fc {} \u00fc",
        "<{}>",
        "#{}#",
        '"{}"',
    ]
)


def wrapped(value: Any, layers: list[Any]) -> Any:
    for layer in layers:
        value = layer(value)
    return value


@given(secret=secrets, form=around, layers=st.lists(wrappers, max_size=5))
@shared
def test_no_planted_value_survives(db: Db, secret: str, form: str, layers: list[Any]) -> None:
    assert secret not in everything(mask(db, wrapped(form.format(secret), layers)))


@given(
    secret=st.text(string.ascii_letters, min_size=8, max_size=12),
    key=st.sampled_from(SENSITIVE),
    inner=st.sampled_from([lambda v: v, lambda v: [v], lambda v: {"x": v}, lambda v: json.dumps({"x": v})]),
    layers=st.lists(wrappers, max_size=5),
)
@shared
def test_no_value_of_a_sensitive_key_survives(
    db: Db, secret: str, key: str, inner: Any, layers: list[Any]
) -> None:
    assert secret not in everything(mask(db, wrapped({key: inner(secret), "n": 1}, layers)))


@given(
    # A word such as undefined says that there is none.
    secret=st.text(string.ascii_letters + string.digits, min_size=8, max_size=12).filter(
        lambda s: not s.isalpha()
    ),
    form=st.sampled_from(
        [
            '{{"a": 1, "password": "{}"}}',
            "password={}",
            "password: {}\n",
            "{{'password': '{}'}}",
            '{{\\"password\\": \\"{}\\"}}',
            "?password={}&b=1",
        ]
    ),
    before=pieces,
    keep=st.integers(0, 3),
)
@example(
    secret="0000000a", form='{{"a": 1, "password": "{}"}}', before="x Authorization: Authorization: ", keep=0
)
@example(secret="0000000a\x01str\x01", form="password: '{}'", before="", keep=0)
@shared
def test_a_password_in_text_that_is_no_json_does_not_survive(
    db: Db, secret: str, form: str, before: str, keep: int
) -> None:
    text = f"{before}\n{form.format(secret)}"
    assert secret not in everything(mask(db, {"t": text[: len(text) - keep]}))


words = st.lists(
    st.sampled_from(
        ["flight", "from", "Paris", "to", "Rome", "with", "two", "bags", "and", "a", "window seat"]
    ),
    max_size=8,
).map(" ".join)
ids = st.one_of(
    st.text(string.ascii_uppercase + string.digits, min_size=6, max_size=6).filter(lambda s: not s.isdigit()),
    st.integers(10**8, 10**10 - 1).map(str),
    st.builds(
        "{}_{}_{}".format,
        st.sampled_from(["emma", "raj"]),
        st.sampled_from(["kim", "li"]),
        st.integers(1000, 9999),
    ),
    st.builds("credit_card_{}".format, st.integers(10**6, 10**7 - 1)),
    st.datetimes().map(lambda d: d.isoformat()),
    st.datetimes().map(lambda d: d.isoformat(" ", "seconds")),
    st.uuids().map(str),
)
plain_keys = st.sampled_from(
    [
        "user_id",
        "flight",
        "max_tokens",
        "author",
        "shipping",
        "className",
        "date",
        "id",
        "n",
        "reservation",
        "q r",
    ]
)
plain = nested(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**12) + 1, 10**12 - 1), words, ids), plain_keys
)


@given(doc=st.one_of(plain, st.lists(st.sampled_from(PLAIN), max_size=3)))
@shared
def test_a_document_without_secrets_stays_as_it_is(db: Db, doc: Any) -> None:
    assert mask(db, doc) == doc


@given(depth=st.integers(1, 400), kind=st.sampled_from(["[]", "{}", "both", "text"]), leaf=strings)
@settings(parent=shared, max_examples=40)
def test_depth_raises_only_what_it_should(db: Db, depth: int, kind: str, leaf: str) -> None:
    text = json.dumps(leaf)
    for level in range(depth):
        text = f"[{text}]" if kind in ("[]", "text") or (kind == "both" and level % 2) else f'{{"k": {text}}}'
    if kind == "text":
        text = json.dumps(text)
    try:
        with db.transaction():
            query(db, "select bcp_internal.anonymize_json(%s::jsonb)", text)
    except psycopg.Error as error:
        assert error.sqlstate == "ZB005"  # noqa: PT017
        assert depth > 90


@given(email=emails, other=emails)
@settings(parent=shared, max_examples=40)
def test_equal_people_have_equal_hashes_until_the_key_changes(db: Db, email: str, other: str) -> None:
    first = mask(db, email)
    assert mask(db, [email.upper(), f"<{email}>"]) == [first, f"<{first}>"]
    assert (mask(db, other) == first) == (other.lower() == email.lower())
    with db.transaction(force_rollback=True):
        query(db, "select bcp.rotate_anonymization_key()")
        assert mask(db, email) != first
    assert mask(db, email) == first


@given(doc=documents, limit=st.integers(80, 400))
@shared
def test_cut_documents_fit_and_say_so(db: Db, doc: Any, limit: int) -> None:
    masked = mask(db, doc)
    cut = query(db, "select bcp_internal.truncate_json(%s::jsonb, %s)", json.dumps(masked), limit)
    size = query(db, "select octet_length(%s::jsonb::text)", json.dumps(masked))
    if size <= limit:
        assert cut == masked
    else:
        assert cut["_bytes"] == size
        assert query(db, "select octet_length(%s::jsonb::text)", json.dumps(cut)) <= limit
