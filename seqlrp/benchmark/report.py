"""What a benchmark found: ratios of times measured side by side, and which goals they reach."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any, Literal

from seqlrp.benchmark.cells import (
    BY_THREADS,
    CONTENDER_NAMES,
    LONGER,
    RATIOS,
    Cell,
    Measurement,
    Question,
)
from seqlrp.benchmark.pages import PageMeasurement
from seqlrp.errors import OptionError, near
from seqlrp.writing import written_whole

UNSTEADY = 5.0  # slow rounds that take so many times as long as quick ones are worth a note
_COLUMNS: dict[Question, dict[str, str]] = {
    "speed": {
        "lrp/forward": "÷forward",
        "lrp/gradient_x_input": "÷grad×inp",
        "lrp/integrated_gradients": "÷int.grad",
        "lrp/occlusion": "÷occlusion",
        BY_THREADS: "÷one thread",
    },
    "classes": {"all/one": "all÷one"},
    "growth": {"growth": "time", "memory growth": "memory"},
    "curves": {"curves/passes": "÷passes"},
    "every word": {"every word/occlusion": "÷occlusion"},
}
_TITLES: dict[Question, str] = {
    "speed": "LRP for one class, divided by the same texts through",
    "classes": 'LRP with target="all", divided by one class',
    "growth": f"LRP for texts {LONGER} times as long: what a token takes, divided by before",
    "curves": "Word deletion, 0 to 10 words of every text, divided by a pass for each of these",
    "every word": "Every word left out in turn by seqlrp's occlusion, divided by a pass a word",
}


@dataclass(frozen=True)
class Goal:
    """A bound that a ratio is meant to keep.

    Attributes:
        ratio: a name in `RATIOS`.
        statistic: whether the median over cells or each cell has to keep it.
        limit: the largest ratio that does.
        device: the only type of device that it is about, or None.
        batch: the smallest batch that it is about.
        largest: the largest batch that it is about, or None.
    """

    ratio: str
    statistic: Literal["median", "max"]
    limit: float
    device: str | None = None
    batch: int = 1
    largest: int | None = None

    def about(self, cell: Cell) -> bool:
        """Return whether the goal applies to a cell."""
        fits = self.batch <= cell.batch and (self.largest is None or cell.batch <= self.largest)
        return fits and self.device in (None, cell.device.partition(":")[0])


GOALS = {
    "LRP ÷ gradient × input, median": Goal("lrp/gradient_x_input", "median", 0.5, device="cpu"),
    "LRP ÷ gradient × input, B ≥ 32, worst": Goal(
        "lrp/gradient_x_input", "max", 0.8, device="cpu", batch=32
    ),
    "LRP ÷ gradient × input, B = 1, worst": Goal(
        "lrp/gradient_x_input", "max", 1.2, device="cpu", largest=1
    ),
    "LRP ÷ forward, B ≥ 32, worst": Goal("lrp/forward", "max", 2.0, batch=32),
    "several threads ÷ one, B ≥ 64, median": Goal(BY_THREADS, "median", 0.55, "cpu", batch=64),
    "several threads ÷ one, B ≥ 64, worst": Goal(BY_THREADS, "max", 0.62, "cpu", batch=64),
    "all classes ÷ one, worst": Goal("all/one", "max", 5.0),
    "growth of time a token, worst": Goal("growth", "max", 1.2),
    "growth of memory a token, worst": Goal("memory growth", "max", 1.2),
    "curves of deletion ÷ passes, worst": Goal("curves/passes", "max", 0.2),
    "every word ÷ occlusion, worst": Goal("every word/occlusion", "max", 0.25),
}


@dataclass(frozen=True)
class Verdict:
    """How a goal fared.

    Attributes:
        name: of the goal.
        goal: the bound.
        found: the ratio, NaN where nothing was measured.
        cells: how many it was measured in.
        unsteady: in how many of these times varied much between rounds.
        worst: the worst cells with their ratios, the worst first.
    """

    name: str
    goal: Goal
    found: float
    cells: int
    unsteady: int
    worst: tuple[tuple[Cell, float], ...]

    @property
    def reached(self) -> bool | None:
        """Whether it was reached, None where nothing was measured."""
        return None if math.isnan(self.found) else self.found <= self.goal.limit


@dataclass(frozen=True, repr=False)
class BenchmarkReport:
    """Ratios of medians, from one run.

    Attributes:
        measurements: one a cell and contender.
        environment: device, threads, versions, and whose implementations were timed.
        interrupted: whether cells are missing because somebody stopped it.
        page: what a page of explanations weighs and takes; None where none was made.
    """

    measurements: tuple[Measurement, ...]
    environment: Mapping[str, str]
    interrupted: bool = False
    page: PageMeasurement | None = None

    def __repr__(self) -> str:
        return f"BenchmarkReport({len(self.cells)} cells)"

    @cached_property
    def _by_contender(self) -> dict[tuple[Cell, str], Measurement]:
        return {(m.cell, m.contender): m for m in self.measurements}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in the order in which they were measured."""
        return tuple(dict.fromkeys(m.cell for m in self.measurements))

    def ratio(self, cell: Cell, name: str) -> float:
        """A ratio of `RATIOS` in one cell, NaN where a part of it was not measured.

        Raises:
            OptionError: there is no such ratio.
        """
        if name not in RATIOS:
            raise OptionError(f"There is no ratio {name!r}. {near(name, RATIOS)}")
        parts = self._parts(cell, name)
        if any(part is None or not part.values or not part.median for part in parts):
            return math.nan
        over, under = (part.median for part in parts if part is not None)
        return over / under / RATIOS[name][2]

    def _parts(self, cell: Cell, name: str) -> list[Measurement | None]:
        """Return numerator and denominator of a ratio, None for what was not measured."""
        above, below, _ = RATIOS[name]
        beside = cell
        if name == BY_THREADS:
            if cell.threads == 1 or cell.question != "speed":
                return [None, None]
            beside = replace(cell, threads=1)
        return [self._by_contender.get((cell, above)), self._by_contender.get((beside, below))]

    def unsteady(self, cell: Cell, name: str) -> bool:
        """Whether either part of a ratio of `RATIOS` varied much between rounds."""
        parts = self._parts(cell, name)
        return any(part is not None and part.spread > UNSTEADY for part in parts)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Each goal: what was found, and the worst cells with the worst first."""
        return tuple(self._verdict(name, goal) for name, goal in GOALS.items())

    def _verdict(self, name: str, goal: Goal) -> Verdict:
        about = [(cell, self.ratio(cell, goal.ratio)) for cell in self.cells if goal.about(cell)]
        known = sorted(((c, r) for c, r in about if not math.isnan(r)), key=lambda pair: -pair[1])
        if not known:
            return Verdict(name, goal, math.nan, 0, 0, ())
        ratios = [ratio for _, ratio in known]
        found = median(ratios) if goal.statistic == "median" else ratios[0]
        unsteady = sum(self.unsteady(cell, goal.ratio) for cell, _ in known)
        return Verdict(name, goal, found, len(known), unsteady, tuple(known[:3]))

    def summary(self) -> str:
        """Goals first, then a table of ratios for each question, then what to be careful about."""
        lines = [f"{name}: {value}" for name, value in self.environment.items()]
        if self.interrupted:
            lines.append("Interrupted: what follows is what had been measured.")
        lines += ["", "Goals, ratios of medians:"]
        for verdict in self.verdicts():
            lines += _verdict_lines(verdict)
        if self.page is not None:
            lines += self.page.lines()
        for question, columns in _COLUMNS.items():
            lines += self._table(question, columns)
        if notes := self._notes():
            lines += ["", *notes]
        return "\n".join(lines)

    def _table(self, question: Question, columns: Mapping[str, str]) -> list[str]:
        cells = [cell for cell in self.cells if cell.question == question]
        if not cells:
            return []
        width = max(len(str(cell)) for cell in cells)
        header = f"{'':{width}}" + "".join(f"{title:>12}" for title in columns.values())
        rows = [
            f"{cell!s:{width}}" + "".join(f"{self._entry(cell, name):>12}" for name in columns)
            for cell in cells
        ]
        return ["", f"{_TITLES[question]}:", header, *rows]

    def _entry(self, cell: Cell, name: str) -> str:
        ratio = self.ratio(cell, name)
        return ("~" if ratio == ratio and self.unsteady(cell, name) else "") + _format(ratio)

    def _notes(self) -> list[str]:
        notes = [
            f"–: left out, {reason}."
            for reason in dict.fromkeys(m.left_out for m in self.measurements if m.left_out)
        ]
        for contender, name in CONTENDER_NAMES.items():
            those = [m for m in self.measurements if m.contender == contender]
            unsteady = [m for m in those if m.spread > UNSTEADY]
            if unsteady:
                most = max(unsteady, key=lambda m: m.spread)
                notes.append(
                    f"~: unsteady. {name} in {_cells(len(unsteady))} took more than {UNSTEADY:g} "
                    f"times as long in slow rounds as in quick ones, {most.spread:.0f} times at "
                    f"{most.cell}: the machine was busy with something else, or numbers were "
                    f"subnormal."
                )
            slowed = [m for m in those if m.subnormal]
            if slowed:
                most = max(slowed, key=lambda m: m.subnormal)
                notes.append(
                    f"Subnormal numbers, which a CPU computes slowly: {name} in "
                    f"{_cells(len(slowed))}, {most.subnormal:.0%} of what it found at {most.cell}."
                )
        return notes

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values: goals, ratios, and milliseconds or bytes of each round."""
        verdicts = [
            {
                "goal": v.name,
                **asdict(v.goal),
                "found": _number(v.found),
                "cells": v.cells,
                "unsteady": v.unsteady,
                "reached": v.reached,
                "worst": [{**asdict(cell), "ratio": ratio} for cell, ratio in v.worst],
            }
            for v in self.verdicts()
        ]
        return {
            "environment": dict(self.environment),
            "interrupted": self.interrupted,
            "goals": verdicts,
            "page": None if self.page is None else self.page.to_json(),
            "cells": [self._cell_json(cell) for cell in self.cells],
        }

    def _cell_json(self, cell: Cell) -> dict[str, Any]:
        ratios = {name: self.ratio(cell, name) for name in RATIOS}
        return {
            **asdict(cell),
            "ratios": {name: ratio for name, ratio in ratios.items() if not math.isnan(ratio)},
            "contenders": {
                m.contender: _measurement_json(m) for m in self.measurements if m.cell == cell
            },
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_json()` to a file.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


def _verdict_lines(verdict: Verdict) -> Iterable[str]:
    goal = verdict.goal
    start = f"  {verdict.name:39}≤ {goal.limit:<5}"
    if verdict.reached is None:
        yield f"{start}not measured"
        return
    outcome = "reached" if verdict.reached else "not reached"
    about = _cells(verdict.cells) + (f", {verdict.unsteady} unsteady" if verdict.unsteady else "")
    yield f"{start}{_format(verdict.found):>6}  {outcome} ({about})"
    beyond = [(cell, ratio) for cell, ratio in verdict.worst if ratio > goal.limit]
    if not verdict.reached:
        yield "      worst: " + "; ".join(f"{cell} {_format(ratio)}" for cell, ratio in beyond)


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"


def _measurement_json(m: Measurement) -> dict[str, Any]:
    if not m.values:
        return {"left_out": m.left_out}
    unit, scale = ("bytes", 1) if m.contender.startswith("memory") else ("ms", 1000)
    return {
        f"median_{unit}": m.median * scale,
        f"rounds_{unit}": [value * scale for value in m.values],
        "spread": _number(m.spread),
        "subnormal": m.subnormal,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _format(ratio: float) -> str:
    """Two digits: after the point, or significant ones where the ratio is small."""
    if math.isnan(ratio):
        return "–"
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:#.2g}"
