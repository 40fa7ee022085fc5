"""What may stand in front of the texts: a report, figures, tables."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from seqlrp.errors import OptionError
from seqlrp.show.numbers import decimals_for
from seqlrp.show.page.elements import Html, element

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_LINES = 12  # of a report's words, unless somebody asks for more
_MOST_ROWS = 200  # of a table; more than that nobody reads on a page


def finding(report: Any, method: str | None = None) -> str | None:
    """What a report says of a method in plain words, or else the first line of its verdict.

    None of a report that is about something else than whether a method can be trusted.
    """
    if not hasattr(report, "trust"):
        return None
    if method is not None and (said := str(report.trust(method))):
        return said
    return str(report.verdict()).partition("\n")[0] or None


def report_section(report: Any, figures: Iterable[Any], tables: Iterable[Any]) -> Html | None:
    """The report's words and figure, then the figures, then the tables; None where there is none.

    Args:
        report: anything with `verdict()` (sentences, one a line), `plot()` (a matplotlib figure),
            `summary()` or `to_markdown()` (text that is shown as it is).
        figures: matplotlib figures or the bytes of PNG files, or pairs (caption, figure).
        tables: pandas tables, or pairs (caption, table).

    Raises:
        OptionError: something that is none of these.
    """
    parts = [] if report is None else _report(report)
    parts += [_figure(*_captioned(item)) for item in figures]
    parts += [_table(*_captioned(item)) for item in tables]
    return element("section", *parts, class_="front", aria_label="Report") if parts else None


def _captioned(item: Any) -> tuple[str | None, Any]:
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        return item
    return None, item


def _report(report: Any) -> list[Html]:
    """The verdict as paragraphs, the figure, and the words as they are: they may hold columns."""
    verdict = str(report.verdict()) if hasattr(report, "verdict") else ""
    names = [name for name in ("summary", "to_markdown") if hasattr(report, name)]
    words = str(getattr(report, names[0])()) if names else ""
    parts = [element("p", line) for line in verdict.splitlines() if line]
    if hasattr(report, "plot"):
        parts.append(_figure(None, report.plot()))
    if names and words != verdict:
        parts.append(_words(words))
    if not parts:
        raise OptionError(
            f"report must have plot(), verdict(), summary() or to_markdown(), as what `evaluate` "
            f"returns; got {report!r:.80}."
        )
    return parts


def _words(text: str) -> Html:
    """What a report says; more than a few lines are folded away, to keep the texts in sight."""
    words = element("pre", text, tabindex="0")
    if text.count("\n") < _MOST_LINES:
        return words
    return element("details", element("summary", "The report in words and numbers"), words)


def _figure(caption: str | None, figure: Any) -> Html:
    if hasattr(figure, "savefig"):
        memory = io.BytesIO()
        figure.savefig(memory, format="png", dpi=130)
        figure = memory.getvalue()
    if not isinstance(figure, bytes | bytearray) or bytes(figure[:8]) != _PNG:
        raise OptionError(
            f"A figure must be a matplotlib figure or the bytes of a PNG file, got {figure!r:.80}."
        )
    source = "data:image/png;base64," + base64.b64encode(figure).decode("ascii")
    return element(
        "figure",
        element("img", src=source, alt=caption or "A figure of the report"),
        element("figcaption", element("bdi", caption)) if caption else None,
    )


def _table(caption: str | None, table: Any) -> Html:
    if not hasattr(table, "itertuples") or not hasattr(table, "columns"):
        raise OptionError(f"A table must be a pandas DataFrame, got {table!r:.80}.")
    index = [level for level in table.index.names if level is not None]
    table = table.reset_index(allow_duplicates=True) if index else table
    numbers = [_of_numbers(table.iloc[:, place]) for place in range(table.shape[1])]
    columns = [
        element("th", element("bdi", str(name)), scope="col", class_=kind)
        for name, kind in zip(table.columns, numbers, strict=True)
    ]
    top = table.head(_MOST_ROWS)
    said = [_said(top.iloc[:, place]) for place in range(top.shape[1])]
    rows = [
        element(
            "tr",
            *(
                element("td", element("bdi", value), class_=kind)
                for value, kind in zip(row, numbers, strict=True)
            ),
        )
        for row in zip(*said, strict=True)
    ]
    more = len(table) - len(rows)
    return element(
        "div",
        element(
            "table",
            element("caption", element("bdi", caption)) if caption else None,
            element("thead", element("tr", *columns)),
            element("tbody", *rows),
        ),
        element("p", f"… and {more:,} further rows", class_="quiet") if more else None,
        class_="table",
        tabindex="0",
    )


def _of_numbers(column: Any) -> str | None:
    """The class of a column of numbers, which stand one below the other; None of others."""
    return "number" if column.dtype.kind in "iuf" else None


def _said(column: Any) -> list[str]:
    """The values of a column in words; numbers so that their points stand one below the other."""
    how = _number_format(column) if _of_numbers(column) else None
    return [
        "–" if missing else format(value, how) if how else _word(value)
        for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]


def _number_format(column: Any) -> str:
    """How to print numbers: four digits of the largest, and no decimals that no number has."""
    values = np.abs(column.to_numpy(dtype=float, na_value=np.nan))
    values = values[np.isfinite(values)]
    largest = float(values.max(initial=0.0))
    most = decimals_for(largest)
    if most > 6:
        return ".3e"
    needed = (d for d in range(most) if np.allclose(values, values.round(d), rtol=1e-9, atol=0))
    return f",.{next(needed, max(most, 0))}f"


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
