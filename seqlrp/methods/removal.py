"""Words taken out: the model is asked again for texts that lack some of their words."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import IdsError, NonFiniteError, OptionError, near
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.inputs import InputMode
from seqlrp.methods.copies import CopiesExplainer, arguments_of

# A forward pass keeps little of a token, and a CPU is at its best with what fits its caches.
BATCH_TOKENS = 4096

Removal = Literal["zero", "delete", "unk"]


class ZeroedWords(InputMode):
    """Runs a model with the embeddings of some words set to zero; the length stays.

    Args:
        gone: bool, shaped as the ids, True where a word is left out.
    """

    def __init__(self, gone: Tensor) -> None:
        super().__init__()
        self.gone = gone.reshape(-1)

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, without a graph."""
        gone = self.gone[origin] & (origin != NOBODY)
        return vectors.masked_fill(gone.unsqueeze(-1), 0)


class RemovalExplainer(CopiesExplainer):
    """A method that takes words out and asks the model again; many such texts run at a time.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
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
        if removal not in get_args(Removal):
            known = get_args(Removal)
            raise OptionError(f"There is no removal {removal!r}. {near(str(removal), known)}")
        if (removal == "unk") != (unknown is not None):
            raise OptionError(
                f"Got removal={removal!r} and unknown={unknown!r}; the id of the unknown word goes "
                f"with removal='unk', where it is needed (1 in a seqlrp.Vocabulary)."
            )
        super().__init__(model, batch_tokens=batch_tokens, output=output)
        self.removal = removal
        self.unknown = unknown

    @property
    def parameters(self) -> dict[str, Any]:
        """What is done with a word; how many texts run at a time does not matter."""
        unknown = {} if self.unknown is None else {"unknown": self.unknown}
        return {"removal": self.removal, **unknown}

    def check_removable(
        self, inputs: Tensor, additional: Any, padding: Tensor, most: int = 1
    ) -> None:
        """Refuse inputs of which this removal cannot take `most` words at a time.

        Raises:
            IdsError, OptionError: it says which other removal can.
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

    def scores_without(self, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor) -> Tensor:
        """Scores `[N, C]` of N texts, each a document of the batch without some of its words.

        Args:
            inputs: ids or vectors, as for `attribution`.
            additional: what the model takes after its input. Tensors with a row for each document
                go along with it.
            rows: which document each of the texts is, int64 `[N]`.
            gone: bool `[N, *shape of one document's ids]`, True where a word is left out.

        Raises:
            OptionError: `"delete"` would leave a text without any place.
            NonFiniteError: a score is NaN or infinite when words are left out.
        """
        counts = gone.flatten(1).sum(1)
        parts: list[tuple[Tensor, Tensor]] = []
        # Texts from which equally many words were deleted are equally long, and run together.
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
            parts.append((chosen, self._scores(inputs, additional, rows[chosen], gone[chosen])))
        answers = torch.cat([found for _, found in parts])
        answers = answers[torch.cat([chosen for chosen, _ in parts]).argsort()]
        if not bool(answers.isfinite().all()):
            raise NonFiniteError(
                "A score is NaN or infinite when a word is left out; look for overflowing weights "
                "or a division by the length of a vector."
            )
        return answers

    def _scores(self, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor) -> Tensor:
        def work(batch: Tensor) -> tuple[Tensor]:
            texts, mode = inputs[rows[batch]], None
            if self.removal == "zero":
                mode = ZeroedWords(gone[batch])
            elif self.unknown is not None:
                texts = texts.masked_fill(gone[batch], self.unknown)
            else:
                texts, _ = self.shortened(texts, gone[batch])
            return (self.scored(texts, arguments_of(additional, inputs, rows[batch]), mode),)

        return self.in_order(gone, len(rows), work)[0]

    @staticmethod
    def shortened(texts: Tensor, gone: Tensor) -> tuple[Tensor, Tensor]:
        """Texts without as many words each, and which places `[N, left]` of them are left.

        What stands behind a word moves up, padding too.
        """
        left = gone.shape[1] - int(gone[0].sum())
        kept = gone.long().argsort(dim=1, stable=True)[:, :left]
        return texts[torch.arange(len(texts), device=texts.device)[:, None], kept], kept
