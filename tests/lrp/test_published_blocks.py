"""Blocks of `xlstm`, `mambapy` and `minGRU-pytorch` are explained as they stand, or refused.

Without these packages the tests skip. None of their code is here: the truth of each is an oracle
with loops that is loaded with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from oracles import published_blocks as oracles
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import RefusedFunctionError

V, D, T = 20, 8, 6
IDS = torch.randint(1, V, (3, T), generator=torch.Generator().manual_seed(3))
Oracle = Callable[[Any, Tensor], Tensor]


def of_package(name: str, package: str) -> Any:
    """Import a module, or skip the test."""
    return pytest.importorskip(
        name, reason=f"{package} is not installed: pip install --no-deps {package}"
    )


class Classifier(nn.Module):
    """An embedding, blocks, and a head on the mean or the last of their states."""

    def __init__(self, blocks: nn.Module, last: bool = False) -> None:
        super().__init__()
        self.emb, self.blocks, self.head = nn.Embedding(V, D), blocks, nn.Linear(D, 2)
        self.last = last

    def read(self, states: Tensor) -> Tensor:
        return self.head(states[:, -1] if self.last else states.mean(1))  # type: ignore[no-any-return]

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(self.blocks(self.emb(ids)))


class WordByWord(nn.Module):
    """A block of minGRU-pytorch that is called with one word at a time and its last state."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for t in range(x.shape[1]):
            y, state = self.block(x[:, t : t + 1], state, return_next_prev_hidden=True)
            outputs.append(y)
        return torch.cat(outputs, 1)


