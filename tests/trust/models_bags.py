"""Ways of looking words up, of counting them, and of weighing their vectors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from trust.judge import (
    CLASSES,
    FULL,
    HIDDEN,
    IDS,
    VOCABULARY,
    WIDTH,
    DenseClassifier,
    model,
    relu,
    tanh,
)


class Bag(DenseClassifier):
    """A table of vectors and a head with one hidden layer."""

    def scores(self, x):
        return self.head(torch.tanh(self.dense(x)))

    def true_scores(self, x):
        return self.head(tanh(self.dense(x)))

    def truth(self, words):
        return self.true_scores(words.vectors(self.embedding).sum(1))


@model
class SumOfVectors(Bag):
    def forward(self, ids):
        return self.scores(self.embedding(ids).sum(1))


@model
class FunctionalEmbedding(Bag):
    def forward(self, ids):
        return self.scores(F.embedding(ids, self.embedding.weight).sum(1))


@model
class WeightIndexed(Bag):
    def forward(self, ids):
        return self.scores(self.embedding.weight[ids].sum(1))


@model
class WeightIndexSelected(Bag):
    def forward(self, ids):
        x = self.embedding.weight.index_select(0, ids.reshape(-1))
        return self.scores(x.view(*ids.shape, -1).sum(1))


@model
class WeightColumns(Bag):
    def forward(self, ids):
        return self.scores(self.embedding.weight.t()[:, ids].sum(-1).t())


@model
class WeightGathered(Bag):
    def forward(self, ids):
        W = self.embedding.weight.expand(len(ids), -1, -1)
        at = ids.unsqueeze(-1).expand(-1, -1, W.shape[2])
        return self.scores(W.gather(1, at).sum(1))


@model
class WeightTaken(Bag):
    def forward(self, ids):
        D = self.embedding.weight.shape[1]
        at = ids.unsqueeze(-1) * D + torch.arange(D)
        return self.scores(self.embedding.weight.take(at).sum(1))


@model
class WeightTakenAlong(Bag):
    def forward(self, ids):
        x = torch.take_along_dim(self.embedding.weight, ids.flatten()[:, None], 0)
        return self.scores(x.view(*ids.shape, -1).sum(1))


@model
class ListOfVectors(Bag):
    def forward(self, ids):
        table = list(self.embedding.weight)
        rows = [sum(table[i] for i in row.tolist()) for row in ids]
        return self.scores(torch.stack(rows))


@model
class VectorByVector(Bag):
    def forward(self, ids):
        rows = [torch.stack([self.embedding(i) for i in row]).sum(0) for row in ids]
        return self.scores(torch.stack(rows))


@model
class ColumnByColumn(Bag):
    def forward(self, ids):
        total = 0
        for column in ids.t():
            total = total + self.embedding(column)
        return self.scores(total)


@model
class OneHotMatmul(Bag):
    def forward(self, ids):
        one_hot = F.one_hot(ids, VOCABULARY).to(self.embedding.weight.dtype)
        return self.scores((one_hot @ self.embedding.weight).sum(1))


@model
class OneHotCounts(Bag):
    def forward(self, ids):
        counts = F.one_hot(ids, VOCABULARY).sum(1).double()
        return self.scores(counts @ self.embedding.weight)


@model
class OneHotByComparison(Bag):
    def forward(self, ids):
        one_hot = (ids[..., None] == torch.arange(VOCABULARY)).double()
        return self.scores((one_hot @ self.embedding.weight).sum(1))


@model
class OneHotByScatter(Bag):
    def forward(self, ids):
        one_hot = torch.zeros(*ids.shape, VOCABULARY, dtype=torch.float64)
        one_hot.scatter_(2, ids.unsqueeze(2), 1.0)
        return self.scores((one_hot @ self.embedding.weight).sum(1))


@model
class OneHotByEye(Bag):
    def forward(self, ids):
        one_hot = torch.eye(VOCABULARY, dtype=torch.float64)[ids]
        return self.scores((one_hot @ self.embedding.weight).sum(1))


@model
class CountsByScatterAdd(Bag):
    def forward(self, ids):
        counts = torch.zeros(len(ids), VOCABULARY, dtype=torch.float64)
        counts.scatter_add_(1, ids, torch.ones(ids.shape, dtype=torch.float64))
        return self.scores(counts @ self.embedding.weight)


@model
class CountsByBincount(Bag):
    def forward(self, ids):
        counts = torch.stack([torch.bincount(row, minlength=VOCABULARY) for row in ids])
        return self.scores(F.linear(counts.double(), self.embedding.weight.t()))


@model
class CountsByLoop(Bag):
    def forward(self, ids):
        counts = torch.zeros(len(ids), VOCABULARY, dtype=torch.float64)
        for b, row in enumerate(ids.tolist()):
            for i in row:
                counts[b, i] += 1
        return self.scores(counts @ self.embedding.weight)


@model
class CountsByIndexPut(Bag):
    def forward(self, ids):
        counts = torch.zeros(len(ids), VOCABULARY, dtype=torch.float64)
        rows = torch.arange(len(ids))[:, None].expand_as(ids)
        counts.index_put_((rows, ids), torch.tensor(1.0, dtype=torch.float64), accumulate=True)
        return self.scores(counts @ self.embedding.weight)


@model
class SetOfWords(Bag):
    """Every word counts once: repeated words have no share of their own."""

    truth = None

    def forward(self, ids):
        seen = torch.zeros(len(ids), VOCABULARY, dtype=torch.float64)
        seen.scatter_(1, ids, 1.0)
        return self.scores(seen @ self.embedding.weight)


@model
class UniqueWithInverse(Bag):
    def forward(self, ids):
        unique, inverse = torch.unique(ids, return_inverse=True)
        return self.scores(self.embedding(unique)[inverse].sum(1))


@model
class UniqueWithCounts(Bag):
    def forward(self, ids):
        rows = []
        for row in ids:
            unique, counts = row.unique(return_counts=True)
            rows.append((self.embedding(unique) * counts[:, None]).sum(0))
        return self.scores(torch.stack(rows))


class TorchBag(Bag):
    mode = "sum"

    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(VOCABULARY, WIDTH, mode=self.mode, padding_idx=0)

    def forward(self, ids):
        return self.scores(self.embedding(ids))

    def truth(self, words):
        return self.true_scores(words.vectors(self.embedding.weight).sum(1))


@model
class TorchBagSum(TorchBag):
    pass


@model
class TorchBagMean(TorchBag):
    mode = "mean"

    def truth(self, words):
        x = words.vectors(self.embedding.weight)
        return self.true_scores(x.sum(1) / (words.ids != 0).sum(1, keepdim=True))


@model(ids=FULL)
class TorchBagMax(TorchBag):
    mode = "max"

    def truth(self, words):
        x = words.vectors(self.embedding.weight)
        at = x.detach().argmax(1, keepdim=True)
        return self.true_scores(x.gather(1, at)[:, 0])


@model
class TorchBagOffsets(TorchBag):
    """Texts in one row, with their starts."""

    def forward(self, ids):
        starts = torch.arange(len(ids)) * ids.shape[1]
        return self.scores(self.embedding(ids.flatten(), starts))


@model(ids=IDS[:, :3].flatten(), args=(torch.tensor([0, 4, 6]),))
class TorchBagFlat(TorchBag):
    """The ids of all texts are one row that the caller hands in."""

    def forward(self, ids, starts):
        return self.scores(self.embedding(ids, starts))

    def truth(self, words, starts):
        x = words.vectors(self.embedding.weight)
        return self.true_scores(torch.stack([x[:4].sum(0), x[4:6].sum(0), x[6:].sum(0)]))


@model
class TorchBagWeighted(TorchBag):
    def __init__(self):
        super().__init__()
        self.idf = nn.Parameter(torch.rand(VOCABULARY))

    def forward(self, ids):
        return self.scores(self.embedding(ids, per_sample_weights=self.idf[ids]))

    def truth(self, words):
        x = words.vectors(self.embedding.weight)
        return self.true_scores((x * self.idf[words.ids][..., None]).sum(1))


@model
class FunctionalBag(Bag):
    def forward(self, ids):
        x = F.embedding_bag(ids, self.embedding.weight, mode="mean")
        return self.scores(x)

    def truth(self, words):
        return self.true_scores(words.vectors(self.embedding).mean(1))


class Weighted(Bag):
    """Vectors weighed by a number for each word of the vocabulary."""

    def __init__(self):
        super().__init__()
        self.idf = nn.Parameter(torch.rand(VOCABULARY))

    def truth(self, words):
        x = words.vectors(self.embedding)
        return self.true_scores((x * self.idf[words.ids][..., None]).sum(1))


@model
class WeighedByIndex(Weighted):
    def forward(self, ids):
        return self.scores((self.embedding(ids) * self.idf[ids].unsqueeze(-1)).sum(1))


@model
class WeighedByTake(Weighted):
    def forward(self, ids):
        return self.scores((self.embedding(ids) * self.idf.take(ids)[..., None]).sum(1))


@model
class WeighedByGather(Weighted):
    def forward(self, ids):
        w = self.idf.expand(len(ids), -1).gather(1, ids)
        return self.scores(torch.bmm(w.unsqueeze(1), self.embedding(ids)).squeeze(1))


@model
class WeighedByEmbedding(Weighted):
    def forward(self, ids):
        w = F.embedding(ids, self.idf[:, None].detach())
        return self.scores((self.embedding(ids) * w).sum(1))


@model
class WeighedByLookUpOfWeights(Weighted):
    def forward(self, ids):
        return self.scores(torch.einsum("bt,bth->bh", self.idf[ids], self.embedding(ids)))


@model
class WeighedInTheTable(Weighted):
    def forward(self, ids):
        return self.scores(F.embedding(ids, self.embedding.weight * self.idf[:, None]).sum(1))

    def truth(self, words):
        table = self.embedding.weight * self.idf[:, None]
        return self.true_scores(words.vectors(table).sum(1))


@model
class WeighedAndNormalised(Weighted):
    def forward(self, ids):
        w = self.idf[ids] * (ids != 0)
        w = w / w.sum(1, keepdim=True)
        return self.scores((w.unsqueeze(2) * self.embedding(ids)).sum(1))

    def truth(self, words):
        w = self.idf[words.ids] * (words.ids != 0)
        x = words.vectors(self.embedding)
        return self.true_scores((x * (w / w.sum(1, keepdim=True))[..., None]).sum(1))


@model
class WeighedBySoftmaxOfNumbers(Weighted):
    def forward(self, ids):
        w = torch.softmax(self.idf[ids], 1)
        return self.scores((w.unsqueeze(2) * self.embedding(ids)).sum(1))

    def truth(self, words):
        w = torch.softmax(self.idf[words.ids], 1)
        return self.true_scores((words.vectors(self.embedding) * w[..., None]).sum(1))


@model
class WeighedByAnswer(Bag):
    def forward(self, ids):
        w = 1.0 + (ids > 5).double()
        return self.scores((w.unsqueeze(2) * self.embedding(ids)).sum(1))

    def truth(self, words):
        w = torch.where(words.ids > 5, 2.0, 1.0)
        return self.true_scores((words.vectors(self.embedding) * w[..., None]).sum(1))


@model
class RareWordsLeftOut(Bag):
    def forward(self, ids):
        return self.scores(self.embedding(ids).masked_fill((ids > 8).unsqueeze(-1), 0).sum(1))

    def truth(self, words):
        w = (words.ids <= 8).double()
        return self.true_scores((words.vectors(self.embedding) * w[..., None]).sum(1))


@model
class UnknownVector(Bag):
    """Rare words share one vector outside of the table, which no word gets: refused."""

    truth = None

    def __init__(self):
        super().__init__()
        self.unknown = nn.Parameter(torch.randn(WIDTH))

    def forward(self, ids):
        x = self.embedding(ids)
        x = torch.where((ids > 8).unsqueeze(-1), self.unknown, x)
        return self.scores(x.sum(1))


@model
class TwoTables(Bag):
    def __init__(self):
        super().__init__()
        self.fixed = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids):
        return self.scores((self.embedding(ids) + self.fixed(ids)).sum(1))

    def truth(self, words):
        x = words.vectors(self.embedding) + words.vectors(self.fixed)
        return self.true_scores(x.sum(1))


@model
class TwoTablesConcatenated(Bag):
    def __init__(self):
        super().__init__()
        self.fixed = nn.Embedding(VOCABULARY, 3)
        self.dense = nn.Linear(WIDTH + 3, HIDDEN)

    def forward(self, ids):
        return self.scores(torch.cat([self.embedding(ids), self.fixed(ids)], -1).mean(1))

    def truth(self, words):
        x = torch.cat([words.vectors(self.embedding), words.vectors(self.fixed)], 2)
        return self.true_scores(x.mean(1))


@model
class TwoTablesOneGates(Bag):
    def __init__(self):
        super().__init__()
        self.gates = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, ids):
        return self.scores((self.embedding(ids) * torch.sigmoid(self.gates(ids))).sum(1))

    def truth(self, words):
        g = torch.sigmoid(self.gates.weight[words.ids]).detach()
        return self.true_scores((words.vectors(self.embedding) * g).sum(1))


@model
class HashedTables(Bag):
    """Two hashes of each id, whose vectors are added."""

    def forward(self, ids):
        x = self.embedding((ids * 5 + 1) % 11) + self.embedding((ids * 3 + 2) % 7)
        return self.scores(x.sum(1))

    def truth(self, words):
        a = words.vectors(self.embedding, (words.ids * 5 + 1) % 11)
        b = words.vectors(self.embedding, (words.ids * 3 + 2) % 7)
        return self.true_scores((a + b).sum(1))


@model
class FactorisedTable(Bag):
    """A narrow table and a map, as in ALBERT."""

    def __init__(self):
        super().__init__()
        self.narrow = nn.Embedding(VOCABULARY, 3)
        self.wide = nn.Linear(3, WIDTH, bias=False)

    def forward(self, ids):
        return self.scores(self.wide(self.narrow(ids)).sum(1))

    def truth(self, words):
        return self.true_scores(self.wide(words.vectors(self.narrow)).sum(1))


@model
class Positioned(Bag):
    def __init__(self):
        super().__init__()
        self.position = nn.Embedding(16, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids):
        at = torch.arange(ids.shape[1]).unsqueeze(0).expand_as(ids)
        x = self.embedding(ids) * math.sqrt(WIDTH) + self.position(at)
        return self.scores(self.norm(x).mean(1))

    def truth(self, words):
        x = words.vectors(self.embedding) * math.sqrt(WIDTH)
        x = x + self.position.weight[: x.shape[1]]
        scale = (x.var(-1, unbiased=False, keepdim=True) + self.norm.eps).rsqrt().detach()
        x = (x - x.mean(-1, keepdim=True)) * scale * self.norm.weight + self.norm.bias
        return self.true_scores(x.mean(1))


@model
class PositionsOfWords(Bag):
    """Positions that are counted from the words, as in RoBERTa."""

    def __init__(self):
        super().__init__()
        self.position = nn.Embedding(16, WIDTH)

    def forward(self, ids):
        live = ids.ne(0).long()
        at = torch.cumsum(live, 1) * live
        return self.scores(torch.relu(self.embedding(ids) + self.position(at)).mean(1))

    def truth(self, words):
        at = torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 0, 0], [1, 2, 3, 0, 0, 0]])
        x = words.vectors(self.embedding) + self.position.weight[at].detach()
        return self.true_scores(relu(x).mean(1))


@model
class SegmentAdded(Bag):
    """A vector for what stands before and after a separator, the word 4."""

    truth = None

    def __init__(self):
        super().__init__()
        self.segment = nn.Embedding(8, WIDTH)

    def forward(self, ids):
        segment = (ids == 4).cumsum(1)
        return self.scores((self.embedding(ids) + self.segment(segment)).sum(1))


@model
class LengthAdded(Bag):
    """The number of words is a feature: no word's own."""

    def __init__(self):
        super().__init__()
        self.length = nn.Linear(1, HIDDEN, bias=False)

    def forward(self, ids):
        n = (ids != 0).sum(1, keepdim=True).double()
        return self.head(torch.tanh(self.dense(self.embedding(ids).sum(1)) + self.length(n)))

    def truth(self, words):
        n = (words.ids != 0).sum(1, keepdim=True).double()
        x = words.vectors(self.embedding).sum(1)
        return self.head(tanh(self.dense(x) + self.length(n)))


