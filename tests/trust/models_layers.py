"""Recurrent layers of torch: padded, packed, stacked, bidirectional, projected, with states."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
)
from trust.judge import (
    HIDDEN,
    IDS,
    LENGTHS,
    WIDTH,
    Classifier,
    Words,
    gate,
    model,
    relu,
    tanh,
)


def true_layer(layer: nn.RNNBase, x: Tensor, lengths: Tensor | None = None, start=None) -> list:
    """What a layer returns for each text, a loop over texts, layers, directions and words.

    A list of pairs: outputs `[n, directions * H]`, and the last states of each layer and direction.
    """
    results = []
    for b in range(len(x)):
        n = x.shape[1] if lengths is None else int(lengths[b])
        inputs, finals = x[b, :n], []
        for depth in range(layer.num_layers):
            outputs = []
            for side in ("", "_reverse")[: 2 if layer.bidirectional else 1]:
                states = None if start is None else [s[len(finals), b] for s in start]
                steps = inputs.flip(0) if side else inputs
                hs, last = true_direction(layer, f"_l{depth}{side}", steps, states)
                outputs.append(hs.flip(0) if side else hs)
                finals.append(last)
            inputs = torch.cat(outputs, 1)
        results.append((inputs, finals))
    return results


def true_direction(layer, suffix, steps, states):
    """Outputs `[n, H]` and the last states of one direction of one layer, by the laws."""
    weight = {n: getattr(layer, n + suffix, 0) for n in ("weight_ih", "weight_hh", "weight_hr")}
    bias = {n: getattr(layer, n + suffix, 0) for n in ("bias_ih", "bias_hh")}
    size = layer.proj_size or layer.hidden_size
    zero = torch.zeros(layer.hidden_size, dtype=torch.float64)
    h, c = (zero[:size], zero) if states is None else (states[0], states[-1])
    outputs = []
    for x in steps:
        a = x @ weight["weight_ih"].t() + bias["bias_ih"]
        u = h @ weight["weight_hh"].t() + bias["bias_hh"]
        if layer.mode == "LSTM":
            i, f, g, o = (a + u).chunk(4)
            c = gate(f) * c + gate(i) * tanh(g)
            h = gate(o) * tanh(c)
            h = weight["weight_hr"] @ h if layer.proj_size else h
        elif layer.mode == "GRU":
            (ar, az, an), (ur, uz, un) = a.chunk(3), u.chunk(3)
            z = gate(az + uz)
            h = (1 - z) * tanh(an + gate(ar + ur) * un) + z * h
        else:
            h = (tanh if layer.mode == "RNN_TANH" else relu)(a + u)
        outputs.append(h)
    return torch.stack(outputs), (h, c)


class Layered(Classifier):
    """An embedding, a layer and a head."""

    kind: type[nn.RNNBase] = nn.LSTM
    settings: ClassVar[dict] = {"batch_first": True}
    features = HIDDEN

    def __init__(self) -> None:
        super().__init__(self.features)
        self.rnn = self.kind(WIDTH, HIDDEN, **self.settings)

    def lengths(self, ids: Tensor) -> Tensor:
        return (ids != 0).sum(1)

    def packed(self, ids: Tensor) -> PackedSequence:
        return pack_padded_sequence(
            self.embedding(ids), self.lengths(ids), batch_first=True, enforce_sorted=False
        )

    def true(self, words: Words, *, packed: bool, start=None) -> list:
        x = words.vectors(self.embedding)
        return true_layer(self.rnn, x, self.lengths(words.ids) if packed else None, start)


@model
class LastOutput(Layered):
    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0][:, -1])

    def truth(self, words):
        return self.head(torch.stack([out[-1] for out, _ in self.true(words, packed=False)]))


@model
class LastState(Layered):
    def forward(self, ids):
        _, (h, _) = self.rnn(self.embedding(ids))
        return self.head(h[-1])

    truth = LastOutput.truth


@model
class CellState(Layered):
    def forward(self, ids):
        _, (_, c) = self.rnn(self.embedding(ids))
        return self.head(c.squeeze(0))

    def truth(self, words):
        return self.head(torch.stack([s[0][1] for _, s in self.true(words, packed=False)]))


@model
class TimeFirst(Layered):
    settings: ClassVar[dict] = {}

    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids.t()))
        return self.head(out[-1])

    truth = LastOutput.truth


@model
class TwoLayers(Layered):
    settings: ClassVar[dict] = {"batch_first": True, "num_layers": 2, "dropout": 0.5}

    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids))
        return self.head(out.mean(1))

    def truth(self, words):
        return self.head(torch.stack([out.mean(0) for out, _ in self.true(words, packed=False)]))


@model
class BothLayersStates(TwoLayers):
    features = 2 * HIDDEN

    def forward(self, ids):
        _, (h, _) = self.rnn(self.embedding(ids))
        return self.head(h.transpose(0, 1).flatten(1))

    def truth(self, words):
        found = self.true(words, packed=False)
        return self.head(torch.stack([torch.cat([h for h, _ in s]) for _, s in found]))


class Bidirectional(Layered):
    settings: ClassVar[dict] = {"batch_first": True, "bidirectional": True}
    features = 2 * HIDDEN


@model
class BidirectionalStates(Bidirectional):
    def forward(self, ids):
        _, (h, _) = self.rnn(self.embedding(ids))
        return self.head(torch.cat([h[-2], h[-1]], dim=1))

    truth = BothLayersStates.truth


@model
class BidirectionalSum(Bidirectional):
    features = HIDDEN

    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids))
        forward, backward = out.chunk(2, -1)
        return self.head((forward + backward).sum(1))

    def truth(self, words):
        found = self.true(words, packed=False)
        return self.head(torch.stack([(o[:, :HIDDEN] + o[:, HIDDEN:]).sum(0) for o, _ in found]))


@model
class BidirectionalView(Bidirectional):
    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids))
        out = out.view(len(ids), ids.shape[1], 2, HIDDEN)
        return self.head(torch.cat((out[:, -1, 0], out[:, 0, 1]), -1))

    truth = BothLayersStates.truth


@model
class PackedState(Layered):
    def forward(self, ids):
        _, (h, _) = self.rnn(self.packed(ids))
        return self.head(h[-1])

    def truth(self, words):
        return self.head(torch.stack([out[-1] for out, _ in self.true(words, packed=True)]))


@model
class PackedBidirectional(Bidirectional):
    settings: ClassVar[dict] = {"batch_first": True, "bidirectional": True, "num_layers": 2}

    def forward(self, ids):
        _, (h, _) = self.rnn(self.packed(ids))
        return self.head(torch.cat([h[-2], h[-1]], 1))

    def truth(self, words):
        found = self.true(words, packed=True)
        return self.head(torch.stack([torch.cat([s[-2][0], s[-1][0]]) for _, s in found]))


@model
class PackedAndPadded(Layered):
    def forward(self, ids):
        out, lengths = pad_packed_sequence(self.rnn(self.packed(ids))[0], batch_first=True)
        return self.head(out.sum(1) / lengths.unsqueeze(1))

    def truth(self, words):
        return self.head(torch.stack([out.mean(0) for out, _ in self.true(words, packed=True)]))


@model
class PackedWithFilling(Layered):
    def forward(self, ids):
        out, _ = pad_packed_sequence(
            self.rnn(self.packed(ids))[0],
            batch_first=True,
            padding_value=-9.0,
            total_length=ids.shape[1],
        )
        return self.head(out.max(1).values)

    def truth(self, words):
        return self.head(
            torch.stack([out.max(0).values for out, _ in self.true(words, packed=True)])
        )


@model(args=(LENGTHS,))
class LengthsGiven(Layered):
    def forward(self, ids, lengths):
        packed = pack_padded_sequence(self.embedding(ids), lengths.cpu(), batch_first=True)
        return self.head(self.rnn(packed)[1][0][0])

    def truth(self, words, lengths):
        return PackedState.truth(self, words)


@model(ids=IDS[[2, 0, 1]])
class SortedByHand(Layered):
    def forward(self, ids):
        lengths, order = self.lengths(ids).sort(descending=True)
        packed = pack_padded_sequence(self.embedding(ids[order]), lengths, batch_first=True)
        _, (h, _) = self.rnn(packed)
        return self.head(h[-1][order.argsort()])

    truth = PackedState.truth


@model(ids=IDS[[2, 0, 1]])
class SortedAndScattered(Layered):
    def forward(self, ids):
        lengths, order = self.lengths(ids).sort(descending=True)
        packed = pack_padded_sequence(self.embedding(ids)[order], lengths, batch_first=True)
        _, (h, _) = self.rnn(packed)
        scores = self.head(h[-1])
        return torch.zeros_like(scores).index_copy(0, order, scores)

    truth = PackedState.truth


@model
class PackedSequences(Layered):
    def forward(self, ids):
        x = self.embedding(ids)
        rows = [row[:n] for row, n in zip(x, self.lengths(ids), strict=True)]
        return self.head(self.rnn(pack_sequence(rows, enforce_sorted=False))[1][0].squeeze(0))

    truth = PackedState.truth


@model
class UnpackedSequences(Layered):
    def forward(self, ids):
        rows = unpack_sequence(self.rnn(self.packed(ids))[0])
        return self.head(torch.stack([row.mean(0) for row in rows]))

    truth = PackedAndPadded.truth


@model
class PackedIds(Layered):
    """Ids are packed first, and looked up in the packed data."""

    def forward(self, ids):
        p = pack_padded_sequence(ids, self.lengths(ids), batch_first=True, enforce_sorted=False)
        p = PackedSequence(
            self.embedding(p.data), p.batch_sizes, p.sorted_indices, p.unsorted_indices
        )
        return self.head(self.rnn(p)[1][0][-1])

    truth = PackedState.truth


@model
class PackedDataReplaced(Layered):
    """A map of the packed outputs, put back by _replace."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, ids):
        out, _ = self.rnn(self.packed(ids))
        out = out._replace(data=torch.tanh(self.dense(out.data)))
        return self.head(pad_packed_sequence(out, batch_first=True)[0].sum(1))

    def truth(self, words):
        found = self.true(words, packed=True)
        return self.head(torch.stack([tanh(self.dense(out)).sum(0) for out, _ in found]))


