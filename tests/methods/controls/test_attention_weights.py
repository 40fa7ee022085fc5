"""The model's own attention, found in many spellings, and refused where there is none or more."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier
from samples.examples import examples
from samples.reading_models import ids
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqlrp
from seqlrp.errors import IdsError, ModelError, OptionError
from seqlrp.methods import AttentionWeights


def by_hand(model: nn.Module, row: Tensor) -> Tensor:
    """Weights of the words of one document, in the layers of a `RecurrentEncoder`."""
    encoder = model.encoder
    states, _ = encoder.recurrence(model.embedding(row.unsqueeze(0)))
    energies = encoder.attention(torch.tanh(encoder.projection(states)))[0, :, 0]
    return energies.detach().exp() / energies.detach().exp().sum()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_they_are_those_of_the_model(cell: str) -> None:
    model = small_classifier(labels=("a", "b", "c"), cell=cell).model.double()
    found = AttentionWeights(model).attribution(ids(), "all").relevance
    for b, row in enumerate(ids()):
        expected = by_hand(model, row[row != 0])
        for k in range(3):
            torch.testing.assert_close(found[b, k][row != 0], expected, rtol=0, atol=1e-14)
        assert (found[b, :, row == 0] == 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(5, 3, dtype=torch.float64))


class Spelled(nn.Module):
    """An LSTM and attention over its states, written in one of many ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embedding = nn.Embedding(12, 4, padding_idx=0)
        self.lstm, self.energy, self.head = (
            nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 1), nn.Linear(5, 2),
        )  # fmt: skip
        self.way = way

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.embedding(ids), lengths, True, enforce_sorted=False)
        time_first = self.way == "time first"
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=not time_first)
        energies = self.energy(states)  # [B, T, 1]
        if time_first:
            outside = (ids == 0)[:, : len(states)].T.unsqueeze(-1)
            weights = energies.masked_fill(outside, -1e9).softmax(0)
            return self.head((weights * states).sum(0))
        outside = (ids == 0)[:, : states.shape[1]].unsqueeze(-1)
        if self.way == "by hand":
            weights = torch.exp(energies) * (~outside)
            weights = weights / weights.sum(1, keepdim=True)
            return self.head((weights * states).sum(1))
        weights = F.softmax(energies.masked_fill(outside, float("-inf")), dim=1)
        if self.way == "expanded":
            return self.head((weights.expand_as(states) * states).sum(1))
        if self.way == "einsum":
            return self.head(torch.einsum("bt,bth->bh", weights.squeeze(-1), states))
        if self.way == "matmul":
            return self.head((states.transpose(1, 2) @ weights).squeeze(-1))
        if self.way == "used twice":
            return self.head((weights * states).sum(1) + (weights * states.tanh()).sum(1))
        return self.head(torch.bmm(weights.transpose(1, 2), states).squeeze(1))

    def weights(self, row: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(row.unsqueeze(0)))
        return self.energy(states)[0, :, 0].softmax(0).detach()


@pytest.mark.parametrize(
    "way", ["bmm", "matmul", "einsum", "expanded", "by hand", "time first", "used twice"]
)
@examples(5)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6), extra=st.integers(0, 2))
def test_any_spelling(way: str, lengths: list[int], extra: int) -> None:
    model = Spelled(way).double().eval()
    batch = torch.zeros(len(lengths), max(lengths) + extra, dtype=torch.int64)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = torch.randint(1, 12, (length,))
    found = AttentionWeights(model).attribute(batch, 0)
    assert (found[batch == 0] == 0).all()
    for row, weights in zip(batch, found, strict=True):
        torch.testing.assert_close(weights[row != 0], model.weights(row[row != 0]))


def test_the_gates_of_a_cell_are_no_attention() -> None:
    class Loop(nn.Module):
        """Its gates are as wide as its texts are long."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.embedding, self.gate = nn.Embedding(12, 7), nn.Linear(7, 7)
            self.head = nn.Linear(7, 2)

        def forward(self, ids: Tensor) -> Tensor:
            state = torch.zeros(len(ids), 7)
            for x in self.embedding(ids).unbind(1):
                gate = torch.sigmoid(self.gate(x))
                state = gate * state + (1 - gate) * torch.tanh(x)
            return self.head(state)

    with pytest.raises(ModelError, match="no attention over its words"):
        AttentionWeights(Loop().eval()).attribute(ids(), 0)


def test_which_of_several() -> None:
    class Two(Spelled):
        def forward(self, ids: Tensor) -> Tensor:
            states, _ = self.lstm(self.embedding(ids))
            one = self.energy(states).softmax(1)
            other = self.energy(states * 2).softmax(1)
            return self.head((one * states).sum(1)) + self.head((other * states).sum(1))

    model = Two("").double().eval()
    batch = ids()[[0, 3]]
    with pytest.raises(ModelError, match="2 times; say which=0"):
        AttentionWeights(model).attribute(batch, 0)
    first = AttentionWeights(model, which=0)
    torch.testing.assert_close(first.attribute(batch, 0)[1], model.weights(batch[1]))
    assert first.parameters == {"which": 0}
    second = AttentionWeights(model, 1).attribute(batch, 0)
    assert not torch.allclose(second, first.attribute(batch, 0))
    with pytest.raises(OptionError, match="which=2"):
        AttentionWeights(model, 2).attribute(batch, 0)


def test_what_is_refused() -> None:
    with pytest.raises(ModelError, match="no attention over its words"):
        AttentionWeights(small_classifier(pooling="mean").model).attribute(ids(), 0)
    sentences = AttentionWeights(small_classifier(hierarchical=True).model)
    with pytest.raises(IdsError, match="read for words"):
        sentences.attribute(ids().unsqueeze(1), 0)
    with pytest.raises(OptionError, match="which=-1"):
        AttentionWeights(small_classifier().model, -1)


def test_one_output_for_two_classes_changes_no_sign() -> None:
    classifier = small_classifier(classes=1)
    one, other = (
        seqlrp.explain(classifier, ["a good film"], "attention", target)[0]
        for target in ("negative", ("positive", "negative"))
    )
    assert (one.relevance == other.relevance).all()
    assert one.relevance.sum() == pytest.approx(1)
