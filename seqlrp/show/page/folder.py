"""A corpus as a folder of pages, made from a stream: never more than one page is in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seqlrp.errors import OptionError
from seqlrp.explanations.record import Explanation
from seqlrp.show.page.comparison import Compare, iter_rows, named_side
from seqlrp.show.page.document import Sides, article
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.highlights import Highlights
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.overview import (
    Overview,
    behind,
    colour_explanation,
    controls,
    header,
    how_to_read,
    list_entry,
    places_of_report,
    text_list,
    trust,
)
from seqlrp.show.page.report import finding, report_section
from seqlrp.show.page.template import whole_page
from seqlrp.show.page.text_view import Scale, TextView
from seqlrp.show.page.weightiest import WeightiestWords
from seqlrp.writing import check_replaceable, written_whole

PAGE = 1_500_000  # bytes of texts on a page, unless a single one has more
_OURS = re.compile(r"(index|page)(-\d+)?\.html")


def save_pages(
    docs: Iterable[Explanation],
    folder: str | os.PathLike[str],
    *,
    progress: bool | None = None,
    compare: Compare = None,
    report: Any = None,
    figures: Iterable[Any] = (),
    tables: Iterable[Any] = (),
    options: Mapping[str, Any] | None = None,
    **named: Any,
) -> Path:
    """Write a corpus as a folder: `index.html` to search and filter, and pages below 2 MB.

    The explanations are read one after the other and may be a generator; the folder is there whole
    or not at all. Options are those of `render`, and:

    Args:
        docs: what is shown, in this order.
        folder: where to; a folder that is there is replaced if it holds pages alone.
        progress: show a bar; None shows one where stderr is a terminal.

    Returns:
        The path of `index.html`.

    Raises:
        OptionError: an option with a value that is not allowed; `scale="corpus"` for a stream that
            can be read only once; a folder that holds other files.
        WriteError: the file system refused; what was there before is unchanged.
    """
    compare, checked = named_side(compare, PageOptions.of(options, named))
    folder = Path(folder)
    check_replaceable(folder, _OURS.fullmatch, "pages")
    scales = _corpus_scales(docs, compare, checked) if checked.scale == "corpus" else None
    before = report_section(report, figures, tables)
    with written_whole(folder) as temporary:
        temporary.mkdir()
        overview, highlights, weightiest = Overview(), Highlights(), WeightiestWords()
        index = _IndexWriter(temporary)
        pages = _PageWriter(temporary, checked)
        count = len(docs) if isinstance(docs, Sequence) else None
        hidden = None if progress is None else not progress
        bar = tqdm(iter_rows(docs, compare), "pages", count, unit="text", disable=hidden)
        for number, row in enumerate(bar, 1):
            views = [TextView.of(e, checked.by) for e in row]
            sides = [(view, scales[i] if scales else None) for i, view in enumerate(views)]
            overview.add(sides)
            where = pages.add(number, sides)
            link = f"{where}#d{number}"
            highlights.add(number, sides, link)
            weightiest.add(sides)
            index.add(list_entry(number, views[0].shown, link))
        pages.finish()
        test = finding(report, overview.method)
        trusted = trust(overview, script=True, tested=before is not None, test=test)
        point, front, folded = places_of_report(before, checked)
        after = [overview.facts(checked), trusted]
        first = [header(overview, checked, point=point, after=after), front]
        last = behind(overview, folded)
        if not checked.selection:
            first += [highlights.section(checked), weightiest.section()]
        index.finish(checked, overview, first, last)
    return folder / "index.html"


class _PageWriter:
    """Writes a page when it is full, with a link to the next one if there is one."""

    def __init__(self, folder: Path, options: PageOptions) -> None:
        self._folder, self._options = folder, options
        self._number = 1
        self._size = 0
        self._overview = Overview()
        self._wide = False
        self._entries: list[Html] = []
        self._articles: list[Html] = []

    def add(self, number: int, sides: Sides) -> str:
        """Put a text on a page, and say on which."""
        html = article(number, sides, f"d{number}", self._options, script=True, folded=True)
        listed_as = list_entry(number, sides[0][0].shown, f"#d{number}")
        size = len(html.encode()) + len(listed_as.encode())
        if self._articles and self._size + size > PAGE:
            self._flush(last=False)
        self._entries.append(listed_as)
        self._articles.append(html)
        self._size += size
        self._overview.add(sides)
        self._wide |= len(sides) > 1
        return _file("page", self._number)

    def finish(self) -> None:
        """Write the last page."""
        if self._articles:
            self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        turn, overview = _turn("page", self._number, last=last), self._overview
        html = whole_page(
            f"{self._options.title} ({self._number})",
            self._options,
            element(
                "header",
                element("h1", element("bdi", self._options.title)),
                colour_explanation(self._options, overview),
                turn,
            ),
            text_list(self._entries, overview) if len(self._entries) > 1 else None,
            how_to_read(self._options, every=overview.every, script=True),
            controls(self._options, every=overview.every, known=overview.known),
            element("main", *self._articles, class_="wide" if self._wide else None),
            turn,
        )
        _write(self._folder / _file("page", self._number), html)
        self._number += 1
        self._size, self._overview, self._entries, self._articles = 0, Overview(), [], []


class _IndexWriter:
    """Writes the index, whose entries wait in files, a page each, until all of them are there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = 0
        self._entries: list[Html] = []
        self._ends = [0]  # the number of the last text of each page, after a 0

    def add(self, one: Html) -> None:
        """Add an entry."""
        size = len(one.encode())
        if self._entries and self._size + size > PAGE:
            self._flush()
        self._entries.append(one)
        self._size += size

    def finish(
        self,
        options: PageOptions,
        overview: Overview,
        before: Sequence[Html | None],
        after: Html | None,
    ) -> None:
        """Write the pages of the index, at least one; `before` and `after` are on the first."""
        if self._entries or len(self._ends) == 1:
            self._flush()
        title, body, count = options.title, [*before, self._all_pages()], len(self._ends) - 1
        for number in range(1, count + 1):
            waiting = self._folder / f"part-{number}"
            lines = waiting.read_text(encoding="utf-8").split("\0")
            waiting.unlink()
            heading = "Texts" if count == 1 else f"{self._range(number)} of {overview.texts:,}"
            listed = [Html(line) for line in lines if line]
            entries = text_list(listed, overview, heading=heading, here=False) if listed else None
            turn = _turn("index", number, last=number == count) if count > 1 else None
            html = whole_page(title, options, *body, entries, turn, after)
            _write(self._folder / _file("index", number), html)
            body, after = [element("h1", element("bdi", title))], None

    def _all_pages(self) -> Html | None:
        """Links to all pages of the index, folded away; None where it has one."""
        links = [
            element("a", self._range(number), href=_file("index", number))
            for number in range(1, len(self._ends))
        ]
        if len(links) < 2:
            return None
        summary = element("summary", f"The list of texts is on {len(links):,} pages")
        return element("details", summary, element("p", *links, class_="turn"))

    def _range(self, number: int) -> str:
        return f"Texts {self._ends[number - 1] + 1:,} to {self._ends[number]:,}"

    def _flush(self) -> None:
        _write(self._folder / f"part-{len(self._ends)}", "\0".join(self._entries))
        self._ends.append(self._ends[-1] + len(self._entries))
        self._size, self._entries = 0, []


