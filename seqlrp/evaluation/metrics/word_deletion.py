"""Word deletion (Arras et al. 2017): the accuracy after relevant words are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from seqlrp.errors import check_number
from seqlrp.evaluation.documents import (
    ExplainedDocuments,
    Score,
    check_score,
    least_relevant_first,
    most_relevant_first,
    scores_after,
)
from seqlrp.evaluation.metrics.metric import Measured, Metric, Need, Quantity

KS = (0, 1, 2, 3, 4, 5)
DIRECTIONS = ("right", "wrong")
_MEANING = (
    "Arras et al. 2017, sec. 4. The true class is explained. Where the classifier is right the "
    "most relevant words are deleted first, and it should become wrong; where it is wrong the "
    "least relevant ones are, and it should become right."
)


class WordDeletion(Metric):
    """Accuracy and score of the true class after k words are deleted (Arras et al. 2017, sec. 4).

    Documents that are classified correctly have the direction `"right"`: the most relevant words
    are deleted first, and the curve should fall. The others have the direction `"wrong"`: the least
    relevant words are deleted first, and the curve should rise. Words of equal relevance are
    deleted in the order of the text. The value at k is missing for a document of fewer words.

    Args:
        ks: the numbers of words to delete; 0 is always among them.
        score: what is measured besides accuracy: `"probability"`, `"logit"`, or `"accuracy"` for
            accuracy alone.

    Raises:
        OptionError: a k that is not a whole number of at least 0, or an unknown score.
    """

    name = "word_deletion"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def __init__(self, ks: Sequence[int] = KS, score: Score = "probability") -> None:
        super().__init__()
        check_score(score)
        self.ks = increasing_ks(ks)
        self.score = score
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
        """The numbers of words and the score."""
        return {"ks": list(self.ks), "score": self.score}

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute the accuracy and the score of each document for each number of words."""
        labels = np.array(data.labels, np.int64)
        right = data.predicted == labels
        rankings = [
            None
            if e is None
            else (most_relevant_first if turn else least_relevant_first)(e.relevance)
            for e, turn in zip(data.of_label, right, strict=True)
        ]
        counts = np.tile(np.array(self.ks, np.int64), (len(labels), 1))
        scores = scores_after(data, rankings, counts)
        flat, classes = scores.reshape(-1, scores.shape[-1]), labels.repeat(len(self.ks))
        direction = [DIRECTIONS[0 if turn else 1] for turn in right]
        wanted: list[Score] = ["accuracy", self.score]
        for score in dict.fromkeys(wanted):
            values = data.value(flat, classes, score).reshape(counts.shape)
            yield Measured(f"deletion_{score}", values, self.ks, direction)


def increasing_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """Return numbers of words in increasing order, with 0.

    Raises:
        OptionError: one is not a whole number of at least 0.
    """
    for k in ks:
        check_number("ks", k, least=0, whole=True)
    return tuple(sorted({0, *map(int, ks)}))
