"""The recurrences step by step and unit by unit, compiled by Numba: float32 on the CPU.

Each of the four functions at the end computes all steps of one direction for the sequences
`[begin, end)`, a block that one thread computes; another thread computes another block of the same
arrays. Steps come in the order of `starts` and `sizes`: the first row of each, and its number of
rows, those of the first sequences. What is written does not depend on the blocks. Weights are
panels of `product.py`. `floor` is 0, or for ε = 0 the smallest normal number, which gives every
quotient its limit at 0. Values for the ledger are computed only with `account`.
"""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,misc,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from seqlrp.lrp.recurrent.kernels import product
from seqlrp.lrp.recurrent.kernels.machine_code import call_first, exact, inlined, summing
from seqlrp.lrp.recurrent.kernels.product import Matrix, Panels

Row = NDArray[np.float32]
Index = NDArray[np.int64]

F = np.float32
# Smaller values do not change a float32 sum; denormal numbers would slow the loops tenfold.
NEGLIGIBLE = F(1e-30)
TINY = np.finfo(np.float32).tiny
TOGETHER = 48  # rows, of which a product outside of the recurrence computes as many at once


@intrinsic
def _bits_as_float(_: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def _add_product(_: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once. Of a sum of two products the compiler would fuse either one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_value_type(types.float32)
        name, kind = "llvm.fmuladd.f32", ir.FunctionType(number, [number] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@inlined
def _exp(x: np.float32) -> np.float32:
    """e^x to 1 ulp for |x| < 87, clamped beyond: 2^n · e^r by Cephes's polynomial."""
    x = F(87) if x > F(87) else x
    x = F(-87) if x < F(-87) else x
    n = np.int32(x * F(1.44269504) + (F(0.5) if x >= F(0) else F(-0.5)))
    r = x - F(n) * F(0.693359375) + F(n) * F(2.12194440e-4)
    y = F(1.9875691500e-4) * r + F(1.3981999507e-3)
    y = ((y * r + F(8.3334519073e-3)) * r + F(4.1665795894e-2)) * r + F(1.6666665459e-1)
    y = (y * r + F(5.0000001201e-1)) * r * r + r + F(1)
    return y * _bits_as_float((n + np.int32(127)) << np.int32(23))


@inlined
def _sigmoid(x: np.float32) -> np.float32:
    return F(1) / (F(1) + _exp(-x))


@inlined
def _tanh(x: np.float32) -> np.float32:
    """tanh to 4 ulp, near 0 too: the rational function of Eigen, odd over even."""
    x = F(7.9053111) if x > F(7.9053111) else x
    x = F(-7.9053111) if x < F(-7.9053111) else x
    s = x * x
    p = (F(-2.76076847742355e-16) * s + F(2.00018790482477e-13)) * s + F(-8.60467152213735e-11)
    p = ((p * s + F(5.12229709037114e-08)) * s + F(1.48572235717979e-05)) * s
    p = (p + F(6.37261928875436e-04)) * s + F(4.89352455891786e-03)
    q = (F(1.19825839466702e-06) * s + F(1.18534705686654e-04)) * s + F(2.26843463243900e-03)
    return x * p / (q * s + F(4.89352518554385e-03))


@summing
def _epsilon_at(p: Row, epsilon: np.float32, relative: np.float32) -> np.float32:
    """Return the ε of a map at its outputs `p` for one row: epsilon + relative · mean |p|."""
    if relative == F(0):
        return epsilon
    total = F(0)
    for j in range(len(p)):
        total += abs(p[j])
    return epsilon + relative * total / F(len(p))


@exact
def _steps_together(sizes: Index, first: int, begin: int, end: int) -> int:
    """Return up to where steps from `first` on are one product: they must be contiguous rows."""
    rows, last = sizes[first], first + 1
    if begin > 0 or end < max(sizes[0], sizes[-1]):
        return last
    while last < len(sizes) and rows + sizes[last] <= TOGETHER:
        rows += sizes[last]
        last += 1
    return last


@exact
def _rows_of_steps(
    starts: Index, sizes: Index, first: int, last: int, begin: int, end: int
) -> tuple[int, int]:
    """Return the rows `[low, high)` of a block in the steps `[first, last)`."""
    low, high = starts[first], starts[first]
    for t in (first, last - 1):
        low, high = min(low, starts[t]), max(high, starts[t] + min(end, sizes[t]))
    return low + begin, max(high, low + begin)


@exact
def _lstm_gates(q: Row, c: Row, g: Row) -> None:
    """Compute the gates of an LSTM where they stand in `q`, g, and the new c.

    In short loops more units are on their way at the same time than in a long one.
    """
    units = len(c)
    q_i, q_f, q_g, q_o = (
        q[:units], q[units : 2 * units], q[2 * units : 3 * units], q[3 * units :],
    )  # fmt: skip
    for j in range(2 * units):
        q[j] = _sigmoid(q[j])
    for j in range(units):
        q_o[j] = _sigmoid(q_o[j])
    for j in range(units):
        g[j] = _tanh(q_g[j])
        c[j] = _add_product(q_i[j], g[j], q_f[j] * c[j])


@inlined
def _gru_candidate(q_r: F, q_n: F, u_r: F, u_n: F) -> Any:
    """Return the reset gate of one unit, and n before tanh."""
    r = _sigmoid(q_r + u_r)
    return r, q_n + r * u_n


@inlined
def _gru_update(q_z: F, u_z: F, p: F, h: F) -> Any:
    """Return the update gate of one unit, n, and the new h."""
    z, n = _sigmoid(q_z + u_z), _tanh(p)
    return z, n, _add_product(z, h, (F(1) - z) * n)


@exact
def _lstm_row(
    q: Row,  # [4H]: i, f, g, o before their functions
    h: Row,
    c: Row,
    y: Row,
    factors: Row,
    epsilon: np.float32,
    relative: np.float32,
    floor: np.float32,
    account: bool,
) -> None:
    """Compute one step of one sequence: states, output and factors."""
    units = len(h)
    to_p, to_before = factors[:units], factors[units : 2 * units]
    to_c, withheld = factors[2 * units : 3 * units], factors[3 * units :]
    _lstm_gates(q, c, to_p)
    i_t, f_t, p_t, o_t = (
        q[:units], q[units : 2 * units], q[2 * units : 3 * units], q[3 * units :],
    )  # fmt: skip
    at_map = _epsilon_at(p_t, epsilon, relative)
    for j in range(units):
        i, f, p, o, g, c_t = i_t[j], f_t[j], p_t[j], o_t[j], to_p[j], c[j]
        tanh_c = _tanh(c_t)
        h[j] = y[j] = o * tanh_c
        size = abs(c_t)
        over_c, over_p = size + epsilon + floor, abs(p) + at_map + floor
        kept_c = (size + floor) / over_c
        to_g = i * kept_c
        to_p[j] = to_g * (abs(g) + floor) / over_p  # γ_c -> γ_pre
        to_before[j] = f * kept_c  # γ_c[t] -> γ_c[t-1]
        to_c[j] = o * (abs(tanh_c) + TINY) / (size + TINY)  # γ_h -> γ_c
        if account:  # for γ_c = 1
            withheld[j] = epsilon * c_t / over_c + at_map * to_g * g / over_p


@exact
def lstm_forward(
    x: Matrix,  # [N, D]
    w_ih: Panels,  # of [4H, D]
    w_hh: Panels,  # of [4H, H]
    bias: Matrix,  # [1, 4H], b_ih + b_hh
    h: Matrix,  # [B, H], the initial state; the final one is written
    c: Matrix,
    factors: Matrix,  # [N, 3H], written: to p, to c[t-1], to c; and for an account withheld
    out: Matrix,  # [N, ·], the outputs, written from `column` on
    column: int,
    epsilon: np.float32,  # its absolute part
    relative: np.float32,
    floor: np.float32,
    account: bool,
    starts: Index,
    sizes: Index,
    begin: int,
    end: int,
) -> None:
    """Compute the outputs, and the factors of the backward pass."""
    units = h.shape[1]
    gates = np.empty((max(end - begin, TOGETHER), 4 * units), np.float32)  # i, f, g, o
    first, last = 0, 0
    for t in range(len(sizes)):
        if t == last:
            first, last = t, _steps_together(sizes, t, begin, end)
            low, high = _rows_of_steps(starts, sizes, first, last, begin, end)
            product.multiply(bias, x[low:high], w_ih, gates[: high - low])
        start, rows = starts[t] + begin, min(end, sizes[t]) - begin
        if rows <= 0:
            continue
        step = gates[start - low : start - low + rows]
        product.multiply(step, h[begin : begin + rows], w_hh, step)
        for b in range(rows):
            row = start + b
            _lstm_row(
                step[b], h[begin + b], c[begin + b], out[row, column : column + units],
                factors[row], epsilon, relative, floor, account,
            )  # fmt: skip


@summing
def _lstm_row_back(
    factors: Row, gamma: Row, gh: Row, gc: Row, gamma_p: Row, b_ih: Row, b_hh: Row, shares: Matrix
) -> None:
    """Compute one step of one sequence: γ before tanh, of c, and unless empty the shares."""
    units = len(gh)
    to_p, to_before = factors[:units], factors[units : 2 * units]
    to_c, withheld = factors[2 * units : 3 * units], factors[3 * units :]
    to_ih, to_hh, kept, account = F(0), F(0), F(0), shares.shape[1] > 0
    for j in range(units):
        v = gc[j] + to_c[j] * (gh[j] + gamma[j])
        v = F(0) if abs(v) < NEGLIGIBLE else v
        gamma_p[j] = to_p[j] * v
        gc[j] = to_before[j] * v
        if account:
            to_ih += b_ih[j] * gamma_p[j]
            to_hh += b_hh[j] * gamma_p[j]
            kept += withheld[j] * v
    if account:
        shares[0, 0], shares[1, 0], shares[2, 0] = to_ih, to_hh, kept


@summing
def lstm_backward(
    factors: Matrix,  # [N / targets, ·] of `lstm_forward`
    w_ih: Panels,  # of the transpose of the rows of g, [D, H]
    w_hh: Panels,  # likewise, [H, H]
    b_ih: Row,  # [H], the part of g
    b_hh: Row,
    gamma: Matrix,  # [N, ·] of the outputs, read from `column` on
    column: int,
    gh: Matrix,  # [B, H], of the final state; of the initial one is written
    gc: Matrix,
    gamma_x: Matrix,  # [N, D], written
    shares: Matrix,  # [3, N], written: what both biases and the stabilisers absorb
    account: bool,
    starts: Index,
    sizes: Index,
    begin: int,
    end: int,
) -> None:
    """Compute γ of the inputs from γ of the outputs."""
    units, targets = gh.shape[1], len(gamma) // len(factors)
    zero = np.zeros((1, max(units, gamma_x.shape[1])), np.float32)
    gamma_p = np.empty((max(end - begin, TOGETHER), units), np.float32)  # of g before tanh
    first, last = 0, 0
    for t in range(len(sizes)):
        if t == last:
            first, last = t, _steps_together(sizes, t, begin, end)
            low, high = _rows_of_steps(starts, sizes, first, last, begin, end)
        start, rows = starts[t] + begin, min(end, sizes[t]) - begin
        for b in range(rows):
            row = start + b
            _lstm_row_back(
                factors[row // targets], gamma[row, column : column + units], gh[begin + b],
                gc[begin + b], gamma_p[row - low], b_ih, b_hh, shares[:, row : row + account],
            )  # fmt: skip
        if rows > 0:
            done = gamma_p[start - low : start - low + rows]
            product.multiply(zero, done, w_hh, gh[begin : begin + rows])
        if t + 1 == last and high > low:
            product.multiply(zero, gamma_p[: high - low], w_ih, gamma_x[low:high])


@exact
def _gru_row(
    q: Row,  # [3H], what x adds to r, z, n; the third part becomes n before tanh
    u: Row,  # [3H], what h adds
    h: Row,
    y: Row,
    factors: Row,
    epsilon: np.float32,
    relative: np.float32,
    floor: np.float32,
    account: bool,
) -> None:
    """Compute one step of one sequence: state, output and factors."""
    units = len(h)
    q_r, q_z, q_n = q[:units], q[units : 2 * units], q[2 * units :]
    u_r, u_z, u_n = u[:units], u[units : 2 * units], u[2 * units :]
    reset, to_before = factors[:units], factors[units : 2 * units]
    to_p, withheld = factors[2 * units : 3 * units], factors[3 * units :]
    for j in range(units):  # γ_pre -> γ of W_hn h + b_hn
        reset[j], q_n[j] = _gru_candidate(q_r[j], q_n[j], u_r[j], u_n[j])
    at_map = _epsilon_at(q_n, epsilon, relative)
    for j in range(units):
        p = q_n[j]
        z, n, h_t = _gru_update(q_z[j], u_z[j], p, h[j])
        h[j] = y[j] = h_t
        size = abs(h_t)
        over_h, over_p = size + epsilon + floor, abs(p) + at_map + floor
        kept_h = (size + floor) / over_h
        to_n = (F(1) - z) * kept_h
        to_before[j] = z * kept_h  # γ_h[t] -> γ_h[t-1], past the candidate
        to_p[j] = to_n * (abs(n) + floor) / over_p  # γ_h -> γ_pre
        if account:  # for γ_h = 1
            withheld[j] = epsilon * h_t / over_h + at_map * to_n * n / over_p


@exact
def gru_forward(
    x: Matrix,  # [N, D]
    w_ih: Panels,  # of [3H, D]
    w_hh: Panels,  # of [3H, H]
    bias_ih: Matrix,  # [1, 3H]
    bias_hh: Matrix,
    h: Matrix,  # [B, H], the initial state; the final one is written
    factors: Matrix,  # [N, 3H], written: r, to h[t-1], to p; and for an account withheld
    out: Matrix,  # [N, ·], the outputs, written from `column` on
    column: int,
    epsilon: np.float32,  # its absolute part
    relative: np.float32,
    floor: np.float32,
    account: bool,
    starts: Index,
    sizes: Index,
    begin: int,
    end: int,
) -> None:
    """Compute the outputs, and the factors of the backward pass."""
    units = h.shape[1]
    gates = np.empty((max(end - begin, TOGETHER), 3 * units), np.float32)  # r, z, n
    from_h = np.empty((end - begin, 3 * units), np.float32)
    first, last = 0, 0
    for t in range(len(sizes)):
        if t == last:
            first, last = t, _steps_together(sizes, t, begin, end)
            low, high = _rows_of_steps(starts, sizes, first, last, begin, end)
            product.multiply(bias_ih, x[low:high], w_ih, gates[: high - low])
        start, rows = starts[t] + begin, min(end, sizes[t]) - begin
        if rows <= 0:
            continue
        step = gates[start - low : start - low + rows]
        product.multiply(bias_hh, h[begin : begin + rows], w_hh, from_h[:rows])
        for b in range(rows):
            row = start + b
            _gru_row(
                step[b], from_h[b], h[begin + b], out[row, column : column + units],
                factors[row], epsilon, relative, floor, account,
            )  # fmt: skip


@summing
def _gru_row_back(
    factors: Row, gamma: Row, gh: Row, gamma_p: Row, gamma_u: Row, b_ih: Row, b_hh: Row,
    shares: Matrix,
) -> None:  # fmt: skip
    """Compute one step of one sequence: γ before tanh, of h, and unless empty the shares."""
    units = len(gh)
    reset, to_before = factors[:units], factors[units : 2 * units]
    to_p, withheld = factors[2 * units : 3 * units], factors[3 * units :]
    to_ih, to_hh, kept, account = F(0), F(0), F(0), shares.shape[1] > 0
    for j in range(units):
        v = gh[j] + gamma[j]
        v = F(0) if abs(v) < NEGLIGIBLE else v
        gamma_p[j] = to_p[j] * v
        gamma_u[j] = reset[j] * gamma_p[j]
        gh[j] = to_before[j] * v
        if account:
            to_ih += b_ih[j] * gamma_p[j]
            to_hh += b_hh[j] * gamma_u[j]
            kept += withheld[j] * v
    if account:
        shares[0, 0], shares[1, 0], shares[2, 0] = to_ih, to_hh, kept


@summing
def gru_backward(
    factors: Matrix,  # [N / targets, ·] of `gru_forward`
    w_ih: Panels,  # of the transpose of the rows of n, [D, H]
    w_hh: Panels,  # likewise, [H, H]
    b_ih: Row,  # [H], the part of n
    b_hh: Row,
    gamma: Matrix,  # [N, ·] of the outputs, read from `column` on
    column: int,
    gh: Matrix,  # [B, H], of the final state; of the initial one is written
    gamma_x: Matrix,  # [N, D], written
    shares: Matrix,  # [3, N], written: what both biases and the stabilisers absorb
    account: bool,
    starts: Index,
    sizes: Index,
    begin: int,
    end: int,
) -> None:
    """Compute γ of the inputs from γ of the outputs."""
    units, targets = gh.shape[1], len(gamma) // len(factors)
    zero = np.zeros((1, gamma_x.shape[1]), np.float32)
    gamma_p = np.empty((max(end - begin, TOGETHER), units), np.float32)  # of n before tanh
    gamma_u = np.empty((end - begin, units), np.float32)  # of W_hn h + b_hn
    first, last = 0, 0
    for t in range(len(sizes)):
        if t == last:
            first, last = t, _steps_together(sizes, t, begin, end)
            low, high = _rows_of_steps(starts, sizes, first, last, begin, end)
        start, rows = starts[t] + begin, min(end, sizes[t]) - begin
        for b in range(rows):
            row = start + b
            _gru_row_back(
                factors[row // targets], gamma[row, column : column + units], gh[begin + b],
                gamma_p[row - low], gamma_u[b], b_ih, b_hh, shares[:, row : row + account],
            )  # fmt: skip
        if rows > 0:
            state = gh[begin : begin + rows]
            product.multiply(state, gamma_u[:rows], w_hh, state)
        if t + 1 == last and high > low:
            product.multiply(zero, gamma_p[: high - low], w_ih, gamma_x[low:high])


@exact
def lstm_state(q: Row, h: Row, c: Row) -> None:
    """Compute one step of one sequence without factors; `q` is that of `_lstm_row`."""
    _lstm_gates(q, c, h)
    for j in range(len(h)):
        h[j] = q[3 * len(h) + j] * _tanh(c[j])


@exact
def gru_state(q: Row, u: Row, h: Row) -> None:
    """Compute one step of one sequence without factors; the arguments are those of `_gru_row`."""
    units = len(h)
    q_r, q_z, q_n = q[:units], q[units : 2 * units], q[2 * units :]
    u_r, u_z, u_n = u[:units], u[units : 2 * units], u[2 * units :]
    for j in range(units):
        _, p = _gru_candidate(q_r[j], q_n[j], u_r[j], u_n[j])
        h[j] = _gru_update(q_z[j], u_z[j], p, h[j])[2]


call_first(product.pack, np.zeros((1, 1), F))
