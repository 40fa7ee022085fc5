"""LSTM, GRU and RNN: as fused layers, as cells, and written out in plain torch."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samples.model_functions.layers import D, H, Written


def fused_lstm(m: Written, ids: Tensor) -> Tensor:
    return m.head(m.lstm(m.emb(ids))[0][:, -1])


def fused_gru(m: Written, ids: Tensor) -> Tensor:
    return m.head(m.gru(m.emb(ids))[0][:, -1])


def fused_rnn(m: Written, ids: Tensor) -> Tensor:
    return m.head(m.rnn(m.emb(ids))[0][:, -1])


def cell_of(layer: nn.RNNBase) -> nn.RNNCellBase:
    cell = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[type(layer)](D, H)
    cell.double().eval()
    for name, value in layer.state_dict().items():
        getattr(cell, name.removesuffix("_l0")).data = value
    return cell


def lstm_cell(m: Written, ids: Tensor) -> Tensor:
    cell, state, x = cell_of(m.lstm), None, m.emb(ids)
    for t in range(ids.shape[1]):
        state = cell(x[:, t], state)
    return m.head(state[0])


def lstm_cell_with_zeros(m: Written, ids: Tensor) -> Tensor:
    cell, x = cell_of(m.lstm), m.emb(ids)
    h, c, outs = x.new_zeros(len(ids), H), torch.zeros(len(ids), H, dtype=x.dtype), []
    for x_t in x.transpose(0, 1):
        h, c = cell(x_t, (h, c))
        outs.append(h)
    return m.head(torch.stack(outs, dim=1)[:, -1, :])


def gru_cell(m: Written, ids: Tensor) -> Tensor:
    cell, h = cell_of(m.gru), None
    for t in range(ids.shape[1]):
        h = cell(m.emb(ids[:, t]), h)
    return m.head(h)


def rnn_cell(m: Written, ids: Tensor) -> Tensor:
    cell, h = cell_of(m.rnn), None
    for x_t in m.emb(ids).unbind(1):
        h = cell(x_t, h)
    return m.head(h)


def lstm_chunks(m: Written, ids: Tensor) -> Tensor:
    x, p = m.emb(ids), m.lstm
    h, c, outs = x.new_zeros(len(ids), H), x.new_zeros(len(ids), H), []
    for x_t in x.unbind(1):
        gates = F.linear(x_t, p.weight_ih_l0, p.bias_ih_l0) + F.linear(
            h, p.weight_hh_l0, p.bias_hh_l0
        )
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outs.append(h)
    return m.head(torch.stack(outs, 1)[:, -1])


def lstm_in_place(m: Written, ids: Tensor) -> Tensor:
    x, p = m.emb(ids), m.lstm
    h = torch.zeros(len(ids), H, dtype=x.dtype)
    c = torch.zeros_like(h)
    out = torch.zeros(len(ids), ids.shape[1], H, dtype=x.dtype)
    for t in range(ids.shape[1]):
        gates = x[:, t] @ p.weight_ih_l0.t()
        gates += p.bias_ih_l0
        gates = torch.addmm(gates, h, p.weight_hh_l0.T)
        gates = p.bias_hh_l0 + gates
        i, f, g, o = torch.split(gates, H, -1)
        c = torch.addcmul(torch.mul(f.sigmoid(), c), i.sigmoid(), g.tanh())
        h = c.tanh()
        h *= o.sigmoid()
        out[:, t] = h
    return m.head(out[:, -1])


def lstm_slices(m: Written, ids: Tensor) -> Tensor:
    p = m.lstm
    h = c = torch.zeros(len(ids), H, dtype=p.weight_ih_l0.dtype)
    bias = p.bias_ih_l0 + p.bias_hh_l0
    for t in range(ids.shape[1]):
        z = torch.einsum("bd,kd->bk", m.emb(ids[:, t]), p.weight_ih_l0)
        z = z + torch.einsum("bh,kh->bk", h, p.weight_hh_l0) + bias
        i, f = F.sigmoid(z[:, :H]), F.sigmoid(z[:, H : 2 * H])
        g, o = F.tanh(z[:, 2 * H : 3 * H]), F.sigmoid(z[..., 3 * H :])
        c = g * i + c * f
        h = F.tanh(c) * o
    return m.head(h)


def lstm_joined(m: Written, ids: Tensor) -> Tensor:
    # One weight for [x, h], as many tutorials have it.
    p, x = m.lstm, m.emb(ids)
    weight = torch.cat([p.weight_ih_l0, p.weight_hh_l0], 1)
    h, c = torch.zeros(2, len(ids), H, dtype=x.dtype).unbind(0)
    for t in range(ids.shape[1]):
        z = F.linear(torch.cat((x[:, t, :], h), dim=1), weight, p.bias_ih_l0 + p.bias_hh_l0)
        i, f, g, o = z.view(len(ids), 4, H).unbind(1)
        c = torch.add(torch.sigmoid(f).mul(c), torch.sigmoid(i).mul(torch.tanh(g)))
        h = torch.tanh(c).mul_(torch.sigmoid(o))
    return m.head(h)


def lstm_by_gate(m: Written, ids: Tensor) -> Tensor:
    # A linear layer for each gate.
    p, x = m.lstm, m.emb(ids)
    ih = list(zip(p.weight_ih_l0.chunk(4), p.bias_ih_l0.chunk(4), strict=True))
    hh = list(zip(p.weight_hh_l0.chunk(4), p.bias_hh_l0.chunk(4), strict=True))
    h = c = x.new_zeros((len(ids), H))
    for t in range(ids.shape[1]):
        i, f, g, o = (
            torch.matmul(x[:, t], W.T) + b + torch.matmul(h, U.T) + d
            for (W, b), (U, d) in zip(ih, hh, strict=True)
        )
        c = c * torch.sigmoid(f)
        c += torch.tanh(g) * torch.sigmoid(i)
        h = torch.tanh(c) * torch.sigmoid(o)
    return m.head(h)


def gru_chunks(m: Written, ids: Tensor) -> Tensor:
    x, p = m.emb(ids), m.gru
    h = x.new_zeros(len(ids), H)
    for t in range(ids.shape[1]):
        x_r, x_z, x_n = F.linear(x[:, t], p.weight_ih_l0, p.bias_ih_l0).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, p.weight_hh_l0, p.bias_hh_l0).chunk(3, -1)
        r, z = (x_r + h_r).sigmoid(), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h
    return m.head(h)


def gru_slices(m: Written, ids: Tensor) -> Tensor:
    x, p = m.emb(ids), m.gru
    h, out = torch.zeros(len(ids), H, dtype=x.dtype), x.new_zeros(ids.shape[1], len(ids), H)
    for t, x_t in enumerate(torch.unbind(x, dim=1)):
        a = torch.addmm(p.bias_ih_l0, x_t, p.weight_ih_l0.t())
        b = h @ p.weight_hh_l0.mT + p.bias_hh_l0
        gates = torch.sigmoid(a[:, : 2 * H] + b[:, : 2 * H])
        r, z = gates.split([H, H], dim=1)
        n = (a[:, 2 * H :] + b[:, 2 * H :] * r).tanh()
        h = torch.mul(n, torch.ones_like(z) - z) + torch.mul(h, z)
        out[t] = h
    return m.head(out[-1])


WRITTEN = [
    (fused_lstm, lstm_cell),
    (fused_lstm, lstm_cell_with_zeros),
    (fused_lstm, lstm_chunks),
    (fused_lstm, lstm_in_place),
    (fused_lstm, lstm_slices),
    (fused_lstm, lstm_joined),
    (fused_lstm, lstm_by_gate),
    (fused_gru, gru_cell),
    (fused_gru, gru_chunks),
    (fused_gru, gru_slices),
    (fused_rnn, rnn_cell),
]
