"""Keys of services: each family goes wherever it stands, and ids that only look alike stay."""

from __future__ import annotations

import base64
import random
import re
import string
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.sql.masking import mask_all

Db = psycopg.Connection[Any]
SEALED = "[REDACTED]"
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
ALNUM = string.ascii_letters + string.digits
WORD = ALNUM + "_-"
B64 = ALNUM + "+/"

# Beginnings and ends are put together at run time, so that no scanner takes this file for a leak: a family is
# its pieces, each a text or (alphabet, length).
FAMILIES: dict[str, list[str | tuple[str, int]]] = {
    "openai": ["sk" + "-proj-", (WORD, 74)],
    "openai service account": ["sk" + "-svcacct-", (WORD, 74)],
    "openai old": ["sk" + "-", (ALNUM, 48)],
    "anthropic": ["sk" + "-ant-api03-", (WORD, 93), "AA"],
    "anthropic admin": ["sk" + "-ant-admin01-", (WORD, 93), "AA"],
    "openrouter": ["sk" + "-or-v1-", (HEX, 64)],
    "deepseek": ["sk" + "-", (HEX, 32)],
    "litellm": ["sk" + "-", (WORD, 40)],
    "github": ["gh" + "p_", (ALNUM, 36)],
    "github user": ["gh" + "u_", (ALNUM, 36)],
    "github fine-grained": ["github" + "_pat_", (ALNUM, 22), "_", (ALNUM, 59)],
    "gitlab": ["gl" + "pat-", (WORD, 20)],
    "gitlab routable": ["gl" + "pat-", (WORD, 27), ".01.", (HEX, 9)],
    "gitlab pipeline trigger": ["gl" + "ptt-", (HEX, 40)],
    "gitlab feed": ["gl" + "ft-", (WORD, 20)],
    "gitlab scim": ["gl" + "soat-", (WORD, 20)],
    "gitlab agent": ["gl" + "agent-", (WORD, 50)],
    "gitlab runner": ["GR" + "1348941", (WORD, 20)],
    "aws": ["AK" + "IA", (UPPER, 16)],
    "aws role": ["AR" + "OA", (UPPER, 16)],
    "aws user": ["AI" + "DA", (UPPER, 16)],
    "aws bedrock": ["AB" + "SK", (B64, 110)],
    "google api": ["AI" + "zaSy", (WORD, 33)],
    "google oauth": ["ya" + "29.", (WORD, 80)],
    "google refresh": ["1/" + "/0", (WORD, 60)],
    "google client": ["GOC" + "SPX-", (WORD, 28)],
    "slack": ["xox" + "b-", ("0123456789", 12), "-", ("0123456789", 12), "-", (ALNUM, 24)],
    "slack config": ["xoxe" + ".xoxp-1-", (ALNUM, 100)],
    "slack app": ["xa" + "pp-1-A", (UPPER, 10), "-", ("0123456789", 13), "-", (HEX, 64)],
    "slack cookie": ["xox" + "d-", (ALNUM, 60), "%2B", (ALNUM, 20)],
    "stripe": ["sk" + "_live_", (ALNUM, 24)],
    "stripe restricted": ["rk" + "_test_", (ALNUM, 99)],
    "stripe webhook": ["wh" + "sec_", (ALNUM, 32)],
    "twilio": ["S" + "K", (HEX, 32)],
    "twilio account": ["A" + "C", (HEX, 32)],
    "mailgun": ["ke" + "y-", (HEX, 32)],
    "mailgun signing": [(HEX, 32), "-", (HEX, 8), "-", (HEX, 8)],
    "sendgrid": ["S" + "G.", (WORD, 22), ".", (WORD, 43)],
    "mailchimp": [(HEX, 32), "-us", ("123456789", 2)],
    "brevo": ["xkey" + "sib-", (HEX, 64), "-", (ALNUM, 16)],
    "pypi": ["pypi" + "-AgEIcHlwaS5vcmc", (WORD, 80)],
    "npm": ["np" + "m_", (ALNUM, 36)],
    "rubygems": ["ruby" + "gems_", (HEX, 48)],
    "nuget": ["oy" + "2", (string.ascii_lowercase + string.digits, 43)],
    "hugging face": ["h" + "f_", (ALNUM, 34)],
    "hugging face organisation": ["api" + "_org_", (ALNUM, 34)],
    "digitalocean": ["do" + "o_v1_", (HEX, 64)],
    "square": ["EA" + "AA", (WORD, 60)],
    "square oauth": ["sq0" + "csp-", (WORD, 43)],
    "facebook": ["EA" + "AC", (ALNUM, 120)],
    "linear": ["lin" + "_api_", (ALNUM, 40)],
    "notion": ["nt" + "n_", ("0123456789", 11), (ALNUM, 35)],
    "notion old": ["secr" + "et_", (ALNUM, 43)],
    "airtable": ["pa" + "t", (ALNUM, 14), ".", (HEX, 64)],
    "atlassian": ["ATA" + "TT3xFfGF0", (WORD, 180), "=", (UPPER, 8)],
    "bitbucket": ["AT" + "BB", (ALNUM, 32)],
    "bitbucket data center": ["BB" + "DC-", (ALNUM, 44)],
    "cloudflare origin": ["v1" + ".0-", (HEX, 24), "-", (HEX, 146)],
    "cloudflare": ["cf" + "ut_", (ALNUM, 48)],
    "databricks": ["da" + "pi", (HEX, 32)],
    "dropbox": ["s" + "l.", (WORD, 135)],
    "dropbox user": ["s" + "l.u.", (WORD, 135)],
    "dynatrace": ["dt0" + "c01.", (UPPER, 24), ".", (UPPER, 64)],
    "figma": ["fi" + "gd_", (WORD, 43)],
    "fly": ["fm" + "2_", (B64, 120)],
    "fly old": ["fo" + "1_", (WORD, 43)],
    "grafana cloud": ["gl" + "c_", (B64, 80)],
    "grafana service": ["gl" + "sa_", (ALNUM, 32), "_", (HEX, 8)],
    "grafana old": ["ey" + "JrIjoi", (ALNUM, 80)],
    "vault": ["hv" + "s.", (WORD, 95)],
    "vault batch": ["hv" + "b.", (WORD, 138)],
    "vault old": ["s" + ".", (ALNUM, 24)],
    "terraform": [(ALNUM, 14), ".atlas" + "v1.", (WORD, 67)],
    "infracost": ["ic" + "o-", (ALNUM, 32)],
    "launchdarkly": ["ap" + "i-", "uuid"],
    "launchdarkly mobile": ["mo" + "b-", "uuid"],
    "langfuse": ["pk" + "-lf-", "uuid"],
    "hubspot": ["pat" + "-na1-", "uuid"],
    "heroku": ["HR" + "KU-AA", (WORD, 58)],
    "plaid": ["access" + "-sandbox-", "uuid"],
    "mapbox": ["p" + "k.ey", "J1", (ALNUM, 60), ".", (WORD, 22)],
    "new relic": ["NR" + "AK-", (UPPER, 27)],
    "new relic browser": ["NR" + "JS-", (HEX, 19)],
    "new relic license": [(HEX, 32), "FFFF" + "NRAL"],
    "groq": ["gs" + "k_", (ALNUM, 52)],
    "xai": ["xa" + "i-", (ALNUM, 80)],
    "elevenlabs": ["sk" + "_", (HEX, 48)],
    "tavily": ["tv" + "ly-dev-", (ALNUM, 32)],
    "langsmith": ["ls" + "v2_sk_", (HEX, 32), "_", (HEX, 10)],
    "perplexity": ["pp" + "lx-", (ALNUM, 48)],
    "cerebras": ["cs" + "k-", (ALNUM, 48)],
    "fireworks": ["f" + "w_", (ALNUM, 24)],
    "together": ["tg" + "p_v1_", (ALNUM, 43)],
    "replicate": ["r" + "8_", (ALNUM, 37)],
    "cohere": ["c" + "o_", (ALNUM, 40)],
    "nvidia": ["nv" + "api-", (WORD, 64)],
    "pinecone": ["pc" + "sk_", (ALNUM, 6), "_", (ALNUM, 63)],
    "supabase": ["sb" + "_secret_", (WORD, 31)],
    "supabase personal": ["sb" + "p_", (HEX, 40)],
    "pulumi": ["pu" + "l-", (HEX, 40)],
    "sentry": ["sn" + "trys_", (ALNUM, 100)],
    "sentry user": ["sn" + "tryu_", (HEX, 64)],
    "scalingo": ["tk" + "-us-", (WORD, 48)],
    "scaleway": ["SC" + "W", (UPPER, 17)],
    "shippo": ["shi" + "ppo_test_", (HEX, 40)],
    "shopify": ["sh" + "pat_", (HEX, 32)],
    "typeform": ["tf" + "p_", (WORD, 59)],
    "telegram": [("123456789", 9), ":A" + "A", (WORD, 33)],
    "discord": ["M" + "T", (ALNUM, 24), ".", (WORD, 6), ".", (WORD, 38)],
    "age": ["AGE" + "-SECRET-KEY-1", (UPPER, 58)],
    "azure client": [(ALNUM, 3), "8" + "Q~", (ALNUM + "_~.-", 33), "x"],
    "clojars": ["CLO" + "JARS_", (HEX, 60)],
    "contentful": ["CF" + "PAT-", (WORD, 43)],
    "docker": ["dc" + "kr_pat_", (WORD, 27)],
    "docker organisation": ["dc" + "kr_oat_", (WORD, 32)],
    "frame.io": ["fi" + "o-u-", (WORD, 64)],
    "paypal": ["access" + "_token$production$", (ALNUM, 16), "$", (HEX, 32)],
    "jwt": ["ey" + "J", (ALNUM, 30), ".ey" + "J", (WORD, 60), ".", (WORD, 43)],
    "jwt unsigned": ["ey" + "J", (ALNUM, 20), ".ey" + "J", (WORD, 30), "."],
    "jwe": ["ey" + "J", (ALNUM, 40), "..", (WORD, 16), ".", (WORD, 80), ".", (WORD, 22)],
    "netlify": ["nf" + "p_", (ALNUM, 36)],
    "cursor": ["ke" + "y_", (HEX, 64)],
    "adafruit": ["ai" + "o_", (ALNUM, 28)],
    "adobe": ["p8" + "e-", (ALNUM, 32)],
    "alibaba": ["LT" + "AI", (ALNUM, 20)],
    "asana": ["1/", ("0123456789", 16), ":", (HEX, 32)],
    "buildkite": ["bk" + "ua_", (HEX, 40)],
    "circleci": ["CC" + "IPAT_", (ALNUM, 22), "_", (HEX, 40)],
    "doppler": ["dp" + ".st.dev.", (ALNUM, 43)],
    "doppler personal": ["dp" + ".pt.", (ALNUM, 43)],
    "duffel": ["duf" + "fel_test_", (WORD, 43)],
    "easypost": ["EZ" + "AK", (ALNUM, 54)],
    "flutterwave": ["FLW" + "SECK_TEST-", (HEX, 32), "-X"],
    "gocardless": ["li" + "ve_", (WORD, 40)],
    "harness": ["pa" + "t.", (ALNUM, 22), ".", (HEX, 24), ".", (ALNUM, 20)],
    "intercom": ["dG" + "9rO", (B64, 55)],
    "jfrog": ["AK" + "Cp", (ALNUM, 69)],
    "jfrog reference": ["cmV" + "mdGtu", (ALNUM, 56)],
    "lob": ["te" + "st_", (HEX, 35)],
    "lob public": ["li" + "ve_pub_", (HEX, 31)],
    "maxmind": [(ALNUM, 6), "_", (ALNUM, 29), "_m" + "mk"],
    "messagebird": ["li" + "ve_", (ALNUM, 25)],
    "octopus": ["AP" + "I-", (UPPER, 26)],
    "1password": ["A3" + "-", (UPPER, 6), "-", (UPPER, 6), *["-", (UPPER, 5)] * 4],
    "1password service": ["op" + "s_eyJ", (B64, 260)],
    "openshift": ["sha" + "256~", (WORD, 43)],
    "planetscale": ["psc" + "ale_tkn_", (WORD, 43)],
    "postman": ["PM" + "AK-", (HEX, 24), "-", (HEX, 34)],
    "prefect": ["pn" + "u_", (ALNUM, 36)],
    "razorpay": ["rz" + "p_live_", (ALNUM, 14)],
    "readme": ["rd" + "me_", (ALNUM, 70)],
    "settlemint": ["sm" + "_aat_", (ALNUM, 16)],
    "sourcegraph": ["sg" + "p_", (HEX, 16), "_", (HEX, 40)],
    "vercel": ["vc" + "p_", (ALNUM, 24)],
    "yandex": ["AQ" + "VN", (WORD, 36)],
    "yandex iam": ["t1" + ".", (WORD, 60), ".", (WORD, 86)],
    "zuplo": ["zp" + "ka_", (ALNUM, 32), "_", (HEX, 8)],
    "tailscale": ["ts" + "key-auth-", (ALNUM, 12), "-", (ALNUM, 32)],
    "resend": ["r" + "e_", (ALNUM, 8), "_", (ALNUM, 24)],
    "clickup": ["p" + "k_", ("0123456789", 8), "_", (UPPER, 32)],
    "zoho": ["1000.", (HEX, 32), ".", (HEX, 32)],
    "salesforce": ["00" + "D", (ALNUM, 12), "!", (ALNUM, 96)],
    "firebase": ["AAAA", (WORD, 7), ":APA" + "91", (WORD, 134)],
    "posthog": ["ph" + "x_", (ALNUM, 43)],
}  # fmt: skip

