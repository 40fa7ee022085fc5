"""Infidelity: does the relevance of words say by how much the score falls without them?

Yeh et al. 2019 (def. 2.1) ask for a perturbation I of the input how far the attribution's answer
Iᵀφ is from what the model does:

    INFD(φ, f, x) = E_I [(Iᵀφ − (f(x) − f(x − I)))²]

Here I takes the vectors of some words to zero. Since relevance is R_t = x_tᵀφ_t, the attribution's
answer is the sum of R_t over those words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError, OptionError
from seqlrp.evaluation.metric import Measured, Metric, Quantity
from seqlrp.explanation import ALL, Explanation

if TYPE_CHECKING:
    from seqlrp.evaluation.explained import Explained

_CHUNK = 256  # documents whose scores are held at a time


def infidelity(answers: npt.ArrayLike, changes: npt.ArrayLike) -> float:
    """The mean squared error of what relevance says `[S]` about changes of the score `[S]`.

    In squared units of the score; 0 is best. NaN without a perturbation.
    """
    said, done = _checked(answers, changes)
    return float(np.square(said - done).mean()) if len(said) else np.nan


def unexplained(answers: npt.ArrayLike, changes: npt.ArrayLike) -> float:
    """The share of the squared changes that is left when the answers are scaled as well as can be.

    min_β Σ(β·answer − change)² / Σ change², from 0 to 1: infidelity for methods whose numbers have
    no unit, such as a gradient's norm (Yeh et al. 2019 scale all by such a β). A factor below 0 is
    as good as any, for one that says the opposite is not less informed; so read the sign elsewhere.
    NaN where nothing changes.
    """
    said, done = _checked(answers, changes)
    whole = float(done @ done)
    if not whole:
        return np.nan
    size = float(said @ said)
    taken = float(said @ done) ** 2 / size if size else 0.0
    return max(0.0, 1 - taken / whole)


def _checked(
    answers: npt.ArrayLike, changes: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    said, done = np.asarray(answers, np.float64), np.asarray(changes, np.float64)
    if said.ndim != 1 or said.shape != done.shape:
        raise InputError(
            f"Got {list(said.shape)} answers to {list(done.shape)} changes, expected [S] each."
        )
    return said, done


def word_subsets(
    words: int, most: int, samples: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Positions of words to take out, `samples` times: how many is drawn first, then which.

    Each number from 1 to `most` is as likely as any other. Nothing comes of a text in which no word
    can go.
    """
    if most < 1:
        return []
    counts = random.integers(1, most, samples, endpoint=True)
    return [np.sort(random.permutation(words)[:count]).astype(np.int64) for count in counts]


class Infidelity(Metric):
    """Infidelity by taking words out, for the predicted class.

    Args:
        samples: how many sets of words are taken out of each text.

    Raises:
        OptionError: `samples` is below 1.
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
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise OptionError(f"Got samples={samples!r}, expected a whole number from 1 on.")
        self.samples = samples

    @property
    def parameters(self) -> dict[str, Any]:
        """How many sets of words are taken out."""
        return {"samples": self.samples}

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """Both figures of every document; the sets of words are the same for every method."""
        removed = [
            word_subsets(
                len(document),
                explained.remover.most(len(document)),
                self.samples,
                np.random.default_rng([explained.seed, number]),
            )
            for document, number in zip(explained.documents, explained.numbers, strict=True)
        ]
        errors: list[float] = []
        shares: list[float] = []
        for first in range(0, len(removed), _CHUNK):
            part = range(first, min(first + _CHUNK, len(removed)))
            # A copy of its own, because hardly a set is drawn twice: its scores go with it.
            scores = replace(explained).scores_without(
                [n for n in part for _ in removed[n]], [sets for n in part for sets in removed[n]]
            )
            ends = np.cumsum([len(removed[n]) for n in part])[:-1]
            for n, left in zip(part, np.split(scores, ends), strict=True):
                answers, changes = _compared(explained.explanations[n], removed[n], left)
                errors.append(infidelity(answers, changes))
                shares.append(unexplained(answers, changes))
        yield Measured("infidelity", np.array(errors, np.float64))
        yield Measured("unexplained", np.array(shares, np.float64))


def _compared(
    e: Explanation, removed: Sequence[npt.NDArray[np.int64]], left: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What relevance says of sets of words, and by how much the score falls without them."""
    if e.target == ALL:
        raise OptionError("Got relevance for all classes; explain one class, or a contrast.")
    relevance, scores = e.relevance.astype(np.float64), left.astype(np.float64)
    answers = np.array([relevance[chosen].sum() for chosen in removed])
    now = scores[:, int(e.target)]
    return answers, e.score - (now if e.against is None else now - scores[:, e.against])
