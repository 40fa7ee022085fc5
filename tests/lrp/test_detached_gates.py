"""With ε = 0, relevance is gradient times input of a model whose gates are detached."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from samples.model_functions.classifiers import bilstm_attention, gru_max
from samples.model_functions.layers import FULL, C, Forward, H, Written, build, close
from samples.model_functions.recurrences import WRITTEN, fused_gru, fused_lstm
from torch import Tensor, nn

import seqlrp


def linearised(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) with the gradient of the identity rule: f(x)/x, held constant."""
    return x * (f(x) / x).detach()


def detached_lstm(m: Written, x: Tensor, layer: nn.LSTM, suffix: str = "") -> Tensor:
    w, u, b, d = (
        getattr(layer, f"{n}_l0{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = c = x.new_zeros(len(x), H)
    outs = []
    for t in reversed(range(x.shape[1])) if suffix else range(x.shape[1]):
        i, f, g, o = (F.linear(x[:, t], w, b) + F.linear(h, u, d)).chunk(4, 1)
        i, f, o = i.sigmoid().detach(), f.sigmoid().detach(), o.sigmoid().detach()
        c = f * c + i * linearised(torch.tanh, g)
        h = o * linearised(torch.tanh, c)
        outs.append(h)
    return torch.stack(outs[::-1] if suffix else outs, 1)


def detached_gru(m: Written, x: Tensor) -> Tensor:
    p, outs = m.gru, []
    h = x.new_zeros(len(x), H)
    for t in range(x.shape[1]):
        x_r, x_z, x_n = F.linear(x[:, t], p.weight_ih_l0, p.bias_ih_l0).chunk(3, 1)
        h_r, h_z, h_n = F.linear(h, p.weight_hh_l0, p.bias_hh_l0).chunk(3, 1)
        r, z = (x_r + h_r).sigmoid().detach(), (x_z + h_z).sigmoid().detach()
        h = (1 - z) * linearised(torch.tanh, x_n + r * h_n) + z * h
        outs.append(h)
    return torch.stack(outs, 1)


def detached_attention(m: Written, x: Tensor) -> Tensor:
    out = torch.cat([detached_lstm(m, x, m.both), detached_lstm(m, x, m.both, "_reverse")], -1)
    weights = torch.softmax(m.att(out).squeeze(-1), 1).detach()
    return m.head2(torch.bmm(weights.unsqueeze(1), out).squeeze(1))


DETACHED: list[tuple[Forward, Callable[[Written, Tensor], Tensor]]] = [
    (bilstm_attention, detached_attention),
    *(
        (write, lambda m, x: m.head(detached_lstm(m, x, m.lstm)[:, -1]))
        for fused, write in [(fused_lstm, fused_lstm), *WRITTEN]
        if fused is fused_lstm
    ),
    *(
        (write, lambda m, x: m.head(detached_gru(m, x)[:, -1]))
        for fused, write in [(fused_gru, fused_gru), *WRITTEN]
        if fused is fused_gru
    ),
    (gru_max, lambda m, x: m.head(detached_gru(m, x).max(1).values)),
]


@pytest.mark.parametrize(("write", "detached"), DETACHED, ids=lambda f: f.__name__)
def test_epsilon_zero_is_gradient_x_input_with_gates_detached(
    write: Forward, detached: Callable[[Written, Tensor], Tensor]
) -> None:
    model = build(write)
    x = model.emb(FULL).detach().requires_grad_()
    scores = detached(model, x)
    close(scores.detach(), model(FULL).detach(), 1e-13)
    relevance = seqlrp.LRP(model, 0).attribute(FULL, target="all", reduce=False)
    for target in range(C):
        (gradient,) = torch.autograd.grad(scores[:, target].sum(), x, retain_graph=True)
        close(relevance[:, target], gradient * x.detach())


def test_a_sum_of_gates_times_nothing_is_a_constant() -> None:
    """The leaves of a child-sum tree LSTM (Tai et al. 2015): i · u + Σ_k f_k · c_k, c_k = 0."""

    class Leaf(nn.Module):
        def __init__(self, summed: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.summed = nn.Embedding(9, 6), summed
            self.i, self.f, self.u = (nn.Linear(6, 5) for _ in range(3))
            self.head = nn.Linear(5, 2)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embedding(ids).sum(1)
            i, f, u = self.i(x).sigmoid(), self.f(x).sigmoid(), self.u(x).tanh()
            children = torch.zeros(len(x), 2, 5, dtype=x.dtype)
            carried = f.unsqueeze(1) * children
            c = i * u + (carried.sum(1) if self.summed else carried[:, 0])
            return self.head(i * c.tanh())

    ids = torch.tensor([[2, 3, 4], [5, 6, 7]])
    found = [seqlrp.LRP(Leaf(s).double().eval()).attribute(ids, 0) for s in (True, False)]
    torch.testing.assert_close(*found)
