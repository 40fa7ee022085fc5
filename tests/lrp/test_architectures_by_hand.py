"""A layer of the library and the same written by hand, with the same weights: same relevance."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from samples.architectures import WORDS, D, V, built
from torch import Tensor, nn

import seqlrp

C, HEADS = 3, 2
MASK = WORDS != 0
Step = Callable[[Any, Tensor], Tensor]
Activation = Callable[[Tensor], Tensor]


def held(value: Tensor | None) -> Tensor:
    """A parameter that is there."""
    assert value is not None
    return value


class Around(nn.Module):
    """What stands below and above the layer in question: `layer(parts, x)`, x `[B, T, D]`."""

    def __init__(self, layer: Step, parts: nn.Module) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.below = nn.LSTM(D, D, batch_first=True)
        self.parts = parts
        self.head = nn.Linear(D, C)
        self.layer = layer

    def forward(self, ids: Tensor) -> Tensor:
        h, _ = self.below(self.emb(ids))
        h = self.layer(self.parts, h).masked_fill((ids == 0).unsqueeze(-1), 0)
        return self.head(h.sum(1))


def relevance(
    layer: Step, make: Callable[[], nn.Module], epsilon: float = 0.01, **options: Any
) -> Tensor:
    model = built(lambda: Around(layer, make()))
    lrp = seqlrp.LRP(model, epsilon, **options)
    found, ledger = lrp.attribute(WORDS, "all", return_ledger=True)
    assert ledger.residual.abs().max() < 1e-11
    assert not found.transpose(1, 2)[WORDS == 0].any()
    return found


def check_same(make: Callable[[], nn.Module], *layers: Step, **options: Any) -> None:
    first = relevance(layers[0], make, **options)
    assert (first.abs().amax(-1) > 1e-4).all()
    for layer in layers[1:]:
        torch.testing.assert_close(relevance(layer, make, **options), first, rtol=0, atol=1e-10)


# Normalisations

both_epsilons = pytest.mark.parametrize("epsilon", [0.0, 0.01])


def layer_norm(m: nn.LayerNorm, x: Tensor) -> Tensor:
    return m(x)


def layer_norm_by_variance(m: nn.LayerNorm, x: Tensor) -> Tensor:
    u = x.mean(-1, keepdim=True)
    s = (x - u).pow(2).mean(-1, keepdim=True)
    x = (x - u) / torch.sqrt(s + m.eps)
    return m.weight * x + m.bias


def layer_norm_by_var(m: nn.LayerNorm, x: Tensor) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    var = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) * torch.rsqrt(var + m.eps) * m.weight + m.bias


@pytest.mark.parametrize(
    "by_hand", [layer_norm_by_variance, layer_norm_by_var], ids=lambda f: f.__name__
)
@both_epsilons
def test_layer_norm(by_hand: Step, epsilon: float) -> None:
    check_same(lambda: nn.LayerNorm(D), layer_norm, by_hand, epsilon=epsilon)


@both_epsilons
def test_rms_norm(epsilon: float) -> None:
    def squared(m: nn.RMSNorm, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * m.weight

    def powered(m: nn.RMSNorm, x: Tensor) -> Tensor:
        return m.weight * (x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt())

    def by_length(m: nn.RMSNorm, x: Tensor) -> Tensor:
        rms = (x.norm(dim=-1, keepdim=True) ** 2 / D + 1e-6) ** 0.5
        return m.weight * (x / rms)

    check_same(
        lambda: nn.RMSNorm(D, eps=1e-6),
        lambda m, x: m(x),
        squared,
        powered,
        by_length,
        epsilon=epsilon,
    )


@both_epsilons
def test_batch_norm(epsilon: float) -> None:
    def library(m: nn.BatchNorm1d, x: Tensor) -> Tensor:
        return m(x.transpose(1, 2)).transpose(1, 2)

    def by_hand(m: nn.BatchNorm1d, x: Tensor) -> Tensor:
        assert m.running_mean is not None
        assert m.running_var is not None
        scale = m.weight / torch.sqrt(m.running_var + m.eps)
        return x * scale + (m.bias - m.running_mean * scale)

    check_same(lambda: nn.BatchNorm1d(D), library, by_hand, epsilon=epsilon)


@both_epsilons
def test_unit_length(epsilon: float) -> None:
    check_same(
        nn.Identity,
        lambda m, x: F.normalize(x, dim=-1),
        lambda m, x: x / x.norm(p=2, dim=-1, keepdim=True),
        lambda m, x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12),
        lambda m, x: x / (x * x).sum(-1, keepdim=True).sqrt(),
        epsilon=epsilon,
    )


# Attention


def library_attention(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    return m(x, x, x, key_padding_mask=~MASK)[0]


def library_attention_without_weights(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    return m(x, x, x, key_padding_mask=~MASK, need_weights=False)[0]


def projections(m: nn.MultiheadAttention, x: Tensor) -> list[Tensor]:
    qkv = F.linear(x, m.in_proj_weight, m.in_proj_bias)
    return [t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in qkv.chunk(3, dim=-1)]


def by_one_call(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    q, k, v = projections(m, x)
    y = F.scaled_dot_product_attention(q, k, v, MASK[:, None, None])
    return m.out_proj(y.transpose(1, 2).flatten(2))


def by_products(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    q, k, v = projections(m, x)
    energy = q @ k.transpose(-1, -2) / math.sqrt(D // HEADS)
    energy = energy.masked_fill(~MASK[:, None, None], float("-inf"))
    return m.out_proj((energy.softmax(-1) @ v).transpose(1, 2).flatten(2))


def by_einsum(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    q, k, v = projections(m, x)
    energy = torch.einsum("bhid,bhjd->bhij", q * (D // HEADS) ** -0.5, k)
    energy = torch.where(MASK[:, None, None], energy, -torch.inf)
    y = torch.einsum("bhij,bhjd->bihd", torch.softmax(energy, -1), v)
    return m.out_proj(y.reshape(*x.shape[:2], -1))


def by_heads(m: nn.MultiheadAttention, x: Tensor) -> Tensor:
    q, k, v = projections(m, x)
    heads = []
    for i in range(HEADS):
        energy = torch.bmm(q[:, i], k[:, i].permute(0, 2, 1)) / (D // HEADS) ** 0.5
        weights = F.softmax(energy.masked_fill(~MASK[:, None], -1e9), dim=2)
        heads.append(torch.bmm(weights, v[:, i]))
    return m.out_proj(torch.cat(heads, dim=2))


@pytest.mark.parametrize("attention", ["constant", "attnlrp"])
@pytest.mark.parametrize(
    "by_hand",
    [library_attention_without_weights, by_one_call, by_products, by_einsum, by_heads],
    ids=lambda f: f.__name__,
)
def test_multi_head_attention(by_hand: Step, attention: str) -> None:
    check_same(
        lambda: nn.MultiheadAttention(D, HEADS, batch_first=True),
        library_attention,
        by_hand,
        attention=attention,
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_layer(norm_first: bool) -> None:
    def make() -> nn.TransformerEncoderLayer:
        return nn.TransformerEncoderLayer(D, HEADS, 8, batch_first=True, norm_first=norm_first)

    def library(m: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
        return m(x, src_key_padding_mask=~MASK)

    def by_hand(m: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
        def feed(x: Tensor) -> Tensor:
            return m.linear2(F.relu(m.linear1(x)))

        if norm_first:
            x = x + by_products(m.self_attn, m.norm1(x))
            return x + feed(m.norm2(x))
        x = m.norm1(x + by_products(m.self_attn, x))
        return m.norm2(x + feed(x))

    check_same(make, library, by_hand)


# Convolutions


def test_convolution() -> None:
    def library(m: nn.Conv1d, x: Tensor) -> Tensor:
        return m(x.transpose(1, 2)).transpose(1, 2)

    def windows(m: nn.Conv1d, x: Tensor) -> Tensor:
        around = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)
        return F.linear(around.flatten(2), m.weight.flatten(1), m.bias)

    def shifts(m: nn.Conv1d, x: Tensor) -> Tensor:
        before, after = F.pad(x, (0, 0, 1, 0))[:, :-1], F.pad(x, (0, 0, 0, 1))[:, 1:]
        return (
            before @ m.weight[:, :, 0].T
            + x @ m.weight[:, :, 1].T
            + after @ m.weight[:, :, 2].T
            + held(m.bias)
        )

    def image(m: nn.Conv1d, x: Tensor) -> Tensor:
        weight = m.weight.transpose(1, 2).unsqueeze(1)  # [D, 1, 3, D]
        y = F.conv2d(x.unsqueeze(1), weight, m.bias, padding=(1, 0))
        return y.squeeze(3).transpose(1, 2)

    def make() -> nn.Conv1d:
        return nn.Conv1d(D, D, 3, padding=1)

    def masked(layer: Step) -> Step:
        return lambda m, x: layer(m, x.masked_fill(~MASK.unsqueeze(-1), 0))

    check_same(make, *(masked(layer) for layer in (library, windows, shifts, image)))


def test_gated_linear_unit() -> None:
    def by_hand(m: nn.Linear, x: Tensor) -> Tensor:
        signal, gate = m(x).chunk(2, dim=-1)
        return signal * torch.sigmoid(gate)

    check_same(lambda: nn.Linear(D, 2 * D), lambda m, x: F.glu(m(x)), by_hand)


# Activations and products


@pytest.mark.parametrize(
    ("library", "by_hand"),
    [
        (F.relu, lambda x: x.clamp(min=0)),
        (F.relu, lambda x: torch.maximum(x, torch.zeros_like(x))),
        (F.relu, lambda x: x * (x > 0)),
        (F.leaky_relu, lambda x: torch.where(x > 0, x, 0.01 * x)),
        (F.silu, lambda x: x * x.sigmoid()),
        (F.silu, lambda x: x / (1 + torch.exp(-x))),
        (F.softsign, lambda x: x / (1 + x.abs())),
        (torch.abs, lambda x: torch.maximum(x, -x)),
    ],
)
def test_activations(library: Activation, by_hand: Activation) -> None:
    check_same(lambda: nn.Linear(D, D), lambda m, x: library(m(x)), lambda m, x: by_hand(m(x)))


@pytest.mark.parametrize("count", [1, D])
def test_prelu(count: int) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(D, D), nn.PReLU(count))

    def library(m: nn.Sequential, x: Tensor) -> Tensor:
        return m(x.flatten(0, 1)).view_as(x)

    def by_hand(m: Any, x: Tensor) -> Tensor:
        x = m[0](x)
        return torch.where(x > 0, x, m[1].weight * x)

    check_same(make, library, by_hand)


def bilinear(m: nn.Bilinear, x: Tensor) -> Tensor:
    return m(x, x.flip(2))


def test_bilinear() -> None:
    def map_then_product(m: nn.Bilinear, x: Tensor) -> Tensor:
        mapped = torch.einsum("bti,oij->btoj", x, m.weight)
        return (mapped * x.flip(2).unsqueeze(2)).sum(-1) + m.bias

    def all_at_once(m: nn.Bilinear, x: Tensor) -> Tensor:
        return torch.einsum("bti,oij,btj->bto", x, m.weight, x.flip(2)) + m.bias

    check_same(lambda: nn.Bilinear(D, D, D), bilinear, map_then_product)
    # One product of three has no map in it, and nothing to stabilise.
    check_same(lambda: nn.Bilinear(D, D, D), bilinear, all_at_once, epsilon=0.0)


# Recurrent layers


def test_lstm() -> None:
    def library(m: nn.LSTM, x: Tensor) -> Tensor:
        return m(x)[0]

    def by_hand(m: Any, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), D)
        out = []
        for x_t in torch.unbind(x, dim=1):
            z = F.linear(x_t, m.weight_ih_l0, m.bias_ih_l0)
            z = z + F.linear(h, m.weight_hh_l0, m.bias_hh_l0)
            i, f, g, o = z.chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            out.append(h)
        return torch.stack(out, dim=1)

    def by_cell(m: nn.LSTM, x: Tensor) -> Tensor:
        cell = nn.LSTMCell(D, D, dtype=x.dtype).eval()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data = getattr(m, f"{name}_l0").data
        state: tuple[Tensor, Tensor] | None = None
        out = []
        for x_t in x.transpose(0, 1):
            state = cell(x_t, state)
            out.append(state[0])
        return torch.stack(out).transpose(0, 1)

    check_same(lambda: nn.LSTM(D, D, batch_first=True), library, by_hand, by_cell)


def test_bidirectional_gru() -> None:
    # A pass over the document reversed by hand, against the library's own.
    def library(m: nn.GRU, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, MASK.sum(1), True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(m(packed)[0], True)[0]

    def direction(m: nn.GRU, x: Tensor, suffix: str) -> list[Tensor]:
        w, u, b, d = (
            held(getattr(m, f"{name}_l0{suffix}"))
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, out = x.new_zeros(1, D // 2), []
        for x_t in x.split(1, dim=1):
            x_r, x_z, x_n = F.linear(x_t.squeeze(1), w, b).chunk(3, -1)
            h_r, h_z, h_n = F.linear(h, u, d).chunk(3, -1)
            z = torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
            h = (1 - z) * n + z * h
            out.append(h)
        return out

    def by_hand(m: nn.GRU, x: Tensor) -> Tensor:
        rows = []
        for b, count in enumerate(MASK.sum(1).tolist()):
            document = x[b : b + 1, :count]
            there = torch.cat(direction(m, document, ""))
            back = torch.cat(direction(m, document.flip(1), "_reverse")).flip(0)
            rows.append(F.pad(torch.cat([there, back], 1), (0, 0, 0, x.shape[1] - count)))
        return torch.stack(rows)

    check_same(lambda: nn.GRU(D, D // 2, batch_first=True, bidirectional=True), library, by_hand)
