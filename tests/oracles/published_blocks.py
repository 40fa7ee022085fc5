"""Blocks of published packages as linear maps of their words, loaded with the weights of a module.

Gradient × input of these forms is LRP at ε = 0, see `descendants.py`. With `selective`, what
selects is a constant: Δ, B and C of Mamba, q and k of mLSTM.
"""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from oracles.descendants import half, scaled


def positive(x: Tensor) -> Tensor:
    """g(x) = x + 0.5 for x ≥ 0, else the sigmoid of x as a signal."""
    return torch.where(x >= 0, x + 0.5, scaled(x, torch.sigmoid(x)))


def normalised(x: Tensor, eps: float, *, centred: bool) -> Tensor:
    """x divided by its root mean square or standard deviation, which is a constant."""
    x = x - x.mean(-1, keepdim=True) if centred else x
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt().detach()


def causal(conv: Any, x: Tensor) -> Tensor:
    """A depthwise convolution over the steps up to each, of `[B, T, D]`."""
    width = conv.weight.shape[-1]
    total = torch.zeros_like(x) if conv.bias is None else conv.bias.expand_as(x)
    for k in range(width):
        back = width - 1 - k
        earlier = torch.cat([torch.zeros_like(x[:, :back]), x[:, : x.shape[1] - back]], 1)
        total = total + conv.weight[:, 0, k] * earlier
    return total


# minGRU-pytorch


def min_gru(m: Any, x: Tensor) -> Tensor:
    hidden, gate = F.linear(x, m.to_hidden_and_gate.weight).chunk(2, -1)
    z, h, states = torch.sigmoid(gate).detach(), 0.0, []
    for t in range(x.shape[1]):
        h = (1 - z[:, t]) * h + z[:, t] * positive(hidden[:, t])
        states.append(h)
    return m.to_out(torch.stack(states, 1))


def min_lstm(m: Any, x: Tensor) -> Tensor:
    hidden, f, i = F.linear(x, m.to_hidden_and_f_i_gate.weight).chunk(3, -1)
    f, i = torch.sigmoid(f).detach(), torch.sigmoid(i).detach()
    h, states = 0.0, []
    for t in range(x.shape[1]):
        total = f[:, t] + i[:, t]
        h = f[:, t] / total * h + i[:, t] / total * positive(hidden[:, t])
        states.append(h)
    return m.to_out(torch.stack(states, 1))


# mambapy


def mamba(m: Any, x: Tensor, selective: bool = False) -> Tensor:
    for layer in m.layers:
        scaled_x = normalised(x, layer.norm.eps, centred=False) * layer.norm.weight
        x = x + _mamba_block(layer.mixer, scaled_x, selective)
    return x


def _mamba_block(m: Any, x: Tensor, selective: bool) -> Tensor:
    u, z = F.linear(x, m.in_proj.weight).chunk(2, -1)
    u = causal(m.conv1d, u)
    u = scaled(u, F.silu(u))
    sizes = [m.config.dt_rank, m.config.d_state, m.config.d_state]
    parts = F.linear(u, m.x_proj.weight)
    parts = parts.detach() if selective else parts
    delta, b, c = parts.split(sizes, -1)
    if m.dt_layernorm is not None:
        norms = m.dt_layernorm, m.B_layernorm, m.C_layernorm
        delta, b, c = (
            normalised(part, norm.eps, centred=False) * norm.weight
            for part, norm in zip((delta, b, c), norms, strict=True)
        )
    d = F.linear(delta, m.dt_proj.weight, m.dt_proj.bias)
    d = F.softplus(d).detach() if selective else scaled(d, F.softplus(d))
    d, b, u_n, c = d[..., None], b[:, :, None], u[..., None], c[:, :, None]
    kept = torch.exp(-d.detach() * torch.exp(m.A_log.float()))
    new = d * b * u_n if selective else half(half(d, b), u_n)
    h, states = torch.zeros_like(new[:, 0]), []
    for t in range(x.shape[1]):
        h = kept[:, t] * h + new[:, t]
        states.append(h)
    hs = torch.stack(states, 1)
    y = (hs * c if selective else half(hs, c)).sum(-1) + m.D.float() * u
    return F.linear(half(y, scaled(z, F.silu(z))), m.out_proj.weight)


# xlstm


def headwise(m: Any, x: Tensor) -> Tensor:
    """A map with a block of weights for each head."""
    heads = x.unflatten(-1, (m.weight.shape[0], -1)).unbind(-2)
    y = [h @ w.T for h, w in zip(heads, m.weight, strict=True)]
    return torch.cat(y, -1)


