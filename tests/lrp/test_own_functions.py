"""An autograd function of the model's own is explained by its forward pass, or refused."""

# mypy: disable-error-code="no-any-return, no-untyped-call, no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import RefusedFunctionError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
Step = Callable[[Any, Tensor], Tensor]


def own(forward: Callable[..., Any], *, after: Callable[..., None] | None = None) -> Any:
    """An autograd function with a forward pass, and a backward pass that gives nothing right."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            result = forward(*args)
            if after is not None:
                after(ctx, args, result)
            return result

        @staticmethod
        def backward(ctx, *gradients):
            return tuple(g * 1000 for g in gradients)[:1] * 2

    return lambda *args: Own.apply(*args)


class Model(nn.Module):
    def __init__(self, step: Step) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.lin, self.other = nn.Embedding(12, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.fc, self.step = nn.Linear(3, 2), step
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        return self.fc(self.step(torch.tanh(self.lin(x)), torch.sigmoid(self.other(x))).sum(1))


def relevance(step: Step, epsilon: float = 0.01) -> Tensor:
    lrp = seqlrp.LRP(Model(step), epsilon)
    found, ledger = lrp.attribute(IDS, "all", return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
    torch.testing.assert_close(lrp.attribute(IDS, "all"), found, rtol=0, atol=1e-15)
    return found


def product(x: Tensor, z: Tensor) -> Tensor:
    return x * z


def in_place(x: Tensor, z: Tensor) -> Tensor:
    y = x * z
    y.add_(x).mul_(z)
    return y


def through_views(x: Tensor, z: Tensor) -> Tensor:
    """A scan over pairs of steps, in place: h_1 = z_1 · x_0 + x_1."""
    y, k = x.clone(), z.clone()
    pairs, kept = y.view(len(x), -1, 2, 3), k.view(len(x), -1, 2, 3)
    pairs[:, :, 1].add_(kept[:, :, 1].mul(pairs[:, :, 0]))
    kept[:, :, 1].mul_(kept[:, :, 0])
    return y.transpose(0, 1).transpose(0, 1) * k


def by_assignment(x: Tensor, z: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        y[:, t] = x[:, t] * z[:, t]
    return y


def of_two(x: Tensor, z: Tensor) -> Tensor:
    return x * z + x.flip(1)


FOLLOWED: dict[str, tuple[Step, Step]] = {
    "a product": (own(product), product),
    "in place": (own(in_place), in_place),
    "a view of its input": (own(lambda x, z: x.view_as(x)), lambda x, z: x),
    "its input itself": (own(lambda x, z: x), lambda x, z: x),
    "one inside of another": (own(lambda x, z: own(product)(x, z)), product),
    "assigned": (own(by_assignment), by_assignment),
    "one after the other": (
        lambda x, z: own(product)(own(of_two)(x, z), z), lambda x, z: of_two(x, z) * z
    ),
    "two results": (
        lambda x, z: torch.add(*own(lambda x, z: (x * z, x + x))(x, z)),
        lambda x, z: x * z + (x + x),
    ),
    "changed under another name": (
        own(lambda x, z: _doubled_by_a_view(x * z)), lambda x, z: x * z * 2
    ),
    "a gate": (lambda x, z: x * own(lambda z, x: z * z)(z, x), lambda x, z: x * (z * z)),
    "used twice": (lambda x, z: _twice(own(product)(x, z)), lambda x, z: _twice(x * z)),
    "a view of its result changed": (
        lambda x, z: _first_doubled(own(product)(x, z)), lambda x, z: _first_doubled(x * z)
    ),
}  # fmt: skip


def _twice(y: Tensor) -> Tensor:
    return y + torch.tanh(y)


def _first_doubled(y: Tensor) -> Tensor:
    first = y[:, 0]
    first.mul_(2)
    return y


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_backward_pass_of_its_author_is_not_used(name: str) -> None:
    step, plain = FOLLOWED[name]
    try:
        found = relevance(step)
    except RefusedFunctionError:
        assert name == "a view of its result changed"
        return
    torch.testing.assert_close(found, relevance(plain), rtol=1e-12, atol=1e-14)


def test_a_scan_in_place_through_views_is_that_of_its_steps() -> None:
    def steps(x: Tensor, z: Tensor) -> Tensor:
        y = [x[:, 0], z[:, 1] * x[:, 0] + x[:, 1], x[:, 2], z[:, 3] * x[:, 2] + x[:, 3]]
        k = [z[:, 0], z[:, 1] * z[:, 0], z[:, 2], z[:, 3] * z[:, 2]]
        return torch.stack(y, 1) * torch.stack(k, 1)

    for gate in (lambda z: z, lambda z: torch.exp(-z)):  # with a graph, and without
        found = relevance(lambda x, z, gate=gate: own(through_views)(x, gate(z)), 0.0)
        expect = relevance(lambda x, z, gate=gate: steps(x, gate(z)), 0.0)
        torch.testing.assert_close(found, expect, rtol=1e-12, atol=1e-14)


def test_it_may_make_the_scores() -> None:
    class Scores(Model):
        def forward(self, ids: Tensor) -> Tensor:
            x = torch.tanh(self.lin(self.emb(ids))).sum(1)
            return own(lambda x, w: x @ w.T)(x, self.fc.weight)

    class Plain(Model):
        def forward(self, ids: Tensor) -> Tensor:
            return torch.tanh(self.lin(self.emb(ids))).sum(1) @ self.fc.weight.T

    found, expect = (seqlrp.LRP(make(product)).attribute(IDS, 0) for make in (Scores, Plain))
    torch.testing.assert_close(found, expect, rtol=1e-12, atol=1e-14)


REFUSED: dict[str, Step] = {
    "not differentiable": own(
        product, after=lambda ctx, args, y: ctx.mark_non_differentiable(y)
    ),
    "changed afterwards": lambda x, z: own(product)(x, z).mul_(2),
    "its input changed": own(
        lambda x, z: x.mul_(z), after=lambda ctx, args, y: ctx.mark_dirty(args[0])
    ),
    "by way of NumPy": own(lambda x, z: torch.from_numpy(x.numpy() * 2)),
    "without torch functions": own(lambda x, z: _unseen(x)),
}  # fmt: skip


def _doubled_by_a_view(y: Tensor) -> Tensor:
    y.view(-1).mul_(2)
    return y


def _unseen(x: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return x * 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_refused(name: str) -> None:
    with pytest.raises(RefusedFunctionError):
        relevance(REFUSED[name])
