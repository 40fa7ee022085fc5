"""A function has many spellings, and a signal must not vanish in any: right, or refused."""

# ruff: noqa: E501 - the spellings are tables, a line each
# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type, assignment"
# mypy: disable-error-code="call-overload, call-arg, attr-defined, override"

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from samples.functional_classifier import EPSILON, IDS, C, Classifier, H, V, build, explain
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import SeqlrpError
from seqlrp.lrp import Attribution


def attempt(write: Callable[[Classifier, Tensor], Any], account: bool) -> Attribution | None:
    """What is found, or None if it is refused with a sentence."""
    try:
        return seqlrp.LRP(build(write), EPSILON).attribution(IDS, 1, account=account)
    except SeqlrpError as error:
        sentence = str(error)
    assert len(sentence) > 40
    return None


# A signal never vanishes: right, or refused


def canonical(m: Classifier, ids: Tensor) -> Tensor:
    return m.head(torch.tanh(m.last(ids)))


def tanh_of(change: Callable[[Classifier, Tensor], Tensor]) -> Callable[[Classifier, Tensor], Any]:
    return lambda m, ids: m.head(change(m, m.last(ids)))


def in_a_thread(m: Classifier, h: Tensor) -> Tensor:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.tanh(h)))
    thread.start()
    thread.join()
    return found[0]


