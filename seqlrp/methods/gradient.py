"""What a plain gradient says: gradient × input, and its norm (sensitivity analysis).

For comparison: unlike relevance, a gradient says what would change the score, not what makes it.
Both run on the model as it is, with the embedding found as LRP finds it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.errors import OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.inputs import InputMode
from seqlrp.methods.explainer import Explainer

Norm = Literal["squared", "l2", "l1"]


def gradients(mode: InputMode, starts: Sequence[Tensor]) -> list[list[Tensor | None]]:
    """For each start `[B]` the gradients of its sum at the readings; None where there is none."""
    leaves = [reading.vectors for reading in mode.readings]
    found = []
    for k, start in enumerate(starts):
        again = k + 1 < len(starts)
        found.append(
            torch.autograd.grad(start.sum(), leaves, retain_graph=again, allow_unused=True)
        )
    return [list(one) for one in found]


class Gradient(Explainer):
    """One backward pass to the vectors of the words."""

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the scores of the same pass.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        with torch.enable_grad():
            found = gradients(run.mode, run.starts)
            words = torch.stack([self.of_words(run.mode, slopes) for slopes in found])
        return run.attribution(words.masked_fill(run.padding, 0))

    @abstractmethod
    def of_words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """What the gradients at the readings say of the words, shaped as the ids."""


class GradientXInput(Gradient):
    """Gradient × input: Σ_d x_d ∂score/∂x_d for each word, signed (Shrikumar et al. 2016)."""

    name = "gradient_x_input"

    def of_words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """Σ_d x_d ∂score/∂x_d."""
        products = [
            None if g is None else reading.vectors.detach() * g
            for reading, g in zip(mode.readings, gradients, strict=True)
        ]
        return mode.gathered(products).sum(-1)


class Sensitivity(Gradient):
    """Sensitivity analysis: how long ∂score/∂x is for each word, never negative.

    Args:
        model: as for `seqlrp.LRP`.
        norm: `"squared"`, ‖∂score/∂x‖² (Arras et al. 2017); `"l2"`, its root; `"l1"`,
            Σ_d |∂score/∂x_d| (Simonyan et al. 2014 take absolute values).
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown norm.
        ModelError: the model cannot be run as it is.
    """

    name = "sensitivity"

    def __init__(
        self, model: nn.Module, norm: Norm = "squared", *, output: int | str | None = None
    ) -> None:
        if norm not in get_args(Norm):
            raise OptionError(f"There is no norm {norm!r}. {near(str(norm), get_args(Norm))}")
        super().__init__(model, output=output)
        self.norm = norm

    @property
    def parameters(self) -> dict[str, Any]:
        """The norm."""
        return {"norm": self.norm}

    def rescaled(self, factors: Tensor) -> Tensor:
        """What the gradient is multiplied by, without its sign; squared for the squared norm."""
        return factors.square() if self.norm == "squared" else factors.abs()

    def of_words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """The norm of ∂score/∂x."""
        whole = mode.gathered(gradients)
        if self.norm == "l1":
            return whole.abs().sum(-1)
        squared = whole.square().sum(-1)
        return squared.sqrt() if self.norm == "l2" else squared
