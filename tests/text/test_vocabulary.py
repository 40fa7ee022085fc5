import hashlib
import json
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.errors import OptionError, SavedFileError, VocabularyError
from seqlrp.text import Vocabulary

TOKENS = st.text(max_size=6) | st.sampled_from(["<pad>", "<unk>", "<PAD>", "the", "The", "\ud800"])
DOCUMENTS = st.lists(st.lists(TOKENS, max_size=8), max_size=8)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.build([["The", "film", "the", "end"], ["the", "film", "a", "b"]])


def test_the_most_frequent_words_come_first_and_ties_are_alphabetical(vocabulary):
    assert vocabulary.tokens == ("<pad>", "<unk>", "the", "film", "a", "b", "end")


def test_encode_gives_ids_and_unknown_words_are_1(vocabulary):
    ids = vocabulary.encode(["FILM", "nothing", "the"])
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 1, 2]
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.encode([]).dtype == np.int64


def test_a_word_spelled_like_a_special_is_an_unknown_word():
    vocabulary = Vocabulary.build([["<pad>", "<PAD>", "<unk>", "word"]] * 9)
    assert vocabulary.tokens == ("<pad>", "<unk>", "word")
    assert vocabulary.encode(["<pad>", "<PAD>", "<unk>"]).tolist() == [1, 1, 1]
    assert "<pad>" not in vocabulary


def test_case_matters_only_where_asked():
    vocabulary = Vocabulary.build([["The", "the", "The"]], lowercase=False)
    assert vocabulary.tokens[2:] == ("The", "the")
    assert vocabulary.encode(["The", "the", "THE"]).tolist() == [2, 3, 1]
    assert "THE" not in vocabulary
    assert "THE" in Vocabulary.build([["the"]])


def test_rare_words_and_the_size_are_cut(vocabulary):
    documents = [["a"] * 3 + ["b"] * 2 + ["c"] * 2 + ["d"]]
    assert Vocabulary.build(documents, min_count=2).tokens[2:] == ("a", "b", "c")
    assert Vocabulary.build(documents, max_size=2).tokens[2:] == ("a", "b")
    assert len(Vocabulary.build(documents, max_size=2)) == 4


@given(documents=DOCUMENTS, lowercase=st.booleans(), min_count=st.integers(1, 3))
def test_build_agrees_with_counting(documents, lowercase, min_count):
    words = [w.lower() if lowercase else w for d in documents for w in d]
    kept = {w for w, n in Counter(words).items() if n >= min_count} - {"<pad>", "<unk>"}
    if not kept:
        with pytest.raises(VocabularyError, match="no word"):
            Vocabulary.build(documents, min_count=min_count, lowercase=lowercase)
        return
    vocabulary = Vocabulary.build(documents, min_count=min_count, lowercase=lowercase)
    assert set(vocabulary.tokens[2:]) == kept
    counts = [words.count(w) for w in vocabulary.tokens[2:]]
    assert counts == sorted(counts, reverse=True)
    for document in documents:
        for word, id_ in zip(document, vocabulary.encode(document), strict=True):
            word = word.lower() if lowercase else word
            assert id_ == 1 if word not in kept else vocabulary.tokens[id_] == word
    reversed_documents = [d[::-1] for d in documents[::-1]]
    assert vocabulary == Vocabulary.build(
        reversed_documents, min_count=min_count, lowercase=lowercase
    )


def test_lower_case_of_lower_case_is_itself():
    """Else a word of the text would never be found in a vocabulary built from it."""
    characters = map(chr, range(sys.maxunicode + 1))
    assert [c for c in characters if c.lower().lower() != c.lower()] == []


@given(documents=DOCUMENTS.filter(lambda d: any(w.strip("<>") for ws in d for w in ws)))
def test_saved_and_loaded_is_the_same(tmp_path_factory, documents):
    vocabulary = Vocabulary.build([*documents, ["x"]])
    path = tmp_path_factory.mktemp("v") / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert loaded == vocabulary
    assert loaded.fingerprint == vocabulary.fingerprint


