"""A part of the words goes, or all the others do: were they needed, and are they enough?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import OptionError
from seqlrp.evaluation.explained import Score, checked_score, most_relevant_first, scores_after
from seqlrp.evaluation.metric import Measured, Metric, Quantity

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.evaluation.explained import Explained

PERCENTAGES = (1, 5, 10, 20, 50)


class Erasure(Metric):
    """What the most relevant words are worth, a rationale of ⌈q T / 100⌉ of T words for each q.

    The class is the one that is predicted for the whole text. A rationale has at least one word.
    Where no word would be removed, or none would be left under `removal="delete"`, the figure is
    missing.

    Args:
        percentages: the q, above 0 and up to 100.
        score: m: `"probability"`, as in the paper, `"logit"` or `"accuracy"`.

    Raises:
        OptionError: a percentage that is not above 0 and up to 100, or an unknown score.
    """

    def __init__(
        self, percentages: Sequence[float] = PERCENTAGES, score: Score = "probability"
    ) -> None:
        super().__init__()
        for q in percentages:
            if not 0 < q <= 100:
                raise OptionError(f"Got a part of {q!r} %; expected above 0 and up to 100.")
        self.percentages = tuple(sorted(set(percentages)))
        self.score = checked_score(score)

    @property
    def parameters(self) -> dict[str, Any]:
        """Percentages and the score."""
        return {"percentages": list(self.percentages), "score": self.score}

    def lost(
        self,
        explained: Explained,
        rankings: Sequence[npt.NDArray[np.int64]],
        counts: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """m(x) − m(x without the first `counts[n, k]` words of each ranking), `[N, K]`."""
        classes = explained.predicted
        scores = scores_after(explained, rankings, counts)
        flat = scores.reshape(-1, scores.shape[-1])
        after = explained.value(flat, classes.repeat(counts.shape[1]), self.score)
        whole = explained.value(explained.scores, classes, self.score)
        values = whole[:, None] - after.reshape(counts.shape)
        return np.where(counts == 0, np.nan, values)

    def sizes(self, explained: Explained) -> npt.NDArray[np.int64]:
        """How many words the rationale of each document has for each percentage, `[N, K]`."""
        return np.array(
            [[part_of(q, len(d)) for q in self.percentages] for d in explained.documents], np.int64
        )


class Comprehensiveness(Erasure):
    """m(x) − m(x without its rationale) (DeYoung et al. 2020, eq. 1): were the words needed?"""

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

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """What each document loses without each rationale."""
        rankings = [most_relevant_first(e.relevance) for e in explained.explanations]
        values = self.lost(explained, rankings, self.sizes(explained))
        yield Measured(self.name, values, self.percentages)


class Sufficiency(Erasure):
    """m(x) − m(the rationale alone) (DeYoung et al. 2020, eq. 2): are the words enough?"""

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

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """What each document loses when only each rationale is left."""
        # The words that go are the last of the ranking.
        rankings = [most_relevant_first(e.relevance)[::-1] for e in explained.explanations]
        words = np.array([len(d) for d in explained.documents])
        values = self.lost(explained, rankings, words[:, None] - self.sizes(explained))
        yield Measured(self.name, values, self.percentages)


def part_of(percentage: float, words: int) -> int:
    """⌈q T / 100⌉, to the rounding of the product: 10 % of 20 words are 2."""
    return math.ceil(round(percentage * words / 100, 9))
