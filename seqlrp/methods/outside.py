"""Attributions of other packages: a function that is checked and used as a method."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target, check_model
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.errors import NonFiniteError, OptionError


class Outside(Explainer):
    """Uses a function that returns attributions as a method, with checks and the model's scores.

    With Captum, for a model that reads ids,

        integrated = captum.attr.LayerIntegratedGradients(model, model.embedding)
        method = Outside(model, lambda ids, target: integrated.attribute(ids, target=target))
        seqlrp.explain(classifier, texts, method)

    and for one that reads vectors, `Outside(model, captum.attr.InputXGradient(model).attribute)`.

    For all classes, or a pair, the function is called once per class: relevance of a difference of
    scores is the difference of two relevances, which is correct if they are linear in the score.
    Random numbers and changes of the model are the responsibility of the function.

    Args:
        model: an `nn.Module` in evaluation mode, see `seqlrp.LRP`.
        function: `(inputs, target)` -> `[B, T]`, or `[B, T, D]` which is summed over D, with the
            unchanged inputs and the class `[B]` int64 of each document. It gets a third argument
            if there are `additional_forward_args`.
        name: the name of the method in explanations.
        parameters: its options, as JSON values.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: no function, or no name.
        ModelError: the model cannot be run as it is.
    """

    name = "outside"

    def __init__(
        self,
        model: nn.Module,
        function: Callable[..., Any],
        name: str = "outside",
        *,
        parameters: Mapping[str, Any] | None = None,
        output: int | str | None = None,
    ) -> None:
        super().__init__(model, output=output)
        if not callable(function):
            raise OptionError(
                f"Got {type(function).__name__} for the function; expected a callable (inputs, "
                f"target) -> attributions [B, T], such as the .attribute of an object of Captum's."
            )
        if not isinstance(name, str) or not name:
            raise OptionError(f"Got name={name!r}; expected what the method is to be called.")
        self.function = function
        self.name = name
        self._parameters = dict(parameters or {})

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the options of the function that the user gave."""
        return dict(self._parameters)

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Raises:
            OptionError: the result of the function has another shape, or is not numeric.
            NonFiniteError: the result is NaN or infinite.
            ModelError, InputError: see `Explainer.attribute`.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        if run.target is None:
            count, classes = run.scores.shape
            asked = [run.scores.new_full((count,), c, dtype=torch.int64) for c in range(classes)]
        else:
            asked = [run.target]
        found = [self._call_function(run, inputs, one, additional_forward_args) for one in asked]
        if run.against is not None:
            found[0] = found[0] - self._call_function(
                run, inputs, run.against, additional_forward_args
            )
        check_model(self.model)  # the function may have left it in training mode
        return run.attribution(torch.stack(found))

    def _call_function(
        self, run: Forward, inputs: Tensor, target: Tensor, additional: Any
    ) -> Tensor:
        """Return the function's result for one target, `[*ids]`."""
        more = () if additional is None else (additional,)
        with torch.enable_grad(), warnings.catch_warnings():
            # Captum warns about the copy of the inputs, which does not concern the user.
            warnings.filterwarnings("ignore", ".*required_grads has been set", UserWarning)
            made = self.function(inputs.detach().clone(), target.clone(), *more)
        if isinstance(made, tuple) and len(made) == 1:
            made = made[0]
        made = torch.from_numpy(made) if isinstance(made, np.ndarray) else made
        shape = list(run.padding.shape)
        if not isinstance(made, Tensor) or made.is_complex() or made.dtype == torch.bool:
            what = f"a tensor of {made.dtype}" if isinstance(made, Tensor) else type(made).__name__
            raise OptionError(
                f"The function of {self.name!r} returned {what}; expected a tensor of attributions "
                f"{shape}, or {shape[:-1]} and a number of dimensions to be summed over."
            )
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        made = made.detach().to(run.scores.device, wide)
        if list(made.shape[:-1]) == shape:
            made = made.sum(-1)
        if list(made.shape) != shape:
            raise OptionError(
                f"The function of {self.name!r} returned a tensor of shape {list(made.shape)}; "
                f"expected {shape}, a number for each word, or one dimension more, which is summed "
                f"over."
            )
        made = made.masked_fill(run.padding, 0)
        if not bool(made.isfinite().all()):
            row = int((~made.isfinite()).flatten(1).any(1).nonzero()[0])
            raise NonFiniteError(
                f"The function of {self.name!r} returned NaN or infinite values for document {row}."
            )
        return made
