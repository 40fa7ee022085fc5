"""The verdict of an evaluation: which methods are better than chance, which are best, by how much.

The difference of two methods is significant where the sign-flip test on the same documents gives
p < 0.05. P values are corrected (Holm 1979): against chance for all comparisons of the report,
against the best method for all pairs of methods in a quantity, because the best is chosen after the
fact.

How large a difference is, is said as a share of what the best method gains over chance: a share
means the same in every quantity. Where chance is not compared, it is a share of the value of the
best method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from seqlrp.evaluation.report.record import CHANCE, EvaluationResults
from seqlrp.evaluation.statistics import holm
from seqlrp.show.numbers import percent
from seqlrp.show.wording import agreeing, join_names

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05
# Methods that ask the model again without words: the rivals to beat where words are removed.
STRONG = ("occlusion", "lime", "kernel_shap", "shapley")
# From which share on a difference is called so: conventions of this package, no law.
SIZES = ((0.05, "small"), (0.2, "clear"), (0.5, "large"))
_FOUND: WeakKeyDictionary[EvaluationResults, list[Verdict]] = WeakKeyDictionary()
_STILL_RIGHT = ("deletion_accuracy", "right")
NEGLIGIBLE = "too small to matter in practice"


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
        behind: by how much the best is better than each of the others that are ranked.
        p: of the lead, corrected.
        whole: what differences are shares of: what the best gains over chance, or the size of its
            value where chance is not compared; NaN where the best is not better than chance.
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
    behind: Mapping[str, float] = field(default_factory=dict)
    p: float = float("nan")
    whole: float = float("nan")

    def share(self, difference: float) -> float:
        """The share that a difference is of `whole`; NaN where that is not known."""
        return difference / self.whole if self.whole > 0 else float("nan")

    def sentence(self) -> str:
        """Return sentences that say which method is best, by how much, and whether that matters."""
        if self.best is None or self.second is None:
            return ""
        difference, low, high = (_number(value) for value in self.lead)
        ahead = f"by {difference} over {self.second} (95 % interval {low} to {high})"
        if not self.level:
            return f"Best is {self.best}, {ahead}. {self._size()}".strip()
        unsure = (
            "The interval holds 0: these texts do not show which is better."
            if self.lead[1] <= 0 <= self.lead[2]
            else "The interval leaves out 0, but the best was picked after the fact: corrected for "
            f"that, p = {self.p:.2g}, and these texts do not show which is better."
        )
        others = tuple(method for method in self.level if method != self.second)
        more = ""
        if others:
            names = join_names(others)
            more = f"Nor {agreeing(len(others))} {names} told apart from {self.best}."
        known = (f"{self.best} has the best mean, {ahead}.", unsure, self._size(), more)
        return " ".join(filter(None, known))

    def _size(self) -> str:
        """How large the lead is, and how large it may be."""
        if self.compared and self.best not in self.better:
            return f"Nor is it shown that {self.best} is better than chance."
        difference, most = (self.share(value) for value in (self.lead[0], self.lead[2]))
        if np.isnan(difference) or np.isnan(most):
            return ""
        of = f"what {self.best} gains over chance" if self.compared else f"the value of {self.best}"
        size = size_in_words(difference)
        if self.level and size_in_words(most) != size:
            size += f"; by its interval it may be {percent(most)}, {size_in_words(most)}"
        elif self.level:
            size = f"{percent(most)} at most: {size}"
        return f"The difference is {percent(difference)} of {of}, {size}."


def size_in_words(share: float) -> str:
    """Say in words how large a share is: whether a difference of it would matter."""
    printed = round(abs(share), 2)  # what is called 5 % is small
    names = [f"a {name} difference" for least, name in SIZES if printed >= least]
    return names[-1] if names else NEGLIGIBLE


def verdicts(report: EvaluationResults) -> list[Verdict]:
    """Return a verdict for each quantity in which higher or lower is better, as in `results`."""
    if report not in _FOUND:  # its tests take most of a second, and every text of a report asks
        _FOUND[report] = _find_verdicts(report)
    return list(_FOUND[report])


def _find_verdicts(report: EvaluationResults) -> list[Verdict]:
    found = []
    chance = report.advantage() if CHANCE in report.methods else None
    for (metric, direction), part in report.results.groupby(["metric", "direction"], sort=False):
        sign = report.quantities[str(metric)].sign(str(direction))
        if sign:
            gains = None if chance is None else _rows(chance, str(metric), str(direction))
            means = sign * part[part["method"] != CHANCE].set_index("method")["value"].dropna()
            found.append(_verdict(report, str(metric), str(direction), means, gains))
    return found


def headline(report: EvaluationResults) -> str:
    """Return the verdict in one sentence: whether the named words matter, and which method to take.

    Empty where chance is not compared.
    """
    found = [v for v in verdicts(report) if v.compared]
    telling = [v for v in found if v.better]  # of others, these texts show nothing
    methods = [m for m in report.methods if any(m in v.compared for v in found)]
    good = tuple(
        m for m in methods
        if telling and all(m in v.better for v in telling if m in v.compared)
        and not any(m in v.worse for v in found)
    )  # fmt: skip
    if not methods:
        return ""
    if not telling:
        return (
            "No method is better than chance in any quantity: these texts do not show that the "
            "words which the explanations name are those that the answers rest on."
        )
    few = ""
    if len(telling) < len(found):
        few = f" in the {len(telling)} of {len(found)} quantities in which these texts tell "
        few += "any method from chance"
    if not good:
        return f"No method is better than chance{few or ' in every quantity'}."
    verb = agreeing(len(good), "names", "name")
    parts = [f"{join_names(good)} {verb} words that the answers rest on, better than chance{few}"]
    shares = [v.share(d) for v in telling for m, d in v.behind.items() if {m, v.best} <= {*good}]
    known = [share for share in shares if not np.isnan(share)]
    if known:
        most = max(known)
        parts.append(f"they differ by {percent(most)} at most of what the best gains over chance")
        parts[-1] += f", {size_in_words(most)}"
    rest = [m for m in methods if m not in good]
    for somewhere, where in ((True, "only in some quantities"), (False, "nowhere")):
        named = tuple(m for m in rest if any(m in v.better for v in telling) is somewhere)
        if named:
            verb = agreeing(len(named))
            parts.append(f"{join_names(named)} {verb} {where} better than chance")
    return f"{'; '.join(parts)}."


def trust(report: EvaluationResults, method: str, *, coloured: bool = True) -> str:
    """Return whether the words that a method names matter, in sentences without a technical term.

    By the texts that the model had right, and how many it still has right without the words that
    weigh most for its answer; empty where that was not measured, or not for this method. Where the
    reader sees no colours, the words are those that the method names.
    """
    measured_by = (v for v in verdicts(report) if (v.metric, v.direction) == _STILL_RIGHT)
    found = next(measured_by, None)
    if found is None or method not in found.compared:
        return ""
    curves = report.curves(_STILL_RIGHT[0])
    most = curves["k"].max()
    curves = curves[(curves["direction"] == _STILL_RIGHT[1]) & (curves["k"] == most)]
    left = curves.set_index("method")["value"]
    words = agreeing(most, "the word that weighs", f"the {most:.0f} words that weigh")
    any_words = agreeing(most, "any word is", f"any {most:.0f} words are")
    measured = (
        f"Of {int(curves['documents'].max()):,} texts on which the model was right, it is still "
        f"right on {percent(float(left[method]))} where {words} most for its answer "
        f"{agreeing(most)} taken out, and on {percent(float(left[CHANCE]))} where {any_words}."
    )
    named = "the coloured words" if coloured else f"the words that {method} names"
    if method not in found.better:
        return f"{measured} That does not show that {named} matter more than others."
    if found.best in (None, method) or method in found.level:
        deepest = "the words of the deepest colour" if coloured else f"{named} first"
        return f"{measured} So its answers rest on {deepest}, on the whole, if not in each text."
    return f"{measured} So {named} matter, but {found.best} names words that matter more."


def plain_verdict(report: EvaluationResults) -> list[str]:
    """Return the verdict in few sentences for a terminal, none of which repeats another.

    Which methods name words that matter, what that is for the first of them, and what was compared
    at what cost.
    """
    first = next((method for method in report.methods if method != CHANCE), "")
    found = [headline(report), trust(report, first, coloured=False)]
    return list(filter(None, found)) + _scope(report) if any(found) else method_sentences(report)


def method_sentences(report: EvaluationResults) -> list[str]:
    """Return a sentence for each method but chance: how often it is better, how often best.

    Where it is not the best, it says how far behind it is. The last sentences say what percentages
    are of, what was compared, what each costs, and whether the strong rivals are missing: the best
    of weak methods need not be good.
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
    if any("%" in line for line in lines):
        of = "gains over chance" if CHANCE in report.methods else "reaches"
        lines.append(f"Percentages are of what the best method {of} in the same quantity.")
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
    whole = abs(float(means[best]))
    if gains is not None:
        over_chance = gains.set_index("method")["difference"]
        whole = float(over_chance[best]) if best in better else float("nan")
    return Verdict(
        metric, direction, compared, better, worse, best, level, second,
        lead=(-float(difference), -float(high), -float(low)),
        ranked=tuple(map(str, order)),
        behind={str(method): -float(d) for method, d in others["difference"].items()},
        p=float(corrected[0]),
        whole=whole,
    )  # fmt: skip


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
    ahead = sum(v.best == method and bool(v.level) for v in ranked)
    level = [v for v in ranked if method in v.level]
    others = [v for v in ranked if method not in (v.best, *v.level)]
    near, far = _behind(method, level), _behind(method, others)
    parts = []
    if alone:
        parts.append(f"best of the {rivals} compared{_in(alone, number)}")
    if ahead:
        parts.append(f"ahead in the mean{_in(ahead, number)}, but not told apart from others")
    if level:
        parts.append(
            f"not told apart from the best{_in(len(level), number)}{near and f' ({near})'}"
        )
    if others:
        parts.append(f"worse than the best{_in(len(others), number)}{far and f' ({far})'}")
    return "; ".join(parts)


def _behind(method: str, verdicts: Sequence[Verdict]) -> str:
    """By which shares a method is behind the best, from the least to the most."""
    shares = [v.share(v.behind[method]) for v in verdicts if method in v.behind]
    # Of the texts that both methods have, one that is level may be a little ahead.
    known = [max(share, 0.0) for share in shares if not np.isnan(share)]
    if not known:
        return ""
    ends = dict.fromkeys(percent(share) for share in (min(known), max(known)))
    return f"{' to '.join(ends)} behind"


def _number(value: float) -> str:
    rounding = 1e-12  # of float64, in what differs by nothing
    if abs(value) < rounding or abs(value) >= 0.0005:
        return f"{value:z.3f}"
    return f"{value:.1e}"


def _in(count: int, number: int) -> str:
    if number == 1:
        return ""
    return f" in all {number} quantities" if count == number else f" in {count} of {number}"
