"""The program: its name, its exit statuses, and how text reaches a terminal."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from seqlrp.cli.wording import spoken
from seqlrp.errors import SeqlrpError


class Program(TyperGroup):
    """The commands together: what ends one of them early is said in a sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for.

        The status is 2 for what the user can mend, and 130 for an interrupt.
        """

        def warn(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if category.__module__.startswith("seqlrp."):
                say(spoken(str(message), self._flags(ctx)))
            else:
                shown(message, category, *where, **more)

        with warnings.catch_warnings():
            shown = warnings.showwarning
            warnings.showwarning = warn
            try:
                done = super().invoke(ctx)
                sys.stdout.flush()
                return done
            except SeqlrpError as error:
                say(spoken(str(error), self._flags(ctx)))
                raise typer.Exit(2) from error
            except KeyboardInterrupt as error:
                say("interrupted; no file is left half-written, and those of before are unchanged.")
                raise typer.Exit(130) from error
            except OSError as error:
                # Files are written by `seqlrp.writing`, whose errors are sentences already.
                if error.errno != errno.ENOSPC or error.filename is not None:
                    raise
                # What is still held would be written again at the very end, and fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                say(f"Could not write to standard output: {error.strerror}.")
                raise typer.Exit(2) from error

    def _flags(self, ctx: Any) -> dict[str, str]:
        """The flags of the command that runs, by their names in Python."""
        command = self.commands.get(ctx.invoked_subcommand or "")
        options = [] if command is None else command.params
        return {str(o.name): o.opts[0] for o in options if o.opts[0].startswith("--")}


app = typer.Typer(
    name="seqlrp",
    cls=Program,
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
    for stream in (sys.stdout, sys.stderr):  # what an old terminal does not have is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="seqlrp")
    sys.exit(0)


def say(sentence: str) -> None:
    """A sentence to the user, on stderr."""
    print(f"seqlrp: {sentence}", file=sys.stderr)


def ascii_safe(text: str) -> str:
    """Text for a terminal: control characters, line breaks and bidirectional marks are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
