"""Measures the structure of the package: `python tests/structure.py` prints it.

With `--modules` it prints the page docs/reference/modules.md.

An arrow runs from the file that imports to the file that is imported. Imports inside functions and
under `TYPE_CHECKING` count as all others.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "seqlrp"
# The single arrow that runs upwards, imported where it is used: a record shows itself.
UPWARDS = ("seqlrp.explanations.exports", "show")


def files() -> list[Path]:
    """All Python files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


def module_of(path: Path) -> str:
    """The dotted name of the module that a file holds."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The part of the package that a module belongs to: a folder or a file directly in it."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names of what a file imports from this package, modules and what is in them."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def arrows() -> dict[str, set[str]]:
    """For each module the modules of this package that it imports."""
    modules = {module_of(path): path for path in files()}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = (n for n in imported_names(path) if n.split(".")[0] == "seqlrp")
        targets = {n if n in modules else n.rpartition(".")[0] for n in names}
        found[module] = {t for t in targets if t in modules and t != module}
    return found


def circles() -> list[list[str]]:
    """Groups of modules each of which reaches all others, beside the arrow that runs upwards.

    They are the strongly connected components of more than one module.
    """
    graph = arrows()
    graph[UPWARDS[0]] = {t for t in graph[UPWARDS[0]] if package_of(t) != UPWARDS[1]}
    order: list[str] = []
    seen: set[str] = set()

    def visit(node: str, edges: dict[str, set[str]], into: list[str]) -> None:
        waiting = [(node, iter(sorted(edges[node])))]
        seen.add(node)
        while waiting:
            rest = waiting[-1][1]
            nearest = next((n for n in rest if n not in seen), None)
            if nearest is None:
                into.append(waiting.pop()[0])
            else:
                seen.add(nearest)
                waiting.append((nearest, iter(sorted(edges[nearest]))))

    for node in sorted(graph):
        if node not in seen:
            visit(node, graph, order)
    back: dict[str, set[str]] = {node: set() for node in graph}
    for node, targets in graph.items():
        for target in targets:
            back[target].add(node)
    seen.clear()
    found = []
    for node in reversed(order):
        if node not in seen:
            group: list[str] = []
            visit(node, back, group)
            found.append(sorted(group))
    return [group for group in found if len(group) > 1]


def long_functions(limit: int = 50) -> list[tuple[int, str]]:
    """Lines, without docstrings, and names of the functions over `limit` lines."""
    found = []
    for path in files():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None
                docstring = _lines(node.body[0]) if documented else 0
                if _lines(node) - docstring > limit:
                    found.append((_lines(node) - docstring, f"{module_of(path)}.{node.name}"))
    return sorted(found, reverse=True)


def _lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def importers_of_lrp() -> list[str]:
    """Modules outside `engine` and `lrp` that import more of `lrp` than what the package offers."""
    return sorted(
        module
        for module, targets in arrows().items()
        if package_of(module) not in ("engine", "lrp", "rules")
        and any(t.startswith("seqlrp.lrp.") for t in targets)
    )


def modules_page() -> str:
    """The page docs/reference/modules.md: each module, and what its docstring says first."""
    lines = ["# Every module", "", "The first sentence of each docstring, by folder."]
    for folder in sorted({path.parent for path in files()}):
        lines += ["", f"## {folder.relative_to(ROOT).as_posix()}/", "", "| | |", "| --- | --- |"]
        for path in (path for path in files() if path.parent == folder):
            said = (ast.get_docstring(parsed(path)) or "").split("\n\n")[0].replace("\n", " ")
            cell = said.replace("|", "\\|")
            lines.append(f"| `{path.stem}` | {cell} |")
    return "\n".join(lines) + "\n"


def report() -> str:
    """The values of the structure as text."""
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files())
    groups = circles()
    return "\n".join(
        (
            f"modules directly in seqlrp/: {len(list(PACKAGE.glob('*.py')))}",
            f"lines of Python: {lines}",
            f"import circles beside explanations → show: {len(groups)}",
            *(f"  {len(group)}: {', '.join(group)}" for group in groups),
            f"modules that import the internals of lrp: {len(importers_of_lrp())}",
            *(f"  {name}" for name in importers_of_lrp()),
            f"functions over 50 lines: {len(long_functions())}",
            *(f"  {count} {name}" for count, name in long_functions()),
            "",
        )
    )


if __name__ == "__main__":
    print(modules_page() if "--modules" in sys.argv else report(), end="")
