"""Models as people write them today: idioms of recent torch, cells with norms, packed and tied."""

# mypy: disable-error-code="no-any-return, no-untyped-call, no-untyped-def, override"

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from trust.judge import CLASSES as C
from trust.judge import HIDDEN as H
from trust.judge import IDS, LENGTHS, Classifier, gate, model, product, relu, signal, tanh
from trust.judge import VOCABULARY as V
from trust.judge import WIDTH as D


class Base(Classifier):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True)


def lstm(m, x, *, reverse=False, suffix="l0", h=None, c=None):
    """States `[B, T, H]` of a layer of an `nn.LSTM`, its gates detached."""
    w, u = getattr(m, f"weight_ih_{suffix}"), getattr(m, f"weight_hh_{suffix}")
    b = getattr(m, f"bias_ih_{suffix}") + getattr(m, f"bias_hh_{suffix}")
    h = x.new_zeros(len(x), u.shape[1]) if h is None else h
    c = torch.zeros_like(h) if c is None else c
    states = {}
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        i, f, g, o = (x[:, t] @ w.T + h @ u.T + b).chunk(4, -1)
        c = gate(f) * c + gate(i) * tanh(g)
        h = gate(o) * tanh(c)
        states[t] = h
    return torch.stack([states[t] for t in range(x.shape[1])], 1)


def normalised(x, m):
    """Layer normalisation: centred, with a constant scale."""
    x = x - x.mean(-1, keepdim=True)
    scale = (x.square().mean(-1, keepdim=True) + m.eps).rsqrt().detach()
    return x * scale * m.weight + m.bias


@model
class LayerNormLSTMCell(Base):
    """A cell with a norm of each pre-activation and of the state."""

    def __init__(self):
        super().__init__()
        self.of_x, self.of_h = nn.Linear(D, 4 * H, bias=False), nn.Linear(H, 4 * H, bias=False)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * H), nn.LayerNorm(4 * H)
        self.norm_c = nn.LayerNorm(H)

    def step(self, x, state):
        h, c = state
        gates = self.norm_x(self.of_x(x)) + self.norm_h(self.of_h(h))
        i, f, g, o = gates.chunk(4, dim=-1)
        c = self.norm_c(f.sigmoid() * c + i.sigmoid() * g.tanh())
        return o.sigmoid() * c.tanh(), c

    def forward(self, ids):
        x = self.embedding(ids)
        state = (x.new_zeros(x.size(0), H),) * 2
        for x_t in x.unbind(1):
            state = self.step(x_t, state)
        return self.head(state[0])

    def truth(self, words):
        h = c = torch.zeros(len(IDS), H, dtype=torch.float64)
        for x in words.vectors(self.embedding).unbind(1):
            z = normalised(self.of_x(x), self.norm_x) + normalised(self.of_h(h), self.norm_h)
            i, f, g, o = z.chunk(4, -1)
            c = normalised(gate(f) * c + gate(i) * tanh(g), self.norm_c)
            h = gate(o) * tanh(c)
        return self.head(h)


@model
class Zoneout(Base):
    """States that are kept by chance in training, and by their expectation in evaluation."""

    def __init__(self):
        super().__init__()
        self.cell, self.rate = nn.LSTMCell(D, H), 0.1

    def forward(self, ids):
        x = self.embedding(ids)
        h, c = x.new_zeros(len(x), H), x.new_zeros(len(x), H)
        for t in range(x.size(1)):
            new_h, new_c = self.cell(x[:, t], (h, c))
            if self.training:
                kept = torch.rand_like(h) < self.rate
                h, c = torch.where(kept, h, new_h), torch.where(kept, c, new_c)
            else:
                h = self.rate * h + (1 - self.rate) * new_h
                c = torch.lerp(new_c, c, self.rate)
        return self.head(h)

    def truth(self, words):
        h = c = torch.zeros(len(IDS), H, dtype=torch.float64)
        w = self.cell
        for x in words.vectors(self.embedding).unbind(1):
            i, f, g, o = (x @ w.weight_ih.T + h @ w.weight_hh.T + w.bias_ih + w.bias_hh).chunk(
                4, -1
            )
            new_c = gate(f) * c + gate(i) * tanh(g)
            new_h = gate(o) * tanh(new_c)
            h = self.rate * h + (1 - self.rate) * new_h
            c = self.rate * c + (1 - self.rate) * new_c
        return self.head(h)


