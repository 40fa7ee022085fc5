"""Files are cut by position, and what is read of the pieces is what is in the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlrp.errors import CorpusError
from seqlrp.scale.source import Broken, cut, find_files, read_rows

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",;'), max_size=8
)


def read(sources: list[str], size: int) -> list[list[object]]:
    """The texts of each shard."""
    files, shards = cut(find_files(sources), size)
    return [
        [row.reason if isinstance(row, Broken) else row["text"] for row in read_rows(files, s)[0]]
        for s in shards
    ]


def write(path: Path, texts: list[str]) -> None:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(
                [("text", "n"), *((text, k) for k, text in enumerate(texts))]
            )
    elif path.suffix == ".parquet":
        pd.DataFrame({"text": texts}).to_parquet(path, row_group_size=3)
    else:
        lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
        path.write_text("".join(lines), "utf-8", newline="")


@settings(max_examples=20)
@given(
    st.lists(st.lists(TEXT, max_size=9), min_size=1, max_size=3),
    st.integers(1, 7),
    st.sampled_from([".csv", ".jsonl", ".parquet"]),
)
def test_shards_hold_every_text_once_and_in_order(tmp_path_factory, files, size, suffix) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("source")
    for number, texts in enumerate(files):
        write(folder / f"{number}{suffix}", texts)
    every = [text for texts in files for text in texts]
    if not every:
        with pytest.raises(CorpusError, match="hold no document"):
            read([str(folder)], size)
        return
    shards = read([str(folder)], size)
    assert [text for shard in shards for text in shard] == every
    assert all(len(shard) == size for shard in shards[:-1])


def test_lines_and_documents(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "lines.txt").write_bytes("\ufeffone\r\n\ntwo\u2028still two\nthree".encode())
    assert read([str(tmp_path / "lines.txt")], 3) == [["one", "", "two\u2028still two"], ["three"]]
    folder = tmp_path / "documents"
    for name in ("b", "a", ".hidden"):
        (folder / "x").mkdir(parents=True, exist_ok=True)
        (folder / "x" / f"{name}.txt").write_text(f"{name}\nand more")
    assert read([str(folder)], 5) == [["a\nand more", "b\nand more"]]


def test_globs_and_urls(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for name in ("b", "a"):
        write(tmp_path / f"{name}.jsonl", [name])
    assert read([str(tmp_path / "*.jsonl")], 5) == [["a", "b"]]
    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/part.csv", b"id,text\n1,over\n2,there\n")
    assert read(["memory://corpus"], 1) == [["over"], ["there"]]
    with pytest.raises(CorpusError, match="names no file of texts"):
        find_files([str(tmp_path / "*.docx")])


def test_what_cannot_be_read_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n{"text": \n[1]\n\n{"text": "\xff"}\n')
    found = read([str(path)], 9)[0]
    assert found[0] == "good"
    assert "no JSON" in str(found[1])
    assert "expected an object" in str(found[2])
    assert found[3] == "\udcff"  # the shard's texts refuse it
    (tmp_path / "list.json").write_text('[{"text": "a"}]')
    with pytest.raises(CorpusError, match="list of JSON objects"):
        read([str(tmp_path / "list.json")], 1)
    (tmp_path / "b.csv").write_text("text,label\na,b,c\n")
    with pytest.raises(CorpusError, match="3 fields, where the header has 2"):
        read([str(tmp_path / "b.csv")], 1)


def test_a_file_that_shrank_is_noticed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "a.jsonl", ["one", "two"])
    files, shards = cut(find_files([str(tmp_path)]), 9)
    write(tmp_path / "a.jsonl", ["one"])
    with pytest.raises(CorpusError, match="was changed"):
        read_rows(files, shards[0])
