"""Labelled texts as a classifier reads them, which any classifier can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.optimisation import LabelledBatch
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import EncodedText

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
ELSEWHERE = -1  # the row of a text that is not of the corpus in which spans are given


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """N texts and their classes.

    Attributes:
        classifier: pads them, and knows the unknown word.
        documents: the texts, encoded; each has a token.
        labels: int64 `[N]`, indices into the labels of the classifier.
        rows: int64 `[N]`, which text of the corpus each is, `ELSEWHERE` for none.
    """

    classifier: TextClassifier
    documents: Sequence[EncodedText]
    labels: Integers
    rows: Integers

    @classmethod
    def read(cls, classifier: TextClassifier, corpus: Corpus, rows: Integers) -> LabelledTexts:
        """Encode the texts of a labelled corpus; those without a token are left out.

        Args:
            classifier: reads them.
            corpus: its label names are those of the classifier, in any order.
            rows: what the texts are called, `[N]`.
        """
        assert corpus.labels is not None
        classes = np.array([classifier.label_index(name) for name in corpus.label_names], np.int64)
        documents = list(classifier.encode(corpus.texts))
        kept = np.array([len(document) > 0 for document in documents], bool)
        found = cls(classifier, documents, classes[corpus.labels], rows)
        return found.part(np.flatnonzero(kept))

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def lengths(self) -> list[int]:
        """The number of ids that the model reads of each text."""
        return [self.classifier.length(document) for document in self.documents]

    @property
    def unknown(self) -> int | None:
        """The id of the unknown word."""
        return self.classifier.vocabulary.unk

    @cached_property
    def tokens(self) -> list[tuple[str, ...]]:
        """The tokens of each text in lower case."""
        return [tuple(map(str.lower, document.source.tokens)) for document in self.documents]

    def part(self, chosen: Integers | Mask) -> LabelledTexts:
        """The texts of these numbers, or where a mask is True."""
        numbers = np.arange(len(self))[chosen]
        documents = [self.documents[k] for k in numbers.tolist()]
        return replace(
            self, documents=documents, labels=self.labels[numbers], rows=self.rows[numbers]
        )

    def edited(self, documents: Sequence[EncodedText]) -> LabelledTexts:
        """The same texts after they were changed."""
        return replace(self, documents=documents)

    def joined(self, other: LabelledTexts) -> LabelledTexts:
        """These texts, followed by others."""
        return replace(
            self,
            documents=[*self.documents, *other.documents],
            labels=np.concatenate([self.labels, other.labels]),
            rows=np.concatenate([self.rows, other.rows]),
        )

    def predicted(self, classifier: TextClassifier, batch_tokens: BatchTokens) -> Integers:
        """The classes int64 `[N]` that a classifier predicts."""
        if not len(self):
            return np.zeros(0, np.int64)
        scores = classifier.all_scores(self.documents, Budget(batch_tokens, classifier.device))
        found: Integers = scores.argmax(axis=1).astype(np.int64)
        return found

    def windows(self, longest: int | None, random: np.random.Generator) -> LabelledTexts:
        """Cut texts of more than `longest` tokens to a window at a random place."""
        if longest is None:
            return self
        cut = []
        for document in self.documents:
            start = int(random.integers(0, max(1, len(document) - longest + 1)))
            outside = [*range(start), *range(start + longest, len(document))]
            cut.append(document.without(outside))
        return self.edited(cut)

    def batch(self, chosen: Sequence[int]) -> LabelledBatch:
        """The texts of these numbers as the model reads them."""
        read = self.classifier.batch([self.documents[k] for k in chosen])
        return LabelledBatch(*read, torch.from_numpy(self.labels[list(chosen)]))
