"""The bars are the summary's strongest words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from samples.explanations import HOSTILE, explanation
from samples.summaries import words

from seqlrp.errors import OptionError
from seqlrp.explanations.summaries import summarise
from seqlrp.show.plots import words_of_class

ITEMS = [
    words("so good film", [1, 4, 0.5]),
    words("so bad film", [1, -6, 0.25]),
    words("bad bad zero", [-1, -1.5, 0]),
]


def bars(ax) -> dict[str, float]:
    labels = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(labels, [bar.get_width() for bar in ax.patches], strict=True))


def test_the_strongest_words_by_their_sums():
    ax = words_of_class(ITEMS, n=3)
    assert bars(ax) == {"bad": -8.5, "so": 2, "good": 4}
    assert list(bars(ax)) == ["bad", "so", "good"]  # from below
    assert [text.get_text() for text in ax.texts] == [
        "3× in 2 texts", "2× in 2 texts", "1× in 1 text",
    ]  # fmt: skip
    assert ax.get_xlabel() == "summed relevance, for positive"
    assert [bar.get_hatch() or "" for bar in ax.patches] == ["///", "", ""]


def test_means_have_their_intervals():
    ax = words_of_class(iter(ITEMS), n=9, value="mean")
    frame = summarise(ITEMS).set_index("word")
    assert bars(ax) == {
        "bad": pytest.approx(-8.5 / 3), "film": 0.375, "so": 1, "good": 4,
    }  # fmt: skip
    [whiskers] = ax.collections
    ends = [(path.vertices[0, 0], path.vertices[1, 0]) for path in whiskers.get_paths()]
    known = [(frame.low[w], frame.high[w]) for w in ("bad", "film", "so")]
    assert np.array(ends) == pytest.approx(np.array(known))


def test_medians_have_their_quartiles():
    ax = words_of_class(ITEMS, value="median")
    assert bars(ax) == {"bad": -1.5, "film": 0.375, "so": 1, "good": 4}
    [whiskers] = ax.collections
    ends = [(path.vertices[0, 0], path.vertices[1, 0]) for path in whiskers.get_paths()]
    # bad: −6, −1.5, −1
    assert ends == [(-3.75, -1.25), (0.3125, 0.4375), (1, 1), (4, 4)]
    assert ax.get_xlabel() == "median relevance, quartiles, for positive"


def test_rare_words_can_be_left_out():
    assert set(bars(words_of_class(ITEMS, min_documents=2))) == {"bad", "so", "film"}
    with pytest.raises(OptionError, match="stands in 4 documents"):
        words_of_class(ITEMS, min_documents=4)
    with pytest.raises(OptionError, match="No word to show"):
        words_of_class([])


def test_one_question_at_a_time():
    mixed = [*ITEMS, words("good", [9], target=0, against=1)]
    both = r"\('negative' rather than 'positive' by 'lrp'; 'positive' by 'lrp'\)"
    with pytest.raises(OptionError, match=f"answer 2 questions {both}"):
        words_of_class(mixed)
    for target in (0, "negative"):
        ax = words_of_class(mixed, target)
        assert bars(ax) == {"good": 9}
        assert ax.get_xlabel() == "summed relevance, for negative rather than positive"
    with pytest.raises(OptionError, match=r"the class 'negativ'\. Did you mean 'negative'"):
        words_of_class(mixed, "negativ")
    with pytest.raises(OptionError, match="the class 7"):
        words_of_class(mixed, 7)
    every = explanation("a b", relevance=[[1, 2], [-4, 3]], target="all", ledger={})
    assert bars(words_of_class([every], 0)) == {"a": 1, "b": 2}


def test_other_options_are_refused():
    with pytest.raises(OptionError, match="value='max'"):
        words_of_class(ITEMS, value="max")
    with pytest.raises(OptionError, match="Got n=0; expected a whole number, at least 1"):
        words_of_class(ITEMS, n=0)
    with pytest.raises(OptionError, match=r"Got by='class'\. Known: 'word', 'token', 'lemma'"):
        words_of_class(ITEMS, by="class")
    with pytest.raises(OptionError, match="by='lemma' needs nlp="):
        words_of_class(ITEMS, by="lemma")


@pytest.mark.filterwarnings("ignore::seqlrp.errors.FontWarning")
def test_axes_can_be_given_and_hostile_words_are_drawn():
    ax = Figure().add_subplot()
    items = [explanation(t, labels=(t, "$x$ " + t)) for t in (*HOSTILE, "$a $\\frac{ x" + "x" * 99)]
    for item in items:
        assert words_of_class([item], ax=ax, fold_case=False) is ax
        ax.figure.savefig(io.BytesIO(), format="png", dpi=40)
        ax.clear()
