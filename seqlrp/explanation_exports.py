"""What an explanation, or a sequence of them, can be written as: pictures, PDF, LaTeX, ANSI."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqlrp.writing import check_suffix, written_whole

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation


class Exported:
    """The exports that one explanation and many have in common.

    All show the text with the words for the class in red and those against it in blue. Options
    that all have: `scale="document"` or `"corpus"`, whose largest relevance has the deepest colour.
    """

    __slots__ = ()

    @abstractmethod
    def _documents(self) -> Sequence[Explanation]: ...

    def save_png(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write one picture, the documents one below the other; see `seqlrp.exports.pictures`.

        Raises:
            OptionError: an option with a value that is not allowed, a name that does not end in
                .png, or too much for one picture.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.exports.pictures import write_png

        check_suffix(path, ".png")
        with written_whole(path) as temporary:
            write_png(self._documents(), temporary, **options)

    def save_pdf(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write a PDF, each document on pages of its own; see `seqlrp.exports.pictures`.

        Raises:
            OptionError: an option with a value that is not allowed, or a name that does not end in
                .pdf.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.exports.pictures import write_pdf

        check_suffix(path, ".pdf")
        with written_whole(path) as temporary:
            write_pdf(self._documents(), temporary, **options)

    def to_latex(self, **options: Any) -> str:
        r"""LaTeX to be read with `\input`, or a document; see `seqlrp.exports.latex.to_latex`."""
        from seqlrp.exports.latex import to_latex

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
        """Coloured text for a terminal; see `seqlrp.exports.terminal.to_ansi`."""
        from seqlrp.exports.terminal import to_ansi

        return to_ansi(self._documents(), **options)
