"""Class activation maps: by their definition, and refused where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import Adder, Reader, ids, vectors
from torch import Tensor, nn

from seqlrp.errors import IdsError, ModelError, OptionError
from seqlrp.methods import ClassActivation


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_it_is_that_of_its_formula(cell: str, pooling: str) -> None:
    classifier = small_classifier(
        labels=("a", "b", "c"), cell=cell, pooling=pooling, head_bias=True
    )
    model = classifier.model.double()
    found = ClassActivation(model).attribution(ids(), "all")
    for b, row in enumerate(ids()):
        words = row[row != 0].unsqueeze(0)
        states = model.encoder.recurrence(model.embedding(words))[0][0]
        weights = torch.full((len(states),), 1 / len(states), dtype=torch.float64)
        if pooling == "attention":
            energies = model.encoder.attention(torch.tanh(model.encoder.projection(states)))
            weights = energies.squeeze(1).softmax(0)
        expected = (weights.unsqueeze(1) * (states @ model.head.weight.T)).T.detach()
        here = found.relevance[b][:, row != 0]
        torch.testing.assert_close(here, expected, rtol=0, atol=1e-14)
        assert (found.relevance[b][:, row == 0] == 0).all()
    left = found.scores - found.relevance.sum(-1)
    torch.testing.assert_close(left, model.head.bias.detach().expand(5, 3), rtol=0, atol=1e-14)
    assert left.abs().max() > 0.1


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("pool", [lambda h: h.mean(1), lambda h: h.sum(1) * 2], ids=["mean", "sum"])
def test_any_layout(batch_first: bool, pool: Callable[[Tensor], Tensor]) -> None:
    model = Reader("gru", pool, batch_first=batch_first).double().eval()
    x = vectors(6)  # as many documents as steps
    found = ClassActivation(model).attribution(x, (0, 1))
    weight, bias = (p[0] - p[1] for p in (model.head.weight, model.head.bias))
    given = x if batch_first else x.transpose(0, 1)
    states = model.recurrence(given)[0]
    states = states if batch_first else states.transpose(0, 1)
    expected = pool((states @ weight).detach().diag_embed()).detach()
    torch.testing.assert_close(found.relevance, expected, rtol=0, atol=1e-14)
    total = found.relevance.sum(1) + bias.detach()
    torch.testing.assert_close(total, found.scores[:, 0] - found.scores[:, 1])


class Convolved(nn.Module):
    """A convolution over time, its rectified sequence pooled by a global mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(12, 4)
        self.convolution = nn.Conv1d(4, 6, 3, padding=1)
        self.rectified = nn.ReLU()
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rectified(self.sequence(ids)).mean(1))

    def sequence(self, ids: Tensor) -> Tensor:
        return self.convolution(self.embedding(ids).transpose(1, 2)).transpose(1, 2)


def test_a_layer_is_named() -> None:
    model = Convolved().double().eval()
    batch = ids()[[0, 3]]
    with pytest.raises(ModelError, match="not linear in the sequence that 'convolution' returns"):
        ClassActivation(model).attribute(batch, 0)
    method = ClassActivation(model, "rectified")
    states = torch.relu(model.sequence(batch))
    expected = (states @ model.head.weight[2] / 7).detach()
    torch.testing.assert_close(method.attribute(batch, 2), expected, rtol=0, atol=1e-14)
    assert method.parameters == {"layer": "rectified"}


def test_what_is_no_class_activation_map() -> None:
    class Residual(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            return super().forward(vectors) + vectors.sum((1, 2)).unsqueeze(1)

    class Hidden(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            return torch.tanh(super().forward(vectors))

    def weighed(h: Tensor) -> Tensor:
        return (h.exp().mean(-1, keepdim=True) * h).sum(1)

    class Probable(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            return super().forward(vectors).softmax(1)

    refused = {
        "returns probabilities": Probable(),
        "a single step": Reader(pool=lambda h: h[:, -1]),
        "not only through": Residual(),
        "not linear": Hidden(),
        "or weights that no softmax made": Reader(pool=weighed),
        "a maximum over time": Reader(pool=lambda h: h.amax(1)),
        "no nn.LSTM": Adder(),
    }
    for message, model in refused.items():
        given = ids() if isinstance(model, Adder) else vectors()
        with pytest.raises(ModelError, match=message):
            ClassActivation(model.double().eval()).attribute(given, 0)
    with pytest.raises(ModelError, match="through its last state"):
        ClassActivation(small_classifier(pooling="last").model).attribute(ids(), 0)
    with pytest.raises(ModelError, match="not linear in the sequence"):
        ClassActivation(small_classifier(pooling="max").model).attribute(ids(), 0)
    sentences = ClassActivation(small_classifier(hierarchical=True).model)
    with pytest.raises(IdsError, match="in a single sequence"):
        sentences.attribute(ids().unsqueeze(1), 0)
    with pytest.raises(OptionError, match="Did you mean 'head'"):
        ClassActivation(Reader().eval(), "haed")
    with pytest.raises(ModelError, match=r"needs \[3, 6, H\]"):
        ClassActivation(Reader().double().eval(), "head").attribute(vectors(), 0)


def test_a_layer_that_runs_twice_is_refused() -> None:
    class Stacked(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            return self.head(self.recurrence(self.recurrence(vectors)[0][..., :4])[0].mean(1))

    with pytest.raises(ModelError, match="'recurrence' ran 2 times"):
        ClassActivation(Stacked().double().eval()).attribute(vectors(), 0)