class Steps(nn.Module):
    """A stack of mambapy or xlstm that takes the words by its method `step`."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        config, state, outputs = self.blocks.config, None, []
        if hasattr(config, "d_inner"):  # mambapy: the caller makes the first state
            inputs = x.new_zeros(len(x), config.d_inner, config.d_conv - 1)
            state = [(None, inputs) for _ in range(config.n_layers)]
        for t in range(x.shape[1]):
            x_t = x[:, t] if hasattr(config, "d_inner") else x[:, t : t + 1]
            y, state = self.blocks.step(x_t, state)  # type: ignore[operator]
            outputs.append(y.reshape(len(x), 1, -1))
        return torch.cat(outputs, 1)


def min_gru(**options: Any) -> nn.Module:
    return of_package("minGRU_pytorch.minGRU", "minGRU-pytorch").minGRU(D, **options)  # type: ignore[no-any-return]


def min_lstm(**options: Any) -> nn.Module:
    return of_package("minGRU_pytorch.minLSTM", "minGRU-pytorch").minLSTM(D, **options)  # type: ignore[no-any-return]


def mamba(**options: Any) -> nn.Module:
    package = of_package("mambapy.mamba", "mambapy")
    sizes: dict[str, Any] = {"d_model": D, "n_layers": 2, "d_state": 3, "d_conv": 3}
    return package.Mamba(package.MambaConfig(**sizes | options))  # type: ignore[no-any-return]


def x_lstm(*kinds: str) -> nn.Module:
    """A stack of blocks, "m" or "s" each, on the plain PyTorch path ("vanilla")."""
    of_package("omegaconf", "omegaconf")
    xlstm = of_package("xlstm", "xlstm")
    layer = xlstm.mLSTMLayerConfig(conv1d_kernel_size=3, num_heads=2, qkv_proj_blocksize=4)
    scalar = of_package("xlstm.blocks.slstm.layer", "xlstm").sLSTMLayerConfig(
        backend="vanilla", num_heads=2, conv1d_kernel_size=3, dtype="float32"
    )
    forward = xlstm.FeedForwardConfig(proj_factor=1.3, act_fn="gelu")
    config = xlstm.xLSTMBlockStackConfig(
        mlstm_block=xlstm.mLSTMBlockConfig(mlstm=layer) if "m" in kinds else None,
        slstm_block=xlstm.sLSTMBlockConfig(slstm=scalar, feedforward=forward)
        if "s" in kinds
        else None,
        context_length=16,
        num_blocks=len(kinds),
        embedding_dim=D,
        slstm_at=[k for k, kind in enumerate(kinds) if kind == "s"],
    )
    return xlstm.xLSTMBlockStack(config)  # type: ignore[no-any-return]


def of_inner(oracle: Oracle, name: str) -> Oracle:
    """Return the oracle of a block inside of a module that calls it."""
    return lambda m, x: oracle(getattr(m, name), x)


# Name: blocks, oracle.
RIGHT: dict[str, tuple[Callable[[], nn.Module], Oracle]] = {
    "minGRU, word by word": (lambda: WordByWord(min_gru()), of_inner(oracles.min_gru, "block")),
    "minGRU, expanded": (
        lambda: WordByWord(min_gru(expansion_factor=1.5)),
        of_inner(oracles.min_gru, "block"),
    ),
    "minLSTM, word by word": (lambda: WordByWord(min_lstm()), of_inner(oracles.min_lstm, "block")),
    "minGRU": (min_gru, oracles.min_gru),
    "minGRU, expanded, all words at once": (lambda: min_gru(expansion_factor=1.5), oracles.min_gru),
    "minLSTM": (min_lstm, oracles.min_lstm),
    "Mamba, parallel scan": (mamba, oracles.mamba),
    "Mamba, sequential": (lambda: mamba(pscan=False), oracles.mamba),
    "Mamba, with norms of Δ, B and C": (
        lambda: mamba(pscan=False, inner_layernorms=True),
        oracles.mamba,
    ),
    "Mamba, word by word": (lambda: Steps(mamba()), of_inner(oracles.mamba, "blocks")),
    "mLSTM": (lambda: x_lstm("m"), oracles.x_lstm),
    "sLSTM": (lambda: x_lstm("s"), oracles.x_lstm),
    "mLSTM and sLSTM": (lambda: x_lstm("m", "s", "m"), oracles.x_lstm),
    "sLSTM, word by word": (lambda: Steps(x_lstm("s")), of_inner(oracles.x_lstm, "blocks")),
}


def classifier(blocks: Callable[[], nn.Module], seed: int = 0, last: bool = False) -> Classifier:
    """A classifier of float64 in evaluation mode with random weights."""
    torch.manual_seed(seed)
    model = Classifier(blocks(), last).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def truth(oracle: Oracle, model: Classifier) -> tuple[Tensor, Tensor]:
    """Scores `[B, 2]` of an oracle, and gradient × input `[B, T]` of the second."""
    x = model.emb(IDS).detach().requires_grad_()
    scores = model.read(oracle(model.blocks, x))
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), x)
    return scores.detach(), (gradient * x.detach()).sum(-1)


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize(("seed", "last"), [(0, False), (1, True)])
def test_a_block_is_gradient_x_input_of_its_oracle(name: str, seed: int, last: bool) -> None:
    blocks, oracle = RIGHT[name]
    model = classifier(blocks, seed, last)
    scores, expected = truth(oracle, model)
    torch.testing.assert_close(model(IDS).detach(), scores, rtol=1e-6, atol=1e-9)
    lrp = seqlrp.LRP(model, epsilon=0)
    found, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)
    torch.testing.assert_close(lrp.attribute(IDS, target=1), found, rtol=0, atol=0)


@pytest.mark.parametrize("name", RIGHT)
def test_a_text_is_explained_as_by_itself(name: str) -> None:
    lrp = seqlrp.LRP(classifier(RIGHT[name][0]))
    alone = torch.cat([lrp.attribute(IDS[k : k + 1], target=1) for k in range(len(IDS))])
    torch.testing.assert_close(lrp.attribute(IDS, target=1), alone, rtol=1e-9, atol=1e-12)


SELECTIVE: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor], list[str]]] = {
    "Mamba": (
        lambda: mamba(pscan=False),
        oracles.mamba,
        [f"blocks.layers.{k}.mixer.x_proj" for k in range(2)],
    ),
    "Mamba, with norms of Δ, B and C": (
        lambda: mamba(pscan=False, inner_layernorms=True),
        oracles.mamba,
        [f"blocks.layers.{k}.mixer.x_proj" for k in range(2)],
    ),
    "mLSTM": (
        lambda: x_lstm("m", "s"),
        oracles.x_lstm,
        ["blocks.blocks.0.xlstm.q_proj", "blocks.blocks.0.xlstm.k_proj"],
    ),
}


@pytest.mark.parametrize("name", SELECTIVE)
def test_what_selects_may_be_named(name: str) -> None:
    blocks, oracle, gates = SELECTIVE[name]
    model = classifier(blocks)
    _, expected = truth(lambda m, x: oracle(m, x, selective=True), model)
    lrp = seqlrp.LRP(model, epsilon=0, gates=gates)
    found, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mLSTM, word by word": (
        lambda: Steps(x_lstm("m")),
        r"squeeze_ in module 'blocks\.blocks\.blocks\.0\.xlstm",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("length", [2, 3, 4, 5, 8])
def test_the_other_paths_are_refused_by_name(name: str, length: int) -> None:
    blocks, sentence = REFUSED[name]
    model = classifier(blocks)
    ids = torch.arange(1, 1 + length).repeat(2, 1)
    with pytest.raises(RefusedFunctionError, match=sentence):
        seqlrp.LRP(model).attribute(ids)


@pytest.mark.parametrize(
    ("refused", "advised"),
    [(lambda: Steps(x_lstm("m")), lambda: x_lstm("m"))],
)  # fmt: skip
def test_what_is_advised_computes_the_same(refused: Any, advised: Any) -> None:
    one, other = classifier(refused), classifier(advised)
    # xlstm adds 1e-6 to normalisers, which its two paths scale differently.
    torch.testing.assert_close(one(IDS), other(IDS), rtol=1e-5, atol=1e-6)
