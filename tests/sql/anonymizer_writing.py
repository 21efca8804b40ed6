# ruff: noqa: RUF001 (characters that are taken for others are what this is about)
"""A generated corpus: every value in every writing, every label in every form, names apart from values.

All made up. Each kind has what must go; `STAYS` has what reads alike and must stay.
"""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "tr0ub4dor-Kx9"
EMAIL = "jane.roe@example.com"
CARD, SSN, PHONE = "4111 1111 1111 1111", "219-09-9999", "555-010-4477"
GROUPS = [("4111", "1111", "1111", "1111"), ("219", "09", "9999"), ("555", "010", "4477")]

# The zeros of scripts, nine digits after each: Arabic, Persian, N'Ko, Indian and Asian scripts, mathematical.
ZEROS = [
    0x660,
    0x6F0,
    0x7C0,
    0x966,
    0x9E6,
    0xA66,
    0xAE6,
    0xB66,
    0xBE6,
    0xC66,
    0xCE6,
    0xD66,
    0xE50,
    0xED0,
    0xF20,
    0x1040,
    0x17E0,
    0x1810,
    0x19D0,
    0x1B50,
    0xA620,
    0xAA50,
    0xFF10,
    0x104A0,
    0x11066,
    0x1D7CE,
    0x1D7F6,
    0x1E950,
]
CIRCLED = ["⓪①②③④⑤⑥⑦⑧⑨", "⓿❶❷❸❹❺❻❼❽❾", "⁰¹²³⁴⁵⁶⁷⁸⁹", "₀₁₂₃₄₅₆₇₈₉"]
BLANKS = "\u00a0\u1680\u2003\u2009\u200a\u2028\u202f\u205f\u3000\u0085"
DASHES = "\u02d7\u05be\u1806\u2010\u2011\u2012\u2013\u2014\u2212\u2e3a\u30fc\u301c\ufe58\ufe63\uff0d"
DOTS = "\u00b7\u2022\u2024\u2027\u30fb\u22c5"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u2063\u0336\u20e3\ufe0f\u0090"
ENTITIES = ["&#8209;", "&#x2011;", "&ndash;", "&hyphen;", "&nbsp;", "&#160;", "&thinsp;"]
ENCODED = ["%E2%80%91", "%e2%80%93", "%C2%A0", "%20", "%2D", "+"]

LABELS = ["Password", "API key", "Access token", "Passwort", "Contraseña", "パスワード", "пароль"]
FORMS = [
    "**{l}:** {v}",
    "**{l}**: {v}",
    "*{l}*: {v}",
    "__{l}__: {v}",
    "- {l}: `{v}`",
    "> **{l}:** `{v}`",
    "🔑 **{l}** `{v}`",
    "### {l}\n{v}",
    "{l}\n---\n{v}",
    "{l}\n====\n\n`{v}`",
    "{l}\n: {v}",
    "{l} :: {v}",
    "{l} => {v}",
    "{l} → {v}",
    "| {l} | {v} |",
    "| User | {l} |\n|---|---|\n| jane | {v} |",
    "user,{l}\njane,{v}",
    "user\t{l}\njane\t{v}",
    "<b>{l}:</b> {v}",
    "<li>{l}: <code>{v}</code></li>",
    "<td>{l}</td><td>{v}</td>",
    "<dt>{l}</dt><dd>{v}</dd>",
    '<tr><td>{l}:</td>\n<td><span class="x">{v}</span></td></tr>',
    "{l} [required]: {v}",
    "{l} (8 or more): {v}",
    "&quot;{l}&quot;: &quot;{v}&quot;",
    "{l}%3D{v}",
    "your {l} is {v}",
    "{l}[]={v}",
    "{l}:\n```\n{v}\n```",
]
# A name in one member and its value in another.
APART: list[Any] = [
    {"detail": [{"loc": ["body", "password"], "msg": "too short", "input": PASSWORD}]},
    {"instancePath": "/user/password", "data": PASSWORD},
    {"path": ["user", "apiKey"], "value": PASSWORD},
    {"path": "user.password", "kind": "minlength", "value": PASSWORD},
    {"key": "password", "old": "x1", "new": PASSWORD},
    {"attribute": "secret", "before": PASSWORD, "after": PASSWORD},
    {"field": "password", "received": PASSWORD},
    {"prompt": "Password:", "response": PASSWORD},
    {"q": "Password", "a": PASSWORD},
    {"aria-label": "Password", "value": PASSWORD},
    {"xpath": "//input[@id='password']", "value": PASSWORD},
    {"css": "input#password", "keys": PASSWORD},
    {"ParameterKey": "DBPassword", "ParameterValue": PASSWORD},
    {"OptionName": "password", "OptionValue": PASSWORD},
    {"header_name": "Authorization", "header_value": PASSWORD},
    {
        "t": "1 validation error for Login\nuser.password\n"
        f"  too short [type=x, input_value='{PASSWORD}', input_type=str]"
    },
    {"t": f"[{{'type': 'x', 'loc': ('password',), 'msg': 'too short', 'input': '{PASSWORD}'}}]"},
]
KEYS = [
    "adminpw",
    "keystorepass",
    "REDISCLI_AUTH",
    "snmp_community",
    "openai_key",
    "STRIPE_KEY",
    "anthropicKey",
    "geheim",
    "zugangsdaten",
    "segredo",
    "jeton",
    "κωδικός",
    "токен",
    "令牌",
    "トークン",
    "토큰",
    "clé_api",
    "chave_api",
]
SEED = "abandon ability able about above absent absorb abstract absurd abuse access accident"


