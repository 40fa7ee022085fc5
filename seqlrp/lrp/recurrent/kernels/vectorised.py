"""The recurrences of `reference.py` in few large steps, in plain torch on any device.

After the forward pass everything but γ is known for all steps at once: one large product
recomputes the gates from the layer's own outputs `h`, and the factors that multiply γ are
elementwise. Only one small product and a few elementwise operations per step run in time order.
Each function takes the arguments of the function of the same name in `reference.py`, `h` `[N, P]`
(the outputs that the library computed) and `account` (whether to compute the relevance of biases
and stabilisers). Memory access takes most of the time, so results overwrite tensors that are no
longer needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.recurrent.reference import Direction, Gammas
from seqlrp.lrp.stabilise import epsilon_factor, epsilon_ratio

FLUSH = 16  # steps after which negligible γ are made zero


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(x, weight, bias)


def _bias_share(gamma: Tensor, bias: Tensor | None) -> Tensor:
    return gamma.new_zeros(len(gamma)) if bias is None else gamma @ bias


def _previous_states(h0: Tensor, h: Tensor, steps: Steps, reverse: bool) -> Tensor:
    """Return the previous state `[N, P]` of each row."""
    batch = steps.sizes[0]
    if steps.sizes[-1] < batch:
        return torch.cat([h0, h])[steps.before(reverse, h.device)]
    return torch.cat([h[batch:], h0] if reverse else [h0, h[:-batch]])


def _preactivations(x: Tensor, before: Tensor, weights: Weights, rows: int) -> Tensor:
    """Return the first `rows` features of `W_ih x + b_ih + W_hh h + b_hh`, `[N, rows]`."""
    bias_ih, bias_hh = (None if b is None else b[:rows] for b in weights[2:4])
    found = _linear(x, weights.ih[:rows], bias_ih)
    found += _linear(before, weights.hh[:rows], bias_hh)
    return found


def _divide_size(y: Tensor, x: Tensor, floor: float) -> Tensor:
    """Return (|y| + floor) / x as a new tensor."""
    size = y.abs()
    return (size.add_(floor) if floor else size).div_(x)


def _stabilised_size_ratio(y: Tensor, x: Tensor, epsilon: float | Tensor) -> Tensor:
    """`epsilon_ratio` of tanh: |y| / (|x| + ε), for ε = 0 the limit 1 at 0, with no selection."""
    tiny = torch.finfo(x.dtype).tiny
    if isinstance(epsilon, Tensor):
        return _divide_size(y, x.abs().add_(tiny).add_(epsilon), tiny)
    floor = tiny if epsilon == 0 else 0.0
    return _divide_size(y, x.abs().add_(epsilon + floor), floor)


def _flush(*states: Tensor) -> None:
    """Zero negligible values: on some processors denormal numbers are ten times slower."""
    for state in states:
        torch.hardshrink(state, torch.finfo(state.dtype).tiny * 1e8, out=state)


def _views(state: Tensor, steps: Steps, reverse: bool) -> list[Tensor]:
    """Return, for each step, the rows of `state` `[B, ·]` of the sequences that have this step."""
    views = {size: state[:size] for size in set(steps.sizes)}
    return [views[size] for size in (reversed(steps.sizes) if reverse else steps.sizes)]


def _in_order(steps: Steps, reverse: bool, *rows: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Iterate over views of the rows of each step, in the order in which a direction reads them."""
    parts = [
        [None] * len(steps.sizes) if part is None else torch.split_with_sizes(part, steps.sizes)
        for part in rows
    ]
    return zip(*(part[::-1] if reverse else part for part in parts), strict=True)


