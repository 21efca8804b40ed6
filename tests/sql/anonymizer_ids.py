"""Ids and numbers as tools return them, made up by kind: none is personal, so none may change."""

from __future__ import annotations

import base64
import hashlib
import re
import string
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.sql.anonymizer_hostile import luhn

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DIGITS = re.compile(r"[0-9]{13,19}")
# Lengths and first digits of the issuers of payment cards, as bcp_internal.is_card has them.
_ISSUERS = re.compile(
    "4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|5[0678][0-9]{11,17}|2[2-7][0-9]{14}|3[47][0-9]{13}"
    "|3[0689][0-9]{12}|35[0-9]{14,17}|6[0-9]{12,18}"
)


def is_card(token: str) -> bool:
    """Whether nothing tells a number from that of a payment card."""
    return bool(_DIGITS.fullmatch(token) and _ISSUERS.fullmatch(token)) and luhn(token[:-1]) == token


def has_card(text: str) -> bool:
    """Whether one of its words is such a number."""
    return any(map(is_card, re.split(r"[\s,;()\[\]#]+", text)))


def digits(rng: Random, length: int) -> str:
    return "".join(rng.choices(string.digits, k=length))


def hexadecimal(rng: Random, length: int) -> str:
    return f"{rng.getrandbits(4 * length):0{length}x}"


def grouped(text: str, size: int, separator: str = " ") -> str:
    return separator.join(text[n : n + size] for n in range(0, len(text), size))


def moment(rng: Random) -> datetime:
    return datetime(1995, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(40 * 365 * 86_400 * 10**6))


def recent_ns(rng: Random) -> int:
    """Nanoseconds since 1970, between 2015 and 2030."""
    return rng.randrange(1_420_070_400 * 10**9, 1_893_456_000 * 10**9)


def any_uuid(rng: Random, version: int) -> str:
    bits = rng.getrandbits(128)
    if version == 7:
        bits = bits & (1 << 80) - 1 | recent_ns(rng) // 10**6 << 80
    value = uuid.UUID(int=bits & ~(0xF << 76) & ~(3 << 62) | version << 76 | 2 << 62)
    return rng.choice(
        [str(value)] * 6 + [str(value).upper(), value.hex, f"{{{value}}}", value.urn, f"id_{value}"]
    )


