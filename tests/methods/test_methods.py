"""The methods beside LRP: by their definitions, written out again with plain autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier
from samples.examples import examples
from samples.reading_models import Reader, vectors
from torch import nn

import seqlrp
from seqlrp.errors import NoEmbeddingError, OptionError, ProbabilityError, TargetError
from seqlrp.methods import METHODS, GradientXInput, Random, Sensitivity


class Embedded(nn.Module):
    """The same model, fed with vectors, so that a plain gradient can be taken to them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        encoded = self.model.encoder(vectors, lengths)
        return self.model.head(encoded)


def batch() -> torch.Tensor:
    ids = torch.randint(2, 12, (5, 7), generator=torch.Generator().manual_seed(0))
    ids[1, 4:] = 0
    ids[2, 1:] = 0
    return ids


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_gradients_are_those_of_autograd(cell: str, pooling: str) -> None:
    model = small_classifier(cell=cell, pooling=pooling).model.double()
    ids = batch()
    vectors = model.embedding(ids).detach().requires_grad_()
    scores = Embedded(model)(vectors, (ids != 0).sum(1))
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), vectors)
    products = GradientXInput(model).attribute(ids, 1)
    squares = Sensitivity(model).attribute(ids, 1)
    torch.testing.assert_close(products, (gradient * vectors.detach()).sum(-1), rtol=0, atol=1e-14)
    torch.testing.assert_close(squares, gradient.square().sum(-1), rtol=0, atol=1e-14)
    assert products.abs().max() > 1e-3


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_keeps_the_protocol(name: str) -> None:
    model = small_classifier(labels=("a", "b", "c")).model
    ids = batch()
    method = METHODS[name](model)
    assert method.name == name
    found = method.attribution(ids, "all")
    assert found.relevance.shape == (5, 3, 7)
    assert found.target is None
    torch.testing.assert_close(found.scores, model(ids).detach())
    one = method.attribution(ids, torch.tensor([0, 2, 1, 1, 0]))
    assert one.relevance.shape == (5, 7)
    assert one.target.tolist() == [0, 2, 1, 1, 0]
    assert (one.relevance[ids == 0] == 0).all()
    predicted = method.attribution(ids)
    assert torch.equal(predicted.target, model(ids).argmax(1))
    with pytest.raises(TargetError, match="3 classes"):
        method.attribution(ids, 3)


# The z⁺-rule keeps positive contributions, those to s, which are negative ones to a head of -s.
# Input reduction gives the words of an output below 0 the opposite sign, as it says.
NOT_OF_HEADS = {"deep_taylor", "input_reduction", "random"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - NOT_OF_HEADS))
@pytest.mark.parametrize("label", ["negative", "positive"])
def test_one_output_is_two_outputs_of_opposite_sign(name: str, label: str) -> None:
    one = small_classifier(classes=1)
    two = small_classifier(classes=1)
    head = two.model.head
    weight = head.weight.detach()
    two.model.head = nn.Linear(head.in_features, 2, bias=False).eval()
    two.model.head.weight = nn.Parameter(torch.cat([-weight, weight]))
    two = seqlrp.TextClassifier(two.model, two.vocabulary, two.labels, two.tokenizer)
    text = "a good but dull film"
    expected = seqlrp.explain(two, [text], name, target=label)[0]
    found = seqlrp.explain(one, [text], name, target=label)[0]
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"random"}))
def test_all_classes_are_the_single_ones(name: str) -> None:
    model = small_classifier(labels=("a", "b", "c")).model.double()
    method, ids = METHODS[name](model), batch()[:3]
    together = method.attribution(ids, "all").relevance
    for k in range(3):
        single = method.attribution(ids, k).relevance
        torch.testing.assert_close(together[:, k], single, rtol=0, atol=1e-14)


LSTM_ONLY = {"contextual_decomposition"}  # whose equations are those of an LSTM: see its own tests


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_document_is_the_same_in_any_batch(name: str) -> None:
    cell = "lstm" if name in LSTM_ONLY else "gru"
    model = small_classifier(labels=("a", "b", "c"), cell=cell).model.double()
    method, ids = METHODS[name](model), batch()[:4]
    whole = method.attribution(ids, 1).relevance
    order = [3, 0, 2, 1]
    moved = torch.nn.functional.pad(ids[order], (0, 3))
    again = method.attribution(moved, 1).relevance
    torch.testing.assert_close(again[:, :7], whole[order], rtol=0, atol=1e-13)
    assert (again[moved == 0] == 0).all()
    for b, row in enumerate(ids):
        alone = method.attribution(row[row != 0].unsqueeze(0), 1).relevance
        torch.testing.assert_close(alone[0], whole[b][row != 0], rtol=0, atol=1e-13)
    assert whole.dtype == (torch.float32 if name == "random" else torch.float64)


