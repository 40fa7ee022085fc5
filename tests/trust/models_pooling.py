"""Ways of making one vector of the words' hidden vectors.

A way is a function of hidden vectors `[B, T, H]`, the ids, and a map `[H, 1]` for scores of words.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trust.judge import CASES, HIDDEN, Case, DenseClassifier, Words, gate, signal, tanh

Pooling = Callable[[Tensor, Tensor, nn.Linear], Tensor]


class Pooler(DenseClassifier):
    def __init__(self, pool: Pooling) -> None:
        super().__init__()
        self.score = nn.Linear(HIDDEN, 1)
        self.pool = pool

    def forward(self, ids: Tensor) -> Tensor:
        h = torch.tanh(self.dense(self.embedding(ids)))
        return self.head(self.pool(h, ids, self.score))


def way(truth: Pooling) -> Callable[[Pooling], Pooling]:
    """Register a way of pooling, with the truth as another function of the same arguments."""

    def register(pool: Pooling) -> Pooling:
        def scores(model: Pooler, words: Words) -> Tensor:
            h = tanh(model.dense(words.vectors(model.embedding)))
            return model.head(truth(h, words.ids, model.score))

        CASES.append(Case("pooling", pool.__name__, lambda: Pooler(pool), scores))
        return pool

    return register


def true_mean(h, ids, score):
    return sum(h[:, t] for t in range(h.shape[1])) / h.shape[1]


def true_masked_mean(h, ids, score):
    live = (ids != 0).double()
    return (h * live[:, :, None]).sum(1) / live.sum(1)[:, None]


def true_max(h, ids, score):
    at = h.detach().argmax(1, keepdim=True)
    return h.gather(1, at)[:, 0]


def true_masked_max(h, ids, score):
    at = h.detach().masked_fill((ids == 0)[..., None], -9).argmax(1, keepdim=True)
    return h.gather(1, at)[:, 0]


def true_last(h, ids, score):
    return torch.stack([row[n - 1] for row, n in zip(h, (ids != 0).sum(1).tolist(), strict=True)])


def true_attention(h, ids, score):
    weights = torch.softmax(score(h).detach(), 1)
    return (weights * h).sum(1)


def true_masked_attention(h, ids, score):
    z = score(h).detach().masked_fill((ids == 0)[..., None], float("-inf"))
    return (torch.softmax(z, 1) * h).sum(1)


@way(true_mean)
def mean(h, ids, score):
    return h.mean(1)


@way(true_mean)
def mean_by_sum(h, ids, score):
    return h.sum(dim=1) / h.size(1)


@way(true_mean)
def mean_with_axis(h, ids, score):
    return h.mean(axis=1, keepdims=True).squeeze(1)


@way(true_mean)
def mean_by_avg_pool(h, ids, score):
    return F.avg_pool1d(h.transpose(1, 2), h.shape[1]).squeeze(-1)


@way(true_mean)
def mean_by_adaptive_pool(h, ids, score):
    return nn.AdaptiveAvgPool1d(1)(h.permute(0, 2, 1)).flatten(1)


@way(true_mean)
def mean_by_matmul(h, ids, score):
    ones = torch.full((len(h), 1, h.shape[1]), 1 / h.shape[1], dtype=h.dtype)
    return torch.bmm(ones, h).squeeze(1)


@way(true_mean)
def mean_by_einsum(h, ids, score):
    return torch.einsum("bth->bh", h) / h.shape[1]


@way(true_mean)
def mean_by_cumsum(h, ids, score):
    return h.cumsum(1)[:, -1] / h.shape[1]


@way(true_mean)
def mean_by_loop(h, ids, score):
    total = torch.zeros_like(h[:, 0])
    for t in range(h.shape[1]):
        total += h[:, t]
    return total / h.shape[1]


@way(true_mean)
def mean_by_python_sum(h, ids, score):
    return sum(h.unbind(1)) / len(h.unbind(1))


@way(true_mean)
def mean_on_the_run(h, ids, score):
    average = h[:, 0]
    for t in range(1, h.shape[1]):
        average = average + (h[:, t] - average) / (t + 1)
    return average


@way(true_mean)
def mean_by_nanmean(h, ids, score):
    return h.nanmean(1)


@way(true_mean)
def mean_by_baddbmm(h, ids, score):
    ones = h.new_ones(len(h), 1, h.shape[1])
    zero = h.new_zeros(len(h), 1, h.shape[2])
    return torch.baddbmm(zero, ones, h, alpha=1 / h.shape[1])[:, 0]


@way(true_mean)
def mean_by_convolution(h, ids, score):
    kernel = h.new_ones(h.shape[2], 1, h.shape[1]) / h.shape[1]
    return F.conv1d(h.mT, kernel, groups=h.shape[2]).squeeze(2)


@way(true_mean)
def mean_by_reduce(h, ids, score):
    import functools

    return functools.reduce(torch.add, [x.squeeze(1) for x in h.chunk(6, 1)]).div(6)


@way(true_masked_mean)
def masked_mean(h, ids, score):
    mask = (ids != 0).unsqueeze(-1).to(h.dtype)
    return (h * mask).sum(1) / mask.sum(1)


@way(true_masked_mean)
def masked_mean_clamped(h, ids, score):
    mask = ids.ne(0).double()[..., None].expand_as(h)
    return torch.sum(h * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)


@way(true_masked_mean)
def masked_mean_filled(h, ids, score):
    return h.masked_fill(ids.eq(0).unsqueeze(2), 0.0).sum(1) / (ids != 0).sum(1, keepdim=True)


@way(true_masked_mean)
def masked_mean_in_place(h, ids, score):
    h = h.clone()
    h[ids == 0] = 0
    return h.sum(1).div_((ids > 0).sum(1).unsqueeze(1))


@way(true_masked_mean)
def masked_mean_by_weights(h, ids, score):
    mask = (ids != 0).double()
    weights = mask / mask.sum(1, keepdim=True)
    return (weights.unsqueeze(1) @ h).squeeze(1)


@way(true_masked_mean)
def masked_mean_row_by_row(h, ids, score):
    return torch.stack([row[i != 0].mean(0) for row, i in zip(h, ids, strict=True)])


@way(true_masked_mean)
def masked_mean_by_segments(h, ids, score):
    live = ids != 0
    texts = live.nonzero()[:, 0]
    total = torch.zeros(len(h), h.shape[2], dtype=h.dtype).index_add(0, texts, h[live])
    return total / live.sum(1)[:, None]


@way(true_masked_mean)
def masked_mean_by_scatter(h, ids, score):
    live = ids != 0
    texts = live.nonzero()[:, :1].expand(-1, h.shape[2])
    total = torch.zeros(len(h), h.shape[2], dtype=h.dtype).scatter_add_(0, texts, h[live])
    return total / live.sum(1)[:, None]


@way(true_masked_mean)
def masked_mean_by_split(h, ids, score):
    sizes = (ids != 0).sum(1).tolist()
    pieces = h[ids != 0].split(sizes)
    return torch.stack([piece.mean(0) for piece in pieces])


@way(true_max)
def largest(h, ids, score):
    return h.max(1)[0]


@way(true_max)
def largest_by_values(h, ids, score):
    return torch.max(h, dim=1).values


@way(true_max)
def largest_by_amax(h, ids, score):
    return h.amax(dim=1)


@way(true_max)
def largest_by_pool(h, ids, score):
    return F.max_pool1d(h.transpose(1, 2), kernel_size=h.size(1)).squeeze(2)


@way(true_max)
def largest_by_adaptive_pool(h, ids, score):
    return F.adaptive_max_pool1d(h.transpose(1, 2), 1).squeeze(-1)


@way(true_max)
def largest_by_topk(h, ids, score):
    return h.topk(1, dim=1).values[:, 0]


@way(true_max)
def largest_by_sort(h, ids, score):
    return h.sort(1, descending=True).values[:, 0]


@way(true_max)
def largest_by_gather(h, ids, score):
    return h.gather(1, h.argmax(1, keepdim=True)).squeeze(1)


@way(true_max)
def largest_by_cummax(h, ids, score):
    return h.cummax(1).values[:, -1]


@way(true_max)
def largest_by_kthvalue(h, ids, score):
    return h.kthvalue(h.shape[1], 1).values


@way(true_max)
def largest_by_where(h, ids, score):
    best = h[:, 0]
    for t in range(1, h.shape[1]):
        best = torch.where(h[:, t] > best, h[:, t], best)
    return best


@way(true_max)
def largest_of_pairs(h, ids, score):
    best, rest = h[:, 0], h[:, 1:]
    for x in rest.unbind(1):
        best = best.max(x)
    return best


@way(lambda h, ids, score: -true_max(-h, ids, score))
def smallest(h, ids, score):
    return -(-h).max(1).values


@way(lambda h, ids, score: true_max(h, ids, score) + true_mean(h, ids, score))
def mean_and_max(h, ids, score):
    return h.max(1).values + h.mean(1)


@way(lambda h, ids, score: h.gather(1, h.detach().topk(3, 1).indices).mean(1))
def mean_of_the_largest_three(h, ids, score):
    return h.topk(3, 1)[0].mean(1)


@way(true_masked_max)
def masked_max(h, ids, score):
    return h.masked_fill((ids == 0).unsqueeze(-1), float("-inf")).max(1).values


@way(true_masked_max)
def masked_max_by_sum(h, ids, score):
    return (h - 1e4 * (ids == 0).double().unsqueeze(-1)).amax(1)


@way(true_masked_max)
def masked_max_by_where(h, ids, score):
    low = torch.full_like(h, torch.finfo(h.dtype).min)
    return torch.where(ids.unsqueeze(-1) != 0, h, low).max(1).values


@way(true_last)
def last_by_index(h, ids, score):
    return h[torch.arange(len(h)), (ids != 0).sum(1) - 1]


@way(true_last)
def last_by_gather(h, ids, score):
    at = (ids != 0).sum(1).sub(1)[:, None, None].expand(-1, 1, h.shape[2])
    return torch.gather(h, 1, at).squeeze(1)


@way(true_last)
def last_by_flat_index(h, ids, score):
    B, T, H = h.shape
    return h.reshape(B * T, H).index_select(0, torch.arange(B) * T + (ids != 0).sum(1) - 1)


@way(true_last)
def last_by_one_hot(h, ids, score):
    choice = F.one_hot((ids != 0).sum(1) - 1, h.shape[1]).double()
    return torch.einsum("bt,bth->bh", choice, h)


@way(true_last)
def last_by_mask(h, ids, score):
    n = (ids != 0).sum(1, keepdim=True)
    return h[torch.arange(h.shape[1]) == n - 1]


@way(true_last)
def last_by_masked_select(h, ids, score):
    n = (ids != 0).sum(1, keepdim=True)
    mask = (torch.arange(h.shape[1]) == n - 1)[..., None].expand_as(h)
    return h.masked_select(mask).view(len(h), -1)


@way(true_last)
def last_by_take_along(h, ids, score):
    return h.take_along_dim((ids != 0).sum(1).view(-1, 1, 1) - 1, dim=1).squeeze(1)


@way(true_attention)
def attention(h, ids, score):
    a = torch.softmax(score(h), dim=1)
    return (a * h).sum(1)


@way(true_attention)
def attention_by_bmm(h, ids, score):
    a = F.softmax(score(h).squeeze(2), dim=-1)
    return torch.bmm(a.unsqueeze(1), h).squeeze(1)


@way(true_attention)
def attention_by_exp(h, ids, score):
    e = torch.exp(score(h))
    return (e / e.sum(1, keepdim=True) * h).sum(1)


@way(true_attention)
def attention_by_exp_afterwards(h, ids, score):
    e = score(h).exp()
    return (e * h).sum(1) / e.sum(1)


@way(true_attention)
def attention_stabilised(h, ids, score):
    z = score(h)
    e = (z - z.max(1, keepdim=True).values).exp()
    return torch.sum(h * (e / torch.sum(e, 1, True)), 1)


@way(true_attention)
def attention_by_log_softmax(h, ids, score):
    return (score(h).log_softmax(1).exp() * h).sum(1)


@way(true_attention)
def attention_by_einsum(h, ids, score):
    return torch.einsum("bti,bth->bh", nn.Softmax(dim=1)(score(h)), h)


@way(true_attention)
def attention_transposed(h, ids, score):
    a = score(h).mT.softmax(-1)
    return (a @ h).view(len(h), -1)


@way(true_masked_attention)
def masked_attention(h, ids, score):
    z = score(h).squeeze(-1).masked_fill(ids == 0, float("-inf"))
    return (z.softmax(1).unsqueeze(-1) * h).sum(1)


@way(true_masked_attention)
def masked_attention_by_sum(h, ids, score):
    z = score(h).squeeze(-1) + (1.0 - ids.ne(0).double()) * -1e9
    return (z.softmax(1)[:, None] @ h).squeeze(1)


@way(true_masked_attention)
def masked_attention_renormalised(h, ids, score):
    a = torch.exp(score(h)) * (ids != 0).unsqueeze(2)
    a = a / a.sum(1, keepdim=True)
    return (h * a).sum(dim=1)


@way(true_masked_attention)
def masked_attention_in_place(h, ids, score):
    z = score(h).squeeze(2)
    z[ids == 0] = -1e30
    return torch.einsum("bt,bth->bh", z.softmax(-1), h)


@way(true_masked_attention)
def masked_attention_row_by_row(h, ids, score):
    rows = []
    for row, i in zip(h, ids, strict=True):
        row = row[i != 0]
        rows.append((score(row).softmax(0) * row).sum(0))
    return torch.stack(rows)


@way(lambda h, ids, score: (gate(score(h)) * h).sum(1))
def gated_sum(h, ids, score):
    return (torch.sigmoid(score(h)) * h).sum(1)


@way(lambda h, ids, score: (gate(score(h)) * h).sum(1) / gate(score(h)).sum(1))
def gated_mean(h, ids, score):
    g = torch.sigmoid(score(h))
    return (g * h).sum(1) / g.sum(1)


@way(lambda h, ids, score: torch.logsumexp(h, 1))
def log_sum_exp(h, ids, score):
    return torch.logsumexp(h, dim=1)


@way(lambda h, ids, score: torch.logsumexp(h, 1))
def log_sum_exp_spelt_out(h, ids, score):
    m = h.max(1, keepdim=True).values
    return (m + (h - m).exp().sum(1, keepdim=True).log()).squeeze(1)


@way(lambda h, ids, score: (h * 0.5 ** torch.arange(6)[:, None]).sum(1))
def decaying(h, ids, score):
    total = 0.0
    for t in reversed(range(h.shape[1])):
        total = total * 0.5 + h[:, t]
    return total


@way(lambda h, ids, score: h[:, 1:].sum(1) - h[:, :-1].sum(1))
def differences(h, ids, score):
    return torch.diff(h, dim=1).sum(1)


@way(lambda h, ids, score: signal(torch.sqrt, signal(torch.square, h).sum(1)))
def quadratic_mean(h, ids, score):
    return h.square().sum(1).sqrt()


@way(lambda h, ids, score: signal(torch.sqrt, signal(torch.square, h).sum(1)))
def norm_over_words(h, ids, score):
    return h.norm(dim=1)
