"""The benchmark: what is compared, how it is timed, and what the report says; never how fast."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import seqlrp.benchmark
from seqlrp.benchmark import GOALS, BenchmarkReport, Cell, Measurement, benchmark
from seqlrp.benchmark.cells import BY_THREADS, RATIOS
from seqlrp.benchmark.contenders import Contender, classifier, contenders, random_ids
from seqlrp.benchmark.memory import memory_growth
from seqlrp.benchmark.pages import PageMeasurement, generate_reviews, measure_page
from seqlrp.benchmark.removals import DELETED, curve_contenders, occlusion_contenders
from seqlrp.benchmark.timing import FEWEST, MOST, time_interleaved
from seqlrp.cli import main
from seqlrp.errors import OptionError
from seqlrp.show.page import render

TINY: dict[str, Any] = {
    "hidden": (3,), "length": (4,), "batch": (2,), "threads": (1,), "seconds": 1e-3,
    "captum": False, "memory": False, "page": False, "quick": True, "limit": 60.0,
}  # fmt: skip
PARTS = ("forward", "lrp", "gradient_x_input", "integrated_gradients", "occlusion")


@pytest.fixture(autouse=True, scope="module")
def short_texts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqlrp.benchmark, "GROWN_FROM", 5)
        yield


@pytest.fixture(scope="module")
def tiny() -> BenchmarkReport:
    """A small benchmark, measured once."""
    return benchmark(**TINY)


class FakeTime:
    """A clock that moves only while a contender runs, and remembers who ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contender(
        self, name: str, seconds: float, expected: float = 1, iterated: bool = False
    ) -> Contender:
        def run() -> Tensor:
            self.now += seconds
            self.ran.append(name)
            return torch.tensor(seconds)

        return Contender(run, expected, iterated)


def timed(clock: FakeTime, running: dict[str, Contender], **options: Any) -> dict[str, int]:
    """How many rounds each contender took part in; every one must have been timed rightly."""
    options = {"seconds": 1.0, "limit": 100.0, "seed": 0} | options
    found = time_interleaved(running, clock=clock, **options)
    assert list(found) == list(running)
    for contender in found.values():
        if contender.result is not None:
            assert contender.seconds == pytest.approx(
                [float(contender.result)] * len(contender.seconds)
            )
    return {name: len(contender.seconds) for name, contender in found.items()}


def test_every_contender_runs_once_a_round_until_time_is_up() -> None:
    clock = FakeTime()
    running = {name: clock.contender(name, 0.05) for name in ("a", "b")}
    assert timed(clock, running) == {"a": 10, "b": 10}
    rounds = clock.ran[3:]  # the first runs twice to warm up, the other once
    pairs = [tuple(rounds[k : k + 2]) for k in range(0, len(rounds), 2)]
    assert set(pairs) == {("a", "b"), ("b", "a")}


def test_slow_contenders_have_a_few_rounds_and_quick_ones_not_too_many() -> None:
    clock = FakeTime()
    assert timed(clock, {"a": clock.contender("a", 5.0)}) == {"a": FEWEST}
    assert timed(clock, {"a": clock.contender("a", 1e-6)}) == {"a": MOST}


def test_iterated_contenders_take_no_more_than_the_others() -> None:
    clock = FakeTime()
    running = {
        "a": clock.contender("a", 0.1),
        "quarter": clock.contender("quarter", 0.25, 2, iterated=True),
        "long": clock.contender("long", 30.0, 50, iterated=True),
    }
    assert timed(clock, running) == {"a": 10, "quarter": 4, "long": 1}


def test_calls_beyond_the_limit_are_not_made() -> None:
    clock = FakeTime()
    running = {
        "a": clock.contender("a", 0.1),
        "b": clock.contender("b", 0.1, 11),
        "c": clock.contender("c", 0.1, 9, iterated=True),
    }
    assert timed(clock, running, limit=1.0)["b"] == 0
    assert set(clock.ran) == {"a", "c"}
    clock = FakeTime()
    assert timed(clock, {"a": clock.contender("a", 2.0)}, limit=1.0) == {"a": 0}
    assert clock.ran == ["a"]


