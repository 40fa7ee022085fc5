"""Tables of an evaluation: text for a terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.evaluation.report.record import CHANCE, EvaluationResults
from seqlrp.evaluation.report.verdict import (
    NEGLIGIBLE,
    SIGNIFICANT,
    SIZES,
    Verdict,
    headline,
    method_sentences,
    verdicts,
)
from seqlrp.explanations.spreadsheets import to_csv
from seqlrp.show.numbers import percent
from seqlrp.show.wording import counted

if TYPE_CHECKING:
    import pandas as pd

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
_FEW = 20  # texts; with fewer, percentile bootstrap intervals are too narrow
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


def as_verdict(report: EvaluationResults) -> str:
    """Return the verdict in one sentence, then one a method: where it is good, and where best."""
    return "\n".join(map(_one_line, _sentences(report)))


def _sentences(report: EvaluationResults) -> list[str]:
    return list(filter(None, [headline(report), *method_sentences(report)]))


def as_text(report: EvaluationResults) -> str:
    """Return the verdict, then every result with its interval, its meaning and the best method."""
    results, lines = report.results, [*_in_short(report), *_head(report)]
    gains = report.advantage() if CHANCE in report.methods else None
    by_place = {(v.metric, v.direction): v for v in verdicts(report)}
    width = max(16, *(len(_one_line(m)) for m in report.methods)) + 2
    explained: set[str] = set()
    for (metric, direction), part in results.groupby(["metric", "direction"], sort=False):
        place = str(metric), str(direction)
        lines += ["", *_heading(report, *place, int(part["documents"].max()))]
        meaning = report.quantities[place[0]].meaning
        if meaning not in explained:
            lines += _indented(meaning)
            explained.add(meaning)
        lines += _rows_of_methods(part, _gains(gains, *place), width)
        lines += _conclusion(part, by_place.get(place))
    return "\n".join([*lines, *_foot(report, width)])


def _heading(report: EvaluationResults, metric: str, direction: str, texts: int) -> list[str]:
    title = report.quantities[metric].title
    which = _DIRECTIONS.get(direction, direction)
    return textwrap.wrap(
        f"{title[:1].upper()}{title[1:]}{_places(report, metric)}: {which} ({texts:,}) "
        f"[{_full_name(report, metric)}]",
        _WIDTH,
    )


def _rows_of_methods(part: pd.DataFrame, gains: dict[str, str], width: int) -> Iterator[str]:
    """A line for each method: mean, interval and gain over chance."""
    head = "better than random by" if gains else ""
    yield f"  {'':{width}}{'mean':>7}  {'95 % interval':18}{head}".rstrip()
    for row in part.to_dict("records"):
        method = str(row["method"])
        interval = _interval(row["low"], row["high"])
        line = f"  {_one_line(method):{width}}{_number(row['value']):>7}  {interval:18}"
        yield (line + gains.get(method, "")).rstrip()


def _conclusion(part: pd.DataFrame, verdict: Verdict | None) -> list[str]:
    """What is better, which method is best, and how many texts there are or are missing."""
    better = {"higher": "Higher is better.", "lower": "Lower is better."}
    texts, missing = int(part["documents"].max()), int(part["missing"].max())
    sentences = [
        better.get(str(part["better"].iloc[0]), ""),
        "" if verdict is None else _one_line(verdict.sentence()),
        f"With {counted(texts, 'text')} intervals are too narrow." if 0 < texts < _FEW else "",
        f"Missing in {missing:,} more, where there is nothing to measure." if missing else "",
    ]
    return _indented(" ".join(filter(None, sentences)))


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def as_frame(report: EvaluationResults) -> pd.DataFrame:
    """Return a table of text cells: a row a result, a column a method, times in the last row."""
    import pandas as pd

    # No-break spaces, so that an arrow stays on the line of its heading.
    arrows = {"higher": "\u00a0↑", "lower": "\u00a0↓", "neither": ""}
    (_, *methods), *rows = _rows(report, str, arrows)
    index = pd.Index([row[0] for row in rows], name="result")
    return pd.DataFrame([row[1:] for row in rows], index=index, columns=methods)


def as_markdown(report: EvaluationResults) -> str:
    """Return a Markdown table: a row a result, a column a method, times in the last row."""

    def escaped(text: str) -> str:
        return _one_line(text).translate(_MARKDOWN)

    arrows = {"higher": " ↑", "lower": " ↓", "neither": ""}
    rows = list(_rows(report, escaped, arrows))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * len(report.methods))
    return "\n".join([*lines, "", escaped(caption(report)), ""])


def as_latex(report: EvaluationResults) -> str:
    """Return a LaTeX table for booktabs: a row a result, a column a method, times last."""

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


def as_csv(report: EvaluationResults) -> str:
    """Return CSV: a row a quantity, direction and method, with gain over chance and time."""
    table = report.results
    if CHANCE in report.methods:
        gains = report.advantage().rename(
            columns={"difference": "advantage", "low": "advantage_low", "high": "advantage_high"}
        )
        keys = ["metric", "direction", "method"]
        table = table.merge(gains.drop(columns="documents"), on=keys, how="left")
    times = {method: 1000 * seconds for method, seconds in report.seconds.items()}
    table = table.assign(milliseconds_per_text=table["method"].map(times))
    return to_csv(table)


def _rows(
    report: EvaluationResults, escaped: Callable[[str], str], arrows: dict[str, str]
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


def caption(report: EvaluationResults) -> str:
    """Return a caption that says what the numbers of the table are."""
    made = report.made
    removal = _REMOVAL.get(made["options"]["removal"], "")
    return (
        f"Means over {made['documents']:,} texts, with 95 % bootstrap intervals; {removal}; "
        f"arrows say what is better. seqlrp {made['versions']['seqlrp']}, seed {report.seed}."
    )


def _in_short(report: EvaluationResults) -> Iterator[str]:
    sentences = _sentences(report)
    if not sentences:
        return
    yield "In short"
    for sentence in sentences:
        yield from textwrap.wrap(
            _one_line(sentence), _WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    if any("level with" in s or "not told apart" in s or "%" in s for s in sentences):
        yield from _note()
    yield ""


def _note() -> list[str]:
    sizes = ", ".join(f"from {percent(least)} on {name}" for least, name in SIZES)
    return _indented(
        "Level, or not told apart, means that these texts do not show a difference, not that there "
        f"is none. A difference of less than {percent(SIZES[0][0])} is called {NEGLIGIBLE}, "
        f"{sizes}: conventions, no tests. Quantities of one metric are related, and no independent "
        "evidence."
    )


def _full_name(report: EvaluationResults, quantity: str) -> str:
    """The name of a quantity, after that of its metric."""
    metric = next((m for m, names in report.metrics.items() if quantity in names), quantity)
    return _one_line(quantity if metric == quantity else f"{metric}: {quantity}")


def _head(report: EvaluationResults) -> Iterator[str]:
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
        f"Explanations of {counted(made['documents'], 'text')}{left_out} by "
        f"{counted(len(report.methods), 'method')}, "
        f"put to the test: {removal}, and the classifier is asked again. Numbers are means over "
        f"texts (and over k); in brackets, their 95 % intervals.{chance} A heading "
        f"ends with the names of metric and quantity, as in the tables.",
        _WIDTH,
    )


def _places(report: EvaluationResults, metric: str) -> str:
    """The values of k over which the mean is computed."""
    ks = [f"{k:g}" for k in report.ks(metric) if k != 0]
    unit = report.quantities[metric].k
    return f", k = {', '.join(ks)} {unit}" if ks else ""


def _foot(report: EvaluationResults, width: int) -> list[str]:
    lines = ["", "Time to explain a text, in milliseconds"]
    for method in report.methods:
        lines.append(f"  {_one_line(method):{width}}{_milliseconds(report.seconds[method]):>7}")
    return lines


def _gains(gains: pd.DataFrame | None, metric: str, direction: str) -> dict[str, str]:
    """By how much each method is better than chance."""
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


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:+.3f}"


def _interval(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{_number(low)}, {_number(high)}]"


def _milliseconds(seconds: float) -> str:
    return "–" if np.isnan(seconds) else f"{1000 * seconds:.2f}"


def _one_line(text: str) -> str:
    """Escape control characters and line breaks of a name, which comes from the user."""
    return "".join(c if c.isprintable() or c == "\xa0" else ascii(c)[1:-1] for c in text)
