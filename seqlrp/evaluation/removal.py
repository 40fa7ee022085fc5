"""Removal of words from texts, and the scores of the remaining text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from seqlrp.engine.batches import BatchTokens, Budget, in_batches
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.inputs import InputMode, Reading
from seqlrp.errors import NoEmbeddingError, OptionError, check_choice
from seqlrp.explaining.explain import BATCH_TOKENS
from seqlrp.lrp import SharedReading
from seqlrp.methods.removal.words import ZeroedWords

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

Removal = Literal["zero", "delete", "unk", "mask"]
MASKS = ("<mask>", "[MASK]", "[mask]")  # usual names of a mask token


def scores_without(
    classifier: TextClassifier,
    documents: Sequence[EncodedText],
    removed: Sequence[npt.NDArray[np.int64]],
    removal: Removal = "zero",
    *,
    batch_tokens: BatchTokens = BATCH_TOKENS,
) -> npt.NDArray[np.float32]:
    """Compute the scores `[N, C]` of documents without some of their words.

    Args:
        classifier: the classifier.
        documents: N encoded texts.
        removed: for each of them the positions of the words to remove.
        removal: how words are removed, see `Remover`.
        batch_tokens: the largest number of tokens in a batch, padding included, or `"auto"`.

    Raises:
        OptionError: an unknown removal or a wrong `batch_tokens`.
    """
    return Remover(classifier, removal, batch_tokens).scores(documents, removed)


@dataclass(frozen=True, eq=False)
class Remover:
    """Removes words from texts and computes the scores of the remaining text.

    Attributes:
        classifier: the classifier.
        removal: `"zero"` sets the words' embeddings to zero and keeps the length (Arras 2017),
            `"delete"` makes the sequence shorter, `"unk"` replaces words by the unknown word,
            `"mask"` replaces them by `<mask>` or `[MASK]` where the vocabulary has one, and by the
            mean embedding of all its words (without padding and the unknown word) elsewhere.
        batch_tokens: the largest number of tokens in a batch, padding included, or `"auto"`.

    Raises:
        OptionError: an unknown removal or a wrong `batch_tokens`.
    """

    classifier: TextClassifier
    removal: Removal = "zero"
    batch_tokens: BatchTokens = BATCH_TOKENS

    def __post_init__(self) -> None:
        check_choice("removal", self.removal, get_args(Removal))
        if self.removal == "unk" and self.classifier.vocabulary.unk is None:
            raise OptionError(
                "The vocabulary has no unknown word that could replace others; use "
                "removal='zero' or 'delete'.",
                option="removal",
                got=self.removal,
            )
        self._budget()

    def max_removed(self, words: int) -> int:
        """Return how many of `words` words can be removed: all, or all but one with `"delete"`."""
        return words - (self.removal == "delete")

    def scores(
        self, documents: Sequence[EncodedText], removed: Sequence[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.float32]:
        """Compute the scores `[N, C]` of documents without the words at the positions `removed`.

        The same document may occur many times, with different words removed.
        """
        if self.removal == "delete":
            documents = [d.without(r) for d, r in zip(documents, removed, strict=True)]
        scores = np.zeros((len(documents), len(self.classifier.labels)), np.float32)

        def run(batch: list[int]) -> Tensor:
            return self._batch_scores([documents[k] for k in batch], [removed[k] for k in batch])

        lengths = [self.classifier.length(d) for d in documents]
        for batch, found in in_batches(lengths, self._budget(), run):
            scores[batch] = found.numpy()
        return scores

    @cached_property
    def mask_id(self) -> int | None:
        """The id of the mask token, None where the vocabulary has none."""
        tokens = self.classifier.vocabulary.tokens
        return next((tokens.index(mask) for mask in MASKS if mask in tokens), None)

    @cached_property
    def mean_vectors(self) -> list[Tensor]:
        """The mean embedding of all words, a vector `[D]` for each embedding lookup of the model.

        Raises:
            NoEmbeddingError: the model looks up no embedding.
        """
        vocabulary = self.classifier.vocabulary
        words = [k for k in range(len(vocabulary)) if k not in (vocabulary.pad, vocabulary.unk)]
        ids = torch.tensor(words, device=self.classifier.device)
        sums: list[Tensor] = []
        for part in torch.split(ids, self._budget().tokens):  # a text for each word
            texts = part.reshape((-1, 1) if self.classifier.layout == "words" else (-1, 1, 1))
            more = self.classifier.arguments(texts, torch.ones_like(texts, dtype=torch.bool))
            mode = SummedEmbeddings()
            with torch.no_grad():
                mode.run(self.classifier.model, texts, more)
            zeros = [torch.zeros_like(total) for total in mode.totals]
            sums = [a + b for a, b in zip(sums or zeros, mode.totals, strict=True)]
        if not sums:
            raise NoEmbeddingError(
                "The model looks up no embedding of its ids that could be masked; use "
                "removal='delete' or 'unk'.",
                option="removal",
                got=self.removal,
            )
        return [total / len(ids) for total in sums]

    def _batch_scores(
        self, documents: Sequence[EncodedText], removed: Sequence[npt.NDArray[np.int64]]
    ) -> Tensor:
        device, model = self.classifier.device, self.classifier.model
        ids, words = self.classifier.collate(documents)
        removed_words = torch.zeros_like(words)
        if self.removal != "delete":
            counts = np.array([len(d) for d in documents])
            firsts = np.cumsum(counts) - counts  # index of each first word among all words
            gone = np.zeros(counts.sum(), dtype=bool)
            gone[np.concatenate([r + first for r, first in zip(removed, firsts, strict=True)])] = 1
            removed_words[words] = torch.from_numpy(gone)
        ids, removed_words = ids.to(device), removed_words.to(device)
        more = self.classifier.arguments(ids, words.to(device))
        with torch.no_grad(), SharedReading():
            if self.removal == "zero":
                found = ZeroedWords(removed_words).run(model, ids, more)
            elif self.removal == "mask" and self.mask_id is None:
                found = ReplacedWords(removed_words, self.mean_vectors).run(model, ids, more)
            else:
                vocabulary = self.classifier.vocabulary
                hidden = self.mask_id if self.removal == "mask" else vocabulary.unk
                if hidden is not None:  # with "delete" nothing is replaced
                    ids = ids.masked_fill(removed_words, hidden)
                found = model(ids, *more)
        return self.classifier.by_label(found).float().cpu()

    def _budget(self) -> Budget:
        return Budget(self.batch_tokens, self.classifier.device)


class ReplacedWords(InputMode):
    """Runs a model with the embeddings of some words replaced; the length stays the same.

    Args:
        replaced: bool, shaped as the ids, True where a word is replaced.
        vectors: the new embeddings, `[D]` for each embedding lookup of the model.
    """

    def __init__(self, replaced: Tensor, vectors: Sequence[Tensor]) -> None:
        super().__init__()
        self.replaced = replaced.reshape(-1)
        self.vectors = iter(vectors)

    def read(self, reading: Reading) -> Tensor:
        """Replace the vectors of the words in question, see `InputMode.read`."""
        vectors = reading.vectors
        replaced = self.replaced[reading.origin] & (reading.origin != NOBODY)
        return torch.where(replaced.unsqueeze(-1), next(self.vectors).to(vectors.dtype), vectors)


class SummedEmbeddings(InputMode):
    """Sums the vectors of each embedding lookup of a model in one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[Tensor] = []

    def read(self, reading: Reading) -> Tensor:
        """Add the sum of the vectors to `totals`, see `InputMode.read`."""
        self.totals.append(reading.vectors[reading.origin != NOBODY].double().sum(0))
        return reading.vectors
