"""A classifier that answers single texts of many requests: probabilities and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from seqlrp.engine.batches import Budget
from seqlrp.errors import NonFiniteError, SeqlrpError, TargetError, TextError, check_choice
from seqlrp.evaluation.removal import Removal, Remover
from seqlrp.explaining.attribute import explain_questions
from seqlrp.explaining.explain import BATCH_TOKENS, CHOSEN, chosen_method
from seqlrp.explaining.questions import Question
from seqlrp.explaining.targets import PREDICTED, check_unambiguous
from seqlrp.explanations.record import Explanation
from seqlrp.methods import METHODS, Method
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.prediction import probabilities_from_scores
from seqlrp.serve.batches import SharedBatches
from seqlrp.serve.limits import Limits, RequestError
from seqlrp.text.encoded import EncodedText
from seqlrp.text.tokens import checked_text

LISTED = 50  # labels that an error names


@dataclass(frozen=True)
class Scored:
    """Jobs of this kind give the scores of a text without some of its words."""

    removal: Removal


@dataclass(frozen=True)
class Explained:
    """Jobs of this kind give an explanation: of a class, or of one class rather than another."""

    method: str
    form: tuple[bool, bool | None]  # whether each side is "predicted"; None without a second


class Request(NamedTuple):
    """One text to explain; classes by name, or "predicted"."""

    text: str
    target: str
    against: str | None


class Answer(NamedTuple):
    """An explanation, and the numbers of its tokens that the vocabulary lacks."""

    explanation: Explanation
    unknown: list[int]


class Variants(NamedTuple):
    """One text, and for each variant of it the tokens that it lacks."""

    text: str
    removed: Sequence[Sequence[int]]


class LiveModel:
    """A classifier, and the thread on which it runs.

    Args:
        classifier: the classifier; its model is only run on that thread.
        name: what the page calls it.
        limits: the most words of a text, and the most jobs that wait.

    Attributes:
        methods: the names of the methods that it can be asked for.
    """

    def __init__(self, classifier: TextClassifier, name: str, limits: Limits) -> None:
        self.classifier, self.name, self.limits = classifier, name, limits
        self.methods = (*METHODS, *([] if classifier.chosen is None else [CHOSEN]))
        self._budget = Budget(BATCH_TOKENS, classifier.device)
        self._method = cache(lambda name: chosen_method(classifier, name, {}))
        self._remover = cache(lambda removal: Remover(classifier, removal))
        self._independent = classifier.independent
        self._batches = SharedBatches(self._run, limits.waiting)
        self._warm_up()

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        self._batches.close()

    def scores(
        self, text: str, removed: Sequence[Sequence[int]], removal: Removal
    ) -> Future[npt.NDArray[np.float32]]:
        """Score variants of a text that lack some of its tokens: `[V, C]`."""
        return self._batches.submit(Scored(removal), Variants(text, removed))

    def check(self, method: str, target: str, against: str | None) -> None:
        """Check what is asked of every text alike.

        Raises:
            OptionError: there is no such method.
            TargetError: there is no such class, or it is on both sides.
        """
        check_choice("method", method, self.methods)
        self._class(target)
        if against is not None:
            self._class(against)
        if target == against:
            raise TargetError(f"Both sides are {target[:80]!r}; ask for one class, or for two.")

    def explanation(
        self, text: str, method: str, target: str, against: str | None
    ) -> Future[Answer]:
        """Explain a text: a class by name or "predicted", or that rather than `against`."""
        self.check(method, target, against)
        second = None if against is None else against == PREDICTED
        kind = Explained(method, (target == PREDICTED, second))
        return self._batches.submit(kind, Request(text, target, against))

    def probabilities(self, scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """The probabilities `[V, C]` of scores."""
        return probabilities_from_scores(scores, independent=self._independent)

    def named(self, scores: npt.NDArray[np.float32]) -> str:
        """The predicted label of scores `[C]` and its probability, as a sentence has them."""
        predicted = int(scores.argmax())
        share = float(self.probabilities(scores[None])[0, predicted])
        return f"{self.classifier.labels[predicted]} ({100 * share:.1f} %)"

    def _warm_up(self) -> None:
        """Answer one question of each kind: imports and kernels are loaded before anybody waits."""
        text = " ".join(self.classifier.vocabulary.tokens[:20])
        first: list[Future[Any]] = [
            self.scores(text, [[]], "zero"),
            self.explanation(text, "lrp", PREDICTED, None),
        ]
        for future in first:
            future.exception()  # whoever asks next is told

    def _run(self, kind: Scored | Explained, items: Sequence[Any]) -> Sequence[Any]:
        if isinstance(kind, Scored):
            return self._each(self._score, kind, items)
        return self._each(self._explain, kind, items)

    def _each(self, run: Any, kind: Any, items: Sequence[Any]) -> Sequence[Any]:
        """Run all items together; where that fails, each by itself, so that one fails alone."""
        documents = [self._encoded(item.text) for item in items]
        good = [k for k, document in enumerate(documents) if isinstance(document, EncodedText)]
        results: list[Any] = list(documents)
        if not good:
            return results
        try:
            found = run(kind, [items[k] for k in good], [documents[k] for k in good])
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [self._each(run, kind, [item])[0] for item in items]
        for k, result in zip(good, found, strict=True):
            results[k] = result
        return results

    def _encoded(self, text: str) -> EncodedText | Exception:
        try:
            document = next(self.classifier.encode([checked_text(text)]))
        except Exception as error:  # of any tokenizer
            return error if isinstance(error, SeqlrpError) else TextError(
                f"The tokenizer raised {type(error).__name__} for this text."
            )  # fmt: skip
        if len(document) > self.limits.words:
            return RequestError(
                413, "too_long",
                f"The text has {len(document):,} tokens; at most {self.limits.words:,} are read.",
            )  # fmt: skip
        return document if len(document) else TextError("The text holds no word.")

    def _score(
        self, kind: Scored, items: Sequence[Variants], documents: Sequence[EncodedText]
    ) -> list[npt.NDArray[np.float32]]:
        remover: Remover = self._remover(kind.removal)
        variants, removed = [], []
        for item, document in zip(items, documents, strict=True):
            for tokens in item.removed:
                places = np.unique(np.asarray(tokens, np.int64))
                if len(places) and not 0 <= places[0] <= places[-1] < len(document):
                    raise TextError(
                        f"Got a token to remove that is not in 0 to {len(document) - 1}."
                    )
                if len(places) > remover.max_removed(len(document)):
                    raise TextError("A text of which every word is deleted has no score.")
                variants.append(document)
                removed.append(places)
        scores = remover.scores(variants, removed)
        if not np.isfinite(scores).all():
            raise NonFiniteError("The model gives a score that is NaN or infinite.")
        ends = np.cumsum([len(item.removed) for item in items])
        return np.split(scores, ends[:-1])

    def _explain(
        self, kind: Explained, items: Sequence[Request], documents: Sequence[EncodedText]
    ) -> list[Answer]:
        method: Method = self._method(kind.method)
        questions = [
            Question(
                number,
                document,
                self._class(item.target),
                None if item.against is None else self._class(item.against),
            )
            for number, (item, document) in enumerate(zip(items, documents, strict=True))
        ]
        try:
            with tqdm(disable=True) as bar:
                found = list(
                    explain_questions(self.classifier, method, questions, self._budget, bar)
                )
        except TargetError as error:
            if error.code != "unanswerable":
                raise
            raise TargetError(
                "The class to compare with is the one that the model predicts; take another."
            ) from error
        unk = self.classifier.vocabulary.unk
        return [
            Answer(explanation, np.flatnonzero(document.ids == unk).tolist())
            for explanation, document in zip(found, documents, strict=True)
        ]

    def _class(self, name: str) -> int | str:
        labels = self.classifier.labels
        if name == PREDICTED:
            check_unambiguous(name, labels)
            return name
        if name not in labels:
            shown = ", ".join(map(repr, labels[:LISTED])) + (", …" if len(labels) > LISTED else "")
            raise TargetError(
                f"The model has no label {name[:80]!r}.",
                f"Its labels are {shown}; or ask for {PREDICTED!r}.",
                got=name,
                known=labels,
            )
        return labels.index(name)
