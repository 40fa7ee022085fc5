"""The recurrences of `recurrent.py` in few large steps, in plain torch on any device.

Everything but γ is known after the forward pass, for all steps at once: the gates come back from
the layer's own outputs `h` by one large product, the factors that multiply γ are elementwise, and
what is left in time order is one small product and two multiply-adds a step. Each function takes
what its namesake in `recurrent.py` takes, and `h` `[N, P]` (the outputs, as the library gave
them) and `account` (whether the three tallies are wanted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from seqlrp.lrp.recurrent import Gammas, Steps, Weights
from seqlrp.lrp.stabilise import kept, kept_ratio, ratio


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(x, weight, bias)


def _bias_share(gamma: Tensor, bias: Tensor | None) -> Tensor:
    return gamma.new_zeros(len(gamma)) if bias is None else gamma @ bias


def _in_order(steps: Steps, reverse: bool, *rows: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Views of the rows of each step, in the order in which a direction reads them."""
    parts = [
        [None] * len(steps.sizes) if part is None else torch.split_with_sizes(part, steps.sizes)
        for part in rows
    ]
    return zip(*(part[::-1] if reverse else part for part in parts), strict=True)


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
    h: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.lstm`."""
    w_ig, w_hg = weights.ih.chunk(4)[2], weights.hh.chunk(4)[2]
    b_ig, b_hg = (None if b is None else b.chunk(4)[2] for b in (weights.bias_ih, weights.bias_hh))
    before = steps.before(reverse, x.device)
    gates = _linear(x, weights.ih, weights.bias_ih)
    gates += _linear(torch.cat([h0, h])[before], weights.hh, weights.bias_hh)
    i, f, p, o = gates.chunk(4, dim=-1)
    i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), p.tanh()

    # c[t] = f · c[t-1] + i · g, the one scan of the forward pass
    c = i * g
    state = c0.clone()
    for c_t, f_t in _in_order(steps, reverse, c, f):
        before_t = state[: len(c_t)]
        c_t.addcmul_(f_t, before_t)
        before_t.copy_(c_t)

    tanh_c = c.tanh()
    kept_c = kept(c, epsilon)
    to_c = o * ratio(tanh_c, c, 1.0)  # γ_h -> γ_c
    to_p = i * kept_ratio(g, p, epsilon, 1.0) * kept_c  # γ_c -> γ_pre
    to_before = f * kept_c  # γ_c[t] -> γ_c[t-1]
    kept_h = None if weights.hr is None else kept(h, epsilon)

    gamma_p = torch.empty_like(c)
    totals_c = torch.empty_like(c) if account else None
    totals_h = torch.empty_like(h) if account and weights.hr is not None else None
    gh, gc = gamma_hn.clone(), gamma_cn.clone()
    factors = (gamma_h, to_c, to_p, to_before, gamma_p, totals_c, totals_h, kept_h)
    for rows in _in_order(steps, not reverse, *factors):
        gamma_t, to_c_t, to_p_t, to_before_t, gp_t, total_c, total_h, kept_t = rows
        gh_t, gc_t = gh[: len(gamma_t)], gc[: len(gamma_t)]  # views: the sequences with this step
        gh_t += gamma_t
        at_m = gh_t
        if weights.hr is not None:
            if total_h is not None:
                total_h.copy_(gh_t)
            at_m = (gh_t * kept_t) @ weights.hr
        gc_t.addcmul_(to_c_t, at_m)
        if total_c is not None:
            total_c.copy_(gc_t)
        torch.mul(to_p_t, gc_t, out=gp_t)
        torch.mm(gp_t, w_hg, out=gh_t)
        gc_t *= to_before_t
    gamma_x = gamma_p @ w_ig
    if totals_c is None:
        return Gammas(gamma_x, gh, gc)

    at_p = i * kept_c * totals_c * g  # the relevance that reaches the pre-activation
    stabiliser = (c * totals_c * (1 - kept_c) + at_p * (1 - kept(p, epsilon))).sum(-1)
    if totals_h is not None and kept_h is not None:
        stabiliser += (h * totals_h * (1 - kept_h)).sum(-1)
    return Gammas(
        gamma_x, gh, gc, _bias_share(gamma_p, b_ig), _bias_share(gamma_p, b_hg), stabiliser
    )


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
    h: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.gru`."""
    w_in, w_hn = weights.ih.chunk(3)[2], weights.hh.chunk(3)[2]
    b_in, b_hn = (None if b is None else b.chunk(3)[2] for b in (weights.bias_ih, weights.bias_hh))
    before = steps.before(reverse, x.device)
    xr, xz, xn = _linear(x, weights.ih, weights.bias_ih).chunk(3, dim=-1)
    hr, hz, hn = _linear(torch.cat([h0, h])[before], weights.hh, weights.bias_hh).chunk(3, dim=-1)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    p = torch.addcmul(xn, r, hn)
    n_t = p.tanh()

    kept_h = kept(h, epsilon)
    to_n = (1 - z) * kept_h  # γ_h' -> γ_n
    to_p = to_n * kept_ratio(n_t, p, epsilon, 1.0)  # γ_h' -> γ_pre
    to_before = z * kept_h  # γ_h' -> γ_h, past the candidate

    gamma_p = torch.empty_like(p)
    totals = torch.empty_like(p)
    gh = gamma_hn.clone()
    factors = (gamma_h, to_p, to_before, r, gamma_p, totals)
    for rows in _in_order(steps, not reverse, *factors):
        gamma_t, to_p_t, to_before_t, r_t, gp_t, total = rows
        gh_t = gh[: len(gamma_t)]
        torch.add(gh_t, gamma_t, out=total)
        torch.mul(to_p_t, total, out=gp_t)
        torch.mul(to_before_t, total, out=gh_t)
        gh_t.addmm_(r_t * gp_t, w_hn)
    gamma_x = gamma_p @ w_in
    if not account:
        return Gammas(gamma_x, gh, None)

    at_p = to_n * totals * n_t
    stabiliser = (h * totals * (1 - kept_h) + at_p * (1 - kept(p, epsilon))).sum(-1)
    return Gammas(
        gamma_x,
        gh,
        None,
        _bias_share(gamma_p, b_in),
        _bias_share(r * gamma_p, b_hn),
        stabiliser,
    )


def rnn(
    x: Tensor,
    h0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    gamma_h: Tensor,
    gamma_hn: Tensor,
    epsilon: float,
    activation: Callable[[Tensor], Tensor],
    *,
    h: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.rnn`."""
    before = steps.before(reverse, x.device)
    p = _linear(x, weights.ih, weights.bias_ih)
    p += _linear(torch.cat([h0, h])[before], weights.hh, weights.bias_hh)
    y = activation(p)
    to_p = kept_ratio(y, p, epsilon, 1.0 if activation is torch.tanh else 0.0)

    gamma_p = torch.empty_like(p)
    totals = torch.empty_like(p)
    gh = gamma_hn.clone()
    for rows in _in_order(steps, not reverse, gamma_h, to_p, gamma_p, totals):
        gamma_t, to_p_t, gp_t, total = rows
        gh_t = gh[: len(gamma_t)]
        torch.add(gh_t, gamma_t, out=total)
        torch.mul(to_p_t, total, out=gp_t)
        torch.mm(gp_t, weights.hh, out=gh_t)
    gamma_x = gamma_p @ weights.ih
    if not account:
        return Gammas(gamma_x, gh, None)
    return Gammas(
        gamma_x,
        gh,
        None,
        _bias_share(gamma_p, weights.bias_ih),
        _bias_share(gamma_p, weights.bias_hh),
        (y * totals * (1 - kept(p, epsilon))).sum(-1),
    )