@model
class RowByRow(Layered):
    """Texts one at a time, without a dimension for the batch."""

    def forward(self, ids):
        scores = []
        for row in ids:
            out, _ = self.rnn(self.embedding(row[row != 0]))
            scores.append(self.head(out[-1]))
        return torch.stack(scores)

    truth = PackedState.truth


@model
class StartGiven(Layered):
    """First states that are parameters."""

    def __init__(self):
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, 1, HIDDEN))
        self.c0 = nn.Parameter(torch.randn(1, 1, HIDDEN))

    def forward(self, ids):
        B = len(ids)
        start = (self.h0.expand(-1, B, -1).contiguous(), self.c0.repeat(1, B, 1))
        return self.head(self.rnn(self.embedding(ids), start)[0][:, -1])

    def truth(self, words):
        B = len(words.ids)
        start = (self.h0.expand(1, B, HIDDEN), self.c0.expand(1, B, HIDDEN))
        found = self.true(words, packed=False, start=start)
        return self.head(torch.stack([out[-1] for out, _ in found]))


@model
class StartZeros(Layered):
    def init_hidden(self, B):
        weight = next(self.parameters())
        return weight.new_zeros(1, B, HIDDEN), weight.new_zeros(1, B, HIDDEN)

    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids), self.init_hidden(ids.size(0)))
        return self.head(out.contiguous()[:, -1, :])

    truth = LastOutput.truth


