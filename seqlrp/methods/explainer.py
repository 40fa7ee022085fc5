"""What the methods beside LRP share: one forward pass that is checked as LRP checks its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.lrp import Attribution, door
from seqlrp.lrp.inputs import InputMode


class Forward(NamedTuple):
    """One forward pass: its scores, with their graph, and what was asked of them."""

    mode: InputMode  # with the vectors of the words, in `readings`
    scores: Tensor  # [B, C]
    wanted: Tensor | None  # class indices [B], None for all classes
    against: Tensor | None  # those that they are compared with, [B]
    padding: Tensor  # bool, shaped as the ids, True on padding

    @property
    def starts(self) -> list[Tensor]:
        """What is explained, `[B]` each: the scores of all classes, of one, or a difference."""
        return door.starts(self.scores, self.wanted, self.against)

    def chosen(self, scores: Tensor, rows: Tensor) -> Tensor:
        """What is explained of other scores `[N, C]` for documents `rows` `[N]`: `[C or 1, N]`."""
        wanted, against = (None if t is None else t[rows] for t in (self.wanted, self.against))
        return torch.stack(door.starts(scores, wanted, against))

    def attribution(self, relevance: Tensor) -> Attribution:
        """Relevance `[C or 1, *ids]` of the starts as the result of a method."""
        shown = relevance[0] if self.wanted is not None else relevance.transpose(0, 1)
        return Attribution(shown, self.scores.detach(), self.wanted, None, self.against)


class Explainer(ABC):
    """A method beside LRP; it says `attribution`, and `attribute` follows.

    Args:
        model: as for `seqlrp.LRP`.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        ModelError: the model cannot be run as it is.
    """

    name: str

    def __init__(self, model: nn.Module, *, output: int | str | None = None) -> None:
        self.model = door.checked_model(model)
        self.output = output
        door.check_finite(model)

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that the relevance depends on, JSON values; none here."""
        return {}

    def rescaled(self, factors: Tensor) -> Tensor:
        """What relevance is multiplied by where the score is multiplied by `factors`."""
        return factors

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

    @abstractmethod
    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores."""

    def forward(
        self,
        inputs: Tensor,
        target: door.Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> Forward:
        """Run the model as it is, with a graph from the vectors of the words to the scores.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        door.checked_model(self.model)
        mode = InputMode()
        with torch.inference_mode(False), torch.enable_grad():
            output = mode.run(self.model, inputs, additional_forward_args)
            output = door.selected(output, self.output)
            padding = door.padding_given(padding, mode.ids_shape)
            documents = inputs.shape[0] if inputs.ndim > 1 else None
            scores = door.checked_scores(output, documents, gate=False)
        if not mode.readings:
            door.refuse_no_embedding()
        wanted, against = door.resolved_contrast(target, scores)
        padding = mode.padding if padding is None else padding
        if padding is None:
            padding = torch.zeros(mode.ids_shape, dtype=torch.bool, device=inputs.device)
        return Forward(mode, scores, wanted, against, padding)
