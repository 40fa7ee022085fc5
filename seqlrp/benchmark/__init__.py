"""How fast LRP is: ratios to other ways of explaining, all measured side by side in one run.

Times by themselves say more of the machine than of the code, so none is shown but in the JSON; the
exception is a page, which people wait for, and whose size is told with it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.benchmark.cells import Cell, Kind, Measurement, Pooling
from seqlrp.benchmark.contenders import STEPS, contenders, has_captum
from seqlrp.benchmark.memory import memory_growth
from seqlrp.benchmark.pages import PageMade, page_made
from seqlrp.benchmark.removals import curve_contenders, occlusion_contenders
from seqlrp.benchmark.report import GOALS, BenchmarkReport, Goal
from seqlrp.benchmark.timing import Clock, interleaved
from seqlrp.devices import resolve_device
from seqlrp.errors import OptionError, near

__all__ = ["GOALS", "BenchmarkReport", "Cell", "Goal", "Measurement", "PageMade", "benchmark"]

HIDDEN, LENGTHS, BATCHES = (64, 128, 512), (20, 100, 400), (1, 32, 256)
SECONDS, LIMIT = 1.0, 10.0
QUICK: dict[str, Any] = {  # what `quick` takes for what was not given
    "hidden": (64,),
    "length": (20, 100),
    "batch": (1, 32),
    "seconds": 0.3,
    "limit": 1.0,
}
CLASSES = 20  # for all classes against one
GROWN_FROM = 200  # tokens: growth is from here on


def benchmark(
    *,
    hidden: Sequence[int] | None = None,
    length: Sequence[int] | None = None,
    batch: Sequence[int] | None = None,
    threads: Sequence[int] | None = None,
    device: str = "cpu",
    pooling: Pooling = "max",
    packed: bool = False,
    seconds: float | None = None,
    limit: float | None = None,
    quick: bool = False,
    captum: bool | None = None,
    memory: bool = True,
    page: bool = True,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    progress: bool | None = None,
) -> BenchmarkReport:
    """Time LRP and other ways of explaining on LSTMs and GRUs with one and two directions.

    An interrupt (Ctrl-C) ends it with what has been measured.

    Args:
        hidden: units H, by default 64, 128 and 512.
        length: tokens T, by default 20, 100 and 400.
        batch: texts B, by default 1, 32 and 256.
        threads: of the CPU, by default as many as torch has now; they are set back afterwards.
        device: "cpu", "cuda" or "auto".
        pooling: "max" over the steps, or the "last" state of each direction.
        packed: pack sequences, whose lengths are then T/2 to T.
        seconds: for a cell of the table, by default 1, besides what occlusion and the like take.
        limit: contenders whose single call would take longer are left out; 10 seconds by default.
        quick: a small grid, in less than a minute.
        captum: whether to time Captum's methods; by default where it is installed.
        memory: also measure how peak memory grows.
        page: also make a page of 100 reviews of 250 words, and tell its size and its time.
        seed: of the order within a round, and of those reviews.
        clock: gives seconds.
        progress: a progress bar; by default where stderr is a terminal.

    Raises:
        OptionError: a size below 1, an unknown device, or the like.
    """
    default = QUICK if quick else {}
    sizes = {
        "hidden": _sizes("hidden", hidden or default.get("hidden", HIDDEN)),
        "length": _sizes("length", length or default.get("length", LENGTHS)),
        "batch": _sizes("batch", batch or default.get("batch", BATCHES)),
        "threads": _sizes("threads", threads or (torch.get_num_threads(),)),
    }
    seconds = default.get("seconds", SECONDS) if seconds is None else seconds
    limit = default.get("limit", LIMIT) if limit is None else limit
    if not (seconds > 0 and limit > 0):
        raise OptionError(f"Seconds and limit must be above 0, got {seconds!r} and {limit!r}.")
    if pooling not in get_args(Pooling):
        raise OptionError(f"Unknown pooling {pooling!r}. {near(str(pooling), get_args(Pooling))}")
    captum = has_captum() if captum is None else captum
    where = resolve_device(device)
    common: dict[str, Any] = {"device": str(where), "pooling": pooling, "packed": packed}
    cells = [replace(cell, **common) for cell in _grid(**sizes, quick=quick)]
    measured: list[Measurement] = []
    made: PageMade | None = None
    interrupted = False
    before = torch.get_num_threads()
    environment = _environment(where, sizes["threads"], common, captum)
    try:
        made = page_made(clock, seed=seed) if page else None
        for cell in tqdm(cells, unit="cell", disable=None if progress is None else not progress):
            torch.set_num_threads(cell.threads)
            try:
                measured += _timed(cell, seconds, limit, clock, seed, captum)
                if cell.question == "growth" and memory:
                    measured += memory_growth(cell)
            except torch.OutOfMemoryError:
                measured.append(Measurement(cell, "lrp", (), "out of memory on the device"))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        torch.set_num_threads(before)
    return BenchmarkReport(tuple(measured), environment, interrupted, made)


def _grid(
    hidden: Sequence[int],
    length: Sequence[int],
    batch: Sequence[int],
    threads: Sequence[int],
    quick: bool,
) -> list[Cell]:
    """Every cell for speed; for other questions, the batch and length in the middle."""
    models = list(product(threads, get_args(Kind), (1, 2), hidden))
    middle_length, middle_batch = (sorted(s)[len(s) // 2] for s in (length, batch))
    cells = [
        Cell("speed", kind, directions, h, t, b, threads=n)
        for n, kind, directions, h in models
        for t, b in product(length, batch)
    ]
    if quick:
        models = [model for model in models if model[2] == 1]
    for n, kind, directions, h in models:
        cells.append(
            Cell("classes", kind, directions, h, middle_length, middle_batch, CLASSES, threads=n)
        )
        cells.append(Cell("growth", kind, directions, h, GROWN_FROM, middle_batch, threads=n))
        cells.append(Cell("curves", kind, directions, h, middle_length, middle_batch, threads=n))
        cells.append(Cell("every word", kind, directions, h, middle_length, 1, threads=n))
    return cells


def _timed(
    cell: Cell, seconds: float, limit: float, clock: Clock, seed: int, captum: bool
) -> list[Measurement]:
    if cell.question == "curves":
        running = curve_contenders(cell)
    elif cell.question == "every word":
        running = occlusion_contenders(cell, captum=captum)
    else:
        running = contenders(cell, captum=captum)
    found = interleaved(running, seconds=seconds, limit=limit, clock=clock, seed=seed)
    reason = f"a call would take more than {limit:g} s"
    return [
        Measurement(
            cell, name, timed.seconds, "" if timed.seconds else reason, _subnormal(timed.result)
        )
        for name, timed in found.items()
    ]


def _subnormal(result: Tensor | None) -> float:
    """The share of numbers other than 0 that are too small to be normal."""
    if result is None:
        return 0.0
    small = (result != 0) & (result.abs() < torch.finfo(result.dtype).tiny)
    return float(small.double().mean())


def _environment(
    device: torch.device, threads: Sequence[int], common: dict[str, Any], captum: bool
) -> dict[str, str]:
    versions = {"Python": platform.python_version()}
    for package in ("torch", "seqlrp", "captum", "numba", "triton"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    if versions["seqlrp"] == "not installed":
        versions["seqlrp"] = "from a clone"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    owner = "Captum's" if captum else "seqlrp's"
    return {
        "Device": name,
        "Threads": f"{', '.join(map(str, threads))} on {os.cpu_count()} processors; {_load()}",
        "Versions": ", ".join(f"{package} {version}" for package, version in versions.items()),
        "Model": f"{'packed' if common['packed'] else 'unpacked'}, {common['pooling']} pooling",
        "Others": f"{owner} gradient × input, integrated gradients ({STEPS} steps), and occlusion "
        "(a forward pass a word)",
    }


def _load() -> str:
    """What else ran when this began: rivals for the processors make threads wait for each other."""
    if not hasattr(os, "getloadavg"):
        return "load unknown"
    return f"load {os.getloadavg()[0]:.1f} before the start"


def _processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor()])[0] or platform.machine()


def _sizes(name: str, given: Sequence[int]) -> tuple[int, ...]:
    for size in given:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise OptionError(f"{name} must be whole numbers from 1 on, got {size!r}.")
    return tuple(dict.fromkeys(given))
