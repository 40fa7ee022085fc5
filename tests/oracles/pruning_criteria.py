"""Pruning of recurrent units: criteria, shrunk weights, a masked forward and a refit, with loops.

Yeom et al. 2021, "Pruning by explaining" (Pattern Recognition 115), section 3; Molchanov et al.
2017, "Pruning convolutional neural networks for resource efficient inference" (ICLR), section 2.2.
Weights are in torch's layout: LSTM rows i, f, g, o, GRU rows r, z, n. The contrast and the refit
are not from a paper; their docstrings define them. Nothing here knows of the package.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = tuple[Array, Array, Array, Array]


def relevance(r: Array, kind: str = "absolute") -> Array:
    """Σ over texts and steps of relevance [N, T, H], over the layer's sum: [H].

    `kind`: each addend |R| ("absolute"), R ("signed") or max(R, 0) ("positive"). The signed sum is
    divided by Σ_j |Σ R_j|, which unlike Σ_j Σ R_j cannot vanish by cancelling.
    """
    total = np.zeros(r.shape[2])
    for text in r:
        for step in text:
            for j, value in enumerate(step):
                if kind == "absolute":
                    total[j] += abs(value)
                elif kind == "signed":
                    total[j] += value
                elif kind == "positive":
                    total[j] += max(value, 0.0)
                else:
                    raise ValueError(kind)
    return total / sum(abs(float(x)) for x in total)


def taylor(a: Array, gradient: Array, inside: bool = False) -> Array:
    """Mean over texts of |Σ_t a ∂L/∂a|, or with `inside` of Σ_t |a ∂L/∂a|: [H] of [N, T, H]."""
    n, steps, h = a.shape
    out = np.zeros(h)
    for text in range(n):
        for j in range(h):
            products = [float(a[text, t, j] * gradient[text, t, j]) for t in range(steps)]
            out[j] += sum(abs(p) for p in products) if inside else abs(sum(products))
    return out / n


def magnitude(weights: Weights, norm: int) -> Array:
    """L1 or L2 norm of a unit's rows (one a gate) in W_ih, W_hh, b_ih and b_hh together: [H]."""
    h = weights[1].shape[1]
    out = np.zeros(h)
    for j in range(h):
        for block in range(len(weights[1]) // h):
            for w in weights:
                for x in np.atleast_1d(w[block * h + j]):
                    out[j] += abs(float(x)) ** norm
        out[j] **= 1 / norm
    return out


def contrast(r: Array) -> Array:
    """Mean over texts and classes of |Σ_t (R_c - mean over classes of R)|: [H] of [C, N, T, H]."""
    classes, n, steps, h = r.shape
    out = np.zeros(h)
    for text in range(n):
        for j in range(h):
            sums = [sum(float(r[c, text, t, j]) for t in range(steps)) for c in range(classes)]
            middle = sum(sums) / classes
            out[j] += sum(abs(s - middle) for s in sums)
    return out / (n * classes)


def _shrink(w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, kept: Sequence[int]) -> Weights:
    h = w_hh.shape[1]
    rows = [block * h + j for block in range(len(w_hh) // h) for j in kept]
    return (
        np.array([w_ih[i] for i in rows]),
        np.array([[w_hh[i, j] for j in kept] for i in rows]),
        np.array([b_ih[i] for i in rows]),
        np.array([b_hh[i] for i in rows]),
    )


def shrink_lstm(w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, kept: Sequence[int]) -> Weights:
    """W_ih [4K, D], W_hh [4K, K], b_ih [4K], b_hh [4K] of the K units in `kept`, in its order."""
    assert len(w_hh) == 4 * w_hh.shape[1]
    return _shrink(w_ih, w_hh, b_ih, b_hh, kept)


def shrink_gru(w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, kept: Sequence[int]) -> Weights:
    """W_ih [3K, D], W_hh [3K, K], b_ih [3K], b_hh [3K] of the K units in `kept`, in its order."""
    assert len(w_hh) == 3 * w_hh.shape[1]
    return _shrink(w_ih, w_hh, b_ih, b_hh, kept)


def sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def affine(w: Array, x: Array, b: Array) -> list[float]:
    return [
        sum(float(a * c) for a, c in zip(row, x, strict=True)) + float(s)
        for row, s in zip(w, b, strict=True)
    ]


def lstm(x: Array, weights: Weights, masked: Collection[int] = ()) -> Array:
    """States [T, H] of one text [T, D] from zero states; masked units have h = 0 at every step."""
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[1]
    h, c, out = np.zeros(n), np.zeros(n), []
    for step in x:
        z = [p + q for p, q in zip(affine(w_ih, step, b_ih), affine(w_hh, h, b_hh), strict=True)]
        h = h.copy()
        for j in range(n):
            i, f, o = sigmoid(z[j]), sigmoid(z[n + j]), sigmoid(z[3 * n + j])
            c[j] = f * c[j] + i * math.tanh(z[2 * n + j])
            h[j] = 0.0 if j in masked else o * math.tanh(c[j])
        out.append(h)
    return np.array(out)


def gru(x: Array, weights: Weights, masked: Collection[int] = ()) -> Array:
    """States [T, H] of one text [T, D] from a zero state.

    torch's GRU, whose r multiplies W_hn h + b_hn. Masked units have h = 0 at every step.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    n = w_hh.shape[1]
    h, out = np.zeros(n), []
    for step in x:
        p, q = affine(w_ih, step, b_ih), affine(w_hh, h, b_hh)
        h = h.copy()
        for j in range(n):
            r, z = sigmoid(p[j] + q[j]), sigmoid(p[n + j] + q[n + j])
            new = math.tanh(p[2 * n + j] + r * q[2 * n + j])
            h[j] = 0.0 if j in masked else (1 - z) * new + z * h[j]
        out.append(h)
    return np.array(out)


def refit(p: Array, f: Array) -> tuple[float, Array]:
    """One scale s and an offset b_c a class that minimise Σ_n Σ_c (s p_nc + b_c - f_nc)².

    p and f [N, C]. The normal equations in the unknowns (s, b_1 .. b_C), without regularisation.
    """
    n, classes = p.shape
    left, right = np.zeros((1 + classes, 1 + classes)), np.zeros(1 + classes)
    for text in range(n):
        for c in range(classes):
            row = np.zeros(1 + classes)
            row[0], row[1 + c] = p[text, c], 1.0
            left += np.outer(row, row)
            right += row * f[text, c]
    solution = np.linalg.solve(left, right)
    return float(solution[0]), np.array(solution[1:], dtype=np.float64)
