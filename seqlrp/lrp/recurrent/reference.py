"""LRP through recurrent layers, step by step: the readable reference implementation.

One layer, one direction. Sequences lie in the packed layout of `PackedSequence`: `N` rows, first
the step 0 of all `B` sequences, longest first, then step 1 of those that have one, and so on. A
padded tensor `[T, B, D]` is the special case in which every step has `B` rows.

Signal-take-all makes the gates constants, so γ = R / a obeys linear recurrences (Arras et al.
2017). The equations stand beside the code; `kernels/` computes the same in fewer, larger steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.rules import epsilon_rule, identity_rule
from seqlrp.lrp.stabilise import Stabiliser


class Direction(NamedTuple):
    """One direction of a layer, and γ of what it gave; states are h, and for an LSTM h and c."""

    x: Tensor  # [N, D]
    states: Sequence[Tensor]  # the initial ones, [B, P] and [B, H]
    weights: Weights
    steps: Steps
    reverse: bool
    gamma_h: Tensor  # of the outputs, [N, P]
    gamma_states: Sequence[Tensor]  # of the final ones
    stabiliser: Stabiliser


class Gammas(NamedTuple):
    """γ of all inputs of a recurrent layer, and the relevance that ends in the layer.

    The last three are relevances per row `[N]` (sums over units), or None without a ledger.
    """

    x: Tensor  # [N, D]
    h0: Tensor  # [B, P]
    c0: Tensor | None  # [B, H]
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    stabiliser: Tensor | None = None


class _RetainedRelevance:
    """Relevance that biases and stabilisers of a layer absorb, per row."""

    def __init__(self, rows: int, like: Tensor) -> None:
        self.bias_ih, self.bias_hh, self.stabiliser = (like.new_zeros(rows) for _ in range(3))

    def stabilise(self, rows: slice, gamma: Tensor, z: Tensor, epsilon: float | Tensor) -> Tensor:
        """Apply the ε-rule at `z` and book the relevance that it withholds."""
        passed = epsilon_rule(gamma, z, epsilon)
        self.stabiliser[rows] += (z * (gamma - passed)).sum(-1)
        return passed


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight.T if bias is None else x @ weight.T + bias


def _bias_share(gamma: Tensor, bias: Tensor | None) -> Tensor | float:
    return 0.0 if bias is None else gamma @ bias


def lstm(run: Direction) -> Gammas:
    """Compute γ of an LSTM layer's inputs, by the rules of Arras et al. 2017, sec. 3."""
    x, (h0, c0), weights, steps, reverse, gamma_h, (gamma_hn, gamma_cn), stabiliser = run
    w_ig, w_hg, b_ig, b_hg, _ = weights.signal(4)

    h, c, tape = h0.clone(), c0.clone(), []
    for rows in steps.rows(reverse):
        n = rows.stop - rows.start
        gates = _affine(x[rows], weights.ih, weights.bias_ih) + _affine(
            h[:n], weights.hh, weights.bias_hh
        )
        i, f, p, o = gates.chunk(4, dim=-1)
        i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), p.tanh()
        c_t = f * c[:n] + i * g
        m_t = o * c_t.tanh()
        h_t = m_t if weights.hr is None else m_t @ weights.hr.T
        c, h = torch.cat([c_t, c[n:]]), torch.cat([h_t, h[n:]])
        tape.append((rows, n, i, f, g, o, p, c_t, h_t))

    gamma_x, retained = torch.zeros_like(x), _RetainedRelevance(len(x), x)
    gh, gc = gamma_hn.clone(), gamma_cn.clone()
    for rows, n, i, f, g, o, p, c_t, h_t in reversed(tape):
        gh_t = gh[:n] + gamma_h[rows]
        if weights.hr is not None:  # h = W_hr m: a linear map
            gh_t = retained.stabilise(rows, gh_t, h_t, stabiliser.at_map(h_t)) @ weights.hr
        # h = o · tanh(c): the gate is a constant, tanh passes its relevance on
        gc_t = gc[:n] + identity_rule(o * gh_t, c_t, c_t.tanh(), 1.0)
        # c = f · c[t-1] + i · g: a sum of two products
        gc_t = retained.stabilise(rows, gc_t, c_t, stabiliser.absolute)
        # g = tanh(p), p = W_ig x + b_ig + W_hg h[t-1] + b_hg: one linear map, one denominator
        gp = identity_rule(i * gc_t, p, g, 1.0)
        gp = retained.stabilise(rows, gp, p, stabiliser.at_map(p))
        gamma_x[rows] = gp @ w_ig
        gh, gc = torch.cat([gp @ w_hg, gh[n:]]), torch.cat([f * gc_t, gc[n:]])
        retained.bias_ih[rows] += _bias_share(gp, b_ig)
        retained.bias_hh[rows] += _bias_share(gp, b_hg)
    return Gammas(gamma_x, gh, gc, retained.bias_ih, retained.bias_hh, retained.stabiliser)


