"""An evaluation as text: to be read in a terminal, in a paper, by a program."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.evaluation.report import CHANCE
from seqlrp.evaluation.verdict import SIGNIFICANT, in_short, verdicts

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.evaluation.report import EvaluationReport

_WIDTH = 96
_DIRECTIONS = {
    "right": "texts classified correctly, most relevant words first",
    "wrong": "texts classified wrongly, least relevant words first",
    "all": "all texts",
}
_REMOVAL = {
    "zero": "a removed word's embedding is set to zero",
    "delete": "removed words are cut out of the text",
    "unk": "the unknown word stands for a removed one",
    "mask": "a mask stands for a removed word",
}
_FEW = 20  # below, a percentile bootstrap holds the truth less often than it says
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>|#~$"} | {"&": "&amp;"})


def as_verdict(report: EvaluationReport) -> str:
    """Who is better than chance and who is best: a sentence a method."""
    return "\n".join(_one_line(sentence) for sentence in in_short(report))


def as_text(report: EvaluationReport) -> str:
    """The verdict; then every result with its interval, what it means, and who is best."""
    found = verdicts(report)
    said = {(v.metric, v.direction): _one_line(v.sentence()) for v in found}
    results, lines = report.results, [*_in_short(report), *_head(report)]
    gains = report.advantage() if CHANCE in report.methods else None
    width = max(16, *(len(_one_line(m)) for m in report.methods)) + 2
    told: set[str] = set()
    for (metric, direction), part in results.groupby(["metric", "direction"], sort=False):
        quantity = report.quantities[str(metric)]
        better = {"higher": "Higher is better.", "lower": "Lower is better."}
        texts = int(part["documents"].max())
        who = _DIRECTIONS.get(str(direction), str(direction))
        title = quantity.title[:1].upper() + quantity.title[1:] + _places(report, str(metric))
        name = _name(report, str(metric))
        lines += ["", *textwrap.wrap(f"{title}: {who} ({texts:,}) [{name}]", _WIDTH)]
        if quantity.meaning not in told:
            lines += textwrap.wrap(
                quantity.meaning, _WIDTH, initial_indent="  ", subsequent_indent="  "
            )
            told.add(quantity.meaning)
        rows = _gains(gains, str(metric), str(direction))
        head = "better than random by" if rows else ""
        lines.append(f"  {'':{width}}{'mean':>7}  {'95 % interval':18}{head}".rstrip())
        for row in part.to_dict("records"):
            name = _one_line(str(row["method"]))
            interval = _interval(row["low"], row["high"])
            line = f"  {name:{width}}{_number(row['value']):>7}  {interval:18}"
            lines.append((line + rows.get(str(row["method"]), "")).rstrip())
        missing = int(part["missing"].max())
        verdict = [better.get(str(part["better"].iloc[0]), "")]
        verdict.append(said.get((str(metric), str(direction)), ""))
        if 0 < texts < _FEW:
            verdict.append(f"With {_counted(texts, 'text')} intervals are too narrow.")
        if missing:
            verdict.append(f"Missing in {missing:,} more, where there is nothing to measure.")
        shown = " ".join(sentence for sentence in verdict if sentence)
        lines += textwrap.wrap(shown, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join([*lines, *_foot(report, width)])


def as_frame(report: EvaluationReport) -> pd.DataFrame:
    """The table as text cells: a row a result, a column a method, times in the last row."""
    import pandas as pd

    # No end of line parts an arrow from its heading.
    arrows = {"higher": "\u00a0↑", "lower": "\u00a0↓", "neither": ""}
    (_, *methods), *rows = _rows(report, str, arrows)
    index = pd.Index([row[0] for row in rows], name="result")
    return pd.DataFrame([row[1:] for row in rows], index=index, columns=methods)


def as_markdown(report: EvaluationReport) -> str:
    """A Markdown table: a row a result, a column a method, times in the last row."""

    def escaped(text: str) -> str:
        return _one_line(text).translate(_MARKDOWN)

    arrows = {"higher": " ↑", "lower": " ↓", "neither": ""}
    rows = list(_rows(report, escaped, arrows))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * len(report.methods))
    return "\n".join([*lines, "", escaped(caption(report)), ""])


def as_latex(report: EvaluationReport) -> str:
    """A LaTeX table with booktabs' rules: a row a result, a column a method, times at the end."""

    def escaped(text: str) -> str:
        return _one_line(text).translate(_LATEX)

    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "neither": ""}
    rows = [" & ".join(row) + r" \\" for row in _rows(report, escaped, arrows)]
    lines = [
        f"% {_one_line(caption(report))}",
        rf"\begin{{tabular}}{{l{'r' * len(report.methods)}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:-1],
        r"\midrule",
        rows[-1],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, ""])


def as_csv(report: EvaluationReport) -> str:
    """A row for each metric, direction and method, with its gain over chance and its time."""
    table = report.results
    if CHANCE in report.methods:
        gains = report.advantage().rename(
            columns={"difference": "advantage", "low": "advantage_low", "high": "advantage_high"}
        )
        keys = ["metric", "direction", "method"]
        table = table.merge(gains.drop(columns="documents"), on=keys, how="left")
    times = {method: 1000 * seconds for method, seconds in report.seconds.items()}
    table = table.assign(milliseconds_per_text=table["method"].map(times))
    return str(table.to_csv(index=False, lineterminator="\n"))


