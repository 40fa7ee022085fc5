"""The fast kernels against the reference: in float64 its equal, in float32 no worse than it."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlrp.lrp import recurrent
from seqlrp.lrp.kernels import compiled, vectorised
from seqlrp.lrp.recurrent import Gammas, Steps, Weights

D = 5
# One sequence, a padded batch, packed ones of few and of many sequences.
SIZES = [(1,) * 9, (4,) * 6, (7, 3, 3, 1), (20, 20, 17, 2)]


class Case(NamedTuple):
    kind: str
    hidden: int  # also one that is no multiple of a vector's width
    sizes: tuple[int, ...]
    reverse: bool
    bias: bool
    epsilon: float

    def __str__(self) -> str:
        way, bias = "back" if self.reverse else "on", "bias" if self.bias else "unbiased"
        shape = f"{self.hidden}x{self.sizes[0]}x{len(self.sizes)}"
        return f"{self.kind}-{shape}-{way}-{bias}-{self.epsilon}"


class Layer(NamedTuple):
    weights: Weights
    x: Tensor
    states: tuple[Tensor, ...]
    gamma_h: Tensor
    gamma_states: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype) -> Layer:
        def moved(tensors: Any) -> Any:
            return (None if t is None else t.to(dtype) for t in tensors)

        return Layer(
            Weights(*moved(self.weights)),
            self.x.to(dtype),
            tuple(moved(self.states)),
            self.gamma_h.to(dtype),
            tuple(moved(self.gamma_states)),
        )


CASES = [
    Case(*values)
    for values in itertools.product(
        ["lstm", "gru"], [3, 20], SIZES, [False, True], [False, True], [0.0, 1e-3, 1.0]
    )
]


def build(case: Case) -> Layer:
    torch.manual_seed(CASES.index(case) if case in CASES else 0)
    gates = 4 if case.kind == "lstm" else 3
    n, batch, hidden = sum(case.sizes), case.sizes[0], case.hidden
    shapes: list[tuple[int, ...]] = [(gates * hidden, D), (gates * hidden, hidden)]
    shapes += [(gates * hidden,)] * 2 if case.bias else []
    weights = Weights(*(nn.init.normal_(torch.empty(shape), std=0.4) for shape in shapes))
    count = 2 if case.kind == "lstm" else 1
    states = [torch.randn(batch, hidden) for _ in range(2 * count)]
    return Layer(
        weights,
        torch.randn(n, D),
        tuple(states[:count]),
        torch.randn(n, hidden),
        tuple(states[count:]),
    )


def run_reference(case: Case, layer: Layer) -> Gammas:
    run: Any = getattr(recurrent, case.kind)
    result: Gammas = run(
        layer.x, *layer.states, layer.weights, Steps(case.sizes), case.reverse,
        layer.gamma_h, *layer.gamma_states, case.epsilon,
    )  # fmt: skip
    return result


def outputs(case: Case, layer: Layer) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The library's own outputs `[N, H]` and final states `[B, H]`."""
    weights = [w for w in layer.weights if w is not None]
    flat = [torch.zeros_like(w) for w in weights] + weights if case.reverse else weights
    state: Any = tuple(s.expand(1 + case.reverse, -1, -1).contiguous() for s in layer.states)
    state = state if case.kind == "lstm" else state[0]
    options = (flat, case.bias, 1, 0.0, False, case.reverse)
    out, *final = getattr(torch, case.kind)(layer.x, torch.tensor(case.sizes), state, *options)
    return out[:, -case.hidden :], tuple(s[-1] for s in final)


def run_vectorised(case: Case, layer: Layer, account: bool) -> Gammas:
    h, _ = outputs(case, layer)
    run: Any = getattr(vectorised, case.kind)
    result: Gammas = run(
        layer.x, *layer.states, layer.weights, Steps(case.sizes), case.reverse,
        layer.gamma_h, *layer.gamma_states, case.epsilon, h=h, account=account,
    )  # fmt: skip
    return result


