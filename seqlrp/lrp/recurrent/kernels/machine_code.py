"""How the loops of the kernels are compiled by Numba: without the GIL, cached if possible."""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"

from __future__ import annotations

import functools
import gc
import warnings
from typing import Any

from numba import njit

from seqlrp.errors import KernelWarning


def _compile(function: Any, *liberties: str, **more: bool) -> Any:
    """Compile a function at its first call; cache it on disk if possible."""
    fastmath = {"contract", "nsz", *liberties}
    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath, **more}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable cache directory
        _warn_once()
        return njit(**options)(function)


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        KernelWarning(
            "The compiled loops cannot be kept on disk: neither the directory of seqlrp nor a "
            "cache directory of this user can be written to. So each process compiles them, "
            "which takes several seconds.",
            "Set the environment variable NUMBA_CACHE_DIR to a directory that this process can "
            "write to.",
        ),
        stacklevel=2,
    )


def exact(function: Any) -> Any:
    """Compile a function, keeping the written order of its sums."""
    return _compile(function)


def summing(function: Any) -> Any:
    """Compile a function with long sums reordered into parallel lanes."""
    return _compile(function, "reassoc")


def inlined(function: Any) -> Any:
    """Compile a function into those that call it; a loop is vectorised only without calls."""
    return _compile(function, forceinline=True)


def call_first(function: Any, *arguments: Any) -> None:
    """Call a compiled function as the first of a process, without Python's garbage collector.

    Numba then fills its registries, with objects of which none is garbage. The collector would look
    through them, and through all that is loaded, a quarter of the time that this takes.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        function(*arguments)
    finally:
        if collects:
            gc.enable()
