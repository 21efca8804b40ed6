"""The anonymiser: what is personal goes, what is not stays, the same person stays countable."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.sql.anonymizer_corpus import (
    BORN,
    CARD,
    EATEN,
    EMAIL,
    MISSED,
    PASSWORD,
    PHONE,
    PLAIN,
    SECRETS,
    SSN,
    kind_of,
)
from tests.sql.masking import texts

Db = psycopg.Connection[Any]
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "design" / "measurements.md"
TOKEN = re.compile(r"^(?:email|phone|ssn|card|iban)#k\d+#[b-v]{16}$")
INTERNAL = [
    "anonymize_json(jsonb)",
    "anonymize_text(text)",
    "pseudonym(text, text)",
    "hmac_blocks(bytea)",
    "create_anonymization_key()",
    "compile_anonymizer()",
]


def one(db: Db, query: str, *args: Any) -> Any:
    row = db.execute(query, args).fetchone()
    assert row is not None
    return row[0]


def mask(db: Db, doc: Any) -> Any:
    return one(db, "select bcp_internal.anonymize_json(%s::jsonb)", json.dumps(doc))


def mask_text(db: Db, text: str) -> str:
    return str(one(db, "select bcp_internal.anonymize_text(%s)", text))


class Corpus:
    """Documents as they are masked with the rules that a store begins with, each asked for once.

    Several tests look at the same hundreds of documents, and to mask one takes up to a twentieth of a second.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._masked: dict[str, Any] = {}

    def mask(self, docs: list[Any]) -> list[Any]:
        given = [json.dumps(doc) for doc in docs]
        if missing := [text for text in dict.fromkeys(given) if text not in self._masked]:
            with psycopg.connect(self._dsn) as conn:
                for text in missing:  # each by itself, as a single event is
                    self._masked[text] = one(conn, "select bcp_internal.anonymize_json(%s::jsonb)", text)
        return [self._masked[text] for text in given]

    def left_over(self, cases: list[tuple[str, Any, list[str]]]) -> list[tuple[str, list[str], list[str]]]:
        """Return of each case its label, its secrets, and those of them that are still there."""
        masked = map(texts, self.mask([doc for _, doc, _ in cases]))
        return [
            (label, secrets, [secret for secret in secrets if secret in text])
            for (label, _, secrets), text in zip(cases, masked, strict=True)
        ]


@pytest.fixture(scope="module")
def corpus(shared_dsn: str) -> Corpus:
    return Corpus(shared_dsn)


def test_no_secret_of_the_corpus_is_left(corpus: Corpus) -> None:
    leaks = {label: left for label, _, left in corpus.left_over(SECRETS) if left}
    assert not leaks


def test_what_is_known_to_get_through_still_does(corpus: Corpus) -> None:
    """Else it belongs to SECRETS, and out of the list in docs/reference/anonymisation.md."""
    mended = [label for label, secrets, left in corpus.left_over(MISSED) if left != secrets]
    assert not mended


def test_a_document_without_secrets_stays_as_it_is(corpus: Corpus) -> None:
    changed = [(doc, masked) for doc, masked in zip(PLAIN, corpus.mask(PLAIN), strict=True) if masked != doc]
    assert not changed


def test_what_is_known_to_be_masked_without_need_still_is(corpus: Corpus) -> None:
    spared = [doc for doc, masked in zip(EATEN, corpus.mask(EATEN), strict=True) if masked == doc]
    assert not spared


def test_recall_and_precision_are_those_of_the_documentation(corpus: Corpus) -> None:
    total: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for label, secrets, left in corpus.left_over(SECRETS + MISSED):
        total[kind_of(label)] += len(secrets)
        found[kind_of(label)] += len(secrets) - len(left)
    without = PLAIN + EATEN
    kept = sum(masked == doc for doc, masked in zip(without, corpus.mask(without), strict=True))
    rows = [f"| {kind} | {found[kind]} of {total[kind]} |" for kind in total]
    rows.append(f"| all secrets | {found.total()} of {total.total()} ({found.total() / total.total():.1%}) |")
    plain = len(without)
    rows.append(f"| documents without secrets, unchanged | {kept} of {plain} ({kept / plain:.1%}) |")
    secret = [doc for _, doc, _ in SECRETS + MISSED]
    hits = sum(masked != doc for doc, masked in zip(secret, corpus.mask(secret), strict=True))
    changed = hits + plain - kept
    rows.append(f"| changed documents that had a secret | {hits} of {changed} ({hits / changed:.1%}) |")
    print("\n" + "\n".join(rows))  # noqa: T201
    documented = DOCUMENTATION.read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in documented] == []


