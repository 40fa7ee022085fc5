"""How the loops of the kernels are compiled and loaded."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import seqlrp
from seqlrp.errors import KernelWarning

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


_FIRST = """
import sys, torch, seqlrp
from seqlrp.lrp.recurrent.kernels import loops
print(loops.__file__)
print(type(loops.product.pack._cache).__name__)
"""


@pytest.mark.skipif(os.name != "posix", reason="read-only directories are those of POSIX")
def test_what_cannot_be_kept_is_compiled_with_a_warning_or_kept_elsewhere(tmp_path: Path) -> None:
    installed = tmp_path / "installed" / "seqlrp"
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(seqlrp.__file__).parent, installed, ignore=without)
    blocked = tmp_path / "file"
    blocked.touch()  # below which there is no directory, for any user
    for folder in [installed, *(path for path in installed.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        home = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked)}
        environment = {**os.environ, **home, "PYTHONPATH": str(installed.parent), **more}
        command = [sys.executable, "-W", "always", "-c", _FIRST]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        )

    found = run()
    assert str(installed) in found.stdout
    assert "NullCache" in found.stdout
    assert found.stderr.count(KernelWarning.__name__) == 1
    assert "NUMBA_CACHE_DIR" in found.stderr
    found = run(NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert "NullCache" not in found.stdout
    assert KernelWarning.__name__ not in found.stderr
    assert list((tmp_path / "cache").rglob("*.nbi"))
