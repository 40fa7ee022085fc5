import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.examples import examples

from seqlrp.errors import MissingPackageError, OptionError, TextError
from seqlrp.text import SpacyTokenizer, TokenizedText, located
from seqlrp.text.tokens import from_doc

# Everything that Python can hold, and more often what trips tokenisers.
AWKWARD = st.sampled_from(
    ["don't", "U.S.A.", ":-)", "...", "<pad>", "http://x.y/z?a=b", "\x00", "\x1b[0m", "\r\n"]
) | st.sampled_from(
    ["\u202e", "\u200b", "\ufeff", "\u2028", "\ud800", "\udfff", "👩\u200d👧", "🇩🇪", "e\u0301"]
)
TEXTS = st.lists(st.text(max_size=20) | AWKWARD, max_size=12).map("".join)


@pytest.fixture(scope="module")
def tokenizer() -> SpacyTokenizer:
    return SpacyTokenizer()


def check(text: str, result: TokenizedText) -> None:
    """Everything that is promised of any text at all."""
    assert len(result.text) == len(text)
    assert result.text == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert result.offsets.shape == (len(result), 2)
    assert result.sentences.shape == (len(result),)
    assert result.offsets.dtype == result.sentences.dtype == np.int32
    end = 0
    for token, (start, stop) in zip(result.tokens, result.offsets, strict=True):
        assert result.text[start:stop] == token
        assert token.strip() != ""
        assert end <= start < stop
        assert result.text[end:start].strip() == ""
        end = stop
    assert result.text[end:].strip() == ""
    if len(result):
        assert result.sentences[0] == 0
        assert set(np.diff(result.sentences)) <= {0, 1}


@given(text=TEXTS)
def test_offsets_are_true_of_any_text(tokenizer, text):
    check(text, tokenizer(text))


@examples(20)
@given(text=TEXTS)
@pytest.mark.parametrize("language", ["de", "zh", "ar", "xx"])
def test_offsets_are_true_in_other_languages(language, text):
    check(text, _tokenizers.setdefault(language, SpacyTokenizer(language))(text))


_tokenizers: dict[str, SpacyTokenizer] = {}


