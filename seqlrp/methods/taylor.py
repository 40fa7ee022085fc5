"""First-order Taylor decomposition at a root of the score, and its deep variant by LRP."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError, near
from seqlrp.lrp import LRP, Attribution, door
from seqlrp.methods.baselines import BaselineExplainer, Given, account
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.doubts import Tally, tell_of
from seqlrp.methods.explainer import Forward
from seqlrp.methods.gradient import gradients

Root = Literal["baseline", "nearest"]
LITTLE = 0.5  # a share of the words below this is worth a warning
_SEARCHED = 32  # equal steps from the text to the baseline in which a change of sign is looked for


class Taylor(BaselineExplainer):
    """Simple Taylor decomposition at a root point x̃, signed (Montavon et al. 2017, eq. 2 to 4).

    R_t = Σ_d (x − x̃)_d · ∂f/∂x_d at x̃, for f(x) = f(x̃) + Σ_t R_t + terms of higher order. The
    ledger has f(x̃), 0 at a root, and its `residual` is the terms of higher order. For f linear and
    the baseline 0 it is gradient × input.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        root: `"baseline"`: x̃ is the baseline, whatever f is there. `"nearest"`: the point nearest
            to the text, on the straight line from it to the baseline, at which f = 0: a change of
            sign is looked for in 32 equal steps and halved down to rounding. Where f keeps its
            sign, x̃ is the baseline, and the ledger has its score.
        baseline: what stands for no word: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays as it is.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.

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
        baseline: Given = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        if root not in get_args(Root):
            raise OptionError(f"There is no root {root!r}. {near(str(root), get_args(Root))}")
        super().__init__(model, baseline=baseline, batch_tokens=batch_tokens, output=output)
        self.root = root

    @property
    def parameters(self) -> dict[str, Any]:
        """The root and the baseline."""
        return {"root": self.root, **super().parameters}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with scores and account.

        Of `additional_forward_args`, tensors with a row for each document go along with it.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target, padding or baseline are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        count, starts = len(run.padding), len(run.starts)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        along = torch.zeros(starts, count, dtype=wide, device=run.scores.device)
        if self.root == "nearest":
            along = self._roots(run, inputs, additional_forward_args, along)

        def work(copies: Tensor) -> tuple[Tensor, Tensor]:
            rows = copies % count
            mode = self.blend(run, along.reshape(-1)[copies], rows)
            scores = self.answers(mode, inputs, additional_forward_args, rows, graph=True)
            own = run.chosen(scores, rows).gather(0, (copies // count).unsqueeze(0)).squeeze(0)
            (found,) = gradients(mode, [own])
            products = [
                None if g is None else (x - reading.vectors.detach()) * g
                for x, reading, g in zip(mode.words, mode.readings, found, strict=True)
            ]
            return mode.gathered(products).sum(-1), own.detach()

        relevance = along.new_zeros(starts * count, *run.padding.shape[1:])
        values = along.new_zeros(starts * count)
        for copies, (words, own) in self.in_batches(run.padding, starts * count, work):
            relevance[copies], values[copies] = words.to(wide), own.to(wide)
        relevance = self.check_found(relevance).reshape(starts, *run.padding.shape)
        relevance = relevance.masked_fill(run.padding, 0)
        return run.attribution(relevance, account(run, relevance, values.reshape(starts, count)))

    def _roots(self, run: Forward, inputs: Tensor, additional: Any, along: Tensor) -> Tensor:
        """Where between baseline (0) and text (1) the root of each start is, `[C or 1, B]`."""
        starts, count = along.shape
        rows = torch.arange(count, device=along.device)
        steps = torch.linspace(1, 0, _SEARCHED + 1, dtype=along.dtype, device=along.device)
        values = self.blended_scores(
            run, inputs, additional, steps.repeat_interleave(count), rows.repeat(len(steps))
        ).reshape(starts, len(steps), count)
        values[:, 0] = torch.stack(run.starts)  # of the text itself, to the last digit
        changes = values[:, 1:].sign() != values[:, :-1].sign()
        first = changes.int().argmax(1)  # the nearest to the text, or 0 where there is none
        near_text, far = steps[first], steps[first + 1]
        sign = values.gather(1, first.unsqueeze(1)).squeeze(1).sign()
        every = rows.repeat(starts)
        own = torch.arange(starts, device=along.device).repeat_interleave(count).unsqueeze(0)
        for _ in range(24 if along.dtype == torch.float32 else 50):
            middle = (near_text + far) / 2
            found = self.blended_scores(run, inputs, additional, middle.reshape(-1), every)
            same = found.gather(0, own).reshape(starts, count).sign() == sign
            near_text, far = torch.where(same, middle, near_text), torch.where(same, far, middle)
        return torch.where(changes.any(1), far, along)


class DeepTaylor(LRP):
    """Deep Taylor decomposition (Montavon et al. 2017): `LRP` with the z⁺-rule over the w²-rule.

    It is derived for feed-forward nets of rectifiers. In a recurrent layer its rules hold for every
    map, which is a rule of thumb there: the w²-rule gives a state that is exactly 0 a share as
    well, which the ledger books as `"zero input"`. Where less than half of all that is shared out
    (absolute amounts, over the documents of a call) reaches the words, an `AccountWarning` says so.

    Args:
        model: as for `seqlrp.LRP`.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        ModelError: the model cannot be explained as it is.
    """

    name = "deep_taylor"

    def __init__(self, model: nn.Module, *, output: int | str | None = None) -> None:
        super().__init__(model, rules="deep_taylor", output=output)

    def attribute(  # the account is always kept, to look into
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        return_ledger: bool = False,
        **options: Any,
    ) -> Any:
        """As `LRP.attribute`."""
        keep = return_ledger or inputs.ndim > 1
        found = super().attribute(
            inputs, target, additional_forward_args, return_ledger=keep, **options
        )
        if keep:
            relevance, ledger, *rest = found
            tell_of(self, ledger)
            if not return_ledger:
                return (relevance, *rest) if rest else relevance
        return found

    def doubt(self, tally: Tally) -> str | None:
        """A sentence where little reaches the words."""
        sizes = dict(tally.sizes)
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
