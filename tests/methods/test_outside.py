"""Attributions from outside: handed on as they are, checked, and in terms of the classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier
from torch import nn

import seqlrp
from seqlrp.errors import NonFiniteError, OptionError, TrainingModeError
from seqlrp.methods import GradientXInput, Outside

IDS = torch.tensor([[3, 5, 2, 7], [4, 9, 0, 0]])


def numbers(inputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Something of each word and target, also on padding."""
    return inputs.double() + 100 * (target.unsqueeze(1) + 1)


def test_what_the_function_says_is_what_is_found() -> None:
    model = small_classifier(labels=("a", "b", "c")).model.double()
    method = Outside(model, numbers, "numbers", parameters={"of": "ids"})
    words = IDS != 0
    found = method.attribution(IDS, torch.tensor([2, 0]))
    assert torch.equal(found.relevance, torch.stack([IDS[0] + 300, (IDS[1] + 100) * words[1]]))
    assert torch.equal(found.scores, model(IDS).detach())
    assert found.target.tolist() == [2, 0]
    every = method.attribution(IDS, "all").relevance
    assert every.shape == (2, 3, 4)
    for c in range(3):
        assert torch.equal(every[:, c], method.attribute(IDS, c))
    assert torch.equal(method.attribute(IDS, (2, 0)), 200 * words.double())
    assert method.parameters == {"of": "ids"}
    padding = torch.tensor([[False, True, False, False], [False, False, True, True]])
    assert (method.attribute(IDS, 0, padding=padding)[padding] == 0).all()


@pytest.mark.parametrize("kind", ["array", "tuple", "dimensions", "sentences", "more"])
def test_what_it_may_return(kind: str) -> None:
    model = small_classifier(hierarchical=kind == "sentences").model
    ids = IDS.unsqueeze(1) if kind == "sentences" else IDS

    def said(inputs: torch.Tensor, target: torch.Tensor, *more: Any) -> Any:
        assert inputs is not ids
        assert torch.equal(inputs, ids)
        assert target.dtype == torch.int64
        inputs += 1  # the user's own ids stay
        if kind == "array":
            return np.ones((2, 4))
        if kind == "tuple":
            return (torch.ones(2, 4),)
        return torch.full((*ids.shape, 4), 0.25)

    found = Outside(model, said).attribute(ids, 1)
    assert torch.equal(found, (ids != 0).float())


def test_a_third_argument_is_what_the_model_takes_besides() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, vectors: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return self.head(vectors.sum(1)) * scale

    vectors = torch.randn(2, 4, 3)
    scale = torch.tensor([[2.0], [3.0]])
    method = Outside(Scaled().eval(), lambda x, target, more: x * more.unsqueeze(-1))
    found = method.attribute(vectors, 0, scale)
    torch.testing.assert_close(found, (vectors * scale.unsqueeze(-1)).sum(-1))


def test_texts_go_through_captum() -> None:
    attr = pytest.importorskip("captum.attr")
    classifier = small_classifier(labels=("a", "b", "c"))
    layer = attr.LayerGradientXActivation(classifier.model, classifier.model.embedding)
    method = Outside(
        classifier.model, lambda ids, target: layer.attribute(ids, target=target), "captum"
    )
    texts = ["good film", "not very dull and bad story", "plot"]
    for target in ("predicted", "all", ("a", "c")):
        ours = seqlrp.explain(classifier, texts, "gradient_x_input", target)
        theirs = seqlrp.explain(classifier, texts, method, target)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.relevance, other.relevance, atol=1e-6)
            assert abs(one.relevance).max() > 1e-3
            assert other.method == "captum"


def test_vectors_go_through_captum() -> None:
    attr = pytest.importorskip("captum.attr")

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(vectors)[0][:, -1])

    torch.manual_seed(0)
    model, vectors = Reader().double().eval(), torch.randn(2, 5, 3, dtype=torch.float64)
    found = Outside(model, attr.InputXGradient(model).attribute).attribute(vectors, 1)
    expected = GradientXInput(model).attribute(vectors, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    assert not vectors.requires_grad


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (torch.ones(2, 3), OptionError, r"shape \[2, 3\]; expected \[2, 4\]"),
        (torch.ones(4), OptionError, r"shape \[4\]; expected \[2, 4\]"),
        (torch.ones(2, 4, 3, 2), OptionError, r"shape \[2, 4, 3, 2\]"),
        (torch.ones(2, 4) > 0, OptionError, "a tensor of torch.bool"),
        (None, OptionError, "returned NoneType"),
        ((torch.ones(2, 4), torch.ones(2, 4)), OptionError, "returned tuple"),
        (torch.tensor([[1.0] * 4, [float("nan")] * 4]), NonFiniteError, "for document 1"),
    ],
)
def test_what_it_must_not_return(said: Any, error: type[Exception], match: str) -> None:
    model = small_classifier().model
    with pytest.raises(error, match=match):
        Outside(model, lambda inputs, target: said, "theirs").attribute(IDS, 0)


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="expected a callable"):
        Outside(model, 3)
    with pytest.raises(OptionError, match="name=''"):
        Outside(model, numbers, "")
    with pytest.raises(TrainingModeError, match="training mode"):
        Outside(model, lambda ids, target: (model.train(), numbers(ids, target))[1]).attribute(IDS)
    nan_on_padding = numbers(IDS, torch.tensor([0, 0])).masked_fill(IDS == 0, float("nan"))
    model.eval()
    assert Outside(model, lambda ids, target: nan_on_padding).attribute(IDS, 0).isfinite().all()