def _file(kind: str, number: int) -> str:
    return f"{kind}.html" if kind == "index" and number == 1 else f"{kind}-{number}.html"


def _turn(kind: str, number: int, *, last: bool) -> Html:
    first = kind == "index" and number == 1
    links = [] if first else [element("a", "All texts", href="index.html")]
    if number > 1:
        links.append(element("a", "Previous page", href=_file(kind, number - 1), rel="prev"))
    if not last:
        links.append(element("a", "Next page", href=_file(kind, number + 1), rel="next"))
    return element("p", *links, class_="turn")


def _write(path: Path, html: str) -> None:
    path.write_text(html, encoding="utf-8", newline="\n")


def _corpus_scales(
    docs: Iterable[Explanation], compare: Sequence[Explanation] | str | None, options: PageOptions
) -> list[Scale]:
    if iter(docs) is docs:
        raise OptionError(
            "scale='corpus' needs the largest relevance before the first page is written, and "
            "these explanations can be read only once; give a list, or scale='document'."
        )
    scales: list[Scale] = []
    for row in iter_rows(docs, compare):
        for i, e in enumerate(row):
            view = TextView.of(e, options.by)
            scales += [(0.0, 0.0)] * (i + 1 - len(scales))
            word, sentence = view.largest
            scales[i] = max(scales[i][0], word), max(scales[i][1], sentence)
    return scales
