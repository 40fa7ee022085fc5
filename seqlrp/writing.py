"""Writing files and folders so that each is there whole or not at all.

What is written goes under a temporary name beside its place and is then renamed. A file is renamed
over the old one in one step. A folder exchanges names with the old one in one step where the
system can do that (Linux). Elsewhere the old folder is moved into the temporary folder first, and
`restore` moves it back if the process ends before the new one is in place.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from seqlrp.errors import OptionError, WriteError

try:
    import fcntl
except ImportError:  # Windows, where the leftovers of a process that ended stay
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".seqlrp-partial"  # of temporary folders
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path; after the block, what is there replaces what is at `path`.

    The block writes one file at the temporary path, or makes it a folder and fills that. If the
    block fails or is interrupted, what was at `path` stays as it was. Where `path` is a symbolic
    link, its target is written. Temporary files of processes that have ended are removed.

    Raises:
        WriteError: the file system refused (full, read-only, a name that is taken by a folder).
    """
    path = Path(os.path.realpath(path)) if os.path.islink(path) else Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        restore(path.parent)
        holder, lock = _make_holder(path)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        yield holder / "new" / path.name
        _put_in_place(holder / "new" / path.name, path, holder / "old" / path.name)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise _write_error(path, error) from error
    finally:
        try:
            _discard(holder)
        finally:
            if lock is not None:
                os.close(lock)


def restore(folder: str | os.PathLike[str]) -> None:
    """Remove what processes that have ended left half-written in a folder.

    A folder that such a process moved away, and did not replace, is put back.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(_SUFFIX):
                with contextlib.suppress(BlockingIOError):  # its process still writes
                    lock = _lock(Path(entry.path))
                    if lock is not None:
                        try:
                            _discard(Path(entry.path))
                        finally:
                            os.close(lock)


def read_file(path: Path) -> bytes:
    """Read a regular file; a pipe or a device, which may have no end, is an OSError."""
    if path.exists() and not path.is_file():
        raise OSError("it is no regular file")
    return path.read_bytes()


def check_replaceable(
    folder: str | os.PathLike[str], is_ours: Callable[[str], object], what: str
) -> None:
    """Check that a folder, which is replaced as a whole, holds nothing else than it may.

    Args:
        folder: the folder, which need not be there.
        is_ours: says of the name of an entry whether it may be there.
        what: what the folder may hold, for the message.

    Raises:
        OptionError: it holds something else.
    """
    folder = Path(folder)
    others = [e.name for e in folder.iterdir() if not is_ours(e.name)] if folder.is_dir() else []
    if others:
        raise OptionError(
            f"{str(folder)!r} holds {others[0]!r}, and would be replaced as a whole; give a "
            f"folder that is new, empty, or holds {what} alone.",
            option="folder",
            got=folder,
        )


def check_suffix(path: str | os.PathLike[str], *suffixes: str) -> None:
    """Check that a file name ends in one of `suffixes`, e.g. ".png", in upper or lower case.

    Raises:
        OptionError: it does not.
    """
    if Path(path).suffix.lower() not in suffixes:
        raise OptionError(
            f"Got {os.fspath(path)!r}; expected a name that ends in {' or '.join(suffixes)}, "
            "the format that is written.",
            option="path",
            got=path,
            known=suffixes,
        )


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Check that files can be written to a folder, before long work whose result goes there.

    Raises:
        WriteError: they cannot.
    """
    with written_whole(Path(folder) / ".writable") as temporary:
        temporary.touch()
    (Path(folder) / ".writable").unlink(missing_ok=True)


def _make_holder(path: Path) -> tuple[Path, int | None]:
    """Make a temporary folder beside `path`, locked for as long as this process lives."""
    while True:
        prefix = f".{path.name[:64]}."
        holder = Path(tempfile.mkdtemp(prefix=prefix, suffix=_SUFFIX, dir=path.parent))
        # Before it is locked, another process may take it for a leftover and remove it.
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(holder)
            try:
                (holder / "new").mkdir()
                (holder / "old").mkdir()
            except BaseException:
                if lock is not None:
                    os.close(lock)
                raise
            return holder, lock


def _lock(folder: Path) -> int | None:
    """Lock a folder and return the descriptor that holds the lock; None where none can be had.

    Raises:
        BlockingIOError: another process holds the lock.
        FileNotFoundError: there is no such folder.
    """
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _put_in_place(new: Path, path: Path, old: Path) -> None:
    """Rename `new` to `path`; where both are folders, the one at `path` may be moved to `old`."""
    for file in [new] if new.is_file() else new.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if new.is_dir() and path.is_dir():
        if _exchange(new, path):
            return
        os.replace(path, old)  # until the next line is done, `_discard` puts it back
    os.replace(new, path)


def _discard(holder: Path) -> None:
    """Remove a temporary folder, after a folder that was moved into it is back in its place."""
    for old in (holder / "old").glob("*"):
        place = holder.parent / old.name
        if not os.path.lexists(place):
            os.replace(old, place)
    shutil.rmtree(holder, ignore_errors=True)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    try:
        function = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    number, name = ctypes.c_int, ctypes.c_char_p
    function.argtypes = (number, name, number, name, ctypes.c_uint)
    return function


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two paths in one step; False where the system cannot."""
    rename = _renameat2()
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0


def _write_error(path: Path, error: OSError) -> WriteError:
    reason = error.strerror or str(error) or type(error).__name__
    return WriteError(
        f"Could not write {path}: {reason}; what was there before is unchanged.", got=path
    )
