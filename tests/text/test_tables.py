import csv
import json
import os

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.errors import CorpusError, GuessedEncodingWarning, LeftOutWarning
from seqlrp.text.tables import read_path

ROWS = [{"text": "so good", "label": "pos"}, {"text": 'bad,\n"very" bad', "label": "neg"}]


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: bytes | str):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def write_rows(path, rows):
    """Write rows by the tools that people use."""
    frame = pd.DataFrame(rows)
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".json":
            frame.to_json(path, orient="records")
        case ".parquet":
            frame.to_parquet(path)
    return path


SUFFIXES = [".csv", ".tsv", ".jsonl", ".json", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_that_pandas_writes_are_read(tmp_path, suffix):
    table = read_path(write_rows(tmp_path / f"corpus{suffix}", ROWS), None)
    assert table.columns == {
        "text": ["so good", 'bad,\n"very" bad'],
        "label": ["pos", "neg"],
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_changed_gives_the_new_content(tmp_path, suffix):
    path = tmp_path / f"corpus{suffix}"
    for text in ("old text", "new text"):
        write_rows(path, [{"text": text, "label": "pos"}])
        os.utime(path, (0, 0))
        assert read_path(path, None).columns["text"] == [text]


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)


@given(texts=st.lists(TEXTS, min_size=1, max_size=5), suffix=st.sampled_from([".csv", ".jsonl"]))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory, texts, suffix):
    path = tmp_path_factory.mktemp("t") / f"corpus{suffix}"
    with path.open("w", encoding="utf-8", newline="") as handle:
        if suffix == ".csv":
            csv.writer(handle, quoting=csv.QUOTE_ALL).writerows([["text"], *([t] for t in texts)])
        else:
            handle.writelines(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)
    assert read_path(path, None).columns == {"text": texts}


@pytest.mark.parametrize("text", ["None", "NA", "null", "2012", "1e5", "true", " padded "])
def test_a_csv_holds_texts_as_they_are(write, text):
    table = read_path(write("a.csv", f"text,label\n{text},0\n"), None)
    assert table.columns == {"text": [text], "label": ["0"]}


def test_a_byte_order_mark_and_windows_lines_are_read(write):
    table = read_path(write("a.csv", b"\xef\xbb\xbftext,label\r\ngood,1\r\n\r\n"), None)
    assert table.columns == {"text": ["good"], "label": ["1"]}
    table = read_path(write("a.jsonl", b'\xef\xbb\xbf{"text": "good"}\r\n\r\n'), None)
    assert table.columns == {"text": ["good"]}


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_separates_columns_is_seen_in_the_header(write, suffix, delimiter):
    path = write(f"a{suffix}", f'text{delimiter}label\n"one; two, three"{delimiter}x\n')
    assert dict(read_path(path, None).columns) == {"text": ["one; two, three"], "label": ["x"]}


