"""DeepLIFT and DeepSHAP: exact values where they are known, other toolkits, and refusals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from samples import descendants
from samples.classifiers import small_classifier
from samples.examples import examples
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import IdsError, NonFiniteError, OptionError, RefusedFunctionError
from seqlrp.methods import METHODS, DeepLIFT, DeepSHAP

D, T = 4, 3


class Step(nn.Module):
    """A function of vectors `[B, T, D]` as a model with one score or more."""

    def __init__(self, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(D, D).double()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        y = self.step(x)
        return y if y.ndim == 2 else y.flatten(1).sum(1, keepdim=True)


def model(step: Callable[[Tensor], Tensor]) -> nn.Module:
    return Step(step).eval()


def vectors(count: int = 2, seed: int = 0, width: int = D) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, x0 = (torch.randn(count, T, width, generator=g, dtype=torch.float64) for _ in range(2))
    return x, x0


def shapley(score: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor) -> Tensor:
    """Exact Shapley values `[B, T]` of words whose absence is the baseline."""
    words = torch.zeros(x.shape[:2], dtype=x.dtype)
    orders = list(permutations(range(x.shape[1])))
    for order in orders:
        now = x0.clone()
        for t in order:
            before = score(now)
            now[:, t] = x[:, t]
            words[:, t] += (score(now) - before).detach() / len(orders)
    return words


@pytest.mark.parametrize("method", ["deeplift", "deepshap"])
def test_a_linear_model_has_its_shapley_values(method: str) -> None:
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(T * D, 2)).double().eval()
    x, x0 = vectors()
    given = {"baseline": x0} if method == "deeplift" else {"baselines": [x0, "zero"]}
    found = METHODS[method](linear, **given).attribution(x, 0)
    several = [x0] if method == "deeplift" else [x0, torch.zeros_like(x)]
    expect = [shapley(lambda v: linear(v)[:, 0], x, b) for b in several]
    torch.testing.assert_close(found.relevance, torch.stack(expect).mean(0))


@pytest.mark.parametrize(
    "product",
    [
        lambda x: (x[:, 0] * x[:, 1]).sum(1, keepdim=True),
        lambda x: (x[:, :1] @ x[:, 1:2].mT).squeeze(2),
        lambda x: torch.einsum("bd,bd,bd->b", *x.unbind(1)).unsqueeze(1),
        lambda x: x.prod(1).sum(1, keepdim=True),
        lambda x: x.cumprod(1).sum((1, 2))[:, None],
        lambda x: torch.cumprod(x, dim=-1).sum((1, 2))[:, None],
        lambda x: F.bilinear(x[:, 0], x[:, 1], torch.ones(1, D, D, dtype=x.dtype)),
        lambda x: torch.lerp(x[:, 0], x[:, 1], x[:, 2]),
        lambda x: torch.addcmul(x[:, 0], x[:, 1], x[:, 2], value=0.5),
    ],
)
def test_products_of_words_have_their_shapley_values(product: Callable[[Tensor], Tensor]) -> None:
    x, x0 = vectors()
    score = model(product)
    found = DeepLIFT(score, baseline=x0).attribute(x, 0)
    torch.testing.assert_close(found, shapley(lambda v: score(v)[:, 0], x, x0))


# The same step in several ways: exact in all of them, and mostly the same for each word.

MASK = torch.tensor([[True, True, False], [True, True, True]])
SAME: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "softmax": [
        lambda x: torch.softmax(x, 1)[:, 0],
        lambda x: F.softmax(x, dim=1)[:, 0],
        lambda x: (x.exp() / x.exp().sum(1, keepdim=True))[:, 0],
    ],
    "log_softmax": [
        lambda x: x.log_softmax(-1)[..., 0],
        lambda x: (x - x.logsumexp(-1, keepdim=True))[..., 0],
        lambda x: x[..., 0] - x.exp().sum(-1).log(),
    ],
    "masked": [
        lambda x: x.masked_fill(~MASK[..., None], -torch.inf).softmax(1)[:, 0],
        lambda x: (x + torch.zeros(1).double().masked_fill(~MASK[..., None], -torch.inf)).softmax(
            1
        )[:, 0],
    ],
    "maximum": [
        lambda x: x.amax(1),
        lambda x: x.max(1)[0],
        lambda x: -((-x).min(1).values),
        lambda x: F.max_pool1d(x.mT, T).squeeze(2),
        lambda x: F.adaptive_max_pool1d(x.mT, 1).squeeze(2),
    ],
    "running sum": [
        lambda x: x.cumsum(1).flatten(1),
        lambda x: torch.stack([x[:, : t + 1].sum(1) for t in range(T)], 1).flatten(1),
    ],
    "running product": [
        lambda x: x.cumprod(1).flatten(1),
        lambda x: torch.stack([x[:, : t + 1].prod(1) for t in range(T)], 1).flatten(1),
        lambda x: x.mT.cumprod(-1).mT.flatten(1),
    ],
    "running maximum": [
        lambda x: x.cummax(1).values.flatten(1),
        lambda x: torch.stack([x[:, : t + 1].amax(1) for t in range(T)], 1).flatten(1),
        lambda x: -torch.cummin(-x, dim=1)[0].flatten(1),
    ],
    "running logsumexp": [
        lambda x: x.logcumsumexp(1).flatten(1),
        lambda x: torch.stack([x[:, : t + 1].logsumexp(1) for t in range(T)], 1).flatten(1),
        lambda x: torch.logcumsumexp(x.mT, dim=2).mT.flatten(1),
    ],
    "of two": [
        lambda x: torch.maximum(x[:, 0], x[:, 1]),
        lambda x: torch.fmax(x[:, 0], x[:, 1]),
        lambda x: -torch.minimum(-x[:, 0], -x[:, 1]),
        lambda x: x[:, :2].amax(1),
        lambda x: torch.max(x[:, 0], x[:, 1]),
    ],
    "smooth maximum of two": [
        lambda x: torch.logaddexp(x[:, 0], x[:, 1]),
        lambda x: torch.logaddexp(input=x[:, 1], other=x[:, 0]),
        lambda x: x[:, :2].logsumexp(1),
        lambda x: (x[:, 0].exp() + x[:, 1].exp()).log(),
    ],
    "smooth maximum with a constant": [
        lambda x: torch.logaddexp(x, torch.zeros(1, dtype=x.dtype)),
        lambda x: torch.logaddexp(torch.zeros(1, dtype=x.dtype), x),
        lambda x: (x.exp() + 1).log(),
    ],
    "relu": [
        F.relu,
        lambda x: x.clamp(min=0),
        lambda x: torch.maximum(x, torch.zeros_like(x)),
        lambda x: F.relu_(x.clone()),
        lambda x: F.relu(x, inplace=True),
    ],
    "norm": [
        lambda x: x / x.norm(dim=-1, keepdim=True),
        lambda x: F.normalize(x, dim=-1),
        lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True),
        lambda x: x / x.square().sum(-1, keepdim=True).sqrt(),
        lambda x: x / torch.linalg.norm(x, dim=-1, keepdim=True),
    ],
    "layer norm": [
        lambda x: F.layer_norm(x, [D], eps=0.1)[..., 0],
        lambda x: ((x - x.mean(-1, keepdim=True)) / (x.var(-1, False, keepdim=True) + 0.1).sqrt())[
            ..., 0
        ],
        lambda x: F.group_norm(x.flatten(0, 1), 1, eps=0.1).view_as(x)[..., 0],
    ],
    "attention": [
        lambda x: F.scaled_dot_product_attention(x, x, x),
        lambda x: torch.softmax(x @ x.mT / D**0.5, -1) @ x,
        lambda x: torch.einsum("bij,bjd->bid", (x @ x.transpose(1, 2) * 0.5).softmax(2), x),
    ],
    "gated": [
        lambda x: F.glu(x, -1),
        lambda x: x[..., : D // 2] * x[..., D // 2 :].sigmoid(),
        lambda x: torch.special.expit(x[..., D // 2 :]).mul_(x[..., : D // 2]),
    ],
    "one length": [
        lambda x: torch.linalg.vector_norm(x, 1, -1),
        lambda x: x.abs().sum(-1),
    ],
    "spread": [
        lambda x: x.std(-1),
        lambda x: x.var(-1).sqrt(),
        lambda x: (x - x.mean(-1, keepdim=True)).square().sum(-1).div(D - 1).sqrt(),
    ],
    "square": [
        lambda x: x**2,
        lambda x: x * x,
        lambda x: x.square(),
        lambda x: torch.einsum("btd,btd->btd", x, x),
    ],
    "written": [
        lambda x: torch.stack([x[:, 0].tanh(), x[:, 1]], 1),
        lambda x: written_by_steps(x),
        lambda x: written_through_a_view(x),
    ],
}


def written_by_steps(x: Tensor) -> Tensor:
    out = torch.empty(len(x), 2, D, dtype=x.dtype)
    row = out[:, 0]
    out[:, 1] = x[:, 1]
    row.copy_(x[:, 0])
    row.tanh_()
    return out.mul_(1.0)


def written_through_a_view(x: Tensor) -> Tensor:
    x = x[:, :2].clone()
    first = x[:, 0]
    x[:, 0].tanh_()
    torch.testing.assert_close(first.shape, x[:, 1].shape)
    return torch.stack([first, x[:, 1]], 1)


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
@pytest.mark.parametrize("name", SAME)
def test_spellings_agree_and_add_up(name: str, rule: Any) -> None:
    x, x0 = vectors()
    x0 = torch.where(MASK[..., None], x0, x)
    first = None
    for step in SAME[name]:
        score = model(step)
        found = DeepLIFT(score, rule, x0).attribute(x, 0)
        difference = (score(x) - score(x0))[:, 0]
        torch.testing.assert_close(found.sum(1), difference, rtol=1e-12, atol=1e-13)
        # What leads there leads back.
        back = DeepLIFT(score, rule, x).attribute(x0, 0)
        torch.testing.assert_close(back, -found, rtol=1e-11, atol=1e-12)
        first = found if first is None else first
        if rule == "rescale":
            torch.testing.assert_close(found, first, rtol=1e-11, atol=1e-12)
    assert first is not None
    assert first.abs().max() > 1e-2


BLOCKS = [
    descendants.MinGRUScan, descendants.MinGRULogGates, descendants.MinLSTMScan,
    descendants.SLSTMOneTensor, descendants.MLSTMParallel, descendants.RWKV,
    descendants.MambaCumsum, descendants.MambaCumprod, descendants.MambaSegments,
]  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_that_descend_from_the_lstm_add_up(block: Callable[[], nn.Module]) -> None:
    classifier = descendants.classifier(block)
    vectors = classifier.emb(descendants.IDS).detach()
    zero = classifier.read(torch.zeros_like(vectors))
    found = DeepLIFT(classifier, baseline="zero").attribute(descendants.IDS, 1)
    expected = (classifier(descendants.IDS) - zero)[:, 1]
    torch.testing.assert_close(found.sum(1), expected, rtol=1e-9, atol=1e-12)


def test_running_logsumexp_far_apart_stays_finite() -> None:
    # A running sum of exponentials that are shifted by the largest would be 0 in the first row.
    x = torch.tensor([[[-900.0], [1.0], [900.0]]], dtype=torch.float64)
    score = model(lambda x: x.logcumsumexp(1).squeeze(2))
    found = DeepLIFT(score, baseline=x - 1).attribute(x, 0)
    torch.testing.assert_close(found.sum(1), (score(x) - score(x - 1))[:, 0])
    assert found[0, 0].abs() > 1e-2


def test_softmax_far_apart_stays_bounded() -> None:
    # A quotient by the sum of the reference would be 1e300 times too large here.
    x = torch.tensor([[[700.0], [690.0], [1.0]]], dtype=torch.float64)
    score = model(lambda v: torch.softmax(v, 1)[:, 0])
    found = DeepLIFT(score, baseline="zero").attribute(x, 0)
    torch.testing.assert_close(found.sum(1), (score(x) - score(x * 0))[:, 0].detach())
    assert found.abs().max() < 3


OFFSETS = torch.tensor([0.5, -0.2, 0.3, -0.4], dtype=torch.float64)


def test_changes_behind_a_view_drop_what_was_known_of_the_parts() -> None:
    def step(m: Any, x: Tensor) -> Tensor:
        z = m.fc(x)
        z[..., :2].mul_(3.0)  # the parts of z are no longer those of the map
        return z.tanh()

    score = Step(lambda v: step(score, v)).eval()
    x, x0 = vectors()
    found = DeepLIFT(score, "reveal_cancel", x0).attribute(x, 0)
    torch.testing.assert_close(found.sum(1), (score(x) - score(x0))[:, 0].detach())


@pytest.mark.parametrize(
    "between",
    [
        lambda m, z: z,
        lambda m, z: -z,
        lambda m, z: z * -2.0,
        lambda m, z: 1 - z,
        lambda m, z: torch.rsub(z, m.fc.bias),
        lambda m, z: torch.rsub(z, m.fc(z)),
        lambda m, z: torch.sub(m.fc(z), z, alpha=2.0),
        lambda m, z: (z @ m.fc.bias)[..., None] + z,
        lambda m, z: z / m.fc.bias,
        lambda m, z: m.fc.bias - z,
        lambda m, z: torch.cat(z.chunk(2, -1), -1),
        lambda m, z: z + m.fc(z.flip(1)),
        lambda m, z: z - m.fc(z),
        lambda m, z: F.batch_norm(z.mT, OFFSETS, OFFSETS.square(), -OFFSETS).mT,
        lambda m, z: z.mean(1),
        lambda m, z: F.conv1d(z.mT, m.fc.weight[:, :, None]),
        lambda m, z: z @ m.fc.weight,
        lambda m, z: torch.baddbmm(z, z, m.fc.weight.expand(len(z), -1, -1)),
        lambda m, z: torch.einsum("btd,de->bte", z, m.fc.weight),
        lambda m, z: z.masked_fill(~MASK[..., None], 1.0),
    ],
)
def test_parts_add_up_between_map_and_activation(between: Callable[..., Tensor]) -> None:
    score = Step(lambda v: between(score, score.fc(v)).tanh()).eval()
    x, x0 = vectors()
    found = DeepLIFT(score, "reveal_cancel", x0).attribute(x, 0)
    difference = (score(x) - score(x0))[:, 0].detach()
    torch.testing.assert_close(found.sum(1), difference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "moved",
    [
        lambda m, z: z.contiguous(),
        lambda m, z: z.to(torch.float64).clone(),
        lambda m, z: z.mT.mT,
        lambda m, z: z.reshape(-1, D).view_as(z),
        lambda m, z: torch.stack(z.unbind(1), 1),
        lambda m, z: (z * -2.0) / -2.0,
        lambda m, z: z.neg().neg(),
        lambda m, z: m.fc.bias.type_as(z) * 0 + z,
        lambda m, z: F.dropout(z, 0.5, training=False),
        lambda m, z: z + 1.0 - 1.0,
        lambda m, z: (z.flatten(0, 1).T).T.unflatten(0, (2, D)),
    ],
)
def test_parts_are_carried_from_map_to_activation(moved: Callable[..., Tensor]) -> None:
    x, x0 = vectors()
    plain = Step(lambda v: (v.mT @ plain.fc.weight[:T]).tanh()).eval()  # of all words together
    score = Step(lambda v: moved(score, v.mT @ score.fc.weight[:T]).tanh()).eval()
    found = DeepLIFT(score, "reveal_cancel", x0).attribute(x, 0)
    expect = DeepLIFT(plain, "reveal_cancel", x0).attribute(x, 0)
    torch.testing.assert_close(found, expect, rtol=1e-12, atol=1e-12)
    assert (found - DeepLIFT(plain, "rescale", x0).attribute(x, 0)).abs().max() > 1e-3


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_own_mode_does_not_matter(around: Any) -> None:
    network = small_classifier().model
    ids = torch.tensor([[2, 3, 4, 0], [5, 6, 2, 3]])
    expect = DeepLIFT(network).attribute(ids, "all")
    with around():
        assert torch.equal(DeepLIFT(network).attribute(ids, "all"), expect)

    class Quiet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        @around()  # type: ignore[untyped-decorator]
        def forward(self, ids: Tensor) -> Tensor:
            return self.inner(ids)  # type: ignore[no-any-return]

    assert torch.equal(DeepLIFT(Quiet().eval()).attribute(ids, "all"), expect)


def test_features_of_a_document_are_words_of_one_dimension() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 2)).double().eval()
    x = torch.randn(3, D, dtype=torch.float64)
    found = DeepLIFT(network).attribution(x, "all")
    assert found.relevance.shape == (3, 2, D)
    difference = (network(x) - network(x * 0)).detach()
    torch.testing.assert_close(found.relevance.sum(2), difference)


def moved_within(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 1:] = x[:, :-1].tanh()
    left, right = x[..., :2], x[..., 2:]
    left.mul_(right.sigmoid())
    right.add_(left)
    return x


def written_beside(x: Tensor) -> Tensor:
    out = x.new_zeros(len(x), T, 2 * D)
    right = out[..., D:]
    out[..., :D] = x
    right.copy_(x.tanh())
    right[:, 0].neg_()
    return out[..., :D] + out[..., D:]


STEPS: tuple[Callable[[Tensor], Tensor], ...] = (
    moved_within, written_beside, torch.tanh, F.gelu, F.silu, F.softplus,
    lambda x: x @ OFFSETS.diag().cos(),
    lambda x: F.linear(x, OFFSETS.outer(OFFSETS) + 0.5, OFFSETS),
    lambda x: x.softmax(1) * x,
    lambda x: x / (1 + x.abs()),
    lambda x: torch.maximum(x, x.flip(1)),
    lambda x: x - x.amax(1, keepdim=True),
    lambda x: torch.baddbmm(x, x @ x.mT, x),
    lambda x: (x * x + 1).log(),
    lambda x: F.glu(torch.cat([x, x.flip(2)], -1)),
    lambda x: F.max_pool1d(x, 2, 1, padding=1)[..., :D],
    lambda x: torch.lerp(x, x.flip(1), x.sigmoid()),
    lambda x: F.elu(x.clone(), inplace=True),
)  # fmt: skip


@examples(60)
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=5),
    st.integers(0, 10**6),
    st.sampled_from(["rescale", "reveal_cancel"]),
)
def test_any_composition_adds_up(steps: Any, seed: int, rule: Any) -> None:
    def composed(x: Tensor) -> Tensor:
        x = x * 1.0
        for step in steps:
            x = step(x)
        return x

    score, (x, x0) = model(composed), vectors(seed=seed)
    scores = score(x)[:, 0].detach(), score(x0)[:, 0].detach()
    found = DeepLIFT(score, rule, x0).attribute(x, 0)
    size = max(1.0, found.abs().max().item(), *(s.abs().max().item() for s in scores))
    torch.testing.assert_close(found.sum(1), scores[0] - scores[1], rtol=0, atol=1e-11 * size)
    back = DeepLIFT(score, rule, x).attribute(x0, 0)
    torch.testing.assert_close(back, -found, rtol=0, atol=1e-8 * size)


# Other toolkits


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_captum_agrees_on_feed_forward_networks(activation: type[nn.Module]) -> None:
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(T * D, 7), activation(), nn.Linear(7, 6), activation(),
        nn.Linear(6, 2),
    ).double().eval()  # fmt: skip
    x, x0 = vectors(3)
    found = DeepLIFT(network, baseline=x0).attribute(x, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expect = captum.DeepLift(network).attribute(x, x0, target=1)
    torch.testing.assert_close(found, expect.sum(2).detach(), rtol=0, atol=1e-6)
    assert found.abs().max() > 1e-2


# DeepSHAP


def test_deepshap_of_one_baseline_is_deeplift() -> None:
    network = small_classifier(labels=("a", "b", "c")).model.double()
    ids = torch.tensor([[2, 3, 4, 0], [5, 6, 2, 3]])
    for target in ("all", 1, (0, 2)):
        one = DeepLIFT(network, baseline="mean").attribution(ids, target)
        same = DeepSHAP(network, baselines=["mean"]).attribution(ids, target)
        assert torch.equal(one.relevance, same.relevance)
        assert one.ledger is not None
        assert same.ledger is not None
        assert torch.equal(one.ledger.total("baseline"), same.ledger.total("baseline"))


@examples(8)
@given(st.lists(st.sampled_from(["zero", "mean", 3, 5]), min_size=1, max_size=3))
def test_deepshap_is_the_mean_and_adds_up(baselines: list[Any]) -> None:
    network = small_classifier(cell="gru", pooling="attention").model.double()
    ids = torch.tensor([[2, 3, 4, 0], [5, 6, 2, 3]])
    found = DeepSHAP(network, baselines).attribution(ids, "all")
    each = [DeepLIFT(network, baseline=b).attribute(ids, "all") for b in baselines]
    torch.testing.assert_close(found.relevance, torch.stack(each).mean(0))
    assert found.ledger is not None
    assert found.ledger.residual.abs().max() < 1e-13


# What is refused


def choosing(x: Tensor) -> Tensor:
    return x.tanh() if bool((x > 0).all()) else x


@pytest.mark.parametrize(
    ("step", "match"),
    [
        (lambda x: x.cross(x, 1), r"cross in the model's own forward: DeepLIFT has no rule"),
        (lambda x: x.gather(1, x.cummax(1).indices), r"gather.* uses a choice"),
        (lambda x: x.sort(1)[0], "an order of values"),
        (lambda x: x.topk(2, 1).values, "an order of values"),
        (lambda x: x * (x > 0), r"mul.* uses a choice"),
        (lambda x: torch.where(x > 0, x, 0.1 * x), r"where.* uses a choice"),
        (lambda x: x.gather(1, x.argmax(1, keepdim=True)), r"gather.* uses a choice"),
        (choosing, r"bool.* uses a choice"),
        (lambda x: x + float(x.sum()), r"float.* DeepLIFT has no rule"),
        (lambda x: x ** x.exp(), "two values that both depend on the words"),
        (lambda x: torch.linalg.norm(x, 2, dim=(1, 2)), "take it apart"),
        (lambda x: torch.floor_divide(x, 2.0), "floor_divide"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(step: Any, match: str) -> None:
    x, _ = vectors()
    with pytest.raises(RefusedFunctionError, match=match):
        DeepLIFT(model(step), baseline=-x.abs()).attribute(x.abs(), 0)


def test_choices_that_the_baseline_does_not_flip_are_allowed() -> None:
    x = vectors()[0].abs() + 1
    for step in (
        lambda v: v * (v > 0),
        choosing,
        lambda v: v.gather(1, v.argmax(1, True)),
        lambda v: v.sort(1)[0][:, -1],
    ):
        score = model(step)
        found = DeepLIFT(score, baseline=x / 2).attribute(x, 0)
        torch.testing.assert_close(found.sum(1), (score(x) - score(x / 2))[:, 0])


class Own(torch.autograd.Function):
    """A function whose backward pass is a gradient's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def test_what_cannot_be_followed_is_refused() -> None:
    x, _ = vectors()
    with pytest.raises(RefusedFunctionError, match="an autograd function of its own"):
        DeepLIFT(model(lambda v: Own.apply(v) * 2)).attribute(x, 0)  # type: ignore[no-untyped-call]
    broken = Step(lambda v: broken.fc.bias.data.copy_(v[0, 0]) * v).eval()
    with pytest.raises(RefusedFunctionError, match="parameter or buffer"):
        DeepLIFT(broken).attribute(x, 0)


