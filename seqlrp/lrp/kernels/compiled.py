"""The recurrences of `recurrent.py` in float32 on the CPU, with the machine code of `loops.py`.

The forward pass is our own, so that it can leave the factors of the way back where the gates were:
`[N, 4H]`, for which nothing is computed twice. A few sequences go through in one call; for many,
the product with the recurrent weights is the library's, a call a step. Needs Numba, an optional
package, and is not used without it.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqlrp.lrp.recurrent import Gammas, Steps, Weights

FEW = 16  # sequences: for more of them the library's product is the faster one


@cache
def _installed() -> bool:
    return find_spec("numba") is not None


def computes(kind: str, weights: Weights, *inputs: Tensor) -> bool:
    """Whether a layer of this kind with these operands can be computed here."""
    operands = [*inputs, *(w for w in weights if w is not None)]
    return (
        kind in ("lstm", "gru")
        and weights.hr is None
        and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in operands)
        and _installed()
    )


def _array(tensor: Tensor) -> NDArray[np.float32]:
    """The same memory, in rows without gaps."""
    found: NDArray[np.float32] = tensor.detach().contiguous().numpy()
    return found


def _state(tensor: Tensor) -> Tensor:
    """A copy, to be updated step by step."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _ordered(steps: Steps, reverse: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and number of rows of each step, in the order in which a direction reads them."""
    sizes = np.array(steps.sizes, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return (starts[::-1].copy(), sizes[::-1].copy()) if reverse else (starts, sizes)


def _stable(epsilon: float) -> tuple[np.float32, np.float32]:
    """ε in float32, and what stands in for it in quotients where it is 0."""
    stabiliser = np.float32(min(epsilon, 1e30))
    return stabiliser, np.float32(0) if stabiliser else np.finfo(np.float32).tiny


def _views(state: Tensor, steps: Steps) -> dict[int, Tensor]:
    """The rows of the first n sequences, for each n that a step has."""
    return {n: state[:n] for n in set(steps.sizes)}


def _signal(weights: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_ih, W_hh, b_ih, b_hh of the one signal, the third block: g (LSTM) or n (GRU)."""
    hidden = weights.hh.shape[-1]
    rows = slice(2 * hidden, 3 * hidden)
    b_ih, b_hh = (_bias(b, weights.hh) for b in (weights.bias_ih, weights.bias_hh))
    w_ih, w_hh = weights.ih.detach()[rows], weights.hh.detach()[rows].contiguous()
    return w_ih, w_hh, b_ih[rows], b_hh[rows]


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
) -> tuple[Tensor, Tensor, Tensor]:
    """Final h and c, and the factors `[N, 4H]`; outputs go to `out[:, column : column + H]`."""
    from seqlrp.lrp.kernels import loops

    bias = _bias(weights.bias_ih, weights.ih) + _bias(weights.bias_hh, weights.hh)
    gates = torch.addmm(bias, x.detach(), weights.ih.detach().T)
    h, c = _state(h0), _state(c0)
    w_hh, few = weights.hh.detach().contiguous(), len(h) <= FEW
    starts, sizes = _ordered(steps, reverse)
    arguments = (
        _array(gates), _array(w_hh if few else w_hh[:0]), _array(h), _array(c), _array(out), column,
        *_stable(epsilon), starts, sizes,
    )  # fmt: skip
    if few:
        loops.lstm_forward(*arguments, 0, len(sizes))
        return h, c, gates
    parts, states, across = gates.split_with_sizes(steps.sizes), _views(h, steps), w_hh.T
    for t, part in enumerate(parts[::-1] if reverse else parts):
        part.addmm_(states[len(part)], across)
        loops.lstm_forward(*arguments, t, t + 1)
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
    from seqlrp.lrp.kernels import loops

    hidden = h0.shape[-1]
    w_ig, w_hg, b_ig, b_hg = _signal(weights)
    gh, gc = _state(gamma_hn), _state(gamma_cn)
    rows = len(gamma_h)
    gamma_p, stabiliser = x.new_empty(rows, hidden), x.new_empty(rows)
    few = len(gh) <= FEW
    starts, sizes = _ordered(steps, not reverse)
    arguments = (
        _array(factors), _array(w_hg if few else w_hg[:0]), _array(gamma_h), _array(gh), _array(gc),
        _array(gamma_p), _array(stabiliser), starts, sizes,
    )  # fmt: skip
    if few:
        loops.lstm_backward(*arguments, 0, len(sizes))
    else:
        parts, states = gamma_p.split_with_sizes(steps.sizes), _views(gh, steps)
        for t, part in enumerate(parts if reverse else parts[::-1]):
            loops.lstm_backward(*arguments, t, t + 1)
            torch.mm(part, w_hg, out=states[len(part)])
    gamma_x = gamma_p @ w_ig
    if not account:
        return Gammas(gamma_x, gh, gc)
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
) -> tuple[Tensor, Tensor]:
    """Final h, and the factors `[N, 4H]`; outputs go to `out[:, column : column + H]`."""
    from seqlrp.lrp.kernels import loops

    hidden = h0.shape[-1]
    gates = x.new_empty(len(x), 4 * hidden)
    bias = _bias(weights.bias_ih, weights.ih)
    torch.addmm(bias, x.detach(), weights.ih.detach().T, out=gates[:, : 3 * hidden])
    h, bias = _state(h0), _bias(weights.bias_hh, weights.hh)
    from_h = x.new_empty(len(h), 3 * hidden)
    w_hh, few = weights.hh.detach().contiguous(), len(h) <= FEW
    starts, sizes = _ordered(steps, reverse)
    arguments = (
        _array(gates), _array(w_hh if few else w_hh[:0]), _array(bias), _array(h), _array(from_h),
        _array(out), column, *_stable(epsilon), starts, sizes,
    )  # fmt: skip
    if few:
        loops.gru_forward(*arguments, 0, len(sizes))
        return h, gates
    states, products, across = _views(h, steps), _views(from_h, steps), w_hh.T
    for t, rows in enumerate(sizes.tolist()):
        torch.addmm(bias, states[rows], across, out=products[rows])
        loops.gru_forward(*arguments, t, t + 1)
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
    from seqlrp.lrp.kernels import loops

    hidden = h0.shape[-1]
    w_in, w_hn, b_in, b_hn = _signal(weights)
    gh = _state(gamma_hn)
    gamma_p, gamma_u = x.new_empty(len(gamma_h), hidden), torch.empty_like(gh)
    stabiliser, bias_share = x.new_empty(len(gamma_h)), x.new_empty(len(gamma_h))
    few = len(gh) <= FEW
    starts, sizes = _ordered(steps, not reverse)
    arguments = (
        _array(factors), _array(w_hn if few else w_hn[:0]), _array(b_hn), _array(gamma_h),
        _array(gh), _array(gamma_p), _array(gamma_u), _array(stabiliser), _array(bias_share),
        starts, sizes,
    )  # fmt: skip
    if few:
        loops.gru_backward(*arguments, 0, len(sizes))
    else:
        states, sources = _views(gh, steps), _views(gamma_u, steps)
        for t, rows in enumerate(sizes.tolist()):
            loops.gru_backward(*arguments, t, t + 1)
            states[rows].addmm_(sources[rows], w_hn)
    gamma_x = gamma_p @ w_in
    if not account:
        return Gammas(gamma_x, gh, None)
    return Gammas(gamma_x, gh, None, gamma_p @ b_in, bias_share, stabiliser)
