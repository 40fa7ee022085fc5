"""Candidates for a shortcut: what a class may rest on, to be proved or refuted by intervention."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqlrp.analysis.indexed_texts import IndexedTexts, Integers, Phrase
from seqlrp.analysis.suspicion import Likeness, least_share, lift, suspicion
from seqlrp.analysis.terms import class_relevance
from seqlrp.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.analysis.strategies import Strategies
    from seqlrp.explanations.record import Explanation

Kind = Literal["words", "position", "length"]
POSITIONS = {0: "the first word", -1: "the last word"}
LENGTH = "the length"

STRATEGY_WORDS = 2  # candidates of each strategy, and of the words of each class
CLASS_WORDS = 12
COMPARED = 40  # words of a class whose texts are compared
OF_CLASS = 20  # candidates of a class at most,
MOST, LEAST = 60, 4  # in all, and in any case of each class,
_CLASSES = 50  # which holds for the largest classes
_LONGEST = 6  # tokens of a phrase
_FIXED = 0.8  # a word belongs to a phrase where it stands there in this share of the cases
_TOGETHER = 0.5  # share of the texts with either of two words that hold both, to try them as a pair
_FOCUS = (
    3.0  # a position is tried where relevance there is this much above that of the average word
)
_APART = 0.75  # lengths are tried where a text of the class is longer (or shorter) so often


@dataclass(frozen=True)
class Candidate:
    """What a class may rest on.

    Attributes:
        name: as it is shown.
        class_: the index of the class.
        source: where it comes from, e.g. "strategy 2".
        kind: "words", "position" or "length".
        phrases: of "words": all of them together, each a run of tokens in lower case.
        place: of "position": 0 for the first word, -1 for the last.
        rows: the texts that show where it usually stands; empty for all texts of the class.
    """

    name: str
    class_: int
    source: str
    kind: Kind = "words"
    phrases: tuple[Phrase, ...] = ()
    place: int = 0
    rows: Integers = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)


def words_candidate(
    phrases: Iterable[Phrase], class_: int, source: str, rows: Integers | None = None
) -> Candidate:
    """A candidate of one or several phrases, named by what it says."""
    phrases = tuple(phrases)
    name = " + ".join(" ".join(phrase) for phrase in phrases)
    kept = np.zeros(0, np.int64) if rows is None else rows
    return Candidate(name, class_, source, phrases=phrases, rows=kept)


def find_candidates(
    texts: IndexedTexts,
    likeness: Likeness,
    explanations: Sequence[Explanation],
    class_words: pd.DataFrame,
    strategies: Strategies | None,
) -> list[Candidate]:
    """Collect candidates to test: words of strategies and of classes, positions, lengths.

    A word that always stands in one phrase is tried as that phrase, and two words of a strategy
    that stand together are tried as a pair, too. The words of the class that are most like an
    artefact, those of strategies and the strongest words of the class are taken in turn. A class
    has at most 20 candidates. In all there are at most 60, or 4 per class if there are more than 15
    classes; of more than 50 classes, only the largest have any.
    """
    labels = texts.classifier.labels
    by_class: list[list[Candidate]] = []
    sizes = np.bincount(texts.predicted)
    largest = np.argsort(-sizes, kind="stable")[:_CLASSES]
    for class_ in np.sort(largest[sizes[largest] > 0]).tolist():
        rows = np.flatnonzero(texts.predicted == class_)
        inside = set(rows.tolist())
        listed = class_words[(class_words["class"] == labels[class_]) & (class_words["low"] > 0)]
        strongest = listed["word"].head(CLASS_WORDS).tolist()
        sources = (
            _suspicious(texts, likeness, listed, class_, inside),
            _from_strategies(texts, strategies, class_),
            _words(texts, strongest, class_, "class words", inside),
        )
        special = [*_positions(texts, explanations, class_), *_lengths(texts, class_)]
        in_turn = itertools.chain(*itertools.zip_longest(*sources))
        own = [candidate for candidate in in_turn if candidate is not None]
        by_class.append(_distinct([*own[:2], *special, *own[2:]]))
    most = min(max(LEAST, MOST // max(len(by_class), 1)), OF_CLASS)
    return [candidate for own in by_class for candidate in own[:most]]


def _words(
    texts: IndexedTexts, words: Iterable[str], class_: int, source: str, inside: set[int]
) -> Iterator[Candidate]:
    """A candidate for each word, with the phrase that it stands in."""
    for word in words:
        yield words_candidate([_phrase(texts, (word,), inside)], class_, source)


def _suspicious(
    texts: IndexedTexts, likeness: Likeness, listed: pd.DataFrame, class_: int, inside: set[int]
) -> list[Candidate]:
    """The words of a class that are most like an artefact, by relevance and counts alone."""
    listed = listed[[texts.number(word) is not None for word in listed["word"]]]
    if listed.empty:
        return []
    low = listed["low"].to_numpy(np.float64)
    numbers = np.array([texts.number(word) for word in listed["word"]], np.int64)
    held, own = texts.frequency[numbers], texts.classes == class_
    of_class = texts.frequency_in(np.flatnonzero(own))[numbers]
    lifts = lift(least_share(of_class / held, held), own.mean())
    first = np.argsort(-suspicion(low, lifts, np.nan), kind="stable")[:COMPARED]
    words = listed["word"].iloc[first].tolist()
    found = list(_words(texts, words, class_, "words of any subject", inside))
    alike = [likeness.of(candidate.phrases, class_) for candidate in found]
    order = np.argsort(-suspicion(low[first], lifts[first], alike), kind="stable")
    return _distinct(found[k] for k in order.tolist())[:CLASS_WORDS]


def given_candidates(texts: IndexedTexts, words: Iterable[str]) -> list[Candidate]:
    """Candidates that the user names; `a + b` stands for two words that are tried together.

    Each is tried for the class whose texts hold it most often, by share; one that no text holds,
    for every class.

    Raises:
        OptionError: one of them is empty, or no string.
    """
    if isinstance(words, str):
        words = [words]
    found: list[Candidate] = []
    for given in words:
        if not isinstance(given, str) or not given.strip():
            raise OptionError(option="candidates", got=given, expected="words, as strings")
        phrases = [_tokens(texts, part) for part in given.split(" + ") if part.strip()]
        rows = texts.holding(phrases)
        sizes = np.bincount(texts.predicted, minlength=len(texts.classifier.labels))
        held = np.bincount(texts.predicted[rows], minlength=len(sizes))
        classes = np.unique(texts.predicted).tolist()
        if len(rows):
            classes = [int(np.argmax(held / np.maximum(sizes, 1)))]
        found += [words_candidate(phrases, class_, "given") for class_ in classes]
    return found


def _tokens(texts: IndexedTexts, written: str) -> Phrase:
    source = next(iter(texts.classifier.encode([written.strip()]))).source
    spans = zip(source.tokens, source.offsets.tolist(), strict=True)
    tokens = tuple(token.lower() for token, (start, end) in spans if end > start)
    if not tokens:
        raise OptionError(option="candidates", got=written, expected="words, as strings")
    return tokens


def _from_strategies(
    texts: IndexedTexts, strategies: Strategies | None, class_: int
) -> Iterator[Candidate]:
    """The most distinctive words of each strategy, the first of each before the second."""
    if strategies is None:
        return
    label = texts.classifier.labels[class_]
    groups: list[list[Candidate]] = []
    documents, words = strategies.documents, strategies.words
    table = strategies.table  # without the rest of the class, which is no stable cluster
    stable = (table["class"] == label) & table["stability"].notna()
    for number in table["strategy"][stable].tolist():
        of = (documents["class"] == label) & (documents["strategy"] == number)
        rows = np.flatnonzero(of.to_numpy(bool)).astype(np.int64)
        inside = set(rows.tolist())
        listed = words[(words["class"] == label) & (words["strategy"] == number)]
        names = listed["word"][listed["low"] > 0].head(STRATEGY_WORDS).tolist()
        phrases = list(dict.fromkeys(_phrase(texts, (str(name),), inside) for name in names))
        source = f"strategy {number}"
        own = [words_candidate([phrase], class_, source, rows) for phrase in phrases]
        two = len(phrases) == 2 and not any(
            _is_inside(*pair) for pair in itertools.permutations(phrases)
        )
        if two and _stand_together(texts, phrases, inside):
            own.insert(0, words_candidate(phrases, class_, source, rows))
        groups.append(own)
    for together in itertools.zip_longest(*groups):
        yield from (candidate for candidate in together if candidate is not None)


def _phrase(texts: IndexedTexts, phrase: Phrase, inside: set[int]) -> Phrase:
    """The longest phrase around a word that is nearly always the same in some texts."""
    while len(phrase) < _LONGEST:
        rows, starts = texts.occurrences(phrase)
        held = [(r, s) for r, s in zip(rows.tolist(), starts.tolist(), strict=True) if r in inside]
        if len(held) < 3:
            break
        before = Counter(texts.tokens[r][s - 1] for r, s in held if s > 0)
        after = Counter(
            texts.tokens[r][s + len(phrase)]
            for r, s in held
            if s + len(phrase) < len(texts.tokens[r])
        )
        (left, lefts), (right, rights) = (
            next(iter(c.most_common(1)), ("", 0)) for c in (before, after)
        )
        if max(lefts, rights) < _FIXED * len(held):
            break
        phrase = (left, *phrase) if lefts >= rights else (*phrase, right)
    return phrase


def _is_inside(phrase: Phrase, other: Phrase) -> bool:
    """Whether a phrase is a run of the words of another one."""
    starts = range(len(other) - len(phrase) + 1)
    return any(other[start : start + len(phrase)] == phrase for start in starts)


def _stand_together(texts: IndexedTexts, phrases: Sequence[Phrase], inside: set[int]) -> bool:
    both = sum(row in inside for row in texts.holding(phrases).tolist())
    either = sum(row in inside for row in texts.holding(phrases, every=False).tolist())
    return both >= max(3, _TOGETHER * either)


def _positions(
    texts: IndexedTexts, explanations: Sequence[Explanation], class_: int
) -> Iterator[Candidate]:
    """The ends of a text, where relevance there is far above that of an average word."""
    rows = np.flatnonzero(texts.predicted == class_).tolist()
    held = [class_relevance(explanations[row]) for row in rows if len(texts.tokens[row]) > 2]
    if not held:
        return
    lengths = np.array([len(r) for r in held])
    sums = np.add.reduceat(np.abs(np.concatenate(held)), np.cumsum(lengths) - lengths)
    average = float(np.mean(sums / lengths))
    for place, name in POSITIONS.items():
        there = float(np.mean([r[place] for r in held]))
        if average > 0 and there >= _FOCUS * average:
            yield Candidate(name, class_, "positions", "position", place=place)


def _lengths(texts: IndexedTexts, class_: int) -> Iterator[Candidate]:
    """The length, where texts of the class are nearly always longer, or shorter, than others."""
    lengths = np.array([len(own) for own in texts.tokens])
    own, others = (np.sort(lengths[texts.predicted == class_]), lengths[texts.predicted != class_])
    if len(own) < 2 or len(others) < 2:
        return
    # The share of pairs in which the text of the class is the longer one (Mann and Whitney 1947).
    below = np.searchsorted(own, others, "left") + np.searchsorted(own, others, "right")
    shorter = float(below.mean()) / (2 * len(own))
    if max(shorter, 1 - shorter) >= _APART:
        yield Candidate(LENGTH, class_, "lengths", "length")


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.name, candidate)
    return list(first.values())
