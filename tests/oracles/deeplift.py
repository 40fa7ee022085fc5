"""DeepLIFT of recurrent layers, written out a second time: loops over units, forward in time.

Instead of multipliers that go back, contributions go forward: C[word][unit] is what a word adds to
the difference of a unit from its reference. Nothing here knows of the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Function = Callable[[float], float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def rescaled(f: Function, x: float, x0: float) -> float:
    return (f(x) - f(x0)) / (x - x0)


class Value:
    """A number of the text and of the reference, and what each word adds to the difference."""

    def __init__(self, x: float, x0: float, words: Array) -> None:
        self.x, self.x0, self.words = x, x0, words

    def __add__(self, other: Value) -> Value:
        return Value(self.x + other.x, self.x0 + other.x0, self.words + other.words)

    def times(self, w: float) -> Value:
        return Value(self.x * w, self.x0 * w, self.words * w)

    def plus(self, b: float) -> Value:
        return Value(self.x + b, self.x0 + b, self.words)

    def __mul__(self, other: Value) -> Value:
        mean, other_mean = (self.x + self.x0) / 2, (other.x + other.x0) / 2
        words = other_mean * self.words + mean * other.words
        return Value(self.x * other.x, self.x0 * other.x0, words)

    def through(self, f: Function) -> Value:
        return Value(f(self.x), f(self.x0), self.words * rescaled(f, self.x, self.x0))


def mapped(weights: Array, values: list[Value], bias: Array) -> list[Value]:
    out = []
    for row, b in zip(weights, bias, strict=True):
        total = values[0].times(float(row[0]))
        for w, value in zip(row[1:], values[1:], strict=True):
            total = total + value.times(float(w))
        out.append(total.plus(float(b)))
    return out


def words(vectors: Array, reference: Array) -> list[list[Value]]:
    """Each word's vector `[T, D]`, whose difference it is itself."""
    count = len(vectors)
    return [
        [
            Value(float(x), float(x0), (x - x0) * np.eye(count)[t])
            for x, x0 in zip(v, r, strict=True)
        ]
        for t, (v, r) in enumerate(zip(vectors, reference, strict=True))
    ]


def _added(a: list[Value], b: list[Value]) -> list[Value]:
    return [x + y for x, y in zip(a, b, strict=True)]


def lstm(sequence: list[list[Value]], w: dict[str, Array], size: int) -> list[Value]:
    """The last state of an LSTM with PyTorch's weights (i, f, g, o)."""
    nothing = np.zeros(len(sequence))
    h = [Value(0, 0, nothing) for _ in range(size)]
    c = [Value(0, 0, nothing) for _ in range(size)]
    for x in sequence:
        p = _added(mapped(w["ih"], x, w["b_ih"]), mapped(w["hh"], h, w["b_hh"]))
        for k in range(size):
            i, f = p[k].through(sigmoid), p[size + k].through(sigmoid)
            g, o = p[2 * size + k].through(math.tanh), p[3 * size + k].through(sigmoid)
            c[k] = f * c[k] + i * g
            h[k] = o * c[k].through(math.tanh)
    return h


def gru(sequence: list[list[Value]], w: dict[str, Array], size: int) -> list[Value]:
    """The last state of a GRU with PyTorch's weights (r, z, n)."""
    nothing = np.zeros(len(sequence))
    h = [Value(0, 0, nothing) for _ in range(size)]
    for x in sequence:
        a, b = mapped(w["ih"], x, w["b_ih"]), mapped(w["hh"], h, w["b_hh"])
        new = []
        for k in range(size):
            r = (a[k] + b[k]).through(sigmoid)
            z = (a[size + k] + b[size + k]).through(sigmoid)
            n = (a[2 * size + k] + r * b[2 * size + k]).through(math.tanh)
            new.append(z.times(-1).plus(1) * n + z * h[k])
        h = new
    return h


def reveal_cancel(f: Function, terms: list[float], z0: float) -> list[float]:
    """What each term of z = z0 + Σ terms adds to f(z) − f(z0), by eq. 12 on of the paper."""
    up, down = sum(t for t in terms if t > 0), sum(t for t in terms if t < 0)
    y_up = (f(z0 + up) - f(z0) + f(z0 + down + up) - f(z0 + down)) / 2
    y_down = (f(z0 + down) - f(z0) + f(z0 + up + down) - f(z0 + up)) / 2
    return [t * (y_up / up if t > 0 else y_down / down) if t else 0.0 for t in terms]
