"""Secrets on command lines, in SQL, headers, addresses, settings of devices, hashes and messages."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.spent import seconds
from tests.sql.anonymizer_corpus import PLAIN
from tests.sql.masking import mask_all

Db = psycopg.Connection[Any]
S = "qu4rtz-Moth"
SEALED = "[REDACTED]"


def mask(db: Db, text: str) -> str:
    row = db.execute("select bcp_internal.anonymize_text(%s)", [text]).fetchone()
    assert row is not None
    return str(row[0])


# %s stands for the secret: it alone gives way to the marker.
COMMANDS = [
    "curl -u ada:%s https://shop.example/v1",
    "curl -uada:%s https://shop.example/v1",
    "curl --silent --user 'ada:%s' https://shop.example",
    'curl --user="ada:%s" https://shop.example',
    "curl --proxy-user ada:%s https://shop.example",
    'curl -s -b "sess=%s" https://shop.example',
    "curl --cookie sess=%s https://shop.example",
    "http -a ada:%s GET shop.example",
    "https --auth=ada:%s shop.example",
    "wget --password=%s ftp://shop.example/x",
    "wget --http-password %s http://shop.example/x",
    "sshpass -p %s ssh ada@10.1.1.1",
    "sshpass -p'%s' ssh host",
    'sshpass -p "%s" scp a b',
    "sshpass -v -p%s ssh host",
    "mysql -h db -uroot -p%s shop",
    "mysqldump --all-databases -p'%s' > x.sql",
    "mariadb-admin -u root -p%s ping",
    "docker login -u ada -p %s registry.example",
    "docker login registry.example -u ada -p '%s'",
    "podman login -u ada -p=%s quay.example",
    "helm registry login -u ada -p %s quay.example",
    "oc login -u ada -p %s https://c.example:6443",
    "az login --service-principal -u 11-22 -p %s --tenant t",
    "az acr login -n reg -u ada -p %s",
    "mongosh -u ada -p %s --host db",
    "mongodump -p %s",
    "redis-cli -h cache -a %s ping",
    "redis-cli AUTH %s",
    "AUTH %s",
    "AUTH default %s",
    "127.0.0.1:6379> AUTH ada %s",
    "psql 'host=db user=ada password=%s'",
    "PGPASSWORD=%s psql -h db",
    "sqlcmd -S db -U sa -P %s -Q 'select 1'",
    "bcp t out f -S db -U sa -P'%s'",
    "ipmitool -H bmc -U root -P %s power status",
    "zip -P %s out.zip in",
    "unzip -P %s out.zip",
    "7z x -p%s archive.7z",
    "ldapsearch -x -D cn=admin -w %s -b dc=x",
    "openssl enc -aes-256-cbc -pass pass:%s -in a",
    "openssl rsa -in k.pem -passin pass:%s -passout pass:%s",
    "keytool -list -keystore ks -storepass %s -keypass %s",
    "plink -ssh host -pw %s uptime",
    "smbclient //srv/share -U ada%%%s",
    "xfreerdp /v:srv /u:ada /p:%s",
    "cmdkey /add:srv /user:ada /pass:%s",
    "net use z: /user:ada %s",
    r"NET USE \\srv\share /USER:corp\ada %s",
    "net user ada %s /add",
    "sqlplus scott/%s@orcl",
    "sqlplus -s scott/%s@orcl @run.sql",
    "expdp system/%s@db directory=d",
    "connect scott/%s@orcl",
    "CONN scott/%s@orcl",
    "jdbc:oracle:thin:scott/%s@db:1521/x",
    'echo "ada:%s" | chpasswd',
    "echo ada:%s | sudo chpasswd -e",
    "echo %s | docker login -u ada --password-stdin",
    "echo '%s' | sudo -S apt update",
    "htpasswd -b .htpasswd ada %s",
    "vault login %s",
    "vault kv put secret/shop password=%s",
    "rabbitmqctl add_user ada %s",
    "wpa_passphrase home-net %s",
    "kubectl --token=%s get pods",
    "helm install x --set db.password=%s",
    "npm config set //registry.example/:_authToken %s",
    "//registry.example/:_authToken=%s",
    "aws configure set aws_secret_access_key %s",
    "git config --global gitlab.token %s",
    "ENV DB_PASSWORD %s",
    "set -x DB_PASSWORD %s",
    "set -gx API_TOKEN '%s'",
    "setx SHOP_API_KEY %s",
    "login --pw %s",
    "login --pass %s --force",
    "tool --client-secret '%s' run",
    "tool --api-key=%s run",
    "export https_proxy=ada:%s@proxy.example:3128",
    "ada:%s@proxy:8080",
    "machine x login ada password %s",
    "machine x\n  login ada\n  password %s\n",
    # Lists, as they read once the elements are joined.
    "sshpass \t-p \t%s \tssh",
    "net \tuse \t/user:ada \t%s",
    "x \t--pw \t%s",
    "mysql \t-p%s",
    "docker \tlogin \t-u \tada \t-p \t%s",
    "curl \t-u \tada:%s \thttps://x.example",
    "curl \t-H \tX-Api-Key: %s",
    "curl \t--cookie \tsess=%s",
]
SQL = [
    "create user ada identified by '%s'",
    "CREATE USER ada IDENTIFIED BY %s;",
    "create user 'a'@'%%' identified with mysql_native_password by '%s'",
    "alter role ada with encrypted password '%s'",
    "ALTER USER ada PASSWORD '%s'",
    "SET PASSWORD FOR 'ada'@'%%' = '%s'",
    "SET PASSWORD FOR 'ada'@'%%' = PASSWORD('%s')",
    "select crypt('%s', gen_salt('bf'))",
    "select 1 from u where password like '%s'",
    "select 1 from u where password = '%s'",
    "insert into u (mail, password) values ('x', '%s')",
    'login("ada", "%s")',
    "client.sign_in('ada', '%s')",
    "HTTPBasicAuth('ada', '%s')",
    'user.setPassword("%s")',
    "user.set_password('%s')",
    "page.authenticate('ada', '%s', true)",
]
HEADERS = [
    "X-Api-Key: %s",
    "x-functions-key: %s",
    "CF-Access-Client-Secret: %s",
    "X-Amz-Security-Token: %s",
    "X-Shop-Signature: %s",
    "Ocp-Apim-Subscription-Key: %s",
    "JSESSIONID=%s",
    "connect.sid=%s; x",
    "PHPSESSID=%s",
    "see https://x.example/y?sig=%s&b=2",
    "see https://x.example/y?Signature=%s",
    "see https://x.example/y?apikey=%s&b=2",
    "see https://x.example/y?access_token=%s",
    "https://x.example/cb?state=1&code=4Qx%sZ9",
    "https://%s@x.example/y",
]
DEVICES = [
    "snmp-server community %s RO",
    "username ada privilege 15 password 7 %s",
    "enable secret 5 %s",
    "radius-server host 10.0.0.1 key %s",
    "shared-secret %s",
    "pre-shared-key %s",
    "WIFI:T:WPA;S:home;P:%s;;",
    "nmcli dev wifi connect home password %s",
    "ssh-rsa AAAAB3NzaC1yc2E= %s",
    "ssh-ed25519 AAAAC3NzaC1lZDI1 %s",
]
MESSAGES = [
    "My password is %s, thanks",
    "the passphrase for the laptop is %s",
]


# What stays of these beside the secret is for other rules to say.
ALSO = [
    "kubectl create secret generic s --from-literal=password=%s",
    "pip install --index-url https://ada:%s@pypi.example/simple x",
    "git remote add origin https://ada:%s@git.example/x.git",
    'curl -H \'Authorization: Digest a="b", c="%s"\' y',
    "curl -H 'Cookie: a=b9; c=%s' y",
    "select 1 from u where password like '%s%%'",
]


def test_no_secret_is_left_where_other_rules_look_too(db: Db) -> None:
    masked = mask_all(db, [form % S for form in ALSO])
    assert [text for text in masked if S in text] == []
    assert mask_all(db, masked) == masked


@pytest.mark.parametrize("form", [*COMMANDS, *SQL, *HEADERS, *DEVICES, *MESSAGES])
def test_the_secret_gives_way_and_the_rest_stays(db: Db, form: str) -> None:
    count = form.replace("%%", "").count("%s")
    secret, sealed = (form % ((value,) * count) for value in (S, SEALED))
    if "Qx[RED" in sealed:
        sealed = sealed.replace("4Qx[REDACTED]Z9", SEALED)
    masked = mask(db, secret)
    assert masked == sealed
    assert mask(db, masked) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Basic YWRhOng5", "Authorization: [REDACTED]"),
        ("Authorization: token x9", "Authorization: [REDACTED]"),
        ("authorization: AnyScheme x9", "authorization: [REDACTED]"),
        ('Authorization: Digest username="a b", nonce="c", response="d9"', "Authorization: [REDACTED]"),
        ("Authorization: OAuth a=1, oauth_signature=x9\nHost: y", "Authorization: [REDACTED]\nHost: y"),
        ('Cookie: a="b c"; d=e9\nHost: y', "Cookie: [REDACTED]\nHost: y"),
        ("Set-Cookie: sid=b99; Path=/; HttpOnly", "Set-Cookie: [REDACTED]"),
        ("got Bearer ab12cd34 ok", "got Bearer [REDACTED] ok"),
        ('"Bearer: ab12cd34ef"', '"Bearer: [REDACTED]"'),
        ("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\n\nx9\n-----END PGP PRIVATE KEY BLOCK-----", SEALED),
        ("a\nPrivate-Lines: 2\nAAAx9\nAAAy9\nPrivate-MAC: 0af1\nb", "a\n[REDACTED]\nb"),
        ("root:$6$salt$abc9/hash.:19000:0:::", "root:[REDACTED]:19000:0:::"),
        ("$2b$12$" + "Abcdefghijk9lmnopqrstu" * 2 + " x", "[REDACTED] x"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaGhhc2g", SEALED),
        ("ada:$apr1$salt9$" + "abcdefghijklmnopqrstuv", "ada:[REDACTED]"),
        ("pbkdf2_sha256$260000$salt9$aGFzaGhhc2hoYXNo=", SEALED),
        ("userPassword: {SSHA}aGFzaGhhc2hoYXNo9", "userPassword: [REDACTED]"),
        ("otpauth://totp/x?secret=JBSWY3DP&issuer=y", "otpauth://totp/x?secret=[REDACTED]&issuer=y"),
        (
            "https://chat.googleapis.com/v1/spaces/A/messages?key=k9&token=t9",
            "https://chat.googleapis.com/v1/spaces/A/messages?[REDACTED]",
        ),
        ("G-481516 is your Google verification code", "[REDACTED] is your Google verification code"),
        ("481516 is your code", "[REDACTED] is your code"),
        ("Your code is 481516.", "Your code is [REDACTED]."),
        ("Your Acme code: 481 516", "Your Acme code: [REDACTED]"),
        ("Use 481516 to verify your account", "Use [REDACTED] to verify your account"),
        ("Enter code 4815 to sign in", "Enter code [REDACTED] to sign in"),
        ("verification code: 481516", "verification code: [REDACTED]"),
        ("login code 481-516", "login code [REDACTED]"),
        ("OTP 481516 valid for 5 minutes", "OTP [REDACTED] valid for 5 minutes"),
        ("your TAN 481516", "your TAN [REDACTED]"),
        (
            "curl -u a:x9y -b s=z9y u && curl -u b:w9y u",
            "curl -u a:[REDACTED] -b s=[REDACTED] u && curl -u b:[REDACTED] u",
        ),
    ],
)
def test_of_several_words_only_the_secret_goes(db: Db, text: str, masked: str) -> None:
    assert mask(db, text) == masked
    assert mask(db, masked) == masked


HARMLESS = [
    "Usage: login --password <password>",
    "curl -u $USER:$PASS https://x.example",
    "curl -u ada:${PASS} https://x.example",
    "sshpass -p $PW ssh x",
    "mysql -h x -P 3306 -p db",
    "mysql -p$PW x",
    "docker run -p 8080:80 -u 1000:1000 nginx",
    "docker run -it --user node:node x",
    "curl -o a:b https://x.example",
    "redis-cli -a $AUTH ping",
    "az vm create -n x -g y",
    "net use",
    "openssl rsa -passin file:pw.txt",
    "openssl rsa -passin env:PW",
    "tool --password-file x.txt --max-tokens 12",
    "aws s3 ls --starting-token abc",
    "alter role x password '{{ pw }}'",
    "ENV PATH /usr/bin",
    "ENV DB_PASSWORD $PW",
    "connect to/from the host",
    "AUTH FAILED",
    "AUTH LOGIN",
    "bearer of bad news 2024",
    "basic economy 2024",
    "Basic information follows",
    "Authorization required",
    "Cookie missing.",
    "X-Request-Id: abc-1",
    "X-Idempotency-Key: abc-1",
    "Idempotency-Key: abc-1",
    "https://x.example/?code=404",
    "https://x.example/?code=DE",
    "https://x.example/?code=ERR_NOT_FOUND",
    "score 3:2@home, ratio 16:9, at 10:30",
    "nginx:1.25@sha256:9f86d081884c7d659a2feaa0c55ad015",
    "ssh-ed25519 AAAAC3NzaC1lZDI1",
    "the error code is 481516",
    "your order code is 481516",
    "your confirmation code: 481516",
    "exit code 1234, order 481516, on 2024-05-17",
    "Your code is on line 1234",
    "2024 is the year of your pin",
    "enable password protection for the account",
    "the username and password fields",
    "identified by the team",
    "price $1.50, $5 and $6, $2b more",
    "awk '{print $1$2}'",
    "SELECT password FROM u",
    "insert into t (a, b) values ('x', 'y')",
    "echo hello | sudo tee x",
    "echo $PW | docker login --password-stdin",
    "the password is required",
    "snmp-server location roof",
    "WIFI: on; P: 12",
    "import a/b@c from x",
]


def test_what_is_no_secret_stays(db: Db) -> None:
    masked = mask_all(db, HARMLESS)
    assert [pair for pair in zip(HARMLESS, masked, strict=True) if pair[0] != pair[1]] == []


def test_plain_documents_of_the_corpus_meet_none_of_the_rules(db: Db) -> None:
    texts = [str(doc) for doc in PLAIN]
    row = db.execute(
        "select array_agg(distinct r.name || ': ' || substring(t from r.pattern))"
        " from unnest(%s::text[]) as t"
        " join bcp_internal.anonymizer_rules r on t ~ r.pattern"
        " where r.name = any (%s) and r.name not in ('url_credentials', 'spoken_password')",
        [texts, RULES],
    ).fetchone()
    assert row == (None,)


RULES = [
    "private_key", "api_key", "api_key_form", "api_key_run", "password_hash", "header", "header_key",
    "cookie",
    "bearer_token", "url_credentials", "webhook", "signed_url", "command_password", "proxy_credentials",
    "quoted_password", "setting_password", "device_password", "command_option", "spoken_password",
    "one_time_code",
]  # fmt: skip
HOSTILE = [
    "sk-", "sk-a", "eyJ", "eyJa.", "AAAA", "xoxb-", "gh", "pat", "a_", "A3T", "1", "12345678:AA", "a.",
    "0" * 32 + "-",
    "-----BEGIN ", "-----BEGIN PRIVATE KEY", "Private-Lines: 1 ", "$2", "$6$a", "$1$a$", "sha1$", "{SSHA}",
    "Authorization: ", "Authorization: a b=", "Authorization: Digest a=b, ", "Cookie: ", "Cookie: a=",
    "Cookie: a=b;",
    "x-a", "x-key", "bearer ", "basic a", "://", "a://b:", "a://@", "hooks.slack.com/", "?sig=",
    "&code=a", "&code=1a",
    "curl -u ", "curl ", "-u a", "mysql ", "mysql -", "net use ", "/user:a ", "echo ", "echo a|",
    "-pass ", "AUTH ", "AUTH a ",
    "connect a/", "docker login ", "a:b", "a:b@", "a:b@c:", "password ", "password '", "identified by ",
    "login('a', ",
    "insert into (", "insert into t (password", "login a ", "env ", "set -a password", "config ",
    "snmp-server community ",
    "key 7 ", "username ", "enable password ", "WIFI:", "WIFI:A:;", "ssh-rsa AAAA", "ssh-rsa ",
    "--password ", "--", "-a",
    "password is ", "your code ", "your ", "your a ", "use 1", "1234 is your ", "otp ", "pin",
    "123 456 is the ",
]  # fmt: skip


@pytest.mark.any_target("the code is the same, and so is how its time grows")
@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_the_text_for_each_rule(db: Db, unit: str) -> None:
    """Twice the text takes 2.5 times as long at most, gate and rule.

    A megabyte takes up to 1.4 s of the processor; the limit leaves room for others.
    """

    def took(name: str, size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        return seconds(
            db,
            "select length(regexp_replace(t, pattern, replacement, 'g')), lower(t) ~ hint,"
            " lower(t) like any (likes)"
            ' from bcp_internal.anonymizer_rules cross join (select %s::text collate "C" as t) as x'
            " where name = %s",
            [text, name],
        )

    slow = {}
    for name in RULES:
        # Others run here too, so one quiet moment of eight is enough: what grows by the square never passes.
        for _ in range(8):
            small, large = took(name, 100_000), took(name, 200_000)
            if large < 0.1 or (large < 2.0 and large < 2.5 * small):
                break
        else:
            slow[name] = small, large
    assert slow == {}
