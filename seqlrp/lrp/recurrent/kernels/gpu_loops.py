"""The recurrences as Triton kernels: float32 on a GPU, or slowly in Triton's interpreter.

`lstm_factors` and `gru_factors` turn pre-activations into the factors of the backward pass, in
place. `lstm_backward` and `gru_backward` run the whole backward pass in one launch: a program owns
a block of sequences, with states in arrays that it updates. Threads of a program read each other's
writes after the next barrier; no program reads the writes of another. Steps have the order of
`starts` and `sizes` (first row and number of rows of each step). `floor` is 0, or for ε = 0 the
smallest normal number, which gives every quotient its limit at 0. Products are in full float32
(`ieee`), not rounded to TF32.
"""

# mypy: disable-error-code="untyped-decorator,misc,no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import triton
import triton.language as tl

# Smaller values do not change a float32 sum: as on the CPU, they are set to zero.
NEGLIGIBLE = tl.constexpr(1e-30)
TINY = tl.constexpr(2.0**-126)
# The unit of a launch; other counts vary from batch to batch, and should compile nothing anew.
_VARYING = ["rows", "batch", "steps"]


@triton.jit
def _tanh(x):
    """tanh to 4 ulp, near 0 too: the rational function of Eigen, odd over even."""
    x = tl.where(x > 7.9053111, 7.9053111, x)  # comparisons keep NaN
    x = tl.where(x < -7.9053111, -7.9053111, x)
    s = x * x
    p = (-2.76076847742355e-16 * s + 2.00018790482477e-13) * s + -8.60467152213735e-11
    p = ((p * s + 5.12229709037114e-08) * s + 1.48572235717979e-05) * s
    p = (p + 6.37261928875436e-04) * s + 4.89352455891786e-03
    q = (1.19825839466702e-06 * s + 1.18534705686654e-04) * s + 2.26843463243900e-03
    return x * p / (q * s + 4.89352518554385e-03)


@triton.jit
def _sigmoid(x):
    x = tl.where(x < -87.0, -87.0, x)
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _not_negligible(x):
    return tl.where(tl.abs(x) < NEGLIGIBLE, 0.0, x)


@triton.jit(do_not_specialize=_VARYING)
def lstm_factors(
    gates,  # [N, 4H]: i, f, p, o in; to p, to c[t-1], withheld, to c out
    c0,  # [B, H]
    starts,
    sizes,
    batch,
    steps,
    hidden,
    epsilon,  # its absolute part
    floor,
    added,  # [N], the relative part, at p
    BLOCK_H: tl.constexpr,
):
    """A program follows c through all steps, for one sequence and a block of units."""
    b, j = tl.program_id(0), tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    units = j < hidden
    c = tl.load(c0 + b * hidden + j, mask=units, other=0.0)
    for t in range(steps):
        start, size = tl.load(starts + t), tl.load(sizes + t)
        if b < size:
            at = gates + (start + b) * (4 * hidden) + j
            i = _sigmoid(tl.load(at, mask=units, other=0.0))
            f = _sigmoid(tl.load(at + hidden, mask=units, other=0.0))
            p = tl.load(at + 2 * hidden, mask=units, other=0.0)
            o = _sigmoid(tl.load(at + 3 * hidden, mask=units, other=0.0))
            g = _tanh(p)
            c = f * c + i * g
            size_c = tl.abs(c)
            over_c, over_p = size_c + epsilon + floor, tl.abs(p) + epsilon + floor
            kept_c = (size_c + floor) / over_c
            to_g = i * kept_c
            to_p = to_g * (tl.abs(g) + floor) / over_p
            # |p| + ε without and with the relative part
            size_p, more = tl.abs(p) + epsilon + TINY, tl.load(added + start + b)
            # γ_c -> γ_pre; γ_c[t] -> γ_c[t-1]; withheld, for γ_c = 1; γ_h -> γ_c
            tl.store(at, to_p * size_p / (size_p + more), mask=units)
            tl.store(at + hidden, f * kept_c, mask=units)
            withheld = epsilon * (c / over_c + to_g * g / over_p)
            withheld += to_p * p * more / (size_p + more)
            tl.store(at + 2 * hidden, withheld, mask=units)
            to_c = o * (tl.abs(_tanh(c)) + TINY) / (size_c + TINY)
            tl.store(at + 3 * hidden, to_c, mask=units)