@pytest.mark.parametrize(
    ("name", "delimiter", "said"),
    [
        ("a.csv", ",", ()),
        ("a.csv", ";", ("separated by semicolons.",)),
        ("a.csv", "\t", ("separated by tabs.",)),
        ("a.tsv", "\t", ()),
        ("a.tsv", ",", ("separated by commas.",)),
    ],
)
def test_another_delimiter_than_usual_is_told(write, name, delimiter, said):
    table = read_path(write(name, f"text{delimiter}label\nfine{delimiter}x\n"), None)
    assert table.columns == {"text": ["fine"], "label": ["x"]}
    assert [remark.endswith(end) for remark, end in zip(table.remarks, said, strict=True)] == (
        [True] * len(said)
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_western_spreadsheets_write_is_read_and_told(write, end):
    text = f'text;label{end}"so{end}good";1{end}„café“ – schön für 5 €;0{end}'
    path = write("a.csv", text.encode("cp1252"))
    told = r"not in UTF-8 and was read as Windows-1252 \(cp1252\): line 4 has '„café“'"
    with pytest.warns(GuessedEncodingWarning, match=told.replace("„café“", "„café")) as caught:
        table = read_path(path, None)
    assert len(caught) == 1
    assert table.columns["text"] == [f"so{end}good", "„café“ – schön für 5 €"]
    assert table.remarks == (f"The columns of {path} are separated by semicolons.",)


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_with_a_mark_is_read_and_told(write, order):
    mark = {"le": b"\xff\xfe", "be": b"\xfe\xff"}[order]
    content = "text\tlabel\nпривет\t1\n"
    table = read_path(write("a.csv", mark + content.encode(f"utf-16-{order}")), None)
    assert table.columns == {"text": ["привет"], "label": ["1"]}
    assert [remark.rpartition(" ")[2] for remark in table.remarks] == ["UTF-16.", "tabs."]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("привет, мир", "cp1251"),
        ("привет", "koi8-r"),
        ("καλημέρα", "cp1253"),
        ("日本語のテキスト", "shift_jis"),
        ("日本語", "utf-16-le"),  # without its mark
        ("plain", "utf-32"),
    ],
)
def test_writing_that_is_not_western_is_not_guessed(write, text, encoding):
    path = write("a.csv", f'text,label\n"{text}",1\n'.encode(encoding))
    with pytest.raises(CorpusError, match="not in UTF-8"):
        read_path(path, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.filterwarnings("ignore::seqlrp.errors.GuessedEncodingWarning")
def test_quoted_ends_of_line_and_delimiters_stay_in_the_text(write, encoding, delimiter, end):
    text = f'one; two, three\tfour{end}é "five"{end}'
    quoted = text.replace('"', '""')
    lines = [f"text{delimiter}label", f'"{quoted}"{delimiter}x', "", f"six{delimiter}y", ""]
    table = read_path(write("a.csv", end.join(lines).encode(encoding)), None)
    assert table.columns == {"text": [text, "six"], "label": ["x", "y"]}


RAGGED = 'text,label\ngood,1\n\nso, so,0\n"not\nbad",1,2\nbad\nfine,1\n'


def test_rows_of_other_lengths_are_counted_and_the_first_is_named(write):
    with pytest.raises(CorpusError) as caught:
        read_path(write("a.csv", RAGGED), None)
    assert "Line 4 of" in str(caught.value)
    assert "ends a row of 3 fields, where the header has 2; put texts" in str(caught.value)
    assert "There are 3 such rows." in str(caught.value)
    told = (
        r"3 rows of other than 2 fields: left out \(rows 2, 3, 4, counted from 1; ids count from 0"
        r"\)\. Line 4 of .* ends a row of 3 fields\."
    )
    with pytest.warns(LeftOutWarning, match=told):
        table = read_path(write("a.csv", RAGGED), None, skip=True)
    assert table.columns == {"text": ["good", "fine"], "label": ["1", "1"]}
    assert table.numbers == [0, 4]


def test_a_row_of_several_lines_is_named_by_its_first_too(write):
    path = write("a.csv", 'text,label\nfine,1\n"good,1\nbad,0\n"so",1\nwell,2\n')
    with pytest.raises(CorpusError, match=r"Line 5 .*, in a row that begins in line 3, is broken"):
        read_path(path, None)
    path = write("a.csv", 'text,label\n"a\nb",1,2\n')
    with pytest.raises(CorpusError, match=r"Line 3 .*, in a row that begins in line 2, ends a row"):
        read_path(path, None)


def test_columns_without_a_name_and_without_a_field_are_nothing(write):
    table = read_path(write("a.csv", "text;label;;\ngood;1;;\nbad;0; ;\n"), None)
    assert table.columns == {"text": ["good", "bad"], "label": ["1", "0"]}
    assert read_path(write("a.csv", ",text\n0,good\n"), None).columns["text"] == ["good"]
    with pytest.raises(CorpusError, match="name twice"):
        read_path(write("a.csv", "text,,\ngood,1,2\n"), None)


def test_a_very_long_text_is_read_and_the_limit_of_csv_is_as_before(write):
    before = csv.field_size_limit()
    text = "word " * 200_000
    assert read_path(write("a.csv", f"text\n{text}\n"), None).columns["text"] == [text]
    assert csv.field_size_limit() == before


def test_a_text_a_line(write):
    table = read_path(write("corpus.txt", "so good\r\n\n  bad, \u2028very \n \nfine"), None)
    assert table.columns == {"text": ["so good", "", "  bad, \u2028very ", " ", "fine"]}
    assert read_path(write("b.txt", "so good\r\n\r\n"), None).columns == {"text": ["so good", ""]}


def test_a_key_that_some_objects_lack_is_none(write):
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "extra": [1]}\n')
    assert read_path(path, None).columns == {
        "text": ["a", "b"],
        "label": [1, None],
        "extra": [None, [1]],
    }


def test_a_lone_surrogate_in_json_survives(write):
    path = write("a.jsonl", '{"text": "a \\ud83d\\u2028"}\n')
    assert read_path(path, None).columns["text"] == ["a \ud83d\u2028"]


