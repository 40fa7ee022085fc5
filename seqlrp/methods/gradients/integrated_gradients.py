"""Integrated gradients: gradients averaged on the line from a baseline to the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.checks import Target
from seqlrp.engine.completeness import CompletenessTotals
from seqlrp.errors import check_choice, check_number
from seqlrp.methods.baselines import AnyBaseline, BaselineExplainer, baseline_ledger
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.gradients.gradient import compute_gradients, gather_products

MISSED = 0.05  # part of the difference of scores above which n_steps is too small
Rule = Literal["gausslegendre", "riemann_left", "riemann_middle", "riemann_right"]


def points(rule: Rule, n_steps: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return points on [0, 1] for numerical integration, and weights that add up to 1."""
    if rule == "gausslegendre":
        places, weights = np.polynomial.legendre.leggauss(n_steps)
        return (1 + places) / 2, weights / 2
    shift = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[rule]
    return (np.arange(n_steps) + shift) / n_steps, np.full(n_steps, 1 / n_steps)


def convergence_delta(found: Attribution) -> Tensor:
    """Return Σ relevance − (score(x) − score(x̃)), float64 `[B]` or `[B, C]`."""
    assert found.ledger is not None
    return -found.ledger.residual


class IntegratedGradients(BaselineExplainer):
    """Integrated gradients from a baseline to the text, signed (Sundararajan et al. 2017, eq. 1).

    R_t = Σ_d (x − x̃)_d · ∫₀¹ ∂score/∂x_d at x̃ + α (x − x̃) dα. All words together add up to
    score(x) − score(x̃), up to the error of the integral with `n_steps` points. The ledger has both
    scores, and its `residual` is this error. If it exceeds 5 % of the differences (absolute values,
    summed over the documents of a call), there is an `AccountWarning`, unless `attribute` is called
    with `return_convergence_delta=True`, which also returns the error. A document takes `n_steps`
    forward and backward passes, which run in batches.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        n_steps: the number of points at which the integrand is evaluated.
        rule: `"gausslegendre"`, by far the best for a smooth model, or a Riemann sum:
            `"riemann_left"`, `"riemann_middle"`, `"riemann_right"`.
        baseline: the vectors of absent words: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays as it is.
        batch_tokens: the most tokens in a batch of points; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: an unknown rule or baseline, or no steps.
        ModelError: the model cannot be run as it is.
    """

    name = "integrated_gradients"
    extras: ClassVar[Mapping[str, Callable[[Attribution], Any]]] = {
        "return_convergence_delta": convergence_delta
    }

    def __init__(
        self,
        model: nn.Module,
        n_steps: int = 50,
        *,
        rule: Rule = "gausslegendre",
        baseline: AnyBaseline = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        verify: bool = True,
    ) -> None:
        check_number("n_steps", n_steps, least=1, whole=True)
        check_choice("rule", rule, get_args(Rule))
        super().__init__(
            model, baseline=baseline, batch_tokens=batch_tokens, output=output, verify=verify
        )
        self.n_steps = int(n_steps)
        self.rule: Rule = rule

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the integration rule, the number of points and the baseline."""
        return {"n_steps": self.n_steps, "rule": self.rule, **super().parameters}

    def describe_incompleteness(self, totals: CompletenessTotals) -> str | None:
        """Return a warning if there are too few points for the integral, else None."""
        if not totals.missing > MISSED * totals.expected:
            return None
        missed = f"by {totals.missing / totals.expected:.0%}" if totals.expected else "altogether"
        return (
            f"The integrated gradients of the words miss the difference of the scores of text and "
            f"baseline {missed}: n_steps={self.n_steps} points (rule {self.rule!r}) are too few "
            f"for this model. Take a larger n_steps; what a text misses is its score less all of "
            f"its ledger."
        )

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with scores and ledger.

        Tensors in `additional_forward_args` with a row for each document are copied with it.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        count, device = len(run.padding), run.padding.device
        places, weights = (
            torch.from_numpy(numbers).to(device, torch.promote_types(run.scores.dtype, torch.float))
            for numbers in points(self.rule, self.n_steps)
        )
        baseline = self.score_baseline(run, inputs, additional_forward_args)

        def work(copies: Tensor) -> Tensor:
            rows, steps = copies % count, copies // count
            mode = self.make_blend(run, places[steps], rows)
            scores = self.score_copies(mode, inputs, additional_forward_args, rows, graph=True)
            words = []
            for found in compute_gradients(mode, list(run.select(scores, rows))):
                changes = (x - start for x, start in zip(mode.words, mode.origins, strict=True))
                words.append(gather_products(mode, changes, found))
            return torch.stack(words).double() * _like(weights[steps], run.padding.ndim)

        total = torch.zeros(len(run.starts), *run.padding.shape, dtype=torch.float64, device=device)
        for copies, found in self.iter_batches(run.padding, count * self.n_steps, work):
            total.index_add_(1, copies % count, found)
        relevance = self.check_finite(total).to(weights.dtype).masked_fill(run.padding, 0)
        return run.attribution(relevance, baseline_ledger(run, relevance, baseline))


def _like(numbers: Tensor, ndim: int) -> Tensor:
    """Reshape numbers `[N]` to `[N, 1, …]` with `ndim` dimensions."""
    return numbers.reshape(-1, *[1] * (ndim - 1))
