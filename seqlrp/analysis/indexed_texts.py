"""The explained texts of a corpus, and where each word and phrase stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from seqlrp.analysis.edits import Run, run_of
from seqlrp.analysis.vectors import encoded_explanations
from seqlrp.text.encoded import EncodedText
from seqlrp.text.tokens import SpacyTokenizer, TokenizedText

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

Phrase: TypeAlias = tuple[str, ...]  # neighbouring tokens, in lower case
Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

UNLABELLED = -1


class IndexedTexts:
    """N explained texts, what the classifier said of them, and an index of their V words.

    Words that differ by case alone are one.

    Attributes:
        classifier: the classifier.
        tokens: the tokens of each text, in lower case.
        predicted: the predicted classes, `[N]`.
        true: the true classes, `[N]`, `UNLABELLED` where they are not known.
        classes: the true classes where any is known, otherwise the predicted ones, `[N]`.
        probabilities: of all classes, `[N, C]`.
        words: the words.
        frequency: how many texts hold each word, `[V]`.
        position: the mean relative place of each word in its text, 0 to 1, `[V]`.
        known: whether the vocabulary of the model has the word, `[V]`.

    Raises:
        InputError: the explanations are merged, or not of this classifier.
    """

    def __init__(self, explanations: Sequence[Explanation], classifier: TextClassifier) -> None:
        self.classifier = classifier
        self._explanations = explanations
        self.tokens = [tuple(map(str.lower, e.tokens)) for e in explanations]
        self.predicted = np.array([e.predicted for e in explanations], np.int64)
        self.true = np.array(
            [UNLABELLED if e.label is None else e.label for e in explanations], np.int64
        )
        labelled = bool((self.true != UNLABELLED).any())
        self.classes = self.true if labelled else self.predicted
        scores = np.array([e.scores for e in explanations], np.float64)
        self.probabilities = classifier.probabilities(scores.reshape(-1, len(classifier.labels)))
        self._encoded: list[EncodedText] | None = None
        if not isinstance(classifier.tokenizer, SpacyTokenizer):
            self._encoded = encoded_explanations(explanations, classifier)
        self._build_index()

    def _build_index(self) -> None:
        lengths = np.array([len(own) for own in self.tokens], np.int64)
        places: dict[str, int] = {}
        words = np.array(
            [places.setdefault(token, len(places)) for own in self.tokens for token in own],
            np.int64,
        )
        rows = np.repeat(np.arange(len(lengths)), lengths)
        at = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        order = np.argsort(words, kind="stable")
        self.words, self._number = list(places), places
        self._rows, self._at = rows[order], at[order]
        counts = np.bincount(words, minlength=len(places))
        self._ends = np.cumsum(counts)
        relative = at / np.maximum(lengths[rows] - 1, 1)
        self.position = np.bincount(words, relative, len(places)) / np.maximum(counts, 1)
        sorted_words = words[order]
        first = np.ones(len(words), bool)  # the first place of a word in a text
        first[1:] = (sorted_words[1:] != sorted_words[:-1]) | (self._rows[1:] != self._rows[:-1])
        self._distinct = self._rows[first], sorted_words[first]  # each word once in each text
        self.frequency = np.bincount(sorted_words[first], minlength=len(places))
        firsts = self._ends - counts
        self.known = self._known(self._rows[firsts].tolist(), self._at[firsts].tolist())

    def _known(self, rows: list[int], at: list[int]) -> npt.NDArray[np.bool_]:
        """Whether the tokens at some places are in the vocabulary."""
        vocabulary = self.classifier.vocabulary
        places = zip(rows, at, strict=True)
        if vocabulary.unk is None:
            return np.ones(len(rows), bool)
        if self._encoded is None:
            ids = vocabulary.encode([self._explanations[row].tokens[k] for row, k in places])
        else:
            ids = np.array([self._encoded[row].ids[k] for row, k in places], np.int64)
        found: npt.NDArray[np.bool_] = ids != vocabulary.unk
        return found

    def __len__(self) -> int:
        return len(self.tokens)

    def frequency_in(self, rows: Integers) -> Integers:
        """How many of some texts hold each word, `[V]`."""
        inside = np.zeros(len(self), bool)
        inside[rows] = True
        texts, words = self._distinct
        found: Integers = np.bincount(words[inside[texts]], minlength=len(self.words))
        return found

    def counts(self) -> sparse.csr_array:
        """How often each word stands in each text, `[N, V]`."""
        words = np.repeat(np.arange(len(self.words)), np.diff(self._ends, prepend=0))
        ones = np.ones(len(words))
        shape = (len(self), len(self.words))
        return sparse.coo_array((ones, (self._rows, words)), shape=shape).tocsr()

    def document(self, row: int) -> EncodedText:
        """One text as the classifier reads it."""
        if self._encoded is not None:
            return self._encoded[row]
        e = self._explanations[row]
        sentences = np.zeros(len(e.tokens), np.int32) if e.sentences is None else e.sentences
        source = TokenizedText(e.text, e.tokens, e.offsets, sentences)
        return EncodedText(self.classifier.vocabulary.encode(e.tokens), source)

    def number(self, word: str) -> int | None:
        """The number of a word; None where no text holds it."""
        return self._number.get(word)

    def occurrences(self, phrase: Phrase) -> tuple[Integers, Integers]:
        """The texts that hold a phrase and the token that it begins with there, text by text."""
        number = self._number.get(phrase[0])
        if number is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        begin = 0 if number == 0 else int(self._ends[number - 1])
        part = slice(begin, int(self._ends[number]))
        rows, starts = self._rows[part], self._at[part]
        if len(phrase) > 1:
            size = len(phrase)
            kept = [
                self.tokens[row][start : start + size] == phrase
                for row, start in zip(rows.tolist(), starts.tolist(), strict=True)
            ]
            rows, starts = rows[kept], starts[kept]
        return rows, starts

    def holding(self, phrases: Sequence[Phrase], *, every: bool = True) -> Integers:
        """The texts that hold all of some phrases, or with `every=False` any of them; sorted."""
        found: Integers | None = None
        combine = np.intersect1d if every else np.union1d
        for phrase in phrases:
            rows = np.unique(self.occurrences(phrase)[0])
            found = rows if found is None else combine(found, rows)
        return np.zeros(0, np.int64) if found is None else found

    def example(self, number: int) -> Run:
        """A word as it is written at its first place."""
        k = 0 if number == 0 else int(self._ends[number - 1])
        row, at = int(self._rows[k]), int(self._at[k])
        if self._encoded is not None:
            return run_of(self._encoded[row], at, at + 1)
        written = (self._explanations[row].tokens[at],)
        return Run(self.classifier.vocabulary.encode(written), written, written)

    def log_frequencies(self, words: Sequence[str]) -> Floats:
        """ln(1 + n) for each word, n the number of texts that hold it."""
        numbers = [self._number.get(word) for word in words]
        counts = [0 if number is None else int(self.frequency[number]) for number in numbers]
        return np.log1p(np.array(counts, np.float64))
