"""Infidelity: how well the relevance of words predicts the drop of the score without them.

Yeh et al. 2019 (def. 2.1) compare, for a perturbation I of the input, the drop Iᵀφ that the
attribution φ predicts with that of the model:

    INFD(φ, f, x) = E_I [(Iᵀφ − (f(x) − f(x − I)))²]

Here I sets the vectors of some words to zero. Since relevance is R_t = x_tᵀφ_t, the predicted drop
is the sum of R_t over those words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError, OptionError, check_number
from seqlrp.evaluation.documents import ExplainedDocuments
from seqlrp.evaluation.metrics.metric import Measured, Metric, Quantity
from seqlrp.explanations.record import ALL, Explanation

_CHUNK = 256  # documents whose scores are held at a time


def infidelity(predictions: npt.ArrayLike, drops: npt.ArrayLike) -> float:
    """Return the mean squared error of predicted drops `[S]` of the score against its drops `[S]`.

    In squared units of the score; 0 is best. NaN without a perturbation.

    Raises:
        InputError: the arrays do not have one shape `[S]`.
    """
    predicted, observed = _as_pair(predictions, drops)
    return float(np.square(predicted - observed).mean()) if len(predicted) else np.nan


def unexplained(predictions: npt.ArrayLike, drops: npt.ArrayLike) -> float:
    """Return the share of squared drops that the best-scaled predictions leave unexplained.

    min_β Σ(β·prediction − drop)² / Σ drop², from 0 to 1: infidelity for methods whose relevance has
    no unit, such as a gradient's norm (Yeh et al. 2019 scale all methods by such a β). β may be
    negative, so this quantity does not show whether the sign of relevance is right. NaN where no
    score changes.

    Raises:
        InputError: the arrays do not have one shape `[S]`.
    """
    predicted, observed = _as_pair(predictions, drops)
    total = float(observed @ observed)
    if not total:
        return np.nan
    size = float(predicted @ predicted)
    explained = float(predicted @ observed) ** 2 / size if size else 0.0
    return max(0.0, 1 - explained / total)


def _as_pair(
    predictions: npt.ArrayLike, drops: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    predicted, observed = np.asarray(predictions, np.float64), np.asarray(drops, np.float64)
    if predicted.ndim != 1 or predicted.shape != observed.shape:
        raise InputError(
            f"Got predictions {list(predicted.shape)} for drops {list(observed.shape)}; expected "
            f"[S] each."
        )
    return predicted, observed


def word_subsets(
    words: int, most: int, samples: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Draw the positions of words to remove, `samples` times.

    The number of words is drawn uniformly from 1 to `most`, then the words. The list is empty where
    `most` is 0.
    """
    if most < 1:
        return []
    counts = random.integers(1, most, samples, endpoint=True)
    return [np.sort(random.permutation(words)[:count]).astype(np.int64) for count in counts]


class Infidelity(Metric):
    """Infidelity under the removal of words, for the predicted class.

    Args:
        samples: how many sets of words are removed from each text.

    Raises:
        OptionError: `samples` is not a whole number of at least 1.
    """

    name = "infidelity"
    quantities: Mapping[str, Quantity] = {
        "infidelity": Quantity(
            "infidelity",
            "lower",
            "How far the relevance of some words is from the fall of the score without them, "
            "squared (Yeh et al. 2019); 0 is best.",
        ),
        "unexplained": Quantity(
            "unexplained change",
            "lower",
            "The share of the score's squared changes that relevance does not foresee, whatever "
            "unit it is in; from 0 to 1.",
        ),
    }

    def __init__(self, samples: int = 50) -> None:
        super().__init__()
        check_number("samples", samples, least=1, whole=True)
        self.samples = samples

    @property
    def parameters(self) -> dict[str, Any]:
        """The number of sets of words that are removed."""
        return {"samples": self.samples}

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute both quantities; every method is measured with the same sets of words."""
        removed = [
            word_subsets(
                len(document),
                data.remover.max_removed(len(document)),
                self.samples,
                np.random.default_rng([data.seed, number]),
            )
            for document, number in zip(data.documents, data.numbers, strict=True)
        ]
        errors: list[float] = []
        shares: list[float] = []
        for first in range(0, len(removed), _CHUNK):
            part = range(first, min(first + _CHUNK, len(removed)))
            # A copy, whose stored scores are freed with it: hardly a set is drawn twice.
            scores = replace(data).scores_without(
                [n for n in part for _ in removed[n]], [sets for n in part for sets in removed[n]]
            )
            ends = np.cumsum([len(removed[n]) for n in part])[:-1]
            for n, left in zip(part, np.split(scores, ends), strict=True):
                pair = _predictions_and_drops(data.explanations[n], removed[n], left)
                errors.append(infidelity(*pair))
                shares.append(unexplained(*pair))
        yield Measured("infidelity", np.array(errors, np.float64))
        yield Measured("unexplained", np.array(shares, np.float64))


def _predictions_and_drops(
    e: Explanation, removed: Sequence[npt.NDArray[np.int64]], left: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The drop of the score that relevance predicts for each set of words, and the actual drop."""
    if e.target == ALL:
        raise OptionError("Got relevance for all classes; explain one class, or a contrast.")
    relevance, scores = e.relevance.astype(np.float64), left.astype(np.float64)
    predictions = np.array([relevance[chosen].sum() for chosen in removed])
    now = scores[:, int(e.target)]
    return predictions, e.score - (now if e.against is None else now - scores[:, e.against])
