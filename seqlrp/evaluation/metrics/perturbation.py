"""Perturbation curves and their areas (AOPC, ABPC), for the predicted class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.evaluation.documents import (
    ExplainedDocuments,
    Score,
    check_score,
    least_relevant_first,
    most_relevant_first,
    scores_after,
)
from seqlrp.evaluation.metrics.metric import Measured, Metric, Quantity
from seqlrp.evaluation.metrics.word_deletion import KS, increasing_ks

if TYPE_CHECKING:
    import numpy.typing as npt


class Perturbation(Metric):
    """Curves in both directions, and the areas over and between them (Samek et al. 2017, sec. III).

    MoRF removes the most relevant words first, LeRF the least relevant first, in every document.
    The class is the one that is predicted for the whole text. With f(k) the score after k words
    are removed, for the L + 1 values of k (eq. 12, per document):

        AOPC = 1/(L + 1) Σ_k f(0) − f(k)        ABPC = AOPC_MoRF − AOPC_LeRF

    A document takes part with those k for which it has enough words; with k = 0 alone its value is
    missing. Words of equal relevance are removed in the order of the text in both directions.

    Args:
        ks: the numbers of words to remove; 0 is always among them.
        score: the score f: `"probability"`, `"logit"` or `"accuracy"`.

    Raises:
        OptionError: a k that is not a whole number of at least 0, or an unknown score.
    """

    name = "aopc"

    def __init__(self, ks: Sequence[int] = KS, score: Score = "probability") -> None:
        super().__init__()
        check_score(score)
        self.ks = increasing_ks(ks)
        self.score = score
        what = "agreement with the first answer" if score == "accuracy" else score
        self.quantities: Mapping[str, Quantity] = {
            "morf": Quantity(
                f"{what} after removing the most relevant words",
                "lower",
                "The class predicted for the whole text, all texts (Samek et al. 2017).",
                headline=False,
            ),
            "lerf": Quantity(
                f"{what} after removing the least relevant words",
                "higher",
                "The class predicted for the whole text, all texts (Samek et al. 2017).",
                headline=False,
            ),
            "aopc_morf": Quantity(
                "AOPC, most relevant first",
                "higher",
                f"By how much the {what} falls on average when the most relevant words go first "
                f"(area over the perturbation curve, Samek et al. 2017, eq. 12).",
            ),
            "aopc_lerf": Quantity(
                "AOPC, least relevant first",
                "lower",
                f"By how much the {what} falls when the least relevant words go first: it should "
                f"hardly fall, or rise.",
            ),
            "abpc": Quantity(
                "area between the two curves",
                "higher",
                "The difference of the two: how well the ranking tells words for the answer from "
                "words against it.",
            ),
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """The numbers of words and the score."""
        return {"ks": list(self.ks), "score": self.score}

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute both curves of each document, and their areas."""
        areas = {}
        for name, order in (("morf", most_relevant_first), ("lerf", least_relevant_first)):
            rankings = [order(e.relevance) for e in data.explanations]
            counts = np.tile(np.array(self.ks, np.int64), (len(rankings), 1))
            scores = scores_after(data, rankings, counts)
            classes = data.predicted.repeat(len(self.ks))
            flat = scores.reshape(-1, scores.shape[-1])
            curve = data.value(flat, classes, self.score).reshape(counts.shape)
            yield Measured(name, curve, self.ks)
            areas[name] = _area_over(curve)
            yield Measured(f"aopc_{name}", areas[name])
        yield Measured("abpc", areas["morf"] - areas["lerf"])


def _area_over(curve: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return 1/(L + 1) Σ_k f(0) − f(k) of each row, over the k that are not missing."""
    known = (~np.isnan(curve)).sum(1)
    total = np.nansum(curve[:, :1] - curve, axis=1)
    return np.where(known > 1, total / np.maximum(known, 1), np.nan)
