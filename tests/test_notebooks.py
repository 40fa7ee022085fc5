"""The notebooks run from top to bottom, cell by cell."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body[-1]
            if isinstance(last, ast.Expr):  # shown by a notebook, so it must be showable
                tree.body[-1] = ast.Assign([ast.Name("_shown", ast.Store())], last.value)
            exec(compile(ast.fix_missing_locations(tree), path.name, "exec"), names)
            shown = names.pop("_shown", None)
            if shown is not None:
                assert getattr(shown, "_repr_html_", lambda: None)() or repr(shown)