@model
class FromPretrained(Bag):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.randn(VOCABULARY, WIDTH), freeze=True)

    def forward(self, ids):
        return self.scores(self.embedding(ids).sum(1))


@model
class SparseTable(Bag):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0, sparse=True)

    def forward(self, ids):
        return self.scores(self.embedding(ids).sum(1))


@model
class ScaledGradients(Bag):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0, scale_grad_by_freq=True)

    def forward(self, ids):
        return self.scores(self.embedding(ids).mean(1))

    def truth(self, words):
        return self.true_scores(words.vectors(self.embedding).mean(1))


@model
class BoundedNorm(Bag):
    """max_norm writes into the table while it is read."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0, max_norm=1.0)

    def forward(self, ids):
        return self.scores(self.embedding(ids).sum(1))


@model
class BufferTable(Bag):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(VOCABULARY, WIDTH))

    def forward(self, ids):
        return self.scores(self.table[ids].sum(1))

    def truth(self, words):
        return self.true_scores(words.vectors(self.table).sum(1))


@model
class TiedHead(Bag):
    """The scores are products with vectors of the table."""

    def forward(self, ids):
        x = self.embedding(ids).sum(1)
        return torch.tanh(x) @ self.embedding.weight[1:4].t()

    def truth(self, words):
        return tanh(words.vectors(self.embedding).sum(1)) @ self.embedding.weight[1:4].t()


@model
class DropoutOfWords(Bag):
    """Words are dropped in training only."""

    def forward(self, ids):
        if self.training:
            ids = ids * (torch.rand(ids.shape) > 0.1)
        x = F.dropout(self.embedding(ids), 0.3, self.training)
        return self.scores(nn.Dropout1d(0.2).eval()(x).sum(1))


@model
class CharactersOfWords(Bag):
    """Every word's characters are looked up in a table of ids, and convolved."""

    def __init__(self):
        super().__init__()
        self.register_buffer("characters", torch.randint(0, 9, (VOCABULARY, 4)))
        self.letters = nn.Embedding(9, WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 2)

    def forward(self, ids):
        letters = self.letters(self.characters[ids])
        x = self.conv(letters.flatten(0, 1).mT).amax(2)
        return self.scores(x.view(*ids.shape, -1).sum(1))

    def truth(self, words):
        spelling = self.characters[words.ids]
        at = torch.arange(6)[:, None].expand(6, 4).reshape(1, 24).expand(3, 24)
        letters = words.vectors(self.letters, spelling.flatten(1), at).view(18, 4, WIDTH)
        z = self.conv(letters.mT)
        best = z.detach().argmax(2, keepdim=True)
        return self.true_scores(z.gather(2, best).view(3, 6, WIDTH).sum(1))


@model
class BigramVectors(Bag):
    """Vectors of neighbours are added and rectified."""

    def forward(self, ids):
        x = self.embedding(ids)
        return self.scores(torch.relu(x[:, 1:] + x[:, :-1]).sum(1))

    def truth(self, words):
        x = words.vectors(self.embedding)
        return self.true_scores(relu(x[:, 1:] + x[:, :-1]).sum(1))


@model
class LinearScores(nn.Module):
    """The table has the scores themselves."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, CLASSES, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(CLASSES))

    def forward(self, ids):
        return self.table(ids).sum(1) + self.bias

    def truth(self, words):
        return words.vectors(self.table).sum(1) + self.bias
