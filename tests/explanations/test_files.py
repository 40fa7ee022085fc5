from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from samples.examples import examples
from samples.explanations import EVERY, HOSTILE, assert_same, explanation, explanations

from seqlrp.errors import InputError, OptionError, SavedFileError, WriteError
from seqlrp.explanations import files as explanation_files
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.files import explanation_writer, read_explanations

SUFFIXES = [".parquet", ".jsonl"]
FEW = examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("suffix", SUFFIXES)
@FEW
@given(items=st.lists(explanations(), min_size=1, max_size=4))
def test_round_trip_is_exact(tmp_path, suffix, items):
    path = tmp_path / f"r{suffix}"
    Explanations(items).save(path)
    read = Explanations.load(path)
    assert len(read) == len(items)
    for one, other in zip(read, items, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_of_hostile_text_and_extreme_numbers(tmp_path, suffix):
    tiny, huge = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    words = [-0.0, tiny, huge, -huge, 0.1, 1 / 3, 16777217, 1e-30]
    items = [explanation(), explanation(relevance=words), explanation(**EVERY), explanation("")]
    items += [
        explanation(text, id=text, labels=(text, ""), method=text, parameters={text: text})
        for text in HOSTILE
    ]
    path = tmp_path / f"r{suffix}"
    Explanations(items).save(path)
    for one, other in zip(Explanations.load(path), items, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("version", "lacking"), [(1, ["against", "probabilities", "sentences"]),
                                                 (2, ["probabilities", "sentences"]),
                                                 (3, ["sentences"]), (4, [])])  # fmt: skip
def test_files_of_older_versions_are_read(tmp_path, suffix, version, lacking):
    items = [explanation(), explanation(**EVERY), explanation(label=None, id=None)]
    path = tmp_path / f"r{suffix}"
    Explanations(items).save(path)
    guards = ["unread", "number", "count", "checksum"]
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert all(row.pop(name, 0) is None for row in rows for name in lacking)
        assert all(row["seqlrp"] == 5 for row in rows)
        assert all(name in row for row in rows for name in guards)
        rows = [{name: row[name] for name in row if name not in guards} for row in rows]
        path.write_text("".join(json.dumps(row | {"seqlrp": version}) + "\n" for row in rows))
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        assert table.schema.metadata[b"version"] == b"5"
        metadata = {"seqlrp": "explanations", "version": str(version)}
        older = table.drop_columns([*lacking, *guards])
        pq.write_table(older.replace_schema_metadata(metadata), path)
    for one, other in zip(Explanations.load(path), items, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_stream_is_written_and_read_in_pieces(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(explanation_files, "BATCH", 100)
    path = tmp_path / f"r{suffix}"
    with explanation_writer(path) as writer:
        writer.append(explanation(id="first"))
        writer.extend(explanation(id=str(i)) for i in range(300))
        assert not path.exists()
    assert [e.id for e in read_explanations(path)] == ["first", *map(str, range(300))]
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        assert pq.ParquetFile(path).num_row_groups > 50


def test_parquet_keeps_places_as_steps_and_numbers_as_they_are(tmp_path):
    path = tmp_path / "r.parquet"
    Explanations([explanation(sentences=[0] * 8)]).save(path)
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(k) for k in range(group.num_columns)]
    encodings = {column.path_in_schema.split(".")[0]: column.encodings for column in columns}
    assert "DELTA_BINARY_PACKED" in encodings["start"]
    assert "DELTA_BINARY_PACKED" in encodings["end"]
    recurring = {name for name, used in encodings.items() if "RLE_DICTIONARY" in used}
    assert recurring == {"tokens", "sentences", "labels", "method", "parameters"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_stream_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    Explanations([explanation()]).save(path)
    before = path.read_bytes()

    def interrupted():
        yield explanation()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), explanation_writer(path) as writer:
        writer.extend(interrupted())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_written(tmp_path, suffix):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Could not write"):
        Explanations([explanation()]).save(tmp_path / "file" / f"r{suffix}")


def test_parquet_keeps_an_empty_collection_and_json_lines_refuse_it(tmp_path):
    Explanations().save(tmp_path / "r.parquet")
    assert len(Explanations.load(tmp_path / "r.parquet")) == 0
    with pytest.raises(InputError, match=r"no explanation to write to r\.jsonl.*use \.parquet"):
        Explanations().save(tmp_path / "r.jsonl")
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize("path", ["r.csv", "r", "r.parquet.gz"])
def test_another_suffix_is_refused(tmp_path, path):
    with pytest.raises(OptionError, match=r"suffix '.*', expected one of \.parquet, \.jsonl"):
        Explanations([explanation()]).save(tmp_path / path)
    with pytest.raises(OptionError, match="suffix"):
        Explanations.load(tmp_path / path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_not_there(tmp_path, suffix):
    with pytest.raises(SavedFileError, match="is not a file"):
        Explanations.load(tmp_path / f"r{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(SavedFileError, match=r"holds no _manifest\.json"):
        Explanations.load(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_anywhere_is_refused(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    Explanations([explanation(), explanation(**EVERY)]).save(whole)
    content = whole.read_bytes()
    fine = {len(content) - 1} if suffix == ".jsonl" else set()  # the last line's end
    between = content.index(b"\n")
    cut = tmp_path / f"cut{suffix}"
    for length in {*range(0, len(content), 23), between, between + 1} - fine:
        cut.write_bytes(content[:length])
        with pytest.raises(SavedFileError, match=r"truncated|empty"):
            Explanations.load(cut)


def test_a_damaged_parquet_file_is_refused_or_read_rightly(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "r.parquet"
    Explanations([explanation()]).save(path)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(5).data_page_offset
    content[start : start + 40] = bytes(255 - byte for byte in content[start : start + 40])
    path.write_bytes(content)
    with pytest.raises(SavedFileError, match="truncated, damaged or something else"):
        Explanations.load(path)


def test_a_foreign_parquet_file_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(SavedFileError, match="was not written by seqlrp"):
        Explanations.load(path)
    for version, message in [("1", r"other columns than seqlrp writes: \['text'\]"),
                             ("2", r"other columns than seqlrp writes: \['text'\]"),
                             ("3", r"other columns than seqlrp writes: \['text'\]"),
                             ("6", "format version 6, and this seqlrp reads 1 to 5"),
                             ("0", "format version 0"),
                             ("x", "format version 'x'")]:  # fmt: skip
        metadata = {"seqlrp": "explanations", "version": version}
        pq.write_table(pa.table({"text": ["a"]}).replace_schema_metadata(metadata), path)
        with pytest.raises(SavedFileError, match=message):
            Explanations.load(path)
    path.write_bytes(b"")
    with pytest.raises(SavedFileError, match="cannot be read as Parquet"):
        Explanations.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n", "line 1 is no JSON"),
        ("id,text\n1,a\n", "line 1 is no JSON"),
        ('{"text": "a"}\n', "was not written by seqlrp"),
        ("[]\n", "was not written by seqlrp"),
        ('{"seqlrp": 6}\n', "format version 6"),
        ('{"seqlrp": 3, "text": "a"}\n', "line 1 lacks .*scores, probabilities"),
        ('{"seqlrp": true}\n', "format version True"),
        ('{"seqlrp": 1, "text": "a"}\n', "line 1 lacks id, tokens, start"),
        ('{"seqlrp": 2, "text": "a"}\n', "line 1 lacks .*target, against, predicted"),
        ("[" * 100_000, "line 1 is no JSON"),
        (b"\xff\xfe", "line 1 is no JSON"),
    ],
)
def test_foreign_json_lines_are_refused(tmp_path, content, message):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SavedFileError, match=message):
        Explanations.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevance": [0.5] * 7 + [float("nan")]}, "NaN is no number"),
        ({"relevance": [0.5] * 7 + [1e400]}, "Infinity is no number"),
        ({"relevance": [0.5] * 7 + ["x"]}, "document 1 is damaged: relevance must be numbers"),
        ({"relevance": [0.5] * 7}, "document 1 is damaged: relevance must be numbers of shape"),
        ({"relevance": None}, "document 1 is damaged"),
        ({"target": None}, "document 1 is damaged: cannot reshape"),
        ({"start": [0, 4]}, "document 1 is damaged"),
        ({"start": [10**30] * 8}, "document 1 is damaged: offsets must be whole numbers"),
        ({"end": [2.5] * 8}, "document 1 is damaged: offsets must be whole numbers"),
        ({"text": "not"}, "document 1 is damaged: offsets must run forward"),
        ({"text": "\ud800"}, "document 1 is damaged: text holds a lone surrogate"),
        ({"text": None}, "document 1 is damaged: text must be a string"),
        ({"tokens": 3}, "document 1 is damaged: tokens must be a sequence of strings"),
        ({"against": 1}, "document 1 is damaged: against must be another class than target"),
        ({"against": 2}, "document 1 is damaged: against must be"),
        ({"labels": ["one"]}, "document 1 is damaged: target must be"),
        ({"parameters": 3}, "document 1 is damaged: parameters must be a mapping"),
        ({"ledger": {"bias": "3"}}, "document 1 is damaged: ledger"),
    ],
)
def test_a_damaged_line_is_refused(tmp_path, change, message):
    path = tmp_path / "r.jsonl"
    Explanations([explanation()]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(SavedFileError, match=message):
        Explanations.load(path)


def test_a_number_too_large_for_a_float_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    Explanations([explanation(relevance=[0.5] * 8)]).save(path)
    path.write_text(path.read_text().replace("0.5,", "1e999,", 1))
    with pytest.raises(SavedFileError, match=r"document 1 is damaged: .*not finite"):
        Explanations.load(path)


def test_lines_of_a_stream_can_be_cut_and_joined(tmp_path):
    path = tmp_path / "r.jsonl"
    items = [explanation(id=str(i)) for i in range(3)]
    lines = [explanation_files.json_line(item).encode() for item in items]
    whole = tmp_path / "whole.jsonl"
    Explanations(items).save(whole)
    path.write_bytes(lines[2] + lines[0] + whole.read_bytes() + lines[1] + whole.read_bytes())
    assert [e.id for e in Explanations.load(path)] == list("200121012")
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [slice(1, None), slice(None, 2), slice(None, None, 2)])
def test_lost_rows_are_noticed(tmp_path, suffix, kept):
    path = tmp_path / f"r{suffix}"
    Explanations([explanation(id=str(i)) for i in range(3)]).save(path)
    if suffix == ".jsonl":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[kept]))
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        pq.write_table(table.take(list(range(3))[kept]), path)
    with pytest.raises(SavedFileError, match="truncated or was put together from parts"):
        Explanations.load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_changed_digit_is_noticed(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    Explanations([explanation(relevance=[0.125] * 8)]).save(path)
    if suffix == ".jsonl":
        path.write_text(path.read_text().replace("0.125", "0.175", 1))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        column = table.schema.get_field_index("relevance")
        changed = pa.array([[0.175, *[0.125] * 7]], pa.list_(pa.float32()))
        pq.write_table(table.set_column(column, table.schema.field(column), changed), path)
    with pytest.raises(SavedFileError, match="document 1 is damaged: its checksum"):
        Explanations.load(path)


def test_the_ledger_of_a_damaged_parquet_file_gives_a_sentence(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "r.parquet"
    Explanations([explanation()]).save(path)
    table = pq.read_table(path)
    column = table.schema.get_field_index("ledger")
    for text in ('{"bias": ', "[" * 100_000, None, "[3]", '{"bias": "x"}', '{"bias": NaN}'):
        changed = table.set_column(
            column, table.schema.field(column), pa.array([text], pa.string())
        )
        pq.write_table(changed, path)
        with pytest.raises(SavedFileError, match="damaged"):
            Explanations.load(path)
