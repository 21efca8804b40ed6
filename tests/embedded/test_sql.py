"""How the server reads its clients' SQL, held against PostgreSQL's own scanner and parser (`pglast`)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pglast.parser import ParseError, parse_sql, scan

from bcp_analytics.embedded._runtime import find_node, runtime_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "7/"  # what answer.mjs makes the client's statements begin with
USER = "ada"


class Ask(Protocol):
    """Calls a function of the server's JavaScript."""

    def __call__(self, function: str, *args: Any) -> Any: ...


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    script = Path(__file__).with_name("answer.mjs")
    with subprocess.Popen(
        [find_node(), script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=runtime_environment(),
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def call(function: str, *args: Any) -> Any:
            questions.write(json.dumps([function, *args]) + "\n")
            questions.flush()
            return json.loads(answers.readline())

        yield call
        questions.close()


# ---- lexical elements

letters = st.sampled_from(
    ["a", "B", "1", " ", "\n", ";", "-", "*", "/", "$", "é", "\u00a0", "😀", "(", '"', "''", "x;listen y"]
)
text_inside = st.lists(letters, max_size=6).map("".join)
escaped = st.lists(letters | st.sampled_from([r"\'", r"\\", r"\n", r"\x41"]), max_size=6).map("".join)
unicode_escaped = st.lists(letters | st.sampled_from([r"\00e4", r"\+01F600", r"\\"]), max_size=6).map("".join)
in_double_quotes = st.lists(letters | st.sampled_from(["'", '""', "x" * 70]), max_size=6).map(
    lambda parts: "".join(parts).replace("''", "'").replace('"', '""')
)
break_between = st.sampled_from(["\n", " \r\t", "\f\n \n", " ", " /* no */\n"])
# `pglast` ends a string constant at a comment, PostgreSQL lets it go on behind one: test_sessions.py has one.
COMMENT_AFTER_STRING = re.compile(r"'\s*--")


def quoted(prefix: str, content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A string constant in one part or several; what is between two decides whether they are one."""
    part = content.map(lambda text: f"'{text}'")
    more = st.lists(st.tuples(break_between, part).map("".join), max_size=2).map("".join)
    return st.tuples(st.just(prefix), part, more).map("".join)


strings = st.one_of(
    quoted("", text_inside),
    quoted("E", escaped),
    quoted("e", escaped),
    quoted("U&", unicode_escaped),
    quoted("N", text_inside),
    st.sampled_from(["b'01' ", "X'1f' ", "B'01'\n'10' "]),
    st.builds(
        lambda tag, text: f"${tag}${text}${tag}$",
        st.sampled_from(["", "a", "É1", "fn_2", "x" * 90]),
        text_inside,
    ),
)
comments = st.one_of(
    text_inside.map(lambda text: f"-- {text}".replace("\n", " ") + "\n"),
    text_inside.map(lambda text: f"-- {text}".replace("\n", " ") + "\r"),
    text_inside.map(lambda text: f"/* {text} /* nested */ -- ' */"),
    st.sampled_from(["/**/", "/***/", "/*/**/*/"]),
)
spaces = st.sampled_from([" ", "\n", "\t", "\r\n", "\f", "\v"])
plain_names = st.sampled_from(
    [
        "a",
        "Abc",
        "_x$1",
        "É",
        "\u00a0x",
        "ä" * 40,
        "x" * 70,
        "e",
        "u",
        "n",
        "all",
        "prepare",
        "transaction",
        "savepoint",
        "to",
        "work",
    ]
)
quoted_names = st.one_of(
    in_double_quotes.filter(bool).map(lambda text: f'"{text}"'),
    st.sampled_from(['U&"d\\0061t\\+000061"', "u&\"d!0061t!!\" /* by */ UESCAPE '!'", 'U&"\\\\"']),
)
names = plain_names | quoted_names
elements = st.one_of(
    strings,
    comments,
    spaces,
    names,
    st.sampled_from(["1", "1.5", "1e5", "0x1F", "1_000", ".5", "$1", "$2", "1.e3"]),
    st.sampled_from(
        [";", "+", "-", "*", "/", "::", ":=", ".", ",", "[", "]", "<@", "||", "@-", "|/", "=>", "#>>", "$"]
    ),
)


def expected_elements(sql: str) -> list[tuple[str, str]]:
    """Identifiers, key words and strings outside of parentheses, as PostgreSQL's scanner cuts them."""
    found: list[tuple[str, str]] = []
    tokens = [token for token in scan(sql) if not token.name.endswith("_COMMENT")]
    depth = skip = 0
    for i, token in enumerate(tokens):
        text = sql[token.start : token.end + 1]
        kind = ""
        if skip:
            skip -= 1
        elif text in {"(", ")"}:
            depth = max(depth + (1 if text == "(" else -1), 0)
        elif token.name in {"SCONST", "USCONST", "BCONST", "XCONST"}:
            kind = "string"
        elif token.name == "UIDENT":
            kind = "quoted"
            if [one.name for one in tokens[i + 1 : i + 3]] == ["UESCAPE", "SCONST"]:
                skip = 2
                text = sql[token.start : tokens[i + 2].end + 1]
        elif token.name == "IDENT" or token.kind != "NO_KEYWORD":
            kind = "quoted" if text[0] == '"' else "word"
        if kind and not depth:
            found.append((kind, text))
    return found


@given(parts=st.lists(elements, max_size=12))
def test_elements_are_cut_as_postgresql_cuts_them(ask: Ask, parts: list[str]) -> None:
    sql = "".join(parts)
    assume(not COMMENT_AFTER_STRING.search(sql))
    try:
        expected = expected_elements(sql)
    except ParseError:
        assume(False)  # noqa: FBT003 - such a text runs nowhere
    statements = ask("statements", sql)
    in_utf16 = sql.encode("utf-16-le")
    got = [
        (token["kind"], in_utf16[2 * token["start"] : 2 * token["end"]].decode("utf-16-le"))
        for tokens in statements
        for token in tokens
        if token["kind"] in {"word", "quoted", "string"}
    ]
    assert got == expected


# ---- statements

blanks = st.sampled_from([" ", "\n", " /* ; listen no */ ", " -- execute no;\n", "\t"])
text_constants = st.sampled_from(
    [
        "'x'",
        "E'\\'; listen no; --'",
        "'''; execute no'",
        "$$;deallocate all;$$",
        "$a$ $$ ; $a$",
        "U&'\\0061;'",
        "'a;'\n'b;'",
    ]
)
NAME = "<name>"  # stands for any name, STRING for any string constant
STRING = "<string>"
STATEMENTS = [
    "prepare <name> as select 1",
    "prepare <name> (int, text) as insert into t values ($1, <string> || $2::text)",
    "execute <name>",
    "execute <name> (1, <string>)",
    "deallocate <name>",
    "deallocate prepare <name>",
    "deallocate all",
    "deallocate prepare all",
    "discard all",
    "discard plans",
    "explain execute <name>",
    "explain analyze verbose execute <name> (1)",
    "explain ( analyze , buffers off ) execute <name>",
    "explain create table t as execute <name>",
    "create table t as execute <name>",
    "create temp table if not exists t ( a ) on commit drop as execute <name> (1) with no data",
    "listen <name>",
    "unlisten <name>",
    "unlisten *",
    "savepoint <name>",
    "release <name>",
    "release savepoint <name>",
    "rollback to <name>",
    "rollback work to savepoint <name>",
    "rollback",
    "rollback and chain",
    "prepare transaction <string>",
    "set session authorization default",
    "set local session authorization default",
    "set session session authorization default",
    "set session_authorization to default",
    "set local session_authorization = default",
    "reset session authorization",
    "reset session_authorization",
    "set session authorization <name>",
    "set role <name>",
    "set local my . own = <string>",
    "set session session.own to <string>, 1",
    "set Deep.Down.There = 1",
    "set standard_conforming_strings = on",
    # What only looks like one of these:
    "select <string> , ( select 'execute; listen' ) :: text",
    "select 1 as execute",
    "select execute from prepare where listen = <string>",
    "create view v as select a as execute from t",
    "create table t as select a as execute from t",
    "create table t ( a int generated always as ( 1 ) stored , execute text default <string> )",
    "create domain d as execute",
    "create rule r as on insert to t do ( delete from u ; notify n ; select <string> )",
    "create function f ( ) returns int begin atomic select case when true then 1 end as end ; return 1 ; end",
    "create or replace procedure p ( ) begin atomic select t.end from t ; end",
    "create procedure p ( ) language plpgsql as <string>",
    "create index atomic on begin ( a )",
    "select begin atomic from t",
    "do <string>",
    "begin",
    "end",
]


@st.composite
def statement(draw: st.DrawFn) -> str:
    words = draw(st.sampled_from(STATEMENTS)).split(" ")
    upper = draw(st.booleans())
    out = []
    for word in words:
        text = word.upper() if upper else word
        text = re.sub(NAME, lambda _: draw(names), text, flags=re.IGNORECASE)
        out.append(re.sub(STRING, lambda _: draw(text_constants), text, flags=re.IGNORECASE))
    return "".join(part + draw(blanks) for part in out)


def clip(name: str) -> str:
    return name.encode()[:63].decode(errors="ignore")


def tree(sql: str) -> list[Any]:
    """The parsed statements, without their places in the text."""

    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: plain(value) for key, value in node.items() if "location" not in key}
        return [plain(one) for one in node] if isinstance(node, (list, tuple)) else node

    return [plain(raw.stmt()) for raw in parse_sql(sql)]


def as_meant(node: Any, *, alone: bool) -> Any:
    """What a statement becomes for the shared engine."""
    if isinstance(node, list):
        return [as_meant(one, alone=alone) for one in node]
    if not isinstance(node, dict):
        return node
    kind = node.get("@")
    if (kind == "DeallocateStmt" and node["isall"]) or (
        kind == "DiscardStmt" and node["target"]["name"] == "DISCARD_ALL" and alone
    ):
        return tree("discard plans")[0]
    if kind in {"PrepareStmt", "ExecuteStmt", "DeallocateStmt"}:
        return node | {"name": clip(PREFIX + node["name"])}
    if kind == "VariableSetStmt" and node["name"] == "session_authorization" and node["args"] is None:
        local = "local" if node["is_local"] else ""
        return tree(f'set {local} session authorization "{USER}"')[0]
    return {key: as_meant(value, alone=alone) for key, value in node.items()}


def listening(node: dict[str, Any]) -> list[Any] | None:
    match node:
        case {"@": "ListenStmt", "conditionname": name}:
            return ["+", name]
        case {"@": "UnlistenStmt", "conditionname": name}:
            return ["-", name]
        case {"@": "TransactionStmt", "kind": {"name": kind}, "savepoint_name": str(name)}:
            return [kind.removeprefix("TRANS_STMT_").removesuffix("_TO").lower(), name]
    return None


def custom_setting(node: dict[str, Any]) -> str | None:
    if node["@"] == "VariableSetStmt" and "." in (node["name"] or ""):
        return str(node["name"]).lower()
    return None


def check(ask: Ask, sql: str) -> None:
    before = tree(sql)
    assert len(ask("statements", sql)) == len(before)
    got = ask("rewriteSql", sql)
    assert tree(got["text"]) == as_meant(before, alone=len(before) == 1)
    assert got["listens"] == [found for node in before if (found := listening(node))]
    assert set(got["names"]) == {name for node in before if (name := custom_setting(node))}


# Texts that chance would find too seldom.
RARE = [
    "LISTEN ÉtÉ; listen \u00a0x",
    'unlisten "*"',
    "prepare transaction as select 1",
    'deallocate "all"',
    "deallocate prepare",
    "rollback to savepoint",
    "release savepoint",
    "set local.own = 1",
    "set session.own = 1",
    "discard all; select 1",
    "select 1; discard all",
    "prepare a as select 1; deallocate all; execute a",
]


@pytest.mark.parametrize("text", [*STATEMENTS, *RARE])
def test_a_text_is_rewritten(ask: Ask, text: str) -> None:
    check(ask, text.replace(NAME, "a").replace(STRING, "'x'"))


@given(parts=st.lists(statement(), min_size=1, max_size=4))
def test_statements_are_rewritten_and_nothing_else_is(ask: Ask, parts: list[str]) -> None:
    sql = ";".join(parts)
    try:
        parse_sql(sql)
    except ParseError:
        assume(False)  # noqa: FBT003 - such a text runs nowhere
    check(ask, sql)


@given(
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15)
)
def test_quoting(ask: Ask, text: str) -> None:
    sql = f"select {ask('quoteLiteral', text)} as {ask('quoteIdent', text)}"
    (statement,) = parse_sql(sql)
    (target,) = statement.stmt.targetList
    assert target.val.val.sval == text
    assert target.name == text