PLACES = {
    "alone": "{}",
    "in a sentence": "please try {} again",
    "in quotes": 'x = "{}";',
    "in single quotes": "x '{}'",
    "at the end of a line": "first {}\nsecond",
    "at the end": "see {}",
    "in an address": "https://x.example/a?q={}&b=2",
    "in brackets": "({}) [{}]",
    "after a colon": "it:{}, then",
    "in angle brackets": "<b>{}</b>",
}


def made(family: str, seed: int = 7) -> str:
    rng = random.Random(f"{family} {seed}")  # noqa: S311  # the same keys each time

    def piece(part: str | tuple[str, int]) -> str:
        if part == "uuid":
            return str(uuid.UUID(int=rng.getrandbits(128), version=4))
        if isinstance(part, str):
            return part
        alphabet, length = part
        text = "".join(rng.choices(alphabet, k=length))
        # Of a key's ends none is a mark.
        return (
            rng.choice(ALNUM if "z" in alphabet else "ab" if "a" in alphabet else "79")
            + text[1:-1]
            + (rng.choice("a5" if "a" in alphabet else "5"))
        )

    return "".join(map(piece, FAMILIES[family]))


@pytest.mark.parametrize("place", PLACES)
def test_a_key_goes_and_what_is_round_it_stays(db: Db, place: str) -> None:
    form = PLACES[place]
    keys = {(family, seed): made(family, seed) for family in FAMILIES for seed in range(3)}
    masked = mask_all(db, [form.replace("{}", key) for key in keys.values()])
    wrong = {
        who: (key, text)
        for (who, key), text in zip(keys.items(), masked, strict=True)
        # A prefix may stay before a web token.
        if text.replace("pk.[", "[") != form.replace("{}", SEALED)
    }
    assert wrong == {}


