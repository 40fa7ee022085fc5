"""Gradients all the way from a baseline to the text: integrated gradients."""

from __future__ import annotations

from typing import Any, Literal, get_args, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.methods.baselines import BaselineExplainer, Given, account
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.doubts import Tally, tell_of
from seqlrp.methods.gradient import gradients

MISSED = 0.05  # of the difference of scores; from there on, n_steps is too small
Rule = Literal["gausslegendre", "riemann_left", "riemann_middle", "riemann_right"]


def points(rule: Rule, n_steps: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where on [0, 1] an integral is evaluated, and the weight of each point; they add up to 1."""
    if rule == "gausslegendre":
        places, weights = np.polynomial.legendre.leggauss(n_steps)
        return (1 + places) / 2, weights / 2
    shift = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[rule]
    return (np.arange(n_steps) + shift) / n_steps, np.full(n_steps, 1 / n_steps)


class IntegratedGradients(BaselineExplainer):
    """Integrated gradients from a baseline to the text, signed (Sundararajan et al. 2017, eq. 1).

    R_t = Σ_d (x − x̃)_d · ∫₀¹ ∂score/∂x_d at x̃ + α (x − x̃) dα. All words together add up to
    score(x) − score(x̃) as far as `n_steps` points give the integral: the ledger has both, and its
    `residual` is what they miss. Where that is more than 5 % of the differences, summed without
    signs over the documents of a call, an `AccountWarning` says so. A document takes `n_steps`
    passes forward and backward, which run many at a time.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        n_steps: how many points of the integral are evaluated.
        rule: `"gausslegendre"`, by far the best for a smooth model, or a Riemann sum:
            `"riemann_left"`, `"riemann_middle"`, `"riemann_right"`.
        baseline: what stands for no word: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays as it is.
        batch_tokens: the most tokens in a batch of points; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown rule or baseline, or no steps.
        ModelError: the model cannot be run as it is.
    """

    name = "integrated_gradients"

    def __init__(
        self,
        model: nn.Module,
        n_steps: int = 50,
        *,
        rule: Rule = "gausslegendre",
        baseline: Given = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
            raise OptionError(f"Got n_steps {n_steps!r}; expected a whole number from 1 on.")
        if rule not in get_args(Rule):
            raise OptionError(f"There is no rule {rule!r}. {near(str(rule), get_args(Rule))}")
        super().__init__(model, baseline=baseline, batch_tokens=batch_tokens, output=output)
        self.n_steps = n_steps
        self.rule: Rule = rule

    @property
    def parameters(self) -> dict[str, Any]:
        """The points and the baseline."""
        return {"n_steps": self.n_steps, "rule": self.rule, **super().parameters}

    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
        return_convergence_delta: Literal[False] = ...,
    ) -> Tensor: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
        return_convergence_delta: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
        return_convergence_delta: bool = False,
    ) -> Any:
        """Attribution `[B, T]` or `[B, C, T]`.

        With `return_convergence_delta`, also by how much its sum exceeds score(x) − score(x̃):
        float64 `[B]` or `[B, C]`; without, a warning says where that is much.
        """
        found = self.attribution(inputs, target, additional_forward_args, padding=padding)
        assert found.ledger is not None
        if return_convergence_delta:
            return found.relevance, -found.ledger.residual
        tell_of(self, found.ledger)
        return found.relevance

    def doubt(self, tally: Tally) -> str | None:
        """A sentence where the points are too few for the integral."""
        if not tally.missing > MISSED * tally.due:
            return None
        missed = f"by {tally.missing / tally.due:.0%}" if tally.due else "altogether"
        return (
            f"The integrated gradients of the words miss the difference of the scores of text and "
            f"baseline {missed}: n_steps={self.n_steps} points (rule {self.rule!r}) are too few "
            f"for this model. Take a larger n_steps; what a text misses is its score less all of "
            f"its ledger."
        )

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
        count, device = len(run.padding), run.padding.device
        places, weights = (
            torch.from_numpy(numbers).to(device, torch.promote_types(run.scores.dtype, torch.float))
            for numbers in points(self.rule, self.n_steps)
        )
        baseline = self.baseline_scores(run, inputs, additional_forward_args)

        def work(copies: Tensor) -> Tensor:
            rows, steps = copies % count, copies // count
            mode = self.blend(run, places[steps], rows)
            scores = self.answers(mode, inputs, additional_forward_args, rows, graph=True)
            words = []
            for found in gradients(mode, list(run.chosen(scores, rows))):
                products = [
                    None if g is None else (x - start) * g
                    for x, start, g in zip(mode.words, mode.origins, found, strict=True)
                ]
                words.append(mode.gathered(products).sum(-1))
            return torch.stack(words).double() * _like(weights[steps], run.padding.ndim)

        total = torch.zeros(len(run.starts), *run.padding.shape, dtype=torch.float64, device=device)
        for copies, found in self.in_batches(run.padding, count * self.n_steps, work):
            total.index_add_(1, copies % count, found)
        relevance = self.check_found(total).to(weights.dtype).masked_fill(run.padding, 0)
        return run.attribution(relevance, account(run, relevance, baseline))


def _like(numbers: Tensor, ndim: int) -> Tensor:
    """Numbers `[N]` as `[N, 1, …]` of so many dimensions."""
    return numbers.reshape(-1, *[1] * (ndim - 1))
