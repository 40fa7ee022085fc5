"""Starting is quick: a command loads what it needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from samples.explanations import explanation

import seqlrp

HEAVY = [
    "torch",
    "spacy",
    "scipy",
    "pandas",
    "matplotlib",
    "datasets",
    "pyarrow",
    "numba",
    "sympy",
    "torch._dynamo",
    "ray",
]


def loaded_by(*arguments: object, expected: int = 0, before: str = "") -> set[str]:
    """Which of the heavy packages a command loads, run in a process of its own."""
    code = (
        f"import sys\n{before}\nfrom seqlrp.cli import main\n"
        f"sys.argv = ['seqlrp', *{[str(a) for a in arguments]!r}]\n"
        "try:\n    main()\n"
        f"finally:\n    print('\\nloaded', *(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == expected, done.stderr
    return set(done.stdout.rpartition("loaded")[2].split())


def test_answers_about_the_program_load_nothing() -> None:
    commands = ["--help"], ["--version"], ["explain", "--help"], ["explain", "--wrong"]
    code = (
        "import sys\nfrom seqlrp.cli import main\n"
        f"for arguments in {commands!r}:\n"
        "    sys.argv = ['seqlrp', *arguments]\n"
        "    try:\n        main()\n    except SystemExit as end:\n"
        f"        found = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "        print('\\nended', end.code or 0, *found)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended")]
    assert ended == ["ended 0", "ended 0", "ended 0", "ended 2"]


def test_a_page_of_saved_explanations_needs_no_torch(tmp_path: Path) -> None:
    seqlrp.Explanations([explanation()]).save(tmp_path / "saved.jsonl")
    assert loaded_by("render", tmp_path / "saved.jsonl", "--out", tmp_path / "page.html") == set()
    assert (tmp_path / "page.html").exists()


def test_the_package_loads_a_name_when_it_is_asked_for_and_no_compiler(model: Path) -> None:
    asked = (
        "import seqlrp; assert 'torch' not in sys.modules; seqlrp.LRP\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    loaded = loaded_by("explain", model, "--text", "a good film", before=asked)
    assert loaded == {"torch", "spacy"}


def test_what_is_loaded_is_never_looked_through_for_garbage(model: Path) -> None:
    code = (
        "import gc, sys\nfrom seqlrp.cli import main\n"
        f"sys.argv = ['seqlrp', 'explain', {str(model)!r}, '--text', 'a good film']\n"
        "try:\n    main()\n"
        "finally:\n    print('\\nended', gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "ended True True"


def test_every_public_name_has_a_home() -> None:
    for name in dir(seqlrp):
        assert getattr(seqlrp, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        seqlrp.nothing  # noqa: B018
