"""What the methods beside LRP share: one forward pass that is checked as LRP checks its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.lrp import Attribution, door
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.inputs import InputMode
from seqlrp.lrp.ledger import Ledger
from seqlrp.lrp.marks import substituted, tensors_in

_RECURRENCES = ("lstm", "gru", "rnn_tanh", "rnn_relu")


_PROBABILITIES = ("SoftmaxBackward0", "LogSoftmaxBackward0", "SigmoidBackward0")


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

    def shaped(self, passes: Tensor) -> Tensor:
        """What was found for each start, `[C or 1, B, ...]`, as `[B, C, ...]` or `[B, ...]`."""
        return passes[0] if self.wanted is not None else passes.transpose(0, 1)

    def attribution(self, relevance: Tensor, ledger: Ledger | None = None) -> Attribution:
        """Relevance `[C or 1, *ids]` of the starts as the result of a method."""
        scores = self.scores.detach()
        return Attribution(self.shaped(relevance), scores, self.wanted, ledger, self.against)


class GradientMode(InputMode):
    """Runs a model so that a gradient can be taken, also where cuDNN computes its recurrences.

    cuDNN refuses a backward pass of a recurrence in evaluation mode, for it has kept nothing of
    the way. So the one function call is told to keep it, as in training, with a dropout of 0: the
    numbers are the same, and neither the model nor a flag of the process is touched.
    """

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """As `InputMode.call`, for recurrences on CUDA as in training but for dropout."""
        if self.keeps_the_way(args) and spelled(function) in _RECURRENCES:
            args = _as_in_training(args)
        if any(t.is_inference() for t in tensors_in((args, kwargs))):
            # Weights that were made in inference mode cannot take part in a graph; a copy can.
            args, kwargs = substituted((args, kwargs), _as_in_a_graph)
        return super().call(function, args, kwargs)

    @staticmethod
    def keeps_the_way(args: Any) -> bool:
        """Whether a function must be told so, by what it is called with."""
        return bool(args) and isinstance(args[0], Tensor) and args[0].is_cuda


def _as_in_a_graph(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def _as_in_training(args: Any) -> tuple[Any, ...]:
    """Arguments of `torch.lstm` and kin, padded or packed, with training on and no dropout."""
    packed = isinstance(args[3], (list, tuple))
    start = 6 if packed else 5  # data, (batch sizes,) state, weights, biased, layers, dropout, …
    return (*args[:start], 0.0, True, *args[start + 2 :])


class Explainer(ABC):
    """A method beside LRP; it says `attribution`, and `attribute` follows.

    Args:
        model: as for `seqlrp.LRP`.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        ModelError: the model cannot be run as it is.
    """

    name: str

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets every `attribution` leave the caller's inference mode, for it needs gradients."""
        super().__init_subclass__(**options)
        if "attribution" in vars(cls):
            cls.attribution = torch.inference_mode(False)(cls.attribution)  # type: ignore[method-assign]

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
        mode = GradientMode()
        return self.forward_under(mode, inputs, target, additional_forward_args, padding)

    def forward_under(
        self,
        mode: InputMode,
        inputs: Tensor,
        target: door.Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> Forward:
        """As `forward`, under a mode that may have laws of its own."""
        door.checked_model(self.model)
        with torch.enable_grad():
            output = mode.run(self.model, inputs, additional_forward_args)
            output = door.selected(output, self.output)
            padding = door.padding_given(padding, mode.ids_shape)
            documents = inputs.shape[0] if inputs.ndim > 1 else None
            squashed = type(getattr(output, "grad_fn", None)).__name__ in _PROBABILITIES
            squashed = squashed or getattr(mode, "probabilities", self) is output
            scores = door.checked_scores(output, documents, gate=squashed)
        if not mode.readings:
            door.refuse_no_embedding()
        wanted, against = door.resolved_contrast(target, scores)
        padding = mode.padding if padding is None else padding
        if padding is None:
            padding = torch.zeros(mode.ids_shape, dtype=torch.bool, device=inputs.device)
        return Forward(mode, scores, wanted, against, padding)
