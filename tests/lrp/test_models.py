"""Models as people write them: each closes its ledger, and equals the same model written otherwise.

A model here is a function of a `Bag` of layers and of the ids; `Written` makes a module of it.
"""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
)

import seqlrp
from seqlrp.errors import PaddingWarning

V, D, H, C = 30, 5, 4, 3
EPSILON = 0.01
Forward = Callable[..., Any]


class Written(nn.Module):
    """Layers for every model here, and a forward written by somebody."""

    def __init__(self, write: Forward) -> None:
        super().__init__()
        self.write = write
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.second_emb = nn.Embedding(V, D, padding_idx=0)
        self.positions = nn.Embedding(16, D)
        self.bag = nn.EmbeddingBag(V, D, mode="sum")
        self.bag_mean = nn.EmbeddingBag(V, D, mode="mean", padding_idx=0)
        self.bag_max = nn.EmbeddingBag(V, D, mode="max")
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.rnn = nn.RNN(D, H, batch_first=True)
        self.square = nn.LSTM(D, D, batch_first=True)
        self.wide = nn.LSTM(2 * D, H, batch_first=True)
        self.both = nn.LSTM(D, H, batch_first=True, bidirectional=True)
        self.both_gru = nn.GRU(D, H, num_layers=2, bidirectional=True, dropout=0.3)
        self.sentences = nn.GRU(2 * H, H, batch_first=True)
        self.att = nn.Linear(2 * H, 1)
        self.att_hidden = nn.Linear(2 * H, H)
        self.query = nn.Parameter(torch.empty(H))
        self.head = nn.Linear(H, C)
        self.head2 = nn.Linear(2 * H, C)
        self.head_d = nn.Linear(D, C)
        self.mlp = nn.Sequential(
            nn.Linear(2 * H, 6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 5),
            nn.Tanh(), nn.Linear(5, C, bias=False),
        )  # fmt: skip
        self.sigmoid_mlp = nn.Sequential(nn.Linear(H, 6), nn.Sigmoid(), nn.Linear(6, C))

    def forward(self, ids: Tensor, *more: Any) -> Any:
        return self.write(self, ids, *more)


def build(write: Forward, seed: int = 0) -> Written:
    model = Written(write).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double() * 0.7)
        model.emb.weight[0] = model.second_emb.weight[0] = 0
    return model


FULL = torch.randint(1, V, (4, 6), generator=torch.Generator().manual_seed(0))
PADDED = FULL.clone()
PADDED[1, 4:] = PADDED[2, 1:] = 0
LONGEST_FIRST = PADDED[[0, 3, 1, 2]]


def explained(write: Forward, ids: Tensor, epsilon: float = EPSILON, **options: Any) -> Any:
    return seqlrp.LRP(build(write), epsilon).attribute(ids, target=1, return_ledger=True, **options)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


# Recurrent layers, written out


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


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
@pytest.mark.parametrize(("fused", "written"), WRITTEN, ids=lambda f: f.__name__)
def test_written_out_is_fused(fused: Forward, written: Forward, epsilon: float) -> None:
    close(build(fused)(FULL), build(written)(FULL), 1e-14)
    relevance, ledger = explained(fused, FULL, epsilon)
    got, account = explained(written, FULL, epsilon)
    close(got, relevance)
    close(account.total("tokens"), ledger.total("tokens"))
    close(account.total("stabiliser"), ledger.total("stabiliser"))
    # A bias times a gate may be booked as a constant.
    fixed = ("bias", "constant", "initial state")
    close(sum(account.total(k) for k in fixed), sum(ledger.total(k) for k in fixed))


# Whole classifiers


def packed(m: Written, ids: Tensor, layer: nn.RNNBase, **options: Any) -> tuple[Tensor, Any]:
    x = m.emb(ids) if layer.batch_first else m.emb(ids.t())
    lengths = (ids != 0).sum(1)
    options = {"batch_first": layer.batch_first, "enforce_sorted": False} | options
    out, final = layer(pack_padded_sequence(x, lengths, **options))
    out, _ = pad_packed_sequence(out, batch_first=layer.batch_first, total_length=ids.shape[1])
    return out, final


def bilstm_attention(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.both)
    scores = m.att(out).squeeze(-1).masked_fill(ids == 0, float("-inf"))
    weights = torch.softmax(scores, dim=1)
    return m.head2(torch.bmm(weights.unsqueeze(1), out).squeeze(1))


