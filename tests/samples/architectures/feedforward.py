"""Bags of words, pairs of sentences, and what people put on top of a recurrent layer."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from samples.architectures.registry import C, D, H, V, architecture


@architecture(fed="bag")
class FastText(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(V, D, mode="mean", sparse=False)
        self.fc = nn.Linear(D, C)

    def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
        return self.fc(self.embedding(text, offsets))


@architecture(reads_zeros=True)
class DeepAveraging(nn.Module):
    # Iyyer et al. 2015.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.fc1, self.fc2 = nn.Linear(D, 8), nn.Linear(8, 8)
        self.bn1, self.bn2 = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.out = nn.Linear(8, C)

    def forward(self, ids: Tensor) -> Tensor:
        n = (ids != 0).sum(dim=1, keepdim=True).float().to(self.emb.weight.dtype)
        x = self.emb(ids).sum(dim=1) / n
        x = F.elu(self.bn1(self.fc1(x)))
        x = F.elu(self.bn2(self.fc2(x)))
        return self.out(x)


@architecture()
class SimpleWordEmbeddings(nn.Module):
    # Mean and maximum side by side (Shen et al. 2018), and a log-sum-exp between the two.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.fc = nn.Linear(3 * D, C)

    def forward(self, ids: Tensor) -> Tensor:
        x, mask = self.emb(ids), (ids != 0).unsqueeze(-1)
        mean = (x * mask).sum(1) / mask.sum(1)
        low = x.masked_fill(~mask, -1e30)
        soft = torch.logsumexp(low, dim=1) - mask.sum(1).log()
        return self.fc(torch.cat([mean, low.max(1).values, soft], dim=1))


class Encoded(nn.Module):
    """A packed GRU; what comes after it is somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)

    def encode(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.emb(ids), lengths.cpu(), True, enforce_sorted=False)
        return self.gru(packed)[1][-1]


@architecture(fed="pairs")
class SentencePair(Encoded):
    # Conneau et al. 2017: premise and hypothesis as the two rows of a document.
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(4 * H, 8), nn.Tanh(), nn.Linear(8, C))

    def forward(self, pairs: Tensor) -> Tensor:
        u, v = self.encode(pairs[:, 0]), self.encode(pairs[:, 1])
        return self.fc(torch.cat([u, v, torch.abs(u - v), u * v], dim=1))


@architecture(fed="pairs")
class BilinearPair(Encoded):
    def __init__(self) -> None:
        super().__init__()
        self.bilinear = nn.Bilinear(H, H, C)

    def forward(self, pairs: Tensor) -> Tensor:
        first, second = pairs.unbind(dim=1)
        return self.bilinear(self.encode(first), self.encode(second))


@architecture(fed="pairs")
class CosinePair(Encoded):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, pairs: Tensor) -> Tensor:
        u, v = (self.encode(pairs[:, k]) for k in range(2))
        return self.scale * F.cosine_similarity(u, v, dim=-1)


def _head(name: str, head: Callable[[], nn.Module]) -> None:
    class Headed(Encoded):
        def __init__(self) -> None:
            super().__init__()
            self.head = head()

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.encode(ids))

    Headed.__name__ = name
    architecture()(Headed)


class Highway(nn.Module):
    """Srivastava et al. 2015."""

    def __init__(self, size: int, layers: int = 2) -> None:
        super().__init__()
        self.nonlinear = nn.ModuleList([nn.Linear(size, size) for _ in range(layers)])
        self.gate = nn.ModuleList([nn.Linear(size, size) for _ in range(layers)])

    def forward(self, x: Tensor) -> Tensor:
        for nonlinear, gate in zip(self.nonlinear, self.gate, strict=True):
            g = torch.sigmoid(gate(x))
            x = g * F.relu(nonlinear(x)) + (1 - g) * x
        return x


class Maxout(nn.Module):
    """Goodfellow et al. 2013."""

    def __init__(self, size: int, out: int, pieces: int = 3) -> None:
        super().__init__()
        self.lin = nn.Linear(size, out * pieces)
        self.shape = (out, pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin(x).view(-1, *self.shape).max(-1)[0]


class TwoViews(nn.Module):
    """The larger of two projections, divided by its own length, less a learned offset."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(H, H), nn.Linear(H, H, bias=False)
        self.offset = nn.Parameter(torch.randn(H))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(self.a(x), self.b(x))
        return x / x.norm(dim=1, keepdim=True).clamp(min=1e-6) - self.offset


class SmoothViews(nn.Module):
    """A smooth maximum of two projections, and of that and a learned threshold for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(H, H), nn.Linear(H, H, bias=False)
        self.threshold = nn.Parameter(torch.randn(H))

    def forward(self, x: Tensor) -> Tensor:
        return torch.logaddexp(torch.logaddexp(self.a(x), self.b(x)), self.threshold)


class OwnRMSNorm(nn.Module):
    """As in the reference code of a well-known language model."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def _norm(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x: Tensor) -> Tensor:
        return self._norm(x).type_as(x) * self.weight


def _between(*middle: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(H, 8), *(make() for make in middle), nn.Linear(8, C))


_head("BatchNormHead", _between(lambda: nn.BatchNorm1d(8), nn.ReLU, nn.Dropout))
_head("GELUHead", _between(lambda: nn.GELU("tanh"), lambda: nn.LayerNorm(8)))
_head("SiLUHead", _between(nn.SiLU))
_head("SoftplusHead", _between(nn.Softplus))
_head("ELUHead", _between(lambda: nn.ELU(inplace=True)))
_head("HardswishHead", _between(nn.Hardswish))
_head("PReLUHead", _between(lambda: nn.PReLU(8)))
_head("SigmoidHead", _between(nn.Sigmoid))
_head("MishHead", _between(nn.Mish, lambda: nn.RMSNorm(8)))
_head("OwnRMSNormHead", _between(lambda: OwnRMSNorm(8), nn.Tanh))
_head("HighwayHead", lambda: nn.Sequential(Highway(H), nn.Linear(H, C)))
_head("MaxoutHead", lambda: nn.Sequential(Maxout(H, 6), nn.Linear(6, C)))
_head("TwoViewsHead", lambda: nn.Sequential(TwoViews(), nn.Linear(H, C)))
_head("SmoothViewsHead", lambda: nn.Sequential(SmoothViews(), nn.Linear(H, C)))
