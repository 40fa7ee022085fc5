"""Equality with zennit on feed-forward and convolutional nets, with lxt on attention networks."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from samples.rule_checks import Function, randomise, seeded
from torch import Tensor, nn

import seqlrp
from seqlrp import rules


@pytest.fixture(scope="module")
def zennit() -> Iterator[Any]:
    """zennit's rules and composites; it imports torchvision only to know its class names."""
    stand_ins = {}
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        for name in ("", ".models", ".models.resnet", ".models.vgg"):
            stand_ins["torchvision" + name] = types.ModuleType("torchvision" + name)
        for name, classes in (("resnet", ["Bottleneck", "BasicBlock", "ResNet"]), ("vgg", ["VGG"])):
            for c in classes:
                setattr(stand_ins["torchvision.models." + name], c, type(c, (nn.Module,), {}))
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stand_ins.items():
            patch.setitem(sys.modules, name, module)
        pytest.importorskip("zennit", reason="zennit is not installed", exc_type=ImportError)
        importlib.import_module("zennit.composites")
        yield importlib.import_module("zennit")
    if stand_ins:  # do not leave behind a zennit that has seen the stand-ins
        for name in [n for n in sys.modules if n.split(".")[0] == "zennit"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def lxt() -> Any:
    pytest.importorskip("tabulate", reason="lxt needs tabulate")
    return pytest.importorskip("lxt.explicit.functional", reason="lxt is not installed")


def of_zennit(
    zennit: Any, model: nn.Module, x: Tensor, target: int, named: dict[str, Any]
) -> Tensor:
    """zennit's relevance for a score, each named module by its rule, all else by the gradient."""
    composite = zennit.composites.NameMapComposite([([n], rule) for n, rule in named.items()])
    x = x.clone().requires_grad_()
    with composite.context(model) as modified:
        y = modified(x)
        start = torch.zeros_like(y)
        start[:, target] = y[:, target].detach()
        return torch.autograd.grad(y, x, start)[0]


SMALL = 1e-14  # where zennit's denominator is exactly 0, its numerators are too: 0 / 0 with none

# name: (ours, theirs, may it stand above a ReLU). zennit lets the relevance of a unit that is
# exactly 0 pass on; here it is booked as "zero input". So w², flat and z^B, which give relevance to
# zeros, are comparable only where no input is 0: in the first layer, on generic inputs.
PAIRS: dict[str, tuple[Any, Callable[[Any], Any], bool]] = {
    "epsilon": (rules.Epsilon(0.2), lambda r: r.Epsilon(epsilon=0.2), True),
    "zero": (rules.Zero(), lambda r: r.Epsilon(epsilon=0.0), True),
    "gamma": (rules.Gamma(0.25), lambda r: r.Gamma(gamma=0.25, stabilizer=SMALL), True),
    "gamma 3": (rules.Gamma(3.0), lambda r: r.Gamma(gamma=3.0, stabilizer=SMALL), True),
    "alpha beta": (
        rules.AlphaBeta(2.0, 1.0),
        lambda r: r.AlphaBeta(alpha=2.0, beta=1.0, stabilizer=SMALL),
        True,
    ),
    "z plus": (rules.ZPlus(), lambda r: r.ZPlus(stabilizer=SMALL), True),
    # zennit's WSquare gives the bias b² of the denominator unless it is told to leave it out.
    "w square": (
        rules.WSquare(),
        lambda r: r.WSquare(stabilizer=SMALL, zero_params="bias"),
        False,
    ),
    "flat": (rules.Flat(), lambda r: r.Flat(stabilizer=SMALL), False),
    # zennit's ZBox keeps the bias, but b − b⁺ − b⁻ = 0, so it takes nothing there either.
    "z box": (rules.ZB(-4.0, 5.0), lambda r: r.ZBox(low=-4.0, high=5.0, stabilizer=SMALL), False),
    "z box, no low": (rules.ZB(0.0, 9.0), lambda r: r.ZBox(0.0, 9.0, SMALL), False),
}


def inputs(name: str, *shape: int) -> Tensor:
    x = seeded(5, *shape)
    return x.abs() if name == "z box, no low" else x


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", sorted(PAIRS))
@pytest.mark.parametrize("seed", range(3))
def test_dense_nets_are_those_of_zennit(zennit: Any, name: str, seed: int) -> None:
    ours, theirs, anywhere = PAIRS[name]
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    randomise(model, seed)
    x = inputs(name, 3, 6)
    for layers in [["0"], ["0", "2", "4"]] if anywhere else [["0"]]:
        lrp = seqlrp.LRP(model, 0.05, rules=dict.fromkeys(layers, ours))
        named = {n: zennit.rules.Epsilon(epsilon=0.05) for n in ("0", "2", "4")}
        named |= {n: theirs(zennit.rules) for n in layers}
        expected = of_zennit(zennit, model, x, 1, named)
        close(lrp.attribute(x, 1, reduce=False), expected)


@pytest.mark.parametrize("name", sorted(PAIRS))
@pytest.mark.parametrize(
    "shape",
    [{"padding": 1}, {"stride": 2, "padding": 2}, {"dilation": 2, "groups": 2, "padding": 1}],
    ids=str,
)
def test_convolutional_nets_are_those_of_zennit(
    zennit: Any, name: str, shape: dict[str, int]
) -> None:
    ours, theirs, anywhere = PAIRS[name]

    def forward(m: Any, x: Tensor) -> Tensor:
        y = torch.relu(m.first(x.mT))
        y = m.pool(torch.relu(m.second(y)))
        return m.head(y.flatten(1))  # type: ignore[no-any-return]

    model = Function(
        forward,
        first=nn.Conv1d(4, 6, 3, **shape),  # type: ignore[arg-type]
        second=nn.Conv1d(6, 5, 2),
        pool=nn.AdaptiveMaxPool1d(1),
        head=nn.Linear(5, 2),
    )
    randomise(model, 2)
    x = inputs(name, 2, 7, 4)
    for layers in [["first"], ["first", "second"]] if anywhere else [["first"]]:
        lrp = seqlrp.LRP(model, 0.05, rules=dict.fromkeys(layers, ours))
        named = {n: zennit.rules.Epsilon(epsilon=0.05) for n in ("first", "second", "head")}
        named |= {n: theirs(zennit.rules) for n in layers}
        expected = of_zennit(zennit, model, x, 0, named)
        close(lrp.attribute(x, 0, reduce=False), expected)


def test_average_pooling_is_norm_of_zennit(zennit: Any) -> None:
    """A mean is divided by itself exactly here, and by zennit with no stabiliser."""
    model = Function(
        lambda m, x: m.head(m.pool(torch.relu(m.conv(x.mT))).flatten(1)),
        conv=nn.Conv1d(4, 6, 2),
        pool=nn.AvgPool1d(2),
        head=nn.Linear(18, 2),
    )
    randomise(model, 3)
    x = seeded(6, 2, 7, 4)
    epsilon = zennit.rules.Epsilon(epsilon=0.05)
    named = {"conv": epsilon, "pool": zennit.rules.Norm(stabilizer=SMALL), "head": epsilon}
    expected = of_zennit(zennit, model, x, 1, named)
    close(seqlrp.LRP(model, 0.05).attribute(x, 1, reduce=False), expected)


def test_pass_is_pass_of_zennit(zennit: Any) -> None:
    model = randomise(nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 2)), 4)
    x = seeded(7, 3, 5)
    named = {
        "0": zennit.rules.Pass(),
        "1": zennit.rules.Pass(),  # tanh: the identity rule
        "2": zennit.rules.Epsilon(epsilon=0.05),
    }
    lrp = seqlrp.LRP(model, 0.05, rules={"0": rules.Pass()})
    close(lrp.attribute(x, 1, reduce=False), of_zennit(zennit, model, x, 1, named))


