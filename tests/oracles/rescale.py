"""Slow float64 oracle: DeepLIFT (Rescale rule) through an LSTM or a GRU, a pooling, a linear head.

Sources
  Shrikumar, Greenside, Kundaje 2017 (ICML, "Learning important features through propagating
    activation differences"): eq. (1) summation-to-delta, eq. (2) multiplier m = C/Dx, eq. (3) chain
    rule for multipliers, section 3.5.1 linear rule, section 3.5.2 Rescale rule.
  Product of two varying quantities: the exact identity  D(ab) = (b+b0)/2 Da + (a+a0)/2 Db, which is
    also the two-player Shapley split of ab - a0 b0 (Shapley 1953; Lundberg & Lee 2017, section 4.2,
    use it for DeepSHAP).
  LSTM: Hochreiter & Schmidhuber 1997 with forget gate (Gers 2000), rows i,f,g,o as documented for
    torch.nn.LSTM.
  GRU: Cho 2014 in the variant of torch.nn.GRU, rows r,z,n, reset gate applied AFTER W_hn h + b_hn.

Conventions: head = (W [C,H], b [C]); score = (W pooled + b)[target] (a logit, no softmax). All
steps count (no padding, no mask). pool "last" = h at the last step, "mean" = 1/T sum of h_t.
Initial states 0 in both runs, so their difference is 0. Below |z - z0| < 1e-12 the multiplier is
f'((z+z0)/2). (1-z)*n is a product of (1-z) and n.
"""

import math

import numpy as np


def sigmoid(z):
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


def rescale(kind, z, z0):
    """Shrikumar 2017, section 3.5.2: m = Df/Dz; near z = z0 the derivative."""
    if abs(z - z0) < 1e-12:
        mid = 0.5 * (z + z0)
        if kind == "sigmoid":
            return sigmoid(mid) * (1.0 - sigmoid(mid))
        return 1.0 - math.tanh(mid) ** 2
    if kind == "sigmoid":
        return (sigmoid(z) - sigmoid(z0)) / (z - z0)
    return (math.tanh(z) - math.tanh(z0)) / (z - z0)


def _f64(x):
    return np.array(x, dtype=np.float64)


def _affine(w, v, b, row):
    s = float(b[row])
    for k in range(len(v)):
        s += float(w[row, k]) * float(v[k])
    return s


def lstm_run(x, weights):
    """Forward pass; returns a list of dicts, one per step, with every intermediate quantity."""
    w_ih, w_hh, b_ih, b_hh = (_f64(weights[k]) for k in ("w_ih", "w_hh", "b_ih", "b_hh"))
    H = w_hh.shape[1]
    h, c, steps = np.zeros(H), np.zeros(H), []
    for t in range(len(x)):
        s = {k: np.zeros(H) for k in ("zi", "zf", "zg", "zo", "i", "f", "g", "o", "c", "tc", "h")}
        s["cp"], s["hp"] = c, h
        for j in range(H):
            for q, gate in enumerate("ifgo"):
                s["z" + gate][j] = _affine(w_ih, x[t], b_ih, q * H + j) + _affine(
                    w_hh, h, b_hh, q * H + j
                )
                s[gate][j] = math.tanh(s["zg"][j]) if gate == "g" else sigmoid(s["z" + gate][j])
            s["c"][j] = s["f"][j] * c[j] + s["i"][j] * s["g"][j]
            s["tc"][j] = math.tanh(s["c"][j])
            s["h"][j] = s["o"][j] * s["tc"][j]
        h, c = s["h"], s["c"]
        steps.append(s)
    return steps


def gru_run(x, weights):
    w_ih, w_hh, b_ih, b_hh = (_f64(weights[k]) for k in ("w_ih", "w_hh", "b_ih", "b_hh"))
    H = w_hh.shape[1]
    h, steps = np.zeros(H), []
    for t in range(len(x)):
        s = {k: np.zeros(H) for k in ("zr", "zz", "hn", "zn", "r", "z", "n", "h")}
        s["hp"] = h
        for j in range(H):
            s["zr"][j] = _affine(w_ih, x[t], b_ih, j) + _affine(w_hh, h, b_hh, j)
            s["zz"][j] = _affine(w_ih, x[t], b_ih, H + j) + _affine(w_hh, h, b_hh, H + j)
            s["r"][j], s["z"][j] = sigmoid(s["zr"][j]), sigmoid(s["zz"][j])
            s["hn"][j] = _affine(w_hh, h, b_hh, 2 * H + j)
            s["zn"][j] = _affine(w_ih, x[t], b_ih, 2 * H + j) + s["r"][j] * s["hn"][j]
            s["n"][j] = math.tanh(s["zn"][j])
            s["h"][j] = (1.0 - s["z"][j]) * s["n"][j] + s["z"][j] * h[j]
        h = s["h"]
        steps.append(s)
    return steps


def score_of(steps, pool, head, target):
    W, b = _f64(head[0]), _f64(head[1])
    T, H = len(steps), W.shape[1]
    total = float(b[target])
    for j in range(H):
        if pool == "last":
            p = steps[T - 1]["h"][j]
        elif pool == "mean":
            p = sum(steps[t]["h"][j] for t in range(T)) / T
        else:
            raise ValueError(pool)
        total += W[target, j] * p
    return total


