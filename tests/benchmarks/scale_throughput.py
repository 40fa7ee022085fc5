"""Texts a second by one worker, two workers, two threads and Ray, and the memory of long runs.

    python tests/benchmarks/scale_throughput.py --texts 40000 --repeats 3
    python tests/benchmarks/scale_throughput.py --memory --texts 200000

The first explains the same made-up short texts in each of these ways, one after the other and then
again, so that what else the machine does is spread over all of them. Each way has finished its
first shards, with all loading and compiling, before its time begins: it is the time between two
lines of its log. The second explains a tenth of the texts and then all of them by one worker, and
prints the most memory that the main process and the worker held.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import seqlrp
import seqlrp.scale
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.scale.log import LOG

WORDS = np.array([f"w{k}" for k in range(5000)])


class Way(NamedTuple):
    """A way to explain texts: workers of an engine, which have some threads each."""

    name: str
    workers: int
    threads: int
    engine: str = "processes"


WAYS = (
    Way("one worker, one thread", 1, 1),
    Way("two workers, one thread", 2, 1),
    Way("one worker, two threads", 1, 2),
    Way("two actors of Ray", 2, 1, "ray"),
)
GOALS = (  # a way, what it is divided by, and the least quotient
    ("two workers, one thread", "one worker, one thread", 1.8),
    ("two workers, one thread", "one worker, two threads", 1.3),
    ("two actors of Ray", "two workers, one thread", 0.85),
)


def make_model(folder: Path) -> Path:
    """Save a bidirectional LSTM of 64 units over vectors of 50 numbers, with random weights."""
    torch.manual_seed(0)
    vocabulary = seqlrp.Vocabulary.build([WORDS.tolist()])
    model = RecurrentClassifier(len(vocabulary), 4, embedding=50, hidden=64, bidirectional=True)
    labels = ("world", "sports", "business", "science")
    seqlrp.save(seqlrp.TextClassifier(model.eval(), vocabulary, labels), folder)
    return folder


def write_texts(path: Path, count: int) -> Path:
    """Write texts of 5 to 40 words as JSON lines."""
    drawn = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(count):
            words = drawn.choice(WORDS, drawn.integers(5, 41))
            file.write(json.dumps({"text": " ".join(words)}) + "\n")
    return path


def rate(model: Path, source: Path, way: Way, size: int) -> float:
    """Texts a second between the first shard of the last worker to begin and the last shard."""
    # A worker takes its share of the cores of the process that starts it.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: way.workers * way.threads])
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            seqlrp.scale.explain(
                model, source, out, workers=way.workers, engine=way.engine, shard_size=size,
                progress=False,
            )  # fmt: skip
            events = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    finally:
        os.sched_setaffinity(0, cores)
    finished = [event for event in events if event["event"] == "finished"]
    begun = 2 * way.workers - 1  # by then each worker has finished its first shard
    texts = sum(event["explained"] for event in finished[begun + 1 :])
    return float(texts / (finished[-1]["time"] - finished[begun]["time"]))


def compare(texts: int, repeats: int, size: int) -> None:
    """Print the median rate of each way, and what they are divided by each other."""
    ways = [way for way in WAYS if way.engine != "ray" or find_spec("ray")]
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder) / "model")
        source = write_texts(Path(folder) / "texts.jsonl", texts)
        for repeat in range(repeats):
            for way in ways[:: 1 if repeat % 2 else -1]:
                rates[way.name].append(rate(model, source, way, size))
                print(f"{way.name}: {rates[way.name][-1]:.0f} texts/s", flush=True)
    for one, other, goal in GOALS:
        if one in rates and other in rates:
            each = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
            found = statistics.median(each)
            spread = f"{min(each):.2f} to {max(each):.2f}"
            print(f"{one} ÷ {other}: {found:.2f} ({spread}), goal {goal}")


def _peaks(model: Path, source: Path, size: int, answer: Any) -> None:
    """Explain, and send the most memory in MB: of this process, and of its worker."""
    with tempfile.TemporaryDirectory() as folder:
        seqlrp.scale.explain(
            model, source, Path(folder) / "out", workers=1, shard_size=size, progress=False
        )
    used = resource.getrusage
    peaks = used(resource.RUSAGE_SELF).ru_maxrss, used(resource.RUSAGE_CHILDREN).ru_maxrss
    answer.send([peak / 1024 for peak in peaks])


def measure_memory(texts: int, size: int) -> None:
    """Print the peaks for a tenth of the texts and for all of them, and by how much they grow."""
    context, found = multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder) / "model")
        for count in (texts // 10, texts):
            source = write_texts(Path(folder) / f"{count}.jsonl", count)
            here, there = context.Pipe()
            process = context.Process(target=_peaks, args=(model, source, size, there))
            process.start()
            main, worker = here.recv()
            process.join()
            found.append((main, worker))
            print(f"{count:,} texts: main {main:.0f} MB, worker {worker:.0f} MB", flush=True)
    for name, (few, many) in zip(("main", "worker"), zip(*found, strict=True), strict=True):
        print(f"{name}: {100 * (many / few - 1):+.1f} %, goal below 5 %")


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shard-size", type=int, default=4096)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args(arguments)
    if options.memory:
        measure_memory(options.texts, options.shard_size)
    else:
        compare(options.texts, options.repeats, options.shard_size)


if __name__ == "__main__":
    main(sys.argv[1:])