@pytest.fixture(scope="module")
def pipeline():
    """spaCy itself, with the component that finds sentences."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


@given(text=TEXTS | st.text(alphabet="ab.!?\"' \n)", max_size=30))
def test_words_and_sentences_are_those_of_spacy(tokenizer, pipeline, text):
    found = tokenizer(text)
    words = from_doc(pipeline(found.text))
    assert found.tokens == words.tokens
    assert found.offsets.tolist() == words.offsets.tolist()
    assert found.sentences.tolist() == words.sentences.tolist()


def test_words_are_split_by_the_rules_of_english(tokenizer):
    result = tokenizer("It isn't bad.\n\n  Dr. Who didn't laugh!")
    assert result.tokens == (
        *("It", "is", "n't", "bad", "."),
        *("Dr.", "Who", "did", "n't", "laugh", "!"),
    )
    assert result.sentences.tolist() == [0] * 5 + [1] * 6


def test_a_sentence_of_whitespace_is_not_counted(tokenizer):
    assert tokenizer("One. \n\n \n Two.\n\n").sentences.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("text", ["", " ", "\n\t \u00a0\u2028"])
def test_a_text_without_words_has_no_tokens(tokenizer, text):
    result = tokenizer(text)
    assert result.tokens == ()
    assert result.text == text
    assert result.offsets.shape == (0, 2)
    assert result.sentences.shape == (0,)


def test_what_is_invisible_survives(tokenizer):
    text = "a\x00b \x1b \u202eevil\u202c \u200d 👩‍👧"
    result = tokenizer(text)
    assert "".join(result.tokens) == text.replace(" ", "")


def test_lone_surrogates_are_replaced_one_for_one(tokenizer):
    result = tokenizer("a \ud83d\ud83d b \udc4d")
    assert result.text == "a \ufffd\ufffd b \ufffd"
    assert result.tokens == ("a", "\ufffd", "\ufffd", "b", "\ufffd")


def test_a_str_of_a_subclass_is_a_text(tokenizer):
    result = tokenizer(np.str_("so good"))
    assert type(result.text) is str
    assert result.tokens == ("so", "good")


def test_a_very_long_text(tokenizer):
    result = tokenizer("word " * 200_000)
    assert len(result) == 200_000
    assert tuple(result.offsets[-1]) == (999_995, 999_999)


@pytest.mark.parametrize("unit", ["!", "'s", "(", "ab", "."])
def test_a_run_without_spaces_takes_no_quadratic_time(tokenizer, unit):
    text = unit * (10_000 // len(unit))
    start = time.perf_counter()
    result = tokenizer(f"See {text} there")
    assert time.perf_counter() - start < 6  # in one piece, "!" takes 12 s and more
    check(f"See {text} there", result)
    assert result.tokens[0] == "See"
    assert result.tokens[-1] == "there"


def test_the_parts_of_a_long_run_begin_no_sentence(tokenizer):
    assert set(tokenizer("x" * 3000).sentences) == {0}


def test_pipe_keeps_the_order_and_is_lazy(tokenizer):
    def texts():
        yield "one"
        yield "two"
        raise AssertionError("read ahead")

    results = tokenizer.pipe(texts())
    assert next(results).tokens == ("one",)
    assert next(results).tokens == ("two",)


@pytest.mark.parametrize("text", [None, 3, b"bytes", float("nan"), ["a"]])
def test_what_is_no_text_is_refused(tokenizer, text):
    with pytest.raises(TextError, match=f"type {type(text).__name__}, expected a str"):
        tokenizer(text)


def test_pipe_refuses_a_single_text(tokenizer):
    with pytest.raises(TextError, match="put it in a list"):
        next(tokenizer.pipe("a text"))


@pytest.mark.parametrize(("language", "hint"), [("eng", "'en'"), ("xyz", "Known|Did you mean")])
def test_an_unknown_language_is_refused(language, hint):
    with pytest.raises(OptionError, match=f"Got language='{language}'.*({hint})"):
        SpacyTokenizer(language)


@pytest.mark.parametrize("language", ["../en", "en.stop_words", None, ["en"]])
def test_what_is_no_language_is_refused(language):
    with pytest.raises(OptionError, match=re.escape(repr(language))):
        SpacyTokenizer(language)


def test_a_language_that_needs_a_package_names_it(monkeypatch):
    import spacy

    def blank(language):
        raise ImportError("no such tokenizer")

    monkeypatch.setattr(spacy, "blank", blank)
    with pytest.raises(MissingPackageError, match="pip install sudachipy"):
        SpacyTokenizer("ja")
    with pytest.raises(MissingPackageError, match=re.escape("pip install 'spacy[ru]'")):
        SpacyTokenizer("ru")


def test_config_builds_the_same_tokenizer():
    config = SpacyTokenizer("de").config()
    assert config == {"tokenizer": "spacy", "language": "de"}
    assert SpacyTokenizer(config["language"])("z.B. so").tokens == ("z.B.", "so")


# Plain tokens


@given(st.text(max_size=40))
def test_tokens_in_lower_case_are_found_where_they_stand(text):
    for fold in (str.lower, str.casefold):
        words = fold(text).split()
        if len(fold(text)) != len(text) or words == text.split():
            continue
        found = located(text, words)
        assert found.spelled == tuple(words)
        assert found.tokens == tuple(text[a:b] for a, b in found.offsets.tolist())
        assert [fold(token) for token in found.tokens] == [fold(w) for w in text.split()]


def test_words_in_lower_case_by_hand():
    found = located("The cat, the CAT", ["the", "cat", "the", "cat"])
    assert found.offsets.tolist() == [[0, 3], [4, 7], [9, 12], [13, 16]]
    assert found.tokens == ("The", "cat", "the", "CAT")
    assert found.pieces == ("the", "cat", "the", "cat")
    as_written = located("The cat", ["The", "cat"])
    assert as_written.pieces is None


@pytest.mark.parametrize(
    ("text", "tokens", "token", "end"),
    [
        ("one Two", ["one", "three"], "three", 3),
        ("one Two", ["two", "one"], "one", 7),
        ("one Two", ["one", ""], "", 3),
        ("one Two", ["one", 3], 3, 3),
        ("İ Two", ["i̇", "two"], "i̇", 0),  # two characters in lower case, so not one for one
    ],
)
def test_tokens_that_do_not_stand_in_the_text(text, tokens, token, end):
    message = re.escape(f"{token!r}, which does not stand in the text after character {end};")
    with pytest.raises(TextError, match=message + r".* or all in lower case.*pieces=…\)"):
        located(text, tokens)


@pytest.mark.parametrize(
    ("text", "tokens", "wrong"),
    [
        ("5 eur m the sum , in eurm", ["5", "eurm", "the", "sum", ",", "in", "eurm"], "eurm"),
        ("5 EUR m the sum , in eurm", ["5", "eurm", "the", "sum", ",", "in", "eurm"], "eurm"),
        ("a good film", ["a", "goodish", "film"], "goodish"),
        ("a good film", ["the", "a", "good", "film"], "the"),
        ("a good film", ["a", "good", "film", "end"], "end"),
    ],
)
def test_the_token_that_was_made_up_is_named(text, tokens, wrong):
    with pytest.raises(TextError, match=f"returned '{wrong}'"):
        located(text, tokens)


def test_a_long_text_with_a_wrong_token_is_refused_fast():
    words = [f"w{k}" for k in range(20_000)]
    with pytest.raises(TextError, match="'zzz'"):
        located(" ".join(words), [*words[:-1], "zzz"])
