"""DeepLIFT of recurrent layers against loops that share no code with it, and against twins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from oracles import deeplift as oracle
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from seqlrp.methods import DeepLIFT

D, H, T = 3, 4, 5


class LastState(nn.Module):
    """A recurrent layer over vectors, and a linear layer on its last state."""

    def __init__(self, layer: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.rnn: Any = layer(D, H, batch_first=True, **options)
        self.fc = nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1])  # type: ignore[no-any-return]


def made(model: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = model.double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.8)
    return model.eval()


def vectors(count: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, x0 = (torch.randn(count, T, D, generator=g, dtype=torch.float64) for _ in range(2))
    return x, x0


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_layer_is_what_the_loops_say(kind: str) -> None:
    model = made(LastState({"lstm": nn.LSTM, "gru": nn.GRU}[kind]))
    x, x0 = vectors()
    names = {"ih": "weight_ih_l0", "hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
    w = {key: getattr(model.rnn, name).detach().numpy() for key, name in names.items()}
    found = DeepLIFT(model, baseline=x0).attribution(x, "all")
    for b in range(len(x)):
        sequence = oracle.words(x[b].numpy(), x0[b].numpy())
        last = getattr(oracle, kind)(sequence, w, H)
        scores = oracle.mapped(model.fc.weight.detach().numpy(), last, np.zeros(2))
        for k, score in enumerate(scores):
            np.testing.assert_allclose(found.relevance[b, k], score.words, rtol=0, atol=1e-13)
            assert abs(score.words.sum() - (score.x - score.x0)) < 1e-13
    assert found.relevance.abs().min() > 1e-6


class ByHand(nn.Module):
    """The same layers in torch functions, with the weights of a library's layer."""

    def __init__(self, model: LastState) -> None:
        super().__init__()
        self.inner = model

    def forward(self, x: Tensor) -> Tensor:
        rnn = self.inner.rnn
        h = c = x.new_zeros(len(x), H)
        for x_t in x.unbind(1):
            a = x_t @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
            b = torch.nn.functional.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)
            if isinstance(rnn, nn.LSTM):
                i, f, g, o = (a + b).chunk(4, -1)
                c = f.sigmoid() * c + torch.sigmoid(i) * g.tanh()
                h = o.sigmoid() * torch.tanh(c)
            elif isinstance(rnn, nn.GRU):
                (xr, xz, xn), (hr, hz, hn) = a.chunk(3, -1), b.chunk(3, -1)
                z = (xz + hz).sigmoid()
                n = torch.tanh(xn + (xr + hr).sigmoid() * hn)
                h = (1 - z) * n + z * h
            else:
                h = torch.relu(a + b) if rnn.nonlinearity == "relu" else (a + b).tanh()
        return self.inner.fc(h)  # type: ignore[no-any-return]


class ByCell(ByHand):
    """The same with the library's cells."""

    def forward(self, x: Tensor) -> Tensor:
        rnn = self.inner.rnn
        cell: Any = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[type(rnn)]
        more = {"nonlinearity": rnn.nonlinearity} if isinstance(rnn, nn.RNN) else {}
        step = cell(D, H, dtype=x.dtype, **more).eval()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(step, name).data = getattr(rnn, f"{name}_l0").data
        state = None
        for x_t in x.unbind(1):
            state = step(x_t, state)
        return self.inner.fc(state[0] if isinstance(state, tuple) else state)  # type: ignore[no-any-return]


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
@pytest.mark.parametrize("twin", [ByHand, ByCell])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (nn.LSTM, {}),
        (nn.GRU, {}),
        (nn.RNN, {"nonlinearity": "tanh"}),
        (nn.RNN, {"nonlinearity": "relu"}),
    ],
)
def test_a_layer_is_its_hand_written_twin(
    layer: Any, options: Any, twin: type[ByHand], rule: Any
) -> None:
    model = made(LastState(layer, **options))
    x, x0 = vectors(3)
    found = DeepLIFT(model, rule, x0).attribution(x, "all")
    expect = DeepLIFT(twin(model).eval(), rule, x0).attribution(x, "all")
    torch.testing.assert_close(found.relevance, expect.relevance, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.scores, model(x), rtol=0, atol=1e-13)


class Deep(nn.Module):
    """Several layers, both directions, projections, packed, with states of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.rnn = nn.LSTM(D, H, num_layers=2, bidirectional=True, proj_size=2, **options)
        self.h0, self.c0 = nn.Parameter(torch.zeros(4, 1, 2)), nn.Parameter(torch.zeros(4, 1, H))
        self.fc = nn.Linear(4 * 2 + 4 * H, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        state = tuple(s.expand(-1, len(x), -1).contiguous() for s in (self.h0, self.c0))
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, c) = self.rnn(packed, state)
        return self.fc(torch.cat([h, c], -1).transpose(0, 1).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # torch's own
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_layer_is_each_document_alone(bias: bool) -> None:
    model = Deep(bias=bias)
    # Without a projection `fc` has other columns; sizes are as above.
    model.fc = nn.Linear(4 * (2 + H), 2)
    made(model)
    x, x0 = vectors(3)
    lengths = torch.tensor([3, 5, 1])
    found = DeepLIFT(model, baseline=x0).attribution(x, "all", lengths)
    assert found.ledger is not None
    assert found.ledger.residual.abs().max() < 1e-13
    for b, n in enumerate(lengths.tolist()):
        alone = DeepLIFT(model, baseline=x0[b : b + 1, :n]).attribution(
            x[b : b + 1, :n], "all", lengths[b : b + 1]
        )
        torch.testing.assert_close(alone.relevance[0], found.relevance[b, :, :n])
        assert not found.relevance[b, :, n:].any()
        # What the model itself says of the difference.
        now, then = (model(v[b : b + 1, :n], lengths[b : b + 1]) for v in (x, x0))
        torch.testing.assert_close(alone.relevance.sum(2), now - then)


def test_reveal_cancel_of_one_neuron() -> None:
    model = made(nn.Sequential(nn.Flatten(), nn.Linear(T * D, 1), nn.Tanh()))
    x, x0 = vectors(1)
    w, bias = model[1].weight[0].detach(), model[1].bias.item()
    terms = (w * (x - x0).flatten()).tolist()
    z0 = float((w * x0.flatten()).sum()) + bias
    expect = oracle.reveal_cancel(math.tanh, terms, z0)
    found = DeepLIFT(model, "reveal_cancel", x0).attribute(x, 0)
    by_word = np.reshape(expect, (T, D)).sum(1)
    np.testing.assert_allclose(found[0], by_word, rtol=0, atol=1e-13)
    plain = DeepLIFT(model, "rescale", x0).attribute(x, 0)
    assert (found - plain).abs().max() > 1e-2


class Minimum(nn.Module):
    """min(a, b) = a − relu(a − b), where Rescale gives all to one (2017, sec. 3.5.3)."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x[:, 0], x[:, 1]
        return a - torch.relu(torch.cat([a, b], 1) @ x.new_tensor([[1.0], [-1.0]]))


def test_reveal_cancel_sees_both_sides_of_a_minimum() -> None:
    x = torch.tensor([[[5.0], [3.0]]], dtype=torch.float64)
    assert DeepLIFT(Minimum().eval(), "rescale").attribute(x, 0).tolist() == [[0.0, 3.0]]
    found = DeepLIFT(Minimum().eval(), "reveal_cancel").attribute(x, 0)
    torch.testing.assert_close(found, torch.tensor([[1.5, 1.5]], dtype=torch.float64))