def test_class_names_in_parquet_are_found(tmp_path):
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    table = pyarrow.table({"text": ["a"], "label": [1]}, schema=features.arrow_schema)
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(table, path)
    read = read_path(path, None)
    assert read.class_names == {"label": ("no", "yes")}
    assert read.columns["label"] == [1]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "text,label\ngood\n", "Line 2 of .* row of 1 fields, where the header has 2"),
        ("a.csv", "text,label\ngood, but bad,0\n", "Line 2 .* 3 fields.*quotes"),
        ("a.csv", 'text,label\n"good,1\nbad,0\n', "Line 3 of .* is broken"),
        ("a.csv", 'text,label\n"a" b,1\n', "Line 2 of .* is broken"),
        ("a.csv", "text,text\na,b\n", "name twice"),
        ("a.csv", b"text,label\n\xef\xf0\xe8,1\n", r"not in UTF-8 \(byte 0xef\)"),
        ("a.tsv", b"\xff\xfet", "not in UTF-8"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"', "Line 2 of .* not valid JSON"),
        ("a.jsonl", '{"text": "a"}\n\n["b"]', "Row 2 of .* type list, expected an object"),
        ("a.jsonl", "[" * 100_000, "The file of .* not valid JSON"),
        ("a.jsonl", '{"a":' * 100_000, "Line 1 of .* not valid JSON"),
        ("a.json", '[{"text": "a"}, 3]', "Item 2 of .* type int"),
        ("a.json", '[{"text": "a"}', "The file of .* not valid JSON"),
        ("a.json", b'{"text": "\xf6"}', "not in UTF-8"),
        ("a.parquet", b"", "Could not read .*a.parquet: "),
        ("a.parquet", b"PAR1" + b"\x00" * 20 + b"PAR1", "Could not read .*a.parquet: "),
        ("a.doc", "good", r"expected a folder or a file that ends in \.csv"),
        ("a.txt", b"good \xff", "not in UTF-8"),
        ("noend", "good", r"expected a folder or a file that ends in \.csv"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(write, name, content, reason):
    with pytest.raises(CorpusError, match=reason) as caught:
        read_path(write(name, content), None)
    assert "\n" not in str(caught.value)


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = write_rows(tmp_path / "a.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CorpusError, match=r"Could not read .*a\.parquet"):
        read_path(path, None)


def test_a_file_has_no_splits(write):
    with pytest.raises(CorpusError, match="single file and has no splits"):
        read_path(write("a.csv", "text\na\n"), "train")


# Folders


def test_a_folder_of_classes_is_read(write, tmp_path):
    write("corpus/pos/2.txt", "good")
    write("corpus/pos/1.txt", "so\r\ngood")
    write("corpus/neg/1.txt", "bad")
    write("corpus/neg/notes.md", "no text")
    write("corpus/README", "no class")
    table = read_path(tmp_path / "corpus", None)
    assert table.columns == {"text": ["bad", "so\r\ngood", "good"], "label": [0, 1, 1]}
    assert table.class_names == {"label": ("neg", "pos")}


def test_a_folder_of_splits_is_read(write, tmp_path):
    write("train/pos/1.txt", "train good")
    write("test/pos/1.txt", "test good")
    write("test/neg/1.txt", "test bad")
    assert read_path(tmp_path, None).columns["text"] == ["train good"]
    assert read_path(tmp_path, "test").columns["text"] == ["test bad", "test good"]
    with pytest.raises(CorpusError, match=r"no split 'tset'\. Did you mean 'test'"):
        read_path(tmp_path, "tset")


def test_a_folder_of_files_by_split_is_read(write, tmp_path):
    write("test.csv", "text\nfrom test\n")
    assert read_path(tmp_path, None).columns["text"] == ["from test"]
    write("dev.jsonl", '{"text": "from dev"}')
    assert read_path(tmp_path, "dev").columns["text"] == ["from dev"]
    with pytest.raises(CorpusError, match=r"the splits 'dev', 'test'\. Set split to one"):
        read_path(tmp_path, None)


def test_a_folder_that_is_no_corpus_is_refused(write, tmp_path):
    with pytest.raises(CorpusError, match=r"is no corpus: expected texts as CLASS/\*\.txt"):
        read_path(tmp_path, None)
    write("pos/1.txt", "good")
    with pytest.raises(CorpusError, match="has no folder 'test'"):
        read_path(tmp_path, "test")
    write("pos/2.txt", " \n")
    with pytest.raises(CorpusError, match=r"2\.txt of the corpus is empty"):
        read_path(tmp_path, None)
    write("pos/2.txt", b"\xff")
    with pytest.raises(CorpusError, match=r"2\.txt is not in UTF-8"):
        read_path(tmp_path, None)