def test_masking_twice_is_masking_once(corpus: Corpus) -> None:
    once = corpus.mask([doc for _, doc, _ in SECRETS])
    for (label, _, _), masked, again in zip(SECRETS, once, corpus.mask(once), strict=True):
        assert again == masked, label


def test_what_is_not_secret_stays_beside_what_is(db: Db) -> None:
    doc = {
        "reservation": "EHGLP3",
        "email": EMAIL,
        "result": json.dumps({"flight": "HAT156", "dob": BORN, "seats": [1, 2.5]}),
    }
    assert mask(db, doc) == {
        "reservation": "EHGLP3",
        "email": "[REDACTED]",
        "result": '{"dob": "[REDACTED]", "seats": [1, 2.5], "flight": "HAT156"}',
    }


def test_text_round_a_value_stays(db: Db) -> None:
    masked = mask_text(db, f"{EMAIL}, call {PHONE}; card {CARD} (ssn {SSN}) of EHGLP3")
    assert re.fullmatch(
        r"email#k\d#\w{16}, call phone#k\d#\w{16}; card card#k\d#\w{16} \(ssn ssn#k\d#\w{16}\) of EHGLP3",
        masked,
    )


@pytest.mark.parametrize(
    "text",
    [
        "pass\x01word=hunter2",
        "password\x03=hunter2",
        "joe\x02hunter2@example.com",
        "\ufffd".join("password=hunter2"),
        # All characters but one that could mark the places of values, and all.
        "".join(map(chr, range(0xE001, 0xF900))) + " password=hunter2",
        "".join(map(chr, range(0xE000, 0xF900))) + " password=hunter2",
    ],
)
def test_characters_that_nobody_sees_hide_nothing(db: Db, text: str) -> None:
    for masked in (mask_text(db, text), texts(mask(db, {"n": 1, "t": text}))):
        assert "hunter2" not in masked
        assert "hunter2" not in masked.replace("\ufffd", "")


def test_null_in_is_null_out(db: Db) -> None:
    for name, kind in (("json", "jsonb"), ("text", "text"), ("ip", "inet")):
        assert one(db, f"select bcp_internal.anonymize_{name}(null::{kind})") is None


def test_a_payment_id_stays_as_a_key_and_its_value_goes(db: Db) -> None:
    doc = {
        "methods": {"credit_card_1234567": {"last": "4477"}, "gift_card_7654321": {"amount": 5}},
        "used": "credit_card_1234567",
    }
    assert mask(db, doc) == {
        "methods": {"credit_card_1234567": "[REDACTED]", "gift_card_7654321": {"amount": 5}},
        "used": "credit_card_1234567",
    }


def test_a_count_of_tokens_is_no_token_but_a_string_of_them_is(db: Db) -> None:
    doc = {"tokens": 5, "password_of_tokens": 4096}
    assert mask(db, doc) == {"tokens": 5, "password_of_tokens": "[REDACTED]"}
    assert mask(db, {"tokens": ["a", "b"], "token": 123456}) == {
        "tokens": "[REDACTED]",
        "token": "[REDACTED]",
    }


def test_a_json_string_without_secrets_stays_byte_for_byte(db: Db) -> None:
    for text in (
        '{"b":1,  "a":2}',
        ' [1,2 , {"x":null}]\n',
        '{"a":1,"a":1}',
        '"{\\"q\\":  1}"',
        "{}",
        "[",
        '{"a":}',
    ):
        assert mask(db, {"email": "x", "t": text})["t"] == text


