"""Text in which nothing is hidden: what cannot be seen is written as its number."""

from __future__ import annotations

import re

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls, marks and overrides of direction, byte order marks, tags, noncharacters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def visible(text: str) -> str:
    r"""The text with every end of line as "\n" and what cannot be seen as its number, [U+001B].

    What cannot be seen are control characters, marks and overrides of the direction of writing,
    byte order marks, tags and noncharacters: nothing in the result can steer a terminal or turn
    the text around it. Joiners stay, since scripts and emoji need them.
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    """A label or a name as `visible` shows it, without ends of line."""
    return " ".join(visible(text).split())
