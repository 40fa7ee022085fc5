"""Recurrent blocks that descend from the LSTM, as their papers write them, one class a block.

Each classifier embeds the words, runs its block, and reads the mean of the states. `forward` of a
block takes vectors `[B, T, D]` and returns states `[B, T, H]`.
"""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

V, D, H, N, C = 20, 6, 4, 3, 2
IDS = torch.randint(1, V, (3, 6), generator=torch.Generator().manual_seed(3))


class Classifier(nn.Module):
    """An embedding, a block, and a head on the mean of its states."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.emb, self.block = nn.Embedding(V, D), block
        self.head = nn.Linear(H, C)

    def read(self, x: Tensor) -> Tensor:
        return self.head(self.block(x).mean(1))

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(self.emb(ids))


def classifier(block: Callable[[], nn.Module], seed: int = 0) -> Classifier:
    """A classifier of float64 in evaluation mode with random weights."""
    torch.manual_seed(seed)
    model = Classifier(block()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


# minGRU and minLSTM: Feng et al. 2024, "Were RNNs all we needed?"


def positive(x: Tensor) -> Tensor:
    """g(x) = x + 0.5 for x ≥ 0, else σ(x): the candidate of the log-space forms (appendix B)."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def log_positive(x: Tensor) -> Tensor:
    """log g(x), as in the listing of the paper."""
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))


