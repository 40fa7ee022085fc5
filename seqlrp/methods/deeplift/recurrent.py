"""Recurrent layers that a model calls as one function: `torch.lstm`, `torch.gru` and others.

One direction of one layer is one node of the graph: text and reference run forward together, and
multipliers flow back through time. Gates are treated like any other signal:

    LSTM   Δc = f̄ Δc' + c̄' Δf + ī Δg + ḡ Δi,   Δh = ō Δtanh(c) + mean(tanh c) Δo
    GRU    Δh = (1 − z̄) Δn + z̄ Δh' + (h̄' − n̄) Δz,   with r · q, q = W_hn h' + b, in n's argument

with means x̄ = (x + x0)/2 over text and reference, and Rescale at each tanh and σ. Rows have the
layout of `seqlrp.engine.recurrent_calls`. Under RevealCancel each step runs as torch
functions, each under its own law (`seqlrp.engine.unrolled`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlrp.engine.functions import Call
from seqlrp.engine.recurrent_calls import LayerKind, Steps, Weights, parse_cell, parse_layer
from seqlrp.engine.unrolled import Cell, run_direction, run_layers
from seqlrp.methods.deeplift import rules
from seqlrp.methods.deeplift.pairs import PairedRun


class Direction(NamedTuple):
    """One direction of one layer."""

    kind: LayerKind
    weights: Weights
    steps: Steps
    reverse: bool


def sequence(run: PairedRun, call: Call) -> tuple[Tensor, ...]:
    """`torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`: padded or packed, of any depth."""
    given = parse_layer(call.name, call.args)
    given.check_dropout(run.describe_place)
    _check_weights(run, call, given.flat)
    weights, steps = given.all_weights(run.raw), given.steps()

    def direction(
        place: int, reverse: bool, x: Tensor, states: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return _recur(run, Direction(given.kind, weights[place], steps, reverse), x, states)

    return run_layers(run, given, direction)


def cell(run: PairedRun, call: Call) -> Any:
    """`torch.lstm_cell`, `gru_cell`, `rnn_tanh_cell`, `rnn_relu_cell`: a layer of one step."""
    given = parse_cell(call.name, call.args, call.kwargs)
    _check_weights(run, call, given.flat)
    direction = Direction(given.kind, given.weights(run.raw), given.steps(), False)
    _, *last = _recur(run, direction, given.data, given.states)
    return last[0] if len(last) == 1 else tuple(last)


def _check_weights(run: PairedRun, call: Call, weights: Iterable[Tensor | None]) -> None:
    if any(run.known(weight) is not None for weight in weights):
        run.refuse(call.function, "weights that depend on the words")


def _recur(
    run: PairedRun, direction: Direction, x: Tensor, states: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Run one direction over rows `[N, D]`; return outputs `[N, P]` and final states `[B, ·]`."""
    if run.rule == "reveal_cancel":
        kind, weights, steps, reverse = direction
        return run_direction(Cell(run, kind, weights), x, states, steps, reverse)
    operands = [x, *states]
    partners = [run.partner(t) for t in operands]
    results = _Recurrence.apply(  # type: ignore[no-untyped-call]
        direction, partners, *(run.raw(t) for t in operands)
    )
    values, references = results[: len(results) // 2], results[len(results) // 2 :]
    return tuple(run.pair(v, r) for v, r in zip(values, references, strict=True))


class _Recurrence(torch.autograd.Function):
    """One direction of a layer, forward for text and reference, backward for multipliers.

    In time order, forward runs one step of the layer, and backward one product and a few
    multiplications; the multipliers within all steps are computed at once in between.
    """

    @staticmethod
    def forward(
        ctx: Any, direction: Direction, partners: list[Tensor], x: Tensor, *states: Tensor
    ) -> tuple[Tensor, ...]:
        kind, weights, steps, reverse = direction
        step, multipliers, _ = _LAYERS[kind]
        both = torch.stack([x, partners[0]])  # [2, N, D]: text and reference
        now = tuple(torch.stack(pair) for pair in zip(states, partners[1:], strict=True))
        of_x = both @ weights.ih.T  # for all rows at once
        if weights.bias_ih is not None:
            of_x = of_x + weights.bias_ih
        kept: list[tuple[int, States, Tensor]] = []
        for rows in steps.rows(reverse):
            n = rows.stop - rows.start
            new, inner = step(of_x[:, rows], tuple(s[:, :n] for s in now), weights)
            kept.append((rows.start, inner, new[0]))
            now = tuple(torch.cat([a, s[:, n:]], 1) for a, s in zip(new, now, strict=True))
        kept.sort(key=lambda entry: entry[0])  # in the order of rows, for either reading direction
        inner = tuple(torch.cat(parts, 1) for parts in zip(*(k[1] for k in kept), strict=True))
        out = torch.cat([k[2] for k in kept], 1)
        ctx.direction, ctx.local = direction, multipliers(*inner)
        references = tuple(t[1].clone() for t in (out, *now))
        ctx.mark_non_differentiable(*references)
        return (*(t[0].clone() for t in (out, *now)), *references)

    @staticmethod
    def backward(ctx: Any, *multipliers: Tensor) -> Any:
        kind, weights, steps, reverse = ctx.direction
        back = _LAYERS[kind][2]
        of_out, *of_last = multipliers[: len(multipliers) // 2]
        m = tuple(of_last)
        gates = of_out.new_empty(len(of_out), len(weights.ih))
        for rows in reversed(list(steps.rows(reverse))):
            n = rows.stop - rows.start
            arriving = (m[0][:n] + of_out[rows], *(s[:n] for s in m[1:]))
            local = tuple(t[rows] for t in ctx.local)
            gates[rows], earlier = back(arriving, local, weights)
            m = tuple(torch.cat([a, s[n:]]) for a, s in zip(earlier, m, strict=True))
        return None, None, gates @ weights.ih, *m


# For each kind of layer three functions. With text and reference along dimension 0:
#   step:        of_x [2, n, G], states [2, n, ·] -> new states, and values to be saved
#   multipliers: the saved values of all rows [2, N, ·] -> multipliers within a step [N, ·]
#   back:        multipliers of the new states, and within the step -> multipliers of the
#                pre-activations' terms in x [n, G], and of the previous states

States = tuple[Tensor, ...]


def _map_state(h: Tensor, weights: Weights) -> Tensor:
    y = h @ weights.hh.T
    return y if weights.bias_hh is None else y + weights.bias_hh


def _mean_and_multiplier(f: Callable[[Tensor], Tensor], p: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of f(p) over text and reference, and its Rescale multiplier."""
    y = f(p)
    return y.mean(0), rules.rescale(f, p[0], p[1], y[0], y[1])


def _lstm(of_x: Tensor, states: States, weights: Weights) -> tuple[States, States]:
    h, c = states
    p = of_x + _map_state(h, weights)
    i, f, g, o = p.chunk(4, -1)
    new = f.sigmoid() * c + i.sigmoid() * g.tanh()
    out = o.sigmoid() * new.tanh()
    return (out if weights.hr is None else out @ weights.hr.T, new), (p, c, new)


def _lstm_multipliers(p: Tensor, c: Tensor, new: Tensor) -> States:
    i, f, g, o = p.chunk(4, -1)
    mean_i, m_i = _mean_and_multiplier(torch.sigmoid, i)
    mean_f, m_f = _mean_and_multiplier(torch.sigmoid, f)
    mean_g, m_g = _mean_and_multiplier(torch.tanh, g)
    mean_o, m_o = _mean_and_multiplier(torch.sigmoid, o)
    mean_squashed, m_squashed = _mean_and_multiplier(torch.tanh, new)
    return (
        mean_o * m_squashed,  # h to c
        mean_f,  # c to the c before
        torch.cat([mean_g * m_i, c.mean(0) * m_f, mean_i * m_g], -1),  # c to i, f, g
        mean_squashed * m_o,  # h to o
    )


def _lstm_back(m: States, local: States, weights: Weights) -> tuple[Tensor, States]:
    m_h, m_c = m
    to_c, to_earlier, to_ifg, to_o = local
    if weights.hr is not None:
        m_h = m_h @ weights.hr
    m_c = m_c + m_h * to_c
    gates = torch.cat([m_c.repeat(1, 3) * to_ifg, m_h * to_o], -1)
    return gates, (gates @ weights.hh, m_c * to_earlier)


def _gru(of_x: Tensor, states: States, weights: Weights) -> tuple[States, States]:
    (h,) = states
    of_h = _map_state(h, weights)
    xr, xz, xn = of_x.chunk(3, -1)
    hr, hz, q = of_h.chunk(3, -1)
    z = (xz + hz).sigmoid()
    n = ((xr + hr).sigmoid() * q + xn).tanh()
    return ((1 - z) * n + z * h,), (of_x, of_h, h)


def _gru_multipliers(of_x: Tensor, of_h: Tensor, h: Tensor) -> States:
    xr, xz, xn = of_x.chunk(3, -1)
    hr, hz, q = of_h.chunk(3, -1)
    mean_r, m_r = _mean_and_multiplier(torch.sigmoid, xr + hr)
    mean_z, m_z = _mean_and_multiplier(torch.sigmoid, xz + hz)
    mean_n, m_n = _mean_and_multiplier(torch.tanh, (xr + hr).sigmoid() * q + xn)
    to_n = (1 - mean_z) * m_n
    return (
        mean_z,  # h to the h before
        torch.cat([to_n * q.mean(0) * m_r, (h.mean(0) - mean_n) * m_z, to_n], -1),  # h to r, z, n
        mean_r,  # n's argument to q
    )


def _gru_back(m: States, local: States, weights: Weights) -> tuple[Tensor, States]:
    (m_h,) = m
    to_earlier, to_rzn, to_q = local
    gates = m_h.repeat(1, 3) * to_rzn
    r, z, n = gates.chunk(3, -1)
    return gates, (m_h * to_earlier + torch.cat([r, z, n * to_q], -1) @ weights.hh,)


def _rnn(f: Callable[[Tensor], Tensor]) -> tuple[Callable[..., Any], ...]:
    def step(of_x: Tensor, states: States, weights: Weights) -> tuple[States, States]:
        p = of_x + _map_state(states[0], weights)
        return (f(p),), (p,)

    def back(m: States, local: States, weights: Weights) -> tuple[Tensor, States]:
        gates = m[0] * local[0]
        return gates, (gates @ weights.hh,)

    return step, lambda p: (_mean_and_multiplier(f, p)[1],), back


_LAYERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "lstm": (_lstm, _lstm_multipliers, _lstm_back),
    "gru": (_gru, _gru_multipliers, _gru_back),
    "rnn_tanh": _rnn(torch.tanh),
    "rnn_relu": _rnn(torch.relu),
}
