"""Values whose label is set apart, settings of programs, keys of services, and what is no value."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

Db = psycopg.Connection[Any]


def masked(db: Db, text: str) -> str:
    row = db.execute("select bcp_internal.anonymize_text(%s)", [text]).fetchone()
    assert row is not None
    found: str = row[0]
    return found


@pytest.mark.parametrize(
    "text",
    [
        "Senha: \u00ab vx17qz \u00bb",
        "Mot de passe : \u2039 vx17qz \u203a",
        "Token: &quot;vx17qz&quot;",
        "Password: &#39;vx17qz&#39;",
        "Passcode&#9;vx17qz",
        "<p>PIN: <mark>vx17qz</mark></p>",
        "Change \u201cPassword\u201d to \u201cvx17qz\u201d",
        "this is the token you wanted: vx17qz",
        "The passcode will be vx17qz from Monday",
        "Backup codes:\n- vx17qz\n- ab12-cd34\n",
        "{|\n! Token\n| vx17qz\n|}",
        "winexe -U bob%vx17qz //host dir",
        "poetry config http-basic.mine bob vx17qz",
        "doctl auth init --access-token vx17qz",
        "proxy_set_header X-Auth-Token vx17qz;",
        'RequestHeader set X-Api-Key "vx17qz"',
        "stats auth bob:vx17qz",
        "cache_peer proxy parent 3128 0 login=bob:vx17qz",
        "key 3 md5 vx17qz",
        "b7 LOGIN bob vx17qz",
        "/msg NickServ IDENTIFY vx17qz",
        "setattr(user, 'api_key', 'vx17qz')",
        "DB_PASSWORD ?= vx17qz",
        "echo vx17qz | gh secret set TOKEN",
        "imp bob/vx17qz@orcl",
        "exp bob/vx17qz file=all.dmp",
        "impdp bob/vx17qz",
        "The password will be ab12cd34<br>password is vx17qz",
        "the code you want: ab12cd34<br>--password vx17qz",
        "user bob pass ab12cd34<br>--password vx17qz",
        "암호: vx17qz",
        "暗号化キー: vx17qz",
    ],
)
def test_a_value_goes(db: Db, text: str) -> None:
    assert "vx17qz" not in masked(db, text)


@pytest.mark.parametrize(
    "key",
    [
        "signkey-prod-" + "0f" * 32,
        "mlsn." + "a1" * 32,
        "tgp_v1_" + "Ab1" * 14,
        "wandb_v1_" + "Zx9" * 20,
        "SWMTKN-1-" + "a1b2" * 12 + "-" + "c3d4" * 6,
    ],
)
def test_a_key_of_a_service_goes(db: Db, key: str) -> None:
    assert key not in masked(db, f"take {key} for it")


@pytest.mark.parametrize("name", ["testid", "elementId", "slot", "entity"])
def test_a_name_apart_from_its_value_tells_of_it(db: Db, name: str) -> None:
    row = db.execute(
        "select bcp_internal.anonymize_json(%s)", [Jsonb({name: "password", "value": "vx17qz"})]
    ).fetchone()
    assert row == ({name: "password", "value": "[REDACTED]"},)


@pytest.mark.parametrize(
    "text",
    [
        'let token = std::env::var("TOKEN")?;',
        "$token = $_GET['token'];",
        "$pin = $request->input('pin');",
        "if password == stored_password:",
        "password = Column(String(40), nullable=False)",
        "token: Optional[str] = Field(default=None)",
        "auth=(user, password)",
        "password: !Sub '${DbPassword}'",
        "Email: queued",
        "Password: never expires",
        "echo done | tee log of secrets",
        "echo hello | docker secret ls",
        "lim exp x/y for x > 0",
        "imp core/utils",
        "select * from xau_usd_exchange_rate_2024",
        "GET http://mfa.authentication-service.internal/",
        "npg_something_long_table_name",
        "암호화: AES",
        "暗号化方式: AES256",
        "signature: 2026-01-15",
    ],
)
def test_what_only_looks_like_a_value_stays(db: Db, text: str) -> None:
    assert masked(db, text) == text