def group_normalised(m: Any, heads: Tensor) -> Tensor:
    """States `[B, T, NH, DH]` normalised by head, to `[B, T, H]`."""
    return normalised(heads, m.eps, centred=True).flatten(-2) * (1 + m.weight)


def x_lstm(m: Any, x: Tensor, selective: bool = False) -> Tensor:
    """A stack of blocks of mLSTM and sLSTM, each with its normalisation and residual."""
    for block in m.blocks:
        y = normalised(x, block.xlstm_norm.eps, centred=True) * (1 + block.xlstm_norm.weight)
        is_m = hasattr(block.xlstm, "mlstm_cell")
        x = x + (_m_lstm(block.xlstm, y, selective) if is_m else _s_lstm(block.xlstm, y))
        if block.ffn is not None:
            y = normalised(x, block.ffn_norm.eps, centred=True) * (1 + block.ffn_norm.weight)
            gate, up = F.linear(y, block.ffn.proj_up.weight).chunk(2, -1)
            x = x + F.linear(half(scaled(gate, F.gelu(gate)), up), block.ffn.proj_down.weight)
    norm = m.post_blocks_norm
    return normalised(x, norm.eps, centred=True) * (1 + norm.weight)


def _m_lstm(m: Any, x: Tensor, selective: bool) -> Tensor:
    inner, z = F.linear(x, m.proj_up.weight).chunk(2, -1)
    u = causal(m.conv1d.conv, inner)
    u = scaled(u, F.silu(u))
    q, k, v = headwise(m.q_proj, u), headwise(m.k_proj, u), headwise(m.v_proj, inner)
    if selective:
        q, k = q.detach(), k.detach()
    cell = m.mlstm_cell
    together = torch.cat([q, k, v], -1).detach()
    log_i = F.linear(together, cell.igate.weight, cell.igate.bias)  # [B, T, NH]
    log_f = F.logsigmoid(F.linear(together, cell.fgate.weight, cell.fgate.bias))
    heads = (-1, cell.config.num_heads)
    q, k, v = (t.unflatten(-1, (heads[1], -1)) for t in (q, k, v))  # [B, T, NH, DH]
    k = k / math.sqrt(k.shape[-1])
    states = []
    for t in range(x.shape[1]):
        sums = [log_i[:, s] + log_f[:, s + 1 : t + 1].sum(1) for s in range(t + 1)]
        m_t = torch.stack(sums).amax(0)
        total, size = 0.0, 0.0
        for s in range(t + 1):
            gate = torch.exp(sums[s] - m_t)[..., None].detach()
            product = q[:, t] * k[:, s] if selective else half(q[:, t], k[:, s])
            weight = gate * product.sum(-1, keepdim=True)
            total = total + (weight * v[:, s] if selective else half(weight, v[:, s]))
            size = size + weight
        least = torch.exp(-m_t)[..., None]
        states.append(total / (torch.maximum(size.abs(), least) + 1e-6).detach())
    h = group_normalised(cell.outnorm, torch.stack(states, 1)) + m.learnable_skip * u
    return F.linear(half(h, scaled(z, F.silu(z))), m.proj_down.weight)


def _s_lstm(m: Any, x: Tensor) -> Tensor:
    u = causal(m.conv1d.conv, x)
    u = scaled(u, F.silu(u))
    given = [headwise(m.fgate, u), headwise(m.igate, u), headwise(m.zgate, x), headwise(m.ogate, x)]
    cell, heads = m.slstm_cell, m.config.num_heads
    size = cell.config.head_dim
    recurrent = cell._recurrent_kernel.unflatten(1, (4, size))  # [NH, gate, to, from]
    bias = cell._bias.unflatten(0, (4, heads, size))
    wx = torch.stack([t.unflatten(-1, (heads, size)) for t in given], 2)  # [B, T, gate, NH, DH]
    h = c = n = torch.zeros_like(wx[:, 0, 0])
    states = []
    for t in range(x.shape[1]):
        raw = wx[:, t] + torch.einsum("bke,kgde->bgkd", h, recurrent) + bias
        i, f, z, o = raw.unbind(1)
        i, f, o = torch.exp(i).detach(), torch.sigmoid(f).detach(), torch.sigmoid(o).detach()
        c, n = f * c + i * scaled(z, torch.tanh(z)), f * n + i
        h = o * c / n
        states.append(h)
    return group_normalised(m.group_norm, torch.stack(states, 1))
