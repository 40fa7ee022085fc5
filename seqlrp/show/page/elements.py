"""HTML in which every text has been escaped: the only module that makes any."""

from __future__ import annotations

import html
import json
import re
from functools import cache
from typing import Any

# What an HTML file may not hold: controls but tab and line feed, lone surrogates, noncharacters.
_FORBIDDEN = re.compile(
    "\r\n?|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)

_ESCAPED = re.compile("[&<>\"']|" + _FORBIDDEN.pattern)

_VOID = {"meta", "input", "img"}
# What could end a script element, or begin a comment in it, is written as JSON's own escape.
_IN_SCRIPT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


class Html(str):
    """Text that is HTML already; every other string is escaped where it meets HTML."""

    __slots__ = ()


def escape(text: str) -> Html:
    """The text as HTML that shows it, safe in an element and in a quoted attribute.

    Ends of line become "\\n". Characters that HTML forbids are shown by their control pictures
    (U+2400 for NUL), or by U+FFFD where there is none.
    """
    if text.isalnum() or not _ESCAPED.search(text):  # nearly always: pages hold millions of pieces
        return Html(text)
    return Html(html.escape(plain(text)))


def plain(text: str) -> str:
    """The text with what HTML forbids made visible, as `escape` shows it."""
    return _FORBIDDEN.sub(_shown, text)


def data_block(value: Any) -> Html:
    """A JSON value for the page's script, in an element that no browser runs or shows.

    Nothing in it can end the element: no <, > or & is left, and everything is ASCII.
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    block = text.translate(_IN_SCRIPT)
    return Html(f'<script type="application/json">{block}</script>')


def _shown(match: re.Match[str]) -> str:
    found = match[0]
    if found[0] == "\r":
        return "\n"
    if found == "\x7f":
        return "\u2421"
    return chr(0x2400 + ord(found)) if found < " " else "\ufffd"


def element(tag: str, *children: str | None, **attributes: str | int | float | None) -> Html:
    """One element: children that are no `Html` are escaped, and so is the value of every attribute.

    Children and attributes that are None are left out. `class_` is `class`, `aria_label` is
    `aria-label`. Tags and attribute names come from this package, never from data.
    """
    named = "".join(
        [
            f'{_spelt(name)}="{escape(str(value))}"'
            for name, value in attributes.items()
            if value is not None
        ]
    )
    if tag in _VOID:
        return Html(f"<{tag}{named}>")
    inside = [
        child if isinstance(child, Html) else escape(child)
        for child in children
        if child is not None
    ]
    return Html(f"<{tag}{named}>{''.join(inside)}</{tag}>")


@cache
def _spelt(name: str) -> str:
    """The name of an attribute as HTML spells it, after a space."""
    return f" {name.rstrip('_').replace('_', '-')}"
