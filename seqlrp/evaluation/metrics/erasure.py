"""Comprehensiveness and sufficiency: are the most relevant words necessary, and do they suffice?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import check_number
from seqlrp.evaluation.documents import (
    ExplainedDocuments,
    Score,
    check_score,
    most_relevant_first,
    scores_after,
)
from seqlrp.evaluation.metrics.metric import Measured, Metric, Quantity

if TYPE_CHECKING:
    import numpy.typing as npt

PERCENTAGES = (1, 5, 10, 20, 50)


class Erasure(Metric):
    """Base of metrics that compare a text with its rationale of ⌈q T / 100⌉ of T words.

    A rationale is the most relevant q % of the words, at least one. The class is the one that is
    predicted for the whole text. Where no word would be removed, or none would be left with
    `removal="delete"`, the value is missing.

    Args:
        percentages: the values of q, above 0 and at most 100.
        score: the score m: `"probability"`, as in the paper, `"logit"` or `"accuracy"`.

    Raises:
        OptionError: a percentage that is not above 0 and at most 100, or an unknown score.
    """

    def __init__(
        self, percentages: Sequence[float] = PERCENTAGES, score: Score = "probability"
    ) -> None:
        super().__init__()
        for q in percentages:
            check_number("percentages", q, above=0, most=100)
        check_score(score)
        self.percentages = tuple(sorted(set(percentages)))
        self.score = score

    @property
    def parameters(self) -> dict[str, Any]:
        """Percentages and the score."""
        return {"percentages": list(self.percentages), "score": self.score}

    def differences(
        self,
        data: ExplainedDocuments,
        rankings: Sequence[npt.NDArray[np.int64]],
        counts: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Compute m(x) − m(x without the first `counts[n, k]` words of its ranking), `[N, K]`."""
        classes = data.predicted
        scores = scores_after(data, rankings, counts)
        flat = scores.reshape(-1, scores.shape[-1])
        after = data.value(flat, classes.repeat(counts.shape[1]), self.score)
        whole = data.value(data.scores, classes, self.score)
        values = whole[:, None] - after.reshape(counts.shape)
        return np.where(counts == 0, np.nan, values)

    def sizes(self, data: ExplainedDocuments) -> npt.NDArray[np.int64]:
        """Return the number of words in each rationale, `[N, K]`."""
        sizes = [[rationale_size(q, len(d)) for q in self.percentages] for d in data.documents]
        return np.array(sizes, np.int64)


class Comprehensiveness(Erasure):
    """Comprehensiveness, m(x) − m(x without its rationale) (DeYoung et al. 2020, eq. 1)."""

    name = "comprehensiveness"
    quantities: Mapping[str, Quantity] = {
        "comprehensiveness": Quantity(
            "comprehensiveness",
            "higher",
            "What the answer loses without the most relevant k % of the words, averaged over k: "
            "were they needed? (DeYoung et al. 2020, eq. 1)",
            k="%",
        )
    }

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute the drop of the score without each rationale."""
        rankings = [most_relevant_first(e.relevance) for e in data.explanations]
        values = self.differences(data, rankings, self.sizes(data))
        yield Measured(self.name, values, self.percentages)


class Sufficiency(Erasure):
    """Sufficiency, m(x) − m(the rationale alone) (DeYoung et al. 2020, eq. 2)."""

    name = "sufficiency"
    quantities: Mapping[str, Quantity] = {
        "sufficiency": Quantity(
            "sufficiency",
            "lower",
            "What the answer loses when only the most relevant k % of the words are left, averaged "
            "over k: are they enough? (DeYoung et al. 2020, eq. 2)",
            k="%",
        )
    }

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute the drop of the score when only each rationale is left."""
        # The words that are removed are the least relevant ones.
        rankings = [most_relevant_first(e.relevance)[::-1] for e in data.explanations]
        words = np.array([len(d) for d in data.documents])
        values = self.differences(data, rankings, words[:, None] - self.sizes(data))
        yield Measured(self.name, values, self.percentages)


def rationale_size(percentage: float, words: int) -> int:
    """Return ⌈q T / 100⌉, safe from rounding errors of the product: 10 % of 20 words are 2."""
    return math.ceil(round(percentage * words / 100, 9))