def test_masking_twice_is_masking_once(db: Db) -> None:
    once = mask_all(db, [f"a {made(family)} b" for family in FAMILIES])
    assert mask_all(db, once) == once


def test_known_prefixes_are_no_keys_by_themselves(db: Db) -> None:
    texts = [
        "sk-learn", "sk-proj-", "hf_transformers", "npm_config_registry", "pypi-publish",
        "key-value store", "api-gateway-production-eu",
        "test_case_of_the_login_page", "live_stream_viewer_count", "figma_component_button_primary",
        "glass_house", "secret_santa_list_of_names",
        "token_count_by_model_and_day", "eyJpZCI6MTIzNDU2fQ==", "s.toLowerCase()",
        "b_tree_index_of_the_orders_table_by_created", "t1.id = t2.id",
        "pat.match(x)", "pattern.compile", "AC", "SKU-12345678", "API-FIRST", "AIDA", "v1.0-beta",
        "1000.5", "-us1", "re_run_all_the_tests_again",
        "toolu_01WB9efSTGv8euYbkpj5yRFj", "chatcmpl-9xQ2v7J5kLmN8pR4tY6wZ1aB3cD",
        "call_9xQ2v7J5kLmN8pR4tY6wZ1aB", "msg_01XFDUDYJgAACzvnptvVoYEL",
        "cus_9s6XKzkNRiz8i3", "pi_3MtwBwLkdIwHu7ix28a3tqPa", "arn:aws:iam::123456789012:role/x",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "sha256:" + "9f86d081" * 8, "sha512-" + "aB3+" * 22, "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg",
    ]  # fmt: skip
    masked = mask_all(db, texts)
    assert [pair for pair in zip(texts, masked, strict=True) if pair[0] != pair[1]] == []