# Which say so: see their own tests.
ONE_SEQUENCE = {"attention", "class_activation", "contextual_decomposition"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - ONE_SEQUENCE))
def test_texts_by_sentences(name: str) -> None:
    model = small_classifier(labels=("a", "b", "c"), hierarchical=True).model.double()
    ids = torch.stack([batch()[:3], batch()[2:]], 1)  # padding in the first, or in the second
    method = METHODS[name](model)
    whole = method.attribution(ids, "all").relevance
    assert whole.shape == (3, 3, 2, 7)
    assert (whole.transpose(0, 1)[:, ids == 0] == 0).all()
    again = method.attribution(torch.nn.functional.pad(ids.flip(0), (0, 2)), "all").relevance
    torch.testing.assert_close(again.flip(0)[..., :7], whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"attention"}))
def test_models_fed_with_vectors(name: str) -> None:
    model, x = Reader("lstm" if name in LSTM_ONLY else "gru").double().eval(), vectors()
    method = METHODS[name](model)
    padding = torch.zeros(3, 6, dtype=torch.bool)
    whole = method.attribution(x, "all", padding=padding).relevance
    assert whole.shape == (3, 3, 6)
    assert whole.abs().max() > 1e-3
    for b in range(3):
        alone = method.attribution(x[b : b + 1], "all").relevance
        torch.testing.assert_close(alone[0], whole[b], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_model_and_chance_are_as_they_were(name: str) -> None:
    model = small_classifier(labels=("a", "b", "c"), layers=2).model
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    required = {key: p.requires_grad for key, p in model.named_parameters()}
    hooks = len(nn.modules.module._global_forward_hooks)
    chance, ids = torch.get_rng_state(), batch()
    plain = METHODS[name](model).attribution(ids, (1, 0))
    with torch.no_grad():
        assert torch.equal(METHODS[name](model).attribution(ids, (1, 0)).relevance, plain.relevance)
    with torch.inference_mode():
        method = METHODS[name](model)
        everything = method.attribution(ids, "all")
        given = ids.clone(), torch.ones(5, dtype=torch.int64), ids == 0
        one = method.attribution(*given[:2], padding=given[2])
        pair = method.attribution(given[0], (1, 0))
    assert torch.equal(pair.relevance, plain.relevance)
    for found in (everything, one, pair):
        ledger = found.ledger
        booked = [] if ledger is None else [ledger.score, *(e.amount for e in ledger.entries)]
        for tensor in (*found[:3], found.against, found.error, *booked):
            assert tensor is None or not (tensor.requires_grad or tensor.is_inference())
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.equal(ids, batch())
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert {key: p.requires_grad for key, p in model.named_parameters()} == required
    assert all(p.grad is None for p in model.parameters())
    assert not any(module.training for module in model.modules())
    assert len(nn.modules.module._global_forward_hooks) == hooks
    assert not torch.overrides._get_current_function_mode_stack()


# Deep Taylor counts such weights as computed elsewhere, and refuses the model.
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"deep_taylor"}))
def test_a_model_made_in_inference_mode(name: str) -> None:
    expected = METHODS[name](small_classifier().model).attribution(batch(), "all").relevance
    with torch.inference_mode():
        model = small_classifier().model
    found = METHODS[name](model).attribution(batch(), "all").relevance
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@examples(20)
@given(st.integers(0, 5), st.permutations(range(5)))
def test_chance_does_not_depend_on_the_batch(extra: int, order: list[int]) -> None:
    model = small_classifier().model
    ids = batch()
    whole = Random(model, seed=3).attribution(ids, 0).relevance
    moved = torch.nn.functional.pad(ids[order], (0, extra))
    again = Random(model, seed=3).attribution(moved, 0).relevance
    assert torch.equal(again[:, :7], whole[order])
    assert (again[:, 7:] == 0).all()
    assert not torch.equal(Random(model, seed=4).attribution(ids, 0).relevance, whole)


def test_a_model_without_embedding_is_refused() -> None:
    class Numbers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(12, 2))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return (ids.float().unsqueeze(-1) * self.weight[0]).sum(1)

    for name in METHODS:
        if name != "random":
            with pytest.raises(NoEmbeddingError, match=r"no nn\.Embedding"):
                METHODS[name](Numbers().eval()).attribution(batch(), 0)


def test_unknown_methods_and_options_are_named() -> None:
    with pytest.raises(OptionError, match="Did you mean 'lrp'"):
        seqlrp.explain(small_classifier(), ["a good film"], "lpr")
    with pytest.raises(OptionError, match="epsilom"):
        seqlrp.explain(small_classifier(), ["a good film"], "lrp", epsilom=1)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid()])
def test_probabilities_are_refused(name: str, last: nn.Module) -> None:
    model = nn.Sequential(small_classifier().model, last).eval()
    with pytest.raises(ProbabilityError, match="relevance starts from scores"):
        METHODS[name](model).attribute(batch())
