"""Coalitions: subsets S of the words of a text; v(S) is the score of the words S alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.checks import Target
from seqlrp.engine.explainer import Forward
from seqlrp.errors import OptionError, check_number
from seqlrp.methods.baselines import baseline_ledger
from seqlrp.methods.controls.random import document_generator
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.removal.words import Removal, RemovalExplainer

Bools = npt.NDArray[np.bool_]

# Masks held at a time, in places of words: 64 MB.
_HELD = 2**26


class Game(NamedTuple):
    """The scores of coalitions of one document's n words; float64, K classes or one."""

    kept: Tensor  # bool [N, n], True where a word is in the coalition
    values: Tensor  # v(S), [K, N]
    everyone: Tensor  # v(all words), [K]
    nobody: Tensor  # v(no word), [K]


def standard_error(found: Attribution) -> Tensor | None:
    """Return the standard error of each relevance, of the same shape; 0 where it is exact."""
    return found.error


class CoalitionExplainer(RemovalExplainer):
    """Base class of methods that score many subsets of the words of each document.

    The document's content seeds the random subsets, so that a document has the same explanation in
    every batch. Words cannot be deleted, because a text without any word needs a score.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        samples: the number of random subsets, or orders, per document; None is the method's
            default.
        seed: the seed of the random subsets.
        removal: `"zero"` sets the embeddings of absent words to zero, `"unk"` puts the unknown
            word in their place.
        unknown: the id of the unknown word, for `"unk"`; 1 in a `seqlrp.Vocabulary`.
        batch_tokens: the most tokens in a batch of texts that lack words; halved when memory runs
            out. `"auto"` finds it.
        output: which part of the model's output holds the scores, if it returns several.
        progress: show a bar over the documents of each call.

    Attributes:
        default_samples: the number of samples with `samples=None`.
        least_samples: the smallest number of samples.
        pairs: a description of the pairs, if samples come in pairs and must be even in number.
        adds_up: whether Σ values = v(all words) − v(no word).

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is.
    """

    default_samples: ClassVar[int | None] = None
    least_samples: ClassVar[int] = 1
    pairs: ClassVar[str | None] = None
    adds_up: ClassVar[bool] = True

    def __init__(
        self,
        model: nn.Module,
        samples: int | None = None,
        seed: int = 0,
        removal: Removal = "zero",
        *,
        unknown: int | None = None,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        progress: bool = False,
    ) -> None:
        super().__init__(model, removal, unknown=unknown, batch_tokens=batch_tokens, output=output)
        if removal == "delete":
            raise OptionError(
                f"{self.name} asks for the score of a text without any word, which 'delete' does "
                f"not leave; use removal='zero' or 'unk'.",
                option="removal",
                got=removal,
                known=("zero", "unk"),
            )
        if samples is not None:
            check_number("samples", samples, least=self.least_samples, whole=True)
            if self.pairs and samples % 2:
                raise OptionError(
                    f"Got samples={samples}; they are drawn in pairs, {self.pairs}, so expected an "
                    f"even number.",
                    option="samples",
                    got=samples,
                )
        check_number("seed", seed, least=0, whole=True)
        self.samples = self.default_samples if samples is None else int(samples)
        self.seed = int(seed)
        self.progress = progress

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the kind of removal, the number of samples and the seed."""
        return {**super().parameters, "samples": self.samples, "seed": self.seed}

    @abstractmethod
    def coalitions(self, words: int, drawn: np.random.Generator) -> Bools:
        """Draw the coalitions `[N, n]` that are scored, for a document of n words."""

    @abstractmethod
    def solve(self, game: Game) -> tuple[Tensor, Tensor | None]:
        """Compute values `[K, n]` of the words, and their standard errors if they are known."""

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute `[B, T]` or `[B, C, T]`, 0 on padding; all classes share the same passes.

        Tensors in `additional_forward_args` with a row for each document are copied with it.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_removable(inputs, additional_forward_args, run.padding)
        count = len(inputs)
        documents = torch.arange(count, device=inputs.device)
        nobody = self._score(run, inputs, additional_forward_args, documents, ~run.padding)
        everyone = run.select(run.scores.double(), documents)
        values = everyone.new_zeros(len(everyone), *run.padding.shape)
        errors: Tensor | None = None
        for row, kept, answers in self._iter_games(run, inputs, additional_forward_args):
            game = Game(kept, answers, everyone[:, row], nobody[:, row])
            worth, error = self.solve(game)
            words = ~run.padding[row]
            values[:, row, words] = worth
            if error is not None:
                errors = torch.zeros_like(values) if errors is None else errors
                errors[:, row, words] = error
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        ledger = baseline_ledger(run, values, nobody) if self.adds_up else None
        found = run.attribution(values.to(wide), ledger)
        return found if errors is None else found._replace(error=run.by_document(errors.to(wide)))

    def _iter_games(
        self, run: Forward, inputs: Tensor, additional: Any
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield each document, its coalitions `[N, n]` and their scores `[K, N]`."""
        held: list[tuple[int, Tensor]] = []
        places = run.padding[0].numel()
        bar = tqdm(total=len(inputs), desc=self.name, unit="text", disable=not self.progress)

        def score_held() -> Iterator[tuple[int, Tensor, Tensor]]:
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
            answers = self._score(run, inputs, additional, rows, gone)
            start = 0
            for row, kept in held:
                yield row, kept, answers[:, start : start + len(kept)]
                start += len(kept)
                bar.update()

        with bar:
            for row, words in enumerate(~run.padding):
                drawn = document_generator(self.seed, inputs[row][words])
                kept = torch.from_numpy(self.coalitions(int(words.sum()), drawn))
                if held and (sum(len(k) for _, k in held) + len(kept)) * places > _HELD:
                    yield from score_held()
                    held = []
                held.append((row, kept.to(run.padding.device)))
            yield from score_held()

    def _score(
        self, run: Forward, inputs: Tensor, additional: Any, rows: Tensor, gone: Tensor
    ) -> Tensor:
        """Return the target scores `[K, N]`, float64, of documents without some of their words."""
        if not len(rows):
            return run.scores.new_zeros(len(run.starts), 0, dtype=torch.float64)
        return run.select(self.score_without(inputs, additional, rows, gone).double(), rows)


def every_coalition(words: int) -> Bools:
    """Return all subsets `[2^n - 2, n]` of n words except the empty and the full one."""
    numbers = np.arange(1, 2**words - 1)[:, None]
    kept: Bools = (numbers >> np.arange(words)) & 1 == 1
    return kept