def words(rng: random.Random, separator: str) -> str:
    vocabulary = re.findall(
        r"\w+",
        "user order task desk risk api test live key token secret skill sketch patch path auth node "
        "react core utils data model base table index color button market ticket flight pay card gold v2 "
        "2024 x86 s3 eu us1 prod dev sdk mob app service client server queue worker cache store fm hub "
        "lib hf re co pk sk ac sb do fo glob",
    )
    return separator.join(rng.choices(vocabulary, k=rng.randint(2, 7)))


def ulid(rng: random.Random) -> str:
    return "01" + "".join(rng.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=24))


def version(rng: random.Random) -> str:
    return f"{rng.randint(0, 30)}.{rng.randint(0, 60)}.{rng.randint(0, 999)}"


IDS: dict[str, Callable[[random.Random], str]] = {
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "ulid": ulid,
    "hash of 32": lambda r: f"{r.getrandbits(128):032x}",
    "hash of 40": lambda r: f"{r.getrandbits(160):040x}",
    "hash of 64": lambda r: f"{r.getrandbits(256):064x}",
    "base64": lambda r: base64.b64encode(r.randbytes(r.randint(18, 48))).decode(),
    "base64 for addresses": lambda r: base64.urlsafe_b64encode(r.randbytes(r.randint(18, 48))).decode(),
    "npm package": lambda r: f"@{words(r, '-')}/{words(r, '-')}@{version(r)}",
    "kebab case": lambda r: words(r, "-"),
    "snake case": lambda r: words(r, "_"),
    "dots": lambda r: words(r, "."),
    "git ref": lambda r: f"refs/heads/{words(r, '/')}-{r.getrandbits(28):07x}",
    "docker digest": lambda r: f"{words(r, '/')}:{version(r)}@sha256:{r.getrandbits(256):064x}",
    "snowflake": lambda r: str(r.getrandbits(63)),
}


@pytest.mark.any_target("the patterns are the same, and of ASCII alone")
@pytest.mark.parametrize("kind", IDS)
def test_no_id_of_twenty_thousand_is_a_key(db: Db, kind: str) -> None:
    rng = random.Random(kind)  # noqa: S311  # the same ids each time
    ids = [IDS[kind](rng) for _ in range(20_000)]
    row = db.execute(
        "select array_agg(r.name || ': ' || t) from unnest(%s::text[]) as t"
        " join bcp_internal.anonymizer_rules r on t ~ r.pattern"
        " where r.name ~ '^(?:api_key|password_hash|bearer_token|webhook|signed_url|proxy_credentials)'",
        [ids],
    ).fetchone()
    assert row == (None,)
