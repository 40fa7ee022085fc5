"""Units that are gone against units that are silent, over all architectures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracles import pruning_criteria as oracle
from samples.architectures import ARCHITECTURES, Architecture, arguments, built, inputs
from torch import Tensor, nn
from torch.nn.modules import conv

from seqlrp.errors import ModelError, OptionError
from seqlrp.improving.shrink import shrink, silence_units
from seqlrp.improving.unit_sets import UnitSet, unit_sets

# Layers whose units other values are added to, compared or multiplied with; layers with a size that
# the code of the model repeats; and normalisations, which turn silence into something else.
KEPT = {
    "TransformerOverBiLSTM.lstm", "MultiheadAttentionOverLSTM.lstm", "ScaledDotProductCall.gru",
    "ScaledDotProductWritten.gru", "HeadsByEinsum.gru", "QuasiRecurrent.conv",
    "GatedConvolutions.convs.0", "GatedConvolutions.convs.1", "ConvolutionThenLSTM.features.0",
    "NormalisedConvolutions.body.0", "DeepPyramid.region", "DeepPyramid.conv", "HighwayHead.gru",
    "SortsTheBatch.lstm", "ConcatPooling.rnns.1", "MixtureOfExperts.gru", "ReversedByHand.there",
    "ReversedByHand.back", "EncoderDecoder.encoder", "EncoderDecoder.decoder",
    "LabelEmbeddings.gru", "Prototypes.gru", "BiGRUWithLastStates.gru", "ResidualLSTM.layers.0",
    "ResidualLSTM.layers.1", "ResidualLSTM.layers.2", "LSTMCellStack.cells.0",
    "LSTMCellStack.cells.1", "MultiLabel.gru",
}  # fmt: skip
SOME = {
    "PackedBiLSTMWithAdditiveAttention", "GRUWithMaxPooling", "LSTMWithProjection", "GRUCellLoop",
    "ElmanRNN", "KimCNN", "ResidualLSTM",
}  # fmt: skip
LAYERS = (nn.RNNBase, nn.RNNCellBase, conv._ConvNd)


def scorer(entry: Architecture) -> Callable[[nn.Module], Tensor]:
    ids, more = inputs(entry), arguments(entry, inputs(entry))

    def run(model: nn.Module) -> Tensor:
        output: Any = model(ids) if more is None else model(ids, more)
        return output if entry.output is None else output[entry.output]  # type: ignore[no-any-return]

    return run


def some_units(model: nn.Module, layer: str) -> dict[UnitSet, Tensor]:
    """Half of the units of each set."""
    draw = torch.Generator().manual_seed(3)
    return {
        units: torch.randperm(units.size, generator=draw)[: units.size // 2].sort().values
        for units in unit_sets(model, [layer])
    }


def check(entry: Architecture, kinds: tuple[type, ...]) -> None:
    """Masked and shrunk agree; a layer is masked where that is known of it."""
    run = scorer(entry)
    modules = built(entry.make).named_modules()
    for name in [n for n, m in modules if isinstance(m, kinds) and getattr(m, "groups", 1) == 1]:
        model = built(entry.make)
        before = {n: p.clone() for n, p in model.named_parameters()}
        removed = some_units(model, name)
        found = shrink(model, removed, run)
        with torch.no_grad():
            scores, expected = run(found.model), run(silence_units(model, removed))
        torch.testing.assert_close(scores, expected, atol=1e-12, rtol=1e-12)
        assert bool(found.masked) == (f"{entry.name}.{name}" in KEPT), (name, found.masked)
        sizes = [sum(p.numel() for p in m.parameters()) for m in (found.model, model)]
        assert sizes[0] < sizes[1] or found.masked
        for parameter, value in model.named_parameters():
            assert torch.equal(value, before[parameter])


@pytest.mark.parametrize(
    "entry", [e for e in ARCHITECTURES if e.name in SOME], ids=lambda entry: entry.name
)
def test_smaller_models_have_the_scores_of_masked_ones(entry: Architecture) -> None:
    check(entry, LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "entry",
    [e for e in ARCHITECTURES if e.name not in {*SOME, "WeightNormedGRU"}],
    ids=lambda entry: entry.name,
)
def test_all_smaller_models_have_the_scores_of_masked_ones(entry: Architecture) -> None:
    check(entry, LAYERS)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_silence_and_smaller_weights_are_the_oracles(kind: str) -> None:
    rng = np.random.default_rng(0)
    blocks = 4 if kind == "LSTM" else 3
    shapes = [(blocks * 4, 3), (blocks * 4, 4), (blocks * 4,), (blocks * 4,)]
    weights = tuple(rng.normal(size=shape) for shape in shapes)
    model = nn.ModuleDict({"layer": getattr(nn, kind)(3, 4, batch_first=True)}).double().eval()
    x = rng.normal(size=(5, 3))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value))

    def run(some: Any) -> Tensor:
        return some["layer"](torch.from_numpy(x)[None])[0].sum(-1)  # type: ignore[no-any-return]

    removed = {units: torch.tensor([1]) for units in unit_sets(model, ["layer"])}
    forward = oracle.lstm if kind == "LSTM" else oracle.gru
    with torch.no_grad():
        silent: Any = silence_units(model, removed)
        states = silent["layer"](torch.from_numpy(x)[None])[0][0].numpy()
    np.testing.assert_allclose(states, forward(x, weights, {1}), atol=1e-14)  # type: ignore[arg-type]
    smaller: Any = shrink(model, removed, run).model
    cut = oracle.shrink_lstm if kind == "LSTM" else oracle.shrink_gru
    for own, known in zip(smaller["layer"].parameters(), cut(*weights, [0, 2, 3]), strict=True):
        np.testing.assert_array_equal(own.detach().numpy(), known)
    assert smaller["layer"].hidden_size == 3


class FirstStates(nn.Module):
    """A two-layer bi-GRU whose first states are learnt, and whose size its code repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 4
        self.embedding = nn.Embedding(9, 3)
        self.start = nn.Parameter(torch.zeros(4, 1, self.size))
        self.rnn = nn.GRU(3, self.size, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * self.size, 2)

    def forward(self, ids: Tensor) -> Tensor:
        start = self.start.expand(4, len(ids), self.size).contiguous()
        _, last = self.rnn(self.embedding(ids), start)
        return self.fc(last[-2:].transpose(0, 1).reshape(-1, 2 * self.size))  # type: ignore[no-any-return]


def test_first_states_and_sizes_of_ones_own_get_smaller() -> None:
    model = built(FirstStates)
    ids = torch.tensor([[1, 4, 2], [8, 3, 5]])
    removed = some_units(model, "rnn")
    found = shrink(model, removed, lambda m: m(ids))
    assert not found.masked
    assert found.model.get_parameter("start").shape == (4, 1, 2)
    assert found.model.size == 2
    torch.testing.assert_close(found.model(ids), silence_units(model, removed)(ids))


def test_a_model_without_a_recurrent_layer_names_the_others() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.ReLU(), nn.Linear(3, 5))
    with pytest.raises(OptionError, match=r"no recurrent layer .*; it has '0', '2'\.") as raised:
        unit_sets(model, None)
    assert raised.value.known == ("0", "2")


def test_a_layer_whose_weights_are_computed_or_shared_is_refused() -> None:
    (entry,) = [e for e in ARCHITECTURES if e.name == "WeightNormedGRU"]
    with pytest.raises(ModelError, match=r"is computed from others .* a plain weight first"):
        unit_sets(built(entry.make), ["gru"])
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    with pytest.raises(ModelError, match="is that of another module, too"):
        unit_sets(model, ["1"])