def _pool_multiplier(t, T, pool, head, target):
    """Linear rule (Shrikumar 2017, sec. 3.5.1): weights are multipliers; pooling is linear too."""
    W = _f64(head[0])
    if pool == "last":
        return W[target].copy() if t == T - 1 else np.zeros(W.shape[1])
    if pool == "mean":
        return W[target] / T
    raise ValueError(pool)


def deeplift_lstm(x, x0, weights, pool, head, target):
    x, x0 = _f64(x), _f64(x0)
    w_ih, w_hh = _f64(weights["w_ih"]), _f64(weights["w_hh"])
    T, D, H = x.shape[0], x.shape[1], w_hh.shape[1]
    A, B = lstm_run(x, weights), lstm_run(x0, weights)  # actual, baseline
    out = np.zeros(T)
    mh_next, mc_next = np.zeros(H), np.zeros(H)  # multipliers arriving from step t+1
    for t in range(T - 1, -1, -1):
        a, b = A[t], B[t]
        mh = mh_next + _pool_multiplier(
            t, T, pool, head, target
        )  # chain rule, eq. (3): sum over paths
        mz = np.zeros(4 * H)
        mc_prev = np.zeros(H)
        for j in range(H):
            # h = o * tanh(c): product rule
            m_o = 0.5 * (a["tc"][j] + b["tc"][j]) * mh[j]
            m_tc = 0.5 * (a["o"][j] + b["o"][j]) * mh[j]
            m_c = mc_next[j] + m_tc * rescale("tanh", a["c"][j], b["c"][j])
            # c = f * c_prev + i * g: product rule, twice
            m_f = 0.5 * (a["cp"][j] + b["cp"][j]) * m_c
            mc_prev[j] = 0.5 * (a["f"][j] + b["f"][j]) * m_c
            m_i = 0.5 * (a["g"][j] + b["g"][j]) * m_c
            m_g = 0.5 * (a["i"][j] + b["i"][j]) * m_c
            # gates: Rescale
            mz[j] = m_i * rescale("sigmoid", a["zi"][j], b["zi"][j])
            mz[H + j] = m_f * rescale("sigmoid", a["zf"][j], b["zf"][j])
            mz[2 * H + j] = m_g * rescale("tanh", a["zg"][j], b["zg"][j])
            mz[3 * H + j] = m_o * rescale("sigmoid", a["zo"][j], b["zo"][j])
        mh_prev = np.zeros(H)
        for row in range(4 * H):  # linear rule
            for k in range(H):
                mh_prev[k] += mz[row] * w_hh[row, k]
            for d in range(D):
                out[t] += mz[row] * w_ih[row, d] * (x[t, d] - x0[t, d])  # C = m Dx, eq. (2)
        mh_next, mc_next = mh_prev, mc_prev
    return out


def deeplift_gru(x, x0, weights, pool, head, target):
    x, x0 = _f64(x), _f64(x0)
    w_ih, w_hh = _f64(weights["w_ih"]), _f64(weights["w_hh"])
    T, D, H = x.shape[0], x.shape[1], w_hh.shape[1]
    A, B = gru_run(x, weights), gru_run(x0, weights)
    out = np.zeros(T)
    mh_next = np.zeros(H)
    for t in range(T - 1, -1, -1):
        a, b = A[t], B[t]
        mh = mh_next + _pool_multiplier(t, T, pool, head, target)
        m_in, m_hid, mh_prev = np.zeros(3 * H), np.zeros(3 * H), np.zeros(H)
        for j in range(H):
            # h = (1-z)*n + z*h_prev: product rule, twice; D(1-z) = -Dz
            m_n = 0.5 * ((1.0 - a["z"][j]) + (1.0 - b["z"][j])) * mh[j]
            m_z = (0.5 * (a["hp"][j] + b["hp"][j]) - 0.5 * (a["n"][j] + b["n"][j])) * mh[j]
            mh_prev[j] += 0.5 * (a["z"][j] + b["z"][j]) * mh[j]
            m_zn = m_n * rescale("tanh", a["zn"][j], b["zn"][j])
            # zn = (W_in x + b_in) + r * hn, hn = W_hn h_prev + b_hn: product rule for r * hn
            m_r = 0.5 * (a["hn"][j] + b["hn"][j]) * m_zn
            m_hn = 0.5 * (a["r"][j] + b["r"][j]) * m_zn
            m_zr = m_r * rescale("sigmoid", a["zr"][j], b["zr"][j])
            m_zz = m_z * rescale("sigmoid", a["zz"][j], b["zz"][j])
            m_in[j], m_in[H + j], m_in[2 * H + j] = m_zr, m_zz, m_zn
            m_hid[j], m_hid[H + j], m_hid[2 * H + j] = m_zr, m_zz, m_hn
        for row in range(3 * H):  # linear rule
            for k in range(H):
                mh_prev[k] += m_hid[row] * w_hh[row, k]
            for d in range(D):
                out[t] += m_in[row] * w_ih[row, d] * (x[t, d] - x0[t, d])
        mh_next = mh_prev
    return out
