"""What every export shows: all of the text, nothing of it unseen, and numbers with it."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.errors import OptionError
from seqlrp.show.coloured_text import coloured_texts
from seqlrp.show.visible import one_line, visible


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from(HOSTILE))
def test_nothing_that_steers_is_left(text):
    shown = visible(text)
    for character in shown:
        assert character in "\t\n" or unicodedata.category(character) != "Cc"
        assert unicodedata.bidirectional(character) not in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B", "S",
        } - ({"B", "S"} if character in "\t\n" else set())  # fmt: skip
    assert visible(shown) == shown
    assert "\n" not in one_line(text)


def test_what_cannot_be_seen_has_its_number():
    assert visible("a\x1b[31mb\u202e\x9b\ufffe") == "a[U+001B][31mb[U+202E][U+009B][U+FFFE]"
    assert visible("a\r\nb\rc\u2028d\x85e\x0cf") == "a\nb\nc\nd\ne\nf"
    assert visible("a\tb c\u00a0👩\u200d👧") == "a\tb c\u00a0👩\u200d👧"


@given(explanations())
def test_the_pieces_are_the_text(e):
    [shown] = coloured_texts([e])
    assert "".join(text for text, _ in shown.pieces()) == visible(e.text)


def test_pieces_have_the_levels_of_their_words():
    [shown] = coloured_texts([explanation("so dull a film", relevance=[0.01, -1.0, 0.0, 0.5])])
    assert list(shown.pieces()) == [("so ", 0), ("dull", -20), (" a ", 0), ("film", 10)]
    halves = explanation(
        "a\r\nb", tokens=("a\r", "\nb"), offsets=[[0, 2], [2, 4]], relevance=[1, 1]
    )
    assert list(coloured_texts([halves])[0].pieces()) == [("a", 20), ("\nb", 20)]


def test_scales():
    both = [explanation("a", relevance=[2.0]), explanation("b", relevance=[-1.0])]
    assert [s.largest for s in coloured_texts(both)] == [2, 1]
    assert [s.largest for s in coloured_texts(both, "corpus")] == [2, 2]
    assert [level for s in coloured_texts(both, "corpus") for _, level in s.pieces()] == [20, -10]
    with pytest.raises(OptionError, match=r"scale='docment'.*'document'"):
        coloured_texts(both, "docment")


def test_heading_and_legend():
    [shown] = coloured_texts([explanation("so good", relevance=[-1.0, 1.5])])
    assert shown.heading() == (
        "reviews/1",
        "Predicted: positive (wrong, it is negative)",
        "Explained: positive, score +2.250, by lrp",
    )
    assert shown.legend() == ("against positive -1.500", "+1.500 for positive")
    [shown] = coloured_texts([explanation("a", relevance=[1.0], id=None, label=1, against=0)])
    assert shown.heading() == (
        "Predicted: positive (right)",
        "Explained: why positive rather than negative, by a score of +2.750, by lrp",
    )
    assert shown.legend() == ("for negative -1.000", "+1.000 for positive")
    [shown] = coloured_texts([explanation("a", label=None, labels=("x\n\x1b", "y\u202e"))])
    assert shown.heading()[1] == "Predicted: y[U+202E]"


def test_where_the_score_went():
    [shown] = coloured_texts([explanation(ledger={"tokens": 1.5, "bias": -0.25, "refused": 0.0})])
    assert shown.account() == "Where it went: words +1.500, bias -0.250"
    [shown] = coloured_texts([explanation(ledger={})])
    assert shown.account() is None


def test_the_predicted_class_is_shown_where_every_class_is_explained():
    every = explanation("a b", relevance=np.array([[1, 2], [-3, 4]]), target="all", ledger={})
    assert [level for _, level in coloured_texts([every])[0].pieces()] == [-15, 0, 20]