def test_keys_that_become_equal_both_stay(db: Db) -> None:
    doc = {"jane@example.com": 1, "JANE@example.com": 2, "jane%40example.com": 3}
    masked = mask(db, doc)
    assert sorted(masked.values()) == [1, 2, 3]
    assert len({key.rsplit("#", 1)[0] if key.count("#") == 3 else key for key in masked}) == 1
    # Also beside what an earlier masking made of them.
    assert sorted(mask(db, masked | {"jane@Example.com": 4}).values()) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("email", "Jane@Example.com", "jane@example.COM"),
        ("phone", "+1 (555) 010-4477", "555.010.4477"),
        ("phone", "+49 30 901820", "0049 30 90 18 20"),
        ("card", "4111 1111 1111 1111", "4111111111111111"),
        ("ssn", "219-09-9999", "219 09 9999"),
        ("iban", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    ],
)
def test_one_value_in_two_forms_has_one_hash(db: Db, kind: str, first: str, second: str) -> None:
    masked = mask(db, {"a": first, "b": f"{second}"})
    assert masked["a"] == masked["b"]
    assert masked["a"].startswith(f"{kind}#k")
    assert TOKEN.match(masked["a"])


def test_two_values_have_two_hashes_and_so_have_two_kinds(db: Db) -> None:
    hashes = [
        one(db, "select bcp_internal.pseudonym(%s, %s)", k, v)
        for k in ("card", "phone")
        for v in ("4155550104477", "4155550104478")
    ]
    assert len({h.split("#")[2] for h in hashes}) == 4


@pytest.mark.parametrize("key", [b"", b"key", b"k" * 64, b"k" * 65, bytes(range(200))])
@pytest.mark.parametrize("message", [b"", b"what do ya want for nothing?", bytes(1000)])
def test_hmac_is_that_of_rfc_2104(db: Db, key: bytes, message: bytes) -> None:
    found = one(
        db,
        "select bcp_internal.hmac_sha256(inner_block, outer_block, %s) from bcp_internal.hmac_blocks(%s)",
        message,
        key,
    )
    assert found == hmac.digest(key, message, hashlib.sha256)


def test_a_hash_is_64_bits_of_the_hmac_of_kind_and_value(db: Db) -> None:
    key = b"known to the test"
    db.execute(
        "update bcp_internal.anonymization_keys k"
        " set inner_block = b.inner_block, outer_block = b.outer_block"
        " from bcp_internal.hmac_blocks(%s) b where k.retired_at is null",
        [key],
    )
    digest = hmac.new(key, b"email:jane@example.com", hashlib.sha256).hexdigest()[:16]
    letters = digest.translate(str.maketrans("0123456789abcdef", "bcdfghjklmnpqrtv"))
    assert mask(db, "Jane@example.com").split("#")[2] == letters


def test_a_new_key_gives_new_hashes_that_say_so(db: Db) -> None:
    before = mask(db, EMAIL)
    key_id = one(db, "select bcp.rotate_anonymization_key()")
    after = mask(db, EMAIL)
    assert before != after
    assert after.startswith(f"email#k{key_id}#")
    assert mask(db, before) == before
    assert one(db, "select count(*) from bcp_internal.anonymization_keys where retired_at is null") == 1
    assert one(db, "select count(distinct inner_block) = count(*) from bcp_internal.anonymization_keys")


@pytest.mark.parametrize("role", ["bcp_reader", "bcp_writer", "bcp_admin"])
def test_no_role_reads_the_keys_or_calls_the_anonymiser(db: Db, role: str) -> None:
    assert not one(
        db,
        "select has_table_privilege(%s, 'bcp_internal.anonymization_keys', 'select, insert, update, delete')",
        role,
    )
    assert not one(
        db,
        "select has_any_column_privilege(%s, 'bcp_internal.anonymization_keys', 'select, update')",
        role,
    )
    for function in INTERNAL:
        assert not one(
            db,
            "select has_function_privilege(%s, %s::regprocedure, 'execute')",
            role,
            f"bcp_internal.{function}",
        ), function


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77/32", "203.0.113.0/24"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
    ],
)
def test_an_address_becomes_its_network(db: Db, address: str, network: str) -> None:
    assert one(db, "select bcp_internal.anonymize_ip(%s::inet)::text", address) == network


def test_addresses_stay_whole_where_the_settings_say_so(db: Db) -> None:
    db.execute(
        "update bcp.settings set value = case name when 'ip_prefix_v4' then '32' else '128' end"
        " where name like 'ip_prefix_v_'"
    )
    assert one(db, "select bcp_internal.anonymize_ip('203.0.113.77')::text") == "203.0.113.77/32"
    assert one(db, "select host(bcp_internal.anonymize_ip('2001:db8::1'))") == "2001:db8::1"


