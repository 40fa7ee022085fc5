"""Variants of a text are read once where they agree, and give what torch gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp import SharedReading
from seqlrp.lrp.recurrent.kernels import compiled

pytest.importorskip("numba", reason="numba is an optional package")


def variants(texts: int, length: int) -> Tensor:
    """Texts of vectors, each also without its words, one after the other `[N, T, D]`."""
    torch.manual_seed(texts)
    rows = []
    for text in torch.randn(texts, length, 5):
        for word in range(-1, length):
            rows.append(text.clone())
            if word >= 0:
                rows[-1][word] = 0
    return torch.stack(rows)


def flat(found: Any) -> list[Tensor]:
    out, final = found
    states = final if isinstance(final, tuple) else (final,)
    return [out.data if isinstance(out, PackedSequence) else out, *states]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_reading_is_what_torch_computes(
    kind: str, packed: bool, layers: int, directions: int
) -> None:
    layer = getattr(nn, kind)(5, 6, layers, batch_first=True, bidirectional=directions == 2)
    x: Any = variants(3, 4)
    if packed:
        lengths = torch.tensor([4, 3, 4]).repeat_interleave(5)
        x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        expected = flat(layer(x))
        with SharedReading():
            found = flat(layer(x))
    with torch.no_grad():
        layer.double()
        exact = flat(layer(x.double() if not packed else x.to(torch.float64)))
    for own, other, truth in zip(found, expected, exact, strict=True):
        assert own.shape == other.shape
        assert own.dtype == other.dtype
        torch.testing.assert_close(own.double(), truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("sizes", [(15,) * 4, (15, 15, 11, 3)])
def test_sharing_and_blocks_do_not_show(
    kind: Any, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = 4 if kind == "lstm" else 3
    x = variants(3, 4).transpose(0, 1)
    rows = torch.cat([step[:size] for step, size in zip(x, sizes, strict=True)])
    weights = [
        Weights(torch.randn(gates * 6, 5), torch.randn(gates * 6, 6), *torch.randn(2, gates * 6))
        for _ in range(2)
    ]
    # Some sequences begin in other states than the one before.
    states = [torch.randn(2, 15, 6).round() for _ in range(2 if kind == "lstm" else 1)]
    for state in states:
        state[:, :6] = 0
    steps = Steps(sizes)
    out, finals, *_ = compiled.forward(
        kind, rows, states, weights, steps, compiled.Stabiliser(0.0), account=False
    )
    for blocks in ([(0, 15)], [(0, 4), (4, 9), (9, 15)], [(k, k + 1) for k in range(15)]):
        monkeypatch.setattr("seqlrp.lrp.recurrent.kernels.threads._blocks", lambda *_, b=blocks: b)
        found, final = compiled.read(kind, rows, states, weights, steps)
        assert found.equal(out)
        assert all(a.equal(b) for a, b in zip(final, finals, strict=True))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_what_is_alike_is_computed_once(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = variants(1, 4).transpose(0, 1).reshape(-1, 5)
    sharing = compiled._sharing()
    states, leader = torch.zeros(5, 6).numpy(), torch.arange(5).numpy()
    own, counts = torch.zeros(5, dtype=torch.int64).numpy(), []
    for t in range(4):
        alike = torch.ones(5, dtype=torch.int64).numpy()
        known = 5 if t else 0
        count = sharing._find_leaders(x.numpy(), 5 * t, known, 5, alike, leader, states, own)
        assert (leader[own[:count]] == own[:count]).all()
        assert count == int((leader == torch.arange(5).numpy()).sum())
        counts.append(count)
    # Without its first word a text differs at once, and the next one differs from that.
    assert counts == [3, 4, 5, 5]


def test_what_is_not_computed_is_left_to_torch() -> None:
    x = torch.randn(2, 3, 5)
    for layer, given in (
        (nn.RNN(5, 6), x),
        (nn.GRU(5, 6).double(), x.double()),
    ):
        with torch.no_grad():
            expected = layer(given)[0]
            with SharedReading():
                assert layer(given)[0].equal(expected)
    layer = nn.LSTM(5, 6)
    with SharedReading():
        assert layer(x)[0].requires_grad
