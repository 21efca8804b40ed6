"""Made-up national numbers with right check digits, one generator per family.

Each is written anew from the rule of its country, not from the SQL that is tested.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from string import ascii_uppercase

Rng = random.Random
FAMILIES: dict[str, Callable[[Rng], str]] = {}


def family(make: Callable[[Rng], str]) -> Callable[[Rng], str]:
    FAMILIES[make.__name__.replace("_", " ")] = make
    return make


def digits(rng: Rng, count: int, first: str = "0123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def day(rng: Rng) -> tuple[str, str, str]:
    """Two digits each of a year, a month and a day."""
    return f"{rng.randrange(100):02}", f"{rng.randint(1, 12):02}", f"{rng.randint(1, 28):02}"


def total(number: str, weights: list[int]) -> int:
    return sum(int(d) * w for d, w in zip(number, weights, strict=False))


def luhn_digit(number: str) -> str:
    doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(reversed(number))]
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def until(rng: Rng, make: Callable[[Rng], str | None]) -> str:
    """Made again where the remainder is one that no number has."""
    while (number := make(rng)) is None:
        pass
    return number


@family
def brazil_cpf(rng: Rng) -> str:
    number = digits(rng, 9)
    for weights in (list(range(10, 1, -1)), list(range(11, 1, -1))):
        number += str(total(number, weights) * 10 % 11 % 10)
    return number


@family
def brazil_cpf_written(rng: Rng) -> str:
    n = brazil_cpf(rng)
    return f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"


@family
def brazil_cnpj(rng: Rng) -> str:
    number = digits(rng, 8) + "0001"
    for weights in ([5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2], [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]):
        number += str(total(number, weights) * 10 % 11 % 10)
    return f"{number[:2]}.{number[2:5]}.{number[5:8]}/{number[8:12]}-{number[12:]}"


@family
def chile_rut(rng: Rng) -> str:
    number = digits(rng, 8, "12")
    check = "0K987654321"[total(number[::-1], [2, 3, 4, 5, 6, 7, 2, 3]) % 11]
    return f"{number[:2]}.{number[2:5]}.{number[5:]}-{check}"


@family
def poland_pesel(rng: Rng) -> str:
    number = "".join(day(rng)) + digits(rng, 4)
    return number + str(-total(number, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)


@family
def poland_nip(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        n = digits(rng, 9, "123456789")
        check = total(n, [6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11
        return f"{n[:3]}-{n[3:6]}-{n[6:8]}-{n[8]}{check}" if check < 10 else None

    return until(rng, make)


@family
def germany_tax(rng: Rng) -> str:
    # Ten digits of which one comes twice, so that one is missing.
    pool = rng.sample("0123456789", 9)
    pool.append(rng.choice(pool))
    rng.shuffle(pool)
    if pool[0] == "0":
        pool.sort(reverse=True)
    product = 10
    for d in pool:
        product = ((int(d) + product) % 10 or 10) * 2 % 11
    return "".join(pool) + str((11 - product) % 10)


@family
def turkey_tckn(rng: Rng) -> str:
    n = digits(rng, 9, "123456789")
    n += str((sum(map(int, n[0::2])) * 7 - sum(map(int, n[1::2]))) % 10)
    return n + str(sum(map(int, n)) % 10)


@family
def norway_fodselsnummer(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        year, month, dd = day(rng)
        n = dd + month + year + digits(rng, 3)
        for weights in ([3, 7, 6, 1, 8, 9, 4, 5, 2], [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]):
            check = -total(n, weights) % 11
            if check == 10:
                return None
            n += str(check)
        return n

    return until(rng, make)


@family
def sweden_personnummer(rng: Rng) -> str:
    n = "".join(day(rng)) + digits(rng, 3)
    return f"{n[:6]}-{n[6:]}{luhn_digit(n)}"


@family
def finland_hetu(rng: Rng) -> str:
    year, month, dd = day(rng)
    serial = f"{rng.randint(2, 899):03}"
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(dd + month + year + serial) % 31]
    return f"{dd}{month}{year}{rng.choice('-A')}{serial}{check}"


@family
def denmark_cpr(rng: Rng) -> str:
    year, month, dd = day(rng)
    return f"{dd}{month}{year}-{digits(rng, 4)}"


@family
def czechia_rodne_cislo(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        year, month, dd = day(rng)
        n = year + str(int(month) + rng.choice((0, 50))).zfill(2) + dd + digits(rng, 3)
        check = int(n) % 11
        return f"{n[:6]}/{n[6:]}{check}" if check < 10 else None

    return until(rng, make)


@family
def australia_abn(rng: Rng) -> str:
    rest = digits(rng, 9)
    for first in range(10, 100):
        n = f"{first}{rest}"
        if (total(n, [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) - 10) % 89 == 0:
            return f"{n[:2]} {n[2:5]} {n[5:8]} {n[8:]}"
    return australia_abn(rng)


@family
def australia_tfn(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        n = digits(rng, 9, "123456789")
        return n if total(n, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 == 0 else None

    return until(rng, make)


@family
def canada_sin(rng: Rng) -> str:
    n = digits(rng, 8, "1234567")
    n += luhn_digit(n)
    return f"{n[:3]}-{n[3:6]}-{n[6:]}"


@family
def netherlands_bsn(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        n = digits(rng, 9, "123456789")
        return n if (total(n, [9, 8, 7, 6, 5, 4, 3, 2]) - int(n[8])) % 11 == 0 else None

    return until(rng, make)


@family
def portugal_nif(rng: Rng) -> str:
    n = digits(rng, 8, "12356")
    check = 11 - total(n, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
    return n + str(check if check < 10 else 0)


@family
def england_nhs(rng: Rng) -> str:
    def make(rng: Rng) -> str | None:
        n = digits(rng, 9, "467")
        check = -total(n, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11
        return n + str(check) if check < 10 else None

    return until(rng, make)


@family
def britain_nino(rng: Rng) -> str:
    letters = rng.choice("ABCEGHJKLMNPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
    return letters + digits(rng, 6) + rng.choice("ABCD")


@family
def india_aadhaar(rng: Rng) -> str:
    def times(a: int, b: int) -> int:
        """The product of two elements of the pentagon's dihedral group: 0 to 4 turns, 5 to 9 reflections."""
        turn = (a + b) % 5 if a < 5 else (a - b) % 5
        return turn + (5 if (a < 5) != (b < 5) else 0)

    power = list(range(10))
    powers = [power]
    for _ in range(7):
        power = [(1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[d] for d in power]
        powers.append(power)
    number = digits(rng, 11, "23456789")
    for check in "0123456789":
        product = 0
        for i, d in enumerate(reversed(number + check)):
            product = times(product, powers[i % 8][int(d)])
        if product == 0:
            n = number + check
            return f"{n[:4]} {n[4:8]} {n[8:]}"
    raise AssertionError(number)


@family
def india_pan(rng: Rng) -> str:
    return "".join(rng.choices(ascii_uppercase, k=5)) + digits(rng, 4) + rng.choice(ascii_uppercase)


@family
def spain_dni(rng: Rng) -> str:
    n = digits(rng, 8)
    return n + "TRWAGMYFPDXBNJZSQVHLCKE"[int(n) % 23]


@family
def spain_nie(rng: Rng) -> str:
    first = rng.randrange(3)
    n = digits(rng, 7)
    return "XYZ"[first] + n + "TRWAGMYFPDXBNJZSQVHLCKE"[int(f"{first}{n}") % 23]


@family
def italy_codice_fiscale(rng: Rng) -> str:
    letters = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
    odd = dict(zip("0123456789" + ascii_uppercase, letters[:10] + letters, strict=True))
    year, _, dd = day(rng)
    n = "".join(rng.choices(ascii_uppercase, k=6)) + year + rng.choice("ABCDEHLMPRST") + dd
    n += rng.choice(ascii_uppercase) + digits(rng, 3)
    value = sum(
        odd[c] if i % 2 == 0 else int(c) if c.isdigit() else ascii_uppercase.index(c) for i, c in enumerate(n)
    )
    return n + ascii_uppercase[value % 26]


@family
def france_insee(rng: Rng) -> str:
    year, month, _ = day(rng)
    n = rng.choice("12") + year + month + f"{rng.randint(1, 95):02}" + digits(rng, 6)
    key = f"{97 - int(n) % 97:02}"
    return f"{n[0]} {n[1:3]} {n[3:5]} {n[5:7]} {n[7:10]} {n[10:]} {key}"


@family
def belgium_rijksregister(rng: Rng) -> str:
    year, month, dd = day(rng)
    n = year + month + dd + f"{rng.randint(1, 997):03}"
    return f"{year}.{month}.{dd}-{n[6:]}.{97 - int(n) % 97:02}"


@family
def switzerland_ahv(rng: Rng) -> str:
    n = "756" + digits(rng, 9)
    n += str(-total(n, [1, 3] * 6) % 10)
    return f"{n[:3]}.{n[3:7]}.{n[7:11]}.{n[11:]}"


@family
def russia_snils(rng: Rng) -> str:
    n = digits(rng, 9, "123456789")
    return f"{n[:3]}-{n[3:6]}-{n[6:]} {total(n, list(range(9, 0, -1))) % 101 % 100:02}"


@family
def romania_cnp(rng: Rng) -> str:
    n = rng.choice("1256") + "".join(day(rng)) + f"{rng.randint(1, 46):02}" + digits(rng, 3)
    check = total(n, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11
    return n + str(1 if check == 10 else check)


@family
def south_africa_id(rng: Rng) -> str:
    n = "".join(day(rng)) + digits(rng, 4) + rng.choice("01") + "8"
    return n + luhn_digit(n)


@family
def korea_rrn(rng: Rng) -> str:
    return "".join(day(rng)) + "-" + digits(rng, 7, "1234")


@family
def china_id(rng: Rng) -> str:
    year, month, dd = day(rng)
    n = digits(rng, 6, "123456") + "19" + year + month + dd + digits(rng, 3)
    return n + "10X98765432"[total(n, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11]


@family
def singapore_nric(rng: Rng) -> str:
    first = rng.choice("STFG")
    n = digits(rng, 7)
    value = total(n, [2, 7, 6, 5, 4, 3, 2]) + (4 if first in "TG" else 0)
    return first + n + ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[value % 11]


@family
def hong_kong_id(rng: Rng) -> str:
    letter = rng.choice(ascii_uppercase)
    n = digits(rng, 6)
    check = -(36 * 9 + (ord(letter) - 55) * 8 + total(n, [7, 6, 5, 4, 3, 2])) % 11
    return f"{letter}{n}({'A' if check == 10 else check})"


@family
def taiwan_id(rng: Rng) -> str:
    letter = rng.choice(ascii_uppercase)
    code = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    n = digits(rng, 8, "12")
    return f"{letter}{n}{-(code // 10 + code % 10 * 9 + total(n, [8, 7, 6, 5, 4, 3, 2, 1])) % 10}"


@family
def mexico_curp(rng: Rng) -> str:
    n = "".join(rng.choices(ascii_uppercase, k=4)) + "".join(day(rng)) + rng.choice("HM")
    n += "".join(rng.choices(ascii_uppercase, k=5)) + rng.choice("0A")
    order = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
    return n + str(-sum(order.index(c) * (18 - i) for i, c in enumerate(n)) % 10)


@family
def mexico_rfc(rng: Rng) -> str:
    return "".join(rng.choices(ascii_uppercase, k=4)) + "".join(day(rng)) + digits(rng, 2) + rng.choice("0A")


@family
def united_states_medicare(rng: Rng) -> str:
    letter, either = "ACDEFGHJKMNPQRTUVWXY", "0123456789ACDEFGHJKMNPQRTUVWXY"

    def one(pool: str) -> str:
        return rng.choice(pool)

    return (
        f"{digits(rng, 1, '123456789')}{one(letter)}{one(either)}{digits(rng, 1)}-{one(letter)}{one(either)}"
        f"{digits(rng, 1)}-{one(letter)}{one(letter)}{digits(rng, 2)}"
    )


@family
def united_states_itin(rng: Rng) -> str:
    return f"9{digits(rng, 2)}-{rng.choice(('50', '65', '70', '88', '92', '99'))}-{digits(rng, 4)}"


@family
def european_vat(rng: Rng) -> str:
    country, count = rng.choice((("DE", 9), ("IT", 11), ("PL", 10), ("PT", 9), ("SI", 8)))
    return country + digits(rng, count)
