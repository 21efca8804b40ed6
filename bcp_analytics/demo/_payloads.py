"""What the demo's tools are asked and what they answer.

Personal data are in plain fields, under keys that name them, within sentences, and in JSON within strings.
Beside them are plain data that the anonymiser must not change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_FIRST = (
    "ada alan amara bjarne chen dara edsger emeka fatima grace hedy ines jorge katherine kenji lena "
    "mary nadia olu priya quentin rosa sanjay tove uma vera wanda yusuf zofia"
)
_LAST = (
    "almeida bauer cohen dubois eriksen fischer garcia hopper ivanova jensen kowalski lovelace mensah "
    "nakamura okafor petrov quinn rossi silva tanaka usman vogel wong"
)
_TOPICS = (
    "invoice",
    "refund",
    "delivery",
    "upgrade",
    "outage",
    "renewal",
    "onboarding",
    "warranty",
    "feedback",
)
_TABLES = ("orders", "shipments", "returns", "visits", "stock_levels", "price_history")
_FOLDERS = ("src/app", "docs", "config", "tests/unit", "reports/2026", "exports")


@dataclass(frozen=True, slots=True)
class Person:
    """A customer who does not exist."""

    number: int
    first: str
    last: str
    email: str
    phone: str
    card: str
    """Valid by Luhn's formula, digits only."""
    ssn: str
    born: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be found in the database."""
        return (self.email, self.phone, self.card, self.ssn)


def luhn_digit(digits: str) -> str:
    """Return the digit that makes `digits` valid by Luhn's formula (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits)))
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)  # noqa: PLR2004


def people(rng: Random, count: int) -> tuple[Person, ...]:
    """Return `count` people, every one with an address, telephone number, card and SSN of their own."""
    return tuple(_person(rng, number) for number in range(1000, 1000 + count))


