"""Several inputs, several outputs, levels of texts, and vectors instead of ids."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from trust.judge import (
    CLASSES,
    HIDDEN,
    IDS,
    LENGTHS,
    VOCABULARY,
    WIDTH,
    DenseClassifier,
    gate,
    model,
    relu,
    tanh,
)

SENTENCES = torch.tensor(
    [
        [[2, 9, 4, 7], [4, 11, 0, 0], [3, 5, 6, 0]],
        [[5, 3, 8, 3], [10, 1, 0, 0], [0, 0, 0, 0]],
    ]
)
torch.manual_seed(0)
VECTORS = torch.randn(3, 6, WIDTH, dtype=torch.float64)
EXTRA = torch.randn(3, 2, dtype=torch.float64)


class Base(DenseClassifier):
    def scores(self, ids):
        return self.head(torch.tanh(self.dense(self.embedding(ids))).sum(1))

    def truth(self, words, *args):
        return self.head(tanh(self.dense(words.vectors(self.embedding))).sum(1))


@model(options={"output": 0})
class TupleOutput(Base):
    def forward(self, ids):
        h = torch.tanh(self.dense(self.embedding(ids)))
        return self.head(h.sum(1)), h


@model(options={"output": "logits"})
class DictOutput(Base):
    def forward(self, ids):
        scores = self.scores(ids)
        return {"logits": scores, "probabilities": scores.softmax(-1)}


@model(options={"output": 1})
class NamedTupleOutput(Base):
    def forward(self, ids):
        return namedtuple("Output", "loss logits")(None, self.scores(ids))


@model
class OneOutput(Base):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, ids):
        return self.scores(ids)


@model
class OneOutputSqueezed(OneOutput):
    def forward(self, ids):
        return self.scores(ids).squeeze(-1)


@model(args=(LENGTHS,))
class MeanOverLengths(Base):
    def forward(self, ids, lengths):
        mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
        h = torch.tanh(self.dense(self.embedding(ids))) * mask.unsqueeze(-1)
        return self.head(h.sum(1) / lengths.unsqueeze(1))

    def truth(self, words, lengths):
        h = tanh(self.dense(words.vectors(self.embedding)))
        rows = [row[:n].mean(0) for row, n in zip(h, lengths.tolist(), strict=True)]
        return self.head(torch.stack(rows))


@model(args=((IDS != 0).double(),))
class MaskGiven(Base):
    def forward(self, ids, mask):
        h = torch.tanh(self.dense(self.embedding(ids)))
        return self.head(torch.einsum("bth,bt->bh", h, mask))

    def truth(self, words, mask):
        h = tanh(self.dense(words.vectors(self.embedding)))
        return self.head((h * mask[..., None]).sum(1))


@model(args=(EXTRA,))
class ExtraFeatures(Base):
    """Numbers beside the text are constants."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(HIDDEN + 2, CLASSES)

    def forward(self, ids, extra):
        h = torch.tanh(self.dense(self.embedding(ids))).sum(1)
        return self.head(torch.cat([h, extra], 1))

    def truth(self, words, extra):
        h = tanh(self.dense(words.vectors(self.embedding))).sum(1)
        return self.head(torch.cat([h, extra], 1))


