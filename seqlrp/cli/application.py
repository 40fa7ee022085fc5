"""The program: its name, its exit statuses, and how text reaches a terminal."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import seqlrp
from seqlrp.cli.messages import command_line_message
from seqlrp.errors import SeqlrpError, SeqlrpWarning, printable

TEXTS_FAILED = 4  # the exit status where texts at which a worker failed were set aside
LIMIT_PASSED = 3  # the exit status where a limit that was set for a pipeline is passed
_STREAM_ERRORS = errno.ENOSPC, errno.EBADF, errno.EIO  # of writing to standard output


class Program(TyperGroup):
    """The group of all commands, which prints errors and warnings as sentences."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed.

        The exit status is 2 for errors that the user can mend, and 130 for an interrupt.
        """

        def show(message: Any, *details: Any, **more: Any) -> None:
            if isinstance(message, SeqlrpWarning):
                say(command_line_message(message, self._options(ctx)))
            else:
                showwarning(message, *details, **more)

        with warnings.catch_warnings():
            showwarning = warnings.showwarning
            warnings.showwarning = show
            try:
                result = super().invoke(ctx)
                sys.stdout.flush()
                return result
            except typer.BadParameter as error:
                error.message = _sentence(error)
                raise
            except SeqlrpError as error:
                say(command_line_message(error, self._options(ctx)))
                raise typer.Exit(2) from error
            except KeyboardInterrupt as error:
                say("interrupted; no file is left half-written, and those of before are unchanged.")
                raise typer.Exit(130) from error
            except OSError as error:
                # Files are written by `seqlrp.writing`, whose errors are sentences already.
                if error.errno not in _STREAM_ERRORS or error.filename is not None:
                    raise
                # What is still held would be written again at the very end, and fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                say(f"Could not write to standard output: {error.strerror}.")
                raise typer.Exit(2) from error

    def _options(self, ctx: Any) -> dict[str, str]:
        """What the parameters of the command that runs are called, by their names in Python."""
        command = self.commands.get(ctx.invoked_subcommand or "")
        return {} if command is None else {str(p.name): p.opts[0] for p in command.params}


def _sentence(error: typer.BadParameter) -> str:
    """What is wrong with a value that was typed; pydantic, by which typer checks it, says
    "Value error, " before the sentence of a check that is not its own."""
    cause: Any = error.__cause__
    found = cause.errors() if hasattr(cause, "errors") else []
    own = found[0].get("ctx", {}).get("error") if found else None
    return str(error.message) if own is None else printable(str(own))


app = typer.Typer(
    name="seqlrp",
    cls=Program,
    help="Explain LSTM and GRU text classifiers by layer-wise relevance propagation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"seqlrp {seqlrp.__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Explain LSTM and GRU text classifiers by layer-wise relevance propagation."""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:  # the next file that is opened would take its place
        say("Standard output is closed; results are printed there. Send it to /dev/null instead.")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):  # what an old terminal does not have is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="seqlrp")
    sys.exit(0)


def say(sentence: str) -> None:
    """Print a message to the user on stderr."""
    print(f"seqlrp: {printable(sentence)}", file=sys.stderr)


def print_path(path: object) -> None:
    """Print the path of what was written: as it is for a program, without escapes on a terminal."""
    print(printable(str(path)) if sys.stdout.isatty() else path)


def show(text: str = "") -> None:
    """Print lines on stdout; names in them that come from files cannot move the cursor."""
    print(printable(text))
