"""The heat map shows the numbers, with one scale that its bar tells."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from samples.examples import examples
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.errors import OptionError
from seqlrp.show.colours import LIGHT
from seqlrp.show.plots import NotebookFigure, heat_map


def shown(ax: Axes) -> tuple[list[str], list[str], np.ndarray]:
    rows = [label.get_text() for label in ax.get_yticklabels()]
    words = [label.get_text() for label in ax.get_xticklabels()]
    return rows, words, np.asarray(ax.images[0].get_array())


def marked(ax: Axes) -> list[list[float]]:
    [signs] = ax.lines
    return signs.get_xydata().tolist()


def drawn(ax: Axes) -> bytes:
    memory = io.BytesIO()
    ax.figure.savefig(memory, format="png", dpi=40)
    return memory.getvalue()


def test_one_explanation_is_one_row():
    ax = heat_map(explanation("so dull a film", relevance=[0.5, -2, 0, 1]))
    rows, words, values = shown(ax)
    assert rows == ["positive"]
    assert words == ["so", "dull", "a", "film"]
    assert values.tolist() == [[0.5, -2, 0, 1]]
    assert ax.images[0].get_clim() == (-2, 2)
    assert marked(ax) == [[1, 0]]
    assert isinstance(ax.figure, NotebookFigure)


def test_zero_is_paper_and_the_ends_are_the_deepest_colours():
    image = heat_map(explanation("a b c", relevance=[-3, 0, 3])).images[0]
    colours = ["#" + bytes(c[:3]).hex() for c in image.cmap(image.norm([-3, 0, 3]), bytes=True)]
    assert colours == [LIGHT.deepest_against, LIGHT.paper, LIGHT.deepest_for]


def test_every_class_is_a_row_of_one_scale():
    every = explanation("a b", relevance=[[1, 2], [-4, 3]], target="all", ledger={})
    rows, _, values = shown(ax := heat_map(every))
    assert rows == ["negative", "positive"]
    assert values.tolist() == [[1, 2], [-4, 3]]
    assert ax.images[0].get_clim() == (-4, 4)
    assert shown(heat_map(every, scale="row"))[2].tolist() == [[0.5, 1], [-1, 0.75]]


def test_methods_have_scales_of_their_own():
    items = [explanation("a b", relevance=[1, 2], method="lrp"),
             explanation("a b", relevance=[-40, 10], method="other")]  # fmt: skip
    rows, _, values = shown(ax := heat_map(items))
    assert rows == ["lrp", "other"]
    assert values.tolist() == [[0.5, 1], [-1, 0.25]]
    assert "share" in ax.figure.axes[1].get_ylabel()
    assert shown(heat_map(items, scale="all"))[2].tolist() == [[1, 2], [-40, 10]]
    items[1] = explanation("a b", relevance=[1, 2], target=0, against=1, method="other")
    assert shown(heat_map(items))[0] == ["lrp: positive", "other: negative rather than positive"]


def test_the_class_of_all_rows_stands_above_them():
    both = [explanation("a b", method=name, target=1, against=0) for name in ("lrp", "$x$")]
    assert heat_map(both).get_title("left") == "for positive rather than negative"
    assert heat_map(both[:1]).get_title("left") == ""  # the row says it
    mixed = [both[0], explanation("a b", target=0)]
    assert heat_map(mixed).get_title("left") == ""


def test_names_of_one_s_own():
    """Two runs of one method are told apart by what the user calls them."""
    one, other = explanation("a b", relevance=[1, 2]), explanation("a b", relevance=[2, 1])
    rows, _, values = shown(heat_map({"ε = 0.1": one, 0.001: other}))
    assert rows == ["ε = 0.1", "0.001"]
    assert values.tolist() == [[0.5, 1], [1, 0.5]]
    assert shown(heat_map({"mine": one}))[0] == ["mine"]
    every = explanation("a b", relevance=[[1, 2], [-4, 3]], target="all", ledger={})
    assert shown(heat_map({"mine": every}))[0] == ["mine: negative", "mine: positive"]


def test_words_can_stand_one_below_the_other():
    every = explanation("a b c", relevance=[[1, 2, 0], [-4, 3, 0]], target="all", ledger={})
    rows, words, values = shown(ax := heat_map(every, down=True))
    assert (rows, words) == (["a", "b", "c"], ["negative", "positive"])
    assert values.tolist() == [[1, -4], [2, 3], [0, 0]]
    assert marked(ax) == [[1, 0]]
    by_row = heat_map(every, down=True, scale="row").images[0].get_array()
    assert by_row.tolist() == [[0.5, -1], [1, 0.75], [0, 0]]


def test_axes_can_be_given():
    axes = Figure().subplots(1, 2)
    assert heat_map(explanation(), ax=axes[1]) is axes[1]
    assert not axes[0].images


def test_every_cell_with_a_colour_of_those_against_has_a_minus_sign():
    ax = heat_map(explanation("a b c d", relevance=[-100, -1, -0.1, 100]))
    image = ax.images[0]
    zero = image.cmap(image.norm(0))
    coloured = [image.cmap(image.norm(value)) != zero for value in (-100, -1, -0.1)]
    assert coloured == [True, True, False]
    assert marked(ax) == [[0, 0], [1, 0]]


def test_many_words_are_written_one_below_the_other():
    words = [f"word{i}" for i in range(150)]
    for options in ({}, {"down": True}):
        rows, columns, values = shown(ax := heat_map(explanation(" ".join(words)), **options))
        assert (rows, columns) == (words, ["positive"])
        assert values.shape == (150, 1)
        assert ax.figure.get_size_inches()[0] < 5
    ax.figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in itertools.pairwise(labels))
    assert shown(heat_map(explanation("w " * 60)))[1] == ["w"] * 60


def test_what_cannot_be_shown_is_refused():
    for nothing in ([], explanation("")):
        with pytest.raises(OptionError, match="no explanation to show, or none with a word"):
            heat_map(nothing)
    with pytest.raises(OptionError, match="explanations of the same tokens"):
        heat_map([explanation("a b"), explanation("a c")])
    with pytest.raises(OptionError, match="scale='rows'"):
        heat_map(explanation(), scale="rows")
    with pytest.raises(
        OptionError, match=r"room for 60 in a row, got 150 words: say down=True, or"
    ):
        heat_map(explanation("w " * 150), down=False)
    with pytest.raises(OptionError, match=r'2,500 words one below .*\.merged\("sentence"\)'):
        heat_map(explanation("w " * 2501))


@pytest.mark.filterwarnings("ignore::seqlrp.errors.FontWarning")
def test_hostile_words_are_drawn():
    for text in (*HOSTILE, "$x_1$ $\\frac{ $", "x" * 500):
        ax = heat_map(explanation(text, labels=(text, text)))
        assert drawn(ax).startswith(b"\x89PNG")
        assert all(len(word) <= 40 for word in shown(ax)[1])


@pytest.mark.filterwarnings("ignore::seqlrp.errors.FontWarning")
@given(explanations())
@examples(10)
def test_any_explanation_can_be_drawn(e):
    assume(e.tokens)
    assert drawn(heat_map(e)).startswith(b"\x89PNG")


def test_pyplot_is_left_alone():
    code = (
        "import sys, numpy as np; from seqlrp import Explanation; from seqlrp import plots; "
        "e = Explanation(text='a', tokens=['a'], offsets=[[0, 1]], relevance=[1.0], target=0, "
        "predicted=0, scores=[1.0], labels=['x'], method='lrp'); "
        "plots.heat_map(e).figure.savefig('/dev/null', format='png'); "
        "plots.words_of_class([e]); plots.relevance_by_position([e]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
