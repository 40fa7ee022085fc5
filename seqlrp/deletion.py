"""Words taken out of texts, and what the classifier says of what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import NoEmbeddingError, OptionError, near
from seqlrp.explain import BATCH_TOKENS
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.inputs import InputMode
from seqlrp.methods.removal import ZeroedWords

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

Removal = Literal["zero", "delete", "unk", "mask"]
MASKS = ("<mask>", "[MASK]", "[mask]")  # how vocabularies spell a word that is hidden


def scores_without(
    classifier: TextClassifier,
    documents: Sequence[EncodedText],
    removed: Sequence[npt.NDArray[np.int64]],
    removal: Removal = "zero",
    *,
    batch_tokens: BatchTokens = BATCH_TOKENS,
) -> npt.NDArray[np.float32]:
    """Scores `[N, C]` of documents without the words at `removed` (positions, one array each).

    As `Remover(classifier, removal, batch_tokens).scores(documents, removed)`.
    """
    return Remover(classifier, removal, batch_tokens).scores(documents, removed)


@dataclass(frozen=True, eq=False)
class Remover:
    """Takes words out of texts and asks a classifier for the rest.

    Attributes:
        classifier: what answers.
        removal: `"zero"` sets the words' embeddings to zero and keeps the length (Arras 2017),
            `"delete"` makes the sequence shorter, `"unk"` puts the unknown word in their place.
            `"mask"` puts a word of its own there: `<mask>` or `[MASK]` where the vocabulary has
            one; elsewhere the mean of the embeddings of all its words (each counts once, padding
            and the unknown word do not), which says nothing in particular.
        batch_tokens: the most tokens in a batch, padding included, or `"auto"`.

    Raises:
        OptionError: an unknown removal or a wrong `batch_tokens`.
    """

    classifier: TextClassifier
    removal: Removal = "zero"
    batch_tokens: BatchTokens = BATCH_TOKENS

    def __post_init__(self) -> None:
        if self.removal not in get_args(Removal):
            known = get_args(Removal)
            raise OptionError(
                f"There is no removal {self.removal!r}. {near(str(self.removal), known)}"
            )
        if self.removal == "unk" and self.classifier.vocabulary.unk is None:
            raise OptionError(
                "The vocabulary has no unknown word to put in the place of others; use "
                "removal='zero' or 'delete'."
            )
        self._budget()

    def most(self, words: int) -> int:
        """How many of so many words can be taken out: all, but under `"delete"` one must stay."""
        return words - (self.removal == "delete")

    def scores(
        self, documents: Sequence[EncodedText], removed: Sequence[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.float32]:
        """Scores `[N, C]` of documents without the words at the positions `removed`.

        A document may stand here many times, with different words removed.
        """
        if self.removal == "delete":
            documents = [d.without(r) for d, r in zip(documents, removed, strict=True)]
        scores = np.zeros((len(documents), len(self.classifier.labels)), np.float32)

        def run(batch: list[int]) -> Tensor:
            return self._answers([documents[k] for k in batch], [removed[k] for k in batch])

        lengths = [self.classifier.length(d) for d in documents]
        for batch, found in in_batches(lengths, self._budget(), run):
            scores[batch] = found.numpy()
        return scores

    @cached_property
    def mask_id(self) -> int | None:
        """The id of the word that hides another, None where the vocabulary has none."""
        tokens = self.classifier.vocabulary.tokens
        return next((tokens.index(mask) for mask in MASKS if mask in tokens), None)

    @cached_property
    def mean_vectors(self) -> list[Tensor]:
        """The mean embedding of the vocabulary's words: a vector `[D]` for each reading of ids.

        Raises:
            NoEmbeddingError: the model reads no embedding.
        """
        vocabulary = self.classifier.vocabulary
        words = [k for k in range(len(vocabulary)) if k not in (vocabulary.pad, vocabulary.unk)]
        ids = torch.tensor(words, device=self.classifier.device)
        sums = MeanReadings()
        each = max(1, self._budget().tokens)
        for part in torch.split(ids, each):  # each word is a text of its own
            texts = part.reshape((-1, 1) if self.classifier.layout == "words" else (-1, 1, 1))
            more = self.classifier.arguments(texts, torch.ones_like(texts, dtype=torch.bool))
            sums.place = 0
            with torch.no_grad():
                sums.run(self.classifier.model, texts, more)
        if not sums.totals:
            raise NoEmbeddingError(
                "The model reads no embedding of its ids, so there is none to be masked; use "
                "removal='delete' or 'unk'."
            )
        return [total / len(ids) for total in sums.totals]

    def _answers(
        self, documents: Sequence[EncodedText], removed: Sequence[npt.NDArray[np.int64]]
    ) -> Tensor:
        device, model = self.classifier.device, self.classifier.model
        ids, words = self.classifier.collate(documents)
        away = torch.zeros_like(words)
        if self.removal != "delete":
            counts = np.array([len(d) for d in documents])
            firsts = np.cumsum(counts) - counts  # of the words of the batch, one after another
            gone = np.zeros(counts.sum(), dtype=bool)
            gone[np.concatenate([r + first for r, first in zip(removed, firsts, strict=True)])] = 1
            away[words] = torch.from_numpy(gone)
        ids, away = ids.to(device), away.to(device)
        more = self.classifier.arguments(ids, words.to(device))
        with torch.no_grad():
            if self.removal == "zero":
                found = ZeroedWords(away).run(model, ids, more)
            elif self.removal == "mask" and self.mask_id is None:
                found = ReplacedWords(away, self.mean_vectors).run(model, ids, more)
            else:
                vocabulary = self.classifier.vocabulary
                hidden = self.mask_id if self.removal == "mask" else vocabulary.unk
                if hidden is not None:  # under "delete" nothing is away
                    ids = ids.masked_fill(away, hidden)
                found = model(ids, *more)
        return self.classifier.by_label(found).float().cpu()

    def _budget(self) -> Budget:
        return Budget(self.batch_tokens, self.classifier.device)


class ReplacedWords(InputMode):
    """Runs a model with other embeddings in the place of some words; the length stays.

    Args:
        gone: bool, shaped as the ids, True where a word is replaced.
        vectors: what stands there, `[D]` for each time that the model reads an embedding.
    """

    def __init__(self, gone: Tensor, vectors: Sequence[Tensor]) -> None:
        super().__init__()
        self.gone = gone.reshape(-1)
        self.vectors = iter(vectors)

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, without a graph."""
        gone = self.gone[origin] & (origin != NOBODY)
        return torch.where(gone.unsqueeze(-1), next(self.vectors).to(vectors.dtype), vectors)


class MeanReadings(InputMode):
    """Sums what each embedding of a model reads; `place` counts them within a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: list[Tensor] = []
        self.place = 0

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, without a graph."""
        total = vectors[origin != NOBODY].double().sum(0)
        if self.place == len(self.totals):
            self.totals.append(total)
        else:
            self.totals[self.place] += total
        self.place += 1
        return vectors
