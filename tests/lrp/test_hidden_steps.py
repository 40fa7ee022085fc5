"""Steps that are spelt or hidden in unusual ways: explained, or refused in a sentence."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import ModelError, ProbabilityError, RefusedFunctionError, TrainingModeError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
Step = Callable[[Any, Tensor], Tensor]


class Model(nn.Module):
    def __init__(self, step: Step) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.lin, self.fc = nn.Embedding(12, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.cell, self.step = nn.GRUCell(3, 3), step
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.step(self, self.emb(ids)))


def relevance(step: Step) -> Tensor:
    found, ledger = seqlrp.LRP(Model(step), 0.0).attribute(IDS, 0, return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
    return found


def rows_written_back(m: Model, x: Tensor) -> Tensor:
    h = torch.zeros(len(x), 3, dtype=x.dtype)
    for t in range(x.shape[1]):
        n = len(x) - (t > 2)
        h[0:n] = m.cell(x[:n, t], h[0:n])
    return h


def rows_joined(m: Model, x: Tensor) -> Tensor:
    h = torch.zeros(len(x), 3, dtype=x.dtype)
    for t in range(x.shape[1]):
        n = len(x) - (t > 2)
        h = torch.cat([m.cell(x[:n, t], h[:n]), h[n:]])
    return h


def unused_random_numbers(m: Model, x: Tensor) -> Tensor:
    torch.rand_like(x)
    torch.randn(3)
    return m.lin(x).sum(1)


@torch.no_grad()
def doubled_in_place(m: Model, x: Tensor) -> Tensor:
    y = torch.tanh(m.lin(x))
    torch.mul(y, 2.0, out=y)
    return torch.sigmoid(y, out=torch.empty(0, dtype=y.dtype)) * m.lin(x).amax(2, keepdim=True)


@torch.no_grad()
def largest_in_a_pair(m: Model, x: Tensor) -> Tensor:
    x = m.lin(x)
    out = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0], dtype=torch.int64)
    torch.max(x, 1, out=out)
    return out[0]


@pytest.mark.parametrize(
    ("step", "same"),
    [
        (
            lambda m, x: doubled_in_place(m, x).sum(1),
            lambda m, x: (
                torch.sigmoid(torch.tanh(m.lin(x)) * 2.0) * m.lin(x).amax(2, keepdim=True)
            ).sum(1),
        ),
        (largest_in_a_pair, lambda m, x: m.lin(x).max(1).values),
        (
            lambda m, x: m.lin(x).sum(axis=1, keepdims=True).squeeze(1),
            lambda m, x: m.lin(x).sum(1),
        ),
        (lambda m, x: x.amax(axis=1, keepdims=True).squeeze(1), lambda m, x: x.amax(1)),
        (
            lambda m, x: torch.stack([*reversed(m.lin(x).transpose(0, 1))])[0],
            lambda m, x: m.lin(x)[:, -1],
        ),
        (rows_written_back, rows_joined),
        (unused_random_numbers, lambda m, x: m.lin(x).sum(1)),
    ],
)
def test_two_spellings_have_one_answer(step: Step, same: Step) -> None:
    torch.testing.assert_close(relevance(step), relevance(same), rtol=0, atol=1e-14)


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Tensor:
        return gamma


def replaced_storage(m: Model, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.set_(m.lin(x))
    return y.sum(1)


@torch.no_grad()
def replaced_signal(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.set_(y.flip(1).clone())
    return (y * torch.arange(4).unsqueeze(1)).sum(1)


@torch.no_grad()
def gate_replaced_by_a_signal(m: Model, x: Tensor) -> Tensor:
    gate = torch.softmax(m.lin(x), 1)
    gate.set_(m.lin(x).detach())
    return (gate * x).sum(1)


def data_of_a_signal(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.data = y.flip(1)
    return (y * torch.arange(4).unsqueeze(1)).sum(1)


def sparse(m: Model, x: Tensor) -> Tensor:
    return torch.stack([torch.eye(4, dtype=x.dtype).to_sparse() @ row for row in x]).sum(1)


@pytest.mark.parametrize(
    "step",
    [
        lambda m, x: (_Doubled.apply(x) + x).sum(1),
        replaced_storage,
        replaced_signal,
        gate_replaced_by_a_signal,
        data_of_a_signal,
        sparse,
        lambda m, x: (x + torch.rand_like(x)).sum(1),
    ],
)
def test_what_is_hidden_is_refused(step: Step) -> None:
    with pytest.raises(ModelError):
        seqlrp.LRP(Model(step)).attribute(IDS, 0)


def test_dropout_that_is_always_on_is_named_as_such() -> None:
    with pytest.raises(TrainingModeError, match=r"self\.training"):
        seqlrp.LRP(Model(lambda m, x: F.dropout(x, training=True).sum(1))).attribute(IDS, 0)


def test_a_parametrised_module_has_no_mode() -> None:
    model = Model(lambda m, x: m.lin(x).sum(1))
    expect = seqlrp.LRP(model).attribute(IDS, 0)
    nn.utils.parametrizations.weight_norm(model.lin)  # in training mode, as nobody asked
    torch.testing.assert_close(seqlrp.LRP(model).attribute(IDS, 0), expect)


class Chosen(Model):
    """A mixture of experts: each word goes to one of two, chosen by its id."""

    def forward(self, ids: Tensor) -> Tensor:
        x, y = self.emb(ids), torch.zeros(*ids.shape, 3, dtype=torch.float64)
        for kind, expert in ((ids > 5, self.lin), (ids <= 5, torch.neg)):
            y[kind] = expert(x[kind])
        return self.fc(y.sum(1))


def test_words_that_are_written_where_their_ids_choose_are_signals() -> None:
    model = Chosen(lambda m, x: x)
    relevance, ledger = seqlrp.LRP(model, 0.0).attribute(IDS, 0, return_ledger=True)
    with torch.no_grad():
        x, weight = model.emb(IDS), model.fc.weight[0]
        kept = torch.where((IDS > 5).unsqueeze(-1), x @ model.lin.weight.T, -x) @ weight
    torch.testing.assert_close(relevance, kept, rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


@pytest.mark.parametrize("layer", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("account", [False, True])
def test_a_part_changed_in_place_goes_into_a_recurrence(layer: Any, account: bool) -> None:
    torch.manual_seed(0)
    recurrence = layer(3, 3, batch_first=True).double().eval()

    def written(m: Model, x: Tensor) -> Tensor:
        x[:, 0].zero_()
        x[:, 1].mul_(2)
        return recurrence(x)[0][:, -1]

    def scaled(m: Model, x: Tensor) -> Tensor:
        return recurrence(x * torch.tensor([0.0, 2, 1, 1], dtype=x.dtype).unsqueeze(1))[0][:, -1]

    found, expect = (
        seqlrp.LRP(Model(step), 0.0).attribution(IDS, 0, account=account)
        for step in (written, scaled)
    )
    torch.testing.assert_close(found.relevance, expect.relevance, rtol=0, atol=1e-12)
    assert found.ledger is None or found.ledger.residual.abs().max() < 1e-12


def nested(m: Model, x: Tensor) -> Tensor:
    rows = torch.nested.nested_tensor(list(x))
    return torch.nested.to_padded_tensor(rows, 0.0).sum(1)


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (
            lambda m, x: (x / x.abs().clamp_min(1e-6)).sum(1),
            r"clamp_min.*bounds are numbers about 0",
        ),
        (nested, "a nested tensor cannot be followed"),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_refusal_names_what_to_do(step: Step, sentence: str) -> None:
    with pytest.raises(RefusedFunctionError, match=sentence):
        seqlrp.LRP(Model(step)).attribute(IDS, 0)


def test_a_sum_of_log_probabilities_is_refused_as_what_it_is() -> None:
    class LogLikelihood(Model):
        def forward(self, ids: Tensor) -> Tensor:
            return 2 * F.logsigmoid(super().forward(ids)) + 1

    with pytest.raises(ProbabilityError, match=r"what it computes in its last steps.*logsigmoid"):
        seqlrp.LRP(LogLikelihood(lambda m, x: x.sum(1))).attribute(IDS, 0)


def test_a_backward_hook_is_named() -> None:
    model = Model(lambda m, x: x.sum(1))
    handle = model.fc.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RefusedFunctionError, match=r"'fc' has a backward hook.*Remove"):
        seqlrp.LRP(model).attribute(IDS, 0)
    handle.remove()
    seqlrp.LRP(model).attribute(IDS, 0)


def test_a_model_may_scale_its_own_weights() -> None:
    class Normed(Model):
        def forward(self, ids: Tensor) -> Tensor:
            with torch.no_grad():
                self.fc.weight.div_(self.fc.weight.norm(dim=1, keepdim=True))
            return super().forward(ids)

    model = Normed(lambda m, x: x.sum(1))
    with torch.no_grad():
        model(IDS)
    found = seqlrp.LRP(model, 0.0).attribute(IDS, 0)
    with torch.no_grad():
        expect = model.emb(IDS) @ model.fc.weight[0]
    torch.testing.assert_close(found, expect, rtol=0, atol=1e-12)


def test_a_model_may_run_in_inference_mode() -> None:
    class Inferring(Model):
        def forward(self, ids: Tensor) -> Tensor:
            with torch.inference_mode():
                h, _ = self.gru(self.emb(ids.flip(1)))
                return self.fc(h[:, -1])

    model = Inferring(lambda m, x: x)
    model.gru = nn.GRU(3, 3, batch_first=True).double().eval()
    found, ledger = seqlrp.LRP(model).attribute(IDS, 0, return_ledger=True)
    same = Model(lambda m, x: model.gru(x.flip(1))[0][:, -1])
    torch.testing.assert_close(found, seqlrp.LRP(same).attribute(IDS, 0), rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantized_model_in_training_mode_is_told_that_it_is_refused_anyway() -> None:
    model = torch.ao.quantization.quantize_dynamic(
        Model(lambda m, x: x.sum(1)).float(), {nn.Linear}, dtype=torch.qint8
    )
    with pytest.raises(TrainingModeError, match="quantized model is refused"):
        seqlrp.LRP(model.train()).attribute(IDS, 0)