@model
class StartFromWords(Layered):
    """The first state is a map of the mean vector."""

    kind = nn.GRU

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(WIDTH, HIDDEN)

    def forward(self, ids):
        x = self.embedding(ids)
        h0 = torch.tanh(self.first(x.mean(1)))
        return self.head(self.rnn(x, h0[None])[1][0])

    def truth(self, words):
        x = words.vectors(self.embedding)
        h0 = tanh(self.first(x.mean(1)))[None]
        return self.head(torch.stack([o[-1] for o, _ in true_layer(self.rnn, x, None, (h0,))]))


@model
class StepByStep(Layered):
    """The layer is called on one word at a time and hands its states on."""

    def forward(self, ids):
        x, states = self.embedding(ids), None
        for t in range(ids.shape[1]):
            out, states = self.rnn(x[:, t : t + 1], states)
        return self.head(out.squeeze(1))

    truth = LastOutput.truth


@model
class Projected(Layered):
    settings: ClassVar[dict] = {"batch_first": True, "proj_size": 2}
    features = 2

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0][:, -1])

    truth = LastOutput.truth


@model
class WithoutBias(Layered):
    settings: ClassVar[dict] = {"batch_first": True, "bias": False}

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0].amax(1))

    def truth(self, words):
        found = self.true(words, packed=False)
        return self.head(torch.stack([out.max(0).values for out, _ in found]))


