"""Packs of the anonymiser: off they change nothing, on they find what they say, and people stay countable."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from bcp_analytics import upkeep
from bcp_analytics.errors import InvalidArgument
from tests.sql.events import ingest, rows, usage
from tests.sql.national_numbers import FAMILIES

Db = psycopg.Connection[Any]
HASH = re.compile(r"[a-z]+#k\d+#[b-v]{16}")
# Families whose check digits are right by chance in one of ten numbers or fewer, found inside of text.
CHECKED = [
    "brazil cpf written",
    "brazil cnpj",
    "chile rut",
    "poland nip",
    "czechia rodne cislo",
    "spain nie",
    "italy codice fiscale",
    "france insee",
    "belgium rijksregister",
    "switzerland ahv",
    "russia snils",
    "china id",
    "singapore nric",
    "mexico curp",
]
# Too weak a form to look for inside of text: nine or ten digits.
ALONE = {"australia tfn", "netherlands bsn", "portugal nif", "england nhs"}


def mask(db: Db, doc: Any) -> Any:
    row = db.execute("select bcp_internal.anonymize_json(%s::jsonb)", [json.dumps(doc)]).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def names(db: Db) -> Db:
    assert upkeep.enable_anonymization_pack(db, "names")
    return db


@pytest.fixture
def numbers(db: Db) -> Db:
    assert upkeep.enable_anonymization_pack(db, "national_ids")
    return db


def left(masked: Any, values: list[str]) -> list[str]:
    return [value for value in values if value in json.dumps(masked, ensure_ascii=False)]


def test_packs_are_off_until_asked_for_and_on_until_switched_off(db: Db) -> None:
    doc = {"surname": "Roe", "city": "Salem", "gender": "f", "cpf": "295.379.955-93", "t": "Dear Jane Roe"}
    assert mask(db, doc) == doc
    assert upkeep.enable_anonymization_pack(db, "national_ids")
    assert not upkeep.enable_anonymization_pack(db, "national_ids")
    assert left(mask(db, doc), list(doc.values())) == ["Roe", "Salem", "f", "Dear Jane Roe"]
    assert upkeep.disable_anonymization_pack(db, "national_ids")
    assert not upkeep.disable_anonymization_pack(db, "national_ids")
    assert mask(db, doc) == doc


@pytest.mark.parametrize("name", ["name", "", "Names", "national-ids"])
def test_a_pack_that_is_none_says_which_there_are(db: Db, name: str) -> None:
    for change in (upkeep.enable_anonymization_pack, upkeep.disable_anonymization_pack):
        with pytest.raises(InvalidArgument) as caught, db.transaction():
            change(db, name)
        cause = caught.value.__cause__
        assert isinstance(cause, psycopg.Error)
        assert cause.sqlstate == "ZB002"
        assert "names, national_ids" in str(cause.diag.message_hint)


def test_only_an_admin_switches_packs(db: Db) -> None:
    for role in ("bcp_writer", "bcp_reader", "bcp_admin"):
        with db.transaction(force_rollback=True):
            db.execute(f"set local role {role}")
            if role == "bcp_admin":
                assert upkeep.enable_anonymization_pack(db, "national_ids")
                assert upkeep.disable_anonymization_pack(db, "national_ids")
            else:
                with pytest.raises(InsufficientPrivilege), db.transaction():
                    upkeep.enable_anonymization_pack(db, "national_ids")


def test_health_lists_the_packs(db: Db) -> None:
    query = "select status, value, detail from bcp.health() where check_name = 'packs'"
    assert db.execute(query).fetchall() == [("ok", "0", "names is off, national_ids is off")]
    upkeep.enable_anonymization_pack(db, "national_ids")
    assert db.execute(query).fetchall() == [("ok", "1", "names is off, national_ids is on")]


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_of_every_family_are_found(numbers: Db, family: str) -> None:
    rng = random.Random(family)  # noqa: S311
    values = [FAMILIES[family](rng) for _ in range(40)]
    assert left(mask(numbers, values), values) == []
    if family not in ALONE:
        assert left(mask(numbers, [f"the number {value} of a customer" for value in values]), values) == []


@pytest.mark.parametrize("family", CHECKED)
def test_numbers_with_a_wrong_check_digit_stay(numbers: Db, family: str) -> None:
    rng = random.Random(family)  # noqa: S311
    stayed = 0
    for _ in range(40):
        value = FAMILIES[family](rng)
        places = [i for i, c in enumerate(value) if c.isdigit()]
        place = rng.choice(places)
        wrong = value[:place] + str((int(value[place]) + 1) % 10) + value[place + 1 :]
        text = f"the number {wrong} of a part"
        stayed += "nationalid#" not in mask(numbers, text)
    # A wrong digit may be a right number of another country, and not every check sees every digit.
    assert stayed >= 32


@pytest.mark.parametrize(
    "text",
    [
        "passport no. 515122347",
        "Passport C4XV71T09 expired",
        "driver's license number: D5671234",
        "account 845127730091",
        "NI number AB123456C",
        "Reisepass C4XV71T09",
        "permis de conduire 880692310285",
        "tax id 912-77-1234",
        "Aadhaar: 412356789012",
        "身份证号: 110101199003071233",
        "паспорт 4510 123456",
        "マイナンバー: 123456789018",
        "medicare card 2123456701",
    ],
)
def test_a_number_after_a_word_that_says_so_is_found(numbers: Db, text: str) -> None:
    masked = mask(numbers, text)
    assert not re.search(r"[0-9]{4}", HASH.sub("", masked)), masked
    assert HASH.search(masked)


@pytest.mark.parametrize(
    "doc",
    [
        "253c8551-0048-4776-8131-dae7ba230b0e",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "order 12345678901 of 2024-05-17, 1716239022000",
        {"ms": "1716239022000", "us": "1716239022000123", "ns": "1716239022000123456"},
        "0.1234 0.5678, RFC 2104, ISO 8601, part 1234-56-7890",
        "passport required, account 12 of 40, license MIT",
        "https://example.com/users/12345678901/orders?offset=20",
        {"rfc": "RFC 2104", "pan": 30, "sin": 0.5, "fin": "end", "license": "Apache-2.0", "tint": "blue"},
    ],
)
def test_ids_times_and_words_stay(numbers: Db, doc: Any) -> None:
    assert mask(numbers, doc) == doc


@pytest.mark.parametrize(
    "key",
    [
        "nino", "ni_number", "nationalId", "id_number", "idNumber", "identity_card", "governmentId",
        "aadhaar_no",
        "panNumber", "cpf", "CNPJ", "curp", "nif", "customer_nie", "rut", "steuer_id", "steuerId",
        "Steuernummer",
        "codice_fiscale", "codiceFiscale", "insee", "nir", "cpr", "bsn", "pesel", "dni", "personnummer",
        "sozialversicherungsnummer", "numero_fiscal", "numeroDocumento", "carteira_de_identidade",
        "rijbewijs",
        "passport_no", "licence_no", "license-number", "medicare", "mrn", "visaNumber", "green_card",
        "tckn",
        "身份证", "身份证号码", "护照号码", "個人番号", "マイナンバー", "주민등록번호", "снилс", "паспорт",
        "номер_паспорта", "رقم_الهوية", "आधार",
    ],
)  # fmt: skip
def test_a_key_that_names_a_national_number(numbers: Db, key: str) -> None:
    masked = mask(numbers, {key: "QX-77-K1"})
    assert masked[key] != "QX-77-K1"


NAMES = [
    "surname", "full_name", "fullName", "first_name", "lastName", "middle_name", "family_name", "givenName",
    "name", "customer_name", "patientName", "holder", "holder_name", "nickname", "vorname", "Nachname",
    "nom", "prénom", "apellido", "nombre", "cognome", "sobrenome", "achternaam", "姓名", "客户姓名", "氏名",
    "お名前", "имя", "фамилия", "Отчество", "الاسم", "नाम", "이름",
]  # fmt: skip
ADDRESSES = [
    "address", "street", "street_address", "address1", "addressLine2", "city", "zip", "zipcode", "postcode",
    "postal_code", "billing_address", "shippingAddress", "strasse", "plz", "code_postal", "ciudad",
    "indirizzo",
    "endereco", "woonplaats", "地址", "住所", "адрес", "العنوان", "पता",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "key"), [("name", k) for k in NAMES] + [("address", k) for k in ADDRESSES])
def test_a_name_or_an_address_becomes_a_hash_that_counts(names: Db, kind: str, key: str) -> None:
    masked = mask(names, [{key: "Jane Roe"}, {key: "Jane Roe"}, {key: "Ada Roe"}])
    values = [doc[key] for doc in masked]
    assert values[0] == values[1] != values[2]
    assert all(re.fullmatch(kind + r"#k\d+#[b-v]{16}", value) for value in values)


@pytest.mark.parametrize(
    ("kind", "doc"),
    [
        ("geo", {"latitude": 52.520008, "longitude": "13.404954"}),
        ("ip", {"x-forwarded-for": "10.1.2.3", "client_ip": "192.168.1.2"}),
        (
            "device",
            {"mac": "00:1A:2B:3C:4D:5E", "macAddress": "x-1", "imei": "1", "idfa": "x-2", "device_id": "x-3"},
        ),
        ("vehicle", {"vin": "X1", "licensePlate": "B-AB 12"}),
    ],
)
def test_where_and_with_what_somebody_is_becomes_a_hash(names: Db, kind: str, doc: dict[str, Any]) -> None:
    assert {value.split("#")[0] for value in mask(names, doc).values()} == {kind}


@pytest.mark.parametrize(
    "key",
    [
        "gender", "sex", "religion", "marital_status", "ethnicity", "sexualOrientation", "union_member",
        "political_party", "medication", "diagnosis", "blood_type", "Geschlecht", "Familienstand", "sexe",
        "estado_civil", "gruppo_sanguigno", "geloof", "性别", "宗教", "血液型", "национальность",
        "الجنس", "धर्म",
    ],
)  # fmt: skip
def test_what_is_private_as_such_is_not_even_hashed(names: Db, key: str) -> None:
    assert mask(names, {key: "x-17"}) == {key: "[REDACTED]"}


@pytest.mark.parametrize(
    "doc",
    [
        {
            "file_name": "Jane",
            "tool_name": "search",
            "class_name": "Big Red",
            "bcp_name": "mail",
            "hostname": "a",
        },
        {"name": "read_file", "names": ["x.py"]},
        {"name": "getWeather", "version": "1"},
        {"name": "/usr/bin/env"},
        {"placeholder": "Your text", "holders": 3, "capacity": 5, "velocity": 2, "zip_file": "a.zip"},
        {"address": "0x7ffee4", "token_address": "abc-1"},
        {"address": "tcp://db.example:5432"},
        {"machine": "x", "sextant": 1, "stock": "y", "macro": "z"},
    ],
)
def test_things_keep_their_names(names: Db, doc: Any) -> None:
    assert mask(names, doc) == doc


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Mr. John Appleseed called", "Appleseed"),
        ("Dear Jane Roe, your order", "Jane Roe"),
        ("my name is Ada Byron", "Ada Byron"),
        ("Frau Müller-Lüdenscheidt war da", "Müller"),
        ("Mme Hélène de la Tour", "Hélène"),
        ("me llamo José García", "José"),
        ("listens on 10.20.30.40", "10.20.30.40"),
    ],
)
def test_names_in_text_where_a_word_says_so(names: Db, text: str, gone: str) -> None:
    masked = mask(names, text)
    assert gone not in masked
    assert HASH.search(masked)


@pytest.mark.parametrize(
    "text", ["Dear Customer, hello", "Hello World", "Dr. no", "the MS Word file", "version 1.2.3.4"]
)
def test_greetings_without_a_name_stay(names: Db, text: str) -> None:
    assert mask(names, text) == text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("295.379.955-93", "29537995593"),
        ("Y7654321G", "y-7654321-g"),
        ("2 79 03 69 123 456 59", "279036912345659"),
    ],
)
def test_one_number_has_one_hash_under_a_key_and_in_text(numbers: Db, first: str, second: str) -> None:
    masked = mask(numbers, {"national_id_number": first, "id_number": second, "t": first})
    assert masked["id_number"] == masked["t"]


def test_a_pack_reaches_stored_rows_by_late_masking(clean_db: psycopg.Connection[Any]) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    ingest(clean_db, [usage(start_time=at.isoformat(), parameters={"cpf": "295.379.955-93"})])
    query = "select parameters::text as p from bcp.tool_usage_logs"
    upkeep.anonymize_history(clean_db)
    assert "295.379" in rows(clean_db, query)[0]["p"]
    upkeep.enable_anonymization_pack(clean_db, "national_ids")
    upkeep.anonymize_history(clean_db)
    assert "295.379" not in rows(clean_db, query)[0]["p"]