def run_compiled(case: Case, layer: Layer, account: bool) -> tuple[Gammas, Tensor, Any]:
    """γ, and the outputs and final states of the forward pass."""
    steps, out = Steps(case.sizes), torch.full((len(layer.x), case.hidden + 2), torch.nan)
    forward: Any = getattr(compiled, f"{case.kind}_forward")
    *final, factors = forward(
        layer.x, *layer.states, layer.weights, steps, case.reverse, case.epsilon, out, 1,
        account=account,
    )  # fmt: skip
    assert out[:, [0, -1]].isnan().all()
    run: Any = getattr(compiled, case.kind)
    result: Gammas = run(
        layer.x, *layer.states, layer.weights, steps, case.reverse,
        layer.gamma_h, *layer.gamma_states, case.epsilon, factors=factors, account=account,
    )  # fmt: skip
    return result, out[:, 1:-1], final


def fields(gammas: Gammas) -> dict[str, Tensor]:
    return {k: v for k, v in gammas._asdict().items() if v is not None}


def check_as_good(found: Gammas, case: Case, layer: Layer) -> None:
    """In float32, not much further from the truth than the reference in float32 is."""
    truth = fields(run_reference(case, layer.to(torch.float64)))
    single = fields(run_reference(case, layer))
    assert fields(found).keys() == truth.keys()
    for name, exact in truth.items():
        scale = exact.abs().max().clamp(min=1e-3)
        # ε multiplies rounding errors of states that are nearly 0: by chance more or less so.
        allowed = 20 * (single[name] - exact).abs().max() + 2e-6 * scale
        if case.epsilon:
            allowed = allowed + 1e-6 / min(case.epsilon, 1) * scale
        assert (fields(found)[name] - exact).abs().max() <= allowed, name


