"""Merging adds relevance up and loses nothing."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.errors import NonFiniteError, OptionError
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation
from seqlrp.text.segmentation import sentence_ends


def cut(text: str, pieces: list[str], **changes: object) -> Explanation:
    """An explanation with these pieces as tokens, found in the text one after the other."""
    spans, end = [], 0
    for piece in pieces:
        start = text.index(piece, end)
        end = start + len(piece)
        spans.append((start, end))
    return explanation(
        text,
        tokens=tuple(pieces),
        offsets=np.array(spans, np.int32).reshape(-1, 2),
        relevance=np.arange(1, len(pieces) + 1, dtype=np.float32),
        **changes,
    )


@pytest.mark.parametrize(
    ("text", "pieces", "words"),
    [
        ("unbelievable film.", "un believ able film .", "unbelievable film ."),
        ("I don't, it's", "I do n't , it 's", "I don't , it's"),
        ("well-made -- no", "well - made - - no", "well-made - - no"),
        ("'hello' (so)", "' hello ' ( so )", "' hello ' ( so )"),
        ("dogs' 3.5, 1,000.", "dogs ' 3 . 5 , 1 , 000 .", "dogs ' 3.5 , 1,000 ."),
        ("U.S", "U . S", "U . S"),
        ("c\u0301a va", "c \u0301 a va", "c\u0301a va"),
        ("日本語です。", "日本 語 で す 。", "日本 語 で す 。"),
        ("ab日", "ab 日", "ab 日"),
        ("กำ", "ก \u0e33", "ก \u0e33"),
        ("กิ", "ก \u0e34", "กิ"),
        ("👍🏽 ok", "👍 🏽 ok", "👍🏽 ok"),
        ("🇫🇷🇩🇪", "🇫 🇷 🇩 🇪", "🇫🇷 🇩🇪"),
        ("👩\u200d👧", "👩 \u200d 👧", "👩\u200d👧"),
        ("фил ьм", "ф ил ьм", "фил ьм"),
        ("ρ\u0374a_b", "ρ \u0374 a _ b", "ρ\u0374a_b"),
        ("-a", "- a", "- a"),
        ("a-", "a -", "a -"),
        ("", "", ""),
    ],
)
def test_words(text, pieces, words):
    parts = cut(text, pieces.split())
    whole = parts.merged("word")
    assert list(whole.tokens) == words.split()
    assert whole.relevance.sum() == parts.relevance.sum()
    assert [text[a:b] for a, b in whole.offsets.tolist()] == list(whole.tokens)


def test_a_token_that_brings_its_space_begins_a_word_and_a_sentence():
    parts = cut("No film. Not one.", ["No", " film", ".", " No", "t", " one", "."])
    assert parts.merged("word").tokens == ("No", " film", ".", " Not", " one", ".")
    assert parts.merged("sentence").tokens == ("No film.", " Not one.")


def test_a_token_by_itself_keeps_its_own_spelling():
    spelt = cut(
        "unhappy film",
        ["un", "happy", "film"],
    )
    marked = explanation(
        spelt.text, tokens=("un", "##happy", "▁film"), offsets=spelt.offsets, relevance=[1, 2, 4]
    )
    assert marked.merged().tokens == ("unhappy", "▁film")
    assert marked.merged().relevance.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("So good . Not bad !", ["So good .", "Not bad !"]),
        ("So good. Not bad! Why?", ["So good.", "Not bad!", "Why?"]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("wait . . . what", ["wait . . .", "what"]),
        ("it cost 3.5 dollars in the U.S. ok", ["it cost 3.5 dollars in the U.S. ok"]),
        (
            "Dr. No! He met J. R. Doe, e.g. In Rome. Yes",
            ["Dr. No!", "He met J. R. Doe, e.g. In Rome.", "Yes"],
        ),
        ("“Not bad!” he said. (No.) We left.", ["“Not bad!” he said.", "(No.)", "We left."]),
        ("so good . “ not bad ” ( no )", ["so good .", "“ not bad ” ( no )"]),
        ("line one\nline two\n \r\nline three", ["line one\nline two", "line three"]),
        ("one . ' \ntwo", ["one . '", "two"]),
        ("no end", ["no end"]),
        ("\n\n a \r\n\r\n b\fc \u2029 d", ["a", "b", "c", "d"]),
        ("... and so", ["... and so"]),
        ("wait... what. Oh… Fine", ["wait... what.", "Oh…", "Fine"]),
    ],
)
def test_sentences(text, sentences):
    parts = explanation(text)
    whole = parts.merged("sentence")
    assert list(whole.tokens) == sentences
    assert whole.relevance.sum(dtype=np.float64) == pytest.approx(
        parts.relevance.sum(dtype=np.float64), abs=1e-6
    )


@given(st.text(st.sampled_from("aB .!?\n\r\f\"'。…Dr(“"), max_size=40))
def test_ends_of_sentences_run_forward_to_the_end(text):
    ends = sentence_ends(text)
    assert ends[-1] == len(text)
    assert all(a < b for a, b in itertools.pairwise([-1, *ends]))


def placed(text: str, tokens: list[str], offsets: list[tuple[int, int]]) -> Explanation:
    relevance = 2.0 ** np.arange(len(tokens))
    return explanation(
        text, tokens=tuple(tokens), offsets=np.array(offsets), relevance=relevance, ledger={}
    )


def test_tokens_that_stand_nowhere_stay_by_themselves():
    tokens = ["[CLS]", "good", "film", "[SEP]", "[SEP]"]
    parts = placed("good film", tokens, [(0, 0), (0, 4), (5, 9), (9, 9), (9, 9)])
    assert parts.merged("word").tokens == parts.tokens
    whole = parts.merged("sentence")
    assert whole.tokens == ("[CLS]", "good film", "[SEP]", "[SEP]")
    assert whole.relevance.tolist() == [1, 6, 8, 16]
    assert parts.merged([(3, 5)]).tokens[-1] == "[SEP][SEP]"
    # What is at the other end of the text has nothing to do with them.
    alone = placed("a", ["[CLS]", "a", "[SEP]"], [(0, 0), (0, 1), (1, 1)])
    assert alone.merged("word").tokens == alone.tokens


def test_tokens_that_stand_nowhere_inside_a_word_belong_to_it():
    inside = placed("undo it", ["un", "[X]", "do", "it"], [(0, 2), (2, 2), (2, 4), (5, 7)])
    assert inside.merged("word").tokens == ("undo", "it")
    assert inside.merged("word").relevance.tolist() == [7, 8]
    between = placed("un do", ["un", "[X]", "do"], [(0, 2), (2, 2), (3, 5)])
    assert between.merged("word").tokens == between.tokens
    assert between.merged("sentence").relevance.tolist() == [7]


def test_bytes_of_the_first_character_of_a_word_belong_to_it():
    tokens = ["so", "Ġ", "Ł", "ł", "ok", "[SEP]"]
    parts = placed("so 👍 ok", tokens, [(0, 2), (3, 3), (3, 3), (3, 4), (5, 7), (7, 7)])
    whole = parts.merged("word")
    assert whole.tokens == ("so", "👍", "ok", "[SEP]")
    assert whole.relevance.tolist() == [1, 14, 16, 32]


def test_marks_of_scripts_without_spaces_end_a_sentence_anywhere():
    parts = cut("好。不好！是", ["好", "。", "不", "好", "！", "是"])
    assert parts.merged("sentence").tokens == ("好。", "不好！", "是")


def test_a_long_row_of_marks_takes_no_time():
    text = "." * 200_000 + "x"
    assert cut(text, [text]).merged("sentence").tokens == (text,)


def test_spans():
    parts = cut("a b c d e", list("abcde"))
    whole = parts.merged([(0, 2), (3, 5)])
    assert whole.tokens == ("a b", "c", "d e")
    assert whole.relevance.tolist() == [3, 3, 9]
    assert whole.offsets.tolist() == [[0, 3], [4, 5], [6, 9]]
    assert parts.merged(np.array([[1, 5]])).tokens == ("a", "b c d e")
    assert parts.merged([]).tokens == parts.tokens


def test_word_numbers():
    parts = cut("a b c d e", list("abcde"))
    assert parts.merged([None, 0, 0, 1, 0]).tokens == ("a", "b c", "d", "e")
    assert parts.merged([None, None, 7, 7, 7]).tokens == ("a", "b", "c d e")
    assert parts.merged(np.array([0, 0, 0, 0, 1])).tokens == ("a b c d", "e")


@pytest.mark.parametrize(
    "by",
    [[(0, 6)], [(2, 2)], [(-1, 2)], [(0, 2), (1, 3)], [(3, 4), (0, 1)], [(0, 1, 2)], [("a", "b")]],
)
def test_spans_that_do_not_fit_are_refused(by):
    with pytest.raises(OptionError, match="expected pairs"):
        cut("a b c d e", list("abcde")).merged(by)


def test_other_units_are_refused():
    with pytest.raises(OptionError, match=r"by='wort'.*'word'"):
        explanation().merged("wort")
    with pytest.raises(OptionError, match="2 word numbers for 8 tokens"):
        explanation().merged([0, 1])


def test_every_class_and_all_else_is_kept():
    parts = explanation(
        "un do it",
        tokens=("u", "n", "do", "it"),
        offsets=[[0, 1], [1, 2], [3, 5], [6, 8]],
        relevance=[[1, 2, 3, 4], [-1, 1, 0, 5]],
        target="all",
        ledger={"tokens": (10.0, 5.0), "bias": 1.0},
    )
    whole = parts.merged()
    assert whole.relevance.tolist() == [[3, 3, 4], [0, 0, 5]]
    assert whole.ledger == parts.ledger
    assert whole.scores.tolist() == parts.scores.tolist()
    assert (whole.target, whole.id, whole.text) == (parts.target, parts.id, parts.text)
    assert whole.parameters["merged"] == "word"
    assert whole.parameters["rules"] == parts.parameters["rules"]
    assert parts.merged([(0, 4)]).parameters["merged"] == "spans"
    for target in (0, 1):
        one = parts.for_target(target).merged()
        assert one.relevance.tolist() == whole.for_target(target).relevance.tolist()


def test_sums_are_taken_in_double_precision():
    text = "a" * 4
    parts = cut(text, list(text))
    values = np.array([1.0, 2.0**24, 1.0, -(2.0**24)], np.float32)
    parts = explanation(text, tokens=parts.tokens, offsets=parts.offsets, relevance=values)
    assert parts.merged().relevance.tolist() == [2.0]


def test_a_whole_collection():
    both = Explanations([explanation("so good"), explanation("Oh. No.")]).merged("sentence")
    assert isinstance(both, Explanations)
    assert [e.tokens for e in both] == [("so good",), ("Oh.", "No.")]


@given(explanations(), st.sampled_from(["word", "sentence"]))
@example(explanation(HOSTILE[6]), "word")
@example(
    explanation(
        "1 2",
        tokens=("1", "[CLS]", "2"),
        offsets=[(0, 1), (2, 2), (2, 3)],
        sentences=[0, 0, 1],
        relevance=[1.0, 2.0, 3.0],
    ),
    "sentence",
)
def test_sums_are_kept_whatever_the_text(parts, by):
    try:
        whole = parts.merged(by)
    except NonFiniteError:  # a sum past the range of float32
        assume(False)
    # Powers of two add up to numbers that tell which tokens were put together.
    powers = 2 ** np.arange(len(parts.tokens))
    marked = replace(parts, target=0, against=None, relevance=powers, ledger={}).merged(by)
    assert marked.offsets.tolist() == whole.offsets.tolist()
    rows = np.atleast_2d(parts.relevance), np.atleast_2d(whole.relevance)
    end = 0
    for i, value in enumerate(marked.relevance.astype(int).tolist()):
        start, end = end, value.bit_length()
        assert value == 2**end - 2**start
        assert whole.offsets[i].tolist() == [parts.offsets[start, 0], parts.offsets[end - 1, 1]]
        for before, after in zip(*rows, strict=True):
            inside = before[start:end].tolist()
            size = math.fsum(map(abs, inside))
            assert abs(float(after[i]) - math.fsum(inside)) <= 6e-8 * size + 1e-45
    assert end == len(parts.tokens)
    assert whole.merged(by).offsets.tolist() == whole.offsets.tolist()


@given(st.text("ab1.,'- \n日", max_size=30))
def test_words_of_single_characters_are_those_of_a_pattern(text):
    """The rule once more, as one regular expression over the text."""
    pieces = [i for i, character in enumerate(text) if not character.isspace()]
    parts = explanation(
        text,
        tokens=tuple(text[i] for i in pieces),
        offsets=np.array([(i, i + 1) for i in pieces]).reshape(-1, 2).astype(np.int32),
        relevance=np.ones(len(pieces)),
    )
    pattern = re.compile(r"(?:[ab1]|(?<=[ab1])['-](?=[ab1])|(?<=1)[.,](?=1))+|\S")
    assert list(parts.merged().tokens) == pattern.findall(text)
    assert all(a <= b for a, b in itertools.pairwise(parts.merged().offsets.ravel().tolist()))