@model
class VariationalDropout(Base):
    """One mask for all steps, as in AWD-LSTM; in evaluation nothing is dropped."""

    def locked(self, x, p=0.5):
        if not self.training or not p:
            return x
        return x * x.new_empty(x.size(0), 1, x.size(2)).bernoulli_(1 - p) / (1 - p)

    def forward(self, ids):
        out, _ = self.lstm(self.locked(self.embedding(ids)))
        return self.head(self.locked(out)[:, -1])

    def truth(self, words):
        return self.head(lstm(self.lstm, words.vectors(self.embedding))[:, -1])


@model
class Highway(Base):
    def __init__(self):
        super().__init__()
        self.transform, self.carry = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, ids):
        x = self.embedding(ids)
        t = torch.sigmoid(self.carry(x))
        x = torch.addcmul(x * (1 - t), t, F.relu(self.transform(x)))
        return self.head(self.lstm(x)[0].mean(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        t = gate(self.carry(x))
        x = x * (1 - t) + t * relu(self.transform(x))
        return self.head(lstm(self.lstm, x).mean(1))


@model(args=(LENGTHS,))
class PackedTopStates(Base):
    """Two directions, packed, the last hidden states of both joined."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * H, C)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(
            self.embedding(ids), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (h, _) = self.lstm(packed)
        return self.head(torch.cat([h[-2], h[-1]], dim=-1))

    def truth(self, words, lengths):
        x = words.vectors(self.embedding)
        rows = []
        for b, n in enumerate(lengths.tolist()):
            there = lstm(self.lstm, x[b : b + 1, :n])[:, -1]
            back = lstm(self.lstm, x[b : b + 1, :n], reverse=True, suffix="l0_reverse")[:, 0]
            rows.append(torch.cat([there, back], -1))
        return self.head(torch.cat(rows))


@model(args=(LENGTHS,))
class AttentionOfBothDirections(Base):
    """Additive attention over packed states of two directions, with a mask of lengths."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, H, batch_first=True, bidirectional=True)
        self.score, self.query = nn.Linear(2 * H, H), nn.Parameter(torch.zeros(H))
        self.head = nn.Linear(2 * H, C)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(
            self.embedding(ids), lengths, batch_first=True, enforce_sorted=False
        )
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores = torch.tanh(self.score(out)) @ self.query
        mask = torch.arange(out.size(1), device=out.device) < lengths.unsqueeze(1)
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
        return self.head(torch.einsum("bt,bth->bh", weights, out))

    def truth(self, words, lengths):
        x = words.vectors(self.embedding)
        rows = []
        for b, n in enumerate(lengths.tolist()):
            part = x[b : b + 1, :n]
            there = lstm(self.lstm, part)
            back = lstm(self.lstm, part, reverse=True, suffix="l0_reverse")
            out = torch.cat([there, back], -1)
            weights = (torch.tanh(self.score(out)) @ self.query).softmax(-1).detach()
            rows.append((weights.unsqueeze(-1) * out).sum(1))
        return self.head(torch.cat(rows))


@model
class TiedHead(Base):
    """The scores are read with rows of the embedding table."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, D, batch_first=True)

    def forward(self, ids):
        h = self.lstm(self.embedding(ids))[0][:, -1]
        return F.linear(h, self.embedding.weight[1 : C + 1])

    def truth(self, words):
        h = lstm(self.lstm, words.vectors(self.embedding))[:, -1]
        return h @ self.embedding.weight[1 : C + 1].T


@model
class LettersAndWords(Base):
    """Letters of each word by a table, a convolution over them, and an LSTM over the words."""

    def __init__(self):
        super().__init__()
        self.register_buffer("spelling", torch.arange(V * 4).view(V, 4) * 5 % 7)
        self.letters = nn.Embedding(7, D)
        self.conv = nn.Conv1d(D, D, 3, padding=1)

    def forward(self, ids):
        letters = self.letters(self.spelling[ids])  # [B, T, L, D]
        b, t, n, d = letters.shape
        seen = self.conv(letters.reshape(b * t, n, d).mT).amax(-1).reshape(b, t, d)
        return self.head(self.lstm(self.embedding(ids) + torch.relu(seen))[0].mean(1))

    def truth(self, words):
        number = torch.arange(IDS.shape[1]).repeat_interleave(4).expand(len(IDS), -1)
        letters = words.vectors(self.letters, self.spelling[IDS].flatten(1), number)
        letters = letters.view(*IDS.shape, 4, D)
        padded = F.pad(letters, (0, 0, 1, 1))
        seen = (
            torch.stack(
                [
                    torch.einsum("btkd,edk->bte", padded[:, :, k : k + 3], self.conv.weight)
                    for k in range(4)
                ],
                2,
            )
            + self.conv.bias
        )
        x = words.vectors(self.embedding) + relu(seen.gather(2, seen.argmax(2, True)).squeeze(2))
        return self.head(lstm(self.lstm, x).mean(1))


@model(args=(LENGTHS,))
class AnotherWayForShortTexts(Base):
    """Texts of few words go without the LSTM."""

    def __init__(self):
        super().__init__()
        self.short = nn.Linear(D, H)

    def forward(self, ids, lengths):
        x = self.embedding(ids)
        out = x.new_zeros(len(x), H)
        few = lengths <= 3
        if few.any():
            rows = few.nonzero(as_tuple=True)[0]
            out[rows] = torch.tanh(self.short(x[rows].sum(1)))
        if (~few).any():
            rows = (~few).nonzero(as_tuple=True)[0]
            out[rows] = self.lstm(x[rows])[0][torch.arange(len(rows)), lengths[rows] - 1]
        return self.head(out)

    def truth(self, words, lengths):
        x = words.vectors(self.embedding)
        short = tanh(self.short(x.sum(1)))
        last = lstm(self.lstm, x)[torch.arange(len(x)), lengths - 1]
        return self.head(torch.where((lengths <= 3).unsqueeze(1), short, last))


@model
class SentencesOfThreeWords(Base):
    """Words to sentences to the text, with attention on both levels."""

    def __init__(self):
        super().__init__()
        self.upper = nn.GRU(H, H, batch_first=True)
        self.of_words, self.of_sentences = nn.Linear(H, 1), nn.Linear(H, 1)

    def pooled(self, h, score):
        return (torch.softmax(score(torch.tanh(h)), dim=1) * h).sum(1)

    def forward(self, ids):
        b = len(ids)
        h = self.lstm(self.embedding(ids.view(b * 2, 3)))[0]
        sentences = self.pooled(h, self.of_words).view(b, 2, H)
        return self.head(self.pooled(self.upper(sentences)[0], self.of_sentences))

    def truth(self, words):
        def pooled(h, score):
            return (torch.softmax(score(torch.tanh(h)), 1).detach() * h).sum(1)

        x = words.vectors(self.embedding).reshape(2 * len(IDS), 3, D)
        sentences = pooled(lstm(self.lstm, x), self.of_words).view(-1, 2, H)
        m, h, states = self.upper, torch.zeros(len(IDS), H, dtype=torch.float64), []
        for s in sentences.unbind(1):
            of_x = (s @ m.weight_ih_l0.T + m.bias_ih_l0).chunk(3, -1)
            of_h = (h @ m.weight_hh_l0.T + m.bias_hh_l0).chunk(3, -1)
            r, z = gate(of_x[0] + of_h[0]), gate(of_x[1] + of_h[1])
            h = (1 - z) * tanh(of_x[2] + r * of_h[2]) + z * h
            states.append(h)
        return self.head(pooled(torch.stack(states, 1), self.of_sentences))


@model
class GroupedQueries(Base):
    """Causal attention of torch with fewer keys than queries, rotated by position."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(D, 8), nn.Linear(D, 4), nn.Linear(D, 4)
        self.head = nn.Linear(8, C)

    def rotated(self, x):
        angles = torch.arange(x.size(-2), device=x.device)[:, None] / torch.tensor([1.0, 7.0])
        cos, sin = angles.cos().to(x), angles.sin().to(x)
        one, two = x[..., ::2], x[..., 1::2]
        return torch.stack([one * cos - two * sin, one * sin + two * cos], -1).flatten(-2)

    def forward(self, ids):
        x = self.embedding(ids)
        q = self.rotated(self.q(x).unflatten(-1, (2, 4)).transpose(1, 2))
        k = self.rotated(self.k(x).unflatten(-1, (1, 4)).transpose(1, 2))
        v = self.v(x).unflatten(-1, (1, 4)).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.head(out.transpose(1, 2).flatten(-2).mean(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        q = self.rotated(self.q(x).unflatten(-1, (2, 4)).transpose(1, 2))
        k = self.rotated(self.k(x).unflatten(-1, (1, 4)).transpose(1, 2))
        v = self.v(x).unsqueeze(1)
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        scores = (q @ k.mT / 2).masked_fill(~seen, -math.inf)
        out = scores.softmax(-1).detach() @ v
        return self.head(out.transpose(1, 2).flatten(-2).mean(1))


@model
class GatedFeedForward(Base):
    """SwiGLU behind an RMS norm, as a residual."""

    def __init__(self):
        super().__init__()
        self.norm = nn.RMSNorm(D, eps=1e-6)
        self.w1, self.w2, self.w3 = nn.Linear(D, H), nn.Linear(H, D), nn.Linear(D, H)
        self.head = nn.Linear(D, C)

    def forward(self, ids):
        x = self.embedding(ids)
        y = self.norm(x)
        return self.head((x + self.w2(F.silu(self.w1(y)) * self.w3(y))).mean(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        scale = (x.square().mean(-1, keepdim=True) + self.norm.eps).rsqrt().detach()
        y = x * scale * self.norm.weight
        return self.head((x + self.w2(product(signal(F.silu, self.w1(y)), self.w3(y)))).mean(1))


@model
class MappedOverTexts(Base):
    """`torch.vmap` inside of `forward`."""

    def forward(self, ids):
        x = self.embedding(ids)
        return self.head(torch.vmap(lambda text: torch.tanh(text).sum(0))(x)[:, :H])

    def truth(self, words):
        return self.head(tanh(words.vectors(self.embedding)).sum(1)[:, :H])


@model(args=(LENGTHS,))
class NestedTensors(Base):
    def forward(self, ids, lengths):
        x = self.embedding(ids)
        rows = torch.nested.nested_tensor([x[b, :n] for b, n in enumerate(lengths.tolist())])
        padded = torch.nested.to_padded_tensor(rows, 0.0)
        return self.head(padded.sum(1)[:, :H])

    def truth(self, words, lengths):
        x = words.vectors(self.embedding)
        kept = torch.arange(x.shape[1]) < lengths.unsqueeze(1)
        return self.head((x * kept.unsqueeze(-1)).sum(1)[:, :H])


@model
class AllStatesInLogSpace(Base):
    """minGRU as published, its candidate in log space."""

    def __init__(self):
        super().__init__()
        self.both = nn.Linear(D, 2 * H, bias=False)

    def forward(self, ids):
        hidden, k = self.both(self.embedding(ids)).chunk(2, dim=-1)
        log_g = torch.where(hidden >= 0, (F.relu(hidden) + 0.5).log(), -F.softplus(-hidden))
        values, kept = log_g - F.softplus(-k), (-F.softplus(k)).cumsum(1)
        return self.head((kept + (values - kept).logcumsumexp(1)).exp()[:, -1])

    def truth(self, words):
        hidden, k = self.both(words.vectors(self.embedding)).chunk(2, -1)
        g = torch.where(hidden >= 0, hidden + 0.5, signal(torch.sigmoid, hidden))
        h = torch.zeros(len(IDS), H, dtype=torch.float64)
        for t in range(IDS.shape[1]):
            z = gate(k[:, t])
            h = (1 - z) * h + z * g[:, t]
        return self.head(h)


class Scan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t, in place, with a backward pass of its own."""

    @staticmethod
    def forward(ctx, a, b):
        h = b.clone()
        for t in range(1, h.shape[1]):
            h[:, t].add_(a[:, t] * h[:, t - 1])
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx, gradient):
        a, h = ctx.saved_tensors
        gradient = gradient.clone()
        for t in reversed(range(1, h.shape[1])):
            gradient[:, t - 1] += a[:, t] * gradient[:, t]
        return torch.cat([torch.zeros_like(a[:, :1]), gradient[:, 1:] * h[:, :-1]], 1), gradient


@model
class ScanOfItsOwn(Base):
    def __init__(self):
        super().__init__()
        self.to_a, self.to_b = nn.Linear(D, H), nn.Linear(D, H)

    def forward(self, ids):
        x = self.embedding(ids)
        return self.head(Scan.apply(torch.sigmoid(self.to_a(x)), self.to_b(x)).mean(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        h, states = torch.zeros(len(IDS), H, dtype=torch.float64), []
        for t in range(IDS.shape[1]):
            h = gate(self.to_a(x[:, t])) * h + self.to_b(x[:, t])
            states.append(h)
        return self.head(torch.stack(states, 1).mean(1))