def cell(question: str = "speed", **options: Any) -> Cell:
    return Cell(question, "gru", 2, 3, 6, 2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", ["max", "last"])
@pytest.mark.parametrize("packed", [False, True])
def test_contenders_compute_what_they_are_called(pooling: Any, packed: bool) -> None:
    where = cell(pooling=pooling, packed=packed)
    model, ids = classifier(where), random_ids(where, where.length)
    assert bool((ids == 0).any()) == packed
    found = {name: c.run() for name, c in contenders(where, captum=False).items()}
    assert tuple(found) == PARTS
    assert torch.equal(found["forward"], model(ids))
    assert torch.equal(found["lrp"], seqlrp.LRP(model).attribute(ids, target=0))
    words = ids != 0
    # A word's vector is zero for padding; so it is for a word that is occluded.
    for row, position in words.nonzero().tolist():
        vectors = model.embedding(ids).detach()
        vectors[row, position] = 0
        fall = found["forward"] - model.read(vectors, *model.lengths(ids))
        assert found["occlusion"][row, position].item() == pytest.approx(
            fall[row, 0].item(), abs=1e-6
        )
    if pooling == "last":  # the score is smooth: the integral is that of the difference
        nothing = model.read(torch.zeros(2, 6, 50), *model.lengths(ids))
        whole = (found["forward"] - nothing)[:, 0].detach()
        assert torch.allclose(found["integrated_gradients"].sum(1), whole, atol=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="Captum is not installed")
@pytest.mark.parametrize("packed", [False, True])
def test_captum_computes_the_same(packed: bool) -> None:
    where = cell(pooling="last", packed=packed)
    own, theirs = contenders(where, captum=False), contenders(where, captum=True)
    for name in PARTS:
        assert torch.allclose(own[name].run(), theirs[name].run(), atol=1e-4), name


def test_other_questions_have_other_contenders() -> None:
    classes = contenders(cell("classes", classes=5), captum=False)
    assert classes["all_classes"].run().shape == (2, 5, 6)
    growth = contenders(cell("growth"), captum=False)
    assert [growth[name].run().shape for name in ("lrp", "longer")] == [(2, 6), (2, 60)]


@pytest.mark.parametrize("packed", [False, True])
def test_what_takes_words_out_computes_the_same_at_once(packed: bool) -> None:
    # In a longer text some words do less than rounding.
    short = Cell("curves", "lstm", 2, 3, 14, 2, packed=packed)
    curves = {name: c.run() for name, c in curve_contenders(short).items()}
    assert curves["curves"].shape == (2, DELETED + 1, 2)
    assert torch.allclose(curves["curves"], curves["passes"], atol=1e-6)
    assert curves["passes"].diff(dim=1).abs().amax(-1).min() > 1e-5  # each word does something
    words = {n: c.run() for n, c in occlusion_contenders(cell(), captum=False).items()}
    assert torch.allclose(words["every_word"], words["occlusion"], atol=1e-6)
    assert words["occlusion"].abs().min() > 0


def test_a_benchmark_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = seqlrp.benchmark._grid

    def one_of_each(**sizes: Any) -> list[Cell]:
        return [*{where.question: where for where in grid(**sizes)}.values()]

    monkeypatch.setattr(seqlrp.benchmark, "_grid", one_of_each)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    python_state = random.getstate()
    other = 1 if threads > 1 else 2
    report = benchmark(**TINY | {"threads": (other,)})
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    assert {c.threads for c in report.cells} == {other}


def test_every_cell_is_measured(tiny: BenchmarkReport) -> None:
    report = tiny
    speed = [c for c in report.cells if c.question == "speed"]
    assert {(c.kind, c.directions) for c in speed} == {
        (kind, directions) for kind in ("lstm", "gru") for directions in (1, 2)
    }
    for where in speed:
        assert {m.contender for m in report.measurements if m.cell == where} == set(PARTS)
        assert report.ratio(where, "lrp/forward") > 0
    assert all(m.values and m.median > 0 for m in report.measurements)
    assert [c.question for c in report.cells].count("growth") == 2
    grown = next(c for c in report.cells if c.question == "growth")
    assert math.isnan(report.ratio(grown, "memory growth"))
    assert "Captum" not in report.environment["Others"]
    text = report.summary()
    assert text.index("Goals") < text.index("÷forward") < text.index("all÷one")


def test_an_interrupt_ends_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))

    def interrupting(where: Cell, *, captum: bool) -> dict[str, Contender]:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return contenders(where, captum=captum)

    monkeypatch.setattr(seqlrp.benchmark, "contenders", interrupting)
    threads = torch.get_num_threads()
    report = benchmark(**TINY)
    assert report.interrupted
    assert len(report.cells) == 2
    assert "Interrupted" in report.summary()
    assert torch.get_num_threads() == threads