def test_epsilon_plus_composite_of_zennit(zennit: Any) -> None:
    """z⁺ for convolutions, ε for dense layers: a composite of the literature, by class."""
    model = nn.Sequential(
        nn.Conv1d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv1d(6, 5, 3),
        nn.ReLU(),
        nn.Flatten(1),
        nn.Linear(20, 4),
        nn.ReLU(),
        nn.Linear(4, 2),
    )
    randomise(model, 5)
    x = seeded(8, 2, 4, 6)
    composite = zennit.composites.EpsilonPlus(epsilon=0.05, stabilizer=SMALL)
    leaf = x.clone().requires_grad_()
    with composite.context(model) as modified:
        y = modified(leaf)
        start = y.detach() * torch.tensor([0.0, 1.0]).double()
        expected = torch.autograd.grad(y, leaf, start)[0]
    lrp = seqlrp.LRP(model, 0.05, rules={nn.Conv1d: rules.ZPlus()})
    close(lrp.attribute(x, 1, reduce=False), expected)


# --- lxt --------------------------------------------------------------------------------------
#
# lxt adds its ε to denominators of either sign alike, here it has their sign: compared without.

NONE = 0.0


def of_lxt(forward: Callable[[Tensor], Tensor], x: Tensor, target: int) -> Tensor:
    x = x.clone().requires_grad_()
    y = forward(x)
    start = torch.zeros_like(y)
    start[:, target] = y[:, target].detach()
    return torch.autograd.grad(y, x, start)[0]


