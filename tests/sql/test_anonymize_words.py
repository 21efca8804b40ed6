"""Functions of the anonymiser that do without a regular expression find what the expression finds."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

Db = psycopg.Connection[Any]


@pytest.mark.parametrize("word", ["is", "was", "are", "like", "ILIKE"])
@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("password {}: ", "password"),
        ('pass word \t{} "`', "pass word"),
        ("the code  {}\t:'\\", "the code"),
        ("{} ", "{} "),
        (" {} ", " {} "),
        ("password {}", "password {}"),
        ("analys{} ", "analys{} "),
        ("a < b {} ", "a "),
    ],
)
def test_the_name_of_a_label_is_what_stands_before_its_word(db: Db, word: str, label: str, name: str) -> None:
    """A sentence says what a key is: password is x."""
    row = db.execute("select bcp_internal.label_name(%s)", [label.format(word)]).fetchone()
    expected = db.execute(
        "select regexp_replace(%s,"
        " '(.)(?:<.*|[ \\t]+(?:is|was|are|i?like)[ \\t:]+[\"''`*\\\\]*)$', '\\1', 'i')",
        [label.format(word)],
    ).fetchone()
    assert row == expected
    assert row == (name.format(word),)


@pytest.mark.parametrize("value", ['b"x', "\\\\'x", "@$`x", "abc", "rb", "xyz'", "bbb'x", "", '"'])
def test_the_quote_before_a_value_is_found_without_an_expression(db: Db, value: str) -> None:
    row = db.execute(
        "select bcp_internal.quote_before(%s), substring(%s from '^[bBrRuUfF@$]{0,2}(\\\\*[\"''`])')",
        [value, value],
    ).fetchone()
    assert row is not None
    assert row[0] == row[1]


@pytest.mark.parametrize(
    "key",
    [
        "userEmail",
        "user_email",
        "user__email",
        "a-b.c/d:e",
        "  ",
        "É_x",
        "a\u00a0b",
        "SSNNumber",
        "a+b",
        "_x_",
    ],
)
def test_the_words_of_a_key_are_the_same_with_and_without_an_expression(db: Db, key: str) -> None:
    row = db.execute(
        "select bcp_internal.key_lines(array[%s], '(?!)'), bcp_internal.key_lines(array[%s, '++'], '(?!)')",
        [key, key],
    ).fetchone()
    assert row is not None
    # The second key, which only the expression reads, makes it read both.
    assert row[0] == row[1].split("\n")[0]