def unseen(m: Classifier, h: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return torch.tanh(h)


def in_inference_mode(m: Classifier, h: Tensor) -> Tensor:
    with torch.inference_mode():
        y = torch.tanh(h)
    return y.clone()


def without_gradients(m: Classifier, h: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.tanh(h)


class StraightThrough(torch.autograd.Function):
    """A user's own backward, which is a gradient's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


VANISHING: dict[str, Callable[[Classifier, Tensor], Tensor]] = {
    "another thread": in_a_thread,
    "torch functions disabled": unseen,
    "inference mode": in_inference_mode,
    "no_grad": without_gradients,
    "a function of the user's own": lambda m, h: StraightThrough.apply(h),
    "vmap": lambda m, h: torch.vmap(torch.tanh)(h),
    "detach": lambda m, h: h.detach().tanh(),
    "data": lambda m, h: torch.tanh(h.data),
    "a parameter": lambda m, h: nn.Parameter(h).tanh(),
    "checkpoint": lambda m, h: torch.utils.checkpoint.checkpoint(
        torch.tanh, h, use_reentrant=False
    ),
    "aten": lambda m, h: torch.ops.aten.tanh(h),
    "functional_call": lambda m, h: torch.func.functional_call(nn.Tanh(), {}, (h,)),
    "as_subclass": lambda m, h: h.as_subclass(type("Mine", (Tensor,), {})).tanh(),
    "out=": lambda m, h: torch.tanh(h, out=torch.empty_like(h)),
    "a legacy constructor": lambda m, h: torch.Tensor(h.double()).tanh(),
    "copy_": lambda m, h: torch.empty_like(h).copy_(h).tanh(),
    "fill by index": lambda m, h: h.new_zeros(h.shape).index_copy_(0, torch.arange(len(h)), h).tanh(),
    "scatter": lambda m, h: h.new_zeros(h.shape).scatter(
        1, torch.arange(H).expand(len(h), -1), h
    ).tanh(),
    "index_put": lambda m, h: h.new_zeros(h.shape).index_put((torch.arange(len(h)),), h).tanh(),
    "index_put_": lambda m, h: h.new_zeros(h.shape).index_put_((torch.arange(len(h)),), h).tanh(),
    "index_add_": lambda m, h: h.new_zeros(h.shape).index_add_(0, torch.arange(len(h)), h).tanh(),
    "deepcopy": lambda m, h: __import__("copy").deepcopy(h.detach()).tanh(),
}  # fmt: skip


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a signal"])
@pytest.mark.parametrize("account", [False, True], ids=["no ledger", "ledger"])
@pytest.mark.parametrize("name", VANISHING)
@pytest.mark.filterwarnings("ignore")
def test_a_signal_never_vanishes(name: str, account: bool, beside: bool) -> None:
    change = VANISHING[name]
    expected: Any = (lambda m, h: h.tanh()) if not beside else (lambda m, h: h.tanh() + h)
    write: Any = change if not beside else (lambda m, h: change(m, h) + h)
    found = attempt(tanh_of(write), account)
    if found is None:
        return
    expect = seqlrp.LRP(build(tanh_of(expected)), EPSILON).attribution(IDS, 1)
    torch.testing.assert_close(found.relevance, expect.relevance, rtol=0, atol=1e-12)
    if found.ledger is not None:
        assert found.ledger.residual.abs().max() < 1e-12


# A function has many spellings: each equal, or refused


SPELLINGS: dict[str, tuple[Callable[..., Any], list[Callable[..., Any]]]] = {
    "mean": (
        lambda m, i: m.head(m.out(i).mean(1)),
        [
            lambda m, i: m.head(torch.mean(input=m.out(i), dim=1)),
            lambda m, i: m.head(torch.mean(m.out(i), axis=1)),
            lambda m, i: m.head(m.out(i).mean(dim=(-2,))),
            lambda m, i: m.head(m.out(i).mean(1, keepdim=True).squeeze(dim=1)),
            lambda m, i: m.head(m.out(i).sum(dim=1) / i.size(1)),
            lambda m, i: m.head(torch.sum(input=m.out(i), dim=[1]).div(6)),
            lambda m, i: m.head(torch.div(input=m.out(i).sum(1), other=6)),
            lambda m, i: m.head(torch.div(m.out(i).sum(1), other=6)),
            lambda m, i: m.head(1 / 6 * m.out(i).sum(1)),
            lambda m, i: m.head(torch.mul(input=m.out(i).sum(1), other=1 / 6)),
            lambda m, i: m.head(m.out(i).sum(1).true_divide(6)),
            lambda m, i: m.head(torch.stack(tensors=m.out(i).unbind(1), dim=1).mean(1)),
            lambda m, i: m.head(torch.cat(tensors=[m.out(i)[:, :3], m.out(i)[:, 3:]], dim=1).mean(1)),
            lambda m, i: m.head(torch.concat((m.out(i)[:, :3], m.out(i)[:, 3:]), axis=1).mean(1)),
            lambda m, i: m.head(torch.hstack([m.out(i)[:, :3], m.out(i)[:, 3:]]).mean(1)),
            lambda m, i: m.head(nn.Identity()(nn.Flatten(0, 1)(m.out(i))).unflatten(0, (-1, 6)).mean(1)),
            lambda m, i: m.head(m.out(i)[..., None, :].mean(1).squeeze(1)),
            lambda m, i: m.head(m.out(i)[None][0].mean(1)),
            lambda m, i: m.head(m.out(i)[:, torch.arange(6)].mean(1)),
            lambda m, i: m.head(m.out(i)[i >= 0].view(len(i), 6, H).mean(1)),
            lambda m, i: m.head(m.out(i).flip(1).mean(1)),
            lambda m, i: m.head(m.out(i).flip(dims=(1,)).mean(1)),
            lambda m, i: m.head(torch.flip(input=m.out(i), dims=[1]).mean(1)),
            lambda m, i: m.head(m.out(i).roll(2, 1).mean(1)),
            lambda m, i: m.head(torch.reshape(input=m.out(i).mean(1), shape=(len(i), H))),
            lambda m, i: m.head(m.out(i).mean(1).reshape((len(i), -1))),
            lambda m, i: m.head(torch.transpose(input=m.out(i), dim0=0, dim1=1).mean(0)),
            lambda m, i: m.head(m.out(i).permute(dims=(1, 0, 2)).mean(0)),
            lambda m, i: m.head(m.out(i).where((i > 0).unsqueeze(-1), torch.zeros(1).double()).mean(1)),
            lambda m, i: m.head(torch.where((i > 0)[..., None], input=m.out(i), other=0.0).mean(1)),
            lambda m, i: m.head(torch.masked_fill(input=m.out(i), mask=(i < 0)[..., None], value=0).mean(1)),
            lambda m, i: m.head(m.out(i).masked_fill((i < 0)[..., None], torch.tensor(0.0).double()).mean(1)),
            lambda m, i: m.head(F.adaptive_avg_pool1d(m.out(i).mT, 1).squeeze(2)),
            lambda m, i: m.head(torch.index_select(input=m.out(i), dim=1, index=torch.arange(6)).mean(1)),
            lambda m, i: m.head(m.out(i).contiguous().view(m.out(i).shape).clone().mean(1)),
            lambda m, i: m.head(m.out(i).expand_as(m.out(i)).view_as(m.out(i)).reshape_as(m.out(i)).mean(1)),
        ],
    ),
    "linear": (
        lambda m, i: m.head(m.last(i)),
        [
            lambda m, i: F.linear(input=m.last(i), weight=m.head.weight, bias=m.head.bias),
            lambda m, i: F.linear(bias=m.head.bias, weight=m.head.weight, input=m.last(i)),
            lambda m, i: torch.matmul(input=m.last(i), other=m.head.weight.T) + m.head.bias,
            lambda m, i: torch.matmul(other=m.head.weight.T, input=m.last(i)) + m.head.bias,
            lambda m, i: torch.mm(mat2=m.head.weight.T, input=m.last(i)) + m.head.bias,
            lambda m, i: m.head.bias + m.last(i).mm(m.head.weight.T),
            lambda m, i: m.last(i).__matmul__(m.head.weight.T).__radd__(m.head.bias),
            lambda m, i: m.head.weight.T.__rmatmul__(m.last(i)) + m.head.bias,
            lambda m, i: torch.add(input=m.last(i) @ m.head.weight.T, other=m.head.bias),
            lambda m, i: torch.add(other=m.head.bias, input=m.last(i) @ m.head.weight.T),
            lambda m, i: torch.add(m.last(i) @ m.head.weight.T, m.head.bias, alpha=1),
            lambda m, i: torch.add(m.last(i) @ m.head.weight.T, m.head.bias / 2, alpha=2),
            lambda m, i: torch.sub(input=m.last(i) @ m.head.weight.T, other=-m.head.bias),
            lambda m, i: torch.sub(m.last(i) @ m.head.weight.T, -m.head.bias / 2, alpha=2),
            lambda m, i: torch.rsub(-m.head.bias, m.last(i) @ m.head.weight.T),
            lambda m, i: m.head.bias - (-(m.last(i) @ m.head.weight.T)),
            lambda m, i: torch.addmm(m.head.bias, m.last(i), m.head.weight.T),
            lambda m, i: torch.addmm(input=m.head.bias, mat1=m.last(i), mat2=m.head.weight.T),
            lambda m, i: torch.addmm(m.head.bias, m.last(i), m.head.weight.T, beta=1, alpha=1),
            lambda m, i: m.head.bias.expand(len(i), -1).addmm(m.last(i), m.head.weight.T),
            lambda m, i: torch.einsum("bh,ch->bc", m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.einsum("bh,ch", [m.last(i), m.head.weight]) + m.head.bias,
            lambda m, i: torch.einsum("...h,ch->...c", m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.bmm(input=m.last(i).unsqueeze(1), mat2=m.head.weight.T.expand(len(i), H, C))[:, 0] + m.head.bias,
            lambda m, i: torch.stack([torch.mv(m.head.weight, h) + m.head.bias for h in m.last(i)]),
            lambda m, i: torch.stack([torch.addmv(m.head.bias, m.head.weight, h) for h in m.last(i)]),
            lambda m, i: torch.baddbmm(m.head.bias.expand(len(i), 1, C), m.last(i).unsqueeze(1), m.head.weight.T.expand(len(i), H, C)).squeeze(1),
            lambda m, i: torch.stack([m.head(h) for h in m.last(i)]),
            lambda m, i: torch.cat([m.head(m.last(i)[:, None])[b] for b in range(len(i))]),
            lambda m, i: torch.inner(m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.tensordot(m.last(i), m.head.weight, dims=([1], [1])) + m.head.bias,
        ],
    ),
    "activation": (
        lambda m, i: m.head(F.relu(m.lin(m.emb(i)).mean(1))),
        [
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).relu()),
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).relu_()),
            lambda m, i: m.head(torch.relu_(m.lin(m.emb(i)).mean(1))),
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.lin(m.emb(i)).mean(1))),
            lambda m, i: m.head(F.relu(input=m.lin(m.emb(i)).mean(1), inplace=False)),
            lambda m, i: m.head(F.relu(m.lin(m.emb(i)).mean(1), inplace=True)),
            lambda m, i: m.head(F.leaky_relu(m.lin(m.emb(i)).mean(1), negative_slope=0.0)),
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).clamp(min=0)),
            lambda m, i: m.head(torch.clamp_min(m.lin(m.emb(i)).mean(1), 0)),
            lambda m, i: m.head(torch.max(m.lin(m.emb(i)).mean(1), torch.zeros(H).double())),
            lambda m, i: m.head(torch.maximum(m.lin(m.emb(i)).mean(1), torch.zeros(H).double())),
            lambda m, i: (lambda h: m.head(torch.where(h > 0, h, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.where(h > 0, torch.zeros_like(h))))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h * (h > 0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head((h > 0).double() * h))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.masked_fill(h < 0, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.masked_fill_(h < 0, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: (h.__setitem__(h < 0, 0.0), m.head(h))[1])(m.lin(m.emb(i)).mean(1)),
        ],
    ),
    "relu of a view": (
        lambda m, i: m.head(F.relu(m.last(i))),
        [
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.last(i))),
            lambda m, i: m.head(m.last(i).relu_()),
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.lstm(m.emb(i))[1][0][-1])),
        ],
    ),
    "residual": (
        lambda m, i: (lambda x: m.head((x + torch.tanh(x)).mean(1)))(m.lin(m.emb(i))),
        [
            lambda m, i: (lambda x: m.head((torch.tanh(x) + x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.add(input=x, other=x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.add(other=x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.add(x, x.tanh(), alpha=1.0).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head((x - -x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.rsub(-x.tanh(), x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.clone().add_(x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.tanh().add_(x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x, y: m.head(y.__iadd__(x).mean(1)))(*(lambda x: (x, x.tanh()))(m.lin(m.emb(i)))),
            lambda m, i: (lambda x: m.head((x + 1.0 * x.tanh()).mean(1)))(m.lin(m.emb(i))),
        ],
    ),
    "maximum": (
        lambda m, i: m.head(m.out(i).max(1).values),
        [
            lambda m, i: m.head(m.out(i).max(dim=1)[0]),
            lambda m, i: m.head(torch.max(input=m.out(i), dim=1)[0]),
            lambda m, i: m.head(torch.max(m.out(i), 1, True)[0].squeeze(1)),
            lambda m, i: m.head(torch.amax(input=m.out(i), dim=(1,))),
            lambda m, i: m.head(m.out(i).amax(-2)),
            lambda m, i: m.head(nn.MaxPool1d(6)(m.out(i).mT).squeeze(2)),
            lambda m, i: m.head(F.max_pool1d(m.out(i).mT, kernel_size=6).squeeze(-1)),
            lambda m, i: m.head(nn.AdaptiveMaxPool1d(1)(m.out(i).mT).squeeze(-1)),
            lambda m, i: m.head(m.out(i).topk(k=1, dim=1).values.squeeze(1)),
            lambda m, i: m.head(torch.sort(m.out(i), 1)[0][:, -1]),
            lambda m, i: m.head(m.out(i).sort(dim=1, descending=True).values[:, 0]),
            lambda m, i: m.head(-(-m.out(i)).min(1).values),
            lambda m, i: (lambda o: m.head(o.gather(1, o.argmax(1, keepdim=True))[:, 0]))(m.out(i)),
            lambda m, i: m.head(torch.max(m.out(i)[:, :3], m.out(i)[:, 3:]).max(1).values),
        ],
    ),
    "embedding": (
        lambda m, i: m.head(m.lstm(m.emb(i))[0][:, -1]),
        [
            lambda m, i: m.head(m.lstm(F.embedding(input=i, weight=m.emb.weight))[0][:, -1]),
            lambda m, i: m.head(m.lstm(F.embedding(weight=m.emb.weight, input=i, padding_idx=0))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.embedding(m.emb.weight, i))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.t().contiguous()).transpose(0, 1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.flatten()).view(*i.shape, -1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.stack([m.emb(i[:, t]) for t in range(i.shape[1])], 1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.cat([m.emb(r[None]) for r in i]))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.int().long().clone().clamp(0, V - 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(torch.where(i < V, i, 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.masked_fill(i >= V, 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(F.pad(i, (1, 0)))[:, 1:])[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.flip(1)).flip([1]))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i)[list(range(len(i)))[::-1]].flip([0]))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(torch.unique(i, return_inverse=True)[0])[torch.unique(i, return_inverse=True)[1]])[0][:, -1]),
        ],
    ),
}  # fmt: skip
EACH = [
    pytest.param(first, other, id=f"{name}-{k}")
    for name, (first, others) in SPELLINGS.items()
    for k, other in enumerate(others)
]


@cache
def expected(first: Any, begin: int, end: int) -> Any:
    """What is found in some of the texts for the first spelling, with which all others compare."""
    return explain(first, IDS[begin:end])


@pytest.mark.parametrize(("first", "other"), EACH)
def test_every_spelling_is_equal_or_refused(first: Any, other: Any) -> None:
    assert torch.allclose(build(first)(IDS), build(other)(IDS))
    found = attempt(other, account=True)
    if found is None:
        return
    expect, account = expected(first, 0, len(IDS))
    torch.testing.assert_close(found.relevance, expect, rtol=0, atol=1e-12)
    assert found.ledger is not None
    torch.testing.assert_close(
        found.ledger.total("stabiliser"), account.total("stabiliser"), rtol=0, atol=1e-12
    )
    assert found.ledger.residual.abs().max() < 1e-12
    lrp = seqlrp.LRP(build(other), EPSILON, verify=False)  # which `attempt` has done
    for text in (0, 2):  # a batch of one
        alone, _ = lrp.attribute(IDS[text : text + 1], target=1, return_ledger=True)
        expect, _ = expected(first, text, text + 1)
        torch.testing.assert_close(alone, expect, rtol=0, atol=1e-12)


# These are common enough that a refusal would be wrong.
COMMON = [
    *(SPELLINGS["mean"][1][k] for k in (0, 2, 4, 5, 20, 21)),
    *SPELLINGS["linear"][1][:3], SPELLINGS["linear"][1][16],
    *SPELLINGS["activation"][1][:6], SPELLINGS["activation"][1][7],
    *SPELLINGS["relu of a view"][1],
    *SPELLINGS["residual"][1],
    *SPELLINGS["maximum"][1][:8],
    *SPELLINGS["embedding"][1][:6],
]  # fmt: skip


@pytest.mark.parametrize("write", COMMON)
def test_common_spellings_are_not_refused(write: Any) -> None:
    explain(write)


# Written in place through views


def test_a_base_read_after_a_view_was_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        out = m.out(ids)
        out[:, 0].mul_(2.0)
        return m.head(out.sum(1))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        out = m.out(ids)
        return m.head(torch.cat([out[:, :1] * 2.0, out[:, 1:]], 1).sum(1))

    equal_or_refused(write, plain)


def test_a_view_read_after_its_base_was_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).clone()
        first = h[:, :]
        h.tanh_()
        return m.head(first)

    equal_or_refused(write, canonical)


def test_a_view_of_a_gate_that_is_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gates = torch.sigmoid(m.w * h)
        gates[:, :2] *= 0.5
        return m.head(gates * h)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gates = torch.sigmoid(m.w * h)
        return m.head(torch.cat([gates[:, :2] * 0.5, gates[:, 2:]], 1) * h)

    equal_or_refused(write, plain)


def test_a_view_of_a_pre_activation_that_is_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        z[:, :2].tanh_()
        return m.head(z)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        return m.head(torch.cat([z[:, :2].tanh(), z[:, 2:]], 1))

    equal_or_refused(write, plain)


def test_a_buffer_of_constants_filled_step_by_step() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        out = torch.zeros(len(ids), ids.shape[1], H, dtype=torch.float64)
        for t, h in enumerate(m.lin(m.emb(ids)).unbind(1)):
            out[:, t] = h
        return m.head(out.tanh().mean(1))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(m.lin(m.emb(ids)).tanh().mean(1))

    relevance, ledger = explain(write)
    torch.testing.assert_close(relevance, explain(plain)[0], rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


def test_a_buffer_beside_the_signal_that_fills_it() -> None:
    # If the buffer lost the signal, the ledger alone would tell.
    def write(m: Classifier, ids: Tensor) -> Tensor:
        x = m.lin(m.emb(ids))
        out = torch.zeros(x.shape, dtype=torch.float64)
        out[:, :3] = x[:, :3]
        out[:, 3:] = x[:, 3:]
        return m.head((out.tanh() + x).mean(1))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        x = m.lin(m.emb(ids))
        return m.head((x.tanh() + x).mean(1))

    equal_or_refused(write, plain)


def test_a_pre_activation_that_is_read_before_it_is_written_over() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        y = torch.tanh(z)
        z.mul_(0.0)
        return m.head(y + z)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        return m.head(torch.tanh(z) + z * 0.0)

    equal_or_refused(write, plain)


def test_a_gate_that_is_written_over_after_it_was_used() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gate = torch.sigmoid(m.w * h)
        y = gate * h
        gate.zero_()
        return m.head(y)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        return m.head(torch.sigmoid(m.w * h) * h)

    equal_or_refused(write, plain)


def test_a_signal_that_is_squared_in_place() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).tanh()
        return m.head(h.mul_(h))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).tanh()
        return m.head(h * h)

    equal_or_refused(write, plain)


def equal_or_refused(write: Any, plain: Any) -> None:
    assert torch.allclose(build(write)(IDS), build(plain)(IDS))
    for account in (True, False):
        found = attempt(write, account)
        if found is None:
            continue
        expect = seqlrp.LRP(build(plain), EPSILON).attribute(IDS, 1)
        torch.testing.assert_close(found.relevance, expect, rtol=0, atol=1e-12)
        if found.ledger is not None:
            assert found.ledger.residual.abs().max() < 1e-12
