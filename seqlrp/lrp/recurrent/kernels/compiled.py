"""The recurrences of `reference.py` in float32 on the CPU, with the machine code of `loops.py`.

The forward pass is implemented here, so that it can store the factors of the backward pass,
`[N, 3H]`, and nothing is computed twice. Both directions are computed at once, by as many threads
as torch uses. Needs Numba, and is not used on a Python for which Numba has no wheel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlrp.engine.recurrent_calls import GATES, LayerKind, Steps, Weights
from seqlrp.lrp.recurrent.kernels.threads import run_in_blocks
from seqlrp.lrp.recurrent.reference import Gammas
from seqlrp.lrp.stabilise import Stabiliser

Order = tuple[NDArray[np.int64], NDArray[np.int64]]


class Maps(NamedTuple):
    """The maps of γ through the only signal, g (LSTM) or n (GRU), of one direction."""

    ih: NDArray[np.float32]  # panels
    hh: NDArray[np.float32]
    bias_ih: NDArray[np.float32]  # [H]
    bias_hh: NDArray[np.float32]
    inputs: int


@cache
def _numba_installed() -> bool:
    return find_spec("numba") is not None


@cache
def _loops() -> Any:
    from seqlrp.lrp.recurrent.kernels import loops

    return loops


@cache
def _sharing() -> Any:
    from seqlrp.lrp.recurrent.kernels import sharing

    return sharing


def computes(kind: str, weights: Weights, *inputs: Tensor) -> bool:
    """Return whether these kernels support a layer of this kind with these operands."""
    if kind not in ("lstm", "gru") or weights.hr is not None:
        return False
    for tensor in (*inputs, *weights[:4]):
        if tensor is not None and not (tensor.dtype is torch.float32 and tensor.is_cpu):
            return False
    return _numba_installed()


def _array(tensor: Tensor) -> NDArray[np.float32]:
    """Return a contiguous NumPy array, of the same memory if possible."""
    tensor = tensor.detach() if tensor.requires_grad else tensor
    found: NDArray[np.float32] = tensor.contiguous().numpy()
    return found


def _empty(*shape: int) -> NDArray[np.float32]:
    """Return an array to be written; NumPy asks for large pages where torch takes small ones."""
    return np.empty(shape, np.float32)


def _rows(values: Tensor, batch_first: bool) -> NDArray[np.float32]:
    """Return rows `[N, D]`; a single sequence is not copied for that."""
    if batch_first and len(values) > 1:
        values = values.transpose(0, 1)
    return _array(values).reshape(-1, values.shape[-1])


def _laid_out(rows: NDArray[np.float32], like: Tensor, batch_first: bool) -> Tensor:
    """Return rows `[N, ·]` in the layout of another tensor."""
    if not batch_first:
        return torch.from_numpy(rows.reshape(*like.shape[:-1], -1))
    batch, length, _ = like.shape
    return torch.from_numpy(rows.reshape(length, batch, -1).swapaxes(0, 1))


@lru_cache(maxsize=64)
def _step_order(steps: Steps, reverse: bool) -> Order:
    """Return first row and number of rows of each step, in the order that a direction reads."""
    sizes = np.array(steps.sizes, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return (starts[::-1].copy(), sizes[::-1].copy()) if reverse else (starts, sizes)


@cache
def _stabiliser_numbers(stabiliser: Stabiliser) -> tuple[np.float32, np.float32, np.float32]:
    """Return both parts of ε in float32, and what replaces an absolute ε of 0 in quotients."""
    epsilon = np.float32(min(stabiliser.absolute, 1e30))
    floor = np.float32(0) if epsilon else np.finfo(np.float32).tiny
    return epsilon, np.float32(min(stabiliser.relative, 1e30)), floor


def _arrays(weights: Weights) -> list[NDArray[np.float32]]:
    """Return both weights and both biases, which are zeros if the layer has none."""
    rows = weights.hh.shape[0]
    return [np.zeros(rows, np.float32) if w is None else _array(w) for w in weights[:4]]


def _pack(kind: LayerKind, ih: Any, hh: Any, bias_ih: Any, bias_hh: Any) -> list[Any]:
    """Return panels of both weights, and biases `[1, ·]`, which an LSTM adds up."""
    pack = _loops().product.pack
    biases = [(bias_ih + bias_hh)[None]] if kind == "lstm" else [bias_ih[None], bias_hh[None]]
    return [pack(ih), pack(hh), *biases]


def _maps(units: int, ih: Any, hh: Any, bias_ih: Any, bias_hh: Any) -> Maps:
    rows, pack = slice(2 * units, 3 * units), _loops().product.pack
    return Maps(pack(ih[rows].T), pack(hh[rows].T), bias_ih[rows], bias_hh[rows], ih.shape[1])


def forward(
    kind: LayerKind,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Weights],
    steps: Steps,
    stabiliser: Stabiliser,
    *,
    account: bool,
    batch_first: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Maps]]:
    """Return outputs `[…, dirs·H]`, final states `[dirs, B, H]`, and what `backward` needs.

    That are factors and maps of each direction.

    Outputs have the layout of `x`, but not the order of memory if that is `batch_first`. Factors
    are `[N, 3H]`; with `account` there are H more: the parts that the stabilisers withhold.

    Args:
        kind: lstm or gru.
        x: the input, `[N, D]`, `[T, B, D]` or, where `batch_first`, `[B, T, D]`.
        states: h and for an LSTM c, `[dirs, B, H]`.
        weights: of each direction; the second one reads the steps in reverse.
        steps: the steps of the rows.
        stabiliser: ε.
        account: whether relevance of biases and stabilisers will be asked for.
        batch_first: whether the batch is the first dimension of inputs and outputs.
    """
    loops, units = _loops(), states[0].shape[-1]
    loop = loops.lstm_forward if kind == "lstm" else loops.gru_forward
    rows, finals, jobs = _rows(x, batch_first), [_array(state).copy() for state in states], []
    out = _empty(len(rows), len(weights) * units)
    factors = [_empty(len(rows), (3 + account) * units) for _ in weights]
    arrays = [_arrays(own) for own in weights]
    for d, own in enumerate(arrays):
        jobs.append(
            partial(
                loop, rows, *_pack(kind, *own), *(state[d] for state in finals), factors[d],
                out, d * units, *_stabiliser_numbers(stabiliser), account,
                *_step_order(steps, d == 1),
            )
        )  # fmt: skip
    _run(jobs, steps, GATES[kind] * units * (x.shape[-1] + units))
    return (
        _laid_out(out, x, batch_first),
        [torch.from_numpy(state) for state in finals],
        [torch.from_numpy(each) for each in factors],
        [_maps(units, *own) for own in arrays],
    )


def read(
    kind: LayerKind,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Weights],
    steps: Steps,
) -> tuple[Tensor, list[Tensor]]:
    """Return outputs and final states as `forward` does; neighbours that begin alike share them."""
    units, rows, jobs = states[0].shape[-1], _array(x), []
    finals = np.concatenate([_array(state) for state in states], -1)  # [dirs, B, H or 2H]
    out = _empty(len(rows), len(weights) * units)
    for d, own in enumerate(weights):
        w_ih, w_hh, *biases = _pack(kind, *_arrays(own))
        jobs.append(
            partial(
                _sharing().read, kind == "lstm", rows, w_ih, w_hh, biases[0], biases[-1],
                finals[d], out, d * units, *_step_order(steps, d == 1),
            )
        )  # fmt: skip
    _run(jobs, steps, GATES[kind] * units * (x.shape[-1] + units))
    parts = torch.split(torch.from_numpy(finals), units, -1)
    return torch.from_numpy(out), [part.contiguous() for part in parts]


def backward(
    kind: LayerKind,
    maps: Sequence[Maps],
    steps: Steps,
    gamma_out: Tensor,
    gamma_finals: Sequence[Tensor],
    factors: Sequence[Tensor],
    *,
    account: bool,
    batch_first: bool = False,
) -> list[Gammas]:
    """Compute the result of `reference.lstm` or `gru` for each direction.

    The factors are those of `forward`, and include ε. With n times as many rows of γ as of factors,
    n consecutive rows share their factors, and `steps` counts rows of γ.

    Args:
        kind: lstm or gru.
        maps: of `forward`, of each direction; the second one reads the steps in reverse.
        steps: the steps of the rows.
        gamma_out: γ of the outputs, `[N, dirs·H]`, `[T, B, dirs·H]` or, where `batch_first`,
            `[B, T, dirs·H]`; γ of the inputs has the same layout.
        gamma_finals: γ of the final states, `[dirs, B, H]`.
        factors: of each direction.
        account: whether to compute the relevance of biases and stabilisers.
        batch_first: whether the batch is the first dimension of γ.
    """
    loops, given, jobs = _loops(), _rows(gamma_out, batch_first), []
    units, inputs = gamma_finals[0].shape[-1], maps[0].inputs
    loop = loops.lstm_backward if kind == "lstm" else loops.gru_backward
    states = [_array(state).copy() for state in gamma_finals]
    gammas = [_empty(len(given), inputs) for _ in maps]
    shares = [_empty(3, len(given) if account else 0) for _ in maps]
    for d, own in enumerate(maps):
        jobs.append(
            partial(
                loop, factors[d].numpy(), *own[:4], given, d * units,
                *(state[d] for state in states), gammas[d], shares[d], account,
                *_step_order(steps, d == 0),
            )
        )  # fmt: skip
    _run(jobs, steps, units * (inputs + units))
    return [
        Gammas(
            _laid_out(gammas[d], gamma_out, batch_first),
            torch.from_numpy(states[0][d]),
            torch.from_numpy(states[1][d]) if kind == "lstm" else None,
            *(torch.from_numpy(shares[d]) if account else ()),
        )
        for d in range(len(maps))
    ]


def _run(jobs: Sequence[partial[None]], steps: Steps, each: int) -> None:
    """Run the loops of all directions; `each` is the number of multiplications for a row."""
    run_in_blocks(jobs, steps.sizes[0], len(jobs) * sum(steps.sizes) * each)
