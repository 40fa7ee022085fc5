"""The recurrences of `recurrent.py` in float32 on the CPU, with the machine code of `loops.py`.

The forward pass is our own, so that it can leave the factors of the way back where the gates were:
`[N, 4H]`, for which nothing is computed twice. A block of steps is one call; only where the
library's product cannot be called from machine code, many sequences take two calls a step. Needs
Numba, an optional package, and is not used without it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlrp.lrp.recurrent import Gammas, Steps, Weights

BLOCK = 2**17  # numbers that are worked on together: half a megabyte stays in a core's cache


@cache
def _installed() -> bool:
    return find_spec("numba") is not None


@cache
def _loops() -> Any:
    from seqlrp.lrp.kernels import loops

    return loops


def computes(kind: str, weights: Weights, *inputs: Tensor) -> bool:
    """Whether a layer of this kind with these operands can be computed here."""
    operands = [*inputs, *(w for w in weights if w is not None)]
    return (
        kind in ("lstm", "gru")
        and weights.hr is None
        and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in operands)
        and _installed()
    )


def _inside(sequences: int) -> bool:
    """Whether the product with the recurrent weights is done in machine code, too."""
    loops = _loops()
    return bool(loops.blas.FOUND or sequences <= loops.FEW)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    """The same memory, in rows without gaps."""
    found: NDArray[np.float32] = tensor.contiguous().numpy()
    return found


def _state(tensor: Tensor) -> Tensor:
    """A copy, to be updated step by step."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


