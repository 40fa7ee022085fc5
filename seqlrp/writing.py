"""Files that are there whole or not at all: written to a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from seqlrp.errors import OptionError, WriteError


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; after the block it is renamed to `path`.

    The block writes one file at the given path, or makes it a folder and fills that. If the block
    fails or is interrupted, the temporary file is removed and what was at `path` stays as it was.

    Raises:
        WriteError: the file system refused (full, read-only, a name that is taken by a folder).
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name[:64]}.", dir=path.parent))
    except OSError as error:
        raise WriteError(_sentence(path, error)) from error
    temporary = holder / path.name
    try:
        yield temporary
        _replace(temporary, path, holder)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(_sentence(path, error)) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def check_suffix(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Find out whether a name says what will be in the file, e.g. ".png"; case is no matter.

    Raises:
        OptionError: it says something else, or nothing.
    """
    if Path(path).suffix.lower() not in suffixes:
        raise OptionError(
            f"Got {os.fspath(path)!r}; expected a name that ends in {' or '.join(suffixes)}, as "
            "that is what is written."
        )


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Find out whether files can be written to a folder, before long work whose result goes there.

    Raises:
        WriteError: they cannot.
    """
    with written_whole(Path(folder) / ".writable") as temporary:
        temporary.touch()
    (Path(folder) / ".writable").unlink(missing_ok=True)


def _replace(temporary: Path, path: Path, holder: Path) -> None:
    for file in [temporary] if temporary.is_file() else temporary.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if temporary.is_dir() and path.is_dir():
        # A folder cannot be replaced in one step: the old one steps aside, and back on failure.
        aside = holder / "before"
        os.replace(path, aside)
        try:
            os.replace(temporary, path)
        except BaseException:
            os.replace(aside, path)
            raise
    else:
        os.replace(temporary, path)


def _sentence(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"Could not write {path}: {reason}; what was there before is unchanged."