def lstm(run: Direction, *, h: Tensor, account: bool) -> Gammas:
    """Compute the result of `reference.lstm` in few large steps."""
    x, (h0, c0), weights, steps, reverse, gamma_h, (gamma_hn, gamma_cn), stabiliser = run
    w_ig, w_hg, b_ig, b_hg, _ = weights.signal(4)
    projected, hidden = weights.hr is not None, c0.shape[-1]
    # o = h / tanh(c) need not be recomputed, unless c can be 0 and still pass γ on.
    with_o = projected or stabiliser.absolute == 0
    blocks = 4 if with_o else 3
    gates = _preactivations(
        x, _previous_states(h0, h, steps, reverse), weights, (4 if with_o else 3) * hidden
    )
    i, f, p, *o = gates.chunk(blocks, dim=-1)
    gates[:, : 2 * hidden].sigmoid_()
    g = p.tanh()

    # c[t] = f · c[t-1] + i · g, the only loop over steps of the forward pass
    c, previous = i * g, c0
    for c_t, f_t in _in_order(steps, reverse, c, f):
        known, wanted = previous.shape[0], c_t.shape[0]
        if known != wanted:  # a sequence has ended, or begins
            previous = torch.cat([previous[:wanted], c0[known:wanted]])
        previous = c_t.addcmul_(f_t, previous)

    tiny = torch.finfo(c.dtype).tiny
    size_c = c.abs().add_(tiny)
    # γ_h -> γ_c
    to_c = (
        _divide_size(c.tanh(), size_c, tiny).mul_(o[0].sigmoid_())
        if with_o
        else _divide_size(h, size_c, 0)
    )
    kept_c, epsilon_p = epsilon_factor(c, stabiliser.absolute), stabiliser.at_map(p)
    to_g = i * kept_c
    withheld = c - c * kept_c + to_g * g * (1 - epsilon_factor(p, epsilon_p)) if account else None
    to_p = to_g.mul_(_stabilised_size_ratio(g, p, epsilon_p))  # γ_c -> γ_pre
    to_before = kept_c.mul_(f)  # γ_c[t] -> γ_c[t-1]
    kept_h = epsilon_factor(h, stabiliser.at_map(h)) if projected else None
    del gates, i, f, p, g, o, size_c

    gamma_p = torch.empty_like(c)
    totals_c = c if account else None  # overwrites c
    totals_h = torch.empty_like(h) if account and projected else None
    gh, gc, total = gamma_hn.clone(), gamma_cn.clone(), torch.empty_like(gamma_cn)
    factors = (gamma_h, to_c, to_p, to_before, gamma_p, totals_c, totals_h, kept_h)
    states = (_views(state, steps, not reverse) for state in (gh, gc, total))
    turns = zip(_in_order(steps, not reverse, *factors), *states, strict=True)
    for turn, (rows, gh_t, gc_t, total_t) in enumerate(turns):
        gamma_t, to_c_t, to_p_t, to_before_t, gp_t, total_c, total_h, kept_t = rows
        if turn % FLUSH == FLUSH - 1:
            _flush(gh_t, gc_t)
        gh_t += gamma_t
        at_m = gh_t
        if weights.hr is not None:
            if total_h is not None:
                total_h.copy_(gh_t)
            at_m = (gh_t * kept_t) @ weights.hr
        total_t = total_t if total_c is None else total_c
        torch.addcmul(gc_t, to_c_t, at_m, out=total_t)
        torch.mul(to_p_t, total_t, out=gp_t)
        torch.mul(to_before_t, total_t, out=gc_t)
        torch.mm(gp_t, w_hg, out=gh_t)
    gamma_x = gamma_p @ w_ig
    if withheld is None or totals_c is None:
        return Gammas(gamma_x, gh, gc)

    retained = withheld.mul_(totals_c).sum(-1)
    if totals_h is not None and kept_h is not None:
        retained += (h * totals_h * (1 - kept_h)).sum(-1)
    return Gammas(gamma_x, gh, gc, _bias_share(gamma_p, b_ig), _bias_share(gamma_p, b_hg), retained)


