"""Files are there whole or not at all, and what was there before survives a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from seqlrp.errors import WriteError
from seqlrp.writing import written_whole


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
        if Path(target) == path and "before" not in Path(source).name:
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

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