def test_the_fingerprint_tells_vocabularies_apart(vocabulary):
    tokens = vocabulary.tokens
    others = [
        Vocabulary((*tokens[:2], tokens[3], tokens[2], *tokens[4:])),
        Vocabulary(tokens[:-1]),
        Vocabulary(tokens, lowercase=False),
        Vocabulary((*tokens[:-2], tokens[-2] + tokens[-1])),
    ]
    prints = {v.fingerprint for v in [vocabulary, *others]}
    assert len(prints) == 5
    assert Vocabulary(list(tokens)).fingerprint == vocabulary.fingerprint
    assert all(len(p) == 64 for p in prints)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([], "begins with"),
        (["<unk>", "<pad>", "a"], "begins with"),
        (["the", "film"], "begins with"),
        (["<pad>", "<unk>", "a", "b", "a"], "'a' as id 2 and as id 4"),
        (["<pad>", "<unk>", "<pad>"], "'<pad>' as id 0 and as id 2"),
        (["<pad>", "<unk>", "Film"], "pass lowercase=False"),
        (["<pad>", "<unk>", 3], "3 as id 2, expected a str"),
    ],
)
def test_a_vocabulary_that_does_not_fit_together_is_refused(tokens, reason):
    with pytest.raises(VocabularyError, match=reason):
        Vocabulary(tokens)


def test_specials_may_be_elsewhere_and_called_something_else():
    tokens = ("[CLS]", "[UNK]", "film", "Film", "[PAD]")
    by_name = Vocabulary(tokens, lowercase=False, pad="[PAD]", unk="[UNK]")
    assert (by_name.pad, by_name.unk) == (4, 1)
    assert by_name == Vocabulary(tokens, lowercase=False, pad=4, unk=1)
    assert by_name.encode(["[CLS]", "film", "dull", "[PAD]", "Film"]).tolist() == [0, 2, 1, 1, 3]
    assert "[PAD]" not in by_name
    assert "[CLS]" in by_name
    ours = Vocabulary(("<unk>", "<pad>", "a"), pad=1, unk=0)
    assert ours.encode(["a", "b", "<pad>"]).tolist() == [2, 0, 0]
    assert ours != Vocabulary(("<unk>", "<pad>", "a"), pad=0, unk=None)
    lowered = Vocabulary(("film", "[UNK]", "[PAD]"), pad="[PAD]", unk="[UNK]")
    assert lowered.encode(["film", "Film", "dull"]).tolist() == [0, 0, 1]
    assert Vocabulary(["[PAD]", "[UNK]", "a"], pad="[PAD]", unk="[UNK]").encode(["a"]) == [2]


def test_the_specials_are_where_they_were_unless_somebody_says_otherwise(vocabulary):
    assert (vocabulary.pad, vocabulary.unk) == (Vocabulary.PAD, Vocabulary.UNK) == (0, 1)


def test_without_an_unknown_word_an_unknown_word_is_an_error():
    vocabulary = Vocabulary(["a", "<|end|>"], pad="<|end|>", unk=None)
    assert vocabulary.unk is None
    assert vocabulary.encode(["a", "a"]).tolist() == [0, 0]
    with pytest.raises(VocabularyError, match="Got the token 'b', which is not in the vocabulary"):
        vocabulary.encode(["a", "b"])


@pytest.mark.parametrize(
    ("specials", "reason"),
    [
        (
            {"pad": "<pda>"},
            r"Got pad='<pda>', which is not in the vocabulary. Did you mean '<pad>'",
        ),
        ({"pad": 2, "unk": 3}, "Got unk=3, expected an id from 0 to 2"),
        ({"pad": -1}, "Got pad=-1"),
        ({"pad": True}, "Got pad=True"),
        ({"pad": 1.0, "unk": None}, "Got pad=1.0"),
        ({"pad": 1, "unk": "<unk>"}, "Got id 1 for the padding and for the unknown word"),
    ],
)
def test_specials_that_are_none_are_refused(specials, reason):
    with pytest.raises(VocabularyError, match=reason):
        Vocabulary(["<pad>", "<unk>", "a"], **specials)