@lru_cache(maxsize=64)
def _ordered(steps: Steps, reverse: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and number of rows of each step, in the order in which a direction reads them."""
    sizes = np.array(steps.sizes, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return (starts[::-1].copy(), sizes[::-1].copy()) if reverse else (starts, sizes)


@lru_cache(maxsize=64)
def _blocks(steps: Steps, reverse: bool, width: int) -> list[tuple[int, int, slice]]:
    """Steps `[first, last)` in the order of `_ordered`, with their rows of so many numbers."""
    starts, sizes = _ordered(steps, reverse)
    found, first, count = [], 0, 0
    for t, rows in enumerate(sizes.tolist()):
        count += rows * width
        if count >= BLOCK or t + 1 == len(sizes):
            low = int(min(starts[first], starts[t]))
            high = int(max(starts[first] + sizes[first], starts[t] + rows))
            found.append((first, t + 1, slice(low, high)))
            first, count = t + 1, 0
    return found


@cache
def _stable(epsilon: float) -> tuple[np.float32, np.float32]:
    """ε in float32, and what stands in for it in quotients where it is 0."""
    stabiliser = np.float32(min(epsilon, 1e30))
    return stabiliser, np.float32(0) if stabiliser else np.finfo(np.float32).tiny


def _views(state: Tensor, steps: Steps) -> dict[int, Tensor]:
    """The rows of the first n sequences, for each n that a step has."""
    return {n: state[:n] for n in set(steps.sizes)}


def _of_signal(weights: Weights) -> slice:
    """Where the one signal is in the weights, the third block: g (LSTM) or n (GRU)."""
    hidden = weights.hh.shape[-1]
    return slice(2 * hidden, 3 * hidden)


def _bias(bias: Tensor | None, weight: Tensor) -> Tensor:
    """The bias that goes with a weight, zeros where the layer has none."""
    return weight.new_zeros(len(weight)) if bias is None else bias.detach()


def lstm_forward(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    epsilon: float,
    out: Tensor,
    column: int,
    *,
    account: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Final h and c, and the factors `[N, 4H]`; outputs go to `out[:, column : column + H]`.

    Without an account, the factors do not hold what the stabilisers withhold.
    """
    units = h0.shape[-1]
    bias = _bias(weights.bias_ih, weights.ih) + _bias(weights.bias_hh, weights.hh)
    w_ih, w_hh = weights.ih.detach().T, weights.hh.detach().contiguous()
    x, gates = x.detach(), x.new_empty(len(x), 4 * units)
    h, c = _state(h0), _state(c0)
    inside = _inside(len(h))
    starts, sizes = _ordered(steps, reverse)
    loop, operands = _loops().lstm_forward, (
        _array(gates), _array(w_hh if inside else w_hh[:0]), _array(bias), _array(h), _array(c),
        _array(out), column, *_stable(epsilon), account, starts, sizes,
    )  # fmt: skip
    states, across = _views(h, steps), w_hh.T
    for first, last, rows in _blocks(steps, reverse, 4 * units):
        torch.mm(x[rows], w_ih, out=gates[rows])
        if inside:
            loop(*operands, first, last)
            continue
        for t in range(first, last):
            start, size = int(starts[t]), int(sizes[t])
            gates[start : start + size].addmm_(states[size], across)
            loop(*operands, t, t + 1)
    return h, c, gates


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    gamma_h: Tensor,
    gamma_hn: Tensor,
    gamma_cn: Tensor,
    epsilon: float,
    *,
    factors: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.lstm`, with the factors of `lstm_forward`, which hold its ε.

    Where there are more rows of γ than of factors, as many in a row have the same factors.
    """
    units, total = h0.shape[-1], len(gamma_h)
    block = _of_signal(weights)
    w_ig, w_hg = weights.ih.detach()[block], weights.hh.detach()[block].contiguous()
    gh, gc = _state(gamma_hn), _state(gamma_cn)
    gamma_p, gamma_x = x.new_empty(total, units), x.new_empty(total, x.shape[-1])
    stabiliser = x.new_empty(total if account else 0)
    inside = _inside(len(gh))
    starts, sizes = _ordered(steps, not reverse)
    loop, operands = _loops().lstm_backward, (
        _array(factors), _array(w_hg if inside else w_hg[:0]), _array(gamma_h), _array(gh),
        _array(gc), _array(gamma_p), _array(stabiliser), account, starts, sizes,
    )  # fmt: skip
    states = _views(gh, steps)
    for first, last, rows in _blocks(steps, not reverse, 4 * units):
        if inside:
            loop(*operands, first, last)
        else:
            for t in range(first, last):
                start, size = int(starts[t]), int(sizes[t])
                loop(*operands, t, t + 1)
                torch.mm(gamma_p[start : start + size], w_hg, out=states[size])
        torch.mm(gamma_p[rows], w_ig, out=gamma_x[rows])
    if not account:
        return Gammas(gamma_x, gh, gc)
    b_ig, b_hg = (_bias(b, weights.hh)[block] for b in (weights.bias_ih, weights.bias_hh))
    return Gammas(gamma_x, gh, gc, gamma_p @ b_ig, gamma_p @ b_hg, stabiliser)


def gru_forward(
    x: Tensor,
    h0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    epsilon: float,
    out: Tensor,
    column: int,
    *,
    account: bool,
) -> tuple[Tensor, Tensor]:
    """Final h, and the factors `[N, 4H]`; outputs go to `out[:, column : column + H]`.

    Without an account, the factors do not hold what the stabilisers withhold.
    """
    units = h0.shape[-1]
    b_ih, b_hh = _bias(weights.bias_ih, weights.ih), _bias(weights.bias_hh, weights.hh)
    w_ih, w_hh = weights.ih.detach().T, weights.hh.detach().contiguous()
    x, gates = x.detach(), x.new_empty(len(x), 4 * units)
    h, from_h = _state(h0), x.new_empty(len(h0), 3 * units)
    inside = _inside(len(h))
    starts, sizes = _ordered(steps, reverse)
    loop, operands = _loops().gru_forward, (
        _array(gates), _array(w_hh if inside else w_hh[:0]), _array(b_ih), _array(b_hh), _array(h),
        _array(from_h), _array(out), column, *_stable(epsilon), account, starts, sizes,
    )  # fmt: skip
    states, products, across = _views(h, steps), _views(from_h, steps), w_hh.T
    for first, last, rows in _blocks(steps, reverse, 4 * units):
        torch.mm(x[rows], w_ih, out=gates[rows, : 3 * units])
        if inside:
            loop(*operands, first, last)
            continue
        for t in range(first, last):
            size = int(sizes[t])
            torch.mm(states[size], across, out=products[size])
            loop(*operands, t, t + 1)
    return h, gates


def gru(
    x: Tensor,
    h0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    gamma_h: Tensor,
    gamma_hn: Tensor,
    epsilon: float,
    *,
    factors: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.gru`, with the factors of `gru_forward`, which hold its ε.

    Where there are more rows of γ than of factors, as many in a row have the same factors.
    """
    units, total = h0.shape[-1], len(gamma_h)
    block = _of_signal(weights)
    w_in, w_hn = weights.ih.detach()[block], weights.hh.detach()[block].contiguous()
    b_hn = _bias(weights.bias_hh, weights.hh)[block]
    gh = _state(gamma_hn)
    gamma_p, gamma_x = x.new_empty(total, units), x.new_empty(total, x.shape[-1])
    gamma_u = torch.empty_like(gh)
    stabiliser, bias_share = (x.new_empty(total if account else 0) for _ in range(2))
    inside = _inside(len(gh))
    starts, sizes = _ordered(steps, not reverse)
    loop, operands = _loops().gru_backward, (
        _array(factors), _array(w_hn if inside else w_hn[:0]), _array(b_hn), _array(gamma_h),
        _array(gh), _array(gamma_p), _array(gamma_u), _array(stabiliser), _array(bias_share),
        account, starts, sizes,
    )  # fmt: skip
    states, sources = _views(gh, steps), _views(gamma_u, steps)
    for first, last, rows in _blocks(steps, not reverse, 4 * units):
        if inside:
            loop(*operands, first, last)
        else:
            for t in range(first, last):
                size = int(sizes[t])
                loop(*operands, t, t + 1)
                states[size].addmm_(sources[size], w_hn)
        torch.mm(gamma_p[rows], w_in, out=gamma_x[rows])
    if not account:
        return Gammas(gamma_x, gh, None)
    from_x = gamma_p @ _bias(weights.bias_ih, weights.ih)[block]
    return Gammas(gamma_x, gh, None, from_x, bias_share, stabiliser)
