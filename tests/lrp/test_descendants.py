"""The LSTM's descendants: relevance is that of a loop in float64, however they are written."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from oracles import descendants as oracles
from samples import descendants as blocks
from samples.descendants import IDS, Classifier, classifier
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import RefusedFunctionError

Block = Callable[[], nn.Module]
Oracle = Callable[[Any, Tensor], Tensor]
# Every form of a recurrence, the one in sequence first.
FORMS: dict[str, tuple[Oracle, list[Block]]] = {
    "minGRU": (
        oracles.min_gru,
        [blocks.MinGRU, blocks.MinGRUScan, blocks.MinGRULogGates, blocks.MinGRUSoftplus],
    ),
    "minGRU, positive": (
        oracles.positive_min_gru,
        [blocks.PositiveMinGRU, blocks.LogSpaceMinGRU],
    ),
    "minGRU, positive, from nothing": (oracles.positive_min_gru, [blocks.LogSpaceMinGRULoop]),
    "minLSTM, positive": (
        oracles.positive_min_lstm,
        [blocks.PositiveMinLSTM, blocks.LogSpaceMinLSTM],
    ),
    "minLSTM": (oracles.min_lstm, [blocks.MinLSTM, blocks.MinLSTMScan]),
    "sLSTM": (
        oracles.s_lstm,
        [blocks.SLSTM, partial(blocks.SLSTM, larger="max"), blocks.SLSTMOneTensor],
    ),
    "sLSTM, exponential": (oracles.s_lstm, [partial(blocks.SLSTM, forget="exp")]),
    "mLSTM": (oracles.m_lstm, [blocks.MLSTM]),
    "mLSTM, parallel": (oracles.m_lstm_attention, [blocks.MLSTMParallel]),
    "AWD-LSTM": (oracles.weight_dropped_lstm, [blocks.WeightDroppedLSTM]),
    "RWKV-4": (oracles.rwkv, [blocks.RWKV]),
    "Mamba": (
        oracles.mamba,
        [
            blocks.Mamba,
            blocks.MambaCumsum,
            blocks.MambaCumprod,
            blocks.MambaSegments,
            blocks.MambaTree,
        ],
    ),
}


def relevance(model: nn.Module, ids: Tensor = IDS, **options: Any) -> Tensor:
    return seqlrp.LRP(model, **({"epsilon": 0} | options)).attribute(ids, target="all")


def truth(oracle: Oracle, model: Classifier) -> tuple[Tensor, Tensor]:
    """Scores `[B, C]` of the oracle, and gradient × input `[B, C, T]` of each."""
    x = model.emb(IDS).detach().requires_grad_()
    scores = model.head(oracle(model.block, x).mean(1))
    found = [
        (torch.autograd.grad(scores[:, c].sum(), x, retain_graph=True)[0] * x.detach()).sum(-1)
        for c in range(scores.shape[1])
    ]
    return scores.detach(), torch.stack(found, 1)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_form_is_gradient_x_input_of_the_loop(name: str, seed: int) -> None:
    oracle, forms = FORMS[name]
    first = relevance(classifier(forms[0], seed), verify=False)
    for form in forms:
        model = classifier(form, seed)
        scores, expected = truth(oracle, model)
        torch.testing.assert_close(model(IDS).detach(), scores, rtol=1e-9, atol=1e-12)
        found = relevance(model, verify=seed == 0)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(found, first, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", FORMS)
def test_nothing_of_the_score_is_lost(name: str) -> None:
    for form in FORMS[name][1]:
        lrp = seqlrp.LRP(classifier(form), verify=False)
        _, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
        torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_a_text_is_explained_as_by_itself(name: str) -> None:
    lrp = seqlrp.LRP(classifier(FORMS[name][1][-1]), epsilon=0.01)
    alone = torch.cat([lrp.attribute(IDS[k : k + 1], "all") for k in range(len(IDS))])
    torch.testing.assert_close(lrp.attribute(IDS, "all"), alone, rtol=1e-9, atol=1e-12)


class Applied(nn.Module):
    """A function of a signal x and a gate without a graph, e = exp(W x), both `[B, T, H]`."""

    def __init__(self, f: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.f, self.to_x, self.to_e = f, nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.f(self.to_x(vectors), torch.exp(self.to_e(vectors)))


MIXED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a sum": lambda x, e: x + e,
    "a difference": lambda x, e: e - x,
    "negated": lambda x, e: -(x + e),
    "scaled": lambda x, e: 0.5 * (x + e) / 3,
    "the larger": lambda x, e: torch.maximum(x, e),
    "the smaller": lambda x, e: torch.minimum(e, x),
    "a root": lambda x, e: (x.abs() + e).sqrt(),
    "a logarithm": lambda x, e: (x.abs() + e).log(),
    "softplus": lambda x, e: nn.functional.softplus(x + e),
    "tanh": lambda x, e: torch.tanh(x + e),
    "clamped": lambda x, e: (x + e).clamp(-1, 1),
    "summed": lambda x, e: (x + e).sum(1, keepdim=True).expand_as(x),
    "the largest": lambda x, e: (x + e).amax(1, keepdim=True).expand_as(x),
    "running sums": lambda x, e: (x + e).cumsum(1),
    "running products": lambda x, e: (x + e).cumprod(1),
    "running maxima": lambda x, e: (x + e).cummax(1).values,
    "in log space": lambda x, e: (x + e).logcumsumexp(1),
    "pooled in log space": lambda x, e: (x + e).logsumexp(1, keepdim=True).expand_as(x),
    "cast": lambda x, e: (x + e).float().to(x.dtype),
    "moved": lambda x, e: torch.cat([e[:, :1], (x + e)[:, 1:]], 1),
    "with a sigmoid": lambda x, e: torch.cat([torch.sigmoid(x)[:, :1], (x + e)[:, 1:]], 1),
    "added to a gate": lambda x, e: torch.sigmoid(x) + (x + e),
    "written": lambda x, e: _written(x + e),
    "in place": lambda x, e: x.clone().add_(e),
}


def _written(values: Tensor) -> Tensor:
    base = torch.zeros(values.shape, dtype=values.dtype)
    base[:, 1:] = values[:, 1:]
    return base


USES: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda x, y: x * y,
    lambda x, y: y,
    lambda x, y: x + y,
    lambda x, y: x @ y.mT @ x,
]


def _used(f: Any, use: Any, x: Tensor, e: Tensor) -> Tensor:
    result: Tensor = use(x, f(x, e))
    return result


@pytest.mark.parametrize("name", MIXED)
def test_signals_mixed_with_gates_may_not_weigh_or_be_a_signal(name: str) -> None:
    f = MIXED[name]
    for use in USES:
        applied = partial(Applied, partial(_used, f, use))
        with pytest.raises(RefusedFunctionError):
            relevance(classifier(applied))


@pytest.mark.parametrize("name", MIXED)
def test_they_may_make_gates(name: str) -> None:
    f = MIXED[name]
    model = classifier(lambda: Applied(lambda x, e: x * torch.exp(-f(x, e).abs())))
    _, expected = truth(lambda m, v: _gated(m, v, f), model)
    tolerance = 1e-6 if name == "cast" else 1e-9
    torch.testing.assert_close(relevance(model), expected, rtol=tolerance, atol=1e-11)


def _gated(m: Any, vectors: Tensor, f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    x: Tensor = m.to_x(vectors)
    gate: Tensor = torch.exp(-f(x.detach(), torch.exp(m.to_e(vectors)).detach()).abs())
    return x * gate.detach()


RUNNING: dict[str, Callable[[Tensor], Tensor]] = {
    "cumprod": lambda x: x.cumprod(1),
    "cummax": lambda x: x.cummax(1).values,
    "cummin": lambda x: x.cummin(dim=1).values,
    "logcumsumexp": lambda x: torch.logcumsumexp(x, dim=1),
}


@pytest.mark.parametrize("name", RUNNING)
def test_running_functions_of_gates_are_gates(name: str) -> None:
    f = RUNNING[name]
    for gate in (torch.sigmoid, torch.exp):
        model = classifier(partial(Applied, partial(_run, f, gate)))
        _, expected = truth(partial(_detached_run, f, gate), model)
        torch.testing.assert_close(relevance(model), expected, rtol=1e-9, atol=1e-11)


def _run(f: Any, gate: Any, x: Tensor, e: Tensor) -> Tensor:
    return x * f(gate(x / 3))  # type: ignore[no-any-return]


def _detached_run(f: Any, gate: Any, m: Any, vectors: Tensor) -> Tensor:
    x = m.to_x(vectors)
    return x * f(gate(x / 3)).detach()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", RUNNING)
def test_running_functions_of_signals_are_refused(name: str) -> None:
    with pytest.raises(RefusedFunctionError, match=f"{name}.*only of gates"):
        relevance(classifier(lambda: Applied(lambda x, e: RUNNING[name](x))))


Apart = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# A signal and a gate, put together and taken apart again.
APART: dict[str, Apart] = {
    "stack, unbind": lambda x, e: torch.stack([x, e]).unbind(),  # type: ignore[return-value]
    "cat, chunk": lambda x, e: torch.cat([x, e], -1).chunk(2, -1),  # type: ignore[return-value]
    "moved about": lambda x, e: _moved(torch.stack([x, e], 1)),
    "with a constant": lambda x, e: torch.cat([x, torch.ones_like(x), e]).split(len(x))[::2],
    "written": lambda x, e: _parts_written(x, e),
    "cast": lambda x, e: torch.stack([x, e]).to(torch.float64).unbind(),  # type: ignore[return-value]
    "of several": lambda x, e: torch.stack([torch.stack([x, e]), torch.stack([e, x])])[0].unbind(),
}


def _moved(both: Tensor) -> tuple[Tensor, Tensor]:
    both = both.transpose(0, 1).flip(0).reshape(2, -1).view(2, *both.shape[:1], *both.shape[2:])
    return both[1], both[0]


def _parts_written(x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    base = torch.zeros(3, *x.shape, dtype=x.dtype)
    base[:2] = torch.stack([x, e])
    base[2] = x
    return base[0], base[1]


@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("gate", [torch.sigmoid, torch.exp])
def test_gates_are_told_from_signals_that_stood_beside_them(name: str, gate: Any) -> None:
    def use(x: Tensor, e: Tensor) -> Tensor:
        signal, factor = APART[name](x, gate(x / 3))
        return signal * factor

    def oracle(m: Any, vectors: Tensor) -> Tensor:
        x: Tensor = m.to_x(vectors)
        return x * gate(x / 3).detach()  # type: ignore[no-any-return]

    model = classifier(lambda: Applied(use))
    lrp = seqlrp.LRP(model, epsilon=0)
    found, ledger = lrp.attribute(IDS, target="all", return_ledger=True)
    _, expected = truth(oracle, model)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


TOGETHER: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": lambda both: both * 2,
    "summed": lambda both: both.sum(0),
    "negated": lambda both: -both,
    "added": lambda both: both + both,
    "tanh": torch.tanh,
    "the larger": lambda both: both.amax(0),
    "a map": lambda both: torch.nn.functional.linear(both, torch.ones(4, 4, dtype=both.dtype))[0],
    "an index": lambda both: both[torch.tensor([1, 0])][1],
    "a mask": lambda both: torch.where(both > 0, both, 1.0)[0],
}


@pytest.mark.parametrize("name", TOGETHER)
def test_signals_and_bare_gates_in_one_tensor_may_only_move(name: str) -> None:
    def use(x: Tensor, e: Tensor) -> Tensor:
        y = TOGETHER[name](torch.stack([x, e]))
        return y[0] if y.ndim > x.ndim else y

    model = classifier(lambda: Applied(use))
    with pytest.raises(RefusedFunctionError, match="stand together with gates"):
        relevance(model)
    lrp = seqlrp.LRP(model, on_unknown="absorb")
    if name not in ("summed", "the larger"):  # whose documents nothing tells
        _, ledger = lrp.attribute(IDS, 0, return_ledger=True)
        assert (ledger.total("refused").abs() > 0).all()
        torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


def test_a_gate_in_a_tensor_that_is_written_over_is_refused() -> None:
    def use(x: Tensor, e: Tensor) -> Tensor:
        both = torch.stack([x, e])
        gate = both[1]
        both[1] = x
        return x * gate

    with pytest.raises(RefusedFunctionError, match="changed in place"):
        relevance(classifier(lambda: Applied(use)))


def test_a_running_product_over_texts_is_refused() -> None:
    with pytest.raises(seqlrp.errors.MixedDocumentsError):
        relevance(classifier(lambda: Applied(lambda x, e: x * torch.sigmoid(x).cumprod(0))))


def test_attnlrp_does_not_take_a_mixed_softmax_for_a_constant() -> None:
    model = classifier(lambda: Applied(lambda x, e: x * torch.softmax(x + e, 1)))
    relevance(model)
    with pytest.raises(RefusedFunctionError, match="softmax in module 'block'"):
        relevance(model, attention="attnlrp")


def test_under_absorb_what_a_gate_brings_to_a_sum_is_on_the_record() -> None:
    model = classifier(lambda: Applied(lambda x, e: x + e))
    lrp = seqlrp.LRP(model, epsilon=0, on_unknown="absorb")
    found, ledger = lrp.attribute(IDS, target=0, return_ledger=True)
    assert (found.abs() > 0).all()
    assert (ledger.total("refused").abs() > 0).all()
    torch.testing.assert_close(sum(ledger.totals.values()), ledger.score, rtol=0, atol=1e-12)


# In log space


def above_zero(x: Tensor) -> Tensor:
    return torch.relu(x) + 0.5


LogSpace = Callable[[Tensor, Tensor], Tensor]
# Positive signals u and gates z, in log space and outside of it.
IN_LOG_SPACE: dict[str, tuple[LogSpace, LogSpace]] = {
    "a weight": (lambda u, z: (u.log() + z.log()).exp(), lambda u, z: u * z),
    "a divisor": (lambda u, z: (u.log() - z.log()).exp(), lambda u, z: u / z),
    "a linear weight": (lambda u, z: (u.log() + z).exp(), lambda u, z: u * z.exp()),
    "a constant": (lambda u, z: (u.log() + 0.3).exp(), lambda u, z: u * math.exp(0.3)),
    "two signals": (lambda u, z: (u.log() + (2 * u).log()).exp(), lambda u, z: u * (2 * u)),
    "a sum": (
        lambda u, z: u.log().logsumexp(1, keepdim=True).exp().expand_as(u),
        lambda u, z: u.sum(1, keepdim=True).expand_as(u),
    ),
    "a sum by hand": (
        lambda u, z: _log_sum_by_hand(u.log()).exp().expand_as(u),
        lambda u, z: u.sum(1, keepdim=True).expand_as(u),
    ),
    "running sums": (lambda u, z: u.log().logcumsumexp(1).exp(), lambda u, z: u.cumsum(1)),
    "of two": (
        lambda u, z: torch.logaddexp(u.log() + z.log(), (3 * u).log()).exp(),
        lambda u, z: u * z + 3 * u,
    ),
    "masked": (
        lambda u, z: u.log().masked_fill(z < 0.5, -math.inf).logcumsumexp(1).exp(),
        lambda u, z: u.masked_fill(z < 0.5, 0).cumsum(1),
    ),
    "moved": (
        lambda u, z: torch.cat([u.log()[:, 1:], u.log()[:, :1]], 1).flip(1).exp(),
        lambda u, z: u.roll(-1, 1).flip(1),
    ),
    "padded": (
        lambda u, z: nn.functional.pad(u.log(), (0, 0, 1, 0)).logcumsumexp(1).exp()[:, 1:],
        lambda u, z: nn.functional.pad(u, (0, 0, 1, 0), value=1.0).cumsum(1)[:, 1:],
    ),
    "a share": (
        lambda u, z: (u.log() - u.log().logsumexp(1, keepdim=True)).exp(),
        lambda u, z: u / u.sum(1, keepdim=True),
    ),
    "in place": (lambda u, z: u.log().add_(z.log()).exp_(), lambda u, z: u * z),
    "and out, and in": (lambda u, z: ((u.log() + z).exp() + u).log().exp(),
                        lambda u, z: u * z.exp() + u),
}  # fmt: skip


def _log_sum_by_hand(x: Tensor) -> Tensor:
    largest = x.max(1, keepdim=True).values
    return (x - largest).exp().sum(1, keepdim=True).log() + largest


def _positive_model(f: LogSpace) -> Classifier:
    return classifier(partial(Applied, lambda x, e: f(above_zero(x), torch.sigmoid(e))))


@pytest.mark.parametrize("name", IN_LOG_SPACE)
def test_log_space_changes_nothing(name: str) -> None:
    found, expect = (
        seqlrp.LRP(_positive_model(f), epsilon=0).attribution(IDS, "all")
        for f in IN_LOG_SPACE[name]
    )
    torch.testing.assert_close(found.scores, expect.scores, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.relevance, expect.relevance, rtol=1e-9, atol=1e-12)
    assert found.ledger is not None
    assert found.ledger.residual.abs().max() < 1e-12


ONLY_IN_LOG_SPACE: dict[str, LogSpace] = {
    "as a score": lambda u, z: u.log(),
    "times a number": lambda u, z: (u.log() * 2).exp(),
    "summed": lambda u, z: u.log().sum(1, keepdim=True).exp().expand_as(u),
    "a rectifier": lambda u, z: torch.relu(u.log()),
    "beside a signal": lambda u, z: torch.where(u > 1, u.log(), u).exp(),
    "beside a gate": lambda u, z: torch.where(u > 1, u.log(), z).exp(),
    "written": lambda u, z: _written(u.log()).exp(),
    "through a view": lambda u, z: _second_changed(u.log()),
    "its largest": lambda u, z: u.log().amax(1, keepdim=True).exp() + u,
    "its inverse": lambda u, z: u + (z - u.log()).exp(),
}


def _second_changed(x: Tensor) -> Tensor:
    x[:, 1].add_(1)
    return x.exp()


@pytest.mark.parametrize("name", ONLY_IN_LOG_SPACE)
def test_other_functions_of_logarithms_are_refused(name: str) -> None:
    with pytest.raises(RefusedFunctionError):
        relevance(_positive_model(ONLY_IN_LOG_SPACE[name]))


@pytest.mark.parametrize("options", [{"gate_rule": "half"}, {"bias_factor": 1.0}])
def test_log_space_has_no_shares_for_gates_and_biases(options: Any) -> None:
    with pytest.raises(RefusedFunctionError, match="log"):
        relevance(_positive_model(IN_LOG_SPACE["a weight"][0]), **options)


def test_relevance_of_a_logarithm_is_asked_for_at_its_exponential() -> None:
    class InLogSpace(nn.Module):
        def forward(self, u: Tensor) -> Tensor:
            return u.log()

    class Model(Classifier):
        def read(self, x: Tensor) -> Tensor:
            return self.head(self.block(above_zero(x)).exp().mean(1)[:, :4])  # type: ignore[no-any-return]

    model = Model(InLogSpace()).eval()
    with pytest.raises(seqlrp.errors.OptionError, match="'block' returns the logarithm"):
        seqlrp.LRP(model).attribute(IDS, 0, layers=["block"])


def test_a_long_text_in_log_space_stays_finite() -> None:
    """Where z is .5 the weights of 2,000 words are below the smallest float32."""
    model = classifier(blocks.LogSpaceMinGRU).float()
    ids = torch.randint(1, 20, (1, 2000), generator=torch.Generator().manual_seed(0))
    found, ledger = seqlrp.LRP(model).attribute(ids, 0, return_ledger=True)
    assert found.isfinite().all()
    assert ledger.residual.abs().max() < 1e-4