def test_a_device_without_memory_costs_a_cell_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(where: Cell, *, captum: bool) -> dict[str, Contender]:
        if where.kind == "lstm":
            raise torch.OutOfMemoryError("too much")
        return contenders(where, captum=captum)

    monkeypatch.setattr(seqlrp.benchmark, "contenders", exhausted)
    report = benchmark(**TINY)
    for where in report.cells:
        measured = not math.isnan(report.ratio(where, "lrp/forward"))
        assert measured == (where.kind == "gru" and where.question == "speed")
    assert "out of memory" in report.summary()


def report_of(*rows: tuple[Cell, dict[str, float]], **more: Any) -> BenchmarkReport:
    measurements = tuple(
        Measurement(where, name, (value, value))
        for where, row in rows
        for name, value in row.items()
    )
    return BenchmarkReport(measurements, {"Device": "an abacus"}, **more)


def test_ratios_are_of_medians() -> None:
    where = cell()
    report = BenchmarkReport(
        (Measurement(where, "lrp", (9.0, 2.0, 1.0)), Measurement(where, "forward", (1.0, 3.0))), {}
    )
    assert report.ratio(where, "lrp/forward") == 1.0
    assert math.isnan(report.ratio(where, "lrp/occlusion"))
    assert report.verdicts()[0].unsteady == 0
    grown = report_of((cell("growth"), {"lrp": 1.0, "longer": 12.0}))
    assert grown.ratio(cell("growth"), "growth") == pytest.approx(1.2)
    with pytest.raises(OptionError, match="Did you mean 'lrp/forward'"):
        report.ratio(where, "lrp/forwards")


def test_goals_name_the_worst_cells() -> None:
    ratios = {64: 0.3, 128: 0.4, 512: 1.5}
    rows = [
        (
            Cell("speed", "lstm", 1, hidden, 20, 1 if hidden == 64 else 32),
            {"lrp": ratio, "gradient_x_input": 1.0, "forward": ratio / 3},
        )
        for hidden, ratio in ratios.items()
    ]
    report = report_of(*rows)
    verdicts = {v.name: v for v in report.verdicts()}
    assert list(verdicts) == list(GOALS)
    middle = verdicts["LRP ÷ gradient × input, median"]
    worst = verdicts["LRP ÷ gradient × input, B ≥ 32, worst"]
    assert (middle.found, middle.reached, worst.found, worst.reached) == (0.4, True, 1.5, False)
    assert worst.worst[0][0].hidden == 512
    assert verdicts["LRP ÷ gradient × input, B = 1, worst"].found == 0.3
    assert verdicts["LRP ÷ forward, B ≥ 32, worst"].cells == 2
    assert verdicts["all classes ÷ one, worst"].reached is None
    text = report.summary()
    (line,) = [part for part in text.splitlines() if part.startswith("      worst")][:1]
    assert line == "      worst: lstm ×1 H=512 T=20 B=32 (1 thread) 1.50"
    assert "0.40  reached (3 cells)" in text
    assert "not measured" in text


def test_goals_about_the_processor_leave_other_devices_alone() -> None:
    row = {"lrp": 9.0, "gradient_x_input": 1.0}
    report = report_of((cell(device="cuda:1"), row))
    assert {v.reached for v in report.verdicts()} == {None}


def test_a_goal_is_reached_at_its_limit() -> None:
    for name, goal in GOALS.items():
        if goal.ratio == BY_THREADS:  # of two cells
            continue
        above, below, divisor = RATIOS[goal.ratio]
        for factor, reached in ((1.0, True), (1.01, False)):
            row = {above: factor * goal.limit * divisor, below: 1.0}
            report = report_of((Cell("speed", "gru", 1, 8, 20, goal.batch), row))
            (verdict,) = [v for v in report.verdicts() if v.name == name]
            assert verdict.reached is reached, name