@pytest.fixture(scope="module")
def numba() -> Any:
    """Numba, or the test is skipped."""
    return pytest.importorskip("numba", reason="numba is an optional package")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_vectorised_is_the_reference(case: Case) -> None:
    layer = build(case).to(torch.float64)
    expected, found = run_reference(case, layer), run_vectorised(case, layer, account=True)
    for name, value in fields(expected).items():
        torch.testing.assert_close(fields(found)[name], value, rtol=1e-12, atol=1e-12)
    check_as_good(run_vectorised(case, build(case), account=True), case, build(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_is_as_good_as_the_reference(case: Case, numba: Any) -> None:
    layer = build(case)
    found, out, final = run_compiled(case, layer, account=True)
    check_as_good(found, case, layer)
    h, states = outputs(case, layer)
    torch.testing.assert_close(out, h, rtol=1e-5, atol=1e-6)
    for state, expected in zip(final, states, strict=True):
        torch.testing.assert_close(state, expected, rtol=1e-5, atol=1e-6)
    if case.epsilon == 0:
        assert found.stabiliser is not None
        assert not found.stabiliser.any()


@pytest.mark.parametrize("block", [1, 700])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_blocks_do_not_show(
    case: Case, block: int, numba: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, out, _ = run_compiled(case, build(case), account=True)
    compiled._blocks.cache_clear()
    monkeypatch.setattr(compiled, "BLOCK", block)
    found, again, _ = run_compiled(case, build(case), account=True)
    compiled._blocks.cache_clear()
    torch.testing.assert_close(again, out, rtol=1e-5, atol=1e-6)
    check_as_good(found, case, build(case))
    assert fields(found).keys() == fields(expected).keys()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_without_a_product_in_machine_code(
    case: Case, numba: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_compiled(case, build(case), account=True)[1]
    monkeypatch.setattr(compiled._loops().blas, "FOUND", False)
    found, out, _ = run_compiled(case, build(case), account=True)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    check_as_good(found, case, build(case))


def test_the_product_is_found_where_torch_shows_it(numba: Any) -> None:
    from seqlrp.lrp.kernels import blas

    if not blas.FOUND:
        pytest.skip("torch shows no sgemm_ here")
    a, weight = torch.randn(5, 7).numpy(), torch.randn(11, 7).numpy()
    forward, back = torch.ones(5, 11).numpy(), torch.ones(5, 7).numpy()
    blas.call(True, 11, 5, 7, weight, 7, a, 7, forward, 11)
    np.testing.assert_allclose(forward, 1 + a @ weight.T, rtol=1e-5, atol=1e-6)
    blas.call(False, 7, 5, 11, weight, 7, forward, 11, back, 7)
    np.testing.assert_allclose(back, 1 + forward @ weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_account_is_no_part_of_the_answer(kind: str, numba: Any) -> None:
    case = Case(kind, 20, SIZES[3], False, True, 1e-3)
    layer = build(case)
    with_account = fields(run_compiled(case, layer, account=True)[0])
    alone = fields(run_compiled(case, layer, account=False)[0])
    assert len(alone) < len(with_account)
    assert all(value.equal(with_account[name]) for name, value in alone.items())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_sequence_in_a_large_batch_is_the_same_alone(kind: str, numba: Any) -> None:
    # Few sequences and many take different ways.
    batch, length = 2 * compiled._loops().FEW, 6
    case = Case(kind, 20, (batch,) * length, False, True, 1e-3)
    layer = build(case)
    many = run_compiled(case, layer, account=True)[0]
    rows = torch.arange(length) * batch + 3
    one = Layer(
        layer.weights,
        layer.x[rows],
        tuple(s[3:4] for s in layer.states),
        layer.gamma_h[rows],
        tuple(s[3:4] for s in layer.gamma_states),
    )
    alone = run_compiled(case._replace(sizes=(1,) * length), one, account=True)[0]
    torch.testing.assert_close(alone.x, many.x[rows], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(alone.h0, many.h0[3:4], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("batch", [1, 20])
def test_what_is_no_number_stays_visible(kind: str, batch: int, numba: Any) -> None:
    case = Case(kind, 20, (batch,) * 3, False, True, 1e-3)
    layer = build(case)
    layer.x[0, 0] = torch.nan
    found, out, _ = run_compiled(case, layer, account=False)
    own = torch.arange(3 * batch) % batch == 0
    for rows in (out, found.x):
        assert rows[own].isnan().all()
        assert rows[~own].isfinite().all()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("batch", [1, 20])
def test_huge_values_saturate(kind: str, batch: int, numba: Any) -> None:
    case = Case(kind, 20, (batch,) * 3, False, True, 1e-3)
    layer = build(case)
    layer.x.mul_(1e4)
    found, out, _ = run_compiled(case, layer, account=True)
    torch.testing.assert_close(out, outputs(case, layer)[0], rtol=1e-5, atol=1e-6)
    assert all(value.isfinite().all() for value in fields(found).values())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("way", ["vectorised", "compiled"])
def test_relevance_that_vanishes_is_zero_not_denormal(kind: str, way: str, request: Any) -> None:
    # Gates near 1/2 halve γ at each step: 400 steps pass through every denormal number.
    case = Case(kind, 20, (2,) * 400, False, False, 1e-3)
    layer = build(case)
    layer.weights.ih.mul_(0.2)
    layer.weights.hh.mul_(0.2)
    layer.gamma_h[:-2] = 0
    if way == "compiled":
        request.getfixturevalue("numba")
        found = run_compiled(case, layer, account=False)[0]
    else:
        found = run_vectorised(case, layer, account=False)
    assert found.x[-2:].any()
    assert not found.x[:2].any()
    assert not found.h0.any()


def test_what_the_compiled_loops_compute(numba: Any) -> None:
    layer = build(CASES[0])
    assert compiled.computes("lstm", layer.weights, layer.x)
    assert not compiled.computes("rnn_tanh", layer.weights, layer.x)
    assert not compiled.computes("lstm", layer.weights, layer.x.double())
    assert not compiled.computes("lstm", layer.weights._replace(hr=layer.x), layer.x)
    assert not compiled.computes("lstm", layer.weights, layer.x.to("meta"))
