"""Ids stay as they are: of the made-up ones of each kind none may change, alone or in a sentence.

BCP_ANONYMIZER_IDS=20000 looks harder than the 500 of each kind. With `-s` it prints the rows of the table in
docs/design/measurements.md.
"""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg
import pytest

from tests.sql.anonymizer_ids import KINDS, has_card, in_sentences, some

Db = psycopg.Connection[Any]

# Not mended yet: the share of these that may change, since they have the form of another kind, such as the
# groups of a telephone number, the check digits of an account or a device, an address, or a position.
MAY_CHANGE = {
    "tracking number, UPS": 0.06,
    "tracking number, FedEx": 0.04,
    "tracking number, USPS": 0.12,
    "tracking number, DHL": 0.04,
    "version": 0.04,
    "MAC address": 0.03,
    "ISO 6709": 0.3,
    "coordinates, floats": 0.3,
    "hex dump": 0.03,
    "ports, addresses": 0.35,
    # 15 digits with a check digit are a device's number; an ISBN with 00 in a group is a telephone's.
    "order number, 8 to 16 digits": 0.004,
    "ISBN": 0.004,
}
NUMBER = int(os.environ.get("BCP_ANONYMIZER_IDS", "500"))
BATCH = 1000


def masked(db: Db, texts: list[str]) -> list[str]:
    found: list[str] = []
    for first in range(0, len(texts), BATCH):
        row = db.execute(
            "select to_jsonb(bcp_internal.anonymize_documents(array("
            "select d from jsonb_array_elements(%s::jsonb) with ordinality as t (d, n) order by n)))",
            [json.dumps(texts[first : first + BATCH])],
        ).fetchone()
        assert row is not None
        found += row[0]
    return found


def changes(db: Db, ids: list[str], texts: list[str]) -> tuple[list[tuple[str, str]], int]:
    """Return the texts that changed without need, each with what it became, and the number of chance cards.

    Nothing tells a number of a card's length, issuer's first digits and right check digit from a card.
    """
    changed = []
    cards = 0
    for text, came_out, each in zip(texts, masked(db, texts), ids, strict=True):
        if has_card(each):
            cards += 1
        elif came_out != text:
            changed.append((text, came_out))
    return changed, cards


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_stays(db: Db, kind: str) -> None:
    ids = some(kind, NUMBER)
    alone, cards = changes(db, ids, ids)
    in_text, _ = changes(db, ids, in_sentences(ids))
    print(f"\n| {kind} | {len(alone)} | {len(in_text)} | {cards} |")  # noqa: T201
    assert max(len(alone), len(in_text)) <= MAY_CHANGE.get(kind, 0) * NUMBER, (
        f"{len(alone)} alone, {len(in_text)} in a sentence, of {NUMBER}: "
        + "\n".join(f"{text!r} -> {came_out!r}" for text, came_out in (alone + in_text)[:10])
    )
