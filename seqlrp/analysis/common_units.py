"""Aligns two explanations of one text by characters, whatever tokens each model reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqlrp.errors import TextError
from seqlrp.explanations.record import Explanation


class CommonUnits(NamedTuple):
    """The words of one text as two models share them; U is their number.

    Attributes:
        spans: int64 `[U, 2]`, where each begins and ends in the text (end exclusive).
        first: float64 `[U]`, the relevance of each in the first explanation.
        second: float64 `[U]`, the same in the second.
    """

    spans: npt.NDArray[np.int64]
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]


def common_units(first: Explanation, second: Explanation) -> CommonUnits:
    """Sum relevance over the smallest stretches of text that cut no word of either explanation.

    Words that overlap share a unit: "don't" for one tokenizer and "do", "n't" for another make
    one. The units of a text are disjoint, and the relevance in each column adds up to that of the
    explanation.

    Raises:
        TextError: the explanations are not of the same text.
    """
    if first.text != second.text:
        raise TextError(
            f"Explanations can be compared word by word if they are of the same text, got "
            f"{first.text!r:.60} and {second.text!r:.60}."
        )
    words = [first.merged("word"), second.merged("word")]
    offsets = np.concatenate([w.offsets for w in words]).astype(np.int64)
    relevance = np.zeros((len(offsets), 2))
    count = len(words[0].offsets)
    relevance[:count, 0] = words[0].relevance
    relevance[count:, 1] = words[1].relevance
    if not len(offsets):
        return CommonUnits(offsets, relevance[:, 0], relevance[:, 1])
    order = np.lexsort((offsets[:, 1], offsets[:, 0]))
    offsets, relevance = offsets[order], relevance[order]
    # A unit begins where no word that began before is still open; the same word read by both is
    # open for the second reading, unless it is empty.
    reached = np.maximum.accumulate(offsets[:, 1])
    begins = np.r_[True, offsets[1:, 0] >= reached[:-1]]
    starts = np.flatnonzero(begins)
    spans = np.stack([offsets[starts, 0], np.r_[reached[starts[1:] - 1], reached[-1]]], axis=1)
    first_sum, second_sum = np.add.reduceat(relevance, starts).T
    return CommonUnits(spans, first_sum, second_sum)
