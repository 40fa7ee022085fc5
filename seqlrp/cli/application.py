"""The program: its name, its exit statuses, and how text reaches a terminal."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from seqlrp.errors import SeqlrpError

app = typer.Typer(
    name="seqlrp",
    help="Explain LSTM and GRU text classifiers by layer-wise relevance propagation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        print(f"seqlrp {version('seqlrp')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Explain LSTM and GRU text classifiers by layer-wise relevance propagation."""


def main() -> NoReturn:
    """Run the command line, and end with its exit status."""
    try:
        app()
    except SeqlrpError as error:
        print(f"seqlrp: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("seqlrp: interrupted; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def ascii_safe(text: str) -> str:
    """Text for a terminal: control characters, line breaks and bidirectional marks are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
