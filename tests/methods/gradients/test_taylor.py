"""Taylor decomposition: first order at a baseline or a root, and the account of the rest."""

from __future__ import annotations

import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import Adder, Reader, ids, vectors
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.methods import DeepTaylor, GradientXInput, Taylor


def test_of_a_linear_model_it_is_gradient_times_input() -> None:
    model = Adder().double().eval()
    found = Taylor(model).attribution(ids(), "all")
    expected = GradientXInput(model).attribute(ids(), "all")
    torch.testing.assert_close(found.relevance, expected, rtol=0, atol=1e-14)
    assert found.ledger is not None
    bias = model.head.bias.detach().expand(5, 3)
    torch.testing.assert_close(found.ledger.total("baseline"), bias, rtol=0, atol=1e-15)
    assert found.ledger.residual.abs().max() < 1e-13
    model.head.bias.data.zero_()  # then 0 is a root, and the nearest one
    rooted = Taylor(model, "nearest").attribution(ids(), "all")
    torch.testing.assert_close(rooted.relevance, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_it_is_the_slope_at_the_baseline(cell: str) -> None:
    model, x = Reader(cell).double().eval(), vectors()
    start = torch.randn(x.shape, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(model(start)[:, 2].sum(), start)
    expected = ((x - start) * slope).sum(-1).detach()
    found = Taylor(model, baseline=start, batch_tokens=6).attribution(x, 2)
    torch.testing.assert_close(found.relevance, expected, rtol=0, atol=1e-13)
    assert found.ledger is not None
    at_start, at_x = model(start)[:, 2].detach(), model(x)[:, 2].detach()
    torch.testing.assert_close(found.ledger.total("baseline"), at_start, rtol=0, atol=1e-14)
    left = at_x - at_start - expected.sum(1)
    torch.testing.assert_close(found.ledger.residual, left, rtol=0, atol=1e-13)
    assert left.abs().max() > 0.01


class Parabola(nn.Module):
    """f = Σ_t (s² − 1)(s − 4) of the sum s of the vectors, so that the roots are 1 and 4."""

    def forward(self, x: Tensor) -> Tensor:
        s = x.sum((1, 2)).unsqueeze(1)
        f = (s.square() - 1) * (s - 4)
        return torch.cat([f, -2 * f, s.square() + 1], 1)


def test_the_nearest_root_is_taken() -> None:
    model = Parabola().eval()
    x = torch.tensor([[[1.0], [2.0]], [[2.0], [4.0]], [[0.5], [0.0]]], dtype=torch.float64)
    found = Taylor(model, "nearest").attribution(x, "all")
    assert found.ledger is not None
    # From s = 3 the next root towards 0 is 1, from 6 it is 4; from 0.5 there is none before 0.
    for row, (s, root) in enumerate([(3.0, 1.0), (6.0, 4.0), (0.5, 0.0)]):
        slope = 2 * root * (root - 4) + root**2 - 1
        expected = x[row, :, 0] * (s - root) / s * slope
        torch.testing.assert_close(found.relevance[row, 0], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(found.relevance[row, 1], -2 * expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        found.ledger.total("baseline"),
        torch.tensor([[0.0, 0, 1], [0, 0, 1], [4, -8, 1]], dtype=torch.float64),
        rtol=0,
        atol=1e-10,
    )  # a sum of squares and 1 has no root, so that its baseline is the baseline
    assert (found.relevance[:, 2] == 0).all()  # whose slope is 0


@pytest.mark.parametrize("root", ["baseline", "nearest"])
def test_a_document_has_its_own_root(root: str) -> None:
    model = small_classifier(labels=("a", "b"), cell="gru").model.double()
    model.embedding.weight.data.mul_(20)
    together = Taylor(model, root).attribution(ids(), (0, 1)).relevance
    for b, row in enumerate(ids()):
        alone = Taylor(model, root).attribution(row[row != 0].unsqueeze(0), (0, 1)).relevance
        torch.testing.assert_close(together[b][row != 0], alone[0], rtol=0, atol=1e-12)


def test_deep_taylor_is_lrp_with_its_rules() -> None:
    model = Adder().double().eval()
    rules = seqlrp.LRP(model, rules="deep_taylor")
    method = DeepTaylor(model)
    whole = ids()[[0, 3]]  # without padding
    assert torch.equal(method.attribute(whole, 1), rules.attribute(whole, 1))
    assert method.parameters == rules.parameters
    found = seqlrp.explain(small_classifier(), ["a good film"], "deep_taylor")[0]
    assert sum(found.ledger.values()) == pytest.approx(found.score, abs=1e-5)
    assert found.method == "deep_taylor"


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="Did you mean 'nearest'"):
        Taylor(small_classifier().model, "neerest")
