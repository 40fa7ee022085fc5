"""Integrated gradients: by the formula, against Captum, and as an account of the score."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import Adder, Reader, ids, vectors
from torch import Tensor

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.methods import IntegratedGradients
from seqlrp.methods.gradients.integrated_gradients import points


def by_hand(model: torch.nn.Module, x: Tensor, start: Tensor, target: int, n: int) -> Tensor:
    """The middle Riemann sum, one point and one document at a time."""
    found = torch.zeros(x.shape[:2], dtype=torch.float64)
    for b in range(len(x)):
        for k in range(n):
            point = (start[b] + (k + 0.5) / n * (x[b] - start[b])).requires_grad_()
            (slope,) = torch.autograd.grad(model(point.unsqueeze(0))[0, target], point)
            found[b] += ((x[b] - start[b]) * slope).sum(-1) / n
    return found


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_the_sum_of_its_formula(cell: str) -> None:
    model, x = Reader(cell).double().eval(), vectors()
    start = torch.randn(x.shape, dtype=torch.float64)
    method = IntegratedGradients(model, 7, rule="riemann_middle", baseline=start, batch_tokens=31)
    found = method.attribute(x, 2)
    torch.testing.assert_close(found, by_hand(model, x, start, 2, 7), rtol=0, atol=1e-13)
    assert found.abs().max() > 0.01


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("baseline", ["zero", "mean", 1])
def test_words_and_baseline_add_up_to_the_score(cell: str, baseline: str | int) -> None:
    model = small_classifier(labels=("a", "b", "c"), cell=cell).model.double()
    model.embedding.weight.data.mul_(20)  # far from linear
    missed = []
    for n_steps in (1, 3, 10, 30, 200):
        method = IntegratedGradients(model, n_steps, baseline=baseline)
        found, delta = method.attribute(ids(), "all", return_convergence_delta=True)
        assert found.shape == (5, 3, 7)
        assert delta.shape == (5, 3)
        missed.append(float(delta.abs().max()))
    assert missed[0] > 1e-3
    assert all(later < earlier for earlier, later in itertools.pairwise(missed[:-1]))
    assert missed[-1] < 1e-10

    ledger = method.attribution(ids(), "all").ledger
    assert ledger is not None
    with pytest.raises(OptionError, match="no entries of kind 'bias'"):
        ledger.total("bias")
    start = model.embedding.weight.mean(0) if baseline == "mean" else torch.zeros(6)
    start = model.embedding.weight[1] if baseline == 1 else start
    at = torch.where((ids() != 0).unsqueeze(-1), start.double(), model.embedding(ids()))
    with torch.no_grad():
        scores = model.head(model.encoder(at, (ids() != 0).sum(1)))
        asked = model(ids())
    torch.testing.assert_close(ledger.total("baseline"), scores, rtol=0, atol=1e-13)
    torch.testing.assert_close(ledger.score, asked, rtol=0, atol=1e-13)
    total = ledger.total("tokens") + ledger.total("baseline") - delta
    torch.testing.assert_close(total, asked, rtol=0, atol=1e-13)


def test_a_linear_model_takes_one_point() -> None:
    model = Adder().double().eval()
    found, delta = IntegratedGradients(model, 1).attribute(ids(), 1, return_convergence_delta=True)
    expected = (model.embedding(ids()) @ model.head.weight[1]).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    assert delta.abs().max() < 1e-13


def test_the_points_integrate_polynomials() -> None:
    for rule in ("gausslegendre", "riemann_left", "riemann_middle", "riemann_right"):
        places, weights = points(rule, 8)
        assert np.isclose(weights.sum(), 1)
        assert abs((weights * places**3).sum() - 0.25) < (1e-15 if rule[0] == "g" else 0.08)
    assert points("riemann_left", 4)[0].tolist() == [0, 0.25, 0.5, 0.75]
    assert points("riemann_right", 4)[0].tolist() == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("rule", ["gausslegendre", "riemann_left", "riemann_middle"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_what_captum_finds(cell: str, rule: str) -> None:
    attr = pytest.importorskip("captum.attr")
    model, x = Reader(cell).double().eval(), vectors()
    start = torch.randn(1, 6, 4, dtype=torch.float64)
    there = attr.IntegratedGradients(model)
    for baseline, theirs in (("zero", 0.0), (start, start)):
        expected, off = there.attribute(
            x, theirs, target=1, n_steps=20, method=rule, return_convergence_delta=True
        )
        method = IntegratedGradients(model, 20, rule=rule, baseline=baseline)
        found, delta = method.attribute(x, 1, return_convergence_delta=True)
        # Captum keeps the weights of the points in float32.
        torch.testing.assert_close(found, expected.sum(-1), rtol=0, atol=1e-6)
        torch.testing.assert_close(delta, off.double(), rtol=0, atol=1e-6)
        assert found.abs().max() > 0.1


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing() -> None:
    model, x = Reader().double().eval(), vectors(2)
    expected = IntegratedGradients(model, 9, verify=False).attribute(x, 0)
    sizes = []

    class Small(Reader):
        def forward(self, vectors: Tensor) -> Tensor:
            sizes.append(len(vectors))
            if len(vectors) > 4:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return super().forward(vectors)

    model.__class__ = Small
    found = IntegratedGradients(model, 9, verify=False).attribute(x, 0)
    assert sizes[:3] == [2, 2, 18]
    assert max(sizes[4:]) == 4
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_an_explanation_has_the_account() -> None:
    labels = ("negative", "positive")
    for classes in (1, 2):
        classifier = small_classifier(labels=labels, classes=classes)
        for target in ("negative", "positive", ("negative", "positive")):
            found = seqlrp.explain(
                classifier, ["a good film", "bad"], "integrated_gradients", target
            )
            for one in found:
                assert set(one.ledger) == {"tokens", "baseline"}
                assert sum(one.ledger.values()) == pytest.approx(one.score, abs=1e-5)
                assert one.relevance.sum() == pytest.approx(one.ledger["tokens"], abs=1e-5)
                assert one.parameters == {
                    "n_steps": 50, "rule": "gausslegendre", "baseline": "zero",
                }  # fmt: skip
        every = seqlrp.explain(classifier, ["a good film"], "integrated_gradients", "all")[0]
        for k in (0, 1):
            single = every.for_target(k)
            assert sum(single.ledger.values()) == pytest.approx(single.score, abs=1e-5)
        assert "the score of the baseline" in _page(every.for_target(1))


def _page(explanation: seqlrp.Explanation) -> str:
    from seqlrp.show.page import render

    return render([explanation])


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="n_steps=0"):
        IntegratedGradients(model, 0)
    with pytest.raises(OptionError, match="Did you mean 'gausslegendre'"):
        IntegratedGradients(model, rule="gauslegendre")
    with pytest.raises(OptionError, match="batch_tokens 0"):
        IntegratedGradients(model, batch_tokens=0)
