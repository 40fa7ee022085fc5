"""How the loops of the kernels are compiled and loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("numba", reason="numba is an optional package")


@pytest.fixture(params=[True, False])
def collects(request: Any) -> Iterator[bool]:
    """Whether the garbage collector runs before."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("fails", [False, True])
def test_the_first_call_is_without_the_garbage_collector(collects: bool, fails: bool) -> None:
    from seqlrp.lrp.recurrent.kernels.machine_code import call_first

    seen = []

    def function(divisor: int) -> None:
        seen.append(gc.isenabled())
        1 / divisor

    if fails:
        with pytest.raises(ZeroDivisionError):
            call_first(function, 0)
    else:
        call_first(function, 1)
    assert seen == [False]
    assert gc.isenabled() == collects