def ulid(rng: Random) -> str:
    value = recent_ns(rng) // 10**6 << 80 | rng.getrandbits(80)
    return "".join(CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def hashed(name: str) -> Callable[[Random], str]:
    def make(rng: Random) -> str:
        found = hashlib.new(name, rng.randbytes(16), usedforsecurity=False).hexdigest()
        return rng.choice([found, found, found, found.upper(), f"{name}:{found}"])

    return make


def twitter_snowflake(rng: Random) -> str:
    return str(recent_ns(rng) // 10**6 - 1_288_834_974_657 << 22 | rng.getrandbits(22))


def discord_snowflake(rng: Random) -> str:
    return str((recent_ns(rng) // 10**6 - 1_420_070_400_000 << 22 | rng.getrandbits(22)) or 1)


def epoch(per_second: int) -> Callable[[Random], str]:
    def make(rng: Random) -> str:
        value = recent_ns(rng) * per_second // 10**9
        return rng.choice([str(value), str(value), f"{value}.{digits(rng, 6)}", f"@{value}", f"ts={value}"])

    return make


def order(rng: Random) -> str:
    year, number = rng.randrange(2015, 2030), rng.randrange(1, 10**7)
    return rng.choice(
        [
            f"ORD-{year}-{number:07}", f"ORD{year}{number:08}", f"#{rng.randrange(10**5, 10**7)}",
            f"SO{number:010}", f"PO-{number:08}", f"INV-{year}-{number:06}", f"{year}-{number:07}",
            f"45{number:08}", f"INV/{year}/{number:05}", f"{year}/{number:06}", f"R{digits(rng, 9)}",
            f"W{digits(rng, 10)}", f"{year}{number:08}-{rng.randrange(1, 10)}",
            f"{rng.randrange(1000, 10_000)}-{digits(rng, 6)}",
        ]
    )  # fmt: skip


def amazon_order(rng: Random) -> str:
    return f"{rng.randrange(100, 1000)}-{digits(rng, 7)}-{digits(rng, 7)}"


def plain_order(rng: Random) -> str:
    return digits(rng, rng.randrange(8, 17))


def ups(rng: Random) -> str:
    shipper, rest = "".join(rng.choices(string.ascii_uppercase + string.digits, k=6)), digits(rng, 10)
    return rng.choice(
        [f"1Z{shipper}{rest}"] * 2
        + [f"1Z {shipper[:3]} {shipper[3:]} {rest[:2]} {rest[2:6]} {rest[6:]}", f"1z{shipper.lower()}{rest}"]
    )


def fedex(rng: Random) -> str:
    number = str(rng.choice([6, 7, 8, 9])) + digits(rng, rng.choice([11, 14]))
    return number if len(number) == 15 else rng.choice([number, grouped(number, 4)])


def usps(rng: Random) -> str:
    number = f"9{rng.choice([1, 2, 3, 4])}{digits(rng, 20)}"
    return rng.choice([number, grouped(number, 4), f"{rng.choice(['EA', 'RB', 'LZ'])}{digits(rng, 9)}US"])


def dhl(rng: Random) -> str:
    return rng.choice(
        [f"JD0{digits(rng, 17)}", f"JJD{digits(rng, 18)}", digits(rng, 10), f"GM{digits(rng, 18)}"]
    )


def ean13(body: str) -> str:
    total = sum(int(c) * (1 + 2 * (n % 2)) for n, c in enumerate(body))
    return body + str(-total % 10)


def isbn(rng: Random) -> str:
    group, publisher = str(rng.randrange(0, 8)), digits(rng, rng.randrange(2, 6))
    title = digits(rng, 8 - len(publisher))
    check = ean13(f"978{group}{publisher}{title}")[-1]
    body = f"{group}{publisher}{title}"
    last = "0123456789X"[-sum(int(c) * (10 - n) for n, c in enumerate(body)) % 11]
    return rng.choice(
        [
            f"978-{group}-{publisher}-{title}-{check}", f"978{body}{check}", f"{body}{last}",
            f"{group}-{publisher}-{title}-{last}", f"978 {group} {publisher} {title} {check}",
        ]
    )  # fmt: skip


def ean(rng: Random) -> str:
    return rng.choice(
        [ean13(digits(rng, 12)), f"{digits(rng, 8)}", f"0{digits(rng, 11)}", f"(01)0{digits(rng, 13)}"]
    )


def date(rng: Random) -> str:
    when = moment(rng)
    return rng.choice(
        [
            f"{when:%Y-%m-%d}", f"{when:%Y%m%d}", f"{when:%G-W%V-%u}", f"{when:%GW%V%u}", f"{when:%Y-%j}",
            f"{when:%Y-%m}", f"{when:%Y/%m/%d}", f"{when:%d.%m.%Y}", f"{when:%m/%d/%Y}", f"{when:%d-%m-%Y}",
            f"{when:%d %b %Y}", f"{when:%Y-%m-%d}/{when + timedelta(days=9):%Y-%m-%d}",
            f"{when:%Y-%m-%d} {when + timedelta(days=9):%Y-%m-%d}", f"{when:%m-%d}", f"{when:%d-%b-%Y}",
        ]
    )  # fmt: skip


def time_of_day(rng: Random) -> str:
    when = moment(rng)
    zone = rng.choice(["Z", "+02:00", "-0530", "+00", " UTC", "", "+14:00"])
    return rng.choice(
        [
            f"{when:%Y-%m-%dT%H:%M:%S}{zone}", f"{when:%Y-%m-%dT%H:%M:%S.%f}{zone}",
            f"{when:%Y-%m-%d %H:%M:%S}{zone}", f"{when:%Y-%m-%d %H:%M:%S},{when:%f}",
            f"{when:%Y%m%dT%H%M%S}{zone}",
            f"{when:%Y%m%d%H%M%S}", f"{when:%Y%m%d-%H%M%S}", f"{when:%Y-%m-%d-%H-%M-%S}",
            f"{when:%H:%M:%S.%f}",
            f"{when:%Y-%m-%dT%H:%M}", f"{when:%H:%M}-{when + timedelta(hours=1):%H:%M}",
            f"{when:%d/%b/%Y:%H:%M:%S} +0200", f"{when:%a, %d %b %Y %H:%M:%S} GMT",
            f"P{rng.randrange(9)}Y{rng.randrange(12)}M{rng.randrange(30)}DT{rng.randrange(24)}H",
            f"{when:%Y-%m-%dT%H:%M:%S}.{digits(rng, 9)}{zone}", f"{when:%Y_%m_%d_%H%M%S}",
        ]
    )  # fmt: skip


def version(rng: Random) -> str:
    a, b, c, d = (rng.choice([rng.randrange(10), rng.randrange(30), rng.randrange(20_000)]) for _ in range(4))
    return rng.choice(
        [
            f"{a}.{b}.{c}", f"v{a}.{b}.{c}", f"{a}.{b}.{c}.{d}", f"{a}.{b}",
            f"{a}.{b}.{c}-rc.{d % 10}+build.{d}",
            f"{a}.{b}.{c}-{d}-amd64", f">={a}.{b},<{a + 1}", f"^{a}.{b}.{c}", f"~={a}.{b}.{c}",
            f"{a}:{b}.{c}-{d}ubuntu1",
            f"{a}.{b}.{c}.dev{d}+g{hexadecimal(rng, 7)}", f"pkg@{a}.{b}.{c}", f"pkg=={a}.{b}.{c}",
            f"{moment(rng):%Y.%m.%d}.{d}", f"{a}.{b}_{c}", f"{a}.{b}.{c}-SNAPSHOT", f"go{a}.{b}.{c}",
            f"v0.0.0-{moment(rng):%Y%m%d%H%M%S}-{hexadecimal(rng, 12)}",
        ]
    )  # fmt: skip


def git_describe(rng: Random) -> str:
    tag = f"{rng.choice(['v', '', 'release-'])}{rng.randrange(20)}.{rng.randrange(60)}.{rng.randrange(60)}"
    return f"{tag}-{rng.randrange(1, 3000)}-g{hexadecimal(rng, rng.choice([7, 8, 10]))}" + rng.choice(
        ["", "-dirty"]
    )


def git_hash(rng: Random) -> str:
    return hexadecimal(rng, rng.choice([7, 8, 10, 12]))


def mac(rng: Random) -> str:
    value = hexadecimal(rng, 12)
    found = rng.choice(
        [grouped(value, 2, ":"), grouped(value, 2, ":"), grouped(value, 2, "-"), grouped(value, 4, ".")]
    )
    return rng.choice([found, found.upper()])


def coordinate(rng: Random, most: int, places: int) -> str:
    return f"{rng.uniform(-most, most):.{places}f}"


def iso_6709(rng: Random) -> str:
    lat, lon, height = rng.uniform(-90, 90), rng.uniform(-180, 180), rng.randrange(9000)
    seconds = f"{rng.randrange(60):02}{rng.randrange(60):02}"
    return rng.choice(
        [
            f"{lat:+08.4f}{lon:+09.4f}/", f"{lat:+07.3f}{lon:+08.3f}/",
            f"{lat:+08.4f}{lon:+09.4f}+{height}/",
            f"{lat:+06.2f}{lon:+07.2f}{-height:+d}/", f"{int(lat):+03d}{seconds}{int(lon):+04d}{seconds}/",
            f"{lat:+09.5f}{lon:+010.5f}CRSWGS_84/",
            f"{int(lat):+03d}{seconds[:2]}.{digits(rng, 2)}{int(lon):+04d}{seconds[:2]}.1/",
        ]
    )  # fmt: skip


def floats(rng: Random) -> str:
    places = rng.choice([2, 4, 6, 7, 15])
    pairs = [(coordinate(rng, 180, places), coordinate(rng, 90, places)) for _ in range(rng.randrange(1, 6))]
    return rng.choice(
        [
            "[" + ", ".join(f"[{a}, {b}]" for a, b in pairs) + "]", ",".join(f"{a},{b}" for a, b in pairs),
            " ".join(f"{a} {b}" for a, b in pairs), " ".join(f"{a},{b}" for a, b in pairs),
            "LINESTRING(" + ", ".join(f"{a} {b}" for a, b in pairs) + ")", "geo:" + ",".join(pairs[0]),
            "; ".join(f"{a}; {b}" for a, b in pairs), "\n".join(f"{a}\t{b}" for a, b in pairs),
        ]
    )  # fmt: skip


def hunk(rng: Random) -> str:
    a, b = rng.randrange(1, 5000), rng.randrange(1, 5000)
    m, n = rng.randrange(1, 60), rng.randrange(1, 60)
    return rng.choice(
        [
            f"@@ -{a},{m} +{b},{n} @@", f"@@ -{a},{m} +{b},{n} @@ def f(x):", f"@@ -{a} +{b} @@",
            f"@@ -0,0 +1,{n} @@",
            f"@@@ -{a},{m} -{b},{n} +{a},{n} @@@", f"{a},{a + m}c{b},{b + n}", f"*** {a},{a + m} ****",
            f"--- {b},{b + n} ----",
            f" {m} files changed, {a} insertions(+), {b} deletions(-)", f"{a}\t{b}\tsrc/x.py",
            f"{a}a{b},{b + n}",
        ]
    )  # fmt: skip


def permissions(rng: Random) -> str:
    mode = f"{rng.randrange(8)}{rng.randrange(8)}{rng.randrange(8)}"
    size, when = rng.randrange(10**7), moment(rng)
    return rng.choice(
        [
            f"0{mode}", f"0o{mode}", f"100{mode}", f"chmod 0{mode} x", f"{mode}",
            f"old mode 100{mode}", f"040{mode}",
            f"100{mode} blob {hexadecimal(rng, 40)} {size:7}\tsrc/x.py",
            f"index {hexadecimal(rng, 7)}..{hexadecimal(rng, 7)} 100{mode}",
            f"-rw-r--r-- 1 root root {size:8} {when:%b %d %H:%M} x",
            f"mode=0{mode} uid={size % 3000} gid={size % 3000}",
            f"-rwxr-xr-x 2 1000 1000 {size} {when:%Y-%m-%d %H:%M} x",
            f"Access: (0{mode}/-rw-r--r--)  Uid: ({size % 3000:5}/  x)", f"0{mode} root root {size}",
        ]
    )  # fmt: skip


def matrix_row(rng: Random) -> str:
    width, kind = rng.randrange(3, 13), rng.randrange(5)
    row: list[str] = [
        str(rng.randrange(10)) if kind == 0
        else str(rng.randrange(-99, 100)) if kind == 1
        else f"{rng.uniform(-1, 1):.{rng.choice([1, 3, 6])}f}" if kind == 2
        else f"{rng.randrange(1000):5}" if kind == 3
        else f"{rng.uniform(-9, 9):.3e}"
        for _ in range(width)
    ]  # fmt: skip
    return rng.choice(
        [" ".join(row), "[" + ", ".join(row) + "]", "[" + " ".join(row) + "]", "\t".join(row), "; ".join(row)]
    )


def csv(rng: Random) -> str:
    most = rng.choice([10, 100, 1000, 10**5, 10**9])
    rows = [
        ",".join(str(rng.randrange(most)) for _ in range(rng.randrange(2, 12)))
        for _ in range(rng.randrange(1, 4))
    ]
    return rng.choice(
        ["\n".join(rows), "id,n,m\n" + "\n".join(rows), rows[0].replace(",", ", "), rows[0].replace(",", ";")]
    )


def hex_dump(rng: Random) -> str:
    # Random bytes with an at sign may be an address.
    data = bytes(b for b in rng.randbytes(16) if b != 0x40).ljust(16, b"\0")
    shown = "".join(chr(b) if 0x20 < b < 0x7F else "." for b in data)
    offset = rng.randrange(0, 1 << 20, 16)
    return rng.choice(
        [
            f"{offset:08x}: {grouped(data.hex(), 4)}  {shown}",
            f"{offset:08x}  {grouped(data[:8].hex(), 2)}  {grouped(data[8:].hex(), 2)}  |{shown}|",
            f"0x{offset:04x}:  {grouped(data.hex(), 4)}", grouped(data.hex(), 2), grouped(data.hex(), 2, ":"),
            grouped(data.hex().upper(), 8), "\\x" + grouped(data.hex(), 2, "\\x"), f"0x{data[:8].hex()}",
            f"{offset:07o} " + " ".join(f"{int.from_bytes(data[n : n + 2]):06o}" for n in range(0, 16, 2)),
            ", ".join(f"0x{b:02x}" for b in data), " ".join(f"{b:3}" for b in data[:8]),
        ]
    )  # fmt: skip


def port(rng: Random) -> str:
    a, b = rng.randrange(1, 65_536), rng.randrange(1, 65_536)
    ip = ".".join(str(rng.randrange(256)) for _ in range(4))
    return rng.choice(
        [
            f"{a}:{b}", f"{ip}:{a}", f"0.0.0.0:{a}->{b}/tcp", f"[::1]:{a}", f"{a}-{max(a, b)}",
            f"{ip}/{a % 33}",
            f"localhost:{a}", f"{ip}:{a} -> {ip}:{b}", f":{a}",
            f"tcp 0 0 {ip}:{a} 0.0.0.0:* LISTEN {b}/x", f"{ip}-{ip}",
        ]
    )  # fmt: skip


def ratio(rng: Random) -> str:
    a, b = rng.randrange(1, 1000), rng.randrange(1, 1000)
    return rng.choice(
        [
            f"{a}:{b}", f"{a}/{b}", f"{a}/{a + b} (0.{b:03})", f"{a}x{b}", f"{a * 16}x{b * 9}",
            f"{a}%", f"{a / b:.4f}",
            f"{a}:{b}:{a}", f"1/{b}", f"{a} of {a + b}", f"{a}/{a + b} {a + b}/{a + 2 * b}",
            f"{a}+{b}", f"{a}-{b}", f"p={a / 1000}",
        ]
    )  # fmt: skip


def object_id(rng: Random) -> str:
    tail = "".join(rng.choices(string.ascii_letters + string.digits, k=24))
    return rng.choice(
        [
            hexadecimal(rng, 24), f"call_{tail}", f"toolu_01{tail[:22]}", f"chatcmpl-{tail}",
            tail[:11], f"PROJ-{rng.randrange(10**5)}", f"arn:aws:iam::{digits(rng, 12)}:role/x",
            f"i-0{hexadecimal(rng, 16)}", f"00-{hexadecimal(rng, 32)}-{hexadecimal(rng, 16)}-01",
            base64.urlsafe_b64encode(rng.randbytes(12)).decode(),
        ]
    )  # fmt: skip


KINDS: dict[str, Callable[[Random], str]] = {
    "UUID v1": lambda rng: any_uuid(rng, 1),
    "UUID v4": lambda rng: any_uuid(rng, 4),
    "UUID v7": lambda rng: any_uuid(rng, 7),
    "ULID": ulid,
    "MD5": hashed("md5"),
    "SHA-1": hashed("sha1"),
    "SHA-256": hashed("sha256"),
    "commit, short": git_hash,
    "git describe": git_describe,
    "ids of services": object_id,
    "snowflake, Twitter": twitter_snowflake,
    "snowflake, Discord": discord_snowflake,
    "epoch, s": epoch(1),
    "epoch, ms": epoch(10**3),
    "epoch, us": epoch(10**6),
    "epoch, ns": epoch(10**9),
    "order number": order,
    "order number, Amazon": amazon_order,
    "order number, 8 to 16 digits": plain_order,
    "tracking number, UPS": ups,
    "tracking number, FedEx": fedex,
    "tracking number, USPS": usps,
    "tracking number, DHL": dhl,
    "ISBN": isbn,
    "EAN, UPC, GTIN": ean,
    "date": date,
    "time": time_of_day,
    "version": version,
    "MAC address": mac,
    "ISO 6709": iso_6709,
    "coordinates, floats": floats,
    "diff": hunk,
    "permissions, listings": permissions,
    "matrix row": matrix_row,
    "integers, CSV": csv,
    "hex dump": hex_dump,
    "ports, addresses": port,
    "ratios, sizes": ratio,
}

# Around an id, as tools and people put it.
SENTENCES = [
    "see {} for the details",
    "The result is {}.",
    "found: {}, done",
    "updated ({}) 3 times",
    "id {} of 12 was not found",
    "'{}' is not valid",
    "moved from {} to the archive",
    "line 12: {} - ok",
]


def some(kind: str, number: int) -> list[str]:
    """So many made-up ids, always the same ones."""
    rng = Random(f"{kind}/7")  # noqa: S311
    return [KINDS[kind](rng) for _ in range(number)]


def in_sentences(ids: list[str]) -> list[str]:
    return [SENTENCES[n % len(SENTENCES)].format(text) for n, text in enumerate(ids)]
