"""Progress on a terminal, and where there is none."""

from __future__ import annotations

import io
import sys
import time
from itertools import count

import pandas as pd
import pytest

from seqlrp.scale.bars import BYTES, Bar
from seqlrp.scale.plan import make_plan
from seqlrp.scale.source import cut, find_files


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):  # type: ignore[no-untyped-def]
    """A list whose only element is the time, in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_a_minute(clock, capsys) -> None:  # type: ignore[no-untyped-def]
    with Bar("explaining", 1000, "text", None, before=100) as bar:
        for seconds in range(1, 131):
            clock[0] = 100.0 + seconds
            bar.note("3 set aside" if seconds > 70 else "")
            bar.add(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "explaining: 220 of 1,000 texts (22.0 %), 2 a second, 0:06:30 left",
        "explaining: 340 of 1,000 texts (34.0 %), 2 a second, 0:05:30 left, 3 set aside",
        "explaining: 360 of 1,000 texts (36.0 %), 2 a second, 0:05:20 left, 3 set aside",
    ]


def test_what_was_before_a_restart_does_not_count(clock) -> None:  # type: ignore[no-untyped-def]
    bar = Bar("explaining", 100, "text", False)
    bar.add(10)
    clock[0] += 1000
    bar.restart()
    clock[0] += 10
    bar.add(20)
    assert bar.line() == "explaining: 30 of 100 texts (30.0 %), 2 a second, 0:00:35 left"
    bar.close()


def test_what_takes_no_minute_shows_nothing(clock, capsys) -> None:  # type: ignore[no-untyped-def]
    with Bar("reading the source", 10, BYTES, None) as bar:
        bar.add(10)
    with Bar("explaining", 10, "text", False) as bar:
        clock[0] += 90
        bar.add(5)
    assert capsys.readouterr().err == ""
    bar = Bar("explaining", 10, "text", None)
    bar.add(10)
    bar.close(last=True)
    assert capsys.readouterr().err.startswith("explaining: 10 of 10 texts (100.0 %)")


def test_on_a_terminal_there_is_a_bar(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Bar("reading the source", 4_000_000, BYTES, None) as bar:
        bar.note("slowly")
        bar.add(1_000_000)
    shown = terminal.getvalue()
    assert "reading the source" in shown
    assert "1.00M/4.00M" in shown
    assert "slowly" in shown


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_reading_a_source_is_shown(suffix, tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    table = pd.DataFrame({"text": ["a good film"] * 95})
    for name in ("a", "b"):
        path = tmp_path / (name + suffix)
        table.to_parquet(path) if suffix == ".parquet" else table.to_json(
            path, orient="records", lines=True
        )
    files = find_files([str(tmp_path)])
    told: list[int] = []
    cut(files, 10, told.append)
    assert sum(told) == sum(file.size for file in files)
    assert sum(amount > 0 for amount in told) == (2 if suffix == ".parquet" else 20)
    make_plan([str(tmp_path)], {}, 10, None)
    assert capsys.readouterr().err == ""
    monotonic = count(0, 61)
    monkeypatch.setattr(time, "monotonic", lambda: next(monotonic))
    make_plan([str(tmp_path)], {}, 10, None)
    assert "reading the source: 0 of 0 MB (" in capsys.readouterr().err
