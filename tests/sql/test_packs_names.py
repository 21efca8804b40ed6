"""The pack of names, addresses and devices finds what it says, and people stay countable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sql.packs import HASH, Db, mask, switched_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target


@pytest.fixture(scope="module")
def names(_server: Target) -> Iterator[Db]:
    with switched_on(_server, "names") as conn:
        yield conn


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
