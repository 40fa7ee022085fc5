"""Slow float64 oracle: exact Shapley values and exact Kernel SHAP.

For a set function value(frozenset) -> float. Players are 0..n-1. Every subset is evaluated once
(2^n calls): for small n only.
"""

import math
from itertools import combinations

import numpy as np


def _table(value, n):
    """All 2^n values, keyed by frozenset."""
    out = {}
    for size in range(n + 1):
        for s in combinations(range(n), size):
            out[frozenset(s)] = float(value(frozenset(s)))
    return out


def shapley(value, n):
    """Shapley 1953; Lundberg & Lee 2017 eq. (4).

    phi_i = sum_{S not containing i} |S|!(n-|S|-1)!/n! (v(S+i)-v(S)).
    """
    v = _table(value, n)
    phi = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        terms = []
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for s in combinations(others, size):
                s = frozenset(s)
                terms.append(weight * (v[s | {i}] - v[s]))
        phi[i] = math.fsum(terms)
    return phi


def kernel_weights(n):
    """Lundberg & Lee 2017, Theorem 2: pi(s) = (n-1) / (C(n,s) s (n-s)) of ONE coalition of size s.

    Returns an array of length n+1 indexed by s; pi(0) = pi(n) = inf (they are the two constraints).
    Not normalised to sum 1, and not multiplied by the number C(n,s) of coalitions of that size.
    """
    out = np.zeros(n + 1)
    for s in range(n + 1):
        if s == 0 or s == n:
            out[s] = math.inf
        else:
            out[s] = (n - 1) / (math.comb(n, s) * s * (n - s))
    return out


def kernel_shap_exact(value, n):
    """Minimise sum_S pi(|S|) (v(S) - v(empty) - sum_{i in S} phi_i)^2.

    Over all S other than empty and full, subject to sum_i phi_i = v(full) - v(empty)
    (Lundberg & Lee 2017, Theorem 2; the infinite weights are constraints).

    Solved as a bordered (Lagrange) linear system:
    [ A  1 ; 1' 0 ] [phi; lam] = [ b ; v(full)-v(empty) ].
    """
    v = _table(value, n)
    empty, full = v[frozenset()], v[frozenset(range(n))]
    if n == 1:  # no coalition left: the constraint alone decides
        return np.array([full - empty])
    pi = kernel_weights(n)
    A, b = np.zeros((n, n)), np.zeros(n)
    for s, val in v.items():
        if len(s) == 0 or len(s) == n:
            continue
        for i in s:
            b[i] += pi[len(s)] * (val - empty)
            for j in s:
                A[i, j] += pi[len(s)]
    K = np.zeros((n + 1, n + 1))
    K[:n, :n] = A
    K[:n, n] = 1.0
    K[n, :n] = 1.0
    return np.linalg.solve(K, np.concatenate([b, [full - empty]]))[:n]
