"""The descendants of the LSTM as linear maps of their words, step by step, in float64.

Gradient × input of these forms is LRP at ε = 0: gates, normalisers, exponentials and Δ in exp(Δ A)
are detached, f(x) with f(0) = 0 is x times the constant f(x) / x, and a product of two signals is
half of each. Every form is a loop over the words, with running products and without log space.
"""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """y = f(x) as x times a constant."""
    return x * (y / x).detach()


def half(a: Tensor, b: Tensor) -> Tensor:
    """a · b, in which each gets half."""
    return (a * b.detach() + a.detach() * b) / 2


def loop(kept: Tensor, new: Tensor, start: Tensor) -> Tensor:
    """h_t = kept_t · h_{t-1} + new_t along dimension 1."""
    states = [start]
    for t in range(new.shape[1]):
        states.append(kept[:, t].detach() * states[-1] + new[:, t])
    return torch.stack(states[1:], 1)


def min_gru(m: Any, x: Tensor) -> Tensor:
    z = torch.sigmoid(m.to_z(x)).detach()
    return loop(1 - z, z * m.to_h(x), x.new_zeros(len(x), z.shape[-1]))


def positive_min_gru(m: Any, x: Tensor) -> Tensor:
    z, n = torch.sigmoid(m.to_z(x)).detach(), m.to_h(x)
    g = torch.where(n >= 0, n + 0.5, scaled(n, torch.sigmoid(n)))
    return loop(1 - z, z * g, x.new_full((len(x), z.shape[-1]), m.start))


def positive_min_lstm(m: Any, x: Tensor) -> Tensor:
    f, i = torch.sigmoid(m.to_f(x)).detach(), torch.sigmoid(m.to_i(x)).detach()
    n = m.to_h(x)
    g = torch.where(n >= 0, n + 0.5, scaled(n, torch.sigmoid(n)))
    return loop(f / (f + i), i / (f + i) * g, x.new_full((len(x), f.shape[-1]), 0.5))


def min_lstm(m: Any, x: Tensor) -> Tensor:
    f, i = torch.sigmoid(m.to_f(x)).detach(), torch.sigmoid(m.to_i(x)).detach()
    return loop(f / (f + i), i / (f + i) * m.to_h(x), x.new_zeros(len(x), f.shape[-1]))


def s_lstm(m: Any, x: Tensor) -> Tensor:
    """Without a stabiliser: c and n are those of the paper times e^m, and c / n is the same."""
    size = m.r.in_features
    h = c = x.new_zeros(len(x), size)
    n = x.new_zeros(len(x), size)
    states = []
    for t in range(x.shape[1]):
        z, i, f, o = (m.w(x[:, t]) + m.r(h)).chunk(4, -1)
        f = (torch.sigmoid(f) if m.forget == "sigmoid" else torch.exp(f)).detach()
        i, o = torch.exp(i).detach(), torch.sigmoid(o).detach()
        c, n = f * c + i * scaled(z, torch.tanh(z)), f * n + i
        h = o * c / n
        states.append(h)
    return torch.stack(states, 1)


def m_lstm(m: Any, x: Tensor) -> Tensor:
    """Without a stabiliser: max(|n q|, 1) instead of max(|n q|, e^-m) of scaled memories."""
    q, k, v = m.q(x), m.k(x) / math.sqrt(m.q.out_features), m.v(x)
    i, f = torch.exp(m.i(x)).detach(), torch.sigmoid(m.f(x)).detach()
    memory = loop(f[..., None], i[..., None] * half(v[..., None], k[:, :, None]), x.new_zeros(1))
    n = loop(f, (i * k).detach(), x.new_zeros(1))
    size = (n * q).sum(-1, keepdim=True).abs().clamp(min=1).detach()
    return torch.sigmoid(m.o(x)).detach() * half(memory, q[:, :, None]).sum(-1) / size


def m_lstm_attention(m: Any, x: Tensor) -> Tensor:
    """The same sums in another order: a weight q · k takes half, and each of the two a quarter."""
    q, k, v = m.q(x), m.k(x) / math.sqrt(m.q.out_features), m.v(x)
    i, f = torch.exp(m.i(x)).detach(), torch.sigmoid(m.f(x)).detach()
    states = []
    for t in range(x.shape[1]):
        total, size = x.new_zeros(1), x.new_zeros(1)
        for s in range(t + 1):
            gate = i[:, s] * f[:, s + 1 : t + 1].prod(1)
            weight = gate * half(q[:, t], k[:, s]).sum(-1, keepdim=True)
            total, size = total + half(weight, v[:, s]), size + weight
        states.append(total / size.abs().clamp(min=1).detach())
    return torch.sigmoid(m.o(x)).detach() * torch.stack(states, 1)


