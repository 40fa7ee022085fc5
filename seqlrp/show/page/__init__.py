"""Explanations as HTML that needs no network, no other file, and no script to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

from seqlrp.errors import check_number
from seqlrp.explanations.record import Explanation
from seqlrp.show.edits import NO_EDITS
from seqlrp.show.page.comparison import Compare, iter_rows, named_side
from seqlrp.show.page.document import Sides, article
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.folder import save_pages
from seqlrp.show.page.highlights import FEWEST, Highlights
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.overview import (
    Overview,
    behind,
    controls,
    header,
    how_to_read,
    list_entry,
    places_of_report,
    text_list,
    trust,
)
from seqlrp.show.page.report import finding, report_section
from seqlrp.show.page.template import fragment, whole_page
from seqlrp.show.page.text_view import TextView, corpus_scale
from seqlrp.show.page.weightiest import WeightiestWords

__all__ = ["render", "save_pages"]

_UNFOLDED = 1  # texts on a page; the tables of more are folded away


def render(
    docs: Sequence[Explanation] | Explanation,
    *,
    page: bool = False,
    shown: int | None = None,
    compare: Compare = None,
    report: Any = None,
    figures: Iterable[Any] = (),
    tables: Iterable[Any] = (),
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> str:
    """Explanations as HTML, to be read by anybody and sent to anybody.

    Words for the class that is explained have one colour, words against it, or for the class with
    which it is compared, another and a dotted line. The numbers are raw relevance, summed over the
    tokens of a word or a sentence. Where every class is explained, the predicted one is shown, and
    on a page the reader can choose another.

    Args:
        docs: what is shown, in this order.
        page: True gives a whole page, with a script for choosing and searching; False a fragment
            to be put into another page, without one.
        shown: show at most so many texts, spread evenly over all of them; what is said of the texts
            together is counted over all.
        compare: other explanations of the same texts, shown beside the first, e.g. by another
            method, and `{"name": explanations}` to name them; or the name of a class, where every
            class is explained.
        report: what `evaluate` returned: its figure and its summary.
        figures: matplotlib figures or PNG files as bytes, or pairs (caption, figure).
        tables: pandas tables, or pairs (caption, table).
        options: those of `seqlrp.show.page.options.PageOptions`, as a mapping.
        named: the same by keyword.

    Raises:
        OptionError: an option that is not known, or a value that is not allowed.
    """
    checked = PageOptions.of(options, named)
    if shown is not None:
        check_number("shown", shown, least=1, whole=True)
    given = [docs] if isinstance(docs, Explanation) else docs
    compare, checked = named_side(compare, checked)
    rows = [
        tuple(TextView.of(e, checked.by, edits or NO_EDITS) for e in row)
        for row, edits in zip_longest(iter_rows(given, compare), checked.edits)
    ]
    before = report_section(report, figures, tables)
    test = finding(report, rows[0][0].shown.method if rows else None)
    body = _content(rows, checked, page=page, shown=shown, before=before, test=test)
    return whole_page(checked.title, checked, *body) if page else fragment(checked, *body)


def _anchors(
    rows: Sequence[tuple[TextView, ...]], options: PageOptions, *, page: bool
) -> list[str]:
    """The ids of the texts; two fragments in one page must not have the same."""
    key = "\0".join([repr(options), *(r.shown.text for row in rows for r in row)])
    end = "" if page else f"-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return [f"d{number}{end}" for number in range(1, len(rows) + 1)]


def _spread(total: int, shown: int | None) -> set[int]:
    """The numbers, from 1, of at most `shown` of all texts, at equal distances."""
    count = total if shown is None else min(shown, total)
    return {1 + k * total // count for k in range(count)}


def _with_scales(rows: Sequence[tuple[TextView, ...]], options: PageOptions) -> list[Sides]:
    """The views of each text with their scales; None for the text's own."""
    # Side by side, each method has a scale of its own: their units differ.
    scales = [
        corpus_scale(row[i] for row in rows if len(row) > i) if options.scale == "corpus" else None
        for i in range(max(map(len, rows), default=1))
    ]
    return [[(view, scales[i]) for i, view in enumerate(row)] for row in rows]


def _content(
    rows: Sequence[tuple[TextView, ...]],
    options: PageOptions,
    *,
    page: bool,
    shown: int | None = None,
    before: Html | None = None,
    test: str | None = None,
) -> list[Html | None]:
    """All that a page or a fragment holds, from its heading to what is folded away."""
    sides = _with_scales(rows, options)
    anchors = _anchors(rows, options, page=page)
    overview, highlights, weightiest = Overview(), Highlights(), WeightiestWords()
    entries, articles = [], []
    chosen = _spread(len(rows), shown)
    folded, wide = len(chosen) > _UNFOLDED, any(len(row) > 1 for row in rows)
    # Where the truth is known of no text, the first lines say so, and not each of many texts.
    unknown = len(rows) > 1 and all(row[0].shown.label is None for row in rows)
    for number, (side, anchor) in enumerate(zip(sides, anchors, strict=True), 1):
        overview.add(side)
        weightiest.add(side)
        if number not in chosen:
            continue
        highlights.add(number, side, f"#{anchor}")
        entries.append(list_entry(number, side[0][0].shown, f"#{anchor}"))
        articles.append(
            article(number, side, anchor, options, script=page, folded=folded, brief=unknown)
        )
    heading = f"{len(chosen):,} of {len(rows):,} texts" if len(chosen) < len(rows) else "Texts"
    texts = element("main" if page else "div", *articles, class_="wide" if wide else None)
    reading = how_to_read(options, every=overview.every, script=page)
    bar = controls(options, every=overview.every, known=overview.known) if page and rows else None
    facts = overview.facts(options)
    trusted = trust(overview, script=page, tested=before is not None, test=test)
    point, front, folded_away = places_of_report(before, options)
    last = behind(overview, folded_away)
    top = partial(header, overview, options, script=page, point=point)
    if len(rows) < FEWEST:  # all in sight: they are what one came for, and need no list
        about = element("section", facts, trusted, reading, class_="context")
        return [top(), front, texts, about, bar, last]
    return [
        top(after=[facts, trusted]),
        front,
        highlights.section(options) if page else None,
        weightiest.section() if page and not options.selection else None,
        text_list(entries, overview, heading=heading, script=page),
        reading,
        bar,
        texts,
        last,
    ]
