"""Broken bodies of OTLP: each is stored or refused, in the encoding that it has, and none is a failure.

BCP_TEST_EXAMPLES=1700 sends 10,000 of them; -s shows how many had which answer.
"""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
from hypothesis import settings

from tests.serve.otlp_client import ENCODINGS, JSON, PROTOBUF, status_of
from tests.serve.otlp_samples import NAMES, Sample, load

if TYPE_CHECKING:
    from tests.serve.conftest import Running

# What stands where something else is expected; the last are too large or too deep.
ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        0.5,
        1e400,
        2**63,
        2**64,
        2**70,
        "",
        "0",
        "NaN",
        "\0",
        "\ud800",
        "x" * 600,
        "é" * 70_000,
    ),
    *([], {}, [[]], [None], {"": None}, {"values": {}}, {"stringValue": 1}, {"intValue": "1e3"}),
    *({"arrayValue": {"values": [{"kvlistValue": {"values": [{"key": "k", "value": {}}]}}]}},),
    *({"bytesValue": "*"}, {"doubleValue": "Infinity"}, {"stringValue": "[" * 5_000}),
]


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Return each place in a document: what holds it, and its key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in list(pairs) for place in ((value, key), *nodes(inner))]


def broken_document(rng: random.Random, sample: Sample) -> bytes:
    body = copy.deepcopy(sample.body)
    for _ in range(rng.randint(1, 2)):
        holder, key = rng.choice(nodes(body))
        what = rng.random()
        if what < 0.6:
            # A copy, or what is done to it later would be done to all.
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif what < 0.8:
            del holder[key]
        elif isinstance(holder, list):
            holder += holder[:] * rng.randint(1, 3)
        else:
            holder[str(rng.choice(ODD))[:20]] = holder[key]
        if not nodes(body):
            break
    return json.dumps(body).encode()


def broken_bytes(rng: random.Random, body: bytes) -> bytes:
    found = bytearray(body)
    for _ in range(rng.randint(1, 2)):
        at, length = rng.randrange(len(found) + 1), rng.randint(1, 12)
        match rng.randrange(4):
            case 0:
                found[at : at + length] = rng.randbytes(length)
            case 1:
                del found[at : at + length]
            case 2:
                found[at:at] = found[: length * 20]
            case 3:
                found = found[:at] if rng.random() < 0.2 else found
    return bytes(found)


def body(rng: random.Random, sample: Sample, encoding: str) -> bytes:
    if encoding == PROTOBUF:
        return broken_bytes(rng, sample.in_protobuf)
    return broken_document(rng, sample) if rng.random() < 0.8 else broken_bytes(rng, sample.in_json)


def test_no_body_makes_the_server_fail(server: Running) -> None:
    rng = random.Random(20261127)  # noqa: S311 - the same each time
    samples = [load(name) for name in NAMES]
    answered: dict[int, int] = {}
    auth = {"authorization": f"Bearer {server.tokens['ingest']}"}
    with httpx2.Client(base_url=server.url, headers=auth, timeout=60) as client:
        for n in range(max(settings().max_examples * 6, 100)):
            sample, encoding = rng.choice(samples), ENCODINGS[n % 2]
            sent = body(rng, sample, encoding)
            answer = client.post(sample.path, content=sent, headers={"content-type": encoding})
            answered[answer.status_code] = answered.get(answer.status_code, 0) + 1
            assert answer.headers["content-type"] == encoding, sent
            assert answer.status_code in {200, 400, 413, 429}, (answer.status_code, sent)
            if answer.status_code != 200:
                assert status_of(answer)[1]
        # And what is not broken is still taken in.
        sample = load("gen_ai")
        assert client.post(sample.path, content=sample.in_json, headers={"content-type": JSON}).json() == {}
    print(answered)  # noqa: T201 - with -s, for whoever looks harder
    assert answered[200]
    assert answered[400]
    with psycopg.connect(server.dsn) as conn:
        # Whatever was sent, the books are right.
        assert conn.execute(
            "select count(*) from bcp.ingest_batches where accepted <> stored + duplicates + rejected"
        ).fetchone() == (0,)
