"""The forward pass of many texts of which neighbours begin alike, compiled by Numba.

Variants of a text that lack different words agree up to the first of them. A sequence follows the
one before it for as long as both have read the same numbers from the same state, and has no state
of its own until they differ. A reverse direction shares what texts have in common at their ends in
the same way. What is written is the same as without sharing: a product of `product.py` does not
depend on the other rows.
"""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,misc,no-any-return"

from __future__ import annotations

import numpy as np

from seqlrp.lrp.recurrent.kernels import loops, product
from seqlrp.lrp.recurrent.kernels.loops import Index, Row
from seqlrp.lrp.recurrent.kernels.machine_code import exact
from seqlrp.lrp.recurrent.kernels.product import Matrix, Panels


@exact
def _equal(a: Matrix, first: int, second: int) -> bool:
    """Return whether two rows are equal."""
    differing = np.int32(0)
    for j in range(a.shape[1]):  # to the end: a loop that can stop is not vectorised
        differing += np.int32(a[first, j] != a[second, j])
    return differing == 0


@exact
def _copy(row: Row, to: Row) -> None:
    """Copy a row; an assignment of one slice to another is not vectorised."""
    for j in range(len(row)):
        to[j] = row[j]


@exact
def _find_leaders(
    x: Matrix, start: int, known: int, rows: int, begin_alike: Index, leader: Index, state: Matrix,
    leaders: Index,
) -> int:  # fmt: skip
    """Update the leader of each sequence, the one that has its state; return how many lead.

    A sequence leads itself, or is led by one before it.

    Args:
        x: the input, `[N, D]`.
        start: the row of the first sequence in this step.
        known: how many sequences had the step before.
        rows: how many have this step.
        begin_alike: whether a sequence begins in the state in which the one before it begins.
        leader: of each sequence before this step; written.
        state: of each leader; written for new leaders.
        leaders: those sequences that lead, in order; written.
    """
    for b in range(rows):
        if b < known and leader[b] == b:
            continue
        # One that begins in this step can only follow one that begins here, too.
        can_follow = b < known or (b > known and begin_alike[b] > 0)
        if can_follow and _equal(x, start + b, start + b - 1):
            leader[b] = leader[b - 1]
        elif leader[b] != b:
            _copy(state[leader[b]], state[b])
            leader[b] = b
    count = 0
    for b in range(rows):
        if leader[b] == b:
            leaders[count] = b
            count += 1
    return count


@exact
def read(
    is_lstm: bool,
    x: Matrix,  # [N, D]
    w_ih: Panels,
    w_hh: Panels,
    bias_ih: Matrix,  # [1, 4H] both biases of an LSTM, [1, 3H] of a GRU
    bias_hh: Matrix,  # of a GRU
    states: Matrix,  # [B, 2H] h and c, or [B, H]: initial, and written: final
    out: Matrix,  # [N, ·], the outputs, written from `column` on
    column: int,
    starts: Index,
    sizes: Index,
    begin: int,
    end: int,
) -> None:
    """Compute outputs and final states of the sequences `[begin, end)` of one direction."""
    count, width, units = end - begin, bias_ih.shape[1], w_hh.shape[1]
    state, leader = states[begin:end].copy(), np.arange(count)
    begin_alike = np.zeros(count, np.int64)
    for b in range(1, count):
        begin_alike[b] = _equal(state, b, b - 1)
    own = np.empty(count, np.int64)
    xs, hs = np.empty((count, x.shape[1]), np.float32), np.empty((count, units), np.float32)
    number = np.empty(count, np.int64)  # of the input of each leader among those that differ
    from_x, gates = np.empty((count, width), np.float32), np.empty((count, width), np.float32)
    from_h = np.empty((count, width), np.float32)
    known = 0
    for t in range(len(sizes)):
        start, rows = starts[t] + begin, min(end, sizes[t]) - begin
        if rows <= 0:
            continue
        leaders = _find_leaders(x, start, known, rows, begin_alike, leader, state, own)
        inputs = 0
        for k in range(leaders):
            _copy(state[own[k], :units], hs[k])
            if k == 0 or not _equal(x, start + own[k], start + own[k - 1]):
                _copy(x[start + own[k]], xs[inputs])
                inputs += 1
            number[k] = inputs - 1
        product.multiply(bias_ih, xs[:inputs], w_ih, from_x[:inputs])
        for k in range(leaders):
            _copy(from_x[number[k]], gates[k])
        if is_lstm:
            product.multiply(gates[:leaders], hs[:leaders], w_hh, gates[:leaders])
        else:
            product.multiply(bias_hh, hs[:leaders], w_hh, from_h[:leaders])
        for k in range(leaders):
            b = own[k]
            if is_lstm:
                loops.lstm_state(gates[k], state[b, :units], state[b, units:])
            else:
                loops.gru_state(gates[k], from_h[k], state[b, :units])
        left = min(end, sizes[t + 1]) - begin if t + 1 < len(sizes) else 0
        for b in range(rows):
            led_by = leader[b]
            _copy(state[led_by, :units], out[start + b, column : column + units])
            if b >= left:
                _copy(state[led_by], states[begin + b])
        known = rows
