"""Where a word stands, as a control: an order that knows neither the word nor the model."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqlrp.errors import OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.methods.explainer import Explainer

Order = Literal["first", "last", "middle"]


class Position(Explainer):
    """By position only, from 1 for the word that comes first in the order down to nearly 0.

    Of n words, the k-th in the order (k = 0, 1, …) has (n − k) / n. It is the same for each class.

    Args:
        model: as for the other methods; it gives the scores, and nothing else.
        order: `"first"`: earlier words are higher; `"last"`: later ones; `"middle"`: those nearer
            to the middle, of two equally near ones the earlier.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown order.
        ModelError: the model cannot be run as it is.
    """

    name = "position"

    def __init__(
        self, model: nn.Module, order: Order = "first", *, output: int | str | None = None
    ) -> None:
        if order not in get_args(Order):
            raise OptionError(f"There is no order {order!r}. {near(str(order), get_args(Order))}")
        super().__init__(model, output=output)
        self.order = order

    @property
    def parameters(self) -> dict[str, Any]:
        """The order."""
        return {"order": self.order}

    def rescaled(self, factors: Tensor) -> Tensor:
        """The score has no part in it."""
        return torch.ones_like(factors)

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Numbers by position `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        words = ~run.padding.flatten(1) if run.padding.ndim > 1 else ~run.padding.unsqueeze(0)
        total = words.sum(1, keepdim=True)
        place = words.cumsum(1) - 1  # of each word among the words of its document
        if self.order == "last":
            place = total - 1 - place
        elif self.order == "middle":
            away = 2 * place - (total - 1)  # twice the distance: 0, ∓2, … or ∓1, ∓3, …
            place = away.abs() - (away < 0).long()
        numbers = (total - place).to(torch.promote_types(run.scores.dtype, torch.float32)) / total
        numbers = numbers.masked_fill(~words, 0).reshape(run.padding.shape)
        return run.attribution(numbers.expand(len(run.starts), *numbers.shape).contiguous())
