"""The records of an evaluation: the texts that take part, and what a metric is given of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import NonFiniteError, check_choice
from seqlrp.evaluation.removal import Remover
from seqlrp.explaining.explain import BATCH_TOKENS
from seqlrp.explaining.known import is_by
from seqlrp.explanations.record import Explanation
from seqlrp.methods import Method
from seqlrp.models.prediction import probabilities_from_scores

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.explaining.questions import Question
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

Score = Literal["probability", "logit", "accuracy"]


class Texts(NamedTuple):
    """The texts that take part in an evaluation: those that are long enough.

    Attributes:
        questions: a question about the predicted class of each text.
        rationales: for each text the words that people marked, numbers from 0 to 1 `[T]`; None
            where no rationales were passed.
        known: explanations that were made before, by the number of the text.
    """

    questions: list[Question]
    rationales: list[npt.NDArray[np.float64]] | None
    known: Mapping[int, Explanation] = {}

    @property
    def documents(self) -> list[EncodedText]:
        """The encoded texts."""
        return [question.document for question in self.questions]

    @property
    def numbers(self) -> list[int]:
        """The position of each document among the user's texts, from 0."""
        return [question.number for question in self.questions]

    @property
    def labels(self) -> list[int | None]:
        """The true class of each document, None where it is not known."""
        return [question.truth for question in self.questions]

    def known_answer(self, question: Question, method: Method) -> Explanation | None:
        """The explanation that a method gave to a question before, None where there is none."""
        known = self.known.get(question.number)
        if known is None or known.against is not None:
            return None
        wanted = known.predicted if question.target == "predicted" else question.target
        if known.target != wanted or not is_by(known, method.name, method.parameters):
            return None
        return known


@dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedDocuments:
    """N documents with their explanations by one method, and the classifier that was explained.

    Attributes:
        classifier: the classifier that was explained.
        documents: the encoded texts.
        numbers: the position of each document among the user's texts, the column `document` of
            every row.
        labels: the true class of each document, None where it is not known.
        method: the method's name in the table.
        order: the number of the random order, from 0; 0 for a method that draws none.
        explanations: explanations of the *predicted* class of each whole text, relevance `[T]`.
        of_label: explanations of the *true* class; the same record where the prediction is right,
            None where there is no explanation of that class.
        explainer: the method object, with which a metric can explain again; None for attributions
            that were passed as arrays.
        rationales: for each document the words that people marked, numbers from 0 to 1 `[T]`; None
            where no rationales were passed.
        remover: removes words, see `seqlrp.evaluation.removal.Remover`.
        seed: the seed of random numbers that a metric draws.
        batch_tokens: the largest number of tokens in a batch of texts to explain, padding included.
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
    _scores: dict[tuple[int, bytes], npt.NDArray[np.float32]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores of the whole texts, `[N, C]`."""
        return np.stack([e.scores for e in self.explanations])

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The class that is predicted for each whole text, `[N]`."""
        return np.array([e.predicted for e in self.explanations], np.int64)

    def scores_without(
        self, which: Sequence[int], removed: Sequence[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.float32]:
        """Compute scores `[M, C]` of document `which[m]` without its words `removed[m]`.

        The scores of each set of words are computed once and shared by all metrics. With nothing
        removed they are the scores of the explanation.

        Args:
            which: the indices of the documents, `[M]`.
            removed: for each of them the positions of the words to remove.

        Raises:
            NonFiniteError: a score is NaN or infinite.
        """
        which = [int(n) for n in which]
        keys = [(n, _digest(positions)) for n, positions in zip(which, removed, strict=True)]
        missing: dict[tuple[int, bytes], int] = {}
        for m, key in enumerate(keys):
            if not len(removed[m]):
                self._scores[key] = self.scores[key[0]]
            elif key not in self._scores:
                missing.setdefault(key, m)
        if missing:
            places = list(missing.values())
            found = self.remover.scores(
                [self.documents[which[m]] for m in places], [removed[m] for m in places]
            )
            self._check_finite([which[m] for m in places], found)
            self._scores.update(zip(missing, found, strict=True))
        empty = np.zeros((0, len(self.classifier.labels)), np.float32)
        return np.stack([self._scores[key] for key in keys]) if keys else empty

    def _check_finite(self, which: list[int], scores: npt.NDArray[np.float32]) -> None:
        wrong = ~np.isfinite(scores).all(1)
        if wrong.any():
            n = which[int(wrong.argmax())]
            raise NonFiniteError(
                f"A score of text {self.numbers[n]} is NaN or infinite when words are removed "
                f"(removal={self.remover.removal!r}); look for a division by a length.",
                option="removal",
                got=self.remover.removal,
                text=self.numbers[n],
            )

    def value(
        self, scores: npt.NDArray[np.floating], classes: npt.NDArray[np.int64], score: Score
    ) -> npt.NDArray[np.float64]:
        """Compute the probability, logit or accuracy of one class `[M]` from scores `[M, C]`.

        `"probability"` is the softmax of the scores, or the logistic function of each score where
        texts may have several labels, or the model has one output s for two labels, whose scores
        are [-s, s]. `"logit"` is the score itself. `"accuracy"` is 1 where the class has the
        highest score, 0 elsewhere. A row of NaN, which stands for a missing value, gives NaN.

        Raises:
            OptionError: `score` is none of the three.
        """
        check_score(score)
        wide: npt.NDArray[np.float64] = np.asarray(scores, np.float64)
        chosen: npt.NDArray[np.float64] = wide[np.arange(len(wide)), classes]
        if score == "accuracy":
            highest: npt.NDArray[np.bool_] = wide.argmax(1) == classes
            return np.where(np.isnan(wide).any(1), np.nan, highest.astype(np.float64))
        if score == "logit":
            return chosen
        with np.errstate(invalid="ignore"):  # rows of NaN
            found = probabilities_from_scores(wide, independent=self.independent)
        return found[np.arange(len(wide)), classes]

    @cached_property
    def independent(self) -> bool:
        """Whether the probability of a class is the sigmoid of its own score."""
        return self.classifier.independent


def _digest(positions: npt.NDArray[np.int64]) -> bytes:
    """Return a digest of a set of positions, which does not depend on their order."""
    content = np.sort(positions).astype(np.int64).tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def check_score(score: str) -> None:
    """Check that `score` is "probability", "logit" or "accuracy".

    Raises:
        OptionError: it is not.
    """
    check_choice("score", score, get_args(Score))


def most_relevant_first(relevance: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return positions by decreasing relevance; among equal words the earlier comes first."""
    return np.argsort(-relevance, kind="stable").astype(np.int64)


def least_relevant_first(relevance: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return positions by increasing relevance; among equal words the earlier comes first."""
    return np.argsort(relevance, kind="stable").astype(np.int64)


def scores_after(
    data: ExplainedDocuments,
    rankings: Sequence[npt.NDArray[np.int64] | None],
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Compute scores `[N, K, C]` after the first `counts[n, k]` words of a ranking are removed.

    Args:
        data: N documents.
        rankings: for each document its positions in the order of removal, or None.
        counts: how many words to remove, `[N, K]`.

    Returns:
        scores; NaN where a document has no ranking or too few words, so that the value is missing
        rather than right or wrong.
    """
    most = np.array([data.remover.max_removed(len(d)) for d in data.documents])
    ranked = np.array([r is not None for r in rankings])
    possible = ((counts <= most[:, None]) | (counts == 0)) & ranked[:, None]
    scores = np.full((*counts.shape, data.scores.shape[1]), np.nan)
    documents, places = possible.nonzero()
    removed = []
    for n, place in zip(documents.tolist(), places.tolist(), strict=True):
        ranking = rankings[n]
        assert ranking is not None
        removed.append(ranking[: counts[n, place]])
    scores[documents, places] = data.scores_without(documents.tolist(), removed)
    return scores
