"""Recurrent cells written by hand."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samples.architectures.registry import C, D, H, V, architecture


class Loop(nn.Module):
    """Steps over a document; a state stays as it is where there is no word."""

    states = 1
    step: Callable[..., tuple[Tensor, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        x, mask = self.emb(ids), ids != 0
        states = tuple(torch.zeros(ids.size(0), H).to(x) for _ in range(self.states))
        for t in range(ids.size(1)):
            on = mask[:, t, None]
            new = self.step(x[:, t], *states)
            states = tuple(torch.where(on, a, b) for a, b in zip(new, states, strict=True))
        return self.fc(states[0])


@architecture()
class JoinedLSTM(Loop):
    states = 2

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(D + H, 4 * H)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = c * torch.sigmoid(f) + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@architecture()
class ParameterLSTM(nn.Module):
    # The widely copied "LSTM from scratch".
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.W = nn.Parameter(torch.empty(D, H * 4))
        self.U = nn.Parameter(torch.empty(H, H * 4))
        self.bias = nn.Parameter(torch.zeros(H * 4))
        stdv = 1.0 / math.sqrt(H)
        for weight in self.parameters():
            weight.data.uniform_(-stdv, stdv)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        bs, seq_sz, _ = x.size()
        hidden_seq = []
        h_t, c_t = (torch.zeros(bs, H, dtype=x.dtype).to(x.device) for _ in range(2))
        for t in range(seq_sz):
            gates = x[:, t, :] @ self.W + h_t @ self.U + self.bias
            i_t, f_t, g_t, o_t = (
                torch.sigmoid(gates[:, :H]),
                torch.sigmoid(gates[:, H : H * 2]),
                torch.tanh(gates[:, H * 2 : H * 3]),
                torch.sigmoid(gates[:, H * 3 :]),
            )
            c_t = f_t * c_t + i_t * g_t
            h_t = o_t * torch.tanh(c_t)
            hidden_seq.append(h_t.unsqueeze(0))
        out = torch.cat(hidden_seq, dim=0).transpose(0, 1).contiguous()
        lengths = (ids != 0).sum(1)
        return self.fc(torch.stack([out[b, n - 1] for b, n in enumerate(lengths.tolist())]))


@architecture()
class ChoGRU(Loop):
    # The reset gate before the product, a layer for each gate.
    def __init__(self) -> None:
        super().__init__()
        self.w_z, self.u_z = nn.Linear(D, H), nn.Linear(H, H, bias=False)
        self.w_r, self.u_r = nn.Linear(D, H), nn.Linear(H, H, bias=False)
        self.w_h, self.u_h = nn.Linear(D, H), nn.Linear(H, H, bias=False)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        z = torch.sigmoid(self.w_z(x) + self.u_z(h))
        r = torch.sigmoid(self.w_r(x) + self.u_r(h))
        candidate = torch.tanh(self.w_h(x) + self.u_h(r * h))
        return (h + z * (candidate - h),)


@architecture()
class PeepholeLSTM(Loop):
    states = 2

    def __init__(self) -> None:
        super().__init__()
        self.x2h, self.h2h = nn.Linear(D, 4 * H), nn.Linear(H, 4 * H)
        self.p_i, self.p_f, self.p_o = (nn.Parameter(torch.randn(H)) for _ in range(3))

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = torch.split(self.x2h(x) + self.h2h(h), H, dim=-1)
        i, f = (i + self.p_i * c).sigmoid(), (f + self.p_f * c).sigmoid()
        c = f * c + i * g.tanh()
        o = (o + self.p_o * c).sigmoid()
        return o * c.tanh(), c


@architecture()
class LayerNormLSTM(Loop):
    states = 2

    def __init__(self) -> None:
        super().__init__()
        self.ih, self.hh = nn.Linear(D, 4 * H, bias=False), nn.Linear(H, 4 * H, bias=False)
        self.ln_x, self.ln_h, self.ln_c = nn.LayerNorm(4 * H), nn.LayerNorm(4 * H), nn.LayerNorm(H)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        gates = self.ln_x(self.ih(x)) + self.ln_h(self.hh(h))
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.ln_c(c)), c


class Normalise(nn.Module):
    """(x - mean) / std, as written before nn.LayerNorm was there."""

    def __init__(self, size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta


@architecture()
class HandNormalisedLSTM(LayerNormLSTM):
    def __init__(self) -> None:
        super().__init__()
        self.ln_x, self.ln_h = Normalise(4 * H), Normalise(4 * H)  # type: ignore[assignment]
        self.ln_c = Normalise(H)  # type: ignore[assignment]


@architecture()
class MinimalGatedUnit(Loop):
    def __init__(self) -> None:
        super().__init__()
        self.forget, self.candidate = nn.Linear(D + H, H), nn.Linear(D + H, H)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        f = self.forget(torch.cat((h, x), -1)).sigmoid()
        n = self.candidate(torch.cat((f * h, x), -1)).tanh()
        return (torch.lerp(h, n, f),)


@architecture()
class CoupledLSTMInPlace(Loop):
    # Input and forget gate coupled; memory saved wherever that can be done.
    states = 2

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(D, 3 * H)
        self.rec = nn.Linear(H, 3 * H, bias=False)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        z = self.lin(x)
        z += self.rec(h)
        f, g, o = z.chunk(3, -1)
        f = f.sigmoid()
        new = c * f
        new.add_((1 - f) * g.tanh())
        out = new.clone().tanh_()
        out.mul_(o.sigmoid())
        return F.relu_(out), new


@architecture()
class MultiplicativeLSTM(Loop):
    states = 2

    def __init__(self) -> None:
        super().__init__()
        self.wmx, self.wmh = nn.Linear(D, H, bias=False), nn.Linear(H, H, bias=False)
        self.wx, self.wm = nn.Linear(D, 4 * H), nn.Linear(H, 4 * H, bias=False)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        m = self.wmx(x) * self.wmh(h)
        i, f, o, u = self.wx(x).add(self.wm(m)).split(H, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        return o.sigmoid() * c.tanh(), c


@architecture()
class IndependentRNN(Loop):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Linear(D, H)
        self.u = nn.Parameter(torch.rand(H))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return (F.leaky_relu(torch.addcmul(self.w(x), self.u, h)),)


@architecture()
class QuasiRecurrent(nn.Module):
    # Gates by a convolution that looks back only, then fo-pooling.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.conv = nn.Conv1d(D, 3 * H, kernel_size=2)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        x = F.pad(self.emb(ids).permute(0, 2, 1), (1, 0))
        z, f, o = self.conv(x).permute(2, 0, 1).chunk(3, dim=2)
        z, f, o = z.tanh(), f.sigmoid(), o.sigmoid()
        c, hs = torch.zeros_like(z[0]), []
        for z_t, f_t, o_t in zip(z, f, o, strict=True):
            c = f_t * c + (1.0 - f_t) * z_t
            hs.append(o_t * c)
        h = torch.stack(hs)
        last = (ids != 0).sum(dim=1) - 1
        return self.fc(h[last, torch.arange(ids.size(0))])


@architecture()
class SimpleRecurrentUnit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, H, padding_idx=0)
        self.W = nn.Linear(H, 3 * H, bias=False)
        self.v_f, self.v_r = nn.Parameter(torch.randn(H)), nn.Parameter(torch.randn(H))
        self.b_f, self.b_r = nn.Parameter(torch.randn(H)), nn.Parameter(torch.randn(H))
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        u, f, r = self.W(x).chunk(3, dim=-1)
        c = x.new_zeros(x.size(0), H)
        out = torch.empty_like(x)
        for t in range(x.size(1)):
            f_t = torch.sigmoid(f[:, t] + self.v_f * c + self.b_f)
            r_t = torch.sigmoid(r[:, t] + self.v_r * c + self.b_r)
            c = f_t * c + (1 - f_t) * u[:, t]
            out[:, t] = r_t * c + (1 - r_t) * x[:, t]
        valid = (ids != 0).type_as(out).unsqueeze(-1)
        return self.fc(out.mul(valid).sum(1).div(valid.sum(1)))


@architecture()
class UnboundLSTM(nn.Module):
    # Both directions by hand: unbind, reversed(), and a stack at the end.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.there, self.back = nn.LSTMCell(D, H), nn.LSTMCell(D, H)
        self.fc = nn.Linear(2 * H, C)

    def run(self, cell: nn.LSTMCell, steps: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        state, outs = None, []
        for x_t, m_t in steps:
            state = cell(x_t, state)
            state = tuple(s * m_t for s in state)  # padding resets the state
            outs.append(state[0])
        return outs

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        mask = (ids != 0).to(x.dtype)[..., None]
        steps = list(zip(x.unbind(1), mask.unbind(1), strict=True))
        there = self.run(self.there, steps)
        back = self.run(self.back, steps[::-1])[::-1]
        both = torch.cat([torch.stack(there, 1), torch.stack(back, 1)], -1)
        return self.fc(both.sum(dim=1) / mask.sum(dim=1))
