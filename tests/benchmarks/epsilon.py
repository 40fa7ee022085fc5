"""The stabiliser of LRP on many classifiers: absolute, and relative to the mean |z| of a row.

Small classifiers are trained on sentences and news, and each is explained with every ε, by
gradient × input and by occlusion, in texts that it has not seen:

- area, comprehensiveness, sufficiency: words are taken out in the order of their relevance for the
  predicted class (`seqlrp.evaluate`);
- agreement: with what is known of words. In the treebank, Spearman's ρ with the sentiment that
  people gave each word, for the most positive class against the most negative one; in the language
  and where a word was planted, the AUROC of the words that decide, for the class they speak for.

Printed: a table by classifier for each measure; by how much each method falls short of the best
absolute ε of a classifier, as mean and worst over classifiers; the difference of two of them with
its 95 % interval (bootstrap over pairs); and what this rule, fixed before measuring, chooses:

    Of the relative ε whose mean shortfall of the area, over all classifiers, is within 0.2 points
    of the smallest, the one with the smallest worst shortfall. It takes the place of the default
    only if its worst shortfall is smaller by 0.5 points or more, if its mean difference of the
    area has a 95 % interval above 0 (bootstrap over texts within classifiers), and if its worst
    shortfall of comprehensiveness is not larger by more than 0.5 points.

    python tests/benchmarks/epsilon.py DATA --out FOLDER [--only NAME ...]

DATA holds the folders sst (train.txt, dev.txt, test.txt: trees), sentences (rt-polarity.all,
subj.all, custrev.all: a label and a text a line), newsgroups (train.csv, test.csv: columns text
and label) and ag_news (test.csv: class, title, description). FOLDER keeps what is finished, and an
interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import seqlrp
from benchmarks.classifiers import Case, finished_cases, trained
from seqlrp.evaluation.statistics import compare
from seqlrp.lrp.options import DEFAULT_EPSILON
from seqlrp.writing import written_whole

ABSOLUTE = (0.0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1)
RELATIVE = (0.5, 1, 2, 3, 5, 10)  # %
METHODS: dict[str, Any] = {
    **{f"{value:g}": {"method": "lrp", "epsilon": value} for value in ABSOLUTE},
    **{f"{value:g}%": {"method": "lrp", "epsilon": f"{value:g}%"} for value in RELATIVE},
    "gradient × input": "gradient_x_input",
    "occlusion": "occlusion",
}
MEASURES = ("area", "comprehensiveness", "sufficiency", "agreement")
PAIRS = (("5%", "0.005"), ("2%", "5%"))
RESAMPLES = 10_000  # of the bootstrap
_NAMES = {"area": "abpc", "comprehensiveness": "comprehensiveness", "sufficiency": "sufficiency"}

Values = dict[str, dict[str, npt.NDArray[np.float64]]]  # measure, method: a value for each text


def measured(case: Case, classifier: seqlrp.TextClassifier, removal: str) -> Values:
    """Every measure of every method, a value for each text."""
    report = seqlrp.evaluate(
        classifier, case.test, methods=METHODS, removal=removal,
        metrics=["aopc", "comprehensiveness", "sufficiency"],
    )  # fmt: skip
    table = report.table
    found: Values = {}
    for measure, name in _NAMES.items():
        rows = table[table["metric"] == name]
        rows = rows[rows["k"].isna() | (rows["k"] > 0)]
        by_text = rows.groupby(["method", "document"])["value"].mean()
        found[measure] = {m: by_text[m].sort_index().to_numpy(np.float64) for m in METHODS}
    if case.agreement is not None:
        found["agreement"] = {
            name: case.agreement(classifier, method) for name, method in METHODS.items()
        }
    return found


def finished(
    name: str, make: Callable[[], Case], options: argparse.Namespace
) -> tuple[float, Values]:
    """Accuracy and values of a classifier, from the folder or newly measured."""
    place = options.out / f"{name.replace(' ', '_').replace(',', '')}.json"
    if not place.exists():
        started = time.perf_counter()
        case = make()
        classifier = trained(case, options.seed, options.epochs)
        right = classifier.predict(case.test.texts, progress=False).predicted == case.test.labels
        taken = time.perf_counter() - started
        found = measured(case, classifier, options.removal)
        record = {
            "accuracy": float(right.mean()),
            "values": {m: {n: v.tolist() for n, v in by.items()} for m, by in found.items()},
        }
        with written_whole(place) as file:
            file.write_text(json.dumps(record), encoding="utf-8")
        print(
            f"{name}: {right.mean():.1%} of {len(right)} texts right, trained in {taken:.0f} s, "
            f"measured in {time.perf_counter() - started - taken:.0f} s.",
            flush=True,
        )
    record = json.loads(place.read_text(encoding="utf-8"))
    return record["accuracy"], {
        m: {n: np.array(v, np.float64) for n, v in by.items()} for m, by in record["values"].items()
    }


# Tables


def means(values: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    """The mean of each method over texts."""
    return {method: float(np.nanmean(own)) for method, own in values.items()}


def shortfall(found: Mapping[str, float], measure: str) -> dict[str, float]:
    """What each method lacks of the best absolute ε, in % of it; of sufficiency, in points."""
    absolute = [found[f"{value:g}"] for value in ABSOLUTE]
    if measure == "sufficiency":
        return {method: 100 * (value - min(absolute)) for method, value in found.items()}
    best = max(absolute)
    return {method: 100 * (best - value) / best for method, value in found.items()}


def mean_difference(
    pairs: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]],
) -> tuple[float, float, float]:
    """The mean over classifiers of a difference, and its 95 % interval over texts within them."""
    drawn = np.random.default_rng(0)
    differences = [one - other for one, other in pairs]
    differences = [d[~np.isnan(d)] for d in differences]
    means = [d[drawn.integers(len(d), size=(RESAMPLES, len(d)))].mean(1) for d in differences]
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    return float(np.mean([d.mean() for d in differences])), float(low), float(high)


def best_relative(falls: Sequence[Mapping[str, float]]) -> str:
    """The first half of the rule: of the relative ε near the best mean, that of the best worst."""
    means = {f"{value:g}%": np.mean([row[f"{value:g}%"] for row in falls]) for value in RELATIVE}
    near = [name for name, mean in means.items() if mean <= min(means.values()) + 0.2]
    return min(near, key=lambda name: max(row[name] for row in falls))


def replaces(best: str, results: Mapping[str, tuple[float, Values]]) -> dict[str, bool]:
    """The second half: each condition on which it takes the place of the default."""
    worst = {
        measure: {
            name: max(shortfall(means(v[measure]), measure)[name] for _, v in results.values())
            for name in (best, DEFAULT_EPSILON)
        }
        for measure in ("area", "comprehensiveness")
    }
    gain = {m: of[DEFAULT_EPSILON] - of[best] for m, of in worst.items()}
    areas = [v["area"] for _, v in results.values()]
    difference, low, high = mean_difference([(a[best], a[DEFAULT_EPSILON]) for a in areas])
    interval = f"{100 * difference:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
    return {
        f"worst shortfall of the area smaller by {gain['area']:.1f} points": gain["area"] >= 0.5,
        f"mean difference of the area {interval} points": low > 0,
        f"that of comprehensiveness smaller by {gain['comprehensiveness']:.1f} points": gain[
            "comprehensiveness"
        ]
        >= -0.5,
    }


def report(results: Mapping[str, tuple[float, Values]]) -> None:
    """Print all tables, and what the rule chooses."""
    width = max(map(len, results)) + 2
    head = f"{'':{width}}" + "".join(f"{name:>10.10}" for name in METHODS)
    falls: dict[str, list[dict[str, float]]] = {}
    for measure in MEASURES:
        chosen = {name: v[measure] for name, (_, v) in results.items() if measure in v}
        if not chosen:
            continue
        print(f"\n{measure}\n{head}")
        for name, values in chosen.items():
            found = means(values)
            print(f"{name:{width}}" + "".join(f"{found[m]:10.4f}" for m in METHODS))
            falls.setdefault(measure, []).append(shortfall(found, measure))
    print(f"\nshortfall against each classifier's best absolute ε, mean / worst\n{head}")
    for measure, rows in falls.items():
        unit = "points" if measure == "sufficiency" else "%"
        print(f"{f'{measure}, {unit}':{width}}" + "".join(
            f"{np.mean([r[m] for r in rows]):4.1f}/{max(r[m] for r in rows):5.1f}" for m in METHODS
        ))  # fmt: skip
    for one, other in PAIRS:
        print(f"\n{one} minus {other}, in points, with 95 % intervals")
        print(f"{'':{width}}" + "".join(f"{measure:>24}" for measure in MEASURES))
        for name, (_, values) in results.items():
            cells = (_difference(values, measure, one, other) for measure in MEASURES)
            print(f"{name:{width}}" + "".join(f"{cell:>24}" for cell in cells))
    best = best_relative(falls["area"])
    print(f"\nThe rule chooses {best} over {len(results)} classifiers.")
    if best != DEFAULT_EPSILON:
        for condition, held in replaces(best, results).items():
            print(f"  {condition}: {'yes' if held else 'no'}")


def _difference(values: Values, measure: str, one: str, other: str) -> str:
    if measure not in values:
        return ""
    d = compare(values[measure][one], values[measure][other])
    return f"{100 * d.difference:.2f} [{100 * d.low:.2f}, {100 * d.high:.2f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, and print."""
    option = ("--removal", "zero", "as in `evaluate` (%(default)s)")
    results = finished_cases(arguments, __doc__, finished, option)
    if results is None:
        return 2
    report(results)
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