def test_threads_are_compared_with_one() -> None:
    one = Cell("speed", "gru", 1, 8, 20, 64)
    report = report_of(
        (one, {"lrp": 2.0}),
        (replace(one, threads=2), {"lrp": 1.2}),
        (replace(one, threads=2, batch=1), {"lrp": 9.0}),  # too small, and not measured with one
    )
    assert math.isnan(report.ratio(one, BY_THREADS))
    assert report.ratio(replace(one, threads=2), BY_THREADS) == pytest.approx(0.6)
    middle, worst = (v for v in report.verdicts() if v.goal.ratio == BY_THREADS)
    assert (middle.cells, middle.reached, worst.reached) == (1, False, True)
    assert "÷one thread" in report.summary()


def test_what_to_be_careful_about_is_said() -> None:
    measurements = (
        Measurement(cell(), "forward", (1.0, 1.0, 1.0)),
        Measurement(cell(), "lrp", (1.0, 1.0, 9.0)),
        Measurement(cell(), "gradient_x_input", (1.0,), subnormal=0.25),
        Measurement(cell(), "occlusion", (), "a call would take more than 1 s"),
    )
    text = BenchmarkReport(measurements, {}).summary()
    assert "~: unsteady. LRP in 1 cell took more than 5 times" in text
    assert "times at gru ×2 H=3 T=6 B=2 (1 thread)" in text
    assert "unsteady. forward" not in text
    assert "gradient × input in 1 cell, 25% of what it found at gru ×2 H=3" in text
    assert "–: left out, a call would take more than 1 s." in text
    (row,) = [line for line in text.splitlines() if line.startswith("gru")]
    assert row.split()[-5:] == ["~1.00", "~1.00", "–", "–", "–"]


def test_subnormal_relevance_is_found() -> None:
    share: Callable[[Tensor | None], float] = seqlrp.benchmark._subnormal
    assert share(torch.tensor([1e-40, 0.0, -1e-41, 1.0])) == 0.5
    assert share(torch.tensor([1e-40], dtype=torch.float64)) == 0
    assert share(None) == 0


def test_the_report_is_json(tmp_path: Path, tiny: BenchmarkReport) -> None:
    report = tiny
    report.save(tmp_path / "b.json")
    found = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    assert found["environment"]["Versions"].startswith("Python")
    assert [goal["goal"] for goal in found["goals"]] == list(GOALS)
    assert len(found["cells"]) == len(report.cells)
    first = found["cells"][0]
    assert (first["kind"], first["hidden"], first["question"]) == ("lstm", 3, "speed")
    times = {name: part["median_ms"] for name, part in first["contenders"].items()}
    assert first["ratios"]["lrp/forward"] == pytest.approx(times["lrp"] / times["forward"])
    assert len(first["contenders"]["lrp"]["rounds_ms"]) >= FEWEST
    empty = BenchmarkReport((Measurement(cell(), "lrp", (), "why"),), {}).to_json()
    json.dumps(empty, allow_nan=False)
    assert empty["cells"][0]["contenders"] == {"lrp": {"left_out": "why"}}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_of_longer_texts_is_measured_apart() -> None:
    short, long = memory_growth(Cell("growth", "lstm", 1, 32, 200, 16))
    assert (short.contender, long.contender) == ("memory", "memory_longer")
    assert short.left_out == long.left_out == ""
    # The vectors and gates of 16 texts alone; ten times as long, and more than twice the memory.
    assert short.median > 16 * 200 * (50 + 4 * 32) * 4
    assert long.median > 2 * short.median


