"""The package says its version and shows its public names."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import seqlrp


def test_the_version_is_that_of_the_installed_package() -> None:
    assert seqlrp.__version__ == importlib.metadata.version("seqlrp")


def test_dir_shows_the_public_names() -> None:
    names = dir(seqlrp)
    assert names == sorted(names)
    assert set(seqlrp.__all__) <= set(names)
    assert {"__version__", "errors", "plots", "truth"} <= set(names)
    assert not {"metadata", "Any", "evaluation"} & set(names)


def test_dir_loads_nothing() -> None:
    code = "import sys, seqlrp; dir(seqlrp); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
