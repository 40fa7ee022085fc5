"""Words go in the order in which a method ranks them, and the true class is watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from seqlrp.errors import OptionError
from seqlrp.evaluation.explained import (
    Score,
    checked_score,
    least_relevant_first,
    most_relevant_first,
    scores_after,
)
from seqlrp.evaluation.metric import Measured, Metric, Need, Quantity

if TYPE_CHECKING:
    from seqlrp.evaluation.explained import Explained

KS = (0, 1, 2, 3, 4, 5)
DIRECTIONS = ("right", "wrong")
_MEANING = (
    "Arras et al. 2017, sec. 4. The true class is explained. Where the classifier is right the "
    "most relevant words are deleted first, and it should become wrong; where it is wrong the "
    "least relevant ones are, and it should become right."
)


class WordDeletion(Metric):
    """Accuracy and score of the true class after k words are deleted (Arras et al. 2017, sec. 4).

    Two directions, judged by the whole text: `"right"`, the most relevant words first, where the
    curve should fall; `"wrong"`, the least relevant first, where it should rise. Words of equal
    relevance go in the order of the text. A document with fewer than k words is missing at k.

    Args:
        ks: how many words to delete; 0, the text as it is, is always among them.
        score: what is watched besides accuracy: `"probability"`, `"logit"`, or `"accuracy"` for
            nothing else.

    Raises:
        OptionError: a k that is no whole number from 0 on, or an unknown score.
    """

    name = "word_deletion"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def __init__(self, ks: Sequence[int] = KS, score: Score = "probability") -> None:
        super().__init__()
        self.ks = checked_ks(ks)
        self.score = checked_score(score)
        self.quantities: Mapping[str, Quantity] = {
            "deletion_accuracy": Quantity("accuracy after word deletion", "by direction", _MEANING),
        }
        if score != "accuracy":
            self.quantities |= {
                f"deletion_{score}": Quantity(
                    f"{score} of the true class after word deletion", "by direction", _MEANING
                )
            }

    @property
    def parameters(self) -> dict[str, Any]:
        """Numbers of words and the score."""
        return {"ks": list(self.ks), "score": self.score}

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """Accuracy, and the score, of each document after each number of words."""
        labels = np.array(explained.labels, np.int64)
        right = explained.predicted == labels
        rankings = [
            None
            if e is None
            else (most_relevant_first if turn else least_relevant_first)(e.relevance)
            for e, turn in zip(explained.of_label, right, strict=True)
        ]
        counts = np.tile(np.array(self.ks, np.int64), (len(labels), 1))
        scores = scores_after(explained, rankings, counts)
        flat, classes = scores.reshape(-1, scores.shape[-1]), labels.repeat(len(self.ks))
        direction = [DIRECTIONS[0 if turn else 1] for turn in right]
        wanted: list[Score] = ["accuracy", self.score]
        for score in dict.fromkeys(wanted):
            values = explained.value(flat, classes, score).reshape(counts.shape)
            yield Measured(f"deletion_{score}", values, self.ks, direction)


def checked_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Numbers of words in increasing order, 0 among them.

    Raises:
        OptionError: one is no whole number from 0 on.
    """
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            raise OptionError(f"Got {k!r} as a number of words; expected whole numbers from 0 on.")
    return tuple(sorted({0, *map(int, ks)}))
