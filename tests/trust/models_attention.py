"""Attention between words, convolutions, and deeper networks of both."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from trust.judge import (
    CLASSES,
    HIDDEN,
    WIDTH,
    Classifier,
    gate,
    model,
    product,
    relu,
    signal,
    tanh,
)


class Reader(Classifier):
    """Word vectors, maps for queries, keys and values, and a head."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, HIDDEN) for _ in range(3))

    def mask(self, ids):
        return ids == 0

    def forward(self, ids):
        return self.head(self.mix(self.embedding(ids), ids).sum(1))

    def truth(self, words):
        return self.head(self.true_mix(words.vectors(self.embedding), words.ids).sum(1))


def true_attention(q, k, v, mask=None, scale=None):
    """Softmax weights, constant, times values; mask True where nothing is read."""
    z = (q @ k.transpose(-1, -2)).detach() * (
        1 / math.sqrt(q.shape[-1]) if scale is None else scale
    )
    if mask is not None:
        z = z.masked_fill(mask, float("-inf"))
    return torch.softmax(z, -1) @ v


class SelfAttention(Reader):
    def true_mix(self, x, ids):
        return true_attention(self.q(x), self.k(x), self.v(x))


class MaskedSelfAttention(Reader):
    def true_mix(self, x, ids):
        return true_attention(self.q(x), self.k(x), self.v(x), self.mask(ids)[:, None])


class CausalSelfAttention(Reader):
    def true_mix(self, x, ids):
        later = torch.ones(6, 6).triu(1).bool()
        return true_attention(self.q(x), self.k(x), self.v(x), later)


@model
class ByMatmul(SelfAttention):
    def mix(self, x, ids):
        q, k, v = self.q(x), self.k(x), self.v(x)
        return F.softmax(q @ k.transpose(1, 2) / math.sqrt(HIDDEN), -1) @ v


@model
class ByBmm(SelfAttention):
    def mix(self, x, ids):
        z = torch.bmm(self.q(x), self.k(x).permute(0, 2, 1)).div(HIDDEN**0.5)
        return torch.bmm(z.softmax(dim=-1), self.v(x))


@model
class ByEinsum(SelfAttention):
    def mix(self, x, ids):
        z = torch.einsum("bqd,bkd->bqk", self.q(x), self.k(x)) * HIDDEN**-0.5
        return torch.einsum("bqk,bkd->bqd", torch.softmax(z, 2), self.v(x))


@model
class ByTorchFunction(SelfAttention):
    def mix(self, x, ids):
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


@model
class ByBaddbmm(SelfAttention):
    def mix(self, x, ids):
        zero = x.new_zeros(len(x), x.shape[1], x.shape[1])
        z = torch.baddbmm(zero, self.q(x), self.k(x).mT, beta=0, alpha=HIDDEN**-0.5)
        return z.softmax(-1).matmul(self.v(x))


@model
class ByBroadcasting(SelfAttention):
    def mix(self, x, ids):
        z = (self.q(x).unsqueeze(2) * self.k(x).unsqueeze(1)).sum(-1) / math.sqrt(HIDDEN)
        return (z.softmax(2).unsqueeze(-1) * self.v(x).unsqueeze(1)).sum(2)


