"""Position as a control: it knows neither the word nor the class."""

from __future__ import annotations

import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import ids

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.methods import Position


@pytest.mark.parametrize(
    ("order", "four", "five"),
    [
        ("first", [4, 3, 2, 1], [5, 4, 3, 2, 1]),
        ("last", [1, 2, 3, 4], [1, 2, 3, 4, 5]),
        ("middle", [2, 4, 3, 1], [2, 4, 5, 3, 1]),
    ],
)
def test_words_by_order(order: str, four: list[int], five: list[int]) -> None:
    model = small_classifier(labels=("a", "b", "c")).model
    batch = torch.zeros(2, 7, dtype=torch.int64)
    batch[0, :4], batch[1, :5] = 3, 4
    found = Position(model, order).attribution(batch, "all").relevance
    for k in range(3):
        torch.testing.assert_close(found[0, k, :4], torch.tensor(four) / 4)
        torch.testing.assert_close(found[1, k, :5], torch.tensor(five) / 5)
    assert (found[0, :, 4:] == 0).all()


def test_sentences_are_read_through() -> None:
    classifier = small_classifier(hierarchical=True)
    found = seqlrp.explain(classifier, ["a good film. a bad plot."], "position", "negative")[0]
    assert found.relevance.tolist() == pytest.approx([6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_one_output_for_two_classes_changes_no_sign() -> None:
    classifier = small_classifier(classes=1)
    one, other = (
        seqlrp.explain(classifier, ["a good film"], "position", target)[0]
        for target in ("negative", "positive")
    )
    assert (one.relevance == other.relevance).all()
    assert (one.relevance > 0).all()


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="order='lst'"):
        Position(small_classifier().model, "lst")
    assert Position(small_classifier().model).attribute(ids(), 0).shape == (5, 7)
