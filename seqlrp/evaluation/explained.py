"""Documents as one method explained them: all that a metric is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from seqlrp.batching import BatchTokens
from seqlrp.deletion import Remover
from seqlrp.errors import NonFiniteError, OptionError, near
from seqlrp.explain import BATCH_TOKENS
from seqlrp.explanation import Explanation
from seqlrp.methods import Method
from seqlrp.prediction import chances

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

Score = Literal["probability", "logit", "accuracy"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Explained:
    """N documents as one method explained them, and the classifier to ask again.

    Attributes:
        classifier: what was explained.
        documents: the encoded texts.
        numbers: which of the user's texts each document is: the column `document` of every row.
        labels: the true class of each, None where it is not known.
        method: the method's name in the table; of attributions from outside, the name given.
        order: which of several random orders this is; 0 for every other method.
        explanations: of the *predicted* class of each whole text, relevance `[T]`.
        of_label: of the *true* class; the same record where the prediction is right, None where
            nothing is known of that class.
        explainer: the method itself, to explain again; None for attributions from outside.
        rationales: for each document the words that people marked, a number a word `[T]` from 0 to
            1; None where nobody marked any.
        remover: how words are taken out, see `seqlrp.deletion.Remover`.
        seed: of what a metric draws.
        batch_tokens: the most tokens in a batch of texts to explain, padding included.
    """

    classifier: TextClassifier
    documents: Sequence[EncodedText]
    numbers: Sequence[int]
    labels: Sequence[int | None]
    method: str
    explanations: Sequence[Explanation]
    of_label: Sequence[Explanation | None]
    order: int = 0
    explainer: Method | None = None
    rationales: Sequence[npt.NDArray[np.float64]] | None = None
    remover: Remover
    seed: int = 0
    batch_tokens: BatchTokens = BATCH_TOKENS
    _known: dict[tuple[int, bytes], npt.NDArray[np.float32]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores of the whole texts, `[N, C]`."""
        return np.stack([e.scores for e in self.explanations])

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The class with which the classifier answers each whole text, `[N]`."""
        return np.array([e.predicted for e in self.explanations], np.int64)

    def scores_without(
        self, which: Sequence[int], removed: Sequence[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.float32]:
        """Scores `[M, C]` of document `which[m]` without its words at the positions `removed[m]`.

        What several metrics ask for is run once; nothing removed is the text as it was explained.
        """
        which = [int(n) for n in which]
        keys = [(n, _digest(positions)) for n, positions in zip(which, removed, strict=True)]
        missing: dict[tuple[int, bytes], int] = {}
        for m, key in enumerate(keys):
            if not len(removed[m]):
                self._known[key] = self.scores[key[0]]
            elif key not in self._known:
                missing.setdefault(key, m)
        if missing:
            places = list(missing.values())
            found = self.remover.scores(
                [self.documents[which[m]] for m in places], [removed[m] for m in places]
            )
            self._check_finite([which[m] for m in places], found)
            self._known.update(zip(missing, found, strict=True))
        empty = np.zeros((0, len(self.classifier.labels)), np.float32)
        return np.stack([self._known[key] for key in keys]) if keys else empty

    def _check_finite(self, which: list[int], scores: npt.NDArray[np.float32]) -> None:
        wrong = ~np.isfinite(scores).all(1)
        if wrong.any():
            n = which[int(wrong.argmax())]
            raise NonFiniteError(
                f"A score of text {self.numbers[n]} is NaN or infinite when words are removed "
                f"(removal={self.remover.removal!r}); look for a division by a length."
            )

    def value(
        self, scores: npt.NDArray[np.floating], classes: npt.NDArray[np.int64], score: Score
    ) -> npt.NDArray[np.float64]:
        """What is measured of scores `[M, C]` for one class each `[M]`.

        `"probability"` is what `classifier.probabilities` says: the softmax of the scores (the
        logistic of each where texts may have several labels, or the model has one output s for two
        labels, whose scores are [-s, s]), `"logit"` the score itself, and
        `"accuracy"` 1 where the class has the highest score, 0 elsewhere. What is missing, a row of
        NaN, stays missing.
        """
        checked_score(score)
        wide: npt.NDArray[np.float64] = np.asarray(scores, np.float64)
        chosen: npt.NDArray[np.float64] = wide[np.arange(len(wide)), classes]
        if score == "accuracy":
            highest: npt.NDArray[np.bool_] = wide.argmax(1) == classes
            return np.where(np.isnan(wide).any(1), np.nan, highest.astype(np.float64))
        if score == "logit":
            return chosen
        with np.errstate(invalid="ignore"):  # of what is missing
            found = chances(wide, independent=self.independent)
        return found[np.arange(len(wide)), classes]

    @cached_property
    def independent(self) -> bool:
        """Whether the probability of a class is the sigmoid of its own score."""
        return self.classifier.independent


def _digest(positions: npt.NDArray[np.int64]) -> bytes:
    """Short for a set of positions, in whatever order they come."""
    content = np.sort(positions).astype(np.int64).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def checked_score(score: Score) -> Score:
    """The score, if it is one that is known.

    Raises:
        OptionError: it is not.
    """
    if score not in get_args(Score):
        raise OptionError(f"There is no score {score!r}. {near(str(score), get_args(Score))}")
    return score


def most_relevant_first(relevance: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Positions in decreasing order of relevance; of equal ones the earlier word comes first."""
    return np.argsort(-relevance, kind="stable").astype(np.int64)


def least_relevant_first(relevance: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Positions in increasing order of relevance; of equal ones the earlier word comes first."""
    return np.argsort(relevance, kind="stable").astype(np.int64)


def scores_after(
    explained: Explained,
    rankings: Sequence[npt.NDArray[np.int64] | None],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Scores `[N, K, C]` after the first `counts[n, k]` words of each ranking are taken out.

    NaN where there is no ranking or a document has too few words, so that what could not be asked
    is missing, and neither right nor wrong.
    """
    most = np.array([explained.remover.most(len(d)) for d in explained.documents])
    ranked = np.array([r is not None for r in rankings])
    possible = ((counts <= most[:, None]) | (counts == 0)) & ranked[:, None]
    scores = np.full((*counts.shape, explained.scores.shape[1]), np.nan)
    documents, places = possible.nonzero()
    removed = []
    for n, place in zip(documents.tolist(), places.tolist(), strict=True):
        ranking = rankings[n]
        assert ranking is not None
        removed.append(ranking[: counts[n, place]])
    scores[documents, places] = explained.scores_without(documents.tolist(), removed)
    return scores
