"""Recurrent layers as steps of torch functions, each under the laws of the run.

So a layer and the same layer written by hand get the same relevance under every law. Rows
have the layout of `recurrent_calls`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine.dispatch import DispatchMode
from seqlrp.engine.recurrent_calls import GATES, LayerKind, RecurrentCall, Steps, Weights

States = tuple[Tensor, ...]  # h, or h and c
# (layer * directions + direction, reverse, rows [N, D], initial states [B, ·]) -> outputs [N, P]
# and final states
Direction = Callable[[int, bool, Tensor, States], tuple[Tensor, ...]]


class Cell:
    """One step of a recurrent layer, as torch functions under the laws of a run."""

    def __init__(self, run: DispatchMode[Any], kind: LayerKind, weights: Weights) -> None:
        self.run, self.kind, self.weights = run, kind, weights

    def _map(self, value: Tensor, weight: Tensor, bias: Tensor | None, gate: int) -> Tensor:
        part = weight.chunk(GATES[self.kind])[gate]
        own = None if bias is None else bias.chunk(GATES[self.kind])[gate]
        return self.run.do(F.linear, value, part, own)

    def _argument(self, gate: int, x: Tensor, h: Tensor) -> Tensor:
        """Return the pre-activation W x + b + U h + b' of one gate."""
        w = self.weights
        of_x = self._map(x, w.ih, w.bias_ih, gate)
        return self.run.do(torch.add, of_x, self._map(h, w.hh, w.bias_hh, gate))

    def __call__(self, x: Tensor, states: States) -> States:
        """Return the states `[n, ·]` after the step."""
        if self.kind == "lstm":
            return self._lstm(x, *states)
        if self.kind == "gru":
            return (self._gru(x, *states),)
        activation = torch.tanh if self.kind == "rnn_tanh" else torch.relu
        return (self.run.do(activation, self._argument(0, x, *states)),)

    def _lstm(self, x: Tensor, h: Tensor, c: Tensor) -> States:
        do = self.run.do
        i, f, o = (do(torch.sigmoid, self._argument(k, x, h)) for k in (0, 1, 3))
        g = do(torch.tanh, self._argument(2, x, h))
        c = do(torch.add, do(torch.mul, f, c), do(torch.mul, i, g))
        h = do(torch.mul, o, do(torch.tanh, c))
        if self.weights.hr is not None:
            h = do(F.linear, h, self.weights.hr)
        return h, c

    def _gru(self, x: Tensor, h: Tensor) -> Tensor:
        do, w = self.run.do, self.weights
        r, z = (do(torch.sigmoid, self._argument(k, x, h)) for k in (0, 1))
        of_h = do(torch.mul, r, self._map(h, w.hh, w.bias_hh, 2))
        n = do(torch.tanh, do(torch.add, self._map(x, w.ih, w.bias_ih, 2), of_h))
        fresh = do(torch.mul, do(torch.sub, 1, z), n)
        return do(torch.add, fresh, do(torch.mul, z, h))


def run_direction(
    cell: Cell, x: Tensor, states: States, steps: Steps, reverse: bool
) -> tuple[Tensor, ...]:
    """Run one direction over rows `[N, D]`; return outputs `[N, P]` and final states `[B, ·]`."""
    do = cell.run.do

    def part(value: Tensor, rows: slice) -> Tensor:
        return do(Tensor.__getitem__, value, rows)

    def replace_first(state: Tensor, new: Tensor) -> Tensor:
        if len(new) == len(state):
            return new
        return do(torch.cat, [new, part(state, slice(len(new), None))])

    outputs: list[Tensor] = []
    for rows in steps.rows(reverse):
        now = slice(0, rows.stop - rows.start)
        new = cell(part(x, rows), tuple(part(state, now) for state in states))
        outputs.append(new[0])
        states = tuple(replace_first(state, n) for state, n in zip(states, new, strict=True))
    return do(torch.cat, outputs[::-1] if reverse else outputs), *states


def run_layers(
    run: DispatchMode[Any], call: RecurrentCall, direction: Direction
) -> tuple[Tensor, ...]:
    """Compute the result of the call, with `direction` for each direction of each layer."""
    x, shape = call.data, None
    if not call.packed:
        x = run.do(torch.transpose, x, 0, 1) if call.batch_first else x
        shape = tuple(x.shape[:2])
        x = run.do(torch.flatten, x, 0, 1)
    finals: list[list[Tensor]] = [[] for _ in call.states]
    for layer in range(call.layers):
        outputs = []
        for way in range(call.directions):
            place = layer * call.directions + way
            states = tuple(run.do(torch.select, s, 0, place) for s in call.states)
            out, *last = direction(place, way == 1, x, states)
            outputs.append(out)
            for final, state in zip(finals, last, strict=True):
                final.append(state)
        x = outputs[0] if call.directions == 1 else run.do(torch.cat, outputs, -1)
    if shape is not None:
        x = run.do(Tensor.unflatten, x, 0, shape)
        x = run.do(torch.transpose, x, 0, 1) if call.batch_first else x
    return (x, *(run.do(torch.stack, final) for final in finals))
