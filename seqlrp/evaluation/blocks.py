"""The texts of an evaluation: all at once, or those of saved explanations a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import CorpusError, InputError, LabelError, TextError
from seqlrp.evaluation.candidates import check_explanation
from seqlrp.evaluation.documents import Texts
from seqlrp.explaining.known import check_explained_by
from seqlrp.explaining.questions import QuestionStream, label_names, read_texts
from seqlrp.explaining.skipped import SkippedTexts
from seqlrp.explanations.collection import Explanations
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText


class Blocks:
    """The texts that take part, those that are long enough, in blocks.

    Texts are one block. Explanations are read a block at a time, and are then known.

    Args:
        classifier: encodes the texts.
        texts: texts in any form that `seqlrp.evaluate` takes, or `Explanations`.
        labels: the true classes; by default those that come with the texts.
        rationales: the words that people marked, for each text.
        column: of a data frame or a data set.
        min_words: shorter texts are left out.
        size: explanations that are held at a time.

    Attributes:
        texts: a list, or `Explanations`.
        labels: the true classes that were passed, or came with the texts.
        labelled: whether true classes are known.

    Raises:
        InputError: explanations of another classifier, or not as many rationales as texts.
        LabelError: not as many labels as texts.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        texts: Any,
        labels: Sequence[int | str] | None,
        rationales: Sequence[Any] | None,
        *,
        column: str,
        min_words: int,
        size: int,
    ) -> None:
        self.texts: list[str] | Explanations
        if isinstance(texts, Explanations):
            check_explained_by(classifier, texts)
            self.texts = texts
        else:
            if isinstance(texts, Corpus) and labels is None:
                labels = label_names(texts)
            self.texts = list(read_texts(texts, column)[0])
        check_one_per_text(len(self.texts), labels=labels, rationales=rationales)
        self.labels = labels
        self._classifier, self._rationales = classifier, rationales
        self._min_words, self._size = min_words, size
        known = isinstance(self.texts, Explanations) and self.texts[0].label is not None
        self.labelled = labels is not None or known

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Texts]:
        """Read the blocks that hold a text which is long enough.

        Raises:
            CorpusError: there is none.
            TextError: a text is no string.
        """
        some = False
        for block in self._read():
            some |= bool(block.questions)
            if block.questions:
                yield block
        if not some:
            raise CorpusError(
                f"None of the {len(self)} texts has {self._min_words} words; pass a smaller "
                "min_words."
            )

    def _read(self) -> Iterator[Texts]:
        if not isinstance(self.texts, Explanations):
            yield self._block(0, self.texts, self.labels)
            return
        left = iter(self.texts)
        for start in range(0, len(self), self._size):
            held = list(islice(left, self._size))
            labels: Sequence[int | str] | None = [e.label for e in held if e.label is not None]
            if self.labels is not None:
                labels = self.labels[start : start + self._size]
            elif len(labels or ()) < len(held):
                labels = None
            block = self._block(start, [e.text for e in held], labels)
            for question in block.questions:
                check_explanation("texts", held[question.number - start], question)
            yield block._replace(known=dict(enumerate(held, start)))

    def _block(self, start: int, texts: list[str], labels: Sequence[int | str] | None) -> Texts:
        numbers = range(start, start + len(texts))
        for number, text in zip(numbers, texts, strict=True):
            if not isinstance(text, str):
                raise TextError(
                    f"Text {number} is {type(text).__name__}, expected a string.", text=number
                )
        stream = QuestionStream(
            self._classifier, texts, labels=labels, numbers=numbers, skipped=SkippedTexts("skip")
        )
        questions = [question for question in stream if len(question.document) >= self._min_words]
        marked = None
        if self._rationales is not None:
            given = self._rationales
            marked = [_rationale(given[q.number], q.document, q.number) for q in questions]
        return Texts(questions, marked)


def check_one_per_text(texts: int, **columns: Sequence[Any] | None) -> None:
    """Check that there are as many labels, rationales and so on as texts, where they are given.

    Raises:
        LabelError, InputError: there are more or fewer.
    """
    for name, given in columns.items():
        if given is not None and len(given) != texts:
            error = LabelError if name == "labels" else InputError
            raise error(f"Got {len(given)} {name} for {texts} texts.", option=name)


def _rationale(given: Any, document: EncodedText, number: int) -> npt.NDArray[np.float64]:
    marks = np.asarray(given)
    if marks.shape != (len(document),):
        raise InputError(
            f"The rationale of text {number} has the shape {list(marks.shape)}; expected "
            f"[{len(document)}], a number a word."
        )
    marks = marks.astype(np.float64)
    if not ((marks >= 0) & (marks <= 1)).all():
        raise InputError(f"The rationale of text {number} holds numbers that are not in 0 to 1.")
    return marks