def gru(run: Direction) -> Gammas:
    """Compute γ of a GRU layer's inputs.

    n = tanh(W_in x + b_in + r·(W_hn h + b_hn)), h' = (1-z)·n + z·h, as in PyTorch, under the
    rules of Arras et al. 2017: z, 1-z and r are gates, h' is a sum, n's argument one linear map.
    """
    x, (h0,), weights, steps, reverse, gamma_h, (gamma_hn,), stabiliser = run
    w_in, w_hn, b_in, b_hn, _ = weights.signal(3)

    h, tape = h0.clone(), []
    for rows in steps.rows(reverse):
        n_rows = rows.stop - rows.start
        xr, xz, xn = _affine(x[rows], weights.ih, weights.bias_ih).chunk(3, dim=-1)
        hr, hz, hn = _affine(h[:n_rows], weights.hh, weights.bias_hh).chunk(3, dim=-1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        p = xn + r * hn
        h_t = (1 - z) * p.tanh() + z * h[:n_rows]
        h = torch.cat([h_t, h[n_rows:]])
        tape.append((rows, n_rows, r, z, p, h_t))

    gamma_x, retained = torch.zeros_like(x), _RetainedRelevance(len(x), x)
    gh = gamma_hn.clone()
    for rows, n_rows, r, z, p, h_t in reversed(tape):
        # h' = (1-z) · n + z · h: a sum of two products
        gh_t = gh[:n_rows] + gamma_h[rows]
        gh_t = retained.stabilise(rows, gh_t, h_t, stabiliser.absolute)
        # n = tanh(p): one linear map of x with W_in and of h with r · W_hn
        gp = identity_rule((1 - z) * gh_t, p, p.tanh(), 1.0)
        gp = retained.stabilise(rows, gp, p, stabiliser.at_map(p))
        gamma_x[rows] = gp @ w_in
        gh = torch.cat([z * gh_t + (r * gp) @ w_hn, gh[n_rows:]])
        retained.bias_ih[rows] += _bias_share(gp, b_in)
        retained.bias_hh[rows] += _bias_share(r * gp, b_hn)
    return Gammas(gamma_x, gh, None, retained.bias_ih, retained.bias_hh, retained.stabiliser)


def rnn(run: Direction, activation: Callable[[Tensor], Tensor]) -> Gammas:
    """Compute γ of a plain RNN's inputs: h' = f(W_ih x + b_ih + W_hh h + b_hh), f tanh or relu."""
    x, (h0,), weights, steps, reverse, gamma_h, (gamma_hn,), stabiliser = run
    slope = 1.0 if activation is torch.tanh else 0.0
    h, tape = h0.clone(), []
    for rows in steps.rows(reverse):
        n = rows.stop - rows.start
        p = _affine(x[rows], weights.ih, weights.bias_ih) + _affine(
            h[:n], weights.hh, weights.bias_hh
        )
        h_t = activation(p)
        h = torch.cat([h_t, h[n:]])
        tape.append((rows, n, p, h_t))

    gamma_x, retained = torch.zeros_like(x), _RetainedRelevance(len(x), x)
    gh = gamma_hn.clone()
    for rows, n, p, h_t in reversed(tape):
        gp = identity_rule(gh[:n] + gamma_h[rows], p, h_t, slope)
        gp = retained.stabilise(rows, gp, p, stabiliser.at_map(p))
        gamma_x[rows] = gp @ weights.ih
        gh = torch.cat([gp @ weights.hh, gh[n:]])
        retained.bias_ih[rows] += _bias_share(gp, weights.bias_ih)
        retained.bias_hh[rows] += _bias_share(gp, weights.bias_hh)
    return Gammas(gamma_x, gh, None, retained.bias_ih, retained.bias_hh, retained.stabiliser)