def _rows(
    report: EvaluationReport, escaped: Callable[[str], str], arrows: dict[str, str]
) -> Iterator[list[str]]:
    yield ["", *(escaped(method) for method in report.methods)]
    short = {"right": ", classified correctly", "wrong": ", classified wrongly", "all": ""}
    for (metric, direction), part in report.results.groupby(["metric", "direction"], sort=False):
        found = {str(row["method"]): row for row in part.to_dict("records")}
        title = report.quantities[str(metric)].title + short.get(str(direction), f", {direction}")
        row = [escaped(title) + arrows[str(part["better"].iloc[0])]]
        for method in report.methods:
            cell = "–"
            if method in found:
                value, low, high = (found[method][name] for name in ("value", "low", "high"))
                cell = f"{_number(value)} {_interval(low, high)}".rstrip()
            row.append(escaped(cell))
        yield row
    yield ["time a text, ms", *(_milliseconds(report.seconds[m]) for m in report.methods)]


def caption(report: EvaluationReport) -> str:
    """What the numbers of the table are, in a sentence."""
    made = report.made
    removal = _REMOVAL.get(made["options"]["removal"], "")
    return (
        f"Means over {made['documents']:,} texts, with 95 % bootstrap intervals; {removal}; "
        f"arrows say what is better. seqlrp {made['versions']['seqlrp']}, seed {report.seed}."
    )


def _in_short(report: EvaluationReport) -> Iterator[str]:
    sentences = in_short(report)
    if not sentences:
        return
    yield "In short"
    for sentence in sentences:
        yield from textwrap.wrap(
            _one_line(sentence), _WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    if any("level with" in s or "not told apart" in s for s in sentences):
        yield from _note()
    yield ""


def _note() -> list[str]:
    return textwrap.wrap(
        "Level, or not told apart, says that these texts do not show a difference, not that there "
        "is none. Figures of one metric go together, and are no independent witnesses.",
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
    )


def _name(report: EvaluationReport, figure: str) -> str:
    """What the figure is called in the tables, after the metric that gives it."""
    metric = next((m for m, figures in report.metrics.items() if figure in figures), figure)
    return _one_line(figure if metric == figure else f"{metric}: {figure}")


def _head(report: EvaluationReport) -> Iterator[str]:
    made = report.made
    left_out = ""
    if made["left_out"]:
        left_out = f" ({made['left_out']:,} shorter than {made['min_words']} words left out)"
    orders = made["options"]["random_orders"]
    chance = ""
    if CHANCE in report.methods:
        chance = (
            f" {CHANCE!r} ranks words by chance ({orders} orders): a method that is no better says "
            f"nothing about the classifier. A star marks what is better or worse than chance with "
            f"p < {SIGNIFICANT} (sign-flip permutation test, corrected for all comparisons, Holm)."
        )
    removal = _REMOVAL.get(made["options"]["removal"], "")
    yield from textwrap.wrap(
        f"Explanations of {_counted(made['documents'], 'text')}{left_out} by "
        f"{_counted(len(report.methods), 'method')}, "
        f"put to the test: {removal}, and the classifier is asked again. Numbers are means over "
        f"texts (and over k); in brackets, their 95 % intervals.{chance} A heading "
        f"ends with the names of metric and figure, as the tables have them.",
        _WIDTH,
    )


def _places(report: EvaluationReport, metric: str) -> str:
    """Over which k the mean is."""
    ks = [f"{k:g}" for k in report.ks(metric) if k != 0]
    unit = report.quantities[metric].k
    return f", k = {', '.join(ks)} {unit}" if ks else ""


def _foot(report: EvaluationReport, width: int) -> list[str]:
    lines = ["", "Time to explain a text, in milliseconds"]
    for method in report.methods:
        lines.append(f"  {_one_line(method):{width}}{_milliseconds(report.seconds[method]):>7}")
    return lines


def _gains(gains: pd.DataFrame | None, metric: str, direction: str) -> dict[str, str]:
    """For each method how much better than chance it is."""
    if gains is None:
        return {}
    part = gains[(gains["metric"] == metric) & (gains["direction"] == direction)]
    found = {}
    for row in part.to_dict("records"):
        if np.isnan(row["difference"]):
            continue
        star = " *" if row["p_holm"] < SIGNIFICANT else ""
        interval = f"[{_signed(row['low'])}, {_signed(row['high'])}]"
        found[str(row["method"])] = f"{_signed(row['difference'])} {interval}{star}"
    return found


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.3f}"


def _interval(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{_number(low)}, {_number(high)}]"


def _milliseconds(seconds: float) -> str:
    return "–" if np.isnan(seconds) else f"{1000 * seconds:.2f}"


def _one_line(text: str) -> str:
    """Names come from the user: what a terminal or a table would take for a command is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
