"""Whole classifiers: pooling, attention, packing, and what people do to the states."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from samples.model_functions.layers import FULL, PADDED, H, Written
from samples.model_functions.recurrences import WRITTEN, cell_of, fused_gru, fused_lstm, fused_rnn


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
    # Of one document, each_model is masked away.
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
    start = torch.tanh(m.att_hidden(packed(m, ids, m.both)[0].sum(1)))
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