@model
class ByOneMap(Reader):
    """Queries, keys and values from one map."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * HIDDEN, bias=False)

    def mix(self, x, ids):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return torch.softmax(q @ k.mT * HIDDEN**-0.5, -1) @ v

    def true_mix(self, x, ids):
        z = self.qkv(x)
        return true_attention(z[..., :4], z[..., 4:8], z[..., 8:])


@model
class MaskedByFill(MaskedSelfAttention):
    def mix(self, x, ids):
        z = self.q(x) @ self.k(x).mT / math.sqrt(HIDDEN)
        z = z.masked_fill(self.mask(ids).unsqueeze(1), float("-inf"))
        return z.softmax(-1) @ self.v(x)


@model
class MaskedBySum(MaskedSelfAttention):
    def mix(self, x, ids):
        bias = torch.zeros(ids.shape, dtype=x.dtype).masked_fill(ids == 0, -1e9)
        z = self.q(x) @ self.k(x).mT / math.sqrt(HIDDEN) + bias[:, None, :]
        return z.softmax(-1) @ self.v(x)


@model
class MaskedByTorchFunction(MaskedSelfAttention):
    def mix(self, x, ids):
        live = ~self.mask(ids)[:, None].expand(-1, ids.shape[1], -1)
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), attn_mask=live)


@model
class MaskedByWhere(MaskedSelfAttention):
    def mix(self, x, ids):
        z = self.q(x) @ self.k(x).mT / math.sqrt(HIDDEN)
        z = torch.where((ids != 0)[:, None, :], z, torch.full_like(z, -1e30))
        return z.softmax(-1) @ self.v(x)


@model
class MaskedBySetItem(MaskedSelfAttention):
    def mix(self, x, ids):
        z = self.q(x) @ self.k(x).mT / math.sqrt(HIDDEN)
        z.transpose(1, 2)[ids == 0] = float("-inf")
        return z.softmax(-1) @ self.v(x)


@model
class CausalByTriangle(CausalSelfAttention):
    def mix(self, x, ids):
        z = self.q(x) @ self.k(x).mT / math.sqrt(HIDDEN)
        z = z.masked_fill(torch.ones_like(z).tril() == 0, float("-inf"))
        return z.softmax(-1) @ self.v(x)


@model
class CausalByTorchFunction(CausalSelfAttention):
    def mix(self, x, ids):
        return F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), is_causal=True)


class TwoHeads(Reader):
    def true_mix(self, x, ids):
        q, k, v = self.q(x), self.k(x), self.v(x)
        heads = [true_attention(*(t[..., n : n + 2] for t in (q, k, v))) for n in (0, 2)]
        return torch.cat(heads, -1)


@model
class HeadsByView(TwoHeads):
    def mix(self, x, ids):
        B, T, _ = x.shape
        q, k, v = (f(x).view(B, T, 2, 2).transpose(1, 2) for f in (self.q, self.k, self.v))
        out = (q @ k.transpose(-2, -1) / math.sqrt(2)).softmax(-1) @ v
        return out.transpose(1, 2).contiguous().view(B, T, HIDDEN)


@model
class HeadsBySplit(TwoHeads):
    def mix(self, x, ids):
        heads = zip(*(f(x).split(2, -1) for f in (self.q, self.k, self.v)), strict=True)
        return torch.cat([(q @ k.mT / 2**0.5).softmax(-1) @ v for q, k, v in heads], -1)


@model
class HeadsInTheBatch(TwoHeads):
    def mix(self, x, ids):
        q, k, v = (torch.cat(f(x).split(2, 2), 0) for f in (self.q, self.k, self.v))
        out = torch.softmax(torch.bmm(q, k.mT) / math.sqrt(2), 2) @ v
        return torch.cat(out.chunk(2, 0), 2)


@model
class HeadsByEinsum(TwoHeads):
    def mix(self, x, ids):
        q, k, v = (f(x).unflatten(-1, (2, 2)) for f in (self.q, self.k, self.v))
        z = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(2)
        return torch.einsum("bhqk,bkhd->bqhd", z.softmax(-1), v).flatten(2)


@model
class TorchMultihead(Reader):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)
        self.attention = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)

    def mix(self, x, ids):
        h = self.first(x)
        return self.attention(h, h, h, key_padding_mask=self.mask(ids), need_weights=False)[0]

    def true_mix(self, x, ids):
        h, a = self.first(x), self.attention
        q, k, v = (h @ a.in_proj_weight.t() + a.in_proj_bias).chunk(3, -1)
        mask = self.mask(ids)[:, None]
        heads = [true_attention(*(t[..., n : n + 2] for t in (q, k, v)), mask) for n in (0, 2)]
        return a.out_proj(torch.cat(heads, -1))


@model
class TransformerLayer(Reader):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)
        self.layer = nn.TransformerEncoderLayer(HIDDEN, 2, 6, batch_first=True, norm_first=True)

    def mix(self, x, ids):
        return self.layer(self.first(x), src_key_padding_mask=self.mask(ids))

    def true_mix(self, x, ids):
        h, layer = self.first(x), self.layer
        mask = self.mask(ids)[:, None]
        a = layer.self_attn
        q, k, v = (true_norm(layer.norm1, h) @ a.in_proj_weight.t() + a.in_proj_bias).chunk(3, -1)
        heads = [true_attention(*(t[..., n : n + 2] for t in (q, k, v)), mask) for n in (0, 2)]
        h = h + a.out_proj(torch.cat(heads, -1))
        return h + layer.linear2(relu(layer.linear1(true_norm(layer.norm2, h))))


def true_norm(norm, x):
    scale = (x.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt().detach()
    return (x - x.mean(-1, keepdim=True)) * scale * norm.weight + norm.bias


@model
class AdditiveScores(Reader):
    """Bahdanau: the score of a pair of words is v · tanh(q + k)."""

    def __init__(self):
        super().__init__()
        self.u = nn.Linear(HIDDEN, 1, bias=False)

    def mix(self, x, ids):
        z = self.u(torch.tanh(self.q(x)[:, :, None] + self.k(x)[:, None])).squeeze(-1)
        return z.softmax(-1) @ self.v(x)

    def true_mix(self, x, ids):
        z = self.u(torch.tanh(self.q(x)[:, :, None] + self.k(x)[:, None])).squeeze(-1)
        return torch.softmax(z.detach(), -1) @ self.v(x)


@model
class LearnedQuery(Reader):
    """A context vector, as in hierarchical attention networks."""

    def __init__(self):
        super().__init__()
        self.context = nn.Parameter(torch.randn(HIDDEN))

    def forward(self, ids):
        h = torch.tanh(self.v(self.embedding(ids)))
        a = torch.softmax(torch.tanh(self.k(self.embedding(ids))) @ self.context, 1)
        return self.head((h * a.unsqueeze(-1)).sum(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        a = torch.softmax((torch.tanh(self.k(x)) @ self.context).detach(), 1)
        return self.head((tanh(self.v(x)) * a[..., None]).sum(1))


@model
class LastWordAsks(Reader):
    """Luong's general score of the last state."""

    def forward(self, ids):
        x = self.embedding(ids)
        h = self.v(x)
        z = torch.bmm(h, self.q(x)[:, -1].unsqueeze(2)).squeeze(2)
        return self.head(torch.bmm(F.softmax(z, 1).unsqueeze(1), h).squeeze(1) + h[:, -1])

    def truth(self, words):
        x = words.vectors(self.embedding)
        h = self.v(x)
        z = (h * self.q(x)[:, -1:]).sum(2).detach()
        return self.head((torch.softmax(z, 1)[..., None] * h).sum(1) + h[:, -1])


