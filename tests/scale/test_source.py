"""Files are cut by position, and what is read of the pieces is what is in the files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.examples import examples

from seqlrp.errors import CorpusError, MissingPackageError, OptionError
from seqlrp.explanations.parts import MANIFEST
from seqlrp.scale.plan import Plan, check_same, make_plan
from seqlrp.scale.source import UNREADABLE, Broken, cut, find_files, read_rows

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


@examples(20)
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


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_separates_columns_is_seen_in_the_header(tmp_path, name, delimiter) -> None:  # type: ignore[no-untyped-def]
    texts = [f"text {n}; so, so\tand\nmore" for n in range(7)]
    rows = [f'"{text}"{delimiter}{n}\r\n' for n, text in enumerate(texts)]
    path = tmp_path / name
    path.write_bytes(f"\ufefftext{delimiter}n\r\n{''.join(rows)}".encode())
    shards = read([str(path)], 3)
    assert [text for shard in shards for text in shard] == texts
    plan = make_plan([str(path)], {}, 3)
    plan.save(tmp_path)
    loaded = Plan.load(tmp_path)
    assert loaded == plan
    check_same(loaded, [str(path)], {}, 3)
    path.touch()  # it is read again
    check_same(loaded, [str(path)], {}, 3)


def test_a_plan_without_delimiters_is_read(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.csv").write_text("text\none\n")
    plan = make_plan([str(tmp_path / "a.csv")], {}, 3)
    plan.save(tmp_path)
    path = tmp_path / MANIFEST
    content = json.loads(path.read_text())
    content["files"] = [file[:6] for file in content["files"]]  # as it was written before
    path.write_text(json.dumps(content))
    assert Plan.load(tmp_path) == plan


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


def test_a_file_that_is_named_twice_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    below = tmp_path / "below"
    below.mkdir()
    write(below / "a.jsonl", ["a"])
    for twice in ([tmp_path, below / "*.jsonl"], [below / "a.jsonl", below / "a.jsonl"]):
        with pytest.raises(CorpusError, match=r"a\.jsonl twice, and its texts would count twice"):
            find_files([str(source) for source in twice])


def _remote(monkeypatch, **methods: object) -> None:  # type: ignore[no-untyped-def]
    """Replace methods of the file system memory://, which stands for a remote one."""
    for name, function in methods.items():
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), name, function)


def test_a_url_whose_package_is_missing_says_what_to_install(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def absent(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    for url, extra in [("s3://b/a.csv", "s3"), ("gs://b/a.csv", "gcs"), ("http://b/a.csv", "http")]:
        with pytest.raises(MissingPackageError, match=rf"pip install 'seqlrp\[{extra}\]'"):
            find_files([url])


def test_names_of_the_hub_are_its_files(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []

    def hub(url: str) -> tuple[object, str]:
        asked.append(url)
        memory = fsspec.filesystem("memory")
        memory.pipe("/datasets/owner/name/data/train.csv", b"text\ngood\n")
        return memory, "/datasets/owner/name"

    monkeypatch.setattr(fsspec.core, "url_to_fs", hub)
    found = find_files(["owner/name"])
    assert asked == ["hf://datasets/owner/name"]
    assert [file.url.endswith("owner/name/data/train.csv") for file in found] == [True]


def test_remote_files_that_changed_are_noticed(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    memory = fsspec.filesystem("memory")
    memory.pipe("/tagged/a.csv", b"text\none\n")
    url, tag = "memory://tagged/a.csv", {"ETag": "v1"}
    info = memory.info

    def tagged(self: object, path: str, **kwargs: object) -> dict[str, object]:
        about = {k: v for k, v in info(path).items() if k != "created"}
        return about | tag

    _remote(monkeypatch, info=tagged)
    plan = make_plan([url], {}, 5)
    assert (plan.files[0].modified, plan.files[0].size) == ("v1", 9)
    check_same(plan, [url], {}, 5)
    tag["ETag"] = "v2"
    check_same(plan, [url], {}, 5)  # the content is the same
    memory.pipe("/tagged/a.csv", b"text\ntwo\n")  # of the same size
    tag["ETag"] = "v3"
    with pytest.raises(OptionError, match=r"a\.csv has changed"):
        check_same(plan, [url], {}, 5)
    tag.clear()  # no version at all: the content is read
    plan = make_plan([url], {}, 5)
    memory.pipe("/tagged/a.csv", b"text\nthe\n")
    with pytest.raises(OptionError, match=r"a\.csv has changed"):
        check_same(plan, [url], {}, 5)


def test_file_systems_that_fail(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    memory = fsspec.filesystem("memory")
    memory.pipe("/failing/a.csv", b"text\none\n")
    files, shards = cut(find_files(["memory://failing/a.csv"]), 9)

    def fails(self: object, *args: object, **kwargs: object) -> None:
        raise RuntimeError("the network is down")

    class WholeOnly(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            raise ValueError("Cannot seek streaming HTTP file")

    with monkeypatch.context() as patch:
        _remote(patch, open=lambda *args, **kwargs: WholeOnly(b"text\none\n"))
        with pytest.raises(CorpusError, match="Download the file first"):
            read_rows(files, shards[0])
    _remote(monkeypatch, open=fails, exists=fails)
    for read_again in (lambda: read_rows(files, shards[0]), lambda: find_files(["memory://x"])):
        with pytest.raises(CorpusError, match="the network is down") as raised:
            read_again()
        assert raised.value.code == UNREADABLE


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