def attention_with_a_hidden_layer(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.both)
    scores = torch.tanh(m.att_hidden(out)) @ m.query
    scores = scores + (ids == 0).double() * -1e9
    return m.head2((F.softmax(scores, -1).unsqueeze(-1) * out).sum(1))


def attention_by_hand(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.both)
    weights = torch.exp(torch.tanh(m.att_hidden(out)).matmul(m.query)) * (ids != 0)
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-10)
    return m.head2(torch.einsum("bt,bth->bh", weights, out))


def last_states(m: Written, ids: Tensor) -> Tensor:
    _, (h, _) = packed(m, ids, m.both)
    return m.head2(torch.cat((h[-2], h[-1]), dim=1))


def last_states_transposed(m: Written, ids: Tensor) -> Tensor:
    _, (h, _) = packed(m, ids, m.both)
    return m.mlp(h.transpose(0, 1).reshape(len(ids), -1))


def last_cell(m: Written, ids: Tensor) -> Tensor:
    _, (_, c) = packed(m, ids, m.lstm)
    return m.head(torch.tanh(c.squeeze(0)))


def gather_the_last(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.lstm)
    index = ((ids != 0).sum(1) - 1).view(-1, 1, 1).expand(-1, 1, H)
    return m.head(out.gather(1, index).squeeze(1))


def index_the_last(m: Written, ids: Tensor) -> Tensor:
    out, _ = m.lstm(m.emb(ids))
    return m.head(out[torch.arange(len(ids)), (ids != 0).sum(1) - 1])


def gru_max(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.gru)
    return m.head(out.masked_fill((ids == 0).unsqueeze(-1), -1e9).max(dim=1)[0])


def gru_max_pool1d(m: Written, ids: Tensor) -> Tensor:
    out = m.gru(m.emb(ids))[0].permute(0, 2, 1)
    return m.head(F.max_pool1d(out, out.size(2)).squeeze(2))


def mean_of_valid(m: Written, ids: Tensor) -> Tensor:
    mask = (ids != 0).unsqueeze(-1)
    out, _ = packed(m, ids, m.both)
    return m.mlp((out * mask).sum(1) / mask.sum(1))


def time_major(m: Written, ids: Tensor) -> Tensor:
    out, h = packed(m, ids, m.both_gru)
    h = h.view(2, 2, len(ids), H)[-1]
    return m.mlp(torch.cat([h[0], h[1]], -1)) + m.head2(out.sum(0))


def sorts_by_itself(m: Written, ids: Tensor) -> Tensor:
    lengths = (ids != 0).sum(1)
    lengths, order = lengths.sort(dim=0, descending=True, stable=True)
    _, back = order.sort(0)
    x = m.emb(ids.index_select(0, order))
    out, (h, _) = m.both(pack_padded_sequence(x, lengths.tolist(), batch_first=True))
    out, _ = pad_packed_sequence(out, batch_first=True)
    out = out.index_select(0, back)
    return m.head2(out.sum(1)) + m.mlp(torch.cat([h[0], h[1]], 1)[back])


def packs_sequences(m: Written, ids: Tensor) -> Tensor:
    rows = [m.emb(row[row != 0]) for row in ids]
    out, _ = m.lstm(pack_sequence(rows, enforce_sorted=False))
    return m.head(pad_packed_sequence(out, batch_first=True)[0].sum(1))


def pads_sequences(m: Written, ids: Tensor) -> Tensor:
    rows = [m.lstm(m.emb(row[row != 0]).unsqueeze(0))[0][0] for row in ids]
    return m.head(pad_sequence(rows, batch_first=True).sum(1))


def bag_sum(m: Written, ids: Tensor) -> Tensor:
    return m.head_d(m.bag(ids))


def bag_mean(m: Written, ids: Tensor) -> Tensor:
    return m.head_d(m.bag_mean(ids).tanh())


def bag_max(m: Written, ids: Tensor) -> Tensor:
    return m.head_d(m.bag_max(ids))


def bag_weighted(m: Written, ids: Tensor) -> Tensor:
    return m.head_d(m.bag(ids, per_sample_weights=(ids % 7).double() / 7))


def dan(m: Written, ids: Tensor) -> Tensor:
    return m.head_d(torch.relu(m.emb(ids).mean(1)))


def hidden_sigmoid(m: Written, ids: Tensor) -> Tensor:
    return m.sigmoid_mlp(packed(m, ids, m.gru)[1][0])


