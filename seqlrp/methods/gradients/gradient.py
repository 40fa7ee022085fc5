"""Plain gradients: gradient × input, and the norm of the gradient (sensitivity analysis).

They are for comparison: unlike relevance, a gradient shows which change of the words would change
the score. Both run on the unchanged model, and find the embedding in the same way as LRP.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target
from seqlrp.engine.explainer import Explainer
from seqlrp.engine.inputs import InputMode
from seqlrp.errors import check_choice

Norm = Literal["squared", "l2", "l1"]


def compute_gradients(mode: InputMode, starts: Sequence[Tensor]) -> list[list[Tensor | None]]:
    """Compute, for each target score `[B]`, the gradients of its sum at the readings, or None."""
    leaves = [reading.vectors for reading in mode.readings]
    found = []
    for k, start in enumerate(starts):
        again = k + 1 < len(starts)
        found.append(
            torch.autograd.grad(start.sum(), leaves, retain_graph=again, allow_unused=True)
        )
    return [list(one) for one in found]


def gather_products(
    mode: InputMode, factors: Iterable[Tensor], gradients: Iterable[Tensor | None]
) -> Tensor:
    """Return Σ_d f_d ∂score/∂x_d of each word, shaped as the ids.

    Args:
        mode: the mode under which the model ran.
        factors: f at each reading, shaped as its vectors x.
        gradients: ∂score/∂x at each reading, None where the score does not depend on it.
    """
    pairs = zip(factors, gradients, strict=True)
    return mode.gather([None if g is None else f * g for f, g in pairs]).sum(-1)


class Gradient(Explainer):
    """Base class of methods with one backward pass to the word vectors.

    Args:
        model: an `nn.Module` in evaluation mode, see `seqlrp.LRP`.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self, model: nn.Module, *, output: int | str | None = None, verify: bool = True
    ) -> None:
        super().__init__(model, output=output, verify=verify)

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the scores of the same pass."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        with torch.enable_grad():
            found = compute_gradients(run.mode, run.starts)
            words = torch.stack([self.reduce(run.mode, slopes) for slopes in found])
        return run.attribution(words.masked_fill(run.padding, 0))

    @abstractmethod
    def reduce(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """Reduce the gradients at the readings to one value per word, shaped as the ids."""


class GradientXInput(Gradient):
    """Gradient × input: Σ_d x_d ∂score/∂x_d for each word, signed (Shrikumar et al. 2016)."""

    name = "gradient_x_input"

    def reduce(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """Return Σ_d x_d ∂score/∂x_d of each word."""
        vectors = (reading.vectors.detach() for reading in mode.readings)
        return gather_products(mode, vectors, gradients)


class Sensitivity(Gradient):
    """Sensitivity analysis: the norm of ∂score/∂x for each word, never negative.

    Args:
        model: an `nn.Module` in evaluation mode, see `seqlrp.LRP`.
        norm: `"squared"`, ‖∂score/∂x‖² (Arras et al. 2017); `"l2"`, its root; `"l1"`,
            Σ_d |∂score/∂x_d| (Simonyan et al. 2014 take absolute values).
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: an unknown norm.
        ModelError: the model cannot be run as it is.
    """

    name = "sensitivity"

    def __init__(
        self,
        model: nn.Module,
        norm: Norm = "squared",
        *,
        output: int | str | None = None,
        verify: bool = True,
    ) -> None:
        check_choice("norm", norm, get_args(Norm))
        super().__init__(model, output=output, verify=verify)
        self.norm = norm

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the norm."""
        return {"norm": self.norm}

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return the absolute factors; their squares for the squared norm."""
        return factors.square() if self.norm == "squared" else factors.abs()

    def reduce(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """Return the norm of ∂score/∂x of each word."""
        whole = mode.gather(gradients)
        if self.norm == "l1":
            return whole.abs().sum(-1)
        squared = whole.square().sum(-1)
        return squared.sqrt() if self.norm == "l2" else squared
