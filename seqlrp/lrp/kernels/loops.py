"""The recurrences step by step and unit by unit, in machine code: float32 on the CPU, by Numba.

Each of the four functions at the end runs the steps `[first, last)` of one direction, in the order
of `starts` and `sizes` (the first row of each step, and how many), over states `[B, H]` that it
updates; what is needed for a block of steps has the rows from `low` on alone. The product with the
recurrent weights is done here where they are given, for more than `FEW` rows by the library
(`blas.py`), and is the caller's where the matrix is empty. `floor` is 0, or for ε = 0 the smallest
normal number, which gives every quotient its limit at 0. What is only for the ledger is left out
where no `account` is kept.
"""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,misc,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from seqlrp.lrp.kernels import blas

Matrix = NDArray[np.float32]
Row = NDArray[np.float32]
Index = NDArray[np.int64]

F = np.float32
FEW = 4  # rows: for more of them the library's product is the faster one
# What is smaller has no part in a float32 sum; denormal numbers would slow the loops tenfold.
NEGLIGIBLE = F(1e-30)
TINY = np.finfo(np.float32).tiny


def _compiled(function: Any, *liberties: str) -> Any:
    """Compiled at the first call; kept on disk where there is a place for it."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", *liberties}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to write to
        return njit(**options)(function)


def exact(function: Any) -> Any:
    """Compiled with sums in the order in which they are written."""
    return _compiled(function)


def summing(function: Any) -> Any:
    """Compiled with long sums in parallel lanes."""
    return _compiled(function, "reassoc")


@intrinsic
def _bits_as_float(_: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@exact
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


@exact
def _sigmoid(x: np.float32) -> np.float32:
    return F(1) / (F(1) + _exp(-x))


@exact
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
def _add_map(z: Matrix, a: Matrix, weight: Matrix) -> None:
    """z[b] += weight · a[b] for each row b of `z`, four outputs at a time."""
    rows = len(z)
    outputs, inputs = weight.shape
    if outputs > 0 and rows > FEW:
        blas.call(True, outputs, rows, inputs, weight, inputs, a, inputs, z, outputs)
        return
    in_fours = outputs - outputs % 4
    for k in range(0, in_fours, 4):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for b in range(rows):
            v = a[b]
            s0, s1, s2, s3 = F(0), F(0), F(0), F(0)
            for j in range(inputs):
                s0 += w0[j] * v[j]
                s1 += w1[j] * v[j]
                s2 += w2[j] * v[j]
                s3 += w3[j] * v[j]
            z[b, k] += s0
            z[b, k + 1] += s1
            z[b, k + 2] += s2
            z[b, k + 3] += s3
    for k in range(in_fours, outputs):
        for b in range(rows):
            s0 = F(0)
            for j in range(inputs):
                s0 += weight[k, j] * a[b, j]
            z[b, k] += s0


@exact
def _add_map_back(z: Matrix, a: Matrix, weight: Matrix) -> None:
    """z[b] += weightᵀ · a[b] for each row b of `a`, four inputs at a time."""
    rows = len(a)
    inputs, outputs = weight.shape
    if inputs > 0 and rows > FEW:
        blas.call(False, outputs, rows, inputs, weight, outputs, a, inputs, z, outputs)
        return
    in_fours = inputs - inputs % 4
    for k in range(0, in_fours, 4):
        w0, w1, w2, w3 = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        for b in range(rows):
            y, v = z[b], a[b]
            a0, a1, a2, a3 = v[k], v[k + 1], v[k + 2], v[k + 3]
            for j in range(outputs):
                y[j] += a0 * w0[j] + a1 * w1[j] + a2 * w2[j] + a3 * w3[j]
    for k in range(in_fours, inputs):
        for b in range(rows):
            for j in range(outputs):
                z[b, j] += a[b, k] * weight[k, j]


@exact
def lstm_forward(
    gates: Matrix,  # [·, 4H]: i, f, g, o, what x adds to each, from row `low` on
    low: int,
    factors: Matrix,  # [N, 3H], written: to p, to c[t-1], to c; and for an account withheld
    weight: Matrix,  # [4H, H]
    bias: Row,  # [4H], b_ih + b_hh
    h: Matrix,
    c: Matrix,
    out: Matrix,  # [N, ·], the outputs, written from `column` on
    column: int,
    epsilon: np.float32,
    floor: np.float32,
    account: bool,
    starts: Index,
    sizes: Index,
    first: int,
    last: int,
) -> None:
    """From what x adds to the gates to the factors of the way back, in place."""
    units = h.shape[1]
    b_i, b_f, b_g, b_o = (
        bias[:units], bias[units : 2 * units], bias[2 * units : 3 * units], bias[3 * units :],
    )  # fmt: skip
    for t in range(first, last):
        start, rows = starts[t], sizes[t]
        step = gates[start - low : start - low + rows]
        _add_map(step, h, weight)
        for b in range(rows):
            q_i, q_f = step[b, :units], step[b, units : 2 * units]
            q_g, q_o = step[b, 2 * units : 3 * units], step[b, 3 * units :]
            to_p, to_before = factors[start + b, :units], factors[start + b, units : 2 * units]
            to_c, withheld = (
                factors[start + b, 2 * units : 3 * units],
                factors[start + b, 3 * units :],
            )
            y, h_b, c_b = out[start + b, column : column + units], h[b], c[b]
            for j in range(units):
                i, f = _sigmoid(q_i[j] + b_i[j]), _sigmoid(q_f[j] + b_f[j])
                p, o = q_g[j] + b_g[j], _sigmoid(q_o[j] + b_o[j])
                g = _tanh(p)
                c_t = f * c_b[j] + i * g
                tanh_c = _tanh(c_t)
                c_b[j] = c_t
                h_b[j] = y[j] = o * tanh_c
                size = abs(c_t)
                over_c, over_p = size + epsilon + floor, abs(p) + epsilon + floor
                kept_c = (size + floor) / over_c
                to_g = i * kept_c
                to_p[j] = to_g * (abs(g) + floor) / over_p  # γ_c -> γ_pre
                to_before[j] = f * kept_c  # γ_c[t] -> γ_c[t-1]
                to_c[j] = o * (abs(tanh_c) + TINY) / (size + TINY)  # γ_h -> γ_c
                if account:  # for γ_c = 1
                    withheld[j] = epsilon * (c_t / over_c + to_g * g / over_p)


@summing
def lstm_backward(
    factors: Matrix,  # [N / targets, ·] of `lstm_forward`
    weight: Matrix,  # [H, H], the rows of g
    gamma: Matrix,  # [N, H] of the outputs
    gh: Matrix,
    gc: Matrix,
    gamma_p: Matrix,  # [·, H], written: γ of the pre-activation of g, from row `low` on
    low: int,
    stabiliser: Row,  # [N], written
    account: bool,
    starts: Index,
    sizes: Index,
    first: int,
    last: int,
) -> None:
    """From γ of the outputs to γ of the pre-activation of g."""
    units = gh.shape[1]
    targets = len(gamma) // len(factors)
    for t in range(first, last):
        start, rows = starts[t], sizes[t]
        for b in range(rows):
            q = factors[(start + b) // targets]
            to_p, to_before = q[:units], q[units : 2 * units]
            to_c, withheld = q[2 * units : 3 * units], q[3 * units :]
            gamma_b, gh_b, gc_b, gp = gamma[start + b], gh[b], gc[b], gamma_p[start - low + b]
            total = F(0)
            for j in range(units):
                v = gc_b[j] + to_c[j] * (gh_b[j] + gamma_b[j])
                v = F(0) if abs(v) < NEGLIGIBLE else v
                gp[j] = to_p[j] * v
                gc_b[j] = to_before[j] * v
                gh_b[j] = F(0)
                if account:
                    total += withheld[j] * v
            if account:
                stabiliser[start + b] = total
        _add_map_back(gh, gamma_p[start - low : start - low + rows], weight)


@exact
def gru_forward(
    gates: Matrix,  # [·, 3H]: r, z, n, what x adds to each, from row `low` on
    low: int,
    factors: Matrix,  # [N, 3H], written: r, to h[t-1], to p; and for an account withheld
    weight: Matrix,  # [3H, H]
    bias_ih: Row,  # [3H]
    bias_hh: Row,  # [3H]
    h: Matrix,
    from_h: Matrix,  # [B, 3H], what h adds to r, z, n: in, or written where `weight` is given
    out: Matrix,
    column: int,
    epsilon: np.float32,
    floor: np.float32,
    account: bool,
    starts: Index,
    sizes: Index,
    first: int,
    last: int,
) -> None:
    """From what x adds to the gates to the factors of the way back, in place."""
    units = h.shape[1]
    b_r, b_z, b_n = bias_ih[:units], bias_ih[units : 2 * units], bias_ih[2 * units :]
    d_r, d_z, d_n = bias_hh[:units], bias_hh[units : 2 * units], bias_hh[2 * units :]
    for t in range(first, last):
        start, rows = starts[t], sizes[t]
        if len(weight) > 0:
            from_h[:rows] = 0
            _add_map(from_h[:rows], h, weight)
        step = gates[start - low : start - low + rows]
        for b in range(rows):
            q_r, q_z = step[b, :units], step[b, units : 2 * units]
            q_n = step[b, 2 * units :]
            reset, to_before = factors[start + b, :units], factors[start + b, units : 2 * units]
            to_p, withheld = (
                factors[start + b, 2 * units : 3 * units],
                factors[start + b, 3 * units :],
            )
            y, h_b = out[start + b, column : column + units], h[b]
            u_r, u_z, u_n = from_h[b, :units], from_h[b, units : 2 * units], from_h[b, 2 * units :]
            for j in range(units):
                r = _sigmoid(q_r[j] + b_r[j] + (u_r[j] + d_r[j]))
                z = _sigmoid(q_z[j] + b_z[j] + (u_z[j] + d_z[j]))
                p = q_n[j] + b_n[j] + r * (u_n[j] + d_n[j])
                n = _tanh(p)
                h_t = (F(1) - z) * n + z * h_b[j]
                h_b[j] = y[j] = h_t
                size = abs(h_t)
                over_h, over_p = size + epsilon + floor, abs(p) + epsilon + floor
                kept_h = (size + floor) / over_h
                to_n = (F(1) - z) * kept_h
                reset[j] = r  # γ_pre -> γ of W_hn h + b_hn
                to_before[j] = z * kept_h  # γ_h[t] -> γ_h[t-1], past the candidate
                to_p[j] = to_n * (abs(n) + floor) / over_p  # γ_h -> γ_pre
                if account:  # for γ_h = 1
                    withheld[j] = epsilon * (h_t / over_h + to_n * n / over_p)


@summing
def gru_backward(
    factors: Matrix,  # [N / targets, ·] of `gru_forward`
    weight: Matrix,  # [H, H], the rows of n
    bias: Row,  # [H], b_hn
    gamma: Matrix,  # [N, H] of the outputs
    gh: Matrix,
    gamma_p: Matrix,  # [·, H], written: γ of the pre-activation of n, from row `low` on
    low: int,
    gamma_u: Matrix,  # [B, H], written: γ of W_hn h + b_hn in the last step
    stabiliser: Row,  # [N], written
    bias_share: Row,  # [N], written: what `bias` absorbs
    account: bool,
    starts: Index,
    sizes: Index,
    first: int,
    last: int,
) -> None:
    """From γ of the outputs to γ of the pre-activation of n."""
    units = gh.shape[1]
    targets = len(gamma) // len(factors)
    for t in range(first, last):
        start, rows = starts[t], sizes[t]
        for b in range(rows):
            q = factors[(start + b) // targets]
            reset, to_before = q[:units], q[units : 2 * units]
            to_p, withheld = q[2 * units : 3 * units], q[3 * units :]
            gamma_b, gh_b, gu = gamma[start + b], gh[b], gamma_u[b]
            gp = gamma_p[start - low + b]
            total, share = F(0), F(0)
            for j in range(units):
                v = gh_b[j] + gamma_b[j]
                v = F(0) if abs(v) < NEGLIGIBLE else v
                gp[j] = to_p[j] * v
                gu[j] = reset[j] * gp[j]
                gh_b[j] = to_before[j] * v
                if account:
                    total += withheld[j] * v
                    share += bias[j] * gu[j]
            if account:
                stabiliser[start + b], bias_share[start + b] = total, share
        _add_map_back(gh, gamma_u[:rows], weight)
