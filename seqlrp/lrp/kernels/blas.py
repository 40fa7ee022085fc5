"""The matrix product that torch brings along, `sgemm` of its BLAS, to be called in compiled loops.

A product by way of Python takes longer than the small product itself. Where torch does not show
its own, `FOUND` is False, and whoever calls has to go by way of Python.
"""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from numba import njit, types

_SYMBOL = "seqlrp_sgemm"
_LIBRARIES = ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll")


def _address() -> int | None:
    """Where `sgemm_` of torch's own library is; None where it is not to be seen."""
    for name in _LIBRARIES:
        path = Path(torch.__file__).parent / "lib" / name
        if path.exists():
            function = getattr(ctypes.CDLL(str(path)), "sgemm_", None)
            return ctypes.cast(function, ctypes.c_void_p).value if function else None
    return None


_FOUND_AT = _address()
FOUND = _FOUND_AT is not None
# Compiled code that never calls the product has to find something under its name all the same.
_ELSE = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
llvm.add_symbol(_SYMBOL, _FOUND_AT or _ELSE)
_sgemm = types.ExternalFunction(_SYMBOL, types.void(*[types.intp] * 13))


@njit(cache=False, nogil=True)
def call(
    transposed: bool, m: int, n: int, k: int, a: Any, lda: int, b: Any, ldb: int, c: Any, ldc: int
) -> None:
    """c += op(a) · b by columns, as Fortran has it: op(a) is [m, k], b [k, n], c [m, n]."""
    letters = np.array([84 if transposed else 78, 78], np.uint8)  # T, N
    sizes = np.array([m, n, k, lda, ldb, ldc], np.int32)
    one = np.ones(1, np.float32)
    letter, size, factor = letters.ctypes.data, sizes.ctypes.data, one.ctypes.data
    _sgemm(
        letter, letter + 1, size, size + 4, size + 8, factor, a.ctypes.data, size + 12,
        b.ctypes.data, size + 16, factor, c.ctypes.data, size + 20,
    )  # fmt: skip
