"""First-order Taylor decomposition at a root of the score, and its deep variant by LRP."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.checks import Target
from seqlrp.engine.completeness import CompletenessTotals
from seqlrp.engine.explainer import Forward
from seqlrp.errors import check_choice
from seqlrp.lrp import LRP
from seqlrp.methods.baselines import AnyBaseline, BaselineExplainer, baseline_ledger
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.gradients.gradient import compute_gradients, gather_products

Root = Literal["baseline", "nearest"]
LITTLE = 0.5  # share of the words below which there is a warning
_SEARCHED = 32  # equal steps from the text to the baseline in which a change of sign is searched


class Taylor(BaselineExplainer):
    """Simple Taylor decomposition at a root point x̃, signed (Montavon et al. 2017, eq. 2 to 4).

    R_t = Σ_d (x − x̃)_d · ∂f/∂x_d at x̃, for f(x) = f(x̃) + Σ_t R_t + terms of higher order. The
    ledger has f(x̃), 0 at a root, and its `residual` is the terms of higher order. For f linear and
    the baseline 0 it is gradient × input.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        root: `"baseline"`: x̃ is the baseline, for any f(x̃). `"nearest"`: the point nearest to the
            text, on the straight line from it to the baseline, at which f = 0: a change of sign is
            searched in 32 equal steps and located by bisection to rounding. If f keeps its sign, x̃
            is the baseline, and the ledger has its score.
        baseline: the vectors of absent words: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays as it is.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: an unknown root or baseline.
        ModelError: the model cannot be run as it is.
    """

    name = "taylor"

    def __init__(
        self,
        model: nn.Module,
        root: Root = "baseline",
        *,
        baseline: AnyBaseline = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        verify: bool = True,
    ) -> None:
        check_choice("root", root, get_args(Root))
        super().__init__(
            model, baseline=baseline, batch_tokens=batch_tokens, output=output, verify=verify
        )
        self.root = root

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the root and the baseline."""
        return {"root": self.root, **super().parameters}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with scores and ledger.

        Tensors in `additional_forward_args` with a row for each document are copied with it.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        count, starts = len(run.padding), len(run.starts)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        along = torch.zeros(starts, count, dtype=wide, device=run.scores.device)
        if self.root == "nearest":
            along = self._find_roots(run, inputs, additional_forward_args, along)

        def work(copies: Tensor) -> tuple[Tensor, Tensor]:
            rows = copies % count
            mode = self.make_blend(run, along.reshape(-1)[copies], rows)
            scores = self.score_copies(mode, inputs, additional_forward_args, rows, graph=True)
            own = run.select(scores, rows).gather(0, (copies // count).unsqueeze(0)).squeeze(0)
            (found,) = compute_gradients(mode, [own])
            read = (reading.vectors.detach() for reading in mode.readings)
            changes = (x - start for x, start in zip(mode.words, read, strict=True))
            return gather_products(mode, changes, found), own.detach()

        relevance = along.new_zeros(starts * count, *run.padding.shape[1:])
        values = along.new_zeros(starts * count)
        for copies, (words, own) in self.iter_batches(run.padding, starts * count, work):
            relevance[copies], values[copies] = words.to(wide), own.to(wide)
        relevance = self.check_finite(relevance).reshape(starts, *run.padding.shape)
        relevance = relevance.masked_fill(run.padding, 0)
        return run.attribution(
            relevance, baseline_ledger(run, relevance, values.reshape(starts, count))
        )

    def _find_roots(self, run: Forward, inputs: Tensor, additional: Any, along: Tensor) -> Tensor:
        """Find the root of each target score between baseline (0) and text (1), `[C or 1, B]`."""
        starts, count = along.shape
        rows = torch.arange(count, device=along.device)
        steps = torch.linspace(1, 0, _SEARCHED + 1, dtype=along.dtype, device=along.device)
        values = self.score_blends(
            run, inputs, additional, steps.repeat_interleave(count), rows.repeat(len(steps))
        ).reshape(starts, len(steps), count)
        values[:, 0] = torch.stack(run.starts)  # exactly the scores of the text
        changes = values[:, 1:].sign() != values[:, :-1].sign()
        first = changes.int().argmax(1)  # the step nearest to the text, or 0 if there is none
        near_text, far = steps[first], steps[first + 1]
        sign = values.gather(1, first.unsqueeze(1)).squeeze(1).sign()
        every = rows.repeat(starts)
        own = torch.arange(starts, device=along.device).repeat_interleave(count).unsqueeze(0)
        for _ in range(24 if along.dtype == torch.float32 else 50):
            middle = (near_text + far) / 2
            found = self.score_blends(run, inputs, additional, middle.reshape(-1), every)
            same = found.gather(0, own).reshape(starts, count).sign() == sign
            near_text, far = torch.where(same, middle, near_text), torch.where(same, far, middle)
        return torch.where(changes.any(1), far, along)


class DeepTaylor(LRP):
    """Deep Taylor decomposition (Montavon et al. 2017): `LRP` with the z⁺-rule over the w²-rule.

    It is derived for feed-forward networks of rectifiers. In a recurrent layer its rules apply to
    every map, which is a heuristic: the w²-rule also gives a share to a state that is exactly 0,
    which the ledger books as `"zero input"`. If less than half of the relevance (absolute amounts,
    over the documents of a call) reaches the words, there is an `AccountWarning`.

    Args:
        model: an `nn.Module` in evaluation mode, see `seqlrp.LRP`.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        ModelError: the model cannot be explained as it is.
    """

    name = "deep_taylor"

    def __init__(self, model: nn.Module, *, output: int | str | None = None) -> None:
        super().__init__(model, rules="deep_taylor", output=output)

    def attribute(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        return_ledger: bool = False,
        **options: Any,
    ) -> Any:
        """Compute relevance as `LRP.attribute` does, with a warning if little reaches the words."""
        account = return_ledger or inputs.ndim > 1
        found = self.attribution(
            inputs, target, additional_forward_args, account=account, **options
        )
        self._warn_if_incomplete(found.ledger)
        asked: list[Any] = [found.ledger if return_ledger else None, found.layers]
        asked = [part for part in asked if part is not None]
        return (found.relevance, *asked) if asked else found.relevance

    def describe_incompleteness(self, totals: CompletenessTotals) -> str | None:
        """Return a warning if little relevance reaches the words, else None."""
        sizes = dict(totals.sizes)
        whole, words = sum(sizes.values()), sizes.pop("tokens", 0.0)
        if not words < LITTLE * whole:
            return None
        largest = max(sizes, key=lambda kind: sizes[kind])
        return (
            f"Of what deep Taylor decomposition shares out, {words / whole:.0%} reaches the words; "
            f"{sizes[largest] / whole:.0%} is the ledger's entry {largest!r}. Its rules are "
            f"derived for feed-forward nets of rectifiers, and are a rule of thumb in a recurrent "
            f"layer: look at another method, say 'lrp', beside it."
        )
