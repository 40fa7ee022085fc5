"""SmoothGrad: a mean of gradients drawn by hand, and noise that belongs to the document."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier
from samples.examples import examples
from samples.reading_models import Adder, Reader, ids, vectors
from torch import nn

from seqlrp.errors import OptionError
from seqlrp.methods import GradientXInput, SmoothGrad


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("times_input", [True, False])
def test_it_is_the_mean_of_its_formula(cell: str, times_input: bool) -> None:
    model, x = Reader(cell).double().eval(), vectors()
    mean = torch.zeros_like(x)
    for b, document in enumerate(x):
        deviation = 0.3 * float(document.max() - document.min())
        for sample in range(4):
            seed = [9, zlib.crc32(document.numpy().tobytes()), sample, 0]
            noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((6, 4)))
            point = (document + deviation * noise).unsqueeze(0).requires_grad_()
            mean[b] += torch.autograd.grad(model(point)[0, 1], point)[0][0] / 4
    expected = (x * mean).sum(-1) if times_input else mean.square().sum(-1)
    method = SmoothGrad(model, 4, 0.3, seed=9, times_input=times_input, batch_tokens=20)
    torch.testing.assert_close(method.attribute(x, 1), expected, rtol=0, atol=1e-13)
    assert not torch.allclose(method.attribute(x, 1), GradientXInput(model).attribute(x, 1))


def test_without_noise_it_is_gradient_times_input() -> None:
    for pooling in ("attention", "max"):
        model = small_classifier(labels=("a", "b", "c"), pooling=pooling).model.double()
        smooth = SmoothGrad(model, 3, noise=0).attribute(ids(), "all")
        plain = GradientXInput(model).attribute(ids(), "all")
        torch.testing.assert_close(smooth, plain, rtol=0, atol=1e-15)


def test_a_linear_model_has_one_gradient() -> None:
    model = Adder().double().eval()
    noisy = SmoothGrad(model, 2, noise=5).attribute(ids(), 0)
    torch.testing.assert_close(noisy, GradientXInput(model).attribute(ids(), 0), rtol=0, atol=1e-14)


@examples(10)
@given(st.integers(0, 4), st.permutations(range(5)), st.integers(1, 90))
def test_noise_does_not_depend_on_the_batch(extra: int, order: list[int], tokens: int) -> None:
    model = small_classifier(cell="gru").model.double()
    whole = SmoothGrad(model, 3).attribute(ids(), 1)
    moved = torch.nn.functional.pad(ids()[order], (0, extra))
    again = SmoothGrad(model, 3, batch_tokens=tokens).attribute(moved, 1)
    torch.testing.assert_close(again[:, :7], whole[order], rtol=0, atol=1e-14)
    assert (again[moved == 0] == 0).all()
    assert not torch.allclose(SmoothGrad(model, 3, seed=1).attribute(ids(), 1), whole)


def test_a_word_that_is_read_twice_has_one_noise() -> None:
    class Twice(nn.Module):
        """Reads each word once less than it reads it, step by step."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.embedding, self.head = nn.Embedding(12, 4), nn.Linear(4, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            whole = self.embedding(ids)
            again = torch.stack([self.embedding(ids[:, t]) for t in range(ids.shape[1])], 1)
            return self.head(torch.tanh(whole) + (whole - again) * 100).sum(1)

    model = Twice().double().eval()
    found = SmoothGrad(model, 5, 0.5).attribute(ids(), 0)

    class Once(Twice):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embedding(ids))).sum(1)

    model.__class__ = Once
    torch.testing.assert_close(
        found, SmoothGrad(model, 5, 0.5).attribute(ids(), 0), rtol=0, atol=1e-11
    )


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="samples=0"):
        SmoothGrad(model, 0)
    with pytest.raises(OptionError, match="noise=-1"):
        SmoothGrad(model, noise=-1)
    with pytest.raises(OptionError, match="seed=-1"):
        SmoothGrad(model, seed=-1)
