"""The command `render`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqlrp.cli.application import print_path
from seqlrp.cli.pages import is_page, save_html
from seqlrp.cli.parsing import check_outputs

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation


def render(
    explanations: Annotated[
        Path, typer.Argument(metavar="EXPLANATIONS", help="A .parquet or .jsonl file, or a folder.")
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The .html file, or a folder for pages of all texts."),
    ],
    first: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Show at most so many texts; in a file 100, in a folder all."
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Heading of the page.")
    ] = "Which words decided",
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What you say to the reader.")
    ] = None,
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="Colours by document or by corpus.")
    ] = "document",
) -> None:
    """Make a page of saved explanations, to look at and to send to people."""
    check_outputs([out], [explanations])
    found = _SavedExplanations(explanations, None if is_page(out) else first)
    save_html(found, out, first, title=title, note=note, scale=scale)
    print_path(out)


class _SavedExplanations:
    """The explanations of a file, read one by one, each time that they are iterated over."""

    def __init__(self, path: Path, first: int | None) -> None:
        self._path = path
        self._first = first

    def __iter__(self) -> Iterator[Explanation]:
        from seqlrp.explanations.files import read_explanations

        return islice(read_explanations(self._path), self._first)