def residual(m: Written, ids: Tensor) -> Tensor:
    x = m.emb(ids)
    return m.head_d((x + m.square(x)[0]).mean(1))


def residual_in_place(m: Written, ids: Tensor) -> Tensor:
    x = m.emb(ids)
    y, _ = m.square(x)
    y += x
    return m.head_d(F.relu(y).sum(1))


def with_positions(m: Written, ids: Tensor) -> Tensor:
    x = m.emb(ids) + m.positions(torch.arange(ids.size(1), device=ids.device))
    return m.head(m.lstm(x)[0][:, -1])


def two_embeddings(m: Written, ids: Tensor) -> Tensor:
    x = torch.cat([m.emb(ids), m.second_emb(ids)], dim=-1)
    return m.head(m.wide(x)[0].mean(1))


def two_branches(m: Written, ids: Tensor) -> Tensor:
    a, b = m.lstm(m.emb(ids))[0][:, -1], m.gru(m.second_emb(ids))[0].max(1).values
    return m.head(a) - 0.5 * m.head(b)


def shifted(m: Written, ids: Tensor) -> Tensor:
    x = m.emb(ids)
    x = F.dropout(F.pad(x, (0, 0, 1, 0))[:, :-1] + x, 0.2, m.training)
    return m.head(m.lstm(x.flip([1]))[0][:, -1])


def flipped(m: Written, ids: Tensor) -> Tensor:
    ahead, _ = m.gru(m.emb(ids))
    back, _ = m.gru(m.emb(ids).flip(1))
    return m.head(ahead[:, -1]) + m.head(torch.flip(back, (1,))[:, 0])


def gated_sum(m: Written, ids: Tensor) -> Tensor:
    a, b = m.lstm(m.emb(ids))[0][:, -1], m.gru(m.emb(ids))[0][:, -1]
    g = torch.sigmoid(a + b)
    return m.head(g * a + (1 - g) * b)


def normalised_attention(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.both)
    scores = (m.att_hidden(out) * m.query).sum(-1) / H**0.5
    scores = torch.where(ids == 0, float("-inf"), scores)
    return m.head2((out.transpose(1, 2) @ scores.softmax(1).unsqueeze(2)).squeeze(2))


def self_attention(m: Written, ids: Tensor) -> Tensor:
    out, _ = packed(m, ids, m.both)
    scores = out @ out.transpose(1, 2) / (2 * H) ** 0.5
    scores = scores.masked_fill((ids == 0).unsqueeze(1), -1e9)
    mixed = torch.matmul(scores.softmax(-1), out)
    return m.head2(mixed.masked_fill((ids == 0).unsqueeze(-1), 0).sum(1))


