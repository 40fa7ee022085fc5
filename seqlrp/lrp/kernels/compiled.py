"""The recurrences of `recurrent.py` in float32 on the CPU, with the machine code of `loops.py`.

The forward pass is our own, so that it can keep the factors of the way back, `[N, 3H]`, for which
nothing is computed twice. Gates and γ of pre-activations live for a block of steps, in the caches.
A block is one call; only where the library's product cannot be called from machine code, many
sequences take two calls a step. Needs Numba, an optional package, and is not used without it.
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
    """Steps `[first, last)` in the order of `_ordered`, and their rows, of so many numbers each."""
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


def _for_a_block(blocks: list[tuple[int, int, slice]], width: int, like: Tensor) -> Tensor:
    """Room for the rows of any of the blocks."""
    return like.new_empty(max(rows.stop - rows.start for _, _, rows in blocks), width)


@cache
def _stable(epsilon: float) -> tuple[np.float32, np.float32]:
    """ε in float32, and what stands in for it in quotients where it is 0."""
    stabiliser = np.float32(min(epsilon, 1e30))
    return stabiliser, np.float32(0) if stabiliser else np.finfo(np.float32).tiny


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
    """Final h and c, and the factors `[N, 3H]`; outputs go to `out[:, column : column + H]`.

    For an account there are H more: what the stabilisers withhold.
    """
    units = h0.shape[-1]
    bias = _bias(weights.bias_ih, weights.ih) + _bias(weights.bias_hh, weights.hh)
    w_ih, w_hh = weights.ih.detach().T, weights.hh.detach().contiguous()
    blocks = _blocks(steps, reverse, 4 * units)
    gates, factors = _for_a_block(blocks, 4 * units, x), x.new_empty(len(x), (3 + account) * units)
    x, h, c = x.detach(), _state(h0), _state(c0)
    inside = _inside(len(h))
    starts, sizes = _ordered(steps, reverse)
    loop, given = _loops().lstm_forward, _array(gates)
    operands = (
        _array(factors), _array(w_hh if inside else w_hh[:0]), _array(bias), _array(h), _array(c),
        _array(out), column, *_stable(epsilon), account, starts, sizes,
    )  # fmt: skip
    across = w_hh.T
    for first, last, rows in blocks:
        torch.mm(x[rows], w_ih, out=gates[: rows.stop - rows.start])
        if inside:
            loop(given, rows.start, *operands, first, last)
            continue
        for t in range(first, last):
            start, size = int(starts[t]) - rows.start, int(sizes[t])
            gates[start : start + size].addmm_(h[:size], across)
            loop(given, rows.start, *operands, t, t + 1)
    return h, c, factors


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
    units = h0.shape[-1]
    part = _of_signal(weights)
    w_ig, w_hg = weights.ih.detach()[part], weights.hh.detach()[part].contiguous()
    blocks = _blocks(steps, not reverse, 4 * units)
    gh, gc, gamma_p = _state(gamma_hn), _state(gamma_cn), _for_a_block(blocks, units, x)
    shares = _Shares(x, weights, len(gamma_h), part, account)
    inside = _inside(len(gh))
    starts, sizes = _ordered(steps, not reverse)
    loop = _loops().lstm_backward
    operands = (
        _array(factors), _array(w_hg if inside else w_hg[:0]), _array(gamma_h), _array(gh),
        _array(gc), _array(gamma_p),
    )  # fmt: skip
    more = (_array(shares.stabiliser), account, starts, sizes)
    for first, last, rows in blocks:
        if inside:
            loop(*operands, rows.start, *more, first, last)
        else:
            for t in range(first, last):
                start, size = int(starts[t]) - rows.start, int(sizes[t])
                loop(*operands, rows.start, *more, t, t + 1)
                torch.mm(gamma_p[start : start + size], w_hg, out=gh[:size])
        shares.leave(rows, gamma_p, w_ig)
    if not account:
        return Gammas(shares.gamma_x, gh, gc)
    return Gammas(shares.gamma_x, gh, gc, shares.bias_ih, shares.bias_hh, shares.stabiliser)


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
    """Final h, and the factors `[N, 3H]`; outputs go to `out[:, column : column + H]`.

    For an account there are H more: what the stabilisers withhold.
    """
    units = h0.shape[-1]
    b_ih, b_hh = _bias(weights.bias_ih, weights.ih), _bias(weights.bias_hh, weights.hh)
    w_ih, w_hh = weights.ih.detach().T, weights.hh.detach().contiguous()
    blocks = _blocks(steps, reverse, 4 * units)
    gates, factors = _for_a_block(blocks, 3 * units, x), x.new_empty(len(x), (3 + account) * units)
    x, h, from_h = x.detach(), _state(h0), x.new_empty(len(h0), 3 * units)
    inside = _inside(len(h))
    starts, sizes = _ordered(steps, reverse)
    loop, given = _loops().gru_forward, _array(gates)
    operands = (
        _array(factors), _array(w_hh if inside else w_hh[:0]), _array(b_ih), _array(b_hh),
        _array(h), _array(from_h), _array(out), column, *_stable(epsilon), account, starts, sizes,
    )  # fmt: skip
    across = w_hh.T
    for first, last, rows in blocks:
        torch.mm(x[rows], w_ih, out=gates[: rows.stop - rows.start])
        if inside:
            loop(given, rows.start, *operands, first, last)
            continue
        for t in range(first, last):
            size = int(sizes[t])
            torch.mm(h[:size], across, out=from_h[:size])
            loop(given, rows.start, *operands, t, t + 1)
    return h, factors


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
    units = h0.shape[-1]
    part = _of_signal(weights)
    w_in, w_hn = weights.ih.detach()[part], weights.hh.detach()[part].contiguous()
    b_hn = _bias(weights.bias_hh, weights.hh)[part]
    blocks = _blocks(steps, not reverse, 4 * units)
    gh, gamma_p = _state(gamma_hn), _for_a_block(blocks, units, x)
    gamma_u = torch.empty_like(gh)
    shares = _Shares(x, weights, len(gamma_h), part, account)
    inside = _inside(len(gh))
    starts, sizes = _ordered(steps, not reverse)
    loop = _loops().gru_backward
    operands = (
        _array(factors), _array(w_hn if inside else w_hn[:0]), _array(b_hn), _array(gamma_h),
        _array(gh), _array(gamma_p),
    )  # fmt: skip
    more = (
        _array(gamma_u), _array(shares.stabiliser), _array(shares.bias_hh), account, starts, sizes,
    )  # fmt: skip
    for first, last, rows in blocks:
        if inside:
            loop(*operands, rows.start, *more, first, last)
        else:
            for t in range(first, last):
                size = int(sizes[t])
                loop(*operands, rows.start, *more, t, t + 1)
                gh[:size].addmm_(gamma_u[:size], w_hn)
        shares.leave(rows, gamma_p, w_in, books_hh=False)
    if not account:
        return Gammas(shares.gamma_x, gh, None)
    return Gammas(shares.gamma_x, gh, None, shares.bias_ih, shares.bias_hh, shares.stabiliser)


class _Shares:
    """What leaves the recurrence or ends in it, a block of steps at a time.

    Attributes:
        gamma_x: γ of what the layer was given, `[N, D]`.
        bias_ih, bias_hh, stabiliser: relevance that stays there, `[N]`; empty without an account.
    """

    def __init__(self, x: Tensor, weights: Weights, rows: int, part: slice, account: bool) -> None:
        self.gamma_x = x.new_empty(rows, x.shape[-1])
        booked = rows if account else 0
        self.bias_ih, self.bias_hh, self.stabiliser = (x.new_empty(booked) for _ in range(3))
        self._account = account
        self._biases = tuple(_bias(b, weights.hh)[part] for b in (weights.bias_ih, weights.bias_hh))

    def leave(self, rows: slice, gamma_p: Tensor, w_ih: Tensor, *, books_hh: bool = True) -> None:
        """γ of pre-activations of some rows goes on to x, and to the biases."""
        gamma_p = gamma_p[: rows.stop - rows.start]
        torch.mm(gamma_p, w_ih, out=self.gamma_x[rows])
        if self._account:
            torch.mv(gamma_p, self._biases[0], out=self.bias_ih[rows])
            if books_hh:
                torch.mv(gamma_p, self._biases[1], out=self.bias_hh[rows])
