"""What a plain gradient says: gradient × input, and its squared norm (sensitivity analysis).

For comparison: unlike relevance, a gradient says what would change the score, not what makes it.
Both run on the model as it is, with the embedding found as LRP finds it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from seqlrp.lrp import Attribution, door
from seqlrp.lrp.inputs import InputMode
from seqlrp.methods.explainer import Explainer


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
        """Attribution `[B, T]` or `[B, C, T]`, with the scores of the same forward pass.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        leaves = [reading.vectors for reading in run.mode.readings]
        starts = run.starts
        words = []
        for k, start in enumerate(starts):
            again = k + 1 < len(starts)
            gradients = torch.autograd.grad(
                start, leaves, torch.ones_like(start), retain_graph=again, allow_unused=True
            )
            words.append(self.of_words(run.mode, list(gradients)))
        return run.attribution(torch.stack(words))

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
    """Sensitivity analysis: ‖∂score/∂x‖² for each word, never negative (Arras et al. 2017)."""

    name = "sensitivity"

    def rescaled(self, factors: Tensor) -> Tensor:
        """A squared gradient takes the square of what its score is multiplied by."""
        return factors.square()

    def of_words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        """‖∂score/∂x‖²."""
        return mode.gathered(gradients).square().sum(-1)
