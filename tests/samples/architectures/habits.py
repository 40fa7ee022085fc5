"""Habits of their authors: older idioms, borrowed tricks, unusual ways to say usual things."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Variable
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

from samples.architectures.registry import C, D, H, V, architecture


@architecture(lengths=True)
class SortsTheBatch(nn.Module):
    # From before packing sorted by itself; states from .data.new(), softmax as a module.
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, 2, batch_first=True, dropout=0.5)
        self.attn = nn.Linear(H, 1)
        self.softmax = nn.Softmax(dim=1)
        self.fc = nn.Linear(H, C)

    def init_hidden(self, batch_size: int) -> tuple[Tensor, Tensor]:
        weight = next(self.parameters()).data
        return (
            Variable(weight.new(2, batch_size, H).zero_()),
            Variable(weight.new(2, batch_size, H).zero_()),
        )

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        lengths, order = lengths.sort(0, descending=True)
        _, back = order.sort(0)
        embeds = self.embedding(ids[order])
        packed = pack_padded_sequence(embeds, lengths.tolist(), batch_first=True)
        self.lstm.flatten_parameters()
        out, _ = self.lstm(packed, self.init_hidden(ids.size(0)))
        out, lens = pad_packed_sequence(out, batch_first=True)
        outside = torch.arange(out.size(1))[None, :] >= lens[:, None]
        scores = self.attn(out.contiguous().view(-1, H)).view(out.size(0), -1)
        scores.data.masked_fill_(outside, -1e9)
        weights = self.softmax(scores)
        return self.fc(weights.unsqueeze(1).bmm(out).squeeze(1))[back]


@architecture()
class ConcatPooling(nn.Module):
    # Last state, maximum and mean (Howard and Ruder 2018).
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(V, D, padding_idx=0)
        self.rnns = nn.ModuleList([nn.LSTM(D, H), nn.LSTM(H, H)])
        self.head = nn.Sequential(
            nn.BatchNorm1d(3 * H), nn.Dropout(0.2), nn.Linear(3 * H, 8), nn.ReLU(inplace=True),
            nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, C),
        )  # fmt: skip

    def forward(self, ids: Tensor) -> Tensor:
        x = self.encoder(ids.T)
        for rnn in self.rnns:
            x, _ = rnn(x)
        mask = (ids.T == 0)[..., None]
        n = (~mask).sum(0)
        mean = x.masked_fill(mask, 0).sum(0).div(n)
        top = x.masked_fill(mask, -float("inf")).max(0)[0]
        last = x[n.squeeze(1) - 1, range(ids.shape[0])]
        return self.head(torch.cat((last, top, mean), 1))


@architecture()
class PretrainedAndFrozen(nn.Module):
    # A second channel of vectors that are not trained, and a projection of both.
    def __init__(self) -> None:
        super().__init__()
        self.fixed = nn.Embedding.from_pretrained(torch.randn(V, D), freeze=True, padding_idx=0)
        self.tuned = nn.Parameter(torch.randn(V, D))
        self.project = nn.Linear(2 * D, D)
        self.rnn = nn.GRU(D, H)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        rows = [row[row > 0] for row in ids]
        vectors = []
        for row in rows:
            both = torch.cat([self.fixed(row), F.embedding(row, self.tuned)], dim=-1)
            vectors.append(F.dropout(self.project(both), 0.2, self.training))
        _, h = self.rnn(pack_sequence(vectors, enforce_sorted=False))
        return self.fc(h.flatten(0, 1))


@architecture()
class GatedAttentionPooling(nn.Module):
    # tanh times sigmoid under the softmax (Ilse et al. 2018).
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.v, self.u = nn.Linear(H, 4), nn.Linear(H, 4)
        self.w = nn.Linear(4, 1)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        h, _ = self.gru(self.emb(ids))
        a = self.w(self.v(h).tanh() * self.u(h).sigmoid()).transpose(1, 2)
        a = a - 1e9 * (1.0 - (ids != 0).unsqueeze(1).to(a.dtype))
        m = torch.matmul(F.softmax(a, dim=-1), h).squeeze(1)
        return self.fc(m)


@architecture()
class MemoryHops(nn.Module):
    # Sukhbaatar et al. 2015: the document is the memory, the query a parameter.
    def __init__(self, hops: int = 2) -> None:
        super().__init__()
        self.hops = hops
        self.a, self.c = nn.Embedding(V, D, padding_idx=0), nn.Embedding(V, D, padding_idx=0)
        self.query = nn.Parameter(torch.randn(D))
        self.w = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        m, c = self.a(ids), self.c(ids)
        u = self.query.unsqueeze(0).expand(len(ids), -1)
        for _ in range(self.hops):
            p = (m * u.unsqueeze(1)).sum(-1)
            p = F.softmax(p.masked_fill(ids.eq(0), -torch.inf), dim=1)
            u = u + (c * p.unsqueeze(2)).sum(1)
        return self.w(u)


@architecture()
class MixtureOfExperts(nn.Module):
    def __init__(self, experts: int = 3) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.gate = nn.Linear(H, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(H, 6), nn.LeakyReLU(0.1), nn.Linear(6, C))
            for _ in range(experts)
        )

    def forward(self, ids: Tensor) -> Tensor:
        h = self.gru(self.emb(ids))[0].gather(
            1, (ids != 0).sum(1).sub(1).view(-1, 1, 1).repeat(1, 1, H)
        )[:, 0]
        weights = F.softmax(self.gate(h), dim=-1)
        outputs = torch.stack([expert(h) for expert in self.experts], dim=1)
        return (weights.unsqueeze(-1) * outputs).sum(dim=1)


@architecture()
class ReversedByHand(nn.Module):
    # A backward reader without packing: each document is turned round within its own length.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.there, self.back = nn.LSTM(D, H, batch_first=True), nn.LSTM(D, H, batch_first=True)
        self.fc = nn.Linear(2 * H, C)

    def forward(self, ids: Tensor) -> Tensor:
        n = (ids != 0).sum(1, keepdim=True)
        index = torch.arange(ids.size(1)).unsqueeze(0)
        turned = torch.where(index < n, n - 1 - index, index)
        x = self.emb(ids)
        y = torch.gather(x, 1, turned.unsqueeze(-1).expand(-1, -1, D))
        last = (n - 1).unsqueeze(-1).expand(-1, -1, H)
        ends = [f(v)[0].gather(1, last).squeeze(1) for f, v in ((self.there, x), (self.back, y))]
        return self.fc(torch.cat(ends, -1))


@architecture()
class FourierMixing(nn.Module):
    # A mixer: linear maps over positions instead of attention, then over features.
    def __init__(self, longest: int = 9) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.tokens = nn.Parameter(torch.randn(longest, longest) / 3)
        self.features = nn.Linear(D, D)
        self.norm = nn.LayerNorm(D, elementwise_affine=False)
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        n, mask = ids.size(1), (ids != 0)[..., None]
        x = self.emb(ids) * mask
        mixed = torch.einsum("ij,bjd->bid", self.tokens[:n, :n], x)
        x = self.norm(x + torch.tanh(mixed)) * mask
        x = torch.add(x, F.gelu(self.features(x)) * mask, alpha=0.5)
        return self.fc(x.sum(1) / mask.sum(1))


@architecture()
class DenselyConnected(nn.Module):
    # Every layer reads all before it; heads summed by Python's sum().
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.layers = nn.ModuleList(
            nn.GRU(D + k * H, H, batch_first=True, bias=k > 0) for k in range(3)
        )
        self.heads = nn.ModuleList(nn.Linear(H, C, bias=k == 0) for k in range(3))

    def forward(self, ids: Tensor) -> Any:
        seen = [self.emb(ids)]
        rows = torch.arange(len(ids), device=ids.device)
        last = ids.ne(0).long().sum(dim=-1) - 1
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, dim=-1))[0])
        return sum(head(h[rows, last]) for head, h in zip(self.heads, seen[1:], strict=True))


@architecture()
class WorksInsidePackedSequences(nn.Module):
    # Layers on .data of a packed sequence, one of them with a weight for each word.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.norm, self.rnn = nn.LayerNorm(D), nn.LSTM(D, H, batch_first=True)
        self.att = nn.Linear(H, 1)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        packed = PackedSequence(
            self.norm(packed.data),
            packed.batch_sizes,
            packed.sorted_indices,
            packed.unsorted_indices,
        )
        out, _ = self.rnn(packed)
        weights = out._replace(data=self.att(out.data).exp())
        out, _ = pad_packed_sequence(out, batch_first=True)
        weights, _ = pad_packed_sequence(weights, batch_first=True)
        return self.fc((out * (weights / weights.sum(1, keepdim=True))).sum(1))


@architecture()
class EncoderDecoder(nn.Module):
    # One step of a decoder that asks the encoder (Bahdanau et al. 2015).
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.encoder, self.decoder = nn.GRU(D, H, batch_first=True), nn.GRU(H, H, batch_first=True)
        self.start = nn.Parameter(torch.randn(1, 1, H))
        self.fc = nn.Linear(2 * H, C)

    def forward(self, ids: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        memory, h = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True, total_length=ids.size(1))
        query, _ = self.decoder(self.start.expand(len(ids), 1, -1), h)
        energy = (query @ memory.mT).masked_fill((ids == 0)[:, None], float("-inf"))
        context = energy.softmax(-1) @ memory
        return self.fc(torch.cat([query, context], dim=-1)).squeeze(1)


@architecture()
class LabelEmbeddings(nn.Module):
    # Scores are products with a vector for each label, scaled by a learned temperature.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.labels = nn.Embedding(C, H)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, ids: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        h = self.gru(packed)[1].squeeze(0)
        labels = self.labels(torch.arange(C, device=ids.device))
        return self.scale.exp() * F.normalize(h, dim=1) @ F.normalize(labels, dim=1).t()


@architecture()
class Prototypes(nn.Module):
    # The score of a class is how near its prototype is (Snell et al. 2017).
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.prototypes = nn.Parameter(torch.randn(C, H))

    def forward(self, ids: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        h = self.gru(packed)[1][-1]
        return -((h.unsqueeze(1) - self.prototypes) ** 2).sum(dim=-1)


@architecture(reads_zeros=True)
class SqueezeAndExcite(nn.Module):
    # Channels weighed by a gate made of their own mean (Hu et al. 2018).
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.conv = nn.Conv1d(D, D, 3, padding="same", bias=False)
        self.fc1, self.fc2, self.fc = nn.Linear(D, 3), nn.Linear(3, D), nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(1)
        x = self.conv(self.emb(ids).movedim(-1, 1)) * mask
        squeezed = x.sum(-1) / mask.sum(-1)
        gate = self.fc2(self.fc1(squeezed).relu()).sigmoid()
        return self.fc((x * gate[..., None]).sum(-1))
