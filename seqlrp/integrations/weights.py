"""Recurrent layers of other people's arrays: put in PyTorch's order, and run before they are given.

Frameworks differ in the order of the gates' blocks, in the number of biases and in what is
transposed, and a layer that is put together wrongly still answers. So each of these functions asks
for inputs and for what the layer answered to them where it was trained, and gives nothing that
answers otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.errors import WeightsError

TOLERANCE = 1e-5  # states lie between -1 and 1, and float32 keeps seven digits of them

Layer = TypeVar("Layer", bound=nn.Module)
Recurrent = TypeVar("Recurrent", nn.LSTM, nn.GRU)


class Direction(NamedTuple):
    """The arrays of a recurrent layer that reads one way, with G blocks of H rows.

    Attributes:
        weight_ih: `[G·H, D]`, of the inputs.
        weight_hh: `[G·H, H]`, of the state.
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
    """Make an `nn.LSTM` of arrays whose blocks come in any order.

    The code published with Arras et al. 2017 and 2019, and TensorFlow's `BasicLSTMCell`, have
    "igfo" (i, g, f, o); PyTorch and Keras "ifgo", where Keras says c for g.

    Args:
        directions: one `Direction` (or plain tuples of its arrays), or that from left to right and
            that from right to left.
        inputs: vectors `[B, T, D]` with T > 1, and
        outputs: what the layer answered: all states `[B, T, R·H]` or the last ones `[B, R·H]`, the
            direction from left to right first.
        order: of the blocks: input gate i, forget gate f, candidate g, output gate o.
        tolerance: the largest absolute difference.

    Raises:
        WeightsError: arrays do not fit together, or the layer answers otherwise.
    """
    layer = _layer(nn.LSTM, [reordered(d, order, "ifgo") for d in directions])
    return checked(layer, inputs, outputs, tolerance)


def gru(
    directions: Sequence[Direction | Sequence[Any]],
    *,
    inputs: npt.ArrayLike,
    outputs: npt.ArrayLike,
    order: str = "rzn",
    tolerance: float = TOLERANCE,
) -> nn.GRU:
    """Make an `nn.GRU` of arrays whose blocks come in any order.

    Its reset gate comes after the product: n = tanh(W x + b + r ∘ (U h + b')). Of a layer where it
    comes before, make a `seqlrp.integrations.cells.StepwiseGRU`, as
    `seqlrp.integrations.keras.gru` does.

    Args:
        directions: as for `lstm`, as are inputs, outputs and tolerance.
        inputs: see above.
        outputs: see above.
        order: of the blocks: reset gate r, update gate z, candidate n.
        tolerance: see above.

    Raises:
        WeightsError: arrays do not fit together, or the layer answers otherwise.
    """
    layer = _layer(nn.GRU, [reordered(d, order, "rzn") for d in directions])
    return checked(layer, inputs, outputs, tolerance)


def reordered(direction: Direction | Sequence[Any], order: str, wanted: str) -> list[Tensor | None]:
    """The arrays of a direction as tensors, with their blocks as `wanted` instead of as `order`.

    Raises:
        WeightsError: an order that is none, or arrays that do not fit together.
    """
    if sorted(order) != sorted(wanted):
        raise WeightsError(f"Got the order {order!r}, expected the letters of {wanted!r}.")
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


def named(directions: Sequence[Sequence[Tensor | None]]) -> dict[str, Tensor]:
    """The arrays of one direction or two under the names of PyTorch's parameters.

    Raises:
        WeightsError: more or fewer directions, or two that do not fit together.
    """
    if len(directions) not in (1, 2):
        raise WeightsError(f"Got {len(directions)} directions, expected one or two.")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    shapes = [[None if t is None else t.shape for t in tensors] for tensors in directions]
    if shapes[0] != shapes[-1]:
        raise WeightsError("Got two directions of different sizes, expected the same sizes.")
    return {
        f"{name}_l0{end}": tensor
        for tensors, end in zip(directions, ("", "_reverse"), strict=False)
        for name, tensor in zip(names, tensors, strict=True)
        if tensor is not None
    }


def filled(layer: Layer, tensors: dict[str, Tensor]) -> Layer:
    """A layer made on the device "meta", with its values."""
    layer.load_state_dict(tensors, assign=True)
    return layer.eval()


def checked(
    layer: Layer, inputs: npt.ArrayLike, outputs: npt.ArrayLike, tolerance: float = TOLERANCE
) -> Layer:
    """The layer, if it answers as it should.

    Args:
        layer: a recurrent layer, batch first.
        inputs: vectors `[B, T, D]` with T > 1, and
        outputs: what it should answer: all states `[B, T, R·H]` or the last ones `[B, R·H]`.
        tolerance: the largest absolute difference.

    Raises:
        WeightsError: it answers otherwise, or the inputs could not tell.
    """
    weight = next(layer.parameters())
    given = torch.as_tensor(np.asarray(inputs), dtype=weight.dtype)
    if given.ndim != 3 or given.shape[1] < 2 or given.shape[2] != weight.shape[1]:
        raise WeightsError(
            f"Got inputs of the shape {list(given.shape)}, expected [B, T, {weight.shape[1]}] with "
            "T > 1, since a single step does not show the weights of the state."
        )
    with torch.no_grad():
        states = layer(given)[0]
    half = states.shape[2] // 2 if "weight_ih_l0_reverse" in layer.state_dict() else None
    last = states[:, -1]
    if half is not None:
        last = torch.cat([states[:, -1, :half], states[:, 0, half:]], dim=1)
    answered = torch.as_tensor(np.asarray(outputs), dtype=weight.dtype)
    found = last if answered.ndim == 2 else states
    if answered.shape != found.shape:
        raise WeightsError(
            f"Got outputs of the shape {list(answered.shape)}, expected {list(states.shape)} (all "
            f"states) or {list(last.shape)} (the last ones)."
        )
    difference = float((found - answered).abs().max())
    if not difference <= tolerance:
        raise WeightsError(
            f"The layer answers otherwise than it did: the largest difference is {difference:.3g}, "
            f"expected at most {tolerance:g}. Look at the order of the gates, at which bias is "
            "which, at what is transposed, and at the activations."
        )
    return layer


def _layer(kind: type[Recurrent], directions: Sequence[Sequence[Tensor | None]]) -> Recurrent:
    directions = [_both_biases(tensors) for tensors in directions]
    tensors = named(directions)
    inputs, hidden = tensors["weight_ih_l0"].shape[1], tensors["weight_hh_l0"].shape[1]
    with torch.device("meta"):
        layer = kind(
            inputs,
            hidden,
            batch_first=True,
            bidirectional=len(directions) == 2,
            bias="bias_ih_l0" in tensors,
        )
    return filled(layer, tensors)


def _both_biases(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """PyTorch has both biases or none."""
    *weights, bias_ih, bias_hh = tensors
    one = bias_ih if bias_ih is not None else bias_hh
    if one is None:
        return list(tensors)
    biases = [torch.zeros_like(one) if bias is None else bias for bias in (bias_ih, bias_hh)]
    return [*weights, *biases]
