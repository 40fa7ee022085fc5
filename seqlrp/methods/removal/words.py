"""Removal of words: the model runs again on texts without some of their words."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.batches import BatchTokens, select_arguments
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.inputs import InputMode, Reading
from seqlrp.errors import IdsError, NonFiniteError, OptionError, check_choice
from seqlrp.methods.copies import BATCH_TOKENS, CopiesExplainer

Removal = Literal["zero", "delete", "unk"]


class ZeroedWords(InputMode):
    """Runs a model with the embeddings of some words set to zero; the length stays.

    Args:
        gone: bool, shaped as the ids, True where a word is left out.
    """

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self.gone = gone.reshape(-1)

    def read(self, reading: Reading) -> Tensor:
        """Set the vectors of removed words to zero, without a graph."""
        gone = (self.gone[reading.origin] & (reading.origin != NOBODY)).reshape(-1)
        vectors = reading.vectors
        rows = vectors.reshape(-1, vectors.shape[-1])
        # Of few rows, which takes a quarter of the time of a mask of all numbers.
        return rows.index_fill(0, gone.nonzero().squeeze(1), 0).reshape(vectors.shape)


class RemovalExplainer(CopiesExplainer):
    """Base class of methods that remove words and run the model again, on many texts at a time.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        removal: `"zero"` sets the word's embedding to zero and keeps the length, `"delete"` makes
            the sequence shorter, `"unk"` puts the unknown word in its place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words; halved when memory runs
            out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown removal, or `"unk"` without `unknown`.
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        removal: Removal = "zero",
        *,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        check_choice("removal", removal, get_args(Removal))
        if (removal == "unk") != (unknown is not None):
            raise OptionError(
                f"Got removal={removal!r} and unknown={unknown!r}; the id of the unknown word goes "
                f"with removal='unk', where it is needed (1 in a seqlrp.Vocabulary).",
                option="unknown",
                got=unknown,
            )
        super().__init__(model, batch_tokens=batch_tokens, output=output)
        self.removal = removal
        self.unknown = unknown

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the kind of removal; the batch size does not change the result."""
        unknown = {} if self.unknown is None else {"unknown": self.unknown}
        return {"removal": self.removal, **unknown}

    def check_removable(
        self, inputs: Tensor, additional: Any, padding: Tensor, most: int = 1
    ) -> None:
        """Refuse inputs of which this removal cannot take `most` words at a time.

        Raises:
            IdsError, OptionError: the message names a removal that can.
        """
        vectors = inputs.dtype.is_floating_point
        if self.removal == "unk" and vectors:
            raise OptionError("Vectors have no unknown word; leave words out with removal='zero'.")
        if self.removal != "delete":
            return
        if inputs.ndim != (3 if vectors else 2) or additional is not None:
            raise OptionError(
                "removal='delete' needs ids [B, T] or vectors [B, T, D] and no "
                "additional_forward_args, which would not fit the shorter text; use 'zero' or "
                "'unk'."
            )
        counts = (~padding).sum(1)
        short = counts <= most
        if bool(short.any()):
            row = int(short.nonzero()[0])
            held = "a single word" if counts[row] == 1 else f"{int(counts[row])} words"
            raise IdsError(
                f"Row {row} holds {held}, without which nothing is left to answer from; leave such "
                f"documents out, or use removal='zero'."
            )

    def score_without(self, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor) -> Tensor:
        """Return scores `[N, C]` of N texts, each a document of the batch without some words.

        Args:
            inputs: ids or vectors of the documents.
            additional: the model's arguments after its input. Tensors with a row for each document
                are copied along with it.
            rows: the document of each text, int64 `[N]`.
            gone: bool `[N, *shape of one document's ids]`, True where a word is left out.

        Raises:
            OptionError: `"delete"` would leave a text empty.
            NonFiniteError: a score is NaN or infinite when words are left out.
        """
        counts = gone.flatten(1).sum(1)
        parts: list[tuple[Tensor, Tensor]] = []
        # Texts with equally many deleted words have the same length, and run together.
        for count in sorted(set(counts.tolist())) if self.removal == "delete" else [None]:
            if count is not None and count >= gone.shape[1]:
                raise OptionError(
                    "removal='delete' would leave a text without a word; use 'zero' or 'unk'."
                )
            chosen = (
                torch.arange(len(rows), device=rows.device)
                if count is None
                else (counts == count).nonzero().squeeze(1)
            )
            parts.append(
                (chosen, self._score_batches(inputs, additional, rows[chosen], gone[chosen]))
            )
        answers = torch.cat([found for _, found in parts])
        answers = answers[torch.cat([chosen for chosen, _ in parts]).argsort()]
        if not bool(answers.isfinite().all()):
            raise NonFiniteError(
                "A score is NaN or infinite when a word is left out; look for overflowing weights "
                "or a division by the length of a vector."
            )
        return answers

    def _score_batches(self, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor) -> Tensor:
        def work(batch: Tensor) -> tuple[Tensor]:
            texts, mode = inputs[rows[batch]], None
            if self.removal == "zero":
                mode = ZeroedWords(gone[batch])
            elif self.unknown is not None:
                texts = texts.masked_fill(gone[batch], self.unknown)
            else:
                texts, _ = self.shorten(texts, gone[batch])
            return (
                self.score_texts(texts, select_arguments(additional, inputs, rows[batch]), mode),
            )

        return self.map_copies(gone, len(rows), work)[0]

    @staticmethod
    def shorten(texts: Tensor, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Delete equally many words from each text; return texts and kept positions `[N, left]`.

        Words after a deleted one move up, padding included.
        """
        left = gone.shape[1] - int(gone[0].sum())
        kept = gone.long().argsort(dim=1, stable=True)[:, :left]
        return texts[torch.arange(len(texts), device=texts.device)[:, None], kept], kept
