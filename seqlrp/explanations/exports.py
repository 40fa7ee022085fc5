"""Shows and writes explanations: pages, pictures, PDF, LaTeX, ANSI.

This is the one place where explanations know what shows them; it is imported when it is used.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.writing import check_suffix, written_whole

if TYPE_CHECKING:
    from seqlrp.show.page.comparison import Compare


class Exported:
    """The exports that one explanation and many have in common.

    All show the text with the words for the class in red and those against it in blue. Options
    that all have: `scale="document"` or `"corpus"`, whose largest relevance has the deepest colour.
    """

    __slots__ = ()

    @abstractmethod
    def _documents(self) -> Sequence[Any]:
        """The explanations that are shown."""

    def _repr_html_(self) -> str:
        from seqlrp.show.page.notebook import notebook_output

        return notebook_output(self._documents())

    def save_html(
        self,
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
        note: str | None = None,
        model: str | None = None,
        corpus: str | None = None,
        about: Mapping[str, str] | None = None,
        shown: int | None = None,
        compare: Compare = None,
        sides: tuple[str | None, str | None] | None = None,
        report: Any = None,
        figures: Iterable[Any] = (),
        tables: Iterable[Any] = (),
        front: bool = False,
        selection: bool = False,
        scale: str = "document",
        palette: str = "red-blue",
        threshold: float = 0.05,
        by: str = "word",
        minify: bool = False,
        page: bool = True,
    ) -> None:
        """Write one HTML page that needs no other file, no network, and no script to be read.

        It says how often the model is right and shows three texts: the surest right answer, the
        surest wrong one and the least sure one. Below are the list of the texts and the texts.

        Args:
            path: the file, whose name ends in .html.
            title: the heading, by default "Which words decided".
            note: what you say to the reader, below the heading; an empty line parts paragraphs.
            model: the name of the model.
            corpus: where the texts come from.
            about: more facts about the model or the texts, e.g. `{"Saved": "1 May 2026"}`.
            shown: show at most so many texts, spread evenly over all of them; how often the model
                is right is counted over all.
            compare: other explanations of the same texts, shown beside the first, and
                `{"name": explanations}` to name them; or a class, where every class is explained.
            sides: names of both sides of a comparison, None for the name of the method.
            report: what `evaluate` returned: its figure and its summary.
            figures: matplotlib figures or PNG files as bytes, or pairs (caption, figure).
            tables: pandas tables, or pairs (caption, table).
            front: whether report, figures and tables stand in front of the texts, and are not
                folded away behind them.
            selection: the texts were selected for what they show, so that the page does not say how
                many are right.
            scale: the deepest colour is the largest relevance of each "document" or of the
                "corpus", which makes texts comparable.
            palette: "red-blue", "orange-blue", "orange-purple" or "pink-green"; the first is for.
            threshold: words with less than this share (0 to 1) of the largest have no colour.
            by: what is coloured at first, each "word", each "sentence", or each "token".
            minify: leave the indentation and comments of style and script out.
            page: False writes a fragment to be put into another page, without a script.

        Raises:
            OptionError: an option with a value that is not allowed, a name that does not end in
                .html, or `compare` holds something other than explanations of the same texts.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.show.page import render

        check_suffix(path, ".html", ".htm")
        html = render(
            self._documents(), page=page, shown=shown, compare=compare, report=report,
            figures=figures, tables=tables, title=title, note=note, model=model, corpus=corpus,
            about=about, sides=sides, front=front, selection=selection, scale=scale,
            palette=palette, threshold=threshold, by=by, minify=minify,
        )  # fmt: skip
        with written_whole(path) as temporary:
            temporary.write_text(html, encoding="utf-8", newline="\n")

    def save_pages(
        self, folder: str | os.PathLike[str], *, progress: bool | None = None, **options: Any
    ) -> Path:
        """Write a folder of pages with an index, for many texts; options as `save_html`.

        Args:
            folder: where to; a folder that is there is replaced if it holds pages alone.
            progress: show a bar; None shows one where stderr is a terminal.
            options: those of `save_html`, but for `page`.

        Returns:
            The path of its `index.html`.

        Raises:
            OptionError: an option that is not allowed, or a folder that holds other files.
            WriteError: the file system refused; what was there before is unchanged.
        """
        from seqlrp.show.page import save_pages

        return save_pages(self._documents(), folder, progress=progress, **options)

    def save_png(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write one picture, the documents one below the other; see `seqlrp.show.pictures`.

        Raises:
            OptionError: an option with a value that is not allowed, a name that does not end in
                .png, or too much for one picture.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.show.pictures.pictures import write_png

        check_suffix(path, ".png")
        with written_whole(path) as temporary:
            write_png(self._documents(), temporary, **options)

    def save_pdf(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write a PDF, each document on pages of its own; see `seqlrp.show.pictures`.

        Raises:
            OptionError: an option with a value that is not allowed, or a name that does not end in
                .pdf.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.show.pictures.pictures import write_pdf

        check_suffix(path, ".pdf")
        with written_whole(path) as temporary:
            write_pdf(self._documents(), temporary, **options)

    def to_latex(self, **options: Any) -> str:
        r"""LaTeX to be read with `\input`, or a document; see `seqlrp.show.latex.to_latex`."""
        from seqlrp.show.latex import to_latex

        return to_latex(self._documents(), **options)

    def save_latex(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write `to_latex` to a file.

        Raises:
            OptionError: an option with a value that is not allowed, or a name that does not end in
                .tex.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        check_suffix(path, ".tex")
        latex = self.to_latex(**options)
        with written_whole(path) as temporary:
            temporary.write_text(latex, encoding="utf-8", newline="\n")

    def to_ansi(self, **options: Any) -> str:
        """Coloured text for a terminal; see `seqlrp.show.terminal.to_ansi`."""
        from seqlrp.show.terminal import to_ansi

        return to_ansi(self._documents(), **options)