def parallel_scan_log(log_coefficients: Tensor, log_values: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from log a `[B, T, H]`, and log b after log h_0 `[B, T + 1, H]`."""
    a_star = F.pad(torch.cumsum(log_coefficients, dim=1), (0, 0, 1, 0))
    log_h0_plus_b_star = torch.logcumsumexp(log_values - a_star, dim=1)
    return torch.exp(a_star + log_h0_plus_b_star)[:, 1:]


class MinGRU(nn.Module):
    """h_t = (1 - z_t) h_{t-1} + z_t h̃_t with gate and candidate of x_t alone (sec. 3.1)."""

    start = 0.5  # of the forms with a positive candidate

    def __init__(self) -> None:
        super().__init__()
        self.to_z, self.to_h = nn.Linear(D, H), nn.Linear(D, H)

    def forward(self, x: Tensor) -> Tensor:
        h, states = x.new_zeros(len(x), H), []
        for t in range(x.shape[1]):
            z = torch.sigmoid(self.to_z(x[:, t]))
            h = (1 - z) * h + z * self.to_h(x[:, t])
            states.append(h)
        return torch.stack(states, 1)


class MinGRUScan(MinGRU):
    """The same by `cumprod`: h_t = A_t Σ_s b_s / A_s with A_t = Π_{s ≤ t} (1 - z_s)."""

    def forward(self, x: Tensor) -> Tensor:
        z = torch.sigmoid(self.to_z(x))
        kept = torch.cumprod(1 - z, dim=1)
        return kept * torch.cumsum(z * self.to_h(x) / kept, dim=1)


class MinGRULogGates(MinGRU):
    """The same with the gates alone in log space."""

    def forward(self, x: Tensor) -> Tensor:
        k = self.to_z(x)
        log_kept = torch.cumsum(F.logsigmoid(-k), dim=1)
        b = torch.exp(F.logsigmoid(k) - log_kept) * self.to_h(x)
        return torch.exp(log_kept) * torch.cumsum(b, dim=1)


class MinGRUSoftplus(MinGRU):
    """The same, with log z = -softplus(-k) and log(1 - z) = -softplus(k) as in the paper."""

    def forward(self, x: Tensor) -> Tensor:
        k = self.to_z(x)
        log_z, log_kept = -F.softplus(-k), torch.cumsum(-F.softplus(k), dim=1)
        return torch.exp(log_kept) * torch.cumsum(torch.exp(log_z - log_kept) * self.to_h(x), dim=1)


class PositiveMinGRU(MinGRU):
    """minGRU with a positive candidate, as its log-space form computes it, in sequence."""

    def forward(self, x: Tensor) -> Tensor:
        h, states = x.new_full((len(x), H), 0.5), []
        for t in range(x.shape[1]):
            z = torch.sigmoid(self.to_z(x[:, t]))
            h = (1 - z) * h + z * positive(self.to_h(x[:, t]))
            states.append(h)
        return torch.stack(states, 1)


class LogSpaceMinGRU(MinGRU):
    """The log-space form of the paper: the candidate is in log space as well (appendix B)."""

    def forward(self, x: Tensor) -> Tensor:
        k = self.to_z(x)
        log_z, log_coefficients = -F.softplus(-k), -F.softplus(k)
        log_h_0 = torch.log(x.new_full((len(x), 1, H), 0.5))
        log_values = torch.cat([log_h_0, log_z + log_positive(self.to_h(x))], dim=1)
        return parallel_scan_log(log_coefficients, log_values)


class LogSpaceMinGRULoop(MinGRU):
    """The same step by step in log space: logaddexp(log(1 - z) + log h, log z + log h̃)."""

    start = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h, states = None, []
        for t in range(x.shape[1]):
            k = self.to_z(x[:, t])
            new = log_positive(self.to_h(x[:, t])) - F.softplus(-k)
            h = new if h is None else torch.logaddexp(h - F.softplus(k), new)
            states.append(h)
        return torch.stack(states, 1).exp()


class MinLSTM(nn.Module):
    """c_t = f'_t c_{t-1} + i'_t c̃_t with f' = f / (f + i), i' = i / (f + i) (sec. 3.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.to_f, self.to_i, self.to_h = (nn.Linear(D, H) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h, states = x.new_zeros(len(x), H), []
        for t in range(x.shape[1]):
            f, i = torch.sigmoid(self.to_f(x[:, t])), torch.sigmoid(self.to_i(x[:, t]))
            h = f / (f + i) * h + i / (f + i) * self.to_h(x[:, t])
            states.append(h)
        return torch.stack(states, 1)


class MinLSTMScan(MinLSTM):
    """The same, with diff = softplus(-f) - softplus(-i) and the gates alone in log space."""

    def forward(self, x: Tensor) -> Tensor:
        diff = F.softplus(-self.to_f(x)) - F.softplus(-self.to_i(x))
        log_f, log_i = -F.softplus(diff), -F.softplus(-diff)
        log_kept = torch.cumsum(log_f, dim=1)
        b = torch.exp(log_i - log_kept) * self.to_h(x)
        return torch.exp(log_kept) * torch.cumsum(b, dim=1)


class PositiveMinLSTM(MinLSTM):
    """minLSTM with a positive candidate, in sequence."""

    def forward(self, x: Tensor) -> Tensor:
        h, states = x.new_full((len(x), H), 0.5), []
        for t in range(x.shape[1]):
            f, i = torch.sigmoid(self.to_f(x[:, t])), torch.sigmoid(self.to_i(x[:, t]))
            h = f / (f + i) * h + i / (f + i) * positive(self.to_h(x[:, t]))
            states.append(h)
        return torch.stack(states, 1)


class LogSpaceMinLSTM(MinLSTM):
    """The log-space form of the paper (appendix B)."""

    def forward(self, x: Tensor) -> Tensor:
        diff = F.softplus(-self.to_f(x)) - F.softplus(-self.to_i(x))
        log_f, log_i = -F.softplus(diff), -F.softplus(-diff)
        log_h_0 = torch.log(x.new_full((len(x), 1, H), 0.5))
        log_values = torch.cat([log_h_0, log_i + log_positive(self.to_h(x))], dim=1)
        return parallel_scan_log(log_f, log_values)


# xLSTM: Beck et al. 2024


class SLSTM(nn.Module):
    """sLSTM with exponential gates, normaliser n and stabiliser m (eq. 8 to 17)."""

    def __init__(self, forget: str = "sigmoid", larger: str = "maximum") -> None:
        super().__init__()
        self.w, self.r = nn.Linear(D, 4 * H), nn.Linear(H, 4 * H, bias=False)
        self.forget, self.larger = forget, getattr(torch, larger)

    def forward(self, x: Tensor) -> Tensor:
        h = c = n = m = x.new_zeros(len(x), H)
        states = []
        for t in range(x.shape[1]):
            z, i, f, o = (self.w(x[:, t]) + self.r(h)).chunk(4, -1)
            log_f = F.logsigmoid(f) if self.forget == "sigmoid" else f
            m_next = self.larger(log_f + m, i)
            i, f = torch.exp(i - m_next), torch.exp(log_f + m - m_next)
            c, n, m = f * c + i * torch.tanh(z), f * n + i, m_next
            h = torch.sigmoid(o) * c / n
            states.append(h)
        return torch.stack(states, 1)


class SLSTMOneTensor(SLSTM):
    """The same, with the states h, c, n and m in one tensor, and those of all steps in another."""

    def forward(self, x: Tensor) -> Tensor:
        states = x.new_zeros(4, len(x), H)
        seen = x.new_zeros(4, x.shape[1] + 1, len(x), H)
        for t in range(x.shape[1]):
            h, c, n, m = states.view(4, len(x), H).unbind()
            z, i, f, o = (self.w(x[:, t]) + self.r(h)).chunk(4, -1)
            log_f = F.logsigmoid(f)
            m_next = self.larger(log_f + m, i)
            i, f = torch.exp(i - m_next), torch.exp(log_f + m - m_next)
            c, n = f * c + i * torch.tanh(z), f * n + i
            states = torch.stack([torch.sigmoid(o) * c / n, c, n, m_next]).to(x.dtype)
            seen[:, t + 1] = states
        return seen[0][1:].transpose(0, 1)


class MLSTM(nn.Module):
    """mLSTM with a matrix memory, step by step (eq. 19 to 27, stabilised by eq. 15 to 17)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D, H) for _ in range(3))
        self.i, self.f, self.o = nn.Linear(D, 1), nn.Linear(D, 1), nn.Linear(D, H)

    def forward(self, x: Tensor) -> Tensor:
        memory, n, m = x.new_zeros(len(x), H, H), x.new_zeros(len(x), H), x.new_zeros(len(x), 1)
        states = []
        for t in range(x.shape[1]):
            x_t = x[:, t]
            q, k, v = self.q(x_t), self.k(x_t) / math.sqrt(H), self.v(x_t)
            log_f, log_i = F.logsigmoid(self.f(x_t)), self.i(x_t)
            m_next = torch.maximum(log_f + m, log_i)
            i, f = torch.exp(log_i - m_next), torch.exp(log_f + m - m_next)
            memory = f[..., None] * memory + i[..., None] * (v[:, :, None] * k[:, None, :])
            n, m = f * n + i * k, m_next
            size = torch.maximum((n * q).sum(-1, keepdim=True).abs(), torch.exp(-m))
            read = torch.einsum("bvk,bk->bv", memory, q) / size
            states.append(torch.sigmoid(self.o(x_t)) * read)
        return torch.stack(states, 1)


class MLSTMParallel(MLSTM):
    """mLSTM for all steps at once (appendix A.3): a gated attention without a softmax."""

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        q, k, v = self.q(x), self.k(x) / math.sqrt(H), self.v(x)
        log_f = F.logsigmoid(self.f(x)).cumsum(1)  # [B, T, 1]
        log_d = log_f - log_f.transpose(1, 2) + self.i(x).transpose(1, 2)
        seen = torch.ones(steps, steps, dtype=torch.bool, device=x.device).tril()
        log_d = log_d.masked_fill(~seen, -math.inf)
        m = torch.maximum(log_d.max(-1, keepdim=True).values, log_f)  # the memory starts at m = 0
        weights = (q @ k.transpose(1, 2)) * torch.exp(log_d - m)
        size = torch.maximum(weights.sum(-1, keepdim=True).abs(), torch.exp(-m))
        return torch.sigmoid(self.o(x)) * ((weights / size) @ v)


# Mamba: Gu and Dao 2023


class Mamba(nn.Module):
    """A selective state space: Δ, B and C of x, A a parameter, step by step (algorithm 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj, self.conv = nn.Linear(D, 2 * H), nn.Conv1d(H, H, 2, groups=H, padding=1)
        self.x_proj, self.dt_proj = nn.Linear(H, 1 + 2 * N), nn.Linear(1, H)
        self.A_log, self.D = nn.Parameter(torch.rand(H, N)), nn.Parameter(torch.ones(H))
        self.out_proj = nn.Linear(H, H)

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        delta, b, c = self.x_proj(u).split([1, N, N], -1)
        delta = F.softplus(self.dt_proj(delta))
        y = self.scan(u, delta, -torch.exp(self.A_log), b, c) + u * self.D
        return self.out_proj(y * F.silu(z))

    def scan(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        kept = torch.exp(delta[..., None] * a)  # [B, T, H, N]
        new = delta[..., None] * b[:, :, None] * u[..., None]
        h, states = torch.zeros_like(new[:, 0]), []
        for t in range(u.shape[1]):
            h = kept[:, t] * h + new[:, t]
            states.append((h * c[:, t, None]).sum(-1))
        return torch.stack(states, 1)


class MambaCumsum(Mamba):
    """The scan by sums from the end, in log space: h_t = Σ_s b_s E_s / E_t."""

    def scan(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        log_kept = delta[..., None] * a
        new = delta[..., None] * b[:, :, None] * u[..., None]
        later = F.pad(log_kept[:, 1:], (0, 0, 0, 0, 0, 1)).flip(1).cumsum(1).exp().flip(1)
        h = (new * later).cumsum(1) / later
        return (h * c[:, :, None]).sum(-1)


class MambaCumprod(Mamba):
    """The scan by running products."""

    def scan(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        kept = torch.cumprod(torch.exp(delta[..., None] * a), dim=1)
        new = delta[..., None] * b[:, :, None] * u[..., None]
        return (kept * (new / kept).cumsum(1) * c[:, :, None]).sum(-1)


class MambaSegments(Mamba):
    """The scan by a triangle of sums, as in the minimal listing of Mamba-2 (Dao and Gu 2024)."""

    def scan(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        log_kept = (delta[..., None] * a).cumsum(1)  # [B, T, H, N]
        sums = log_kept[:, :, None] - log_kept[:, None]  # [B, T, S, H, N]
        seen = torch.ones(u.shape[1], u.shape[1], dtype=torch.bool, device=u.device).tril()
        weights = torch.exp(sums.masked_fill(~seen[..., None, None], -math.inf))
        new = delta[..., None] * b[:, :, None] * u[..., None]
        return (torch.einsum("btshn,bshn->bthn", weights, new) * c[:, :, None]).sum(-1)


class MambaTree(Mamba):
    """The scan by doubling (Hillis and Steele 1986): pairs (a, b) are combined over 2^k steps."""

    def scan(self, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        kept = torch.exp(delta[..., None] * a)
        h = delta[..., None] * b[:, :, None] * u[..., None]
        step = 1
        while step < u.shape[1]:
            before_h = F.pad(h[:, :-step], (0, 0, 0, 0, step, 0))
            before_kept = F.pad(kept[:, :-step], (0, 0, 0, 0, step, 0), value=1.0)
            h, kept = h + kept * before_h, kept * before_kept
            step *= 2
        return (h * c[:, :, None]).sum(-1)


# RWKV-4: Peng et al. 2023


class RWKV(nn.Module):
    """Time mixing and channel mixing, step by step, with a stabilised numerator and denominator."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.rand(3, D))
        self.r, self.k, self.v = (nn.Linear(D, H, bias=False) for _ in range(3))
        self.decay, self.first = nn.Parameter(torch.rand(H)), nn.Parameter(torch.rand(H))
        self.o = nn.Linear(H, H, bias=False)
        self.channel_mix = nn.Parameter(torch.rand(2, H))
        self.channel_r = nn.Linear(H, H, bias=False)
        self.channel_k = nn.Linear(H, 2 * H, bias=False)
        self.channel_v = nn.Linear(2 * H, H, bias=False)

    def mixed(self, x: Tensor, mix: Tensor) -> Tensor:
        """Interpolate between each word and the one before it."""
        return x * mix + F.pad(x, (0, 0, 1, -1)) * (1 - mix)

    def forward(self, x: Tensor) -> Tensor:
        of_r, of_k, of_v = (self.mixed(x, mix) for mix in self.mix)
        r, k, v = self.r(of_r), self.k(of_k), self.v(of_v)
        h = self.o(torch.sigmoid(r) * self.average(k, v))
        r = self.channel_r(self.mixed(h, self.channel_mix[0]))
        k = self.channel_k(self.mixed(h, self.channel_mix[1]))
        return h + torch.sigmoid(r) * self.channel_v(torch.relu(k) ** 2)

    def average(self, k: Tensor, v: Tensor) -> Tensor:
        """The weighted average of the values up to each step (eq. 16 and appendix D)."""
        top = bottom = torch.zeros_like(v[:, 0])
        largest, decay, states = torch.full_like(v[:, 0], -1e38), torch.exp(self.decay), []
        for t in range(v.shape[1]):
            now = self.first + k[:, t]
            m = torch.maximum(largest, now)
            old, new = torch.exp(largest - m), torch.exp(now - m)
            states.append((old * top + new * v[:, t]) / (old * bottom + new))
            m = torch.maximum(largest - decay, k[:, t])
            old, new = torch.exp(largest - decay - m), torch.exp(k[:, t] - m)
            top, bottom, largest = old * top + new * v[:, t], old * bottom + new, m
        return torch.stack(states, 1)


# AWD-LSTM: Merity et al. 2018


class WeightDroppedLSTM(nn.Module):
    """An LSTM whose recurrent weights are dropped out anew in each call, all kept in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.raw = nn.Parameter(self.lstm.weight_hh_l0.detach().clone())
        del self.lstm._parameters["weight_hh_l0"]

    def forward(self, x: Tensor) -> Tensor:
        self.lstm.weight_hh_l0 = F.dropout(self.raw, 0.5, self.training)
        return self.lstm(x)[0]
