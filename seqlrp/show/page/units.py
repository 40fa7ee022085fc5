"""What is shown with one colour: tokens as they are, words, or sentences; relevance is summed.

Words are found by `seqlrp.text.segmentation`; sentences are those of `Explanation.sentences`, or
found there too. A unit is without the white space round it. A token that does not stand in the
text, such as `[CLS]`, is no unit: there is nothing to show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqlrp.explanations.merging import added
from seqlrp.explanations.record import Explanation
from seqlrp.text.segmentation import sentence_starts, word_starts


@dataclass(frozen=True)
class Units:
    """U parts of a text, in order, none overlapping another.

    Attributes:
        spans: [U, 2], where each starts and ends in the text, in characters.
        values: float64 [U], or [C, U] for every class: the sum of the relevance of its tokens.
        first: [U], the number of the token (or of the smaller unit) with which each begins.
    """

    spans: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    first: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.spans)


def words_and_sentences(explanation: Explanation) -> tuple[Units, Units]:
    """Words, without the white space round them, and the sentences, as numbers of words."""
    text = explanation.text
    first = word_starts(text, explanation.offsets)
    places, values = added(explanation.offsets, explanation.relevance, first)
    spans = places.copy()
    for span in spans:
        written = text[span[0] : span[1]]
        bare = written.strip()
        if bare and bare != written:
            span[0] += len(written) - len(written.lstrip())
            span[1] = span[0] + len(bare)
    return _with_sentences(explanation, Units(spans, values, first), places)


def tokens_and_sentences(explanation: Explanation) -> tuple[Units, Units]:
    """Every token by itself, as it is, and the sentences, as numbers of these units."""
    offsets = explanation.offsets.astype(np.int64)
    values = explanation.relevance.astype(np.float64)
    return _with_sentences(explanation, Units(offsets, values, np.arange(len(offsets))), offsets)


def outside_the_text(explanation: Explanation) -> dict[str, float]:
    """The relevance of the tokens that are in no word, as they stand nowhere in the text, by name.

    The explanation is for a single class.
    """
    spans = explanation.offsets
    found: dict[str, float] = {}
    if (spans[:, 0] < spans[:, 1]).all():
        return found
    first = word_starts(explanation.text, spans)
    places, values = added(spans, explanation.relevance, first)
    alone = places[:, 0] == places[:, 1]
    for i, value in zip(first[alone].tolist(), values[alone].tolist(), strict=True):
        name = explanation.tokens[i]
        found[name] = found.get(name, 0.0) + value
    return found


def _with_sentences(
    explanation: Explanation, parts: Units, places: npt.NDArray[np.int64]
) -> tuple[Units, Units]:
    """The parts that are shown, and sentences of them; `places` are theirs with white space."""
    sentences = explanation.sentences
    first = sentence_starts(
        explanation.text, places, None if sentences is None else sentences[parts.first]
    )
    spans, values = added(parts.spans, parts.values, first)
    shown = parts.spans[:, 0] < parts.spans[:, 1]
    shown_before: npt.NDArray[np.intp] = np.cumsum(shown) - shown
    whole = Units(spans, values, shown_before[first])
    return _chosen(parts, shown), _chosen(whole, spans[:, 0] < spans[:, 1])


def _chosen(units: Units, which: npt.NDArray[np.bool_]) -> Units:
    return Units(units.spans[which], units.values[..., which], units.first[which])
