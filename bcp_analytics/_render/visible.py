"""Shows the characters that a reader would not see, and that a terminal or a program might obey.

A tool, a user or an error message may be called anything. Raw, an escape sequence can clear the screen, set
the window's title or write to the clipboard; a bidirectional control makes text read as something else; a
line separator begins a line that nobody wrote.
"""

from __future__ import annotations

from typing import Final

_CODES: Final = (
    *range(0x20),  # C0, ESC among them
    *range(0x7F, 0xA0),  # DEL and C1, CSI among them
    *(0x061C, 0x200E, 0x200F),  # marks of direction
    *(0x2028, 0x2029),  # separators of lines and paragraphs
    *range(0x202A, 0x202F),  # embeddings and overrides of direction
    *range(0x2066, 0x2070),  # isolates, and deprecated controls of shape
    *range(0xD800, 0xE000),  # halves of surrogate pairs, which no encoding takes
)
_LINE: Final = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CODES}  # noqa: PLR2004
_TEXT: Final = {code: shown for code, shown in _LINE.items() if chr(code) not in "\n\t"}
_JSON: Final = {code: f"\\u{code:04x}" for code in _CODES}


def visible(text: str) -> str:
    r"""Return a text with such characters shown as \x1b or \u202e; newlines and tabs stay."""
    return text.translate(_TEXT)


def visible_line(text: str) -> str:
    r"""Return a text as one line: as `visible`, with newlines shown as \x0a and tabs as \x09."""
    return text.translate(_LINE)


def visible_json(text: str) -> str:
    """Return JSON in one line that means the same, with such characters escaped.

    They can only be inside strings: between them JSON has none but spaces.
    """
    return text.translate(_JSON)
