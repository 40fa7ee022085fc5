"""Recurrent layers of Keras as PyTorch layers, from `layer.get_weights()`; Keras is not needed.

An LSTM of Keras has the kernel `[D, 4H]`, the recurrent kernel `[H, 4H]` and the bias `[4H]` in the
order i, f, c, o. A GRU has z, r, h; its bias is `[3H]` with the reset gate before the product, and
`[2, 3H]` with the reset gate after it. A `Bidirectional` gives the arrays of the layer from left to
right and then those of the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.errors import WeightsError, check_choice
from seqlrp.integrations import weights as arrays
from seqlrp.integrations.cells import GATES, Gate, StepwiseGRU, StepwiseLSTM
from seqlrp.integrations.weights import TOLERANCE, Direction


def lstm(
    weights: Sequence[npt.ArrayLike],
    *,
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    recurrent_activation: Gate = "sigmoid",
    tolerance: float = TOLERANCE,
) -> nn.LSTM | StepwiseLSTM:
    """Make a layer from the weights of a Keras `LSTM`, or of one in a `Bidirectional`.

    Args:
        weights: the arrays of `layer.get_weights()`.
        inputs: vectors `[B, T, D]` with T > 1.
        outputs: the outputs of the Keras layer for these inputs: all states `[B, T, R·H]` or the
            last ones `[B, R·H]`.
        recurrent_activation: that of the Keras layer. A hard sigmoid, the default of Keras up to
            2.2, gives a `StepwiseLSTM`; that of Keras 3 is "hard_sigmoid_keras3".
        tolerance: the largest absolute difference of outputs that is allowed.

    Raises:
        WeightsError: the arrays do not fit together, or the outputs differ.
        OptionError: there is no such activation.
    """
    check_choice("recurrent_activation", recurrent_activation, GATES)
    gate = recurrent_activation
    directions = [_direction(part, "ifgo") for part in _parts(weights)]
    if gate == "sigmoid":
        return arrays.lstm(directions, inputs=inputs, outputs=outputs, tolerance=tolerance)
    tensors = arrays.named_parameters([arrays.reorder(d, "ifgo", "ifgo") for d in directions])
    biased = "bias_ih_l0" in tensors
    # Keras has one bias, PyTorch has two.
    zeros = {
        n.replace("_ih", "_hh"): torch.zeros_like(t) for n, t in tensors.items() if "bias" in n
    }
    with torch.device("meta"):
        layer = StepwiseLSTM(
            *_sizes(tensors), gate=gate, bidirectional=len(directions) == 2, bias=biased
        )
    arrays.load_parameters(layer, tensors | zeros)
    return arrays.check_outputs(layer, inputs, outputs, tolerance)


def gru(
    weights: Sequence[npt.ArrayLike],
    *,
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    reset_after: bool = True,
    recurrent_activation: Gate = "sigmoid",
    tolerance: float = TOLERANCE,
) -> nn.GRU | StepwiseGRU:
    """Make a layer from the weights of a Keras `GRU`, or of one in a `Bidirectional`.

    Args:
        weights: the arrays of `layer.get_weights()`.
        inputs: vectors `[B, T, D]` with T > 1.
        outputs: the outputs of the Keras layer for these inputs: all states `[B, T, R·H]` or the
            last ones `[B, R·H]`.
        reset_after: that of the Keras layer. False, the default of Keras 1 and 2, gives a
            `StepwiseGRU`, because `nn.GRU` applies the reset gate after the product.
        recurrent_activation: that of the Keras layer. A hard sigmoid, the default of Keras up to
            2.2, gives a `StepwiseGRU`; that of Keras 3 is "hard_sigmoid_keras3".
        tolerance: the largest absolute difference of outputs that is allowed.

    Raises:
        WeightsError: the arrays do not fit together, or the outputs differ.
        OptionError: there is no such activation.
    """
    check_choice("recurrent_activation", recurrent_activation, GATES)
    gate = recurrent_activation
    directions = [_direction(part, "zrn", reset_after) for part in _parts(weights)]
    if reset_after and gate == "sigmoid":
        return arrays.gru(
            directions, order="zrn", inputs=inputs, outputs=outputs, tolerance=tolerance
        )
    tensors = arrays.named_parameters([arrays.reorder(d, "zrn", "rzn") for d in directions])
    with torch.device("meta"):
        layer = StepwiseGRU(
            *_sizes(tensors),
            reset_after=reset_after,
            gate=gate,
            bidirectional=len(directions) == 2,
            bias="bias_ih_l0" in tensors,
        )
    arrays.load_parameters(layer, tensors)
    return arrays.check_outputs(layer, inputs, outputs, tolerance)


def _parts(weights: Sequence[npt.ArrayLike]) -> list[list[npt.NDArray[np.floating]]]:
    """Return the arrays of each direction: two without a bias, three with one."""
    given = [np.asarray(array) for array in weights]
    if len(given) not in (2, 3, 4, 6):
        raise WeightsError(
            f"Got {len(given)} arrays; expected kernel, recurrent kernel and bias (if there is "
            "one), or twice as many of a Bidirectional, as from layer.get_weights()."
        )
    if len(given) < 4:
        return [given]
    half = len(given) // 2
    return [given[:half], given[half:]]


def _direction(
    part: list[npt.NDArray[np.floating]], order: str, reset_after: bool = False
) -> Direction:
    kernel, recurrent, *bias = part
    shown = ", ".join(str(list(array.shape)) for array in part)
    blocks = len(order)
    if kernel.ndim != 2 or recurrent.ndim != 2 or recurrent.shape[1] != blocks * len(recurrent):
        raise WeightsError(
            f"Got arrays of the shapes {shown}; expected the kernel [D, {blocks}·H], the recurrent "
            f"kernel [H, {blocks}·H] and the bias, as from layer.get_weights()."
        )
    if not bias:
        return Direction(kernel.T, recurrent.T)
    if reset_after:
        if bias[0].shape != (2, recurrent.shape[1]):
            raise WeightsError(
                f"Got arrays of the shapes {shown}; a GRU with reset_after=True has a bias [2, 3·H]"
                "; where it is [3·H] the reset gate comes before the product: pass "
                "reset_after=False."
            )
        return Direction(kernel.T, recurrent.T, *bias[0])
    if bias[0].shape != recurrent.shape[1:]:
        hint = "; [2, 3·H] belongs to reset_after=True" if blocks == 3 else ""
        raise WeightsError(f"Got arrays of the shapes {shown}; expected a bias [{blocks}·H]{hint}.")
    return Direction(kernel.T, recurrent.T, bias[0])


def _sizes(tensors: dict[str, Tensor]) -> tuple[int, int]:
    """Return D and H."""
    return tensors["weight_ih_l0"].shape[1], tensors["weight_hh_l0"].shape[1]