@model
class ManyHops(Reader):
    """Lin 2017: several weightings of the words, flattened."""

    def __init__(self):
        super().__init__()
        self.hops = nn.Linear(HIDDEN, 2, bias=False)
        self.head = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, ids):
        h = torch.tanh(self.v(self.embedding(ids)))
        A = torch.softmax(self.hops(torch.tanh(self.k(self.embedding(ids)))), 1).transpose(1, 2)
        return self.head((A @ h).flatten(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        A = torch.softmax(self.hops(torch.tanh(self.k(x))).detach(), 1)
        return self.head(torch.cat([(A[..., n, None] * tanh(self.v(x))).sum(1) for n in (0, 1)], 1))


@model
class GatedAttention(Reader):
    """Ilse 2018: tanh times sigmoid in the score."""

    def forward(self, ids):
        x = self.embedding(ids)
        z = (torch.tanh(self.q(x)) * torch.sigmoid(self.k(x))).sum(-1, keepdim=True)
        return self.head((z.softmax(1) * self.v(x)).sum(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        z = (torch.tanh(self.q(x)) * torch.sigmoid(self.k(x))).sum(-1, keepdim=True).detach()
        return self.head((torch.softmax(z, 1) * self.v(x)).sum(1))


@model
class SigmoidWeights(Reader):
    def mix(self, x, ids):
        return torch.sigmoid(self.q(x) @ self.k(x).mT) @ self.v(x)

    def true_mix(self, x, ids):
        return gate(self.q(x) @ self.k(x).mT) @ self.v(x)


@model
class UnnormalisedProducts(Reader):
    """Scores without a softmax: two signals."""

    def mix(self, x, ids):
        return (self.q(x) @ self.k(x).mT) @ self.v(x)

    def true_mix(self, x, ids):
        q, k, v = self.q(x), self.k(x), self.v(x)
        z = (q @ k.detach().mT + q.detach() @ k.mT) / 2
        return (z @ v.detach() + z.detach() @ v) / 2


@model
class Interpolated(Reader):
    """Attention mixed with the words by a gate."""

    def mix(self, x, ids):
        v = self.v(x)
        a = torch.softmax(self.q(x) @ self.k(x).mT, -1) @ v
        g = torch.sigmoid(self.q(x))
        return g * a + (1 - g) * v

    def true_mix(self, x, ids):
        v, g = self.v(x), gate(self.q(x))
        return g * true_attention(self.q(x), self.k(x), v, scale=1) + (1 - g) * v


@model
class DistanceBias(Reader):
    """A learned bias for each distance, as in T5."""

    def __init__(self):
        super().__init__()
        self.distance = nn.Embedding(11, 1)

    def mix(self, x, ids):
        t = torch.arange(x.shape[1])
        bias = self.distance(t[:, None] - t + 5).squeeze(-1)
        return (self.q(x) @ self.k(x).mT + bias).softmax(-1) @ self.v(x)

    def true_mix(self, x, ids):
        t = torch.arange(6)
        bias = self.distance.weight[t[:, None] - t + 5, 0]
        z = (self.q(x) @ self.k(x).mT + bias).detach()
        return torch.softmax(z, -1) @ self.v(x)


@model
class Rotated(Reader):
    """Rotary positions: queries and keys are turned, values are not."""

    def turn(self, x):
        angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * torch.tensor([1.0, 0.1])
        a, b = x.chunk(2, -1)
        return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)

    def mix(self, x, ids):
        return torch.softmax(self.turn(self.q(x)) @ self.turn(self.k(x)).mT, -1) @ self.v(x)

    def true_mix(self, x, ids):
        z = (self.turn(self.q(x)) @ self.turn(self.k(x)).mT).detach()
        return torch.softmax(z, -1) @ self.v(x)


@model
class ConvolutionAndMax(Reader):
    """Kim 2014: windows of two and three words."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, 2, k) for k in (2, 3))

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        pooled = [F.relu(conv(x)).max(2).values for conv in self.convs]
        return self.head(torch.cat(pooled, 1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        pooled = []
        for conv in self.convs:
            k = conv.kernel_size[0]
            windows = torch.stack([x[:, t : t + k] for t in range(6 - k + 1)], 1)
            z = relu(torch.einsum("bwkd,cdk->bwc", windows, conv.weight) + conv.bias)
            pooled.append(z.gather(1, z.detach().argmax(1, keepdim=True))[:, 0])
        return self.head(torch.cat(pooled, 1))


@model
class ConvolutionInTwoDimensions(Reader):
    """Kim 2014 as an image of one channel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, HIDDEN, (3, WIDTH))

    def forward(self, ids):
        x = self.embedding(ids).unsqueeze(1)
        return self.head(F.max_pool1d(torch.tanh(self.conv(x)).squeeze(3), 4).squeeze(2))

    def truth(self, words):
        x = words.vectors(self.embedding)
        windows = torch.stack([x[:, t : t + 3] for t in range(4)], 1)
        z = tanh(torch.einsum("bwkd,ckd->bwc", windows, self.conv.weight[:, 0]) + self.conv.bias)
        return self.head(z.gather(1, z.detach().argmax(1, keepdim=True))[:, 0])


@model
class GatedConvolution(Reader):
    """Dauphin 2017."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, 2 * HIDDEN, 3, padding=1)

    def mix(self, x, ids):
        return F.glu(self.conv(x.mT), 1).mT

    def true_mix(self, x, ids):
        z = self.conv(x.mT)
        return (z[:, :HIDDEN] * gate(z[:, HIDDEN:])).mT


@model
class QuasiRecurrent(Reader):
    """QRNN: gates from convolutions, a pooling of forget and output gates."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, 3 * HIDDEN, 2)

    def mix(self, x, ids):
        z, f, o = self.conv(F.pad(x.mT, (1, 0))).chunk(3, 1)
        z, f, o = z.tanh(), f.sigmoid(), o.sigmoid()
        c, out = torch.zeros_like(z[..., 0]), []
        for t in range(z.shape[2]):
            c = f[..., t] * c + (1 - f[..., t]) * z[..., t]
            out.append(o[..., t] * c)
        return torch.stack(out, 1)

    def true_mix(self, x, ids):
        before = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        a = before[:, :-1] @ self.conv.weight[..., 0].t() + x @ self.conv.weight[..., 1].t()
        z, f, o = (a + self.conv.bias).chunk(3, -1)
        z, f, o = tanh(z), gate(f), gate(o)
        c, out = 0, []
        for t in range(6):
            c = f[:, t] * c + (1 - f[:, t]) * z[:, t]
            out.append(o[:, t] * c)
        return torch.stack(out, 1)


@model
class Dilated(Reader):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(WIDTH, HIDDEN, 2)
        self.two = nn.Conv1d(HIDDEN, HIDDEN, 2, dilation=2)

    def mix(self, x, ids):
        h = torch.relu(self.one(F.pad(x.mT, (1, 0))))
        return (h + torch.relu(self.two(F.pad(h, (2, 0))))).mT

    def true_mix(self, x, ids):
        h = relu(self.one(F.pad(x.mT, (1, 0))))
        return (h + relu(self.two(F.pad(h, (2, 0))))).mT


@model
class Mixer(Reader):
    """Maps over words, then over features."""

    def __init__(self):
        super().__init__()
        self.words = nn.Linear(6, 6)

    def mix(self, x, ids):
        x = x + self.words(F.gelu(x).mT).mT
        return self.v(x)

    def true_mix(self, x, ids):
        return self.v(x + self.words(signal(F.gelu, x).mT).mT)


@model
class DeepAverage(Reader):
    """Iyyer 2015, with batch norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.norm.running_mean.uniform_(-1, 1)
        self.norm.running_var.uniform_(0.5, 2)
        self.deep = nn.Sequential(nn.Linear(HIDDEN, 6), nn.ELU(), nn.Dropout(0.5), nn.Linear(6, 4))

    def forward(self, ids):
        h = self.norm(self.v(self.embedding(ids).mean(1)))
        return self.head(torch.relu(self.deep(h)))

    def truth(self, words):
        norm = self.norm
        h = self.v(words.vectors(self.embedding).mean(1)) - norm.running_mean
        h = h / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        return self.head(relu(self.deep[3](signal(F.elu, self.deep[0](h)))))


@model
class Bilinear(Reader):
    """The first and the last word in a bilinear form: two signals."""

    def __init__(self):
        super().__init__()
        self.form = nn.Bilinear(WIDTH, WIDTH, CLASSES)

    def forward(self, ids):
        x = self.embedding(ids)
        return self.form(x[:, 0], x[:, 1])

    def truth(self, words):
        x = words.vectors(self.embedding)
        a, b = x[:, 0], x[:, 1]
        z = sum(
            torch.einsum("bi,cij,bj->bc", *abc)
            for abc in ((a, self.form.weight, b.detach()), (a.detach(), self.form.weight, b))
        )
        return z / 2 + self.form.bias


@model
class Cosines(Reader):
    """Similarities of the mean vector to a prototype of each class."""

    def __init__(self):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(CLASSES, HIDDEN))

    def forward(self, ids):
        h = self.v(self.embedding(ids).mean(1))
        return F.cosine_similarity(h.unsqueeze(1), self.prototypes.unsqueeze(0), dim=-1)

    def truth(self, words):
        h = self.v(words.vectors(self.embedding).mean(1))
        h = h / h.norm(dim=1, keepdim=True).detach()
        return h @ (self.prototypes / self.prototypes.norm(dim=1, keepdim=True)).t()


@model
class Interactions(Reader):
    """A factorisation machine: half of (square of the sum − sum of the squares)."""

    def forward(self, ids):
        h = self.v(self.embedding(ids))
        return self.head(0.5 * (h.sum(1).pow(2) - h.pow(2).sum(1)))

    def truth(self, words):
        h = self.v(words.vectors(self.embedding))
        squares = signal(torch.square, h.sum(1)) - signal(torch.square, h).sum(1)
        return self.head(0.5 * squares)


@model
class DifferenceAndProduct(Reader):
    """|a − b| and a · b of two halves of the text, as in models of pairs."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, ids):
        h = self.v(self.embedding(ids))
        a, b = h[:, :3].sum(1), h[:, 3:].sum(1)
        return self.head(torch.cat([(a - b).abs(), a * b], 1))

    def truth(self, words):
        h = self.v(words.vectors(self.embedding))
        a, b = h[:, :3].sum(1), h[:, 3:].sum(1)
        return self.head(torch.cat([signal(torch.abs, a - b), product(a, b)], 1))


@model
class Mixture(Reader):
    """Two experts, weighed by a softmax over them."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, 2)

    def mix(self, x, ids):
        p = self.router(x).softmax(-1)
        experts = torch.stack([torch.relu(self.v(x)), torch.tanh(self.k(x))], -1)
        return (experts * p.unsqueeze(-2)).sum(-1)

    def true_mix(self, x, ids):
        p = torch.softmax(self.router(x).detach(), -1)
        return p[..., :1] * relu(self.v(x)) + p[..., 1:] * tanh(self.k(x))


@model
class HardMixture(Reader):
    """The better expert alone, chosen by arg max."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, 2)

    def mix(self, x, ids):
        experts = torch.stack([self.v(x), self.k(x)], -2)
        best = self.router(x).argmax(-1)[..., None, None].expand(-1, -1, 1, HIDDEN)
        return experts.gather(-2, best).squeeze(-2)

    def true_mix(self, x, ids):
        first = self.router(x)[..., :1] >= self.router(x)[..., 1:]
        return torch.where(first, self.v(x), self.k(x))
