"""scikit-learn is loaded where it is used, and its absence says how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from seqlrp.analysis.scikit import scikit
from seqlrp.errors import MissingPackageError


def test_modules_are_loaded() -> None:
    assert hasattr(scikit("neighbors"), "NearestNeighbors")


def test_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingPackageError, match=r'pip install "seqlrp\[sklearn\]"'):
        scikit("neighbors")


@pytest.mark.slow
def test_words_and_vectors_do_without() -> None:
    code = (
        "import sys, seqlrp.analysis.vectors, seqlrp.analysis.class_words, "
        "seqlrp.analysis.strategies, seqlrp.analysis.units; "
        "print([m for m in ('sklearn', 'umap', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
