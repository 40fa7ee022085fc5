"""The verdict of an evaluation: which methods are better than chance, and which are best.

The difference of two methods is significant where the sign-flip test on the same documents gives
p < 0.05. P values are corrected (Holm 1979): against chance for all comparisons of the report,
against the best method for all pairs of methods in a quantity, because the best is chosen after the
fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.evaluation.report.record import CHANCE, EvaluationResults
from seqlrp.evaluation.statistics import holm

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05
# Methods that ask the model again without words: the rivals to beat where words are removed.
STRONG = ("occlusion", "lime", "kernel_shap", "shapley")


@dataclass(frozen=True)
class Verdict:
    """The comparison of methods in one quantity and direction.

    Attributes:
        metric: the name of the quantity.
        direction: the direction of the documents.
        compared: the methods that can be compared with chance on the same documents.
        better: those of them that are significantly better than chance.
        worse: those of them that are significantly worse than chance.
        best: the method with the best mean, without chance; None with fewer than two methods.
        level: the methods that do not differ significantly from the best.
        second: the method with the second-best mean.
        lead: by how much the best is better than the second: difference, low and high.
        ranked: the methods that have a mean, without chance.
    """

    metric: str
    direction: str
    compared: tuple[str, ...]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    best: str | None
    level: tuple[str, ...]
    second: str | None
    lead: tuple[float, float, float]
    ranked: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return a sentence that says which method is best, and by how much."""
        if self.best is None:
            return ""
        difference, low, high = (f"{number:+.3f}" for number in self.lead)
        if not self.level:
            return f"Best is {self.best}, by {difference} [{low}, {high}] over {self.second}."
        verb = "is" if len(self.level) == 1 else "are"
        lead = "" if len(self.level) > 1 else f" (by {difference} [{low}, {high}])"
        return (
            f"{self.best} has the best mean; {join_names(self.level)} {verb} not told apart from "
            f"it{lead}."
        )


def verdicts(report: EvaluationResults) -> list[Verdict]:
    """Return a verdict for each quantity in which higher or lower is better, as in `results`."""
    found = []
    chance = report.advantage() if CHANCE in report.methods else None
    for (metric, direction), part in report.results.groupby(["metric", "direction"], sort=False):
        sign = report.quantities[str(metric)].sign(str(direction))
        if sign:
            gains = None if chance is None else _rows(chance, str(metric), str(direction))
            means = sign * part[part["method"] != CHANCE].set_index("method")["value"].dropna()
            found.append(_verdict(report, str(metric), str(direction), means, gains))
    return found


def method_sentences(report: EvaluationResults) -> list[str]:
    """Return a sentence for each method but chance: how often it is better, and how often best.

    The last sentences name what was compared, what each costs, and whether the strong rivals are
    missing: the best of weak methods need not be good.
    """
    found = verdicts(report)
    lines = []
    for method in report.methods:
        known = [v for v in found if method in v.compared]
        ranked = [v for v in found if v.best is not None and _is_ranked(report, v, method)]
        parts = []
        if known:
            parts.append(_against_chance(method, known))
        if ranked:
            parts.append(_against_the_best(method, ranked))
        if method != CHANCE and parts:
            lines.append(f"{method} is {'; '.join(parts)}.")
    return [*lines, *_scope(report)] if lines else []


def _scope(report: EvaluationResults) -> list[str]:
    """What was compared, with the time a text of each, and what was not."""
    costs = tuple(_with_cost(m, report.seconds.get(m, np.nan)) for m in report.methods)
    scope = [f"Compared were {join_names(costs)}."] if len(costs) > 1 else []
    made = report.made.get("methods", {})
    kinds = {made.get(m, {}).get("method", m) for m in report.methods}
    if kinds & set(STRONG):
        return scope
    return [
        *scope,
        f"No method that asks the model again without words ({', '.join(STRONG)}) was among them; "
        "such methods are slower and often better.",
    ]


def _with_cost(method: str, seconds: float) -> str:
    if method == CHANCE:
        return "chance"
    return method if np.isnan(seconds) else f"{method} ({1000 * seconds:.3g} ms a text)"


def join_names(names: tuple[str, ...]) -> str:
    """Join names as in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verdict(
    report: EvaluationResults,
    metric: str,
    direction: str,
    means: pd.Series[float],
    gains: pd.DataFrame | None,
) -> Verdict:
    compared: tuple[str, ...] = ()
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    if gains is not None:
        gains = gains.dropna(subset=["difference"])
        sure = gains[gains["p_holm"] < SIGNIFICANT]
        compared = tuple(gains["method"])
        better = tuple(sure[sure["difference"] > 0]["method"])
        worse = tuple(sure[sure["difference"] < 0]["method"])
    missing = (float("nan"),) * 3
    if len(means) < 2:
        return Verdict(metric, direction, compared, better, worse, None, (), None, missing)
    order = means.sort_values(ascending=False, kind="stable").index
    best, second = str(order[0]), str(order[1])
    others = _rows(report.advantage(over=best, metrics=[metric]), metric, direction)
    others = others.set_index("method").loc[list(order[1:])]
    pairs = len(means) * (len(means) - 1) // 2
    p = others["p"].to_numpy(float)
    # Pairs without the best are not tested, but count in the correction as if their p were 1.
    corrected = holm(np.concatenate([p, np.ones(pairs - len(p))]))[: len(p)]
    level = tuple(others.index[~(corrected < SIGNIFICANT)])
    difference, low, high = others[["difference", "low", "high"]].to_numpy(float)[0]
    lead = (-float(difference), -float(high), -float(low))
    ranked = tuple(map(str, order))
    return Verdict(metric, direction, compared, better, worse, best, level, second, lead, ranked)


def _rows(gains: pd.DataFrame, metric: str, direction: str) -> pd.DataFrame:
    return gains[(gains["metric"] == metric) & (gains["direction"] == direction)]


def _is_ranked(report: EvaluationResults, verdict: Verdict, method: str) -> bool:
    part = _rows(report.results, verdict.metric, verdict.direction)
    return method != CHANCE and bool(part[part["method"] == method]["value"].notna().any())


def _against_chance(method: str, known: list[Verdict]) -> str:
    number = len(known)
    better = sum(method in v.better for v in known)
    worse = sum(method in v.worse for v in known)
    parts = []
    if better:
        parts.append(f"better than chance{_in(better, number)}")
    if worse:
        parts.append(f"worse than chance{_in(worse, number)}")
    if same := number - better - worse:
        parts.append(f"not told apart from chance{_in(same, number)}")
    return ", ".join(parts)


def _against_the_best(method: str, ranked: list[Verdict]) -> str:
    number = len(ranked)
    rivals = max(len(v.ranked) for v in ranked)
    alone = sum(v.best == method and not v.level for v in ranked)
    shared = sum(bool(v.level) and method in (v.best, *v.level) for v in ranked)
    parts = []
    if alone:
        parts.append(f"best of the {rivals} compared{_in(alone, number)}")
    if shared:
        parts.append(f"level with the best{_in(shared, number)}")
    return ", ".join(parts) or "not among the best"


def _in(count: int, number: int) -> str:
    if number == 1:
        return ""
    return f" in all {number} quantities" if count == number else f" in {count} of {number}"
