"""What was struck and replaced in a text, in each form in which it is shown."""

from __future__ import annotations

from samples.explanations import explanation

from seqlrp.show.coloured_text import coloured_texts
from seqlrp.show.edits import REPLACED, STRUCK, Edits
from seqlrp.show.page import render

TEXT = "a dull film of good friends"
EDITS = Edits(struck=((2, 6),), replaced=((15, 19),), said=("Without “dull” it is <fine>.",))


def shown():
    return explanation(TEXT, relevance=[0.0, -1.0, 0.0, 0.0, 2.0, 1.0])


def test_parts_end_where_an_edit_does() -> None:
    assert list(EDITS.parts(0, len(TEXT))) == [
        (0, 2, None), (2, 6, STRUCK), (6, 15, None), (15, 19, REPLACED), (19, 27, None)
    ]  # fmt: skip
    assert list(EDITS.parts(3, 5)) == [(3, 5, STRUCK)]
    assert EDITS.of(6, 15) is None


def test_what_was_struck_has_no_colour() -> None:
    [text] = coloured_texts([shown()], edits=[EDITS])
    pieces = list(text.styled())
    assert "".join(piece for piece, _ in pieces) == TEXT
    styles = {piece: style for piece, style in pieces if style.edit}
    assert styles["dull"] == (0, STRUCK)
    assert styles["good"] == (20, REPLACED)
    assert EDITS.said[0] in text.heading()


def test_a_page_marks_and_says_it() -> None:
    html = render([shown()], edits=(EDITS,))
    assert ">dull</u></s>" in html
    assert ">good</u></ins>" in html
    assert "Without “dull” it is &lt;fine&gt;." in html
