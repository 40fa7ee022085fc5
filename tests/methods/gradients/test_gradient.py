"""Gradients: their norms, what Captum finds, and the way back through cuDNN's recurrences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from samples.classifiers import small_classifier
from samples.reading_models import Adder, Reader, ids, vectors
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import seqlrp
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.errors import OptionError
from seqlrp.methods import GradientXInput, IntegratedGradients, Sensitivity, SmoothGrad


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_norms(cell: str) -> None:
    model, x = Reader(cell).double().eval(), vectors().requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    expected = {
        "squared": slope.pow(2).sum(-1),
        "l2": slope.norm(dim=-1),
        "l1": slope.norm(p=1, dim=-1),
    }
    for norm, numbers in expected.items():
        method = Sensitivity(model, norm)
        torch.testing.assert_close(method.attribute(x.detach(), 1), numbers, rtol=0, atol=1e-14)
        assert method.parameters == {"norm": norm}
    assert torch.equal(
        Sensitivity(model).attribute(x, 1), Sensitivity(model, "squared").attribute(x, 1)
    )
    with pytest.raises(OptionError, match="norm='l3'"):
        Sensitivity(model, "l3")


@pytest.mark.parametrize(("norm", "factor"), [("squared", 4), ("l2", 2), ("l1", 2)])
def test_a_norm_takes_no_sign_from_two_classes(norm: str, factor: int) -> None:
    classifier = small_classifier(classes=1)
    method = Sensitivity(classifier.model, norm)
    one, other, pair = (
        seqlrp.explain(classifier, ["a good film"], method, target)[0].relevance
        for target in ("negative", "positive", ("negative", "positive"))
    )
    assert (one == other).all()
    assert pair == pytest.approx(factor * one)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_they_are_what_captum_finds(cell: str) -> None:
    attr = pytest.importorskip("captum.attr")
    model, x = Reader(cell).double().eval(), vectors()
    asked = x.clone().requires_grad_()
    product = attr.InputXGradient(model).attribute(asked, target=2).sum(-1).detach()
    torch.testing.assert_close(GradientXInput(model).attribute(x, 2), product, rtol=0, atol=1e-14)
    saliency = attr.Saliency(model).attribute(asked, target=2).sum(-1)
    torch.testing.assert_close(
        Sensitivity(model, "l1").attribute(x, 2), saliency, rtol=0, atol=1e-14
    )


def test_padding_that_takes_part_has_exactly_0() -> None:
    model = Adder().eval()  # has a gradient at padding too
    for method in (Sensitivity(model), GradientXInput(model), SmoothGrad(model)):
        assert (method.attribute(ids(), 0)[ids() == 0] == 0).all()


class Calls(TorchFunctionMode):
    """Notes training and dropout of each call of a fused recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, bool]] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (torch.lstm, torch.gru, torch.rnn_tanh):
            start = 6 if isinstance(args[3], (list, tuple)) else 5
            self.seen.append((args[start], args[start + 1]))
        return function(*args, **(kwargs or {}))


class Packed(Reader):
    """The same over packed sequences."""

    def forward(self, vectors: Tensor) -> Tensor:
        lengths = torch.full((len(vectors),), 4)
        packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.recurrence(packed)[0], batch_first=True)
        return self.head(states.sum(1))


@pytest.mark.parametrize("kind", [Reader, Packed])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_recurrence_is_told_to_keep_its_way_where_cudnn_runs(
    kind: type[Reader], cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = kind(cell, layers=2, dropout=0.5).double().eval()
    methods = [GradientXInput(model), IntegratedGradients(model, 6), SmoothGrad(model, 2)]
    with Calls() as plain:
        expected = [method.attribute(vectors(), 1) for method in methods]
    assert set(plain.seen) == {(0.5, False)}  # on a CPU nothing changes

    monkeypatch.setattr(GradientMode, "needs_training_mode", staticmethod(lambda args: True))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with Calls() as told:
        found = [method.attribute(vectors(), 1) for method in methods]
    assert set(told.seen) == {(0.0, True)}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("kind", [Reader, Packed])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_through_cudnn(kind: type[Reader], cell: str) -> None:
    model = kind(cell, layers=2, dropout=0.5).double().eval()
    x = vectors()
    makers = (
        lambda m: GradientXInput(m),
        lambda m: Sensitivity(m),
        lambda m: IntegratedGradients(m, 5),
        lambda m: SmoothGrad(m, 3),
    )
    expected = [make(model).attribute(x, 1) for make in makers]
    enabled = torch.backends.cudnn.enabled
    model.cuda()
    for make, numbers in zip(makers, expected, strict=True):
        found = make(model).attribute(x.cuda(), 1).cpu()
        torch.testing.assert_close(found, numbers, rtol=0, atol=1e-10)
    assert torch.backends.cudnn.enabled == enabled
    assert not any(module.training for module in model.modules())