@model
class GRULast(Layered):
    kind = nn.GRU

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[1].squeeze(0))

    truth = LastOutput.truth


@model
class GRUPackedBidirectional(Bidirectional):
    kind = nn.GRU

    def forward(self, ids):
        _, h = self.rnn(self.packed(ids))
        return self.head(h.permute(1, 0, 2).reshape(len(ids), -1))

    def truth(self, words):
        found = self.true(words, packed=True)
        return self.head(torch.stack([torch.cat([h for h, _ in s]) for _, s in found]))


@model
class TanhRNN(Layered):
    kind = nn.RNN

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0][:, -1, :])

    truth = LastOutput.truth


@model
class ReluRNNPacked(Layered):
    kind = nn.RNN
    settings: ClassVar[dict] = {"batch_first": True, "nonlinearity": "relu"}

    def forward(self, ids):
        return self.head(self.rnn(self.packed(ids))[1][-1])

    truth = PackedState.truth


@model
class ResidualStack(Layered):
    """Two layers with a connection around the second."""

    def __init__(self):
        super().__init__()
        self.second = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)

    def forward(self, ids):
        h = self.rnn(self.embedding(ids))[0]
        h = h + self.second(h)[0]
        return self.head(h[:, -1])

    def truth(self, words):
        h = torch.stack([out for out, _ in self.true(words, packed=False)])
        above = torch.stack([out for out, _ in true_layer(self.second, h)])
        return self.head((h + above)[:, -1])


@model
class EncoderDecoder(Layered):
    """The last state of one layer starts another, which reads the text once more."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.LSTM(WIDTH, HIDDEN, batch_first=True)

    def forward(self, ids):
        x = self.embedding(ids)
        _, states = self.rnn(x)
        out, _ = self.decoder(x.flip(1), states)
        return self.head(out[:, -1])

    def truth(self, words):
        x = words.vectors(self.embedding)
        finals = [s[0] for _, s in true_layer(self.rnn, x)]
        start = tuple(torch.stack([f[k] for f in finals])[None] for k in (0, 1))
        found = true_layer(self.decoder, x.flip(1), None, start)
        return self.head(torch.stack([out[-1] for out, _ in found]))


@model
class ReversedTextsPadded(Layered):
    """A hand-made backward layer: texts are turned, padded and read by a second layer."""

    features = 2 * HIDDEN

    def __init__(self):
        super().__init__()
        self.back = nn.LSTM(WIDTH, HIDDEN, batch_first=True)

    def forward(self, ids):
        lengths = self.lengths(ids)
        x = self.embedding(ids)
        turned = pad_sequence(
            [row[:n].flip(0) for row, n in zip(x, lengths, strict=True)], batch_first=True
        )
        last = (torch.arange(len(ids)), lengths - 1)
        return self.head(torch.cat([self.rnn(x)[0][last], self.back(turned)[0][last]], 1))

    def truth(self, words):
        x, lengths = words.vectors(self.embedding), self.lengths(words.ids)
        forward = torch.stack([out[-1] for out, _ in true_layer(self.rnn, x, lengths)])
        turned = torch.stack(
            [
                torch.cat([row[:n].flip(0), row[n:]])
                for row, n in zip(x, lengths.tolist(), strict=True)
            ]
        )
        back = torch.stack([out[-1] for out, _ in true_layer(self.back, turned, lengths)])
        return self.head(torch.cat([forward, back], 1))


@model
class ConvolutionThenLSTM(Layered):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = torch.relu(self.conv(x)).permute(0, 2, 1)
        return self.head(self.rnn(x)[0][:, -1])

    def truth(self, words):
        x = words.vectors(self.embedding).transpose(1, 2)
        x = relu(self.conv(x)).transpose(1, 2)
        return self.head(torch.stack([out[-1] for out, _ in true_layer(self.rnn, x)]))


@model
class ScoresAtEveryWord(Layered):
    """The head reads every word, and its scores are averaged."""

    def forward(self, ids):
        return self.head(self.rnn(self.embedding(ids))[0]).mean(dim=1)

    def truth(self, words):
        found = self.true(words, packed=False)
        return torch.stack([self.head(out).mean(0) for out, _ in found])