@pytest.mark.parametrize("specials", [(2, 0), (1, None), (0, 2), (0, 1)])
def test_specials_are_saved(tmp_path, specials):
    vocabulary = Vocabulary(
        ["[A]", "[B]", "[C]", "a"],
        False,
        *(None if s is None else "[ABC]"[s + 1].join("[]") for s in specials),
    )
    vocabulary.save(tmp_path / "v.json")
    loaded = Vocabulary.load(tmp_path / "v.json")
    assert loaded == vocabulary
    assert (loaded.pad, loaded.unk) == specials
    assert loaded.fingerprint == vocabulary.fingerprint
    others = [Vocabulary(vocabulary.tokens, False, p, u) for p, u in ((3, 1), (1, 3), (3, None))]
    assert len({v.fingerprint for v in [*others, vocabulary]}) == 4


def test_what_was_saved_before_there_was_a_choice_still_loads(tmp_path):
    fingerprint = hashlib.sha256(b'[true, ["<pad>", "<unk>", "a"]]').hexdigest()
    record = {"format": "seqlrp vocabulary", "version": 1, "fingerprint": fingerprint}
    record |= {"lowercase": True, "tokens": ["<pad>", "<unk>", "a"]}
    (tmp_path / "v.json").write_text(json.dumps(record))
    Vocabulary.load(tmp_path / "v.json").save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == record


def test_texts_in_place_of_tokens_are_refused(vocabulary):
    with pytest.raises(VocabularyError, match="split the text first"):
        Vocabulary.build(["a text", "another"])
    with pytest.raises(VocabularyError, match="split the text first"):
        vocabulary.encode("a text")


@pytest.mark.parametrize("option", [{"min_count": 0}, {"max_size": 0}, {"max_size": -1}])
def test_counts_below_1_are_refused(option):
    with pytest.raises(OptionError, match="expected a whole number, at least 1"):
        Vocabulary.build([["a"]], **option)


def edited(**changes):
    return lambda record: json.dumps({**record, **changes})


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda r: json.dumps(r)[:-20], "not valid JSON"),
        (lambda r: "", "not valid JSON"),
        (lambda r: "[" * 100_000, "not valid JSON"),
        (lambda r: "\x00\x01", "not valid JSON"),
        (lambda r: "[]", "not written by Vocabulary.save"),
        (lambda r: '{"the": 2}', "not written by Vocabulary.save"),
        (edited(version=3), "format version 3, expected 2 or less"),
        (edited(version=2), "Got pad=None, expected an id from 0 to 6"),
        (edited(version=2, pad=7, unk=1), "Got pad=7, expected an id from 0 to 6"),
        (edited(version=2, pad=3, unk=1), "was changed"),
        (edited(tokens={"a": 1}), "'tokens' is missing or no list"),
        (edited(lowercase=None), "'lowercase' is missing or no bool"),
        (edited(fingerprint=5), "'fingerprint' is missing or no str"),
        (edited(tokens=["the", "film"]), "begins with"),
        (edited(tokens=["<pad>", "<unk>", "a", "a"]), "as id 2 and as id 3"),
        (edited(tokens=["<pad>", "<unk>", "a", None]), "None as id 3"),
        (edited(tokens=["<pad>", "<unk>", "film", "the"]), "was changed"),
        (edited(lowercase=False), "was changed"),
    ],
)
def test_a_file_that_is_damaged_is_refused(tmp_path, vocabulary, edit, reason):
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    path.write_text(edit(json.loads(path.read_text())))
    with pytest.raises(SavedFileError, match=reason):
        Vocabulary.load(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(b"\x80\x02}q\x00\xff\xfe")
    with pytest.raises(SavedFileError, match="not valid JSON"):
        Vocabulary.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SavedFileError, match=r"nowhere\.json: No such file"):
        Vocabulary.load(tmp_path / "nowhere.json")
    with pytest.raises(SavedFileError, match="Could not read"):
        Vocabulary.load(tmp_path)


def test_a_vocabulary_cannot_be_changed(vocabulary):
    with pytest.raises(AttributeError):
        vocabulary.tokens = ()
