"""The last word of a key says what its value is; keys of many languages and protocols are known."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

Db = psycopg.Connection[Any]


def masked(db: Db, document: dict[str, Any]) -> dict[str, Any]:
    row = db.execute("select bcp_internal.anonymize_json(%s)", [Jsonb(document)]).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0]
    return found


@pytest.mark.parametrize(
    "key",
    [
        "token_queue_latency_ms",
        "password_rotation_days",
        "passportPhotoSize",
        "email_open_rate",
        "credit-card-fee",
        "secretsFound",
        "phone_support",
        "private_key_bits",
        "otp_resend_interval",
        "cookie_notice",
        "authorization_amount",
        "time_to_first_token",
        "theme_token",
        "birth_month_format",
        "email_thread_id",
    ],
)
def test_a_harmless_last_word_keeps_the_value(db: Db, key: str) -> None:
    assert masked(db, {key: "vx-17 of it"}) == {key: "vx-17 of it"}


@pytest.mark.parametrize(
    "key",
    [
        "password_old",
        "api_key_prod",
        "password_1",
        "password_text",
        "token_backup",
        "secret_key_admin",
        "dob_date",
        "birth_time",
        "card_exp_month",
        "credit_card_expiry",
        "last_four_digits",
        "token_size_secret",
        "password_for_app",
        "passwordDigest",
        "api_key_digest",
    ],
)
def test_any_other_last_word_masks_it(db: Db, key: str) -> None:
    assert masked(db, {key: "vx-17"}) == {key: "[REDACTED]"}


@pytest.mark.parametrize(
    "key", ["api_key_active", "token_found", "secret_revoked", "client_secret_version", "token_leak"]
)
def test_opaque_text_goes_whatever_the_last_word_says(db: Db, key: str) -> None:
    assert masked(db, {key: "aB3dE5fG7hI9jK1lM3nO5pQ7"}) == {key: "[REDACTED]"}
    for harmless in ("PBKDF2WithHmacSHA512", "2026-11-28T10:00:00Z", "docs/v2/Auth1-a2-B3-settings"):
        assert masked(db, {key: harmless}) == {key: harmless}


@pytest.mark.parametrize(
    "text", ["API key detected: vx17qz9k", "password found: vx17qz9k", "Password leak: vx17qz9k"]
)
def test_a_report_of_what_was_found_does_not_show_it(db: Db, text: str) -> None:
    row = db.execute("select bcp_internal.anonymize_text(%s)", [text]).fetchone()
    assert row == (text.replace("vx17qz9k", "[REDACTED]"),)


@pytest.mark.parametrize(
    "text", ["API keys detected: 0", "passwords found: 12", "Token found: yes", "Secrets found: none"]
)
def test_how_many_were_found_stays(db: Db, text: str) -> None:
    assert db.execute("select bcp_internal.anonymize_text(%s)", [text]).fetchone() == (text,)


@pytest.mark.parametrize("key", ["dob_timestamp", "birth_date_timestamp", "birthday_week", "dateOfBirthMs"])
def test_a_date_of_birth_goes_however_it_is_counted(db: Db, key: str) -> None:
    assert masked(db, {key: 573696000}) == {key: "[REDACTED]"}


@pytest.mark.parametrize("key", ["latitude_deg", "pickup_longitude_value"])
def test_a_small_number_may_be_a_position(db: Db, key: str) -> None:
    db.execute("select bcp.enable_anonymization_pack('names')")
    assert masked(db, {key: 52.520008})[key] != 52.520008


def test_the_last_word_of_a_sentence_says_nothing_about_its_first(db: Db) -> None:
    row = db.execute("select bcp_internal.anonymize_text('password for this order: vx17qz')").fetchone()
    assert row is not None
    assert "vx17qz" not in row[0]


@pytest.mark.parametrize("value", [True, False, 7, 87, 0.42])
def test_yes_no_and_small_numbers_stay_under_a_longer_key(db: Db, value: float) -> None:
    assert masked(db, {"password_zqx": value}) == {"password_zqx": value}
    assert masked(db, {"password": value}) == {"password": "[REDACTED]"}


@pytest.mark.parametrize("key", ["pin", "pin_old", "otp_current", "pin_2", "cvv_given"])
def test_a_number_may_be_the_secret(db: Db, key: str) -> None:
    assert masked(db, {key: 447}) == {key: "[REDACTED]"}


@pytest.mark.parametrize(
    "key",
    [
        "패스워드",
        "验证码",
        "Código de Verificación",
        "klucz_prywatny",
        "پسورد",
        "পাসওয়ার্ড",
        "ngày_sinh",
        "doğum_tarihi",
        "datum_narození",
        "생년",
        "điện_thoại",
        "мобильный",
        "numéro_de_téléphone",
        "卡号",
        "номер_карты",
        "carta_di_credito",
        "chave_pix",
        "ईमेल",
        "email_adresse",
        "saml_response",
        "kerberos_ticket",
        "presigned_url",
        "dockerconfigjson",
        "authorisation",
        "tls_key",
    ],
)
def test_keys_of_many_languages_and_protocols_are_known(db: Db, key: str) -> None:
    assert masked(db, {key: "vx-17"}) == {key: "[REDACTED]"}


@pytest.mark.parametrize(
    "key", ["imię", "Straße", "soyad\u0131", "שם משפחה", "نام خانوادگی", "姓氏", "adószám", "ஆதார்"]
)
def test_keys_of_the_packs_are_known_in_many_languages(db: Db, key: str) -> None:
    db.execute("select bcp.enable_anonymization_pack('names'), bcp.enable_anonymization_pack('national_ids')")
    assert masked(db, {key: "Zyxwv Qrst 17"})[key] != "Zyxwv Qrst 17"