# As JSON the embedded engine's stack takes some 800 levels, in a cast that comes before any function of ours.
@pytest.mark.parametrize(
    ("inside", "levels"),
    [("object", 101), ("object", 500), ("array", 101), ("array", 500), ("string", 101), ("string", 9000)],
)
def test_what_is_nested_too_deep_raises_and_names_no_value(db: Db, inside: str, levels: int) -> None:
    if inside == "object":
        text = '{"password": ' * levels + f'"{PASSWORD}"' + "}" * levels
    elif inside == "array":
        text = "[" * levels + f'"{EMAIL}"' + "]" * levels
    else:
        text = json.dumps({"t": "[" * levels + f'"{EMAIL}"' + "]" * levels})
    if inside == "object":
        text = text.replace("password", "x")
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select bcp_internal.anonymize_json(%s::jsonb)", [text])
    assert caught.value.sqlstate == "ZB005"
    assert "100 levels" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert EMAIL not in str(caught.value)


def test_nesting_up_to_the_limit_is_masked(db: Db) -> None:
    text = "[" * 100 + f'"{EMAIL}"' + "]" * 100
    assert EMAIL not in str(one(db, "select bcp_internal.anonymize_json(%s::jsonb)::text", text))


@pytest.mark.parametrize(
    "breakage",
    [
        "delete from bcp_internal.anonymizer_state",
        "delete from bcp_internal.anonymization_keys",
        "update bcp_internal.anonymizer_rules set pattern = '(' where name = 'phone_international'",
        "update bcp_internal.anonymizer_state set digit_gates = '{(}'",
        # A trigger refuses this value, so disable it first.
        "alter table bcp.settings disable trigger user; update bcp.settings set value = 'many'",
        "drop function bcp_internal.settle_texts",
    ],
)
@pytest.mark.parametrize("call", ["anonymize_json(to_jsonb(%s::text))", "anonymize_text(%s)"])
def test_what_is_broken_raises_and_names_no_value(db: Db, breakage: str, call: str) -> None:
    """Fail closed: no value comes out unmasked, and none comes out in the error."""
    db.execute(breakage)  # type: ignore[call-overload]
    with pytest.raises(psycopg.Error) as caught:
        db.execute(f"select bcp_internal.{call}", [f"my number is {PHONE}"])  # type: ignore[call-overload]
    assert caught.value.sqlstate == "ZB006"
    assert PHONE not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "hint", "validation", "action"),
    [
        ("(", None, "none", "redact"),
        ("x*", None, "none", "redact"),
        ("(a)b", None, "none", "hash"),
        ("(a)(b)(c)", None, "none", "hash"),
        ("abc", "^abc", "none", "redact"),
        ("abc", "", "none", "redact"),
        ("abc", "(?i)abc", "none", "redact"),
        ("a\\nb", "a\\nb", "none", "redact"),
        ("a\\nb", "a\nb", "none", "redact"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(
    db: Db, pattern: str, hint: str | None, validation: str, action: str
) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute(
            "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action)"
            " values ('mine', 5, 'mine', %s, %s, %s, %s)",
            [pattern, hint, validation, action],
        )
    assert caught.value.sqlstate == "ZB006"
    assert "mine" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "hint"), [(None, None), (["ticket-"], None), (None, "ticket-[0-9]"), (["ticket"], "ticket-")]
)
def test_a_team_adds_rules_and_keys(db: Db, words: list[str] | None, hint: str | None) -> None:
    doc = {"t": "see TICKET-4711 please", "loyaltyNumber": "L1", "n": {"loyalty_number": 5}, "plain": "x"}
    assert mask(db, doc) == doc
    db.execute(
        "insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, hint, action)"
        " values ('ticket', 5, 'ticket', 'TICKET-[0-9]+', %s, %s, 'hash')",
        [words, hint],
    )
    db.execute(
        "insert into bcp.sensitive_keys (key_pattern, match_mode) values ('loyaltynumber', 'contains')"
    )
    masked = mask(db, doc)
    assert re.fullmatch(r"see ticket#k\d+#\w{16} please", masked["t"])
    assert masked["loyaltyNumber"] == masked["n"]["loyalty_number"] == "[REDACTED]"
    db.execute("update bcp.anonymization_rules set enabled = false where name = 'ticket'")
    db.execute("delete from bcp.sensitive_keys where key_pattern = 'loyaltynumber'")
    assert mask(db, doc) == doc