def in_digits(text: str, digits: str) -> str:
    return "".join(digits[int(c)] if c.isdecimal() else c for c in text)


def writings() -> Iterator[tuple[str, str]]:  # noqa: C901 - a list, written as loops
    """Yield each value in each writing, by kind."""
    for zero in ZEROS:
        for value in (CARD.replace(" ", ""), SSN, PHONE):
            yield "digits of other scripts", in_digits(value, "".join(chr(zero + n) for n in range(10)))
    for digits in CIRCLED:
        for value in (CARD.replace(" ", ""), SSN):
            yield "digits in circles and above the line", in_digits(value, digits)
    for kind, between in (
        ("other blanks", BLANKS),
        ("other dashes", DASHES),
        ("other dots", DOTS),
        ("entities between digits", ENTITIES),
        ("percent-encoded between digits", ENCODED),
    ):
        for one in between:
            for group in GROUPS:
                yield kind, one.join(group)
    for one in INVISIBLE:
        for value in (CARD, SSN, PHONE, EMAIL):
            yield "invisible characters", one.join(value)
    for value in (CARD, SSN, PHONE, EMAIL):
        yield "percent-encoded", quote(value, safe="")
        yield "percent-encoded", "".join(f"%{ord(c):02x}" for c in value)
        yield "percent-encoded", quote(quote(value, safe=""), safe="")
        yield "entities", "".join(f"&#{ord(c)};" for c in value)
        yield "entities", "".join(f"&#x{ord(c):x};" for c in value)
        yield "wide forms", "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)


def must_go() -> Iterator[tuple[str, Any, str]]:
    """Yield kind, document, and what may not be left in it."""
    for kind, text in writings():
        yield kind, {"t": f"see {text} now"}, text
    for label in LABELS:
        for form in FORMS:
            yield "labels", {"t": form.format(l=label, v=PASSWORD)}, PASSWORD
        yield "percent-encoded labels", {"t": "q=" + quote(f"{label}: {PASSWORD}", safe="")}, "Kx9"
        yield "entities in labels", {"t": html.escape(f'"{label}": "{PASSWORD}"')}, PASSWORD
    for doc in APART:
        yield "names apart from values", doc, PASSWORD
        yield "names apart from values", {"json": json.dumps(doc)}, PASSWORD
    for key in KEYS:
        yield "keys", {key: PASSWORD}, PASSWORD
        yield "keys", {"t": f"{key}={PASSWORD}"}, PASSWORD
    for form in ("mnemonic: {}", "Seed phrase: {}", "recovery phrase is {}", "**Secret words:** {}"):
        yield "seed phrases", {"t": form.format(SEED)}, "ability"


STAYS: list[Any] = [
    "Grüße aus München – 12–15 Uhr, 3·4 = 12, 1·5 m",
    "サーバー 1〜2 台、コーヒー",
    "२०२४-०५-१७ ١٠:٠٠",
    "100%C3%A9 %E2%98%83 &hellip;",
    "%ff%fe %C3%28",
    "&#99999999; &#55296; &#x110000; &#0;",
    "Nguyễn Văn A đến",
    "a&b=c&d; 100% sure & 50%",
    "if token == NULL: return",
    "let token = await getToken();",
    "password = getpass.getpass()",
    "Token::new(input)",
    "password :: String",
    "password_hash_algorithm: bcrypt",
    "the **password** `field` is required",
    "Password (optional)",
    "password[0] is required",
    "Secret::from_env()",
    "seed words are chosen at random from a list of many words",
    {"pin_color": "red"},
    {"path": "tokens.colors.red", "value": "#ff0000"},
    {"path": "/srv/secrets/a.txt", "value": "x"},
    {"loc": ["body", "limit"], "msg": "not a number", "input": "ten"},
    {"name": "limit", "old": 5, "new": 10},
    {"q": "select 1", "a": "one"},
    {"css": "div.title", "keys": "Enter"},
    {"name": "read_file", "input": "a.txt"},
    {"stripe_key_count": 2},
    {"aws_key_name": "main"},
    {"instancePath": "/limit", "data": 5},
]