def test_options_and_inputs_are_checked() -> None:
    network = small_classifier().model
    with pytest.raises(OptionError, match=r"rule='rescal'\. Did you mean 'rescale'"):
        DeepLIFT(network, "rescal")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="Got 'zero' for the baselines"):
        DeepSHAP(network, "zero")
    with pytest.raises(OptionError, match="at least one"):
        DeepSHAP(network, [])
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        DeepLIFT(model(lambda v: v.square().sum(2).log())).attribute(vectors()[0], 0)
    lone = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 2)).eval()
    with pytest.raises(IdsError, match="EmbeddingBag"):
        DeepLIFT(lone).attribute(torch.tensor([1, 2]), 0)


def test_padding_that_is_handed_in_stays_as_it_is() -> None:
    torch.manual_seed(0)
    bag = nn.Sequential(nn.Embedding(9, D), nn.Flatten(), nn.Linear(T * D, 2)).double().eval()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    padding = torch.tensor([[False, False, True], [False, False, False]])
    found = DeepLIFT(bag).attribution(ids, 0, padding=padding)
    assert (found.relevance == 0).equal(padding)
    assert found.ledger is not None
    assert found.ledger.residual.abs().max() < 1e-14


def test_it_explains_texts_with_an_account() -> None:
    classifier = small_classifier()
    for method in ("deeplift", "deepshap"):
        e = seqlrp.explain(classifier, ["a good film", "very dull"], method=method)[0]
        assert e.method == method
        assert e.ledger is not None
        total = e.ledger["tokens"] + e.ledger["baseline"]
        assert total == pytest.approx(e.scores[e.target], rel=1e-5)
    assert e.parameters == {"rule": "rescale", "baselines": ("zero", "mean")}