def mamba(m: Any, x: Tensor) -> Tensor:
    u, z = m.in_proj(x).chunk(2, -1)
    u = m.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
    u = scaled(u, F.silu(u))
    width = (m.x_proj.out_features - 1) // 2
    delta, b, c = m.x_proj(u).split([1, width, width], -1)
    d = m.dt_proj(delta)
    d = scaled(d, F.softplus(d))
    kept = torch.exp(-d[..., None] * torch.exp(m.A_log))
    new = half(half(d[..., None], b[:, :, None]), u[..., None])
    y = half(loop(kept, new, torch.zeros_like(new[:, 0])), c[:, :, None]).sum(-1)
    return m.out_proj(half(y + u * m.D, scaled(z, F.silu(z))))


def rwkv(m: Any, x: Tensor) -> Tensor:
    """The definition without a stabiliser: exponentials of all pairs of steps."""

    def mixed(y: Tensor, mix: Tensor) -> Tensor:
        before = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)
        return y * mix + before * (1 - mix)

    r = torch.sigmoid(m.r(mixed(x, m.mix[0]))).detach()
    k, v = m.k(mixed(x, m.mix[1])).detach(), m.v(mixed(x, m.mix[2]))
    states = []
    for t in range(x.shape[1]):
        top, bottom = x.new_zeros(1), x.new_zeros(1)
        for s in range(t + 1):
            age = m.first if s == t else -(t - 1 - s) * torch.exp(m.decay)
            weight = torch.exp(age + k[:, s])
            top, bottom = top + weight * v[:, s], bottom + weight
        states.append(top / bottom)
    h = m.o(r * torch.stack(states, 1))
    r = torch.sigmoid(m.channel_r(mixed(h, m.channel_mix[0]))).detach()
    k = m.channel_k(mixed(h, m.channel_mix[1]))
    return h + r * m.channel_v(scaled(k, torch.relu(k) ** 2))


def weight_dropped_lstm(m: Any, x: Tensor) -> Tensor:
    weights, size = m.lstm, m.lstm.hidden_size
    h = c = x.new_zeros(len(x), size)
    states = []
    for t in range(x.shape[1]):
        a = x[:, t] @ weights.weight_ih_l0.T + weights.bias_ih_l0
        i, f, g, o = (a + h @ m.raw.T + weights.bias_hh_l0).chunk(4, -1)
        i, f, o = (torch.sigmoid(gate).detach() for gate in (i, f, o))
        c = f * c + i * scaled(g, torch.tanh(g))
        h = o * scaled(c, torch.tanh(c))
        states.append(h)
    return torch.stack(states, 1)


# Named modules are gates: MambaLRP (Jafari et al. 2024) takes Δ, B and C for constants.


def selective_mamba(m: Any, x: Tensor) -> Tensor:
    u, z = m.in_proj(x).chunk(2, -1)
    u = m.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
    u = scaled(u, F.silu(u))
    width = (m.x_proj.out_features - 1) // 2
    delta, b, c = m.x_proj(u).detach().split([1, width, width], -1)
    delta = F.softplus(m.dt_proj(delta)).detach()
    kept = torch.exp(-delta[..., None] * torch.exp(m.A_log)).detach()
    new = delta[..., None] * b[:, :, None] * u[..., None]
    y = (loop(kept, new, torch.zeros_like(new[:, 0])) * c[:, :, None]).sum(-1)
    return m.out_proj(half(y + u * m.D, scaled(z, F.silu(z))))


def selective_m_lstm(m: Any, x: Tensor) -> Tensor:
    """q and k are constants, so that both forms of the block agree: v gets all."""
    q, k = m.q(x).detach(), m.k(x).detach() / math.sqrt(m.q.out_features)
    i, f = torch.exp(m.i(x)).detach(), torch.sigmoid(m.f(x)).detach()
    memory = loop(f[..., None], i[..., None] * m.v(x)[..., None] * k[:, :, None], x.new_zeros(1))
    n = loop(f, (i * k).detach(), x.new_zeros(1))
    size = (n * q).sum(-1, keepdim=True).abs().clamp(min=1).detach()
    return torch.sigmoid(m.o(x)).detach() * (memory * q[:, :, None]).sum(-1) / size
