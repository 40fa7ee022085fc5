"""What a plain gradient says: gradient × input, and its squared norm (sensitivity analysis).

For comparison: unlike relevance, a gradient says what would change the score, not what makes it.
Both run on the model as it is, with the embedding found as LRP finds it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.lrp import Attribution, door
from seqlrp.lrp.inputs import InputMode


class _Gradient:
    """One backward pass to the vectors of the words."""

    def __init__(self, model: nn.Module, *, output: int | str | None = None) -> None:
        self.model = door.checked_model(model)
        self.output = output
        door.check_finite(model)

    @property
    def parameters(self) -> dict[str, Any]:
        """No options."""
        return {}

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
        """Attribution `[B, T]` or `[B, C, T]`, with the scores of the same forward pass.

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
            door.padding_given(padding, mode.ids_shape)
            documents = inputs.shape[0] if inputs.ndim > 1 else None
            scores = door.checked_scores(output, documents, gate=False)
            if not mode.readings:
                door.refuse_no_embedding()
            wanted, against = door.resolved_contrast(target, scores)
            sums = [start.sum() for start in door.starts(scores, wanted, against)]
            leaves = [reading.vectors for reading in mode.readings]
            words = []
            for k, total in enumerate(sums):
                again = k + 1 < len(sums)
                gradients = torch.autograd.grad(
                    total, leaves, retain_graph=again, allow_unused=True
                )
                words.append(self._words(mode, list(gradients)))
        shown = words[0] if wanted is not None else torch.stack(words, 1)
        return Attribution(shown, scores.detach(), wanted, None, against)

    def _words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        raise NotImplementedError


class GradientXInput(_Gradient):
    """Gradient × input: Σ_d x_d ∂score/∂x_d for each word, signed (Shrikumar et al. 2016)."""

    name = "gradient_x_input"

    def _words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        products = [
            None if g is None else reading.vectors.detach() * g
            for reading, g in zip(mode.readings, gradients, strict=True)
        ]
        return mode.gathered(products).sum(-1)


class Sensitivity(_Gradient):
    """Sensitivity analysis: ‖∂score/∂x‖² for each word, never negative (Arras et al. 2017)."""

    name = "sensitivity"

    def _words(self, mode: InputMode, gradients: list[Tensor | None]) -> Tensor:
        return mode.gathered(gradients).square().sum(-1)