def gru(run: Direction, *, h: Tensor, account: bool) -> Gammas:
    """Compute the result of `reference.gru` in few large steps."""
    x, (h0,), weights, steps, reverse, gamma_h, (gamma_hn,), stabiliser = run
    w_in, w_hn, b_in, b_hn, _ = weights.signal(3)
    hidden = h0.shape[-1]
    gates = _linear(x, weights.ih, weights.bias_ih)
    from_h = _linear(_previous_states(h0, h, steps, reverse), weights.hh, weights.bias_hh)
    r, z, p = gates.chunk(3, dim=-1)
    gates[:, : 2 * hidden].add_(from_h[:, : 2 * hidden]).sigmoid_()
    p.addcmul_(r, from_h[:, 2 * hidden :])
    n_t = p.tanh()

    kept_h, epsilon_p = epsilon_factor(h, stabiliser.absolute), stabiliser.at_map(p)
    to_before = z * kept_h  # γ_h' -> γ_h, past the candidate
    to_n = kept_h - to_before  # γ_h' -> γ_n
    withheld = None
    if account:
        withheld = h - h * kept_h + to_n * n_t * (1 - epsilon_factor(p, epsilon_p))
    to_p = to_n.mul_(_stabilised_size_ratio(n_t, p, epsilon_p))  # γ_h' -> γ_pre
    to_u = r * to_p  # γ_h' -> γ of W_hn h + b_hn
    del gates, from_h, z, p, n_t, kept_h

    gamma_p = torch.empty_like(to_p)
    totals = torch.empty_like(to_p) if account else None
    gamma_us = torch.empty_like(to_p) if account else None
    gh = gamma_hn.clone()
    total, gamma_u = torch.empty_like(gh), torch.empty_like(gh)
    factors = (gamma_h, to_p, to_before, to_u, gamma_p, totals, gamma_us)
    states = (_views(state, steps, not reverse) for state in (gh, total, gamma_u))
    turns = zip(_in_order(steps, not reverse, *factors), *states, strict=True)
    for turn, (rows, gh_t, total_t, gu_t) in enumerate(turns):
        gamma_t, to_p_t, to_before_t, to_u_t, gp_t, kept_total, kept_gu = rows
        if turn % FLUSH == FLUSH - 1:
            _flush(gh_t)
        total_t, gu_t = (total_t, gu_t) if kept_total is None else (kept_total, kept_gu)
        torch.add(gh_t, gamma_t, out=total_t)
        torch.mul(to_p_t, total_t, out=gp_t)
        torch.mul(to_u_t, total_t, out=gu_t)
        torch.mul(to_before_t, total_t, out=gh_t)
        gh_t.addmm_(gu_t, w_hn)
    gamma_x = gamma_p @ w_in
    if withheld is None or totals is None or gamma_us is None:
        return Gammas(gamma_x, gh, None)
    return Gammas(
        gamma_x,
        gh,
        None,
        _bias_share(gamma_p, b_in),
        _bias_share(gamma_us, b_hn),
        withheld.mul_(totals).sum(-1),
    )


def rnn(
    run: Direction, activation: Callable[[Tensor], Tensor], *, h: Tensor, account: bool
) -> Gammas:
    """Compute the result of `reference.rnn` in few large steps."""
    x, (h0,), weights, steps, reverse, gamma_h, (gamma_hn,), stabiliser = run
    p = _preactivations(x, _previous_states(h0, h, steps, reverse), weights, len(weights.hh))
    y = activation(p)
    epsilon = stabiliser.at_map(p)
    to_p = epsilon_ratio(y, p, epsilon, 1.0 if activation is torch.tanh else 0.0)

    gamma_p, totals = torch.empty_like(p), torch.empty_like(p)
    gh = gamma_hn.clone()
    rows = _in_order(steps, not reverse, gamma_h, to_p, gamma_p, totals)
    for turn, (row, gh_t) in enumerate(zip(rows, _views(gh, steps, not reverse), strict=True)):
        gamma_t, to_p_t, gp_t, total = row
        if turn % FLUSH == FLUSH - 1:
            _flush(gh_t)
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
        (y * totals * (1 - epsilon_factor(p, epsilon))).sum(-1),
    )
