"""Texts that are hard on the anonymiser: for each rule and each gate, what nearly matches and what does.

A unit is repeated until a text has the size asked for. Units with a number in them give texts without two
equal parts, so that nothing can be looked up that was found before. A new rule needs units here: they show
that its pattern takes time by the size of the text, and not by its square.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

Unit = str | Callable[[int], str]


def repeated(unit: Unit, size: int) -> str:
    """The unit over and over, whole: about so many characters.

    Half a unit at the end may take the rules a round more, and then twice the text takes four times as long.
    """
    if isinstance(unit, str):
        return unit * max(size // len(unit), 1)
    parts: list[str] = []
    length = 0
    for n in count():
        parts.append(unit(n))
        length += len(parts[-1])
        if length >= size:
            return "".join(parts)
    raise AssertionError


# What may stand behind the words of rules, so that they nearly match over and over, or do.
ENDINGS = [
    " ", ": ", "=", "\t", "\n", "/", "-", ".", "1 ", '"', "'", "<", "| ", "(", "[", "x1y2z3 ",
]  # fmt: skip


def name_of(unit: Unit) -> str:
    """The unit as one reads it: the first one where it has a number."""
    return repr(unit if isinstance(unit, str) else unit(0))


def luhn(body: str) -> str:
    """The digits with the check digit of a payment card behind them."""
    total = sum(sum(divmod(int(c) * (2 - n % 2), 10)) for n, c in enumerate(reversed(body)))
    return body + str(-total % 10)


def iban(account: int) -> str:
    """A German account number with right check digits."""
    bban = f"{account % 10**18:018}"
    return f"DE{98 - int(bban + '131400') % 97:02}{bban}"


def card(n: int) -> str:
    return luhn(f"4{n * 7919 % 10**14:014}")


def phone(n: int) -> str:
    return f"{200 + n % 700}-{201 + n // 700 % 700}-{n % 10000:04}"


def ssn(n: int) -> str:
    return f"{100 + n % 700}-{10 + n // 700 % 80}-{n % 10000:04}"


# By rule: near misses, which make an expression begin over and over, then hits.
RULES: dict[str, list[Unit]] = {
    "private_key": [
        "-----BEGIN ",
        "-----BEGIN RSA PRIVATE KEY",
        "-----BEGIN A PRIVATE KEY-----\nMIIE\n-----END A PRIVATE KEY ",
        lambda n: f"-----BEGIN PRIVATE KEY-----\nMIIE{n}\n-----END PRIVATE KEY-----\n",
    ],
    "api_key": [
        "sk-",
        "sk_a-",
        "eyJ",
        "eyJhbGciO.",
        "SG.aaaaaaaaaaaaaaaa",
        "ghp_16C7e42 ",
        lambda n: f"ghp_{n:030} ",
        lambda n: f"eyJhbGci{n}.eyJzdWIi{n}.c2ln{n} ",
    ],
    "header": [
        "authorization: ",
        "authorization",
        "cookie: a",
        "cookie:a;",
        "x-api-key='",
        lambda n: f"Authorization: Digest {n}\n",
        lambda n: f"Cookie: sid={n}; a=b\n",
    ],
    "bearer_token": [
        "bearer ",
        "basic a",
        "basic\t\t\t\t",
        "Bearer aaaaaaa\n",
        lambda n: f"Bearer abc{n:08} ",
    ],
    "url_credentials": [
        "a://",
        "a://a:",
        "://a:b ",
        "aaaa+a.a-",
        "a://b@",
        "http://a/b c@d ",
        lambda n: f"https://jane:s3cr3t{n}@x.example/a ",
    ],
    "webhook": [
        "hooks.slack.com/services/",
        "hooks.slack.com/",
        "discord.com/api/webhooks/ ",
        lambda n: f"https://hooks.slack.com/services/T{n}/B{n}/x ",
    ],
    "signed_url": ["?sig=", "&sig=[", "?sig=&sig=", lambda n: f"https://x.example/?sig=a{n}b&x=1 "],
    "command_password": [
        "curl ",
        "curl -u ",
        "curl -u a ",
        "mysql ",
        "mysql -p ",
        "mysql -pp",
        "sshpass -p ",
        lambda n: f"curl -s -u jane:hunter{n} https://x.example\n",
        lambda n: f"mysql -uroot -phunter{n} x;",
    ],
    "named_value": [
        'name="a" ',
        'name="password" ',
        'name="password" value=',
        'id:"a",value:"b" ',
        "name='a" + "a" * 60,
        lambda n: f'<input name="password{n}" value="hunter{n}"> ',
    ],
    "quoted_password": [
        "password '",
        "login a password ",
        "login a ",
        "identified by ",
        "login\t\t\t\t",
        lambda n: f"alter role x with password 'hunter{n}'; ",
    ],
    "key_value": [
        "a=",
        "a: ",
        "a a a a ",
        "a a a a: ",
        "password=",
        "password: {",
        "password: [{",
        "password:\n",
        'password="',
        "password=\\",
        "password: |\n a\n",
        "password: 1 2 ",
        "password: a(",
        "'\"'\"",
        "\\\\",
        "a.b-c$d.e-",
        "password=x ",
        lambda n: f"password{n}=x ",
        lambda n: f'"k{n}": "v{n}", "apiKey{n}": "x{n}", ',
        lambda n: f"k{n}=v{n} ",
        lambda n: f"pw{n}=b ",
    ],
    "xml_element": [
        "<a>",
        "<a",
        "<password>",
        "<password><![CDATA[",
        "<password><![CDATA[a]]",
        "<a>b</a>",
        lambda n: f"<password{n}>hunter{n}</password{n}> ",
    ],
    "command_option": [
        "-a-",
        "--password ",
        "--passwor",
        "--password -",
        "-----token\t",
        lambda n: f"x --password hunter{n} ",
    ],
    "spoken_password": [
        "password for ",
        "password is ",
        "password is the ",
        "pin for aaaa aaaa aaaa aaaa ",
        "code\t\t\t\tis\t\t\t",
        lambda n: f"my password is hunter{n}, ",
    ],
    "birth_date": [
        "born ",
        "dob[REDACTED], ",
        "born [REDACTED] and ",
        "dob 1990-1-",
        "dob\n- ",
        "born May ",
        lambda n: f"born on {1900 + n % 100}-01-{n % 28 + 1:02}, ",
        lambda n: f"DOBs: 19{n % 90 + 10}-01-01, 1991-02-02 and 1992-03-03\n",
    ],
    "birth_date_before": [
        "1990-01-01 ",
        "1990-01-01 birth",
        "1-1-1-",
        "1990-01-01 dat dob ",
        lambda n: f"19{n % 90 + 10}-01-{n % 28 + 1:02} (dob) ",
    ],
    "card_last_four": [
        "card ending in ",
        "end ",
        "card ends ****",
        "card ending in 12345 ",
        lambda n: f"visa ending in {n % 10000:04} ",
    ],
    "card_masked": [
        "****",
        "* ",
        "....",
        "card ",
        "visa ****-",
        "xxxx-xxxx-",
        "card:...1",
        lambda n: f"**** **** **** {n % 10000:04} ",
    ],
    "card_digits_said": [
        "last four digits ",
        "last 4 digits of aaaaaaaa aaaa ",
        "last four digits are : ",
        lambda n: f"the last four digits of the card are {n % 10000:04} ",
    ],
    "card_code": [
        "cvv ",
        "cvc2 12 ",
        "security code ",
        "cvv aaaaaaaaaaaa1",
        lambda n: f"cvv {100 + n % 900} ",
    ],
    "email": [
        "a@",
        "a.",
        "@",
        "a@a.",
        "a@a.1 ",
        "a%40",
        "%25",
        "é@",
        "é.",
        "a\\u0040",
        "a@3x.png ",
        "a@" + "a-" * 30,
        "jane@example.com ",
        lambda n: f"user{n}@example.com ",
        lambda n: f"user{n}%40example%2Ecom&",
    ],
    "iban": [
        "DE89",
        "DE89 3704 ",
        "DE89370400440532013001 ",
        "AA00AA00AA00AA00 ",
        "DE89-",
        lambda n: f"{iban(n * 7919 + 10**10)} ",
    ],
    "card": [
        "1",
        "4",
        "1-2 ",
        "4 ",
        "4-",
        "4111 ",
        "4111 1111 1111 1112 ",
        "4111-1111.",
        "3782 822463 ",
        lambda n: f"{card(n)} ",
        lambda n: f"{' '.join(card(n)[i : i + 4] for i in (0, 4, 8, 12))}, ",
    ],
    "ssn": ["123-", "123-45-", "123-45-6789-", "123 45 6789a ", "1.123-45-6789 ", lambda n: f"{ssn(n)} "],
    "ssn_labelled": ["ssn ", "ssn: 12345678 ", "social security ", lambda n: f"ssn {n * 7919 % 10**9:09} "],
    "phone_international": [
        "+1 ",
        "+1",
        "+1 2 3 ",
        "001 ",
        "+1 555 010 4477 1 ",
        "+1-2-3-4-5-6-7-8-9-0-1-2-3-4-5-6-7 ",
        "+1()/-.",
        lambda n: f"+1 {phone(n)} ",
        lambda n: f"+49 30 {n * 7919 % 10**7:07}, ",
    ],
    "phone_national": [
        "555-",
        "555 010 ",
        "0123 45 ",
        "01 ",
        "(0",
        "(030) ",
        "030/12-",
        "01-23-45-67-89-",
        "555-010-44770 ",
        lambda n: f"{phone(n)} ",
        lambda n: f"030 {n * 7919 % 10**6:06}-{n % 90 + 10}, ",
    ],
    "phone_labelled": [
        "tel ",
        "phone number is ",
        "phone no.no.no.",
        "tel 1 2 3 ",
        "sms:123456 ",
        lambda n: f"phone {n * 7919 % 10**10:010} ",
    ],
}

# Rules of one form each: what begins them over and over, and what they match.
RULES |= {
    "api_key_form": ["sk-", "eyJ.", "t1."],
    "api_key_run": ["sk_", "npm_a1 ", "dapi0"],
    "cookie": ["cookie ", "Cookie: a=b; "],
    "device_number": ["12345678901234 ", "imei 1"],
    "device_password": ["snmp-server ", "key 7 ", "WIFI:T:"],
    "header_key": ["x-a-", "x-api-key: abc "],
    "home_folder": ["/home/", "C:\\Users\\", "/Users/jane/x "],
    "html_tag": ["<input ", "<a value=", '<input type="password" value="x">'],
    "ip_any": ["1.2.", "203.0.113.7 "],
    "ip_labelled": ["client ", "client 203.0.113.7 ", "ip: 1."],
    "ip_public": ["203.0.", "203.0.113.7 "],
    "label_cell": ["| a ", "token\t", "<td>a</td>", "a\n---\n", "**a** ", "**token** `x1` "],
    "label_prose": ["a is ", "token - x1 ", "a - "],
    "validation_error": [
        "a\n ",
        "password\n x [type=a, ",
        "loc: (",
        "loc: ('a',) ",
        "a.b-",
        lambda n: f"password{n}\n  bad [type=x, input_value='hunter{n}', input_type=str]\n",
    ],
    "seed_phrase": [
        "seed ",
        "seed phrase: a",
        "seed: abc abc abc ",
        "words",
        "mnemonic is abandon " + "able " * 11,
    ],
    "national_id": ["529.982.", "12345 ", "529.982.247-25 "],
    "national_id_alone": ["1", "1 2 "],
    "national_id_labelled": ["passport ", "passport 340020013 "],
    "one_time_code": ["your code ", "use ", "123456 is "],
    "api_token_of_this_store": ["bcpa_", "bcpa_0123456789abcdef"],
    "password_hash": ["$2b$", "$6$a$", "$2b$12$abcdefghijklmnopqrstuv "],
    "position": ["48.8", "48.858370, 2.294481 ", "48.858370, "],
    "postal_address": ["109 Willow ", "ZIP ", "109 Willow Lane, Springfield, IL 62704 "],
    "proxy_credentials": ["a:b@", "u:", "u:pw1@proxy:8080 "],
    "setting_password": ["ENV ", "set -x ", "ENV DB_PASSWORD x "],
    "sql_insert": ["insert into t (", "insert into t (password) values ('x') "],
    "ssh_comment": ["ssh-rsa AAAA ", "ssh-rsa AAAAB3 jane@laptop "],
    "table": ["a,b\n", "password,a\n", lambda n: "1,x\n" if n else "id,password\n"],
    "titled_name": ["Mr. ", "Mr. Jane Roe "],
    "typed_value": [
        "a: str = ",
        "password: str ",
        "password: str = x ",
        lambda n: f"password{n}: str = 'x{n}'\n",
    ],
    "argument": [
        'fill("#password',
        '"password", ',
        "#define TOKEN ",
        'variable "token" { default',
        "openssl enc ",
        "twine -p ",
        "expect 'passw",
        '<meta name="token" ',
        "a:5432:b:",
        "invalid token x",
        "token a1b2c3d4 ",
        'getConnection(a, "b", ',
        lambda n: f"page.fill('#password', 'x{n}y')\n",
        lambda n: f"token x{n}y{n}zabc expired\n",
    ],
    "email_spelled": ["a [at] ", "a.b (at) c (dot) ", lambda n: f"jane{n} [at] example [dot] com "],
    "marked_label": [
        "password: \u00ab",
        "password: &quot;",
        "token you asked ",
        "pin will be ",
        "recovery codes:\n1. a1b2\n",
        "geb. 1.1. ",
        "\n! password\n| ",
        lambda n: f"password: \u00ab x{n}y \u00bb ",
    ],
    "configured_secret": [
        "winexe -U a%",
        "winexe -U a",
        "poetry config http-basic.a b ",
        "cache_peer a login=",
        "stats auth a:",
        "setattr(a, 'password', '",
        "echo a | docker ",
        "key 1 md5 ",
        "a1 login b ",
        lambda n: f"proxy_set_header X-Api-Key x{n}y;\n",
    ],
    "api_key_named": ["signkey-prod-", "mlsn.", "ya29.", lambda n: f"tgp_v1_{n:020d}abc "],
    "told_pair": [
        "creds: bob ",
        "login bob:",
        "bob/x1y2z3 ",
        "use x1y2z3 as ",
        "set the db password to ",
        "user a and password ",
        "\u30d1\u30b9\u30ef\u30fc\u30c9\u306f",
        "code de confirmation ",
        "creds: bob / x1y1z\n",
        lambda n: f"creds: bob / x1y{n}z\n",
        lambda n: f"creds: bob / x{n}y{n}z\n",
    ],
    "told_password": [
        "with password ",
        "password to ",
        "password a1a1a",
        "pass a1b2c3 ",
        lambda n: f"log in with password x{n}y{n}z ",
    ],
    "vehicle": ["1HGCM82633A004352 ", "plate "],
    "wallet": ["0x", "0x52908400098527886E0F7030069857D2E4169EE7 "],
}

# By column of bcp_internal.anonymizer_state: what makes the gate begin over and over, mostly without a match.
GATES: dict[str, list[Unit]] = {
    "digit_gates": [
        "1",
        "4 ",
        "4-4-",
        "12 ",
        "123-",
        "1234 ",
        "01 ",
        "01-2-",
        "(0",
        "+1 ",
        "*.",
        "x1234",
        "4./ _",
    ],
    "word_gates": [
        "a",
        "e",
        "end ",
        "x-",
        "basi ",
        "s.k-",
        "://a",
        "--a-",
        "card ending ",
        "code  ",
        "phone no.no.",
        "phone number ",
        "birt",
        "private ke ",
    ],
}
