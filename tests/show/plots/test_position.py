"""Where relevance stands, against a plain loop."""

from __future__ import annotations

import io
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from samples.examples import examples
from samples.explanations import explanation
from samples.summaries import words

from seqlrp.errors import OptionError
from seqlrp.explanations.summaries import student_t
from seqlrp.show.plots import relevance_by_position


def curves(ax) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_ydata() for line in ax.lines if line.get_label()[0] != "_"}


def documents(lists):
    return [words("w " * len(values), values) for values in lists]


@given(
    st.lists(st.lists(st.floats(-9, 9, width=32), max_size=9), min_size=1, max_size=6),
    st.integers(1, 6),
    st.booleans(),
)
@examples(40)
def test_against_a_plain_loop(lists, bins, relative):
    if not any(lists):
        lists = [*lists, [1.0]]
    found = curves(relevance_by_position(documents(lists), bins=bins, relative=relative))
    for name, size in (("mean relevance", lambda r: r), ("mean |relevance|", abs)):
        for i in range(bins):
            means = []
            for values in lists:
                inside = [
                    size(value)
                    for k, value in enumerate(values)
                    if (math.floor((k + 0.5) / len(values) * bins + 1e-9) if relative else k) == i
                ]
                means += [math.fsum(inside) / len(inside)] if inside else []
            wanted = math.fsum(means) / len(means) if means else math.nan
            assert found[name][i] == pytest.approx(wanted, abs=1e-6, nan_ok=True)


def test_bands_are_intervals_over_texts():
    ax = relevance_by_position(documents([[1, 5], [2], [4]]), bins=2, relative=False)
    [band, _] = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    half = student_t(2) * statistics.stdev([1, 2, 4]) / math.sqrt(3)
    assert heights.max() == pytest.approx(7 / 3 + half)
    assert heights.min() == pytest.approx(7 / 3 - half)
    assert ax.get_ylabel() == "relevance of a word (3 texts)"
    ax.figure.savefig(io.BytesIO(), format="png")


def test_the_predicted_class_where_every_class_is_explained():
    every = explanation("a b", relevance=[[1, 2], [-4, 3]], target="all", ledger={})
    assert curves(relevance_by_position([every], bins=2))["mean relevance"].tolist() == [-4, 3]


def test_axes_and_streams():
    ax = Figure().add_subplot()
    assert relevance_by_position(iter(documents([[1, 2]] * 3)), ax=ax) is ax


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(OptionError, match="got no words at all"):
        relevance_by_position([explanation("")])
    with pytest.raises(OptionError, match="got 'lrp' and 'other'"):
        relevance_by_position([explanation(), explanation(method="other")])
    with pytest.raises(OptionError, match="Got bins=0; expected a whole number, at least 1"):
        relevance_by_position([explanation()], bins=0)