def test_memory_that_cannot_be_measured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqlrp.benchmark.memory._RESET", Path("/nowhere"))
    assert {m.left_out for m in memory_growth(cell("growth"))} == {
        "only Linux tells the peak memory of a process"
    }
    monkeypatch.setattr("seqlrp.benchmark.memory._RESET", Path(__file__))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert {m.left_out for m in memory_growth(cell("growth"))} == {
        "memory could not be measured: status 1"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (0,)}, "Got hidden=0; expected a whole number, at least 1"),
        ({"batch": (1.5,)}, "Got batch=1.5; expected a whole number"),
        ({"threads": (-1,)}, "Got threads=-1;"),
        ({"seconds": 0.0}, "Got seconds=0.0; expected a finite number, above 0"),
        ({"limit": math.nan}, "Got limit=nan; expected a finite number, above 0"),
        ({"pooling": "mean"}, "Known: 'max', 'last'|Did you mean 'max'"),
        ({"device": "tpu"}, "Got device='tpu'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        benchmark(**TINY | options)


def test_a_page_of_reviews_is_small_and_is_told() -> None:
    seconds = iter(range(100))
    made = measure_page(lambda: float(next(seconds)))
    assert (made.texts, made.words, set(made.seconds)) == (100, 250, {1.0})
    assert made.size < 1_500_000
    reviews = generate_reviews(100, 250, 0)
    assert made.size == len(render(reviews, page=True).encode())
    assert {len(re.findall(r"\w+", e.text)) for e in reviews} == {250}
    # As in real reviews, which have 4.4 letters a word and 36 marks in 250 words.
    assert 4 < sum(len(word) for e in reviews for word in re.findall(r"\w+", e.text)) / 25_000 < 5
    assert 34 < sum(len(e.tokens) - 250 for e in reviews) / 100 < 38
    for e in reviews:
        assert sum(e.ledger.values()) == pytest.approx(e.score)  # type: ignore[arg-type]
    assert generate_reviews(2, 9, 1)[1].text != generate_reviews(2, 9, 0)[1].text


@pytest.mark.parametrize(
    ("size", "seconds", "said"),
    [
        (1_490_000, 0.99, ["1.5    1.49  reached", "1.0    0.99  reached"]),
        (1_500_000, 1.0, ["1.5    1.50  not reached", "1.0    1.00  not reached"]),
    ],
)
def test_what_a_page_is_meant_to_keep_stands_with_the_goals(
    size: int, seconds: float, said: list[str]
) -> None:
    page = PageMeasurement(100, 250, size, (9.0, seconds, 0.0))
    report = report_of((cell(), {"lrp": 1.0, "forward": 0.5}), page=page)
    lines = report.summary().splitlines()
    start = lines.index("Goals, a page of 100 reviews of 250 words:")
    assert [line.split("< ")[1] for line in lines[start + 1 : start + 3]] == said
    assert lines.index("Goals, ratios of medians:") < start
    found = json.loads(json.dumps(report.to_json()))["page"]
    assert (found["bytes"], found["rounds_ms"][1]) == (size, 1000 * seconds)
    alone = report_of((cell(), {"lrp": 1.0}))
    assert "a page" not in alone.summary()
    assert alone.to_json()["page"] is None


def test_a_benchmark_makes_a_page_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    made = PageMeasurement(1, 2, 3, (4.0,))
    seeds: list[int] = []

    def fake(clock: Callable[[], float], *, seed: int) -> PageMeasurement:
        seeds.append(seed)
        return made

    monkeypatch.setattr(seqlrp.benchmark, "measure_page", fake)
    assert benchmark(**TINY).page is None
    assert benchmark(**TINY | {"page": True, "seed": 7}).page == made
    assert seeds == [7]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    sys.argv = ["seqlrp", "benchmark", *map(str, arguments)]
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seqlrp.benchmark, "memory_growth", lambda where: [])
    lists = ("--hidden", "3", "--length", "4,5", "--batch", 2, "--threads", "1", "--seconds", 0.001)
    path = tmp_path / "b.json"
    status, out, err = run(
        capsys, "--quick", *lists, "--pooling", "last", "--packed", "--out", path
    )
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == str(path)
    assert "packed, last pooling" in out
    assert {c["length"] for c in json.loads(path.read_text())["cells"]} == {4, 5}
    status, out, err = run(capsys, "--hidden", "3;4")
    assert (status, out) == (2, "")
    assert "Got --hidden '3;4'; expected numbers" in err


def test_the_command_line_shows_what_there_is_when_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: Any) -> BenchmarkReport:
        return report_of((cell(), {"lrp": 1.0, "forward": 0.5}), interrupted=True)

    monkeypatch.setattr(seqlrp.benchmark, "benchmark", interrupted)
    status, out, _ = run(capsys)
    assert status == 130
    assert "Interrupted" in out
    assert "2.00" in out
