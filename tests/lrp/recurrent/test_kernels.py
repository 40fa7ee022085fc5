"""The fast kernels against the reference: in float64 its equal, in float32 no worse than it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from samples.examples import covering
from samples.recurrent_layers import (
    CASES,
    SIZES,
    Case,
    Layer,
    build,
    check_as_good,
    direction,
    fields,
    outputs,
    run_reference,
)
from torch import Tensor

from seqlrp.engine.recurrent_calls import LayerKind, Steps, Weights
from seqlrp.lrp.recurrent.kernels import compiled, threads, vectorised
from seqlrp.lrp.recurrent.reference import Gammas


def run_vectorised(case: Case, layer: Layer, account: bool) -> Gammas:
    h, _ = outputs(case, layer)
    run: Any = getattr(vectorised, case.kind)
    result: Gammas = run(direction(case, layer), h=h, account=account)
    return result


def run_compiled(case: Case, layer: Layer, account: bool) -> tuple[Gammas, Tensor, Any]:
    """γ, and the outputs and final states; a reverse direction is the second of two."""
    weights, kind = [layer.weights], cast("LayerKind", case.kind)
    if case.reverse:
        zeros = (None if w is None else torch.zeros_like(w) for w in layer.weights)
        weights = [Weights(*zeros), layer.weights]

    def beside_zeros(tensor: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(tensor)] * case.reverse + [tensor])

    steps, states = Steps(case.sizes), [beside_zeros(state) for state in layer.states]
    out, finals, factors, maps = compiled.forward(
        kind, layer.x, states, weights, steps, case.stabiliser, account=account
    )
    gamma_out = torch.cat(list(beside_zeros(layer.gamma_h)), -1)
    finals_gamma = [beside_zeros(gamma) for gamma in layer.gamma_states]
    found = compiled.backward(kind, maps, steps, gamma_out, finals_gamma, factors, account=account)
    return found[-1], out[:, -case.hidden :], [state[-1] for state in finals]


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
    if not case.stabiliser:
        assert found.stabiliser is not None
        assert not found.stabiliser.any()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_account_is_no_part_of_the_answer(kind: str, numba: Any) -> None:
    case = Case(kind, 20, SIZES[3], False, True, 1e-3)
    layer = build(case)
    with_account = fields(run_compiled(case, layer, account=True)[0])
    alone = fields(run_compiled(case, layer, account=False)[0])
    assert len(alone) < len(with_account)
    assert all(value.equal(with_account[name]) for name, value in alone.items())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_sequence_in_a_large_batch_is_the_same_alone(
    kind: str, reverse: bool, numba: Any
) -> None:
    batch, length = 13, 6
    case = Case(kind, 20, (batch,) * length, reverse, True, 1e-3, 0.05)
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
    for name in ("x", "bias_ih", "bias_hh", "stabiliser"):
        assert fields(alone)[name].equal(fields(many)[name][rows]), name
    assert alone.h0.equal(many.h0[3:4])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padded_data_are_the_same_as_rows(
    kind: LayerKind, batch: int, batch_first: bool, numba: Any
) -> None:
    length = 5
    case = Case(kind, 20, (batch,) * length, False, True, 1e-3)
    layer, steps = build(case), Steps(case.sizes)
    weights, states = [layer.weights], [state[None] for state in layer.states]
    given = [state[None] for state in layer.gamma_states]

    def padded(rows: Tensor) -> Tensor:
        steps_first = rows.unflatten(0, (length, batch))
        return steps_first.transpose(0, 1).contiguous() if batch_first else steps_first

    def run(
        x: Tensor, gamma: Tensor, **options: bool
    ) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        out, finals, factors, maps = compiled.forward(
            kind, x, states, weights, steps, case.stabiliser, account=True, **options
        )
        found = compiled.backward(kind, maps, steps, gamma, given, factors, account=True, **options)
        return out, finals, fields(found[0])

    out, finals, found = run(padded(layer.x), padded(layer.gamma_h), batch_first=batch_first)
    rows_out, rows_finals, rows_found = run(layer.x, layer.gamma_h)
    assert out.equal(padded(rows_out))
    assert all(a.equal(b) for a, b in zip(finals, rows_finals, strict=True))
    rows_found["x"] = padded(rows_found["x"])
    assert found.keys() == rows_found.keys()
    assert all(value.equal(rows_found[name]) for name, value in found.items())


@pytest.fixture
def set_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """A function that sets the number of threads, however small the work."""
    monkeypatch.setattr(threads, "WORTH_THREADS", 0)
    monkeypatch.setattr(threads, "WORTH_STARTING", 0)
    monkeypatch.setattr(threads, "FEWEST", 2)
    monkeypatch.setattr(threads, "ROOMY", 2)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


THREADED = [(c, account) for c in CASES if c.epsilon == 1e-3 for account in (False, True)]
CHOSEN = covering([(*c, account) for c, account in THREADED])  # the others are slow tests


@pytest.mark.parametrize(
    ("case", "account"),
    [
        pytest.param(
            *member,
            id=f"{member[0]}-{member[1]}",
            marks=() if (*member[0], member[1]) in CHOSEN else pytest.mark.slow,
        )
        for member in THREADED
    ],
)
def test_threads_do_not_show(
    case: Case, account: bool, numba: Any, set_threads: Callable[[int], None]
) -> None:
    set_threads(1)
    expected, out, final = run_compiled(case, build(case), account)
    for count in (2, 3, 7):
        set_threads(count)
        found, again, final_again = run_compiled(case, build(case), account)
        assert again.equal(out)
        assert all(a.equal(b) for a, b in zip(final_again, final, strict=True))
        assert fields(found).keys() == fields(expected).keys()
        assert all(value.equal(fields(expected)[name]) for name, value in fields(found).items())


@pytest.mark.parametrize("sequences", [1, 5, 64, 65])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_blocks_are_all_sequences(sequences: int, count: int) -> None:
    blocks = threads._blocks(sequences, count)
    assert [k for begin, end in blocks for k in range(begin, end)] == list(range(sequences))
    sizes = [end - begin for begin, end in blocks]
    assert max(sizes) <= min(sizes) + 1
    assert len(blocks) == 1 or min(sizes) >= threads.FEWEST


@pytest.fixture(params=["of torch", "of its own"])
def of_whom(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of torch, if there are any, and those that are started after a fork."""
    if request.param == "of its own":
        monkeypatch.setattr(threads, "_PROCESS", -1)


