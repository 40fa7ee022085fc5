"""A corpus as a folder of pages, made from a stream: never more than one page is in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from seqlrp.errors import OptionError
from seqlrp.explanation import Explanation
from seqlrp.page.aligned import aligned
from seqlrp.page.document import Sides, article
from seqlrp.page.figures import front
from seqlrp.page.index import Tally, colours_in_words, controls, entry, header, listed
from seqlrp.page.markup import Html, element
from seqlrp.page.options import Look
from seqlrp.page.reading import Reading, Scale
from seqlrp.page.sheet import page_of
from seqlrp.writing import written_whole

PAGE = 1_500_000  # bytes of texts on a page, unless a single one has more
_OURS = re.compile(r"(index|page)(-\d+)?\.html")


def save_pages(
    docs: Iterable[Explanation],
    folder: str | os.PathLike[str],
    *,
    title: str = "Which words decided",
    minify: bool = False,
    progress: bool | None = None,
    compare: Sequence[Explanation] | str | None = None,
    report: Any = None,
    figures: Iterable[Any] = (),
    tables: Iterable[Any] = (),
    scale: str | None = None,
    palette: str | None = None,
    threshold: float | None = None,
    by: str | None = None,
    options: Mapping[str, Any] | None = None,
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
    look = Look.of(options, scale=scale, palette=palette, threshold=threshold, by=by)
    folder = Path(folder)
    _only_ours(folder)
    scales = _corpus_scales(docs, compare, look) if look.scale == "corpus" else None
    before = front(report, figures, tables)
    with written_whole(folder) as temporary:
        temporary.mkdir()
        tally = Tally()
        parts = _Parts(temporary)
        pages = _Pages(temporary, title, look, minify)
        count = len(docs) if isinstance(docs, Sequence) else None
        hidden = None if progress is None else not progress
        bar = tqdm(aligned(docs, compare), "pages", count, unit="text", disable=hidden)
        for number, row in enumerate(bar, 1):
            readings = [Reading.of(e, look.by) for e in row]
            sides = [(r, scales[i] if scales else None) for i, r in enumerate(readings)]
            tally.add(sides)
            where = pages.add(number, sides)
            parts.add(entry(number, readings[0].shown, f"{where}#d{number}"))
        pages.finish()
        beginning = [header(title, tally, look, script=True), before]
        for number, entries in enumerate(parts.read(), 1):
            body = beginning if number == 1 else [element("h1", element("bdi", title))]
            turn = _turn("index", number, last=number == parts.count) if parts.count > 1 else None
            html = page_of(
                title,
                look,
                *body,
                listed(entries, known=tally.known, here=False),
                turn,
                minify=minify,
            )
            _write(temporary / _file("index", number), html)
    return folder / "index.html"


class _Pages:
    """Pages that are written when they are full; each knows whether another one follows."""

    def __init__(self, folder: Path, title: str, look: Look, minify: bool) -> None:
        self._folder, self._title, self._look, self._minify = folder, title, look, minify
        self._number = 1
        self._size = 0
        self._tally = Tally()
        self._wide = False
        self._entries: list[Html] = []
        self._articles: list[Html] = []

    def add(self, number: int, sides: Sides) -> str:
        """Put a text on a page, and say on which."""
        html = article(number, sides, f"d{number}", self._look, script=True)
        listed_as = entry(number, sides[0][0].shown, f"#d{number}")
        size = len(html.encode()) + len(listed_as.encode())
        if self._articles and self._size + size > PAGE:
            self._flush(last=False)
        self._entries.append(listed_as)
        self._articles.append(html)
        self._size += size
        self._tally.add(sides)
        self._wide |= len(sides) > 1
        return _file("page", self._number)

    def finish(self) -> None:
        """Write the last page."""
        if self._articles:
            self._flush(last=True)

    def _flush(self, *, last: bool) -> None:
        turn, tally = _turn("page", self._number, last=last), self._tally
        html = page_of(
            f"{self._title} ({self._number})",
            self._look,
            element(
                "header",
                element("h1", element("bdi", self._title)),
                colours_in_words(self._look, compared=tally.compared),
                turn,
            ),
            listed(self._entries, known=tally.known),
            controls(self._look, every=tally.every, known=tally.known),
            element("main", *self._articles, class_="wide" if self._wide else None),
            turn,
            minify=self._minify,
        )
        _write(self._folder / _file("page", self._number), html)
        self._number += 1
        self._size, self._tally, self._entries, self._articles = 0, Tally(), [], []


class _Parts:
    """Entries of the index: what fills a page goes to a file until all of them are there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size = 0
        self._entries: list[Html] = []
        self.count = 0

    def add(self, one: Html) -> None:
        """Add an entry."""
        size = len(one.encode())
        if self._entries and self._size + size > PAGE:
            self._flush()
        self._entries.append(one)
        self._size += size

    def read(self) -> Iterator[list[Html]]:
        """The entries, as many as an index page takes at a time; at least one page."""
        if self._entries or not self.count:
            self._flush()
        for number in range(1, self.count + 1):
            path = self._folder / f"part-{number}"
            text = path.read_text(encoding="utf-8")
            path.unlink()
            yield [Html(line) for line in text.split("\0") if line]

    def _flush(self) -> None:
        self.count += 1
        _write(self._folder / f"part-{self.count}", "\0".join(self._entries))
        self._size, self._entries = 0, []


def _file(kind: str, number: int) -> str:
    return f"{kind}.html" if kind == "index" and number == 1 else f"{kind}-{number}.html"


def _turn(kind: str, number: int, *, last: bool) -> Html:
    links = [element("a", "All texts", href="index.html")] if kind == "page" else []
    if number > 1:
        links.append(element("a", "Previous page", href=_file(kind, number - 1), rel="prev"))
    if not last:
        links.append(element("a", "Next page", href=_file(kind, number + 1), rel="next"))
    return element("p", *links, class_="turn")


def _write(path: Path, html: str) -> None:
    path.write_text(html, encoding="utf-8", newline="\n")


def _only_ours(folder: Path) -> None:
    """The folder is replaced as a whole, so it must not hold anything else."""
    if folder.is_dir():
        others = [path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name)]
        if others:
            raise OptionError(
                f"{str(folder)!r} holds {others[0]!r}, and would be replaced as a whole; give a "
                "folder that is new, empty, or holds pages alone."
            )


def _corpus_scales(
    docs: Iterable[Explanation], compare: Sequence[Explanation] | str | None, look: Look
) -> list[Scale]:
    if iter(docs) is docs:
        raise OptionError(
            "scale='corpus' needs the largest relevance before the first page is written, and "
            "these explanations can be read only once; give a list, or scale='document'."
        )
    scales: list[Scale] = []
    for row in aligned(docs, compare):
        for i, e in enumerate(row):
            reading = Reading.of(e, look.by)
            scales += [(0.0, 0.0)] * (i + 1 - len(scales))
            word, sentence = reading.largest
            scales[i] = max(scales[i][0], word), max(scales[i][1], sentence)
    return scales
