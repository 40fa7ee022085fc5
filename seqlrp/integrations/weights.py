"""Recurrent layers from the weights of other frameworks, checked against their outputs.

Frameworks differ in the order of the gates' blocks, in the number of biases and in which arrays are
transposed, and a layer with wrongly ordered weights still computes something. Each of these
functions therefore takes inputs and the outputs of the original layer, and raises an error if the
outputs of the new layer differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.errors import WeightsError

TOLERANCE = 1e-5  # states lie between -1 and 1, and float32 has seven digits

Layer = TypeVar("Layer", bound=nn.Module)
Recurrent = TypeVar("Recurrent", nn.LSTM, nn.GRU)


class Direction(NamedTuple):
    """The arrays of one direction of a recurrent layer, with G blocks of H rows.

    Attributes:
        weight_ih: `[G·H, D]`, the weights of the inputs.
        weight_hh: `[G·H, H]`, the weights of the state.
        bias_ih: `[G·H]`, or None.
        bias_hh: a second bias `[G·H]`, or None.
    """

    weight_ih: npt.ArrayLike
    weight_hh: npt.ArrayLike
    bias_ih: npt.ArrayLike | None = None
    bias_hh: npt.ArrayLike | None = None


def lstm(
    directions: Sequence[Direction | Sequence[Any]],
    *,
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    order: str = "ifgo",
    tolerance: float = TOLERANCE,
) -> nn.LSTM:
    """Make an `nn.LSTM` from arrays whose blocks are in any order.

    The order is "igfo" in TensorFlow's `BasicLSTMCell` and the code published with Arras et al.
    2017 and 2019, and "ifgo" in PyTorch and in Keras, which writes c for g.

    Args:
        directions: one `Direction` (or a tuple of its arrays), or two, from left to right and from
            right to left.
        inputs: vectors `[B, T, D]` with T > 1.
        outputs: the outputs of the original layer for these inputs: all states `[B, T, R·H]` or the
            last ones `[B, R·H]`, the direction from left to right first.
        order: the order of the blocks: input gate i, forget gate f, candidate g, output gate o.
        tolerance: the largest absolute difference of outputs that is allowed.

    Raises:
        WeightsError: the arrays do not fit together, or the outputs differ.
    """
    layer = _layer(nn.LSTM, [reorder(d, order, "ifgo") for d in directions])
    return check_outputs(layer, inputs, outputs, tolerance)


def gru(
    directions: Sequence[Direction | Sequence[Any]],
    *,
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    order: str = "rzn",
    tolerance: float = TOLERANCE,
) -> nn.GRU:
    """Make an `nn.GRU` from arrays whose blocks are in any order.

    Its reset gate comes after the product: n = tanh(W x + b + r ∘ (U h + b')). A layer in which it
    comes before the product needs a `seqlrp.integrations.cells.StepwiseGRU`, as made by
    `seqlrp.integrations.keras.gru`.

    Args:
        directions: one `Direction` (or a tuple of its arrays), or two, from left to right and from
            right to left.
        inputs: vectors `[B, T, D]` with T > 1.
        outputs: the outputs of the original layer for these inputs: all states `[B, T, R·H]` or the
            last ones `[B, R·H]`, the direction from left to right first.
        order: the order of the blocks: reset gate r, update gate z, candidate n.
        tolerance: the largest absolute difference of outputs that is allowed.

    Raises:
        WeightsError: the arrays do not fit together, or the outputs differ.
    """
    layer = _layer(nn.GRU, [reorder(d, order, "rzn") for d in directions])
    return check_outputs(layer, inputs, outputs, tolerance)


def reorder(direction: Direction | Sequence[Any], order: str, wanted: str) -> list[Tensor | None]:
    """Return the arrays of a direction as tensors, with blocks in the order `wanted`.

    Args:
        direction: the arrays.
        order: the letters of their blocks.
        wanted: the same letters in the order of the result.

    Raises:
        WeightsError: `order` has other letters, or the arrays do not fit together.
    """
    if sorted(order) != sorted(wanted):
        raise WeightsError(f"Got the order {order!r}; expected the letters of {wanted!r}.")
    arrays = [None if a is None else np.asarray(a) for a in Direction(*direction)]
    weight_ih, weight_hh = arrays[:2]
    if weight_ih is None or weight_hh is None or weight_ih.ndim != 2 or weight_hh.ndim != 2:
        raise WeightsError(
            "Got weights that are no matrices; expected weight_ih [G·H, D] and weight_hh [G·H, H]."
        )
    rows, hidden = weight_hh.shape
    shapes = [weight_ih.shape[:1], (rows,), *(a.shape for a in arrays[2:] if a is not None)]
    if rows != len(wanted) * hidden or any(shape != (rows,) for shape in shapes):
        shown = ", ".join("none" if a is None else str(list(a.shape)) for a in arrays)
        raise WeightsError(
            f"Got arrays of the shapes {shown}; expected {len(wanted)}·H rows: weight_ih "
            f"[{len(wanted)}·H, D], weight_hh [{len(wanted)}·H, H], biases [{len(wanted)}·H]. "
            "Other frameworks keep the weights transposed."
        )
    wide = any(a is not None and a.dtype == np.float64 for a in arrays)
    rows_of = np.arange(rows).reshape(len(wanted), hidden)
    chosen = rows_of[[order.index(letter) for letter in wanted]].reshape(-1)
    dtype = np.float64 if wide else np.float32
    return [None if a is None else torch.from_numpy(a[chosen].astype(dtype)) for a in arrays]


def named_parameters(directions: Sequence[Sequence[Tensor | None]]) -> dict[str, Tensor]:
    """Return the arrays of one or two directions by the names of PyTorch's parameters.

    Raises:
        WeightsError: there are more directions, none, or two of different sizes.
    """
    if len(directions) not in (1, 2):
        raise WeightsError(f"Got {len(directions)} directions; expected one or two.")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    shapes = [[None if t is None else t.shape for t in tensors] for tensors in directions]
    if shapes[0] != shapes[-1]:
        raise WeightsError("Got two directions of different sizes; expected the same sizes.")
    return {
        f"{name}_l0{end}": tensor
        for tensors, end in zip(directions, ("", "_reverse"), strict=False)
        for name, tensor in zip(names, tensors, strict=True)
        if tensor is not None
    }


def load_parameters(layer: Layer, tensors: dict[str, Tensor]) -> Layer:
    """Load parameters into a layer that was made on the device "meta", and return it."""
    layer.load_state_dict(tensors, assign=True)
    return layer.eval()


def check_outputs(
    layer: Layer, inputs: npt.ArrayLike, outputs: npt.ArrayLike, tolerance: float = TOLERANCE
) -> Layer:
    """Return the layer after a check of its outputs.

    Args:
        layer: a recurrent layer, batch first.
        inputs: vectors `[B, T, D]` with T > 1.
        outputs: the expected outputs: all states `[B, T, R·H]` or the last ones `[B, R·H]`.
        tolerance: the largest absolute difference that is allowed.

    Raises:
        WeightsError: the outputs differ, or inputs or outputs have a wrong shape.
    """
    weight = next(layer.parameters())
    given = torch.as_tensor(np.asarray(inputs), dtype=weight.dtype)
    if given.ndim != 3 or given.shape[1] < 2 or given.shape[2] != weight.shape[1]:
        raise WeightsError(
            f"Got inputs of the shape {list(given.shape)}; expected [B, T, {weight.shape[1]}] with "
            "T > 1, because a single step does not use the weights of the state."
        )
    with torch.no_grad():
        states = layer(given)[0]
    half = states.shape[2] // 2 if "weight_ih_l0_reverse" in layer.state_dict() else None
    last = states[:, -1]
    if half is not None:
        last = torch.cat([states[:, -1, :half], states[:, 0, half:]], dim=1)
    expected = torch.as_tensor(np.asarray(outputs), dtype=weight.dtype)
    found = last if expected.ndim == 2 else states
    if expected.shape != found.shape:
        raise WeightsError(
            f"Got outputs of the shape {list(expected.shape)}; expected {list(states.shape)} (all "
            f"states) or {list(last.shape)} (the last ones)."
        )
    difference = float((found - expected).abs().max())
    if not difference <= tolerance:
        raise WeightsError(
            f"The outputs of the layer differ: the largest difference is {difference:.3g}, "
            f"expected at most {tolerance:g}. Check the order of the gates, the order of the "
            "biases, transposed arrays, and the activations."
        )
    return layer


def _layer(kind: type[Recurrent], directions: Sequence[Sequence[Tensor | None]]) -> Recurrent:
    directions = [_both_biases(tensors) for tensors in directions]
    tensors = named_parameters(directions)
    inputs, hidden = tensors["weight_ih_l0"].shape[1], tensors["weight_hh_l0"].shape[1]
    with torch.device("meta"):
        layer = kind(
            inputs,
            hidden,
            batch_first=True,
            bidirectional=len(directions) == 2,
            bias="bias_ih_l0" in tensors,
        )
    return load_parameters(layer, tensors)


def _both_biases(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Add a bias of zeros where there is one of the two: PyTorch has both or none."""
    *weights, bias_ih, bias_hh = tensors
    one = bias_ih if bias_ih is not None else bias_hh
    if one is None:
        return list(tensors)
    biases = [torch.zeros_like(one) if bias is None else bias for bias in (bias_ih, bias_hh)]
    return [*weights, *biases]
