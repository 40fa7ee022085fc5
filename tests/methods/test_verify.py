"""Methods of gradients and DeepLIFT refuse words that reach the scores unseen, and nothing else."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from samples.architectures import ARCHITECTURES, Architecture, arguments, built, inputs
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import (
    ModelError,
    NoEmbeddingError,
    RefusedFunctionError,
    SeqlrpError,
    UnfollowedWordsError,
)
from seqlrp.methods import (
    DeepLIFT,
    DeepSHAP,
    GradientXInput,
    IntegratedGradients,
    Occlusion,
    Sensitivity,
    SmoothGrad,
    Taylor,
)

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 1, 1]])
METHODS: tuple[Any, ...] = (
    GradientXInput, Sensitivity, IntegratedGradients, SmoothGrad, Taylor, DeepLIFT, DeepSHAP,
)  # fmt: skip


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.fc = nn.Embedding(12, 3), nn.Linear(3, 2)
        self.eval()


class Listed(Model):
    """Looks up a bias for each word by way of a list."""

    def forward(self, ids: Tensor) -> Tensor:
        weights = self.emb.weight[:, :1].tolist()
        beside = torch.tensor([[weights[k] for k in row] for row in ids.tolist()])
        return self.fc((self.emb(ids) + beside).sum(1))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_words_that_travel_in_a_list_are_refused(method: Any) -> None:
    with pytest.raises(UnfollowedWordsError) as found:
        method(Listed()).attribute(IDS, 0)
    assert found.value.function == "torch.Tensor.add"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what goes by way of the list is missed
        assert method(Listed(), verify=False).attribute(IDS, 0).shape == IDS.shape


def outcome(make: Any, entry: Architecture) -> Tensor | str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ids = inputs(entry)
            model = make(built(entry.make), output=entry.output)
            return model.attribute(ids, 0, arguments(entry, ids))
    except (SeqlrpError, RuntimeError) as error:  # an in-place step may have no gradient
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("method", [GradientXInput, DeepLIFT], ids=lambda method: method.name)
def test_no_architecture_is_refused_and_no_answer_changes(entry: Architecture, method: Any) -> None:
    found = outcome(method, entry)
    expect = outcome(lambda *args, **options: method(*args, verify=False, **options), entry)
    if isinstance(expect, Tensor):
        assert isinstance(found, Tensor), found
        assert torch.equal(found, expect)
    else:
        assert found == expect


def test_a_model_that_detaches_its_words_has_no_gradient() -> None:
    class Detached(Model):
        def forward(self, ids: Tensor) -> Tensor:
            return self.fc(self.emb(ids).sum(1).detach())

    with pytest.raises(NoEmbeddingError, match="detached"):
        GradientXInput(Detached()).attribute(IDS, 0)
    assert bool(seqlrp.LRP(Detached()).attribute(IDS, 0).any())


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return 2 * gradient


def test_what_autograd_follows_by_itself_is_followed() -> None:
    class Custom(Model):
        def forward(self, ids: Tensor) -> Tensor:
            x = self.emb(ids)
            y: Tensor = Doubled.apply(x)  # type: ignore[no-untyped-call]
            return self.fc((x + y).sum(1))

    found = GradientXInput(Custom()).attribute(IDS, 0)
    assert torch.equal(found, GradientXInput(Custom(), verify=False).attribute(IDS, 0))


class Pooled(Model):
    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.emb(ids).mean(1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_quantized_layer_has_no_gradient_and_is_refused(method: Any) -> None:
    """torch gives a gradient of zeros, which would be relevance of zeros."""
    from torch.ao.quantization import quantize_dynamic

    model = quantize_dynamic(Pooled(), {nn.Linear}, dtype=torch.qint8).eval()
    with pytest.raises(RefusedFunctionError, match="linear_dynamic"):
        method(model).attribute(IDS, 0)
    found = Occlusion(model).attribute(IDS, 0)  # which asks the model alone
    torch.testing.assert_close(found, Occlusion(Pooled()).attribute(IDS, 0), rtol=0.2, atol=0.05)


@pytest.mark.parametrize("method", [*METHODS, seqlrp.LRP, Occlusion], ids=lambda m: m.name)
def test_a_model_that_fails_only_when_it_is_watched_is_refused_in_a_sentence(method: Any) -> None:
    class Watching(Pooled):
        def forward(self, ids: Tensor) -> Tensor:
            if torch.overrides._get_current_function_mode() is not None:
                raise AssertionError("as a compiler does")
            return super().forward(ids)

    with pytest.raises(ModelError, match="runs by itself, but not while") as found:
        method(Watching()).attribute(IDS, 0)
    assert found.value.code == "fails_when_watched"


@pytest.mark.parametrize("method", [seqlrp.LRP, GradientXInput, Occlusion], ids=lambda m: m.name)
def test_tensors_without_values_are_refused(method: Any) -> None:
    with pytest.raises(ModelError, match=r"'emb\.weight' is on the device 'meta'"):
        method(Pooled().to("meta"))
