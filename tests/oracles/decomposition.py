"""Slow float64 oracle: contextual decomposition of an LSTM, Murdoch, Liu, Yu 2018 (ICLR), sec. 3.

One LSTM in the layout of torch.nn.LSTM (rows i,f,g,o), zero initial states, the hidden state of the
LAST step, and a linear head (W [C,H], b [C]). The phrase is words start..stop-1 (Python style, stop
exclusive). Equation numbers are the author's memory of the paper and may be off by one or two; the
formulas are what counts.

CONVENTIONS TAKEN (defaults = the formulas of the paper; where the paper and its published code
differ, an argument)

States (paper, section 3.2): h_t = beta_t + gamma_t, c_t = beta^c_t + gamma^c_t, all four zero
  before the first word. V beta_{t-1} counts as phrase, V gamma_{t-1} as other. W x_t counts as
  phrase if start <= t < stop, else as other.

Gates' bias terms: b = b_ih + b_hh is ONE term. It is neither phrase nor other but a third kind,
  "bias". In a linearisation it always comes first in the order (paper, end of section 3.2.2:
  "restricting to permutations where the bias is the first term"), so L_f(b) = f(b); the remaining
  terms are averaged over all orderings. With bias_first=False all terms incl. the bias are
  permuted, and the constant f(0) (1/2 for the sigmoid) is added to L(b). merge_word=True: three
  terms (phrase sum, other sum, bias) as in the authors' published code. merge_word=False: four
  terms W x_t, V beta, V gamma, b as written in the paper, eq. (14)-(18). The two differ a little in
  value.

f_t * c_{t-1}  (paper eq. (15)-(17), appendix 6.2):
  beta^f  = [L(phrase terms) + L(b_f)] * beta^c_{t-1}
  gamma^f = L(other terms) * beta^c_{t-1} + f_t * gamma^c_{t-1}
  (f_t whole, phrase x gamma^c goes to gamma)

i_t * g_t  (paper eq. (18)-(20), appendix 6.2), P = phrase, O = other, B = bias:
  beta^u  = P_i P_g + P_i B_g + B_i P_g
  gamma^u = every product with an O factor, + B_i B_g
  B_i B_g: the paper puts it to gamma at every step (bias_bias="gamma", default). The published code
  puts it to beta at steps inside the phrase (bias_bias="beta_in_phrase": steps start..stop-1; there
  the code has inclusive stop for the words but exclusive stop for this product, which leaves out
  the last word: bias_bias="beta_in_phrase_but_last").

c_t: beta^c = beta^f + beta^u, gamma^c = gamma^f + gamma^u (paper eq. (21)-(22)).

o_t * tanh(c_t) (paper eq. (23)-(26)): o_t is NOT decomposed; beta_t = o_t * L(beta^c_t), gamma_t =
  o_t * L(gamma^c_t), L(beta) = ( tanh(beta) + tanh(beta+gamma) - tanh(gamma) ) / 2, the average
  over both orders; no bias term here.

Head: beta_scores = W beta_T, gamma_scores = W gamma_T + b (the head's bias is no part of beta), so
  their sum is the logit. head_bias_in_gamma=False leaves b out of both, as the published code does.
"""

import math
from itertools import permutations

import numpy as np


def sigmoid(z):
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def linearise(f, terms, bias=None, bias_first=True):
    """Section 3.2.2: L_f(y_k) = average over orders of f(y_k + all before it) - f(all before it).

    terms: the non-bias scalars. Returns (list of L of the terms, L of the bias); together they sum
    to f(sum of all). Without bias f(0) must be 0 (tanh).
    """
    n = len(terms)
    if bias is None:
        names, base, fixed = list(range(n)), 0.0, 0.0
        assert f(0.0) == 0.0
    elif bias_first:
        names, base, fixed = list(range(n)), bias, f(bias)
    else:
        names, base, fixed = [*range(n), "b"], 0.0, f(0.0)
    L = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        before = base
        for k in order:
            y = bias if k == "b" else terms[k]
            L[k] += (f(before + y) - f(before)) / len(orders)
            before += y
    return [L[k] for k in range(n)], fixed + L.get("b", 0.0)


def _dot(w, v, row):
    s = 0.0
    for k in range(len(v)):
        s += float(w[row, k]) * float(v[k])
    return s


def contextual_decomposition(
    x,
    weights,
    head,
    start,
    stop,
    merge_word=True,
    bias_first=True,
    bias_bias="gamma",
    head_bias_in_gamma=True,
):
    if bias_bias not in ("gamma", "beta_in_phrase", "beta_in_phrase_but_last"):
        raise ValueError(bias_bias)
    x = np.array(x, dtype=np.float64)
    W, V, b_ih, b_hh = (
        np.array(weights[k], dtype=np.float64) for k in ("w_ih", "w_hh", "b_ih", "b_hh")
    )
    Wo, bo = np.array(head[0], dtype=np.float64), np.array(head[1], dtype=np.float64)
    T, H = x.shape[0], V.shape[1]
    beta, gamma, beta_c, gamma_c = np.zeros(H), np.zeros(H), np.zeros(H), np.zeros(H)
    for t in range(T):
        inside = start <= t < stop
        new = [np.zeros(H) for _ in range(4)]
        for j in range(H):
            P, O, B, full = {}, {}, {}, {}  # noqa: E741
            for q, gate in enumerate("ifgo"):
                row = q * H + j
                word, vb, vg = _dot(W, x[t], row), _dot(V, beta, row), _dot(V, gamma, row)
                bias = float(b_ih[row] + b_hh[row])
                f = math.tanh if gate == "g" else sigmoid
                full[gate] = f(word + vb + vg + bias)
                if merge_word:
                    phrase, other = (vb + word, vg) if inside else (vb, vg + word)
                    (P[gate], O[gate]), B[gate] = linearise(f, [phrase, other], bias, bias_first)
                else:
                    (lw, lb, lg), B[gate] = linearise(f, [word, vb, vg], bias, bias_first)
                    P[gate], O[gate] = (lb + lw, lg) if inside else (lb, lg + lw)
            # f_t * c_{t-1}
            bf = (P["f"] + B["f"]) * beta_c[j]
            gf = O["f"] * beta_c[j] + full["f"] * gamma_c[j]
            # i_t * g_t: all nine products, each to one side
            bu = P["i"] * P["g"] + P["i"] * B["g"] + B["i"] * P["g"]
            gu = (
                O["i"] * P["g"]
                + O["i"] * O["g"]
                + O["i"] * B["g"]
                + P["i"] * O["g"]
                + B["i"] * O["g"]
            )
            to_beta = (bias_bias == "beta_in_phrase" and inside) or (
                bias_bias == "beta_in_phrase_but_last" and start <= t < stop - 1
            )
            if to_beta:
                bu += B["i"] * B["g"]
            else:
                gu += B["i"] * B["g"]
            bc, gc = bf + bu, gf + gu
            # o_t * tanh(c_t)
            (lb, lg), _ = linearise(math.tanh, [bc, gc])
            new[0][j], new[1][j], new[2][j], new[3][j] = full["o"] * lb, full["o"] * lg, bc, gc
        beta, gamma, beta_c, gamma_c = new
    C = Wo.shape[0]
    beta_scores, gamma_scores = np.zeros(C), np.zeros(C)
    for c in range(C):
        beta_scores[c] = _dot(Wo, beta, c)
        gamma_scores[c] = _dot(Wo, gamma, c) + (float(bo[c]) if head_bias_in_gamma else 0.0)
    return beta_scores, gamma_scores
