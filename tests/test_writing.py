"""Files are there whole or not at all, and what was there before survives a failure."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from seqlrp.errors import WriteError
from seqlrp.writing import restore, written_whole


def write(path: Path, content: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(content)


def fill(path: Path, **files: str) -> None:
    with written_whole(path) as temporary:
        temporary.mkdir()
        for name, content in files.items():
            (temporary / name).write_text(content)


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write(path, "one")
    write(path, "two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    fill(path, a="1", b="2")
    fill(path, a="3")
    assert {p.name: p.read_text() for p in path.iterdir()} == {"a": "3"}
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_what_was_there_survives(tmp_path: Path, error: type[BaseException]) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    write(file, "before")
    fill(folder, a="before")

    def fail_half_way(path: Path) -> None:
        with written_whole(path) as temporary:
            if path == folder:
                temporary.mkdir()
                temporary = temporary / "a"
            temporary.write_text("half")
            raise error

    for path in (file, folder):
        with pytest.raises(error):
            fail_half_way(path)
    assert file.read_text() == (folder / "a").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write(path, "before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match=r"file: No space left on device; what was there"):
            write(path, "after")
    with pytest.raises(WriteError, match="No space left"), written_whole(path):
        full()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_step_in_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    fill(path, a="before")
    replace = os.replace

    def refuse_new(source: Path, target: Path) -> None:
        if Path(target) == path and "new" in Path(source).parts:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr("seqlrp.writing._exchange", lambda *_: False)
    monkeypatch.setattr(os, "replace", refuse_new)
    with pytest.raises(WriteError, match="Input/output error"):
        fill(path, a="after")
    assert (path / "a").read_text() == "before"


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_text("x")
    with pytest.raises(WriteError, match="taken"):
        write(folder, "file over folder")
    with pytest.raises(WriteError, match="inside"):
        write(folder / "inside" / "file", "folder over file")
    assert (folder / "inside").read_text() == "x"


# Interruptions at every rename

CHILD = """
    import os, sys, types
    from pathlib import Path

    package = types.ModuleType("seqlrp")  # without the package itself, which takes long to import
    package.__path__ = [{package!r}]
    sys.modules["seqlrp"] = package
    from seqlrp import writing

    target, exchanges, how, when, fatal = Path(sys.argv[1]), *sys.argv[2:5], int(sys.argv[5])
    renames = 0

    def stop():
        if how == "exit":
            os._exit(9)
        raise KeyboardInterrupt

    def counted(rename):
        def run(*paths):
            global renames
            renames += 1
            if renames == fatal and when == "before":
                stop()
            done = rename(*paths)
            if renames == fatal and when == "after":
                stop()
            return done

        return run

    os.replace = counted(os.replace)
    if exchanges == "exchange":
        writing._exchange = counted(writing._exchange)
    else:
        writing._exchange = lambda *_: False
    try:
        with writing.written_whole(target) as temporary:
            temporary.mkdir()
            for name in "ab":
                (temporary / name).write_text("new")
    except KeyboardInterrupt:
        os._exit(8)
    os._exit(renames)
"""


def run_child(path: Path, *arguments: str) -> int:
    package = str(Path(sys.modules["seqlrp"].__file__ or "").parent)
    code = textwrap.dedent(CHILD).format(package=package)
    return subprocess.run([sys.executable, "-c", code, str(path), *arguments]).returncode


def contents(folder: Path) -> set[tuple[str, str]]:
    return {(p.name, p.read_text()) for p in folder.iterdir()}


OLD, NEW = {("a", "old"), ("c", "old")}, {("a", "new"), ("b", "new")}


def test_folders_exchange_their_names_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "old"  # also the name of a folder that the writer makes for itself
    fill(path, a="old", c="old")
    assert run_child(path, "exchange", "none", "none", "0") == 1
    assert contents(path) == NEW
    assert run_child(path, "rename", "none", "none", "0") == 2
    assert os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["exit", "interrupt"])
@pytest.mark.parametrize(("exchanges", "fatal"), [("exchange", 1), ("rename", 1), ("rename", 2)])
def test_a_folder_is_whole_whatever_rename_is_interrupted(
    tmp_path: Path, exchanges: str, fatal: int, how: str, when: str
) -> None:
    path = tmp_path / "model"
    fill(path, a="old", c="old")
    code = run_child(path, exchanges, how, when, str(fatal))
    assert code == (9 if how == "exit" else 8)
    last = when == "after" and (exchanges == "exchange" or fatal == 2)
    moved_away = exchanges == "rename" and (when, fatal) in {("after", 1), ("before", 2)}
    if how == "interrupt":  # what was begun is undone at once
        assert os.listdir(tmp_path) == ["model"]
    else:
        assert len(os.listdir(tmp_path)) == 1 + (not moved_away)
        assert path.exists() != moved_away
        restore(tmp_path)
    assert contents(path) == (NEW if last else OLD)
    assert os.listdir(tmp_path) == ["model"]


def test_leftovers_of_dead_processes_are_removed_and_others_stay(tmp_path: Path) -> None:
    assert run_child(tmp_path / "model", "rename", "exit", "before", "1") == 9
    assert len(os.listdir(tmp_path)) == 1
    with written_whole(tmp_path / "living") as temporary:
        temporary.write_text("one")
        assert len(os.listdir(tmp_path)) == 1  # the leftover is gone, and this one has begun
        write(tmp_path / "other", "two")
        assert temporary.read_text() == "one"
    assert sorted(os.listdir(tmp_path)) == ["living", "other"]


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name, write_it in (
        ("file", lambda p: write(p, "new")),
        ("model", lambda p: fill(p, a="new")),
    ):
        link, target = tmp_path / name, tmp_path / "elsewhere" / name
        link.symlink_to(target)
        for _ in range(2):  # at first there is no target
            write_it(link)
            assert link.is_symlink()
            assert not target.is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_text() == "new"
    assert contents(tmp_path / "model") == {("a", "new")}
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["file", "model"]
