"""The position of a word, as a control: an order independent of words and model."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target
from seqlrp.engine.explainer import Explainer
from seqlrp.errors import check_choice

Order = Literal["first", "last", "middle"]


class Position(Explainer):
    """Numbers by position only, from 1 for the first word in the order down to nearly 0.

    Of n words, the k-th in the order (k = 0, 1, …) has (n − k) / n. It is the same for each class.

    Args:
        model: an `nn.Module` in evaluation mode, which computes only the scores.
        order: `"first"`: earlier words are higher; `"last"`: later words; `"middle"`: words nearer
            to the middle, and the earlier one of two equally near words.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown order.
        ModelError: the model cannot be run as it is.
    """

    name = "position"

    def __init__(
        self, model: nn.Module, order: Order = "first", *, output: int | str | None = None
    ) -> None:
        check_choice("order", order, get_args(Order))
        super().__init__(model, output=output)
        self.order = order

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the order."""
        return {"order": self.order}

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return ones: positions do not depend on the score."""
        return torch.ones_like(factors)

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute numbers by position `[B, T]` or `[B, C, T]`, 0 on padding, with the scores."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        words = ~run.padding.flatten(1) if run.padding.ndim > 1 else ~run.padding.unsqueeze(0)
        total = words.sum(1, keepdim=True)
        place = words.cumsum(1) - 1  # the index of each word in its document
        if self.order == "last":
            place = total - 1 - place
        elif self.order == "middle":
            away = 2 * place - (
                total - 1
            )  # twice the distance to the middle: 0, ∓2, … or ∓1, ∓3, …
            place = away.abs() - (away < 0).long()
        numbers = (total - place).to(torch.promote_types(run.scores.dtype, torch.float32)) / total
        numbers = numbers.masked_fill(~words, 0).reshape(run.padding.shape)
        return run.attribution(numbers.expand(len(run.starts), *numbers.shape).contiguous())