def test_without_any_rules_and_keys_everything_stays(db: Db) -> None:
    db.execute("select set_config('bcp.allow_no_rules', pg_current_xact_id()::text, true)")
    db.execute("delete from bcp.anonymization_rules")
    db.execute("delete from bcp.sensitive_key_exceptions")
    db.execute("delete from bcp.sensitive_keys")
    doc = {"password": PASSWORD, "t": EMAIL, "max_tokens": 5, "n": 4111111111111111}
    assert mask(db, doc) == doc


def test_the_requirements_own_patterns_can_be_switched_on(db: Db) -> None:
    ids = {"phone_like": "5550104477", "a": "5550104477", "b": "219099999", "c": "react@18.2.0"}
    masked = mask(db, ids)
    assert (masked["a"], masked["b"], masked["c"]) == ("5550104477", "219099999", "react@18.2.0")
    db.execute("update bcp.anonymization_rules set enabled = true where name like '%_strict'")
    masked = mask(db, ids)
    assert [masked[key].split("#")[0] for key in "abc"] == ["phone", "ssn", "email"]


def test_private_addresses_in_text_are_masked_only_where_switched_on(db: Db) -> None:
    text = "listens on 10.20.30.40, netmask 255.255.255.0"
    assert mask_text(db, text) == text
    db.execute("update bcp.anonymization_rules set enabled = true where name in ('ipv4', 'ipv6')")
    assert re.fullmatch(r"listens on ip#k\d+#\w{16}, netmask ip#k\d+#\w{16}", mask_text(db, text))


@pytest.mark.parametrize("limit", [64, 100, 1000, 5000])
def test_a_document_over_its_limit_says_so_and_fits(db: Db, limit: int) -> None:
    doc = {"n": 'é"\\ ' * 1500, "x": ["a" * 30] * 100}
    cut = one(db, "select bcp_internal.truncate_json(%s::jsonb, %s)", json.dumps(doc), limit)
    text = one(db, "select %s::jsonb::text", json.dumps(doc))
    assert cut["_truncated"] is True
    assert cut["_bytes"] == len(text.encode())
    assert text.startswith(cut["_head"])
    assert one(db, "select octet_length(%s::jsonb::text)", json.dumps(cut)) <= limit
    assert len(cut["_head"].encode()) >= min(limit // 3 - 64, 1000)


def test_a_document_within_its_limit_stays(db: Db) -> None:
    assert one(db, "select bcp_internal.truncate_json('{\"a\": 1}', 8)") == {"a": 1}
    assert one(db, "select bcp_internal.truncate_json(null, 8)") is None
    assert one(db, "select bcp_internal.truncate_text('12345678', 8)") == "12345678"


@pytest.mark.parametrize("limit", [40, 100, 999])
def test_text_over_its_limit_says_so_and_fits(db: Db, limit: int) -> None:
    text = "wörter über wörter " * 200
    cut = str(one(db, "select bcp_internal.truncate_text(%s, %s)", text, limit))
    head, _, mark = cut.partition(" [TRUNCATED ")
    assert text.startswith(head)
    assert mark == f"{len(text.encode())} bytes]"
    assert len(cut.encode()) <= limit


def test_a_cut_leaves_no_half_of_a_number(db: Db) -> None:
    """Twenty digits are no card, but sixteen of them may be."""
    cut = one(db, "select bcp_internal.truncate_text(%s, 60)", "number 41111111111111111111 " * 10)
    assert "4111111111111111111 " not in cut
    assert mask_text(db, cut) == cut


def test_masked_and_cut_documents_stay_when_masked_again(db: Db) -> None:
    doc = {"a": [{"email": EMAIL, "t": f"{CARD} {PHONE}"}] * 50}
    cut = one(
        db, "select bcp_internal.truncate_json(bcp_internal.anonymize_json(%s::jsonb), 700)", json.dumps(doc)
    )
    assert mask(db, cut) == cut
