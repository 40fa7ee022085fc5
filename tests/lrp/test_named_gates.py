"""Gates by name: the outputs of named modules are constants in products, and the rest unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import descendants as oracles
from samples import descendants as blocks
from samples.descendants import IDS, Classifier, classifier
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import OptionError, RefusedFunctionError

QUERIES_AND_KEYS = ("block.q", "block.k")
NAMED: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...], Callable[[Any, Tensor], Tensor]]]
NAMED = {
    "Mamba": (blocks.Mamba, ("block.x_proj",), oracles.selective_mamba),
    "Mamba, Δ named twice": (
        blocks.Mamba,
        ("block.x_proj", "block.dt_proj"),
        oracles.selective_mamba,
    ),
    "Mamba, cumsum": (blocks.MambaCumsum, ("block.x_proj",), oracles.selective_mamba),
    "Mamba, segments": (blocks.MambaSegments, ("block.x_proj",), oracles.selective_mamba),
    "Mamba, tree": (blocks.MambaTree, ("block.x_proj",), oracles.selective_mamba),
    "mLSTM": (blocks.MLSTM, QUERIES_AND_KEYS, oracles.selective_m_lstm),
    "mLSTM, parallel": (blocks.MLSTMParallel, QUERIES_AND_KEYS, oracles.selective_m_lstm),
}


def truth(oracle: Callable[[Any, Tensor], Tensor], model: Classifier) -> Tensor:
    """Gradient × input `[B, T]` of the second score of an oracle."""
    x = model.emb(IDS).detach().requires_grad_()
    score = model.head(oracle(model.block, x).mean(1))[:, 1]
    (gradient,) = torch.autograd.grad(score.sum(), x)
    return (gradient * x.detach()).sum(-1)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("seed", [0, 1])
def test_named_modules_are_constants(name: str, seed: int) -> None:
    block, gates, oracle = NAMED[name]
    model = classifier(block, seed)
    lrp = seqlrp.LRP(model, epsilon=0, gates=gates)
    found, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    torch.testing.assert_close(found, truth(oracle, model), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)
    unnamed = seqlrp.LRP(model, epsilon=0).attribute(IDS, target=1)
    assert not torch.allclose(found, unnamed)


@pytest.mark.parametrize("name", NAMED)
def test_a_text_is_explained_as_by_itself(name: str) -> None:
    block, gates, _ = NAMED[name]
    lrp = seqlrp.LRP(classifier(block), epsilon=0.01, gates=gates)
    alone = torch.cat([lrp.attribute(IDS[k : k + 1], target=1) for k in range(len(IDS))])
    torch.testing.assert_close(lrp.attribute(IDS, target=1), alone, rtol=1e-9, atol=1e-12)


class Gated(nn.Module):
    """vectors * after(named(vectors)) + named(vectors), with a map that is named in `gates`."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.named, self.after, self.to_h = nn.Linear(6, 6), after, nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        p = self.named(x)
        return self.to_h(x * self.after(p) + p)  # type: ignore[no-any-return]


AFTER: dict[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity,
    "a map": lambda: nn.Linear(6, 6),
    "tanh": nn.Tanh,
    "a norm": lambda: nn.LayerNorm(6),
    "a root mean square": lambda: nn.RMSNorm(6),
    "several": lambda: nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 6), nn.Softplus()),
}


@pytest.mark.parametrize("name", AFTER)
def test_functions_of_named_gates_are_constants(name: str) -> None:
    model = classifier(lambda: Gated(AFTER[name]()))

    def oracle(block: Any, x: Tensor) -> Tensor:
        p = block.named(x).detach()
        return block.to_h(x * block.after(p).detach() + p)  # type: ignore[no-any-return]

    lrp = seqlrp.LRP(model, epsilon=0, gates=["block.named"])
    found, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    torch.testing.assert_close(found, truth(oracle, model), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)
    assert (ledger.totals["constant"].abs() > 0).all()  # p in the sum


def test_other_gate_rules_book_the_share_of_a_named_gate() -> None:
    model = classifier(lambda: Gated(nn.Identity()))
    lrp = seqlrp.LRP(model, epsilon=0, gates=["block.named"], gate_rule="half")
    _, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    assert (ledger.totals["gate"].abs() > 0).all()
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


def test_layers_below_a_named_gate_get_nothing_through_it() -> None:
    model = classifier(lambda: Gated(nn.Tanh()))
    lrp = seqlrp.LRP(model, epsilon=0, gates=["block.named"])
    _, layers = lrp.attribute(IDS, target=1, layers=["block.named", "emb"])
    assert (layers["block.named"] == 0).all()
    assert (layers["emb"].abs().sum(-1) > 0).all()


def test_the_model_is_left_as_it_was_also_after_an_error() -> None:
    model = classifier(blocks.Mamba)
    hooks = nn.modules.module._global_forward_hooks
    before, scores = copy.deepcopy(model.state_dict()), model(IDS)
    seqlrp.LRP(model, gates=["block.x_proj"]).attribute(IDS)
    with pytest.raises(RefusedFunctionError, match="named in gates"):
        seqlrp.LRP(model, gates=["block.out_proj"]).attribute(IDS)
    assert not hooks
    assert all(not module._forward_hooks for module in model.modules())
    torch.testing.assert_close(model(IDS), scores, rtol=0, atol=0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"block\.x_prj.*Did you mean 'block\.x_proj'") as caught:
        seqlrp.LRP(classifier(blocks.Mamba), gates=["block.x_prj"])
    assert caught.value.option == "gates"
    with pytest.raises(OptionError, match="names of modules"):
        seqlrp.LRP(classifier(blocks.Mamba), gates=3)  # type: ignore[arg-type]


class Unused(blocks.MinGRU):
    """A block with a module that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


def test_a_module_that_does_not_run_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'block\.unused'.*was never called") as caught:
        seqlrp.LRP(classifier(Unused), gates=["block.unused"]).attribute(IDS)
    assert caught.value.got == "block.unused"


def test_the_option_is_on_record() -> None:
    model = classifier(blocks.Mamba)
    typed = seqlrp.LRP(model, gates="block.x_proj, block.dt_proj")
    named = ["block.x_proj", "block.dt_proj"]
    assert typed.parameters["gates"] == named
    assert f"gates={named!r}" in repr(typed)
    again = seqlrp.LRP(copy.deepcopy(model), **typed.parameters)
    assert again.parameters == typed.parameters
    copied = copy.deepcopy(typed)
    torch.testing.assert_close(copied.attribute(IDS), typed.attribute(IDS), rtol=0, atol=0)
    torch.testing.assert_close(again.attribute(IDS), typed.attribute(IDS), rtol=0, atol=0)
    assert "gates" not in seqlrp.LRP(model).parameters


def test_files_have_the_option(tmp_path: Path) -> None:
    words = ["<pad>", "<unk>", "a", "good", "film"]
    texts = seqlrp.TextClassifier(
        classifier(blocks.Mamba).float(), seqlrp.Vocabulary(words), ["no", "yes"], str.split
    )
    found = seqlrp.explain(texts, ["a good film"], gates="block.x_proj")
    found.save(tmp_path / "r.jsonl")
    [read] = seqlrp.Explanations.load(tmp_path / "r.jsonl")
    assert list(read.parameters["gates"]) == ["block.x_proj"]
    assert list(read.relevance) == list(found[0].relevance)
