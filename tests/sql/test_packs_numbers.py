"""The pack of national numbers finds what it says, and people stay countable."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sql.national_numbers import FAMILIES
from tests.sql.packs import HASH, Db, left, mask, switched_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target

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


@pytest.fixture(scope="module")
def numbers(_server: Target) -> Iterator[Db]:
    with switched_on(_server, "national_ids") as conn:
        yield conn


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
