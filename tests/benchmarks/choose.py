"""What a choice of method is worth: `seqlrp.choose` on many classifiers.

The classifiers are those of `benchmarks.classifiers`: small ones, of many kinds. For each, half of
the texts that it has not seen choose among the candidates by the area between the curves of most
and least relevant words first, and the other half confirms.

Printed for each: the best candidate on the choosing half, what was chosen, and on the confirming
half the difference of what was chosen to the default and to gradient × input, in points with its
95 % interval, with the time of a text; at the end, how often it is better and how often worse.

    python tests/benchmarks/choose.py DATA --out FOLDER [--only NAME ...]

DATA is as for `epsilon.py`. FOLDER keeps what is finished, and an interrupted run goes on
from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

import seqlrp
from benchmarks.classifiers import Case, finished_cases, trained
from seqlrp.analysis.choice import CHEAPEST, DEFAULT
from seqlrp.writing import written_whole

MIN_WORDS = 6  # one more than are taken out


def finished(name: str, make: Callable[[], Case], options: argparse.Namespace) -> dict[str, Any]:
    """The record of a classifier, from the folder or newly measured."""
    place = options.out / f"{name.replace(' ', '_').replace(',', '')}.json"
    if not place.exists():
        started = time.perf_counter()
        case = make()
        classifier = trained(case, options.seed, options.epochs)
        right = classifier.predict(case.test.texts, progress=False).predicted == case.test.labels
        choice = seqlrp.choose(
            classifier, case.test, metric=options.metric, min_words=MIN_WORDS, seed=options.seed,
            progress=False,
        )  # fmt: skip
        record = {**choice.to_json(), "accuracy": float(right.mean()), "over": _over(choice)}
        with written_whole(place) as file:
            file.write_text(json.dumps(record), encoding="utf-8")
        print(f"{name}: {time.perf_counter() - started:.0f} s\n{choice.summary()}\n", flush=True)
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def _over(choice: seqlrp.Choice) -> dict[str, list[float]]:
    """The difference of what was chosen to each reference on the confirming half, with its ends."""
    found: dict[str, list[float]] = {}
    for row in choice.differences.to_dict("records"):
        difference, low, high = (float(row[name]) for name in ("difference", "low", "high"))
        if row["candidate"] == choice.name:
            found[row["over"]] = [difference, low, high]
        elif row["over"] == choice.name:
            found[row["candidate"]] = [-difference, -high, -low]
    return found


def verdict(over: Sequence[float] | None) -> int:
    """1 where what was chosen is better, -1 where it is worse, 0 where neither is shown."""
    if over is None:
        return 0
    _, low, high = over
    return (low > 0) - (high < 0)


def report(results: Mapping[str, dict[str, Any]]) -> None:
    """Print a row for each classifier as Markdown, and how often the choice is better and worse."""
    print(
        "| classifier | right | texts | best on one half | chosen | chosen − default "
        "| chosen − gradient × input | ms a text: chosen, default, gradient × input |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, found in results.items():
        times = {row["candidate"]: row["milliseconds"] for row in found["candidates"]}
        shown = ", ".join(f"{times[c]:.1f}" for c in (found["name"], DEFAULT, CHEAPEST))
        cells = [_cell(found["over"].get(reference)) for reference in (DEFAULT, CHEAPEST)]
        texts = " + ".join(map(str, found["texts"]))
        row = [name, f"{found['accuracy']:.0%}", texts, found["best"], found["name"], *cells, shown]
        print(f"| {' | '.join(row)} |")
    for reference in (DEFAULT, CHEAPEST):
        verdicts = [verdict(found["over"].get(reference)) for found in results.values()]
        print(
            f"\nAgainst {reference}: better on {verdicts.count(1)} of {len(verdicts)}, "
            f"worse on {verdicts.count(-1)}."
        )


def _cell(over: Sequence[float] | None) -> str:
    if over is None:
        return "the same"
    difference, low, high = (100 * value for value in over)
    return f"{difference:.2f} [{low:.2f}, {high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, choose, and print."""
    option = ("--metric", "abpc", "as in `choose` (%(default)s)")
    results = finished_cases(arguments, __doc__, finished, option)
    if results is None:
        return 2
    report(results)
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
