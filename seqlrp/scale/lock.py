"""The lock of a folder, which a run holds for as long as its process lives."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from seqlrp.errors import FolderInUseError, WriteError

try:
    import fcntl
except ImportError:  # Windows, where nobody can see whether a lock is held without taking it
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_PATIENCE = 1.0  # seconds, as `is_locked` holds the lock for a moment


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made where there is none.

    Raises:
        FolderInUseError: another run holds it.
        WriteError: the file system refused.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=_PATIENCE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(
            f"Another run is writing to {folder}.", "Wait until it has ended, or end it."
        ) from error
    except OSError as error:
        raise WriteError(f"Could not write to {folder}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool | None:
    """Whether a run holds a folder; None where that cannot be seen. Nothing is written."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False