def _person(rng: Random, number: int) -> Person:
    first, last = rng.choice(_FIRST.split()), rng.choice(_LAST.split())
    digits = f"4{rng.randrange(10**10):010}{number:04}"
    return Person(
        number=number,
        first=first,
        last=last,
        email=f"{first}.{last}{number}@{rng.choice(('example.com', 'example.org', 'mail.example.net'))}",
        phone=f"+1 {rng.randrange(201, 989)} 555 {number:04}",
        card=digits + luhn_digit(digits),
        ssn=f"{rng.randrange(100, 600)}-{rng.randrange(10, 99)}-{number:04}",
        born=f"{rng.randrange(1950, 2005)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    )


def _chance(rng: Random, share: float) -> bool:
    return rng.random() < share


def _text(value: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of an MCP tool: JSON as text inside of JSON."""
    return {"content": [{"type": "text", "text": json.dumps(value)}], "isError": False}


def _find_customer(rng: Random, who: Person) -> tuple[Any, Any]:
    if _chance(rng, 0.3):
        query = {"email": who.email}
    elif _chance(rng, 0.5):
        query = {"query": f"{who.phone} {who.last}"}
    else:
        query = {"query": rng.choice(_TOPICS), "segment": rng.choice(("smb", "enterprise", "trial"))}
        return query, _text(
            {"matches": [rng.randrange(10**5) for _ in range(rng.randrange(5))], "total": rng.randrange(90)}
        )
    return query, _text({"matches": [{"customer_id": who.number, "contact": who.email, "tier": "gold"}]})


def _get_customer(rng: Random, who: Person) -> tuple[Any, Any]:
    if _chance(rng, 0.6):
        return {"customer_id": who.number}, _text(
            {"customer_id": who.number, "tier": rng.choice("ABC"), "open_tickets": 2}
        )
    return (
        {"customer_id": who.number, "fields": ["contact", "billing"]},
        _text(
            {
                "customer_id": who.number,
                "name": {"first": who.first.title(), "last": who.last.title()},
                "email": who.email,
                "phone": who.phone,
                "dob": who.born,
                "since": "2024-03-01",
                "orders": rng.randrange(40),
            }
        ),
    )


def _update_customer(rng: Random, who: Person) -> tuple[Any, Any]:
    note = rng.choice(
        (f"asked to be called at {who.phone}", f"new address {who.email}", "prefers letters", "VIP")
    )
    return {"customer_id": who.number, "patch": {"note": note, "ssn": who.ssn}}, {
        "updated": True,
        "version": rng.randrange(90),
    }


def _mail_search(rng: Random, who: Person) -> tuple[Any, Any]:
    asked = f"from:{who.email}" if _chance(rng, 0.25) else f"subject:{rng.choice(_TOPICS)}"
    return {"q": asked, "limit": 20}, {
        "hits": rng.randrange(60),
        "thread_ids": [f"t{rng.randrange(10**6):06}" for _ in range(3)],
    }


def _mail_send(rng: Random, who: Person) -> tuple[Any, Any]:
    body = f"Dear {who.first.title()}, your {rng.choice(_TOPICS)} is on its way. Reply or ring {who.phone}."
    return {"to": [who.email], "subject": f"Your {rng.choice(_TOPICS)}", "body": body}, {
        "message_id": f"m{rng.randrange(10**8):08}"
    }


def _read_file(rng: Random, _who: Person) -> tuple[Any, Any]:
    path = f"{rng.choice(_FOLDERS)}/{rng.choice(_TOPICS)}_{rng.randrange(400)}.md"
    return {"path": path}, {
        "lines": rng.randrange(900),
        "encoding": "utf-8",
        "head": "# " + path.rsplit("/", 1)[-1],
    }


def _search_files(rng: Random, _who: Person) -> tuple[Any, Any]:
    return {"pattern": f"**/*{rng.choice(_TOPICS)}*", "root": rng.choice(_FOLDERS)}, {
        "matches": rng.randrange(300)
    }


def _charge(rng: Random, who: Person) -> tuple[Any, Any]:
    cents = rng.randrange(500, 90000)
    return (
        {"amount_cents": cents, "currency": "EUR", "card_number": who.card, "receipt_to": who.email},
        _text(
            {
                "charge": f"ch_{rng.randrange(10**7):07}",
                "status": "captured",
                "note": f"card {who.card} of {who.email}",
            }
        ),
    )


def _get_invoice(rng: Random, _who: Person) -> tuple[Any, Any]:
    number = f"INV-{rng.randrange(10**6):06}"
    return {"invoice": number}, {
        "invoice": number,
        "total_cents": rng.randrange(500, 90000),
        "paid": _chance(rng, 0.9),
    }


def _run_query(rng: Random, who: Person) -> tuple[Any, Any]:
    table = rng.choice(_TABLES)
    where = f"email = '{who.email}'" if _chance(rng, 0.1) else f"day >= '2026-0{rng.randrange(1, 10)}-01'"
    return {"sql": f"select count(*) from {table} where {where}"}, {  # noqa: S608 - nobody runs it
        "columns": ["count"],
        "rows": [[rng.randrange(10**6)]],
    }


def _fetch(rng: Random, _who: Person) -> tuple[Any, Any]:
    url = f"https://shop.example.com/{rng.choice(_TOPICS)}/{rng.randrange(9000)}?page={rng.randrange(1, 9)}"
    return {"url": url}, {"status": 200, "bytes": int(rng.lognormvariate(9, 1.2)), "type": "text/html"}


def _find_slot(rng: Random, who: Person) -> tuple[Any, Any]:
    asked = {"minutes": rng.choice((30, 45, 60)), "attendees": [who.email]}
    return asked, {"slots": [f"{hour:02}:00" for hour in sorted(rng.sample(range(8, 18), 3))]}


BUILDERS: dict[tuple[str, str], Callable[[Random, Person], tuple[Any, Any]]] = {
    ("crm", "find_customer"): _find_customer,
    ("crm", "get_customer"): _get_customer,
    ("crm", "update_customer"): _update_customer,
    ("mail", "search"): _mail_search,
    ("mail", "send"): _mail_send,
    ("files", "read_file"): _read_file,
    ("files", "search_files"): _search_files,
    ("payments", "charge"): _charge,
    ("payments", "get_invoice"): _get_invoice,
    ("warehouse", "run_query"): _run_query,
    ("web", "fetch"): _fetch,
    ("calendar", "find_slot"): _find_slot,
}
