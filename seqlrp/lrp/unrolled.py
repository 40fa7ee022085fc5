"""Recurrent layers as steps of torch functions, for every rule that the fused kernels do not know.

Each function goes through the same laws as one that a user wrote, so that a layer and its
hand-written twin agree under any rule. Rows are laid out as in `recurrent.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp.recurrent import Steps, Weights

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


class Cell:
    """One step of a recurrent layer; torch functions go through the laws of a run."""

    def __init__(self, run: Propagation, kind: str, weights: Weights) -> None:
        self.run, self.kind, self.weights = run, kind, weights
        self.gates = {"lstm": 4, "gru": 3}.get(kind, 1)

    def _do(self, function: Any, *args: Any) -> Tensor:
        return self.run.call(function, args, {})  # type: ignore[no-any-return]

    def _map(self, value: Tensor, weight: Tensor, bias: Tensor | None, gate: int) -> Tensor:
        part = weight.chunk(self.gates)[gate]
        return self._do(
            F.linear, value, part, None if bias is None else bias.chunk(self.gates)[gate]
        )

    def _argument(self, gate: int, x: Tensor, h: Tensor) -> Tensor:
        """W x + b + U h + b', of one gate."""
        w = self.weights
        of_x = self._map(x, w.ih, w.bias_ih, gate)
        return self._do(torch.add, of_x, self._map(h, w.hh, w.bias_hh, gate))

    def __call__(self, x: Tensor, h: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """h and c `[n, ·]` after the step."""
        if c is not None:
            return self._lstm(x, h, c)
        if self.kind == "gru":
            return self._gru(x, h), None
        activation = torch.tanh if self.kind == "rnn_tanh" else torch.relu
        return self._do(activation, self._argument(0, x, h)), None

    def _lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o = (self._do(torch.sigmoid, self._argument(k, x, h)) for k in (0, 1, 3))
        g = self._do(torch.tanh, self._argument(2, x, h))
        c = self._do(torch.add, self._do(torch.mul, f, c), self._do(torch.mul, i, g))
        h = self._do(torch.mul, o, self._do(torch.tanh, c))
        if self.weights.hr is not None:
            h = self._do(F.linear, h, self.weights.hr)
        return h, c

    def _gru(self, x: Tensor, h: Tensor) -> Tensor:
        w = self.weights
        r, z = (self._do(torch.sigmoid, self._argument(k, x, h)) for k in (0, 1))
        of_h = self._do(torch.mul, r, self._map(h, w.hh, w.bias_hh, 2))
        n = self._do(torch.tanh, self._do(torch.add, self._map(x, w.ih, w.bias_ih, 2), of_h))
        fresh = self._do(torch.mul, self._do(torch.sub, 1, z), n)
        return self._do(torch.add, fresh, self._do(torch.mul, z, h))


def direction(
    cell: Cell, x: Tensor, h: Tensor, c: Tensor | None, steps: Steps, reverse: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Outputs `[N, P]` and final states `[B, ·]` of one direction of a layer over rows `[N, D]`."""
    run = cell.run

    def part(state: Tensor, rows: slice) -> Tensor:
        return run.call(torch.Tensor.__getitem__, (state, rows), {})  # type: ignore[no-any-return]

    def replaced(state: Tensor, new: Tensor) -> Tensor:
        if len(new) == len(state):
            return new
        kept = part(state, slice(len(new), None))
        return run.call(torch.cat, ([new, kept],), {})  # type: ignore[no-any-return]

    outputs: list[Tensor] = []
    for rows in steps.rows(reverse):
        now = slice(0, rows.stop - rows.start)
        new_h, new_c = cell(part(x, rows), part(h, now), None if c is None else part(c, now))
        outputs.append(new_h)
        h = replaced(h, new_h)
        if c is not None and new_c is not None:
            c = replaced(c, new_c)
    out = run.call(torch.cat, (outputs[::-1] if reverse else outputs,), {})
    return out, h, c


def initial(run: Propagation, state: Tensor, owner: Tensor | None, operation: str) -> Tensor:
    """An initial state `[B, ·]`; what reaches one that is no signal is booked."""
    if run.known(state) is not None:
        return state
    documents = None if owner is None else owner.reshape(-1, 1)
    start = run.end(state)
    start = run.absorb(start, start, "initial state", operation, documents)
    return run.mark(start, documents=documents)