@triton.jit(do_not_specialize=_VARYING)
def gru_factors(
    gates,  # [N, 3H], what x adds to r, z, n in; to W_hn h + b_hn, to h[t-1], to p out
    from_h,  # [N, 3H], what h adds; withheld out, in the first H columns
    h,  # [N, H], the outputs
    rows,
    hidden,
    epsilon,  # its absolute part
    floor,
    added,  # [N], the relative part, at p
    BLOCK_R: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """A program computes a block of rows and a block of units; steps are independent here."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)[:, None]
    j = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)[None, :]
    here = (row < rows) & (j < hidden)
    at, at_h = gates + row * (3 * hidden) + j, from_h + row * (3 * hidden) + j
    r = _sigmoid(tl.load(at, mask=here, other=0.0) + tl.load(at_h, mask=here, other=0.0))
    z = tl.load(at + hidden, mask=here, other=0.0)
    z = _sigmoid(z + tl.load(at_h + hidden, mask=here, other=0.0))
    p = tl.load(at + 2 * hidden, mask=here, other=0.0)
    p += r * tl.load(at_h + 2 * hidden, mask=here, other=0.0)
    n = _tanh(p)
    h_t = tl.load(h + row * hidden + j, mask=here, other=0.0)
    size = tl.abs(h_t)
    over_h, over_p = size + epsilon + floor, tl.abs(p) + epsilon + floor
    kept_h = (size + floor) / over_h
    to_n = (1.0 - z) * kept_h
    to_p = to_n * (tl.abs(n) + floor) / over_p
    # |p| + ε without and with the relative part
    size_p, more = tl.abs(p) + epsilon + TINY, tl.load(added + row, mask=row < rows, other=0.0)
    withheld = epsilon * (h_t / over_h + to_n * n / over_p) + to_p * p * more / (size_p + more)
    to_p *= size_p / (size_p + more)
    tl.store(at, r * to_p, mask=here)
    tl.store(at + hidden, z * kept_h, mask=here)
    tl.store(at + 2 * hidden, to_p, mask=here)
    tl.store(at_h, withheld, mask=here)


@triton.jit
def _times(
    z,  # [rows, columns], updated
    source,  # pointers `[rows, 1]` to the rows of the left factor
    mine,  # [rows, 1]: which of these rows exist
    weight,  # [inner, ·]
    column,  # [1, columns] of the weight
    inner,
    columns,
    weight_row,
    weight_column,
    BLOCK_K: tl.constexpr,
):
    """Return z + source · weight, computed in blocks of the inner dimension."""
    for first in range(0, inner, BLOCK_K):
        k = first + tl.arange(0, BLOCK_K)
        a = tl.load(source + k[None, :], mask=mine & (k[None, :] < inner), other=0.0)
        at = weight + k[:, None] * weight_row + column * weight_column
        w = tl.load(at, mask=(k[:, None] < inner) & (column < columns), other=0.0)
        z = tl.dot(a, w, z, input_precision="ieee")
    return z


@triton.jit(do_not_specialize=_VARYING)
def add_product(
    z,  # [rows, columns], updated
    a,  # [rows, inner]
    weight,  # [inner, columns], in steps of `weight_row` and `weight_column`
    rows,
    inner,
    columns,
    weight_row,
    weight_column,
    BLOCK_R: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """z += a · weight."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)[:, None]
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)[None, :]
    here = (row < rows) & (column < columns)
    at = z + row * columns + column
    found = tl.load(at, mask=here, other=0.0)
    found = _times(
        found, a + row * inner, row < rows, weight, column, inner, columns,
        weight_row, weight_column, BLOCK_K,
    )  # fmt: skip
    tl.store(at, found, mask=here)


