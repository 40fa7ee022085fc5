"""Attention: transformers, multi-head attention by library and by hand, several hops."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from samples.architectures.registry import C, D, H, V, architecture

HEADS = 2


def encoder(size: int, layers: int = 1, norm_first: bool = False) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        size, HEADS, dim_feedforward=8, dropout=0.1, batch_first=True, norm_first=norm_first
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


class Sinusoids(nn.Module):
    """The usual table of sines and cosines."""

    pe: Tensor

    def __init__(self, size: int, longest: int = 16) -> None:
        super().__init__()
        position = torch.arange(longest).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, size, 2) * (-math.log(10000.0) / size))
        pe = torch.zeros(1, longest, size)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + self.pe[:, : x.size(1)])


@architecture()
class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.position = Sinusoids(D)
        self.encoder = encoder(D, layers=2)
        self.fc = nn.Linear(D, C)

    def forward(self, src: Tensor) -> Tensor:
        pad = src == 0
        x = self.position(self.embedding(src) * math.sqrt(D))
        x = self.encoder(x, src_key_padding_mask=pad)
        x = x.masked_fill(pad.unsqueeze(-1), 0.0)
        return self.fc(x.sum(1) / (~pad).sum(1, keepdim=True))


@architecture()
class TransformerWithClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.position = nn.Embedding(16, D)
        self.cls = nn.Parameter(torch.randn(1, 1, D))
        self.encoder = encoder(D, norm_first=True)
        self.norm = nn.LayerNorm(D)
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        b, n = ids.shape
        x = self.embedding(ids) + self.position(torch.arange(n, device=ids.device))
        x = torch.cat([self.cls.repeat(b, 1, 1), x], dim=1)
        pad = F.pad(ids == 0, (1, 0), value=False)
        return self.fc(self.norm(self.encoder(x, src_key_padding_mask=pad)[:, 0]))


@architecture()
class TransformerOverBiLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, D // 2, bidirectional=True, batch_first=True)
        self.encoder = encoder(D)
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        pad = ids == 0
        packed = pack_padded_sequence(self.embedding(ids), (~pad).sum(1).cpu(), True, False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], True, total_length=ids.size(1))
        out = self.encoder(out, src_key_padding_mask=pad)
        return self.fc(out.masked_fill(pad[..., None], float("-inf")).max(1)[0])


@architecture()
class MultiheadAttentionOverLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, D, batch_first=True)
        self.att = nn.MultiheadAttention(D, HEADS, dropout=0.2, batch_first=True)
        self.norm = nn.LayerNorm(D)
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        pad = ids == 0
        h, _ = self.lstm(self.emb(ids))
        attended, _ = self.att(h, h, h, key_padding_mask=pad)
        h = self.norm(h + attended)
        h = h * pad.logical_not().unsqueeze(2)
        return self.fc(h.sum(1))


class ByHand(nn.Module):
    """Queries, keys and values of several heads, over a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, D, batch_first=True)
        self.q, self.k, self.v = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)
        self.o = nn.Linear(D, D, bias=False)
        self.fc = nn.Linear(D, C)

    def attend(self, h: Tensor, mask: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids != 0
        h, _ = self.gru(self.emb(ids))
        h = self.attend(h, mask) + h
        return self.fc((h * mask[:, :, None]).mean(1) * mask.size(1) / mask.sum(1)[:, None])


@architecture()
class ScaledDotProductCall(ByHand):
    def attend(self, h: Tensor, mask: Tensor) -> Tensor:
        b, t, d = h.shape
        q, k, v = (
            f(h).view(b, t, HEADS, d // HEADS).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        return self.o(y.transpose(1, 2).reshape(b, t, d))


@architecture()
class ScaledDotProductWritten(ByHand):
    def attend(self, h: Tensor, mask: Tensor) -> Tensor:
        b, t, d = h.size()

        def split(x: Tensor) -> Tensor:
            return x.reshape(b, t, HEADS, -1).permute(0, 2, 1, 3)

        q, k, v = split(self.q(h)), split(self.k(h)), split(self.v(h))
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1))
        scores = scores.masked_fill(mask[:, None, None] == 0, -1e9)
        p_attn = F.dropout(scores.softmax(dim=-1), 0.1, training=self.training)
        x = (p_attn @ v).transpose(1, 2).contiguous().view(b, t, d)
        return self.o(x)


@architecture()
class HeadsByEinsum(ByHand):
    def attend(self, h: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (f(h).unflatten(-1, (HEADS, -1)) for f in (self.q, self.k, self.v))
        energy = torch.einsum("bqhd,bkhd->bhqk", [q, k])
        energy = energy.masked_fill(mask.unsqueeze(1).unsqueeze(2) == 0, float("-1e20"))
        attention = torch.softmax(energy / (D // HEADS) ** 0.5, dim=3)
        out = torch.einsum("bhql,blhd->bqhd", attention, v).flatten(2)
        return self.o(out)


@architecture(reads_padding=True)
class SelfAttentiveEmbedding(nn.Module):
    # Lin et al. 2017: r hops over a bi-LSTM, a matrix for each document.
    def __init__(self, r: int = 3) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.bilstm = nn.LSTM(D, H, bidirectional=True)
        self.ws1, self.ws2 = nn.Linear(2 * H, 7, bias=False), nn.Linear(7, r, bias=False)
        self.mlp = nn.Sequential(nn.Linear(r * 2 * H, 8), nn.ReLU(), nn.Linear(8, C))

    def forward(self, ids: Tensor) -> Tensor:
        inp = torch.transpose(ids, 0, 1)
        outp = self.bilstm(self.emb(inp))[0].transpose(0, 1).contiguous()
        size = outp.size()
        compressed = outp.view(-1, size[2])
        hbar = torch.tanh(self.ws1(compressed))
        alphas = self.ws2(hbar).view(size[0], size[1], -1).transpose(1, 2)
        alphas = alphas + -10000 * (ids == 0).to(alphas.dtype).unsqueeze(1)
        alphas = F.softmax(alphas.reshape(-1, size[1]), dim=1).view(size[0], -1, size[1])
        return self.mlp(torch.bmm(alphas, outp).flatten(start_dim=1))


@architecture()
class PreNormBlock(nn.Module):
    # A block of a small language model: RMS norm, causal heads, gated feed-forward.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.norm1, self.norm2, self.norm3 = nn.RMSNorm(D), nn.RMSNorm(D), nn.RMSNorm(D)
        self.qkv, self.proj = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.gate = nn.Linear(D, 8, bias=False), nn.Linear(D, 8, bias=False)
        self.down = nn.Linear(8, D, bias=False)
        self.score = nn.Linear(D, C, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        q, k, v = self.qkv(self.norm1(x)).split(D, dim=2)
        q, k, v = (t.unflatten(2, (HEADS, -1)).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        last = (ids != 0).sum(-1) - 1
        return self.score(self.norm3(x[torch.arange(x.shape[0]), last]))


@architecture()
class LearnedQuery(nn.Module):
    # Attention with exp and a sum, over a sum of words and positions.
    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(V, D, padding_idx=0)
        self.position = nn.Embedding(16, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.query = nn.Parameter(torch.randn(H))
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.size(1)).expand_as(ids)
        x = self.norm(self.word(ids) + self.position(positions))
        out, _ = self.lstm(x)
        score = torch.exp(torch.tanh(out) @ self.query) * (ids != 0)
        weight = score / (score.sum(dim=1, keepdim=True) + 1e-8)
        return self.fc((out * weight.unsqueeze(-1)).sum(dim=1))
