"""Lines hold all of the text, in their width, in the order in which it is read."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import HOSTILE, explanations

from seqlrp.errors import MissingPackageError
from seqlrp.show.coloured_text import coloured_texts
from seqlrp.show.pictures.layout import Line, Run, lines

letters = st.text("ab .,-\n日本。กิe\u0301אבג()1", max_size=40) | st.sampled_from(HOSTILE)
all_pieces = st.lists(st.tuples(letters, st.integers(-2, 2)), max_size=8)


def seen(found: list[Line]) -> list[str]:
    return ["".join(run.drawn(shaped=True) for run in line) for line in found]


def set_in(width: float, text: str) -> list[str]:
    return seen(lines([(text, 0)], width, len))


@pytest.mark.parametrize(
    ("text", "width", "wanted"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one  two", 4, ["one", "two"]),
        ("one\n\n two", 9, ["one", "", " two"]),
        ("abcdefgh ij", 3, ["abc", "def", "gh", "ij"]),
        ("x abcdefgh", 4, ["x ab", "cdef", "gh"]),
        ("日本語です。はい", 5, ["日本語で", "す。はい"]),
        ("ae\u0301e\u0301", 3, ["ae\u0301", "e\u0301"]),
        ("a\u00a0b c", 3, ["a\u00a0b", "c"]),
        ("a\tb", 9, ["a    b"]),
        ("", 9, [""]),
        ("אב גד", 9, ["גד אב"]),
        ("אב one two גד", 20, ["גד one two אב"]),
        ("a אב גד b", 20, ["a גד אב b"]),
        ("a (אב) b", 20, ["a (אב) b"]),
        ("אב (גד) 12 .", 20, [". 12 (גד) אב"]),
    ],
)
def test_lines(text, width, wanted):
    assert set_in(width, text) == wanted


def test_a_paragraph_from_right_to_left_stands_on_the_right():
    [line] = lines([("אב גד", 0)], 20, len)
    assert [(run.x, run.text) for run in line] == [(15, "גד"), (17, " "), (18, "אב")]
    [line] = lines([("ab אב", 0)], 20, len)
    assert line[0].x == 0


def test_runs_of_one_level_are_one():
    [line] = lines([("日本", 3), ("語", 3), ("go", 1), (" on", 1)], 20, len)
    assert [(run.text, run.style, run.x) for run in line] == [
        ("日本語", 3, 0), ("go", 1, 3), (" ", 1, 5), ("on", 1, 6),
    ]  # fmt: skip


@given(all_pieces, st.integers(3, 30))
def test_nothing_is_lost_and_lines_keep_their_width(pieces, width):
    found = lines(pieces, width, len)
    drawn = [
        (character, run.style)
        for line in found
        for run in line
        for character in run.text
        if not character.isspace()
    ]
    given_ = [(c, level) for text, level in pieces for c in text if not c.isspace()]
    mirrored = str.maketrans(")]}>»›", "([{<«‹")  # brackets turn with the direction
    assert sorted((c.translate(mirrored), n) for c, n in drawn) == sorted(
        (c.translate(mirrored), n) for c, n in given_
    )
    for line in found:
        end = line[0].x if line else 0
        for run in line:
            assert run.x == end
            end += run.width
        # Wider is only what cannot be broken: a letter with its marks, emoji in one picture.
        letters = re.sub(r"\s", "", "".join(run.text for run in line))
        assert end <= width or any(c in letters for c in "\u200d\u0301")


@given(explanations())
def test_any_explanation_can_be_set(e):
    [shown] = coloured_texts([e])
    levels = {run.style for line in lines(shown.pieces(), 10, len) for run in line}
    assert levels <= {level for _, level in shown.pieces()}


def test_a_matplotlib_that_does_not_shape_gets_letters_in_the_order_of_drawing():
    hebrew, latin = Run("אבג", 0, 3, embedding=1), Run("abc", 0, 3)
    assert hebrew.drawn(shaped=False) == "גבא"
    assert latin.drawn(shaped=False) == "abc"
    assert hebrew.drawn(shaped=True) == "אבג"
    for shaped in (True, False):  # brackets alone have no direction that matplotlib could find
        assert Run("(!", 0, 2, embedding=1).drawn(shaped=shaped) == "!)"


@pytest.mark.parametrize(
    ("text", "package"),
    [("אב גד", "python-bidi"), ("日本語", "uniseg"), ("e\u0301" * 30, "uniseg")],
)
def test_a_text_that_needs_a_package_says_how_to_install_it(monkeypatch, text, package):
    for module in ("bidi.algorithm", "uniseg.linebreak", "uniseg.graphemecluster"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"needs {package}.*seqlrp\[pictures\]"):
        lines([(text, 0)], 20, len)


def test_other_texts_need_no_package(monkeypatch):
    for module in ("bidi.algorithm", "uniseg.linebreak", "uniseg.graphemecluster"):
        monkeypatch.setitem(sys.modules, module, None)
    assert set_in(9, "naïve café 👍 мир") == ["naïve", "café 👍", "мир"]
    assert set_in(4, "Straßenbahn") == ["Stra", "ßenb", "ahn"]