def no_grad_forward(m: Written, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return bilstm_attention(m, ids)


@torch.no_grad()
def no_grad_decorated(m: Written, ids: Tensor) -> Tensor:
    return gru_max(m, ids)


def relu_written_with_where(m: Written, ids: Tensor) -> Tensor:
    h = packed(m, ids, m.gru)[1][0]
    return m.head(torch.where(h > 0, h, torch.zeros_like(h)))


def dead_units(m: Written, ids: Tensor) -> Tensor:
    # Of one document, everything is masked away.
    h = packed(m, ids, m.gru)[1][0]
    return m.head(h.masked_fill((torch.arange(len(h)) == 2).unsqueeze(1), 0.0))


def chosen_at_will(m: Written, ids: Tensor) -> Tensor:
    # A constant takes the place of what one document's state would be.
    h = packed(m, ids, m.gru)[1][0]
    return m.head(h.masked_fill((torch.arange(len(h)) == 2).unsqueeze(1), 0.3))


def loop_over_documents(m: Written, ids: Tensor) -> Tensor:
    rows = [m.lstm(m.emb(row[row != 0].unsqueeze(0)))[1][0][0, 0] for row in ids]
    return m.head(torch.stack(rows))


def packed_cells(m: Written, ids: Tensor) -> Tensor:
    # A loop of cells that keeps the state where a document has ended.
    cell, x = cell_of(m.lstm), m.emb(ids)
    h = c = x.new_zeros(len(ids), H)
    for t in range(ids.shape[1]):
        on = (ids[:, t] != 0).unsqueeze(1)
        h_new, c_new = cell(x[:, t], (h, c))
        h, c = torch.where(on, h_new, h), torch.where(on, c_new, c)
    return m.head(h)


def cells_multiplied_by_the_mask(m: Written, ids: Tensor) -> Tensor:
    cell, x = cell_of(m.gru), m.emb(ids)
    h = x.new_zeros(len(ids), H)
    for t in range(ids.shape[1]):
        on = (ids[:, t] != 0).to(x.dtype).unsqueeze(1)
        h = on * cell(x[:, t], h) + (1 - on) * h
    return m.head(h)


def state_from_the_ids(m: Written, ids: Tensor) -> Tensor:
    start = torch.tanh(m.att_hidden(packed(m, ids, m.both)[0]).sum(1))
    out, _ = m.gru(m.emb(ids), start.unsqueeze(0))
    return m.head(out[torch.arange(len(ids)), (ids != 0).sum(1) - 1])


CLASSIFIERS = [
    bilstm_attention, attention_with_a_hidden_layer, attention_by_hand, last_states,
    last_states_transposed, last_cell, gather_the_last, index_the_last, gru_max, mean_of_valid,
    time_major, sorts_by_itself, packs_sequences, pads_sequences, bag_mean, hidden_sigmoid,
    normalised_attention, self_attention, no_grad_forward, no_grad_decorated,
    relu_written_with_where, dead_units, chosen_at_will, loop_over_documents, packed_cells,
    cells_multiplied_by_the_mask, state_from_the_ids,
]  # fmt: skip
# These let padding in, or have none: documents of one length.
UNMASKED = [
    fused_lstm, fused_gru, fused_rnn, *(written for _, written in WRITTEN), gru_max_pool1d,
    bag_sum, bag_max, bag_weighted, dan, residual, residual_in_place, with_positions,
    two_embeddings, two_branches, shifted, flipped, gated_sum,
]  # fmt: skip
ALL = [(write, PADDED) for write in CLASSIFIERS] + [(write, FULL) for write in UNMASKED]
everything = pytest.mark.parametrize(
    ("write", "ids"), ALL, ids=lambda v: v.__name__ if callable(v) else ""
)


@everything
def test_the_ledger_closes_for_each_document(write: Forward, ids: Tensor) -> None:
    scores = build(write)(ids).detach()
    for epsilon in (0.0, 1e-3, 0.1):
        relevance, ledger = explained(write, ids, epsilon)
        assert relevance.shape == ids.shape
        close(ledger.score, scores[:, 1], 1e-14)
        assert (ledger.residual.abs() <= 1e-10 * scores[:, 1].abs().clamp_min(1)).all()
        assert not relevance[ids == 0].any()
        close(ledger.total("tokens"), relevance.sum(1))
        if epsilon == 0:
            close(ledger.total("stabiliser"), torch.zeros(len(ids), dtype=torch.float64), 1e-14)


@everything
def test_a_documents_ledger_is_the_same_alone(write: Forward, ids: Tensor) -> None:
    if write in (dead_units, chosen_at_will):
        pytest.skip("what is masked is chosen by the place in the batch")
    relevance, ledger = explained(write, ids)
    for b in range(len(ids)):
        alone, account = explained(write, ids[b : b + 1])
        close(alone[0], relevance[b])
        for kind, total in account.totals.items():
            close(total[0], ledger.total(kind)[b])
        # operation by operation
        for entry in account.entries:
            (same,) = (
                e for e in ledger.entries
                if (e.kind, e.operation, e.module) == (entry.kind, entry.operation, entry.module)
            )  # fmt: skip
            close(entry.amount[0], same.amount[b])


@everything
def test_all_targets_are_the_single_ones(write: Forward, ids: Tensor) -> None:
    lrp = seqlrp.LRP(build(write), EPSILON)
    relevance, ledger = lrp.attribute(ids, target="all", return_ledger=True)
    assert relevance.shape == (len(ids), C, ids.shape[1])
    assert ledger.score.shape == (len(ids), C)
    for target in range(C):
        alone, account = lrp.attribute(ids, target=target, return_ledger=True)
        close(relevance[:, target], alone)
        for kind, total in account.totals.items():
            close(ledger.total(kind)[:, target], total)
        close(lrp.attribute(ids, target=target), alone)  # without a ledger


@everything
def test_the_scores_are_the_models_own(write: Forward, ids: Tensor) -> None:
    model = build(write)
    found = seqlrp.LRP(model, EPSILON).attribution(ids)
    close(found.scores, model(ids).detach(), 1e-14)
    assert not found.scores.requires_grad
    assert found.target is not None
    assert found.target.equal(found.scores.argmax(1))


# ε = 0 with the gates detached by hand


def linearised(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) with the gradient of the identity rule: f(x)/x, held constant."""
    return x * (f(x) / x).detach()


def detached_lstm(m: Written, x: Tensor, layer: nn.LSTM, suffix: str = "") -> Tensor:
    w, u, b, d = (
        getattr(layer, f"{n}_l0{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = x.new_zeros(len(x), H)
    outs = []
    for t in reversed(range(x.shape[1])) if suffix else range(x.shape[1]):
        i, f, g, o = (F.linear(x[:, t], w, b) + F.linear(h, u, d)).chunk(4, 1)
        i, f, o = i.sigmoid().detach(), f.sigmoid().detach(), o.sigmoid().detach()
        c = f * c + i * linearised(torch.tanh, g)
        h = o * linearised(torch.tanh, c)
        outs.append(h)
    return torch.stack(outs[::-1] if suffix else outs, 1)


def detached_gru(m: Written, x: Tensor) -> Tensor:
    p, outs = m.gru, []
    h = x.new_zeros(len(x), H)
    for t in range(x.shape[1]):
        x_r, x_z, x_n = F.linear(x[:, t], p.weight_ih_l0, p.bias_ih_l0).chunk(3, 1)
        h_r, h_z, h_n = F.linear(h, p.weight_hh_l0, p.bias_hh_l0).chunk(3, 1)
        r, z = (x_r + h_r).sigmoid().detach(), (x_z + h_z).sigmoid().detach()
        h = (1 - z) * linearised(torch.tanh, x_n + r * h_n) + z * h
        outs.append(h)
    return torch.stack(outs, 1)


def detached_attention(m: Written, x: Tensor) -> Tensor:
    out = torch.cat([detached_lstm(m, x, m.both), detached_lstm(m, x, m.both, "_reverse")], -1)
    weights = torch.softmax(m.att(out).squeeze(-1), 1).detach()
    return m.head2(torch.bmm(weights.unsqueeze(1), out).squeeze(1))


DETACHED: list[tuple[Forward, Callable[[Written, Tensor], Tensor]]] = [
    (bilstm_attention, detached_attention),
    *(
        (write, lambda m, x: m.head(detached_lstm(m, x, m.lstm)[:, -1]))
        for fused, write in [(fused_lstm, fused_lstm), *WRITTEN]
        if fused is fused_lstm
    ),
    *(
        (write, lambda m, x: m.head(detached_gru(m, x)[:, -1]))
        for fused, write in [(fused_gru, fused_gru), *WRITTEN]
        if fused is fused_gru
    ),
    (gru_max, lambda m, x: m.head(detached_gru(m, x).max(1).values)),
]


@pytest.mark.parametrize(("write", "detached"), DETACHED, ids=lambda f: f.__name__)
def test_epsilon_zero_is_gradient_x_input_with_gates_detached(
    write: Forward, detached: Callable[[Written, Tensor], Tensor]
) -> None:
    model = build(write)
    x = model.emb(FULL).detach().requires_grad_()
    scores = detached(model, x)
    close(scores.detach(), model(FULL).detach(), 1e-13)
    relevance = seqlrp.LRP(model, 0).attribute(FULL, target="all", reduce=False)
    for target in range(C):
        (gradient,) = torch.autograd.grad(scores[:, target].sum(), x, retain_graph=True)
        close(relevance[:, target], gradient * x.detach())


# One attention, many spellings


def spelled_attention(pool: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Forward:
    def write(m: Written, ids: Tensor) -> Tensor:
        out, _ = packed(m, ids, m.both)
        return m.head2(pool(m.att(out).squeeze(-1), out, ids == 0))

    return write


def by_exp(scores: Tensor, out: Tensor, outside: Tensor) -> Tensor:
    e = torch.exp(scores - scores.max(1, keepdim=True).values).masked_fill(outside, 0)
    return ((e / e.sum(1, keepdim=True)).unsqueeze(-1) * out).sum(1)


def divides_last(scores: Tensor, out: Tensor, outside: Tensor) -> Tensor:
    e = scores.exp() * ~outside
    return (e.unsqueeze(2) * out).sum(1) / e.sum(1, keepdim=True)


def softmaxed(scores: Tensor, outside: Tensor) -> Tensor:
    return scores.masked_fill(outside, float("-inf")).softmax(1)


POOLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mul+sum": lambda s, o, m: (softmaxed(s, m).unsqueeze(-1) * o).sum(1),
    "sum of mul": lambda s, o, m: torch.sum(o * softmaxed(s, m)[..., None], dim=1),
    "bmm": lambda s, o, m: softmaxed(s, m).unsqueeze(1).bmm(o).squeeze(1),
    "bmm turned": lambda s, o, m: torch.bmm(o.mT, softmaxed(s, m).unsqueeze(2)).squeeze(2),
    "matmul": lambda s, o, m: (softmaxed(s, m).unsqueeze(-2) @ o)[:, 0],
    "einsum": lambda s, o, m: torch.einsum("bt,bth->bh", softmaxed(s, m), o),
    "einsum turned": lambda s, o, m: torch.einsum("bth, bt -> bh", o, softmaxed(s, m)),
    "-inf added": lambda s, o, m: POOLS["bmm"](
        s + torch.zeros_like(s).masked_fill(m, float("-inf")), o, m
    ),
    "where": lambda s, o, m: POOLS["bmm"](torch.where(m, -1e30, s), o, m),
    "nn.Softmax": lambda s, o, m: (
        nn.Softmax(dim=-1)(s.masked_fill(m, -1e30)).unsqueeze(-1).expand_as(o) * o
    ).sum(1),
    "exp": by_exp,
    "exp, divided last": divides_last,
    "document by document": lambda s, o, m: torch.stack(
        [softmaxed(s, m)[b] @ o[b] for b in range(len(o))]
    ),
    "log_softmax": lambda s, o, m: (
        F.log_softmax(s.masked_fill(m, -1e30), 1).exp().unsqueeze(-1) * o
    ).sum(1),
    "clamped": lambda s, o, m: (
        (s.exp() * ~m / (s.exp() * ~m).sum(1, keepdim=True).clamp(min=1e-9)).unsqueeze(-1) * o
    ).sum(1),
}


@pytest.mark.parametrize("name", POOLS)
def test_attention_has_many_spellings(name: str) -> None:
    relevance, ledger = explained(bilstm_attention, PADDED)
    got, account = explained(spelled_attention(POOLS[name]), PADDED)
    close(got, relevance)
    close(account.residual, torch.zeros(len(PADDED), dtype=torch.float64))
    close(account.total("stabiliser"), ledger.total("stabiliser"))


def test_where_the_attention_looks_takes_no_relevance() -> None:
    # A word that only steers attention to another one is a gate.
    def write(m: Written, ids: Tensor) -> Tensor:
        values, steering = m.emb(ids), m.second_emb(ids)
        return m.head_d((steering.sum(-1, keepdim=True).softmax(1) * values).sum(1))

    relevance = seqlrp.LRP(build(write), 0).attribute(FULL, target=1, reduce=False)
    model = build(write)
    weights = model.second_emb(FULL).sum(-1, keepdim=True).softmax(1)
    close(relevance, (weights * model.emb(FULL) * model.head_d.weight[1]).detach())


# Input and output of other kinds


def test_hierarchical() -> None:
    def write(m: Written, ids: Tensor) -> Tensor:
        B, S, W = ids.shape
        words = m.both(m.emb(ids.view(B * S, W)))[0].mean(1)
        return m.head(m.sentences(words.view(B, S, -1))[0][:, -1])

    ids = torch.randint(1, V, (3, 2, 4), generator=torch.Generator().manual_seed(1))
    relevance, ledger = explained(write, ids)
    assert relevance.shape == (3, 2, 4)
    assert ledger.residual.abs().max() < 1e-12
    close(ledger.total("tokens"), relevance.sum((1, 2)))
    for b in range(3):
        alone, account = explained(write, ids[b : b + 1])
        close(alone[0], relevance[b])
        close(account.total("bias")[0], ledger.total("bias")[b])


def test_bags_with_offsets() -> None:
    def write(m: Written, ids: Tensor, offsets: Tensor) -> Tensor:
        return m.head_d(m.bag_mean(ids, offsets).tanh())

    ids, offsets = torch.tensor([3, 4, 5, 6, 7, 3, 2]), torch.tensor([0, 2, 5])
    relevance, ledger = explained(write, ids, additional_forward_args=(offsets,))
    assert relevance.shape == (7,)
    assert ledger.residual.abs().max() < 1e-12
    rows, _ = explained(bag_mean, torch.tensor([[3, 4, 0], [5, 6, 7], [3, 2, 0]]))
    close(relevance, rows[rows != 0])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 0])
def test_a_bag_is_what_it_pools(mode: str, padding_idx: int | None) -> None:
    def bagged(m: Written, ids: Tensor) -> Tensor:
        return m.head_d(F.embedding_bag(ids, m.emb.weight, mode=mode, padding_idx=padding_idx))

    def pooled(m: Written, ids: Tensor) -> Tensor:
        x, lengths = m.emb(ids), torch.full((len(ids), 1), ids.shape[1])
        if padding_idx is not None:
            lengths = (ids != 0).sum(1, keepdim=True)
            x = x * (ids != 0).unsqueeze(-1)
        if mode != "max":
            return m.head_d(x.sum(1) / (lengths if mode == "mean" else 1))
        if padding_idx is not None:
            x = x.masked_fill((ids == 0).unsqueeze(-1), float("-inf"))
        return m.head_d(x.max(1).values)

    ids = FULL if padding_idx is None else PADDED
    close(build(bagged)(ids), build(pooled)(ids), 1e-14)
    relevance, ledger = explained(bagged, ids)
    expect, account = explained(pooled, ids)
    close(relevance, expect)
    for kind, total in account.totals.items():
        close(ledger.total(kind), total)


def test_vectors_are_explained_like_the_ids_they_were_looked_up_by() -> None:
    def write(m: Written, x: Tensor) -> Tensor:
        return m.head2(m.both(x)[0].max(1).values)

    def by_ids(m: Written, ids: Tensor) -> Tensor:
        return write(m, m.emb(ids))

    x = build(write).emb(FULL).detach()
    relevance, ledger = explained(write, x)
    expect, account = explained(by_ids, FULL)
    assert relevance.shape == FULL.shape
    close(relevance, expect)
    close(ledger.total("tokens"), account.total("tokens"))
    full = seqlrp.LRP(build(write), EPSILON).attribute(x, target=1, reduce=False)
    assert full.shape == (*FULL.shape, D)
    close(full.sum(-1), relevance)


@pytest.mark.parametrize("key", [0, -2, "tuple", "dict", "attribute"])
def test_one_of_several_outputs(key: int | str) -> None:
    def write(m: Written, ids: Tensor) -> Any:
        out = m.lstm(m.emb(ids))[0]
        scores = m.head(out[:, -1])
        if key == "dict":
            return {"logits": scores, "states": out}
        if key == "attribute":
            return torch.nn.modules.module._IncompatibleKeys(scores, out)  # a named tuple
        return scores, out

    output = {"tuple": 0, "dict": "logits", "attribute": "missing_keys"}.get(str(key), key)
    lrp = seqlrp.LRP(build(write), EPSILON, output=output)
    relevance, ledger = lrp.attribute(FULL, target=1, return_ledger=True)
    expect, _ = explained(fused_lstm, FULL)
    close(relevance, expect)
    assert ledger.residual.abs().max() < 1e-12


def test_one_output_without_a_class_dimension() -> None:
    def flat(m: Written, ids: Tensor) -> Tensor:
        return fused_lstm(m, ids)[:, 1]

    def column(m: Written, ids: Tensor) -> Tensor:
        return fused_lstm(m, ids)[:, 1:2]

    expect, _ = explained(fused_lstm, FULL)
    for write in (flat, column):
        lrp = seqlrp.LRP(build(write), EPSILON)
        found = lrp.attribution(FULL)
        assert found.scores.shape == (len(FULL), 1)
        close(found.relevance, expect)
        close(lrp.attribute(FULL, target="all")[:, 0], expect)
        assert found.ledger is not None
        assert found.ledger.residual.abs().max() < 1e-12


def test_inside_inference_mode() -> None:
    lrp = seqlrp.LRP(build(bilstm_attention), EPSILON)
    expect = lrp.attribute(PADDED, target=1)
    with torch.inference_mode():
        relevance = lrp.attribute(PADDED.clone(), target=1)
        assert torch.is_inference_mode_enabled()
    close(relevance, expect)
    with torch.no_grad():
        close(lrp.attribute(PADDED, target=1), expect)


def test_a_model_made_in_inference_mode() -> None:
    expect, _ = explained(bilstm_attention, PADDED)
    with torch.inference_mode():
        model = build(bilstm_attention)
    close(seqlrp.LRP(model, EPSILON).attribute(PADDED, target=1), expect)


def test_a_frozen_model() -> None:
    expect, _ = explained(bilstm_attention, PADDED)
    model = build(bilstm_attention).requires_grad_(False)
    close(seqlrp.LRP(model, EPSILON).attribute(PADDED, target=1), expect)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "write", [bilstm_attention, lstm_chunks, gru_slices, gru_max], ids=lambda f: f.__name__
)
def test_lower_precision(write: Forward, dtype: torch.dtype) -> None:
    ids = PADDED if write in CLASSIFIERS else FULL
    model = build(write).to(dtype)
    relevance, ledger = seqlrp.LRP(model, EPSILON).attribute(ids, target=1, return_ledger=True)
    assert relevance.dtype == torch.float32
    # against float64 with the very same (rounded) weights
    expect = seqlrp.LRP(model.double(), EPSILON).attribute(ids, target=1)
    scale = expect.abs().max().item()
    error = (relevance.double() - expect).abs().max().item()
    assert error < (1e-5 if dtype == torch.float32 else 0.1) * max(scale, 1)
    assert ledger.residual.abs().max() < (1e-5 if dtype == torch.float32 else 0.1)


def test_int32_ids() -> None:
    expect, _ = explained(bilstm_attention, PADDED)
    close(explained(bilstm_attention, PADDED.int())[0], expect)


def test_more_arguments() -> None:
    def write(m: Written, ids: Tensor, lengths: Tensor, scale: float) -> Tensor:
        packed_ids = pack_padded_sequence(m.emb(ids), lengths, True, enforce_sorted=False)
        return scale * m.head(m.lstm(packed_ids)[1][0][-1])

    lengths = (PADDED != 0).sum(1)
    lrp = seqlrp.LRP(build(write), EPSILON)
    relevance, ledger = lrp.attribute(PADDED, 1, (lengths, 2.0), return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
    close(relevance, 2 * lrp.attribute(PADDED, 1, (lengths, 1.0)))
    with torch.inference_mode():
        close(lrp.attribute(PADDED, 1, (lengths.clone(), 2.0)), relevance)


def test_ids_written_over_do_not_matter_afterwards() -> None:
    def write(m: Written, ids: Tensor) -> Tensor:
        x = m.emb(ids)
        ids.fill_(1)
        return m.head(m.lstm(x)[0][:, -1])

    ids = FULL.clone()
    relevance, _ = explained(write, ids)
    assert ids.equal(FULL)
    close(relevance, explained(fused_lstm, FULL)[0])


def test_padding_that_takes_part_is_shown_by_itself() -> None:
    for write in (fused_lstm, fused_gru, gru_max_pool1d, dan, with_positions):
        with pytest.warns(PaddingWarning, match="Padding takes part"):
            relevance, ledger = explained(write, PADDED)
        assert ledger.residual.abs().max() < 1e-12
        shown = relevance.masked_fill(PADDED != 0, 0).sum(1)
        close(ledger.total("padding"), shown)
        close(ledger.total("tokens"), relevance.masked_fill(PADDED == 0, 0).sum(1))


# A ledger names what took the relevance


def test_entries_name_operations_and_modules() -> None:
    _, ledger = explained(last_states_transposed, PADDED)
    named = {(e.kind, e.operation, e.module) for e in ledger.entries}
    assert ("bias", "linear", "mlp.0") in named
    assert ("stabiliser", "linear", "mlp.5") in named
    assert ("bias", "linear", "mlp.5") not in named  # it has none
    assert ("bias", "lstm bias_hh_l0_reverse", "both") in named


def test_a_bias_is_a_bias_in_any_shape() -> None:
    def spelled(f: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Forward:
        def write(m: Written, ids: Tensor) -> Tensor:
            return f(m.lstm(m.emb(ids))[0][:, -1], m.head.weight, m.head.bias)

        return write

    _, ledger = explained(fused_lstm, FULL)
    for f in (
        lambda h, w, b: h @ w.T + b,
        lambda h, w, b: h @ w.T + b.unsqueeze(0),
        lambda h, w, b: b.view(1, -1) + h @ w.T,
        lambda h, w, b: torch.addmm(b, h, w.T),
    ):
        _, account = explained(spelled(f), FULL)
        close(account.total("bias"), ledger.total("bias"))
