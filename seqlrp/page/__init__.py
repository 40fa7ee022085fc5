"""Explanations as HTML that needs no network, no other file, and no script to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqlrp.explanation import Explanation
from seqlrp.page.aligned import aligned
from seqlrp.page.document import article
from seqlrp.page.figures import front
from seqlrp.page.folder import save_pages
from seqlrp.page.index import Tally, controls, entry, header, listed
from seqlrp.page.markup import Html, element
from seqlrp.page.options import Look
from seqlrp.page.reading import Reading, shared_scale
from seqlrp.page.sheet import fragment_of, page_of

__all__ = ["notebook", "render", "save_pages"]

TITLE = "Which words decided"
_FIRST_TEXTS = 10  # of many, in a notebook
_FIRST_WORDS = 1_000  # of them all together, in a notebook


def render(
    docs: Sequence[Explanation] | Explanation,
    *,
    page: bool = False,
    minify: bool = False,
    title: str = TITLE,
    compare: Sequence[Explanation] | str | None = None,
    report: Any = None,
    figures: Iterable[Any] = (),
    tables: Iterable[Any] = (),
    scale: str | None = None,
    palette: str | None = None,
    threshold: float | None = None,
    by: str | None = None,
    options: Mapping[str, Any] | None = None,
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
        minify: leave the indentation and comments of style and script out.
        title: the heading.
        compare: other explanations of the same texts, shown beside the first, e.g. by another
            method; or the name of a class, where every class is explained.
        report: what `evaluate` returned, in front of the texts: its figure and its summary.
        figures: in front of the texts: matplotlib figures or PNG files as bytes, or pairs
            (caption, figure).
        tables: pandas tables, or pairs (caption, table).
        scale: the deepest colour is the largest relevance of each "document" (default) or of the
            "corpus", which makes texts comparable.
        palette: "red-blue" (default), "orange-blue", "orange-purple" or "pink-green".
        threshold: words that have less than this share of the largest have no colour (0.05).
        by: colour each "word" (default), "sentence" or "token".
        options: scale, palette, threshold and by once more, as a mapping.

    Raises:
        OptionError: an option with a value that is not allowed.
    """
    look = Look.of(options, scale=scale, palette=palette, threshold=threshold, by=by)
    given = [docs] if isinstance(docs, Explanation) else docs
    rows = [tuple(Reading.of(e, look.by) for e in row) for row in aligned(given, compare)]
    before = front(report, figures, tables)
    return _rendered(rows, title, look, page=page, minify=minify, before=before)


def notebook(docs: Sequence[Explanation], total: int) -> str:
    """What a notebook shows: the first of `total` explanations, and how to see more."""
    look = Look()
    shown: list[tuple[Reading, ...]] = []
    words = 0
    for explanation in docs[:_FIRST_TEXTS]:
        if words >= _FIRST_WORDS:
            break
        shown.append((Reading.of(explanation, look.by),))
        words += len(shown[-1][0].words)
    title = f"{len(shown)} of {total:,} texts" if total != 1 else TITLE
    more = None
    if len(shown) < total or words > _FIRST_WORDS:
        more = element(
            "p",
            "To see more: save_html(path) of an Explanations list writes one page, ",
            "save_pages(folder) a folder of pages with an index.",
            class_="quiet",
        )
    return _rendered(shown, title, look, page=False, minify=True, after=more, most=_FIRST_WORDS)


def _rendered(
    rows: Sequence[tuple[Reading, ...]],
    title: str,
    look: Look,
    *,
    page: bool,
    minify: bool,
    before: Html | None = None,
    after: Html | None = None,
    most: int | None = None,
) -> str:
    # Side by side, each method has a scale of its own: their units differ.
    width = max(map(len, rows), default=1)
    scales = [
        shared_scale(row[i] for row in rows if len(row) > i) if look.scale == "corpus" else None
        for i in range(width)
    ]
    sides = [[(r, scales[i]) for i, r in enumerate(row)] for row in rows]
    anchors = [f"d{number}" for number in range(1, len(rows) + 1)]
    if not page:  # two fragments in one page must not have the same anchors
        key = "\0".join([title, repr(look), *(r.shown.text for row in rows for r in row)])
        digest = hashlib.sha256(key.encode()).hexdigest()[:8]
        anchors = [f"{anchor}-{digest}" for anchor in anchors]
    tally = Tally()
    entries, articles = [], []
    for number, (side, anchor) in enumerate(zip(sides, anchors, strict=True), 1):
        tally.add(side)
        entries.append(entry(number, side[0][0].shown, f"#{anchor}"))
        left = None if most is None else max(most, 1)
        articles.append(article(number, side, anchor, look, script=page, most=left))
        if most is not None:
            most -= len(side[0][0].words)
    body = [
        header(title, tally, look, script=page),
        before,
        listed(entries, known=tally.known, script=page),
        controls(look, every=tally.every, known=tally.known) if page and rows else None,
        element("main" if page else "div", *articles, class_=None if width < 2 else "wide"),
        after,
    ]
    if page:
        return page_of(title, look, *body, minify=minify)
    return fragment_of(look, *body, minify=minify)
