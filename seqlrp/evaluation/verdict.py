"""Who is better than chance and who is best: what an evaluation comes to, in sentences.

Two methods are told apart where the sign-flip test of their difference on the same documents has
p < 0.05. That is corrected (Holm 1979): against chance for all comparisons of the report, against
the best method for all pairs of methods in a figure, because the best is chosen after the fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.evaluation.report import CHANCE
from seqlrp.evaluation.statistics import holm

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.evaluation.report import EvaluationReport

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Verdict:
    """What one figure says of the methods, for documents treated in one way.

    Attributes:
        metric, direction: which figure.
        compared: the methods that have it and chance on the same documents.
        better, worse: those of them that are better or worse than chance.
        best: the method with the best mean, chance aside; None where a single one is compared.
        level: those that are not told apart from it.
        second: the method with the mean next to the best.
        lead: how much better the best is than the second: difference, low and high.
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

    def sentence(self) -> str:
        """Who is best, and by how much."""
        if self.best is None:
            return ""
        difference, low, high = (f"{number:+.3f}" for number in self.lead)
        if not self.level:
            return f"Best is {self.best}, by {difference} [{low}, {high}] over {self.second}."
        verb = "is" if len(self.level) == 1 else "are"
        lead = "" if len(self.level) > 1 else f" (by {difference} [{low}, {high}])"
        return (
            f"{self.best} has the best mean; {listed(self.level)} {verb} not told apart from "
            f"it{lead}."
        )


def verdicts(report: EvaluationReport) -> list[Verdict]:
    """A verdict for each figure in which more or less is better, in the order of `results`."""
    found = []
    chance = report.advantage() if CHANCE in report.methods else None
    for (metric, direction), part in report.results.groupby(["metric", "direction"], sort=False):
        sign = report.quantities[str(metric)].sign(str(direction))
        if sign:
            gains = None if chance is None else _rows(chance, str(metric), str(direction))
            means = sign * part[part["method"] != CHANCE].set_index("method")["value"].dropna()
            found.append(_verdict(report, str(metric), str(direction), means, gains))
    return found


def in_short(report: EvaluationReport) -> list[str]:
    """A sentence for each method, chance aside: in how many figures it is better, and best."""
    found = verdicts(report)
    lines = []
    for method in report.methods:
        known = [v for v in found if method in v.compared]
        ranked = [v for v in found if v.best is not None and _is_ranked(report, v, method)]
        said = []
        if known:
            said.append(_against_chance(method, known))
        if ranked:
            said.append(_against_the_best(method, ranked))
        if method != CHANCE and said:
            lines.append(f"{method} is {'; '.join(said)}.")
    return lines


def listed(names: tuple[str, ...]) -> str:
    """Names as a sentence has them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verdict(
    report: EvaluationReport,
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
    nothing = (float("nan"),) * 3
    if len(means) < 2:
        return Verdict(metric, direction, compared, better, worse, None, (), None, nothing)
    order = means.sort_values(ascending=False, kind="stable").index
    best, second = str(order[0]), str(order[1])
    others = _rows(report.advantage(over=best, metrics=[metric]), metric, direction)
    others = others.set_index("method").loc[list(order[1:])]
    pairs = len(means) * (len(means) - 1) // 2
    p = others["p"].to_numpy(float)
    # Pairs without the best are not looked at, and counted as if nothing had come of them.
    corrected = holm(np.concatenate([p, np.ones(pairs - len(p))]))[: len(p)]
    level = tuple(others.index[~(corrected < SIGNIFICANT)])
    difference, low, high = others[["difference", "low", "high"]].to_numpy(float)[0]
    lead = (-float(difference), -float(high), -float(low))
    return Verdict(metric, direction, compared, better, worse, best, level, second, lead)


def _rows(gains: pd.DataFrame, metric: str, direction: str) -> pd.DataFrame:
    return gains[(gains["metric"] == metric) & (gains["direction"] == direction)]


def _is_ranked(report: EvaluationReport, verdict: Verdict, method: str) -> bool:
    part = _rows(report.results, verdict.metric, verdict.direction)
    return method != CHANCE and bool(part[part["method"] == method]["value"].notna().any())


def _against_chance(method: str, known: list[Verdict]) -> str:
    number = len(known)
    better = sum(method in v.better for v in known)
    worse = sum(method in v.worse for v in known)
    said = []
    if better:
        said.append(f"better than chance{_in(better, number)}")
    if worse:
        said.append(f"worse than chance{_in(worse, number)}")
    if same := number - better - worse:
        said.append(f"not told apart from chance{_in(same, number)}")
    return ", ".join(said)


def _against_the_best(method: str, ranked: list[Verdict]) -> str:
    number = len(ranked)
    alone = sum(v.best == method and not v.level for v in ranked)
    shared = sum(bool(v.level) and method in (v.best, *v.level) for v in ranked)
    said = []
    if alone:
        said.append(f"best{_in(alone, number)}")
    if shared:
        said.append(f"level with the best{_in(shared, number)}")
    return ", ".join(said) or "never the best nor level with it"


def _in(count: int, number: int) -> str:
    if number == 1:
        return ""
    return f" in all {number} figures" if count == number else f" in {count} of {number}"
