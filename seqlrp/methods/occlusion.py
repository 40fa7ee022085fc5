"""What a text loses without a word: each word is left out in turn, and the model is asked again."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import IdsError, NonFiniteError, OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.inputs import InputMode

# A forward pass keeps little of a token, and a CPU is at its best with what fits its caches.
_BATCH_TOKENS = 4096

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


class Occlusion:
    """Occlusion: by how much the score falls without the word (Zeiler and Fergus 2014; Li 2016).

    R_t = score(text) − score(text without word t). A document of T words takes T more passes
    forward, which run many at a time.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        removal: `"zero"` sets the word's embedding to zero and keeps the length, `"delete"` makes
            the sequence shorter, `"unk"` puts the unknown word in its place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts with a word left out; halved when memory
            runs out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown removal, or `"unk"` without `unknown`.
        ModelError: the model cannot be run as it is.
    """

    name = "occlusion"

    def __init__(
        self,
        model: nn.Module,
        removal: Removal = "zero",
        *,
        unknown: int | None = None,
        batch_tokens: BatchTokens = _BATCH_TOKENS,
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
        Budget(batch_tokens, torch.device("cpu"))  # refuses what is none
        self.model = door.checked_model(model)
        self.removal = removal
        self.unknown = unknown
        self.batch_tokens = batch_tokens
        self.output = output
        door.check_finite(model)

    @property
    def parameters(self) -> dict[str, Any]:
        """What is done with a word; how many texts run at a time does not matter."""
        unknown = {} if self.unknown is None else {"unknown": self.unknown}
        return {"removal": self.removal, **unknown}

    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Tensor:
        """As `attribution`, without the scores: `[B, T]`, or `[B, C, T]` for `target="all"`."""
        found = self.attribution(inputs, target, additional_forward_args, padding=padding)
        return found.relevance

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding; all classes come from the same passes.

        Of `additional_forward_args`, tensors with a row for each document go along with it; with
        `"delete"` there may be none, for lengths would no longer fit.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        door.checked_model(self.model)
        mode = InputMode()
        with torch.inference_mode(False), torch.enable_grad():
            output = door.selected(
                mode.run(self.model, inputs, additional_forward_args), self.output
            )
            padding = door.padding_given(padding, mode.ids_shape)
            documents = inputs.shape[0] if inputs.ndim > 1 else None
            scores = door.checked_scores(output, documents, gate=False).detach()
        if not mode.readings:
            door.refuse_no_embedding()
        wanted, against = door.resolved_contrast(target, scores)
        padding = mode.padding if padding is None else padding
        if padding is None:
            padding = torch.zeros(mode.ids_shape, dtype=torch.bool, device=inputs.device)
        self._check(inputs, additional_forward_args, padding)

        places = (~padding).nonzero().T  # [dimensions of the ids, N]: N words to leave out
        rows = places[0]
        answers = self._answers(inputs, additional_forward_args, places, scores)
        picked = None if wanted is None else wanted[rows]
        compared = None if against is None else against[rows]
        wide = torch.promote_types(scores.dtype, torch.float32)
        before = torch.stack(door.starts(scores[rows].to(wide), picked, compared))
        change = before - torch.stack(
            door.starts(answers.to(wide), picked, compared)
        )  # [C or 1, N]
        if not bool(change.isfinite().all()):
            raise NonFiniteError(
                "A score is NaN or infinite when a word is left out; look for overflowing weights "
                "or a division by the length of a vector."
            )
        relevance = change.new_zeros(len(change), *mode.ids_shape)
        relevance[(slice(None), *places)] = change
        shown = relevance[0] if wanted is not None else relevance.transpose(0, 1)
        return Attribution(shown, scores, wanted, None, against)

    def _check(self, inputs: Tensor, additional: Any, padding: Tensor) -> None:
        vectors = inputs.dtype.is_floating_point
        if padding.ndim < 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; occlusion needs a row for each document, "
                f"[B, T] or [B, S, W]."
            )
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
        short = (~padding).sum(1) < 2
        if bool(short.any()):
            raise IdsError(
                f"Row {int(short.nonzero()[0])} holds a single word, without which nothing is "
                f"left to answer from; leave such documents out, or use removal='zero'."
            )

    def _answers(self, inputs: Tensor, additional: Any, places: Tensor, scores: Tensor) -> Tensor:
        """Scores `[N, C]`, each without the word at one of the places."""
        answers = scores.new_empty(places.shape[1], scores.shape[1])
        lengths = [inputs.shape[1:].numel()] * len(answers)
        if inputs.dtype.is_floating_point:
            lengths = [inputs.shape[1]] * len(answers)
        budget = Budget(self.batch_tokens, inputs.device, halves=True)

        def run(batch: list[int]) -> Tensor:
            chosen = places[:, torch.tensor(batch, device=places.device)]
            with torch.inference_mode(False), torch.no_grad():
                return self._without(inputs, additional, chosen)

        for batch, found in in_batches(lengths, budget, run):
            answers[batch] = found
        return answers

    def _without(self, inputs: Tensor, additional: Any, places: Tensor) -> Tensor:
        """Scores `[N, C]` of N texts, each without the word at its place."""
        rows, columns = places[0], tuple(places[1:])
        every = torch.arange(len(rows), device=rows.device)
        texts = inputs[rows]
        arguments = additional if isinstance(additional, tuple) else (additional,)
        arguments = tuple(
            a[rows] if isinstance(a, Tensor) and a.shape[:1] == inputs.shape[:1] else a
            for a in (() if additional is None else arguments)
        )
        if self.removal == "zero":
            shape = texts.shape[: len(places)]
            gone = torch.zeros(shape, dtype=torch.bool, device=texts.device)
            gone[(every, *columns)] = True
            output = ZeroedWords(gone).run(self.model, texts, arguments)
        elif self.unknown is not None:
            texts[(every, *columns)] = self.unknown
            output = self.model(texts, *arguments)
        else:  # what stands behind the word moves up, padding too
            left = torch.arange(texts.shape[1] - 1, device=texts.device)
            kept = left + (left >= columns[0].unsqueeze(1))
            output = self.model(texts[every.unsqueeze(1), kept])
        found: Tensor = door.selected(output, self.output)
        return found.reshape(len(rows), -1)
