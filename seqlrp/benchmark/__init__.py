"""The speed of LRP as ratios to other ways of explaining, measured side by side in one run.

Times alone say more about the machine than about the code, so they are only in the JSON file. The
exception is a page of explanations, for which people wait: its time and size are shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.benchmark.cells import Cell, Kind, Measurement, Pooling
from seqlrp.benchmark.contenders import STEPS, contenders, has_captum
from seqlrp.benchmark.installation import (
    Diagnosis,
    KernelCheck,
    diagnose,
    installed_versions,
    processor,
)
from seqlrp.benchmark.memory import memory_growth
from seqlrp.benchmark.pages import PageMeasurement, measure_page
from seqlrp.benchmark.removals import curve_contenders, occlusion_contenders
from seqlrp.benchmark.report import GOALS, BenchmarkReport, Goal
from seqlrp.benchmark.timing import Clock, time_interleaved
from seqlrp.errors import check_choice, check_number
from seqlrp.models.devices import resolve_device

__all__ = [
    "GOALS",
    "BenchmarkReport",
    "Cell",
    "Diagnosis",
    "Goal",
    "KernelCheck",
    "Measurement",
    "PageMeasurement",
    "benchmark",
    "diagnose",
]

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
GROWN_FROM = 200  # tokens; growth is measured from this length on


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
    check_number("seconds", seconds, above=0)
    check_number("limit", limit, above=0)
    check_choice("pooling", pooling, get_args(Pooling))
    captum = has_captum() if captum is None else captum
    where = resolve_device(device)
    common: dict[str, Any] = {"device": str(where), "pooling": pooling, "packed": packed}
    cells = [replace(cell, **common) for cell in _grid(**sizes, quick=quick)]
    environment = _environment(where, sizes["threads"], common, captum)
    measured: list[Measurement] = []
    measured_page: PageMeasurement | None = None
    interrupted = False
    try:
        measured_page = measure_page(clock, seed=seed) if page else None
        for found in _measure_cells(cells, seconds, limit, clock, seed, captum, memory, progress):
            measured += found
    except KeyboardInterrupt:
        interrupted = True
    return BenchmarkReport(tuple(measured), environment, interrupted, measured_page)


def _measure_cells(
    cells: Sequence[Cell],
    seconds: float,
    limit: float,
    clock: Clock,
    seed: int,
    captum: bool,
    memory: bool,
    progress: bool | None,
) -> Iterator[list[Measurement]]:
    """Measure cell by cell; afterwards torch has as many threads as before."""
    before = torch.get_num_threads()
    try:
        for cell in tqdm(cells, unit="cell", disable=None if progress is None else not progress):
            torch.set_num_threads(cell.threads)
            try:
                yield _measure_cell(cell, seconds, limit, clock, seed, captum)
                if cell.question == "growth" and memory:
                    yield memory_growth(cell)
            except torch.OutOfMemoryError:
                yield [Measurement(cell, "lrp", (), "out of memory on the device")]
    finally:
        torch.set_num_threads(before)


def _grid(
    hidden: Sequence[int],
    length: Sequence[int],
    batch: Sequence[int],
    threads: Sequence[int],
    quick: bool,
) -> list[Cell]:
    """Cells of all sizes for speed, and of the median batch and length for the rest."""
    models = list(product(get_args(Kind), (1, 2), hidden))
    middle_length, middle_batch = (sorted(s)[len(s) // 2] for s in (length, batch))
    cells = [
        Cell("speed", kind, directions, h, t, b, threads=n)
        for kind, directions, h in models
        for t, b, n in product(length, batch, threads)
    ]
    if quick:
        models = [model for model in models if model[1] == 1]
    for (kind, directions, h), n in product(models, threads):
        cells.append(
            Cell("classes", kind, directions, h, middle_length, middle_batch, CLASSES, threads=n)
        )
        cells.append(Cell("growth", kind, directions, h, GROWN_FROM, middle_batch, threads=n))
        cells.append(Cell("curves", kind, directions, h, middle_length, middle_batch, threads=n))
        cells.append(Cell("every word", kind, directions, h, middle_length, 1, threads=n))
    return cells


def _measure_cell(
    cell: Cell, seconds: float, limit: float, clock: Clock, seed: int, captum: bool
) -> list[Measurement]:
    if cell.question == "curves":
        running = curve_contenders(cell)
    elif cell.question == "every word":
        running = occlusion_contenders(cell, captum=captum)
    else:
        running = contenders(cell, captum=captum)
    found = time_interleaved(running, seconds=seconds, limit=limit, clock=clock, seed=seed)
    reason = f"a call would take more than {limit:g} s"
    return [
        Measurement(
            cell,
            name,
            timed.seconds,
            "" if timed.seconds else reason,
            _subnormal(timed.result),
        )
        for name, timed in found.items()
    ]


def _subnormal(result: Tensor | None) -> float:
    """The share of values that are subnormal: not 0, and nearer to it than any normal number."""
    if result is None:
        return 0.0
    small = (result != 0) & (result.abs() < torch.finfo(result.dtype).tiny)
    return float(small.double().mean())


def _environment(
    device: torch.device, threads: Sequence[int], common: dict[str, Any], captum: bool
) -> dict[str, str]:
    versions = installed_versions(("torch", "seqlrp", "captum", "numba", "triton"))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
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
    """The load of the machine: other programs make threads wait for a processor."""
    if not hasattr(os, "getloadavg"):
        return "load unknown"
    return f"load {os.getloadavg()[0]:.1f} before the start"


def _sizes(name: str, given: Sequence[int]) -> tuple[int, ...]:
    for size in given:
        check_number(name, size, least=1, whole=True)
    return tuple(dict.fromkeys(given))
