"""Relevance through chosen units: parts add up to the whole, whatever the layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from samples.classifiers import small_classifier, some_texts
from torch import Tensor, nn

import seqlrp
from seqlrp import rules
from seqlrp.engine.nests import tensors_in
from seqlrp.errors import ModelError, OptionError
from seqlrp.lrp.units import units_of

NETWORKS: dict[str, dict[str, Any]] = {
    "attention": {},
    "stacked gru": {"cell": "gru", "layers": 2, "pooling": "mean"},
    "final states": {"layers": 2, "pooling": "last"},
    "sentences": {"hierarchical": True},
    "one output": {"classes": 1},
}


class Convolution(nn.Module):
    """Reads vectors `[B, T, 4]` through filters of two words; a part goes around them."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.filters, self.head = nn.Conv1d(4, 6, 2), nn.Linear(6, 3)
        self.around = nn.Linear(4, 3) if skip else None

    def forward(self, vectors: Tensor) -> Tensor:
        scores: Tensor = self.head(self.filters(vectors.transpose(1, 2)).relu().amax(2))
        return scores if self.around is None else scores + self.around(vectors.mean(1))


class Cells(nn.Module):
    """Steps a cell by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.cell, self.head = nn.GRUCell(4, 5), nn.Linear(5, 2)

    def forward(self, vectors: Tensor) -> Tensor:
        state = vectors.new_zeros(len(vectors), 5)
        for step in vectors.unbind(1):
            state = self.cell(step, state)
        scores: Tensor = self.head(state)
        return scores


def parts(units: int, count: int = 3) -> list[list[int]]:
    return [[unit for unit in range(units) if unit % count == k] for k in range(count)]


def read(**options: Any) -> tuple[seqlrp.LRP, Tensor, str, int]:
    """A classifier in float64, ids, and the name and the units of its first recurrent layer."""
    classifier = small_classifier(**options)
    classifier.model.double()
    batch = classifier.batch(list(classifier.encode(some_texts(7))))
    named = classifier.model.named_modules()
    name, layer = next((n, m) for n, m in named if isinstance(m, nn.RNNBase))
    units = layer.hidden_size * (2 if layer.bidirectional else 1)
    return seqlrp.LRP(classifier.model), batch.ids, name, units


@pytest.mark.parametrize("target", [0, "predicted", "all"])
@pytest.mark.parametrize("network", NETWORKS)
def test_disjoint_units_add_up(network: str, target: Any) -> None:
    lrp, ids, name, units = read(**NETWORKS[network])
    whole = lrp.attribute(ids, target)
    everything = lrp.attribute(ids, target, through={name: range(units)})
    torch.testing.assert_close(everything, whole, rtol=0, atol=1e-14)
    some = [lrp.attribute(ids, target, through={name: part}) for part in parts(units)]
    torch.testing.assert_close(sum(some), whole, rtol=0, atol=1e-14)
    assert all(bool((part != whole).any()) for part in some)
    assert not lrp.attribute(ids, target, through={name: []}).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_units_have_the_relevance_of_their_layer(network: str) -> None:
    lrp, ids, name, units = read(**NETWORKS[network])
    for target in (0, "all"):
        found = lrp.attribution(ids, target, units=[name], layers=[name])
        assert found.units is not None
        assert found.layers is not None
        of_units = found.units[name]
        assert of_units.shape == (*found.scores.shape[: 1 + (target == "all")], units)
        layer = sum(t.sum() for t in tensors_in(found.layers[name]) if t.is_floating_point())
        torch.testing.assert_close(of_units.sum(), layer)
    alone = lrp.attribution(ids[2:3], 0, units=[name]).units
    together = lrp.attribution(ids, 0, units=[name]).units
    assert alone is not None
    assert together is not None
    torch.testing.assert_close(alone[name][0], together[name][2], rtol=1e-9, atol=1e-12)


def test_relevance_through_a_unit_starts_with_what_the_unit_has() -> None:
    """Without bias and stabiliser nothing is lost below, so that words get what the units have."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 2)).double().eval()
    features = torch.randn(3, 4, dtype=torch.float64)
    lrp = seqlrp.LRP(model, 0)
    units = lrp.attribution(features, 1, units=["1"]).units
    assert units is not None
    for unit in range(5):
        passed = lrp.attribute(features, 1, through={"1": [unit]})
        torch.testing.assert_close(passed.sum(1), units["1"][:, unit])


