"""Recurrent layers that a model calls as one function: `torch.lstm`, `torch.gru` and kin.

One direction of one layer is one step of the graph: text and reference run forward side by side,
gates are kept, and multipliers go back through time. Gates are signals here as any other:

    LSTM   Δc = f̄ Δc' + c̄' Δf + ī Δg + ḡ Δi,   Δh = ō Δtanh(c) + mean(tanh c) Δo
    GRU    Δh = (1 − z̄) Δn + z̄ Δh' + (h̄' − n̄) Δz,   with r · q, q = W_hn h' + b, in n's argument

with means x̄ = (x + x0)/2 over text and reference, and Rescale at each tanh and σ. Rows lie as in
`seqlrp.lrp.recurrent`. Under RevealCancel the same step is made of torch functions, each under
its own law (`seqlrp.lrp.unrolled`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import unrolled
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.recurrent import Steps, Weights
from seqlrp.methods.deeplift import rules

if TYPE_CHECKING:
    from seqlrp.methods.deeplift.run import Lockstep


class Direction(NamedTuple):
    """One direction of one layer."""

    kind: str  # lstm, gru, rnn_tanh, rnn_relu
    weights: Weights
    steps: Steps
    reverse: bool


def sequence(run: Lockstep, function: Any, args: Any, kwargs: Any) -> tuple[Tensor, ...]:
    """`torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`: padded or packed, of any depth."""
    kind = spelled(function) or ""
    packed = isinstance(args[3], (list, tuple))
    if packed:
        data, batch_sizes, state, flat, biased, layers, dropout, training, both = args
        steps = Steps(tuple(batch_sizes.tolist()))
        batch_first, shape = False, None
    else:
        data, state, flat, biased, layers, dropout, training, both, batch_first = args
        data = _call(run, torch.transpose, data, 0, 1) if batch_first else data
        shape = data.shape[:2]
        steps = Steps((shape[1],) * shape[0])
        data = _call(run, torch.flatten, data, 0, 1)
    if training and dropout > 0 and layers > 1:
        raise TrainingModeError(
            f"Dropout between layers is on in {run.place_in_words()}, so the answer changes from "
            f"call to call; call model.eval() first."
        )
    states = list(state) if isinstance(state, (tuple, list)) else [state]
    directions = 2 if both else 1
    each = len(flat) // (layers * directions)
    finals: list[list[Tensor]] = [[] for _ in states]
    x = data
    for layer in range(layers):
        outputs = []
        for way in range(directions):
            place = layer * directions + way
            weights = _weights(run, function, flat[place * each : (place + 1) * each], biased)
            held = [_call(run, torch.select, s, 0, place) for s in states]
            out, *last = _recur(run, Direction(kind, weights, steps, way == 1), x, held)
            outputs.append(out)
            for final, new in zip(finals, last, strict=True):
                final.append(new)
        x = outputs[0] if directions == 1 else _call(run, torch.cat, outputs, -1)
    if shape is not None:
        x = _call(run, torch.Tensor.unflatten, x, 0, tuple(shape))
        x = _call(run, torch.transpose, x, 0, 1) if batch_first else x
    return (x, *(_call(run, torch.stack, final) for final in finals))


def cell(run: Lockstep, function: Any, args: Any, kwargs: Any) -> Any:
    """`torch.lstm_cell`, `gru_cell`, `rnn_tanh_cell`, `rnn_relu_cell`: a layer of one step."""
    names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
    given = dict(zip(names, args, strict=False)) | kwargs
    state = given["hx"]
    states = list(state) if isinstance(state, (tuple, list)) else [state]
    flat = [given["w_ih"], given["w_hh"], given.get("b_ih"), given.get("b_hh")]
    weights = _weights(run, function, flat, biased=True)
    kind = (spelled(function) or "").removesuffix("_cell")
    direction = Direction(kind, weights, Steps((len(given["input"]),)), False)
    _, *last = _recur(run, direction, given["input"], states)
    return last[0] if len(states) == 1 else tuple(last)


def _call(run: Lockstep, function: Callable[..., Any], *args: Any) -> Tensor:
    return run.call(function, args, {})  # type: ignore[no-any-return]


def _weights(run: Lockstep, function: Any, flat: Any, biased: bool) -> Weights:
    for weight in flat:
        if run.known(weight) is not None:
            run.refuse(function, "weights that depend on the words")
    given: list[Any] = [None if w is None else run.raw(w) for w in flat]
    biases = given[2:4] if biased else [None, None]
    return Weights(given[0], given[1], *biases, *given[4 if biased else 2 :])


def _recur(
    run: Lockstep, direction: Direction, x: Tensor, states: list[Tensor]
) -> tuple[Tensor, ...]:
    """Outputs `[N, P]` and final states `[B, ·]` of one direction over rows `[N, D]`."""
    if run.rule == "reveal_cancel":
        kind, weights, steps, reverse = direction
        step = unrolled.Cell(run, kind, weights)  # type: ignore[arg-type]
        h, c = states[0], states[1] if len(states) > 1 else None
        out, h, c = unrolled.direction(step, x, h, c, steps, reverse)
        return (out, h) if c is None else (out, h, c)
    operands = [x, *states]
    partners = [run.partner(t) for t in operands]
    tape: list[_Step] = []
    results = _Recurrence.apply(  # type: ignore[no-untyped-call]
        direction, partners, tape, *(run.raw(t) for t in operands)
    )
    values, references = results[: len(results) // 2], results[len(results) // 2 :]
    return tuple(run.pair(v, r) for v, r in zip(values, references, strict=True))


class _Step(NamedTuple):
    """Multipliers of one step: what its outputs pass to each of its arguments."""

    rows: slice
    local: tuple[Tensor, ...]


class _Recurrence(torch.autograd.Function):
    """One direction of a layer, forward for text and reference, backward for multipliers."""

    @staticmethod
    def forward(
        ctx: Any,
        direction: Direction,
        partners: list[Tensor],
        tape: list[_Step],
        x: Tensor,
        *states: Tensor,
    ) -> tuple[Tensor, ...]:
        kind, weights, steps, reverse = direction
        step = _STEPS[kind]
        both = torch.stack([x, partners[0]])  # [2, N, D]
        now = tuple(torch.stack(pair) for pair in zip(states, partners[1:], strict=True))
        # What x contributes to all pre-activations, for all rows at once.
        of_x = both @ weights.ih.T
        if weights.bias_ih is not None:
            of_x = of_x + weights.bias_ih
        outputs = []
        for rows in steps.rows(reverse):
            n = rows.stop - rows.start
            held = tuple(s[:, :n] for s in now)
            new, local = step(of_x[:, rows], held, weights)
            tape.append(_Step(rows, local))
            outputs.append(new[0])
            now = tuple(torch.cat([a, s[:, n:]], 1) for a, s in zip(new, now, strict=True))
        out = torch.cat(outputs[::-1] if reverse else outputs, 1)
        ctx.direction, ctx.tape = direction, tape
        references = tuple(t[1].clone() for t in (out, *now))
        ctx.mark_non_differentiable(*references)
        return (*(t[0].clone() for t in (out, *now)), *references)

    @staticmethod
    def backward(ctx: Any, *multipliers: Tensor) -> Any:
        kind, weights, _, _ = ctx.direction
        back = _BACK[kind]
        of_out, *of_last = multipliers[: len(multipliers) // 2]
        m = tuple(of_last)
        gates: list[tuple[slice, Tensor]] = []
        for rows, local in reversed(ctx.tape):
            n = rows.stop - rows.start
            arriving = (m[0][:n] + of_out[rows], *(s[:n] for s in m[1:]))
            of_x, earlier = back(arriving, local, weights)
            gates.append((rows, of_x))
            m = tuple(torch.cat([a, s[n:]]) for a, s in zip(earlier, m, strict=True))
        gates.sort(key=lambda pair: pair[0].start)
        of_rows = torch.cat([g for _, g in gates]) @ weights.ih
        return None, None, None, of_rows, *m


# Each step gets, with text and reference along dimension 0: what x contributes to the
# pre-activations [2, n, G], the states [2, n, ·]; it returns new states and local multipliers.

States = tuple[Tensor, ...]


def _of_states(h: Tensor, weights: Weights) -> Tensor:
    y = h @ weights.hh.T
    return y if weights.bias_hh is None else y + weights.bias_hh


def _squashed(f: Callable[[Tensor], Tensor], p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """f(p) for both, its mean, and the Rescale multiplier."""
    y = f(p)
    return y, y.mean(0), rules.rescale(f, p[0], p[1], y[0], y[1])


def _lstm(of_x: Tensor, states: States, weights: Weights) -> tuple[States, States]:
    h, c = states
    pi, pf, pg, po = (of_x + _of_states(h, weights)).chunk(4, -1)
    i, mean_i, m_i = _squashed(torch.sigmoid, pi)
    f, mean_f, m_f = _squashed(torch.sigmoid, pf)
    g, mean_g, m_g = _squashed(torch.tanh, pg)
    o, mean_o, m_o = _squashed(torch.sigmoid, po)
    new = f * c + i * g
    squashed, mean_squashed, m_squashed = _squashed(torch.tanh, new)
    out = o * squashed
    if weights.hr is not None:
        out = out @ weights.hr.T
    local = (
        mean_o * m_squashed,  # h to c
        mean_f,  # c to the c before
        torch.cat([mean_g * m_i, c.mean(0) * m_f, mean_i * m_g], -1),  # c to i, f, g
        mean_squashed * m_o,  # h to o
    )
    return (out, new), local


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
    xr, xz, xn = of_x.chunk(3, -1)
    hr, hz, q = _of_states(h, weights).chunk(3, -1)
    r, mean_r, m_r = _squashed(torch.sigmoid, xr + hr)
    z, mean_z, m_z = _squashed(torch.sigmoid, xz + hz)
    n, mean_n, m_n = _squashed(torch.tanh, xn + r * q)
    to_n = (1 - mean_z) * m_n
    local = (
        mean_z,  # h to the h before
        torch.cat([to_n * q.mean(0) * m_r, (h.mean(0) - mean_n) * m_z, to_n], -1),  # h to r, z, n
        mean_r,  # n's argument to q
    )
    return ((1 - z) * n + z * h,), local


def _gru_back(m: States, local: States, weights: Weights) -> tuple[Tensor, States]:
    (m_h,) = m
    to_earlier, to_rzn, to_q = local
    gates = m_h.repeat(1, 3) * to_rzn
    r, z, n = gates.chunk(3, -1)
    return gates, (m_h * to_earlier + torch.cat([r, z, n * to_q], -1) @ weights.hh,)


def _rnn(f: Callable[[Tensor], Tensor]) -> Callable[..., tuple[States, States]]:
    def step(of_x: Tensor, states: States, weights: Weights) -> tuple[States, States]:
        new, _, m = _squashed(f, of_x + _of_states(states[0], weights))
        return (new,), (m,)

    return step


def _rnn_back(m: States, local: States, weights: Weights) -> tuple[Tensor, States]:
    gates = m[0] * local[0]
    return gates, (gates @ weights.hh,)


_STEPS: dict[str, Callable[..., tuple[States, States]]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _rnn(torch.tanh),
    "rnn_relu": _rnn(torch.relu),
}
_BACK: dict[str, Callable[..., tuple[Tensor, States]]] = {
    "lstm": _lstm_back,
    "gru": _gru_back,
    "rnn_tanh": _rnn_back,
    "rnn_relu": _rnn_back,
}