def test_blocks_are_computed_at_the_same_time(
    set_threads: Callable[[int], None], of_whom: None
) -> None:
    set_threads(2)
    both, seen = threading.Barrier(2), []

    def meet(begin: int, end: int) -> None:
        both.wait(timeout=60)
        seen.append((begin, end))

    threads.run_in_blocks([meet], 8, 10)
    assert sorted(seen) == threads._blocks(8, 2)


def test_an_error_in_a_block_is_raised(set_threads: Callable[[int], None], of_whom: None) -> None:
    set_threads(2)
    for bad in range(4):

        def fail(begin: int, end: int, bad: int = bad) -> float:
            return 1 / (begin - 2 * bad)

        with pytest.raises(ZeroDivisionError):
            threads.run_in_blocks([fail], 8, 10)


def test_small_work_stays_on_one_thread(
    set_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, int]] = []

    def note(begin: int, end: int) -> None:
        seen.append((threading.get_ident(), begin, end))

    set_threads(2)
    monkeypatch.setattr(threads, "WORTH_THREADS", 11)
    monkeypatch.setattr(threads, "WORTH_STARTING", 11)
    threads.run_in_blocks([note, note], 8, 10)
    assert seen == [(threading.get_ident(), 0, 8)] * 2


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


_OUTPUTS = """
import hashlib, sys, torch
from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.recurrent.kernels import compiled
torch.manual_seed(0)
weights = [Weights(*(torch.randn(4 * 20, *size) for size in ((5,), (20,), (), ())))]
states = [torch.randn(1, 6, 20) for _ in range(2)]
steps, stabiliser = Steps((6,) * 4), compiled.Stabiliser(1e-3)
found = compiled.forward("lstm", torch.randn(24, 5), states, weights, steps, stabiliser, account=0)
written = b"".join(t.numpy().tobytes() for t in (found[0], *found[1], *found[2]))
print(hashlib.sha256(written).hexdigest())
"""


def test_code_from_the_cache_computes_what_new_code_does(numba: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    new, cached = (
        subprocess.run(
            [sys.executable, "-c", _OUTPUTS],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout
        for _ in range(2)
    )  # fmt: skip
    assert list(tmp_path.rglob("*.nbc"))
    assert new == cached