def layer_norm_by_lxt(lxt: Any, x: Tensor, norm: nn.LayerNorm) -> Tensor:
    y = lxt.layer_norm_grad_fn.apply(x, norm.weight, norm.bias, norm.eps, NONE)
    assert isinstance(y, Tensor)
    return y


def attend(q: Any, k: Any, v: Any, scale: float) -> Any:
    return (q @ k.mT * scale).softmax(-1) @ v


def attend_by_lxt(lxt: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    logits = lxt.mul2(lxt.matmul(q, k.mT, False, NONE), q.new_tensor(scale))
    return lxt.matmul(lxt.softmax(logits, -1), v, False, NONE)  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(3))
def test_attention_network_is_that_of_lxt(lxt: Any, seed: int) -> None:
    """Self-attention, a residual sum, layer normalisation, mean, head."""
    D = 4
    modules = {n: nn.Linear(D, D) for n in "qkvo"}
    norm, head = nn.LayerNorm(D, eps=1e-3), nn.Linear(D, 2)

    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.norm(x + m.o(attend(m.q(x), m.k(x), m.v(x), D**-0.5)))
        return m.head(y.mean(1))  # type: ignore[no-any-return]

    model = randomise(Function(forward, norm=norm, head=head, **modules), seed)

    def linear(module: nn.Linear, x: Tensor) -> Tensor:
        return lxt.linear_epsilon(x, module.weight, module.bias, NONE)  # type: ignore[no-any-return]

    def by_lxt(x: Tensor) -> Tensor:
        q, k, v = (linear(modules[n], x) for n in "qkv")
        y = attend_by_lxt(lxt, q, k, v, D**-0.5)
        y = lxt.add2(x, linear(modules["o"], y), False, NONE)
        y = lxt.mean(layer_norm_by_lxt(lxt, y, norm), 1, False, NONE)
        return linear(head, y)

    x = seeded(seed, 1, 5, D)
    torch.testing.assert_close(by_lxt(x), model(x))
    lrp = seqlrp.LRP(model, NONE, attention="attnlrp")
    close(lrp.attribute(x, 1, reduce=False), of_lxt(by_lxt, x, 1))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fast", [False, True])
def test_multihead_attention_is_that_of_lxt(lxt: Any, seed: int, fast: bool) -> None:
    """`fast` is PyTorch's own path: weights not asked for."""
    D, heads = 6, 2
    attention, head = nn.MultiheadAttention(D, heads, batch_first=True), nn.Linear(D, 2)
    model = randomise(
        Function(
            lambda m, x: m.head(m.attention(x, x, x, need_weights=not fast)[0].mean(1)),
            attention=attention,
            head=head,
        ),
        seed,
    )

    def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return lxt.linear_epsilon(x, weight, bias, NONE)  # type: ignore[no-any-return]

    def by_lxt(x: Tensor) -> Tensor:
        assert attention.in_proj_weight is not None
        assert attention.in_proj_bias is not None
        weights = zip(
            attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
        )
        q, k, v = (linear(x, w, b).view(1, 5, heads, -1).transpose(1, 2) for w, b in weights)
        y = attend_by_lxt(lxt, q, k, v, (D // heads) ** -0.5).transpose(1, 2).flatten(2)
        y = linear(y, attention.out_proj.weight, attention.out_proj.bias)
        return linear(lxt.mean(y, 1, False, NONE), head.weight, head.bias)

    x = seeded(seed, 1, 5, D)
    torch.testing.assert_close(by_lxt(x), model(x))
    lrp = seqlrp.LRP(model, NONE, attention="attnlrp")
    close(lrp.attribute(x, 0, reduce=False), of_lxt(by_lxt, x, 0))


def test_rms_norm_is_that_of_lxt(lxt: Any) -> None:
    """lxt computes this one in float32 whatever it is given."""
    norm, head = nn.RMSNorm(6, eps=1e-2), nn.Linear(6, 2)
    model = randomise(Function(lambda m, x: m.head(m.norm(x)), norm=norm, head=head), 1)

    def by_lxt(x: Tensor) -> Tensor:
        y = lxt.rms_norm_identity(x, norm.weight, norm.eps)
        return lxt.linear_epsilon(y, head.weight, head.bias, NONE)  # type: ignore[no-any-return]

    x = seeded(3, 2, 6)
    close(seqlrp.LRP(model, NONE).attribute(x, 1, reduce=False), of_lxt(by_lxt, x, 1), 1e-5)
