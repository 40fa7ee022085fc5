"""Subsets of the words of a text, as players who form coalitions: v(S) is the score of S alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError
from seqlrp.lrp import Attribution, door
from seqlrp.methods.baselines import account
from seqlrp.methods.explainer import Forward
from seqlrp.methods.random import generator_of
from seqlrp.methods.removal import BATCH_TOKENS, Removal, RemovalExplainer

Bools = npt.NDArray[np.bool_]

# Masks held at a time, in places of words: 64 MB.
_HELD = 2**26


class Game(NamedTuple):
    """What the coalitions of one document's n words scored; float64, K classes or one."""

    kept: Tensor  # bool [N, n], True where a word is in the coalition
    values: Tensor  # v(S), [K, N]
    everyone: Tensor  # v(all words), [K]
    nobody: Tensor  # v(no word), [K]


class CoalitionExplainer(RemovalExplainer):
    """A method that asks the model for the scores of many subsets of the words of each document.

    The subsets are drawn by the document's content, so that a document is explained the same in
    any batch. A text without any word has to have a score, and so words cannot be deleted.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        samples: how many subsets, or orders, are drawn for each document.
        seed: another seed draws others.
        removal: `"zero"` sets the embeddings of absent words to zero, `"unk"` puts the unknown
            word in their place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words.
        output: which part of the model's output holds the scores, if it returns several.
        progress: show a bar over the documents of each call.

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is.
    """

    least_samples = 1
    adds_up = True  # Σ values = v(all words) − v(no word)

    def __init__(
        self,
        model: nn.Module,
        samples: int | None,
        seed: int,
        removal: Removal,
        *,
        unknown: int | None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None,
        progress: bool,
    ) -> None:
        super().__init__(model, removal, unknown=unknown, batch_tokens=batch_tokens, output=output)
        if removal == "delete":
            raise OptionError(
                f"{self.name} asks for the score of a text without any word, which 'delete' does "
                f"not leave; use removal='zero' or 'unk'."
            )
        for name, number, least in (("samples", samples, self.least_samples), ("seed", seed, 0)):
            if name == "samples" and number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise OptionError(
                    f"Got {name}={number!r}; expected a whole number from {least} on."
                )
        self.samples = samples
        self.seed = seed
        self.progress = progress

    @property
    def parameters(self) -> dict[str, Any]:
        """What is done with absent words, and what is drawn."""
        return {**super().parameters, "samples": self.samples, "seed": self.seed}

    @abstractmethod
    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """The coalitions `[N, n]` to be asked for of a document of n words."""

    @abstractmethod
    def solved(self, game: Game) -> tuple[Tensor, Tensor | None]:
        """Values `[K, n]` of the words, and their standard errors if they are known."""

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding; all classes come from the same passes.

        Of `additional_forward_args`, tensors with a row for each document go along with it.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding)
        count = len(inputs)
        documents = torch.arange(count, device=inputs.device)
        nobody = self._asked(run, inputs, additional_forward_args, documents, ~run.padding)
        everyone = run.chosen(run.scores.double(), documents)
        values = everyone.new_zeros(len(everyone), *run.padding.shape)
        errors: Tensor | None = None
        for row, kept, answers in self._games(run, inputs, additional_forward_args):
            game = Game(kept, answers, everyone[:, row], nobody[:, row])
            worth, error = self.solved(game)
            words = ~run.padding[row]
            values[:, row, words] = worth
            if error is not None:
                errors = torch.zeros_like(values) if errors is None else errors
                errors[:, row, words] = error
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        ledger = account(run, values, nobody) if self.adds_up else None
        found = run.attribution(values.to(wide), ledger)
        return found if errors is None else found._replace(error=run.shaped(errors.to(wide)))

    def _games(
        self, run: Forward, inputs: Tensor, additional: Any
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Each document, its coalitions `[N, n]` and what they scored `[K, N]`."""
        held: list[tuple[int, Tensor]] = []
        places = run.padding[0].numel()
        bar = tqdm(total=len(inputs), desc=self.name, unit="text", disable=not self.progress)

        def answered() -> Iterator[tuple[int, Tensor, Tensor]]:
            if not held:
                return
            device = run.padding.device
            rows = torch.tensor([row for row, kept in held for _ in range(len(kept))])
            rows = rows.to(device, torch.int64)
            gone = torch.zeros(len(rows), *run.padding.shape[1:], dtype=torch.bool, device=device)
            start = 0
            for row, kept in held:
                gone[start : start + len(kept), ~run.padding[row]] = ~kept
                start += len(kept)
            answers = self._asked(run, inputs, additional, rows, gone)
            start = 0
            for row, kept in held:
                yield row, kept, answers[:, start : start + len(kept)]
                start += len(kept)
                bar.update()

        with bar:
            for row, words in enumerate(~run.padding):
                drawn = generator_of(self.seed, inputs[row][words])
                kept = torch.from_numpy(self.coalitions(int(words.sum()), drawn))
                if held and (sum(len(k) for _, k in held) + len(kept)) * places > _HELD:
                    yield from answered()
                    held = []
                held.append((row, kept.to(run.padding.device)))
            yield from answered()

    def _asked(
        self, run: Forward, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor
    ) -> Tensor:
        """What is explained, `[K, N]` float64, of documents without some of their words."""
        if not len(rows):
            return run.scores.new_zeros(len(run.starts), 0, dtype=torch.float64)
        return run.chosen(self.scores_without(inputs, additional, rows, gone).double(), rows)


class EstimatingExplainer(CoalitionExplainer):
    """A method that knows how far its values may be off."""

    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
        return_error: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
        return_error: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
        return_error: bool = False,
    ) -> Any:
        """As `attribution`, without the scores: `[B, T]`, or `[B, C, T]` for `target="all"`.

        Args:
            inputs: ids or vectors.
            target: what is explained.
            additional_forward_args: what the model takes after its input.
            padding: bool, shaped as the ids, True on padding.
            return_error: also return the standard error of each value, of the same shape; 0 where
                it is exact.
        """
        found = self.attribution(inputs, target, additional_forward_args, padding=padding)
        return (found.relevance, found.error) if return_error else found.relevance


def every_coalition(words: int) -> Bools:
    """All subsets `[2^n - 2, n]` of n words but none and all of them."""
    numbers = np.arange(1, 2**words - 1)[:, None]
    kept: Bools = (numbers >> np.arange(words)) & 1 == 1
    return kept