@pytest.mark.parametrize("skip", [False, True])
def test_what_goes_around_a_layer_passes_none_of_its_units(skip: bool) -> None:
    model = Convolution(skip).double().eval()
    vectors = torch.randn(3, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    lrp = seqlrp.LRP(model)
    some = [lrp.attribute(vectors, 1, through={"filters": part}) for part in parts(6)]
    everything = lrp.attribute(vectors, 1, through={"filters": range(6)})
    torch.testing.assert_close(sum(some), everything, rtol=0, atol=1e-13)
    whole = lrp.attribute(vectors, 1)
    assert skip == bool(((everything - whole).abs() > 1e-6).any())


@pytest.mark.parametrize(
    ("layer", "shape", "units"),
    [
        (nn.Conv1d(4, 6, 1), (2, 6, 5), 6),
        (nn.Conv1d(4, 6, 1), (6, 5), 6),
        (nn.Conv2d(4, 6, 1), (2, 6, 5, 3), 6),
        (nn.BatchNorm1d(6), (2, 6), 6),
        (nn.BatchNorm1d(6), (2, 6, 5), 6),
        (nn.GroupNorm(2, 6), (2, 6, 5, 3), 6),
        (nn.AdaptiveMaxPool1d(3), (2, 6, 3), 6),
        (nn.LayerNorm(6), (2, 5, 6), 6),
        (nn.Linear(4, 6), (2, 6), 6),
        (nn.Embedding(9, 6), (2, 5, 6), 6),
    ],
)
def test_which_dimension_is_that_of_units(layer: Any, shape: tuple[int, ...], units: int) -> None:
    (index,) = units_of("layer", layer, torch.zeros(shape))
    assert index.unique().tolist() == list(range(units))
    per_unit = index.expand(shape).flatten().bincount()
    assert (per_unit == torch.Size(shape).numel() // units).all()
    with pytest.raises(ModelError, match="two dimensions"):
        units_of("layer", layer, torch.zeros(3))


def test_several_layers_must_all_be_passed() -> None:
    lrp, ids, name, units = read()
    both = [lrp.attribute(ids, 0, through={name: part, "head": [0]}) for part in parts(units)]
    torch.testing.assert_close(sum(both), lrp.attribute(ids, 0), rtol=0, atol=1e-14)
    assert not lrp.attribute(ids, 0, through={name: range(units), "head": [1]}).any()


def test_relevance_passes_a_map_whose_sum_is_divided_later() -> None:
    model = Convolution(True).double().eval()
    vectors = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    lrp = seqlrp.LRP(model)
    head = lrp.attribute(vectors, 1, through={"head": range(3)})
    around = lrp.attribute(vectors, 1, through={"around": range(3)})
    torch.testing.assert_close(head + around, lrp.attribute(vectors, 1), rtol=0, atol=1e-13)


def test_padding_and_model_stay_as_they_are() -> None:
    lrp, ids, name, _ = read(pooling="mean")
    assert not lrp.attribute(ids, 0, through={name: [1]})[ids == 0].any()
    before = lrp.attribute(ids, 0)
    with pytest.raises(OptionError):
        lrp.attribute(ids, 0, through={name: [1000]})
    assert torch.equal(lrp.attribute(ids, 0), before)
    assert not nn.modules.module._global_forward_hooks


def test_refusals() -> None:
    lrp, ids, name, units = read()
    for through in ({"nowhere": [0]}, {name: [units]}, {name: [-1]}, {name: 3}, {name: "3"}, [3]):
        with pytest.raises(OptionError) as caught:
            lrp.attribute(ids, 0, through=through)  # type: ignore[call-overload]
        assert caught.value.option == "through"
    for more in ({"layers": [name]}, {"return_ledger": True}):
        with pytest.raises(OptionError):
            lrp.attribute(ids, 0, through={name: [0]}, **more)  # type: ignore[call-overload]
    cells = seqlrp.LRP(Cells().eval())
    with pytest.raises(ModelError, match="several times"):
        cells.attribute(torch.randn(2, 3, 4), 0, through={"cell": [0]})
    zplus = seqlrp.LRP(lrp.model, rules={"head": rules.ZPlus()})
    with pytest.raises(OptionError, match="rule"):
        zplus.attribute(ids, 0, through={"head": [0]})
    assert lrp.attribution(ids, 0, through={name: [0]}).ledger is None


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_projections_are_refused() -> None:
    torch.manual_seed(0)

    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 6, proj_size=3, batch_first=True)
            self.head = nn.Linear(3, 2)

        def forward(self, vectors: Tensor) -> Tensor:
            scores: Tensor = self.head(self.lstm(vectors)[0].mean(1))
            return scores

    with pytest.raises(ModelError, match="projections"):
        seqlrp.LRP(Projected().eval()).attribute(torch.randn(2, 3, 4), 0, through={"lstm": [0]})
