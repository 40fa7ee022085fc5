"""`GradientMode`: runs a model so that a plain gradient to its vectors can be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from seqlrp.engine.functions import function_name
from seqlrp.engine.inputs import InputMode
from seqlrp.engine.nests import map_tensors, out_of_inference_mode, tensors_in
from seqlrp.engine.recurrent_calls import LAYERS, parse_layer


class GradientMode(InputMode):
    """Runs a model so that a gradient can be taken, also where cuDNN computes its recurrences.

    In evaluation mode cuDNN refuses the backward pass of a recurrence, because its forward pass
    does not save intermediate values. So this mode runs that one function call as in training, with
    a dropout of 0: the numbers are the same, and neither the model nor a global flag is changed.
    """

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a function; run a recurrence on CUDA as in training, but without dropout."""
        name = function_name(function)
        if name in LAYERS and self.needs_training_mode(args):
            args = parse_layer(name, args)._replace(dropout=0.0, training=True).positional
        if any(t.is_inference() for t in tensors_in((args, kwargs))):
            args, kwargs = map_tensors((args, kwargs), out_of_inference_mode)
        return super().call(function, args, kwargs)

    @staticmethod
    def needs_training_mode(args: Any) -> bool:
        """Return whether a recurrence with these arguments has a gradient in training mode only."""
        return bool(args) and isinstance(args[0], Tensor) and args[0].is_cuda