@model(args=(torch.tensor([0, 1, 2]),))
class Conditioned(Base):
    """FiLM: scale and shift from a second table, for a domain of each text."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Embedding(3, HIDDEN), nn.Embedding(3, HIDDEN)

    def forward(self, ids, domain):
        h = torch.tanh(self.dense(self.embedding(ids))).sum(1)
        return self.head(torch.relu(h * self.scale(domain) + self.shift(domain)))

    def truth(self, words, domain):
        h = tanh(self.dense(words.vectors(self.embedding))).sum(1)
        return self.head(relu(h * self.scale.weight[domain] + self.shift.weight[domain]))


@model(args=(IDS.flip(1),))
class SecondText(Base):
    """A second text that asks: the gate of the first."""

    def forward(self, ids, other):
        g = torch.sigmoid(self.dense(self.embedding(other)).mean(1))
        return self.head(torch.tanh(self.dense(self.embedding(ids))).sum(1) * g)

    def truth(self, words, other):
        g = gate(self.dense(self.embedding.weight[other]).mean(1))
        return self.head(tanh(self.dense(words.vectors(self.embedding))).sum(1) * g)


@model(ids=VECTORS, vectors=True)
class GivenVectors(Base):
    def forward(self, x):
        return self.head(torch.tanh(self.dense(x)).sum(1))

    def truth(self, words):
        return self.head(tanh(self.dense(words.given(VECTORS))).sum(1))


@model(ids=VECTORS, vectors=True, args=(LENGTHS,))
class GivenVectorsPacked(Base):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(WIDTH, HIDDEN, batch_first=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.head(self.rnn(packed)[1][0])

    def truth(self, words, lengths):
        x, r, rows = words.given(VECTORS), self.rnn, []
        for row, n in zip(x, lengths.tolist(), strict=True):
            h = torch.zeros(HIDDEN, dtype=torch.float64)
            for v in row[:n]:
                z = r.weight_ih_l0 @ v + r.bias_ih_l0 + r.weight_hh_l0 @ h + r.bias_hh_l0
                h = tanh(z)
            rows.append(h)
        return self.head(torch.stack(rows))


class Hierarchical(Base):
    """Words make sentences, and sentences make a text."""

    def __init__(self):
        super().__init__()
        self.upper = nn.Linear(HIDDEN, HIDDEN)

    def true_words(self, words):
        return tanh(self.dense(words.vectors(self.embedding)))

    def truth(self, words):
        sentences = self.true_words(words).sum(2)
        return self.head(relu(self.upper(sentences)).sum(1))


@model(ids=SENTENCES)
class SentencesBySum(Hierarchical):
    def forward(self, ids):
        h = torch.tanh(self.dense(self.embedding(ids))).sum(2)
        return self.head(F.relu(self.upper(h)).sum(1))


@model(ids=SENTENCES)
class SentencesInTheBatch(Hierarchical):
    def forward(self, ids):
        B, S, W = ids.shape
        flat = ids.view(B * S, W)
        h = torch.tanh(self.dense(self.embedding(flat))).sum(1)
        return self.head(torch.relu(self.upper(h.view(B, S, -1))).sum(1))


@model(ids=SENTENCES)
class SentencesInALoop(Hierarchical):
    def forward(self, ids):
        sentences = []
        for s in range(ids.size(1)):
            x = self.embedding(ids[:, s])
            sentences.append(self.dense(x).tanh().sum(1))
        return self.head(torch.stack(sentences, 1).relu().sum(1) * 0 + self.above(sentences))

    def above(self, sentences):
        return sum(torch.relu(self.upper(h)) for h in sentences)

    def truth(self, words):
        above = relu(self.upper(self.true_words(words).sum(2))).sum(1)
        sentences = self.true_words(words).sum(2)
        return self.head(relu(sentences).sum(1) * 0 + above)


@model(ids=SENTENCES)
class SentencesWithAttention(Hierarchical):
    def __init__(self):
        super().__init__()
        self.ask = nn.Linear(HIDDEN, 1)

    def forward(self, ids):
        h = torch.tanh(self.dense(self.embedding(ids)))
        z = self.ask(h).squeeze(-1).masked_fill(ids == 0, -1e9)
        s = (z.softmax(-1).unsqueeze(-1) * h).sum(2)
        live = (ids != 0).any(2)
        z = self.ask(s).squeeze(-1).masked_fill(~live, float("-inf"))
        return self.head(torch.einsum("bs,bsh->bh", z.softmax(-1), torch.relu(self.upper(s))))

    def truth(self, words):
        h, ids = self.true_words(words), words.ids
        z = self.ask(h)[..., 0].detach().masked_fill(ids == 0, -1e9)
        s = (torch.softmax(z, -1)[..., None] * h).sum(2)
        z = self.ask(s)[..., 0].detach().masked_fill((ids == 0).all(2), float("-inf"))
        return self.head((torch.softmax(z, -1)[..., None] * relu(self.upper(s))).sum(1))


@model(ids=SENTENCES)
class SentencesWithGRU(Hierarchical):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True)

    def forward(self, ids):
        B, S, W = ids.shape
        h = torch.tanh(self.dense(self.embedding(ids.reshape(-1, W)))).amax(1)
        return self.head(self.gru(h.reshape(B, S, -1))[1].squeeze(0))

    def truth(self, words):
        h = self.true_words(words)
        h = h.gather(2, h.detach().argmax(2, keepdim=True))[:, :, 0]
        g, state = self.gru, torch.zeros(2, HIDDEN, dtype=torch.float64)
        for s in range(3):
            a = (h[:, s] @ g.weight_ih_l0.t() + g.bias_ih_l0).chunk(3, 1)
            u = (state @ g.weight_hh_l0.t() + g.bias_hh_l0).chunk(3, 1)
            z = gate(a[1] + u[1])
            state = (1 - z) * tanh(a[2] + gate(a[0] + u[0]) * u[2]) + z * state
        return self.head(state)


@model
class SentencesFromOneRow(Hierarchical):
    """The text is cut into sentences of three words inside."""

    def forward(self, ids):
        h = torch.tanh(self.dense(self.embedding(ids))).unflatten(1, (2, 3)).sum(2)
        return self.head(torch.relu(self.upper(h)).sum(1))

    def truth(self, words):
        h = tanh(self.dense(words.vectors(self.embedding)))
        sentences = torch.stack([h[:, :3].sum(1), h[:, 3:].sum(1)], 1)
        return self.head(relu(self.upper(sentences)).sum(1))


@model
class ScoresOfPrototypes(Base):
    """Distances to a vector for each class, squared."""

    def __init__(self):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(CLASSES, HIDDEN))

    def forward(self, ids):
        h = torch.tanh(self.dense(self.embedding(ids))).sum(1)
        return -(h.unsqueeze(1) - self.prototypes).pow(2).sum(-1)

    def truth(self, words):
        h = tanh(self.dense(words.vectors(self.embedding))).sum(1)
        d = h[:, None] - self.prototypes
        return -(d * d.detach()).sum(-1)


@model
class Ensemble(Base):
    """The mean of the scores of two models."""

    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList(Base() for _ in range(2))

    def forward(self, ids):
        return torch.stack([member.scores(ids) for member in self.members]).mean(0)

    def truth(self, words):
        return sum(Base.truth(member, words) for member in self.members) / 2


@model
class BranchOnLength(Base):
    """Short and long texts take different ways."""

    def forward(self, ids):
        rows = []
        for row in ids:
            x = self.dense(self.embedding(row[row != 0])).tanh()
            rows.append(x.sum(0) if len(x) > 3 else 2 * x.mean(0))
        return self.head(torch.stack(rows))

    def truth(self, words):
        h = tanh(self.dense(words.vectors(self.embedding)))
        rows = [h[0].sum(0), h[1, :4].sum(0), 2 * h[2, :3].mean(0)]
        return self.head(torch.stack(rows))


@model
class BranchOnWord(Base):
    """A word decides which of two maps reads the text, and gets nothing for it: refused."""

    truth = None

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(WIDTH, HIDDEN)

    def forward(self, ids):
        rows = []
        for row in ids:
            layer = self.other if (row == 9).any() else self.dense
            rows.append(torch.tanh(layer(self.embedding(row))).sum(0))
        return self.head(torch.stack(rows))


@model
class CheckedInputs(Base):
    """Assertions and prints on the way."""

    def forward(self, ids):
        assert ids.dim() == 2, ids.shape
        assert ids.max() < VOCABULARY
        x = self.embedding(ids)
        if torch.isnan(x).any() or x.numel() == 0:
            raise ValueError("no words")
        if bool((x.abs() > 1e6).any()):
            x = x.clamp(-1e6, 1e6)
        str(x.shape), repr(x.dtype), float(x.detach().abs().max())
        return self.head(torch.tanh(self.dense(x)).sum(1))


@model
class KeywordCalls(Base):
    """Everything by keyword."""

    def forward(self, ids):
        x = F.embedding(input=ids, weight=self.embedding.weight)
        h = torch.tanh(input=F.linear(input=x, weight=self.dense.weight, bias=self.dense.bias))
        h = torch.sum(input=h, dim=1)
        return F.linear(h, weight=self.head.weight, bias=self.head.bias)


@dataclass
class State:
    h: torch.Tensor
    steps: int = 0


@model
class StateInADataclass(Base):
    def forward(self, ids):
        state = State(torch.zeros(len(ids), HIDDEN, dtype=torch.float64))
        for x in self.embedding(ids).unbind(1):
            state = State(state.h + torch.tanh(self.dense(x)), state.steps + 1)
        return self.head(state.h / state.steps)

    def truth(self, words):
        return self.head(tanh(self.dense(words.vectors(self.embedding))).mean(1))


@model
class Subclassed(Base):
    """A tensor subclass that does nothing."""

    def forward(self, ids):
        class Named(torch.Tensor):
            pass

        x = self.embedding(ids).as_subclass(Named)
        h = torch.tanh(self.dense(x.as_subclass(torch.Tensor)))
        return self.head(h.sum(1))


@model
class NestedSequential(nn.Module):
    """Modules alone, without a forward of its own."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.body = nn.Sequential(
            self.embedding,
            nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.Tanh(), nn.Dropout(0.3)),
            nn.Flatten(1),
            nn.Linear(6 * HIDDEN, CLASSES),
        )

    def forward(self, ids):
        return self.body(ids)

    def truth(self, words):
        h = tanh(self.body[1][0](words.vectors(self.embedding)))
        return self.body[3](h.flatten(1))