@triton.jit(do_not_specialize=_VARYING)
def lstm_backward(
    factors,  # [N, 4H] of `lstm_factors`
    weight,  # [H, H], the rows of g
    gamma,  # [N, H] of the outputs
    gh,  # [B, H], updated
    gc,  # [B, H], updated
    gamma_p,  # [N, H], written: γ of the pre-activation of g
    stabiliser,  # [N], written if ACCOUNT
    starts,
    sizes,
    steps,
    hidden,
    ACCOUNT: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Compute γ of the pre-activation of g from γ of the outputs."""
    first_b = tl.program_id(0) * BLOCK_B
    b = first_b + tl.arange(0, BLOCK_B)[:, None]
    for t in range(steps):
        start, size = tl.load(starts + t), tl.load(sizes + t)
        if first_b < size:
            mine, row = b < size, start + b
            held = tl.zeros([BLOCK_B, BLOCK_H], dtype=tl.float32)
            for first in range(0, hidden, BLOCK_H):
                j = first + tl.arange(0, BLOCK_H)[None, :]
                here = mine & (j < hidden)
                state, at = b * hidden + j, factors + row * (4 * hidden) + j
                total = tl.load(gh + state, mask=here, other=0.0)
                total += tl.load(gamma + row * hidden + j, mask=here, other=0.0)
                total *= tl.load(at + 3 * hidden, mask=here, other=0.0)
                total += tl.load(gc + state, mask=here, other=0.0)
                total = _not_negligible(total)
                gp = total * tl.load(at, mask=here, other=0.0)
                tl.store(gamma_p + row * hidden + j, gp, mask=here)
                past = total * tl.load(at + hidden, mask=here, other=0.0)
                tl.store(gc + state, past, mask=here)
                if ACCOUNT:
                    held += total * tl.load(at + 2 * hidden, mask=here, other=0.0)
            if ACCOUNT:
                sums = tl.sum(held, axis=1, keep_dims=True)
                tl.store(stabiliser + row, sums, mask=mine)
            tl.debug_barrier()  # γ_p of all units is there before any thread reads it
            for first in range(0, hidden, BLOCK_H):
                j = first + tl.arange(0, BLOCK_H)[None, :]
                found = _times(
                    tl.zeros([BLOCK_B, BLOCK_H], dtype=tl.float32), gamma_p + row * hidden,
                    mine, weight, j, hidden, hidden, hidden, 1, BLOCK_K,
                )  # fmt: skip
                tl.store(gh + b * hidden + j, found, mask=mine & (j < hidden))
            tl.debug_barrier()  # and the states of all units, before the next step


@triton.jit(do_not_specialize=_VARYING)
def gru_backward(
    factors,  # [N, 3H] of `gru_factors`
    held_back,  # [N, 3H] of `gru_factors`, of which the first H columns
    weight,  # [H, H], the rows of n
    bias,  # [H], b_hn
    gamma,  # [N, H] of the outputs
    gh,  # [B, H], updated
    gamma_p,  # [N, H], written: γ of the pre-activation of n
    gamma_u,  # [B, H], written: γ of W_hn h + b_hn in the last step
    stabiliser,  # [N], written if ACCOUNT
    bias_share,  # [N], written if ACCOUNT: what `bias` absorbs
    starts,
    sizes,
    steps,
    hidden,
    ACCOUNT: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Compute γ of the pre-activation of n from γ of the outputs."""
    first_b = tl.program_id(0) * BLOCK_B
    b = first_b + tl.arange(0, BLOCK_B)[:, None]
    for t in range(steps):
        start, size = tl.load(starts + t), tl.load(sizes + t)
        if first_b < size:
            mine, row = b < size, start + b
            held = tl.zeros([BLOCK_B, BLOCK_H], dtype=tl.float32)
            share = tl.zeros([BLOCK_B, BLOCK_H], dtype=tl.float32)
            for first in range(0, hidden, BLOCK_H):
                j = first + tl.arange(0, BLOCK_H)[None, :]
                here = mine & (j < hidden)
                state, at = b * hidden + j, factors + row * (3 * hidden) + j
                total = tl.load(gh + state, mask=here, other=0.0)
                total += tl.load(gamma + row * hidden + j, mask=here, other=0.0)
                total = _not_negligible(total)
                gp = total * tl.load(at + 2 * hidden, mask=here, other=0.0)
                tl.store(gamma_p + row * hidden + j, gp, mask=here)
                gu = total * tl.load(at, mask=here, other=0.0)
                tl.store(gamma_u + state, gu, mask=here)
                past = total * tl.load(at + hidden, mask=here, other=0.0)
                tl.store(gh + state, past, mask=here)
                if ACCOUNT:
                    at_held = held_back + row * (3 * hidden) + j
                    held += total * tl.load(at_held, mask=here, other=0.0)
                    share += gu * tl.load(bias + j, mask=j < hidden, other=0.0)
            if ACCOUNT:
                sums = tl.sum(held, axis=1, keep_dims=True)
                tl.store(stabiliser + row, sums, mask=mine)
                sums = tl.sum(share, axis=1, keep_dims=True)
                tl.store(bias_share + row, sums, mask=mine)
            tl.debug_barrier()  # γ of all units is there before any thread reads it
            for first in range(0, hidden, BLOCK_H):
                j = first + tl.arange(0, BLOCK_H)[None, :]
                here = mine & (j < hidden)
                state = gh + b * hidden + j
                found = _times(
                    tl.load(state, mask=here, other=0.0), gamma_u + b * hidden,
                    mine, weight, j, hidden, hidden, hidden, 1, BLOCK_K,
                )  # fmt: skip
                tl.store(state, found, mask=here)
            tl.debug_barrier()  # and the states of all units, before the next step
