"""Interventions: a candidate is taken out of texts and put into others, and so are control words.

A text is changed twice, once by the candidate and once by a control that is as long, about as
frequent in the corpus and stands at about the same place. Only what the candidate does beyond its
control speaks for it: any change of a text changes some predictions.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from seqlrp.analysis.candidates import Candidate
from seqlrp.analysis.edits import Run, arranged, joined, run_of, with_runs, written_tokens
from seqlrp.analysis.indexed_texts import UNLABELLED, Floats, IndexedTexts, Integers, Phrase
from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.text.encoded import EncodedText

_PLACE = 2.0  # how much a place in the text, 0 to 1, counts beside the logarithm of the frequency
_NEAREST = 20  # control words are drawn among so many
_EDGE = 5  # within so many tokens of an end, a place is counted from that end
_LONGER = 4  # a text is made at most so many times as long
_Z = stats.norm.ppf(0.975)


@dataclass(frozen=True, eq=False)
class Trial:
    """Texts that were changed, n of them.

    Attributes:
        rows: which texts, `[n]`.
        edited: changed by the candidate.
        controls: the same texts changed by the control.
    """

    rows: Integers
    edited: list[EncodedText]
    controls: list[EncodedText]


class Effect(NamedTuple):
    """What an intervention did to n texts, beside what its control did.

    Attributes:
        texts: n.
        flips: the share of predictions that the candidate changed.
        control: the share that the control changed.
        excess: their difference, with the interval low to high (95 %, for matched pairs).
        change: how much more the probability of the class changed than by the control, on average.
        p: of Wilcoxon's signed-rank test of that, one-sided.
    """

    texts: int
    flips: float
    control: float
    excess: float
    low: float
    high: float
    change: float
    p: float


NOTHING = Effect(0, *(np.nan,) * 6, 1.0)


class Proof(NamedTuple):
    """Both interventions on one candidate.

    Attributes:
        removed: from texts that are predicted as its class.
        inserted: into texts that are predicted otherwise.
        alone: the share of the texts that were right with it and wrong without it, of all that it
            was removed from; NaN where no true class is known.
    """

    removed: Effect
    inserted: Effect
    alone: float


def intervene(
    candidate: Candidate,
    texts: IndexedTexts,
    *,
    most: int,
    seed: int,
    batch_tokens: BatchTokens,
) -> Proof:
    """Take a candidate out of at most `most` texts, and put it into as many others.

    Random draws depend on the seed and on the candidate, but on no other candidate.
    """
    name = f"{candidate.kind} {candidate.class_} {candidate.name}"
    random = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogatepass"))])
    kinds: dict[str, type[_Intervention]] = {
        "words": _Words,
        "position": _Position,
        "length": _Length,
    }
    intervention = kinds[candidate.kind](candidate, texts, random)
    out = _draw(intervention.holders(), most, random)
    into = _draw(intervention.others(), most, random)
    removal = _trial(out, intervention.remove)
    insertion = _trial(into, intervention.insert)
    edits = [*removal.edited, *removal.controls, *insertion.edited, *insertion.controls]
    budget = Budget(batch_tokens, texts.classifier.device)
    scores = texts.classifier.all_scores(edits, budget)
    cut = 2 * len(removal.rows)
    class_ = candidate.class_
    flipped, moved = _outcomes(texts, scores[:cut], class_)
    removed = _effect(~flipped, -moved)
    right = texts.true[removal.rows] == class_
    labelled = (texts.true[removal.rows] != UNLABELLED).any()
    lost = ~flipped[: len(right)] & right
    alone = float(lost.mean()) if labelled else np.nan
    inserted = _effect(*_outcomes(texts, scores[cut:], class_))
    return Proof(removed, inserted, alone)


def _draw(rows: Integers, most: int, random: np.random.Generator) -> Integers:
    return rows if len(rows) <= most else np.sort(random.choice(rows, most, replace=False))


def _trial(rows: Integers, edit: Callable[[int], tuple[EncodedText, EncodedText] | None]) -> Trial:
    """Change each text both ways; those of which nothing would be left are left out."""
    kept, edited, controls = [], [], []
    for row in rows.tolist():
        pair = edit(row)
        if pair is not None:
            kept.append(row)
            edited.append(pair[0])
            controls.append(pair[1])
    return Trial(np.array(kept, np.int64), edited, controls)


def _outcomes(
    texts: IndexedTexts, scores: npt.NDArray[np.float32], class_: int
) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether each changed text is predicted as the class, and its probability: `[2n]` each."""
    probability = texts.classifier.probabilities(scores)[:, class_]
    return scores.argmax(axis=1) == class_, probability


def _effect(flipped: npt.NDArray[np.bool_], towards: Floats) -> Effect:
    """Compare n edited texts with their n controls, which come after them.

    Args:
        flipped: whether a prediction changed as expected, `[2n]`.
        towards: the probability, with the sign of the expected change, `[2n]`.
    """
    n = len(flipped) // 2
    if not n:
        return NOTHING
    one, other = flipped[:n], flipped[n:]
    low, high = paired_interval(int((one & ~other).sum()), int((other & ~one).sum()), n)
    difference = towards[:n] - towards[n:]
    # What is smaller than the rounding of float32 is no difference.
    difference = np.where(np.abs(difference) < 1e-6, 0.0, difference)
    p = 1.0
    if difference.any():
        found = stats.wilcoxon(difference, alternative="greater", method="asymptotic")
        p = float(found.pvalue)
    flips, control = float(one.mean()), float(other.mean())
    return Effect(n, flips, control, flips - control, low, high, float(difference.mean()), p)


def paired_interval(more: int, less: int, n: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares in n matched pairs.

    Wald's interval with half a pair added to each of the four cells (Agresti and Min 2005), so that
    it has a width where all pairs agree.

    Args:
        more: the number of pairs in which only the first changed the prediction.
        less: the number of pairs in which only the second did.
        n: the number of pairs.
    """
    total = n + 2
    difference = (more - less) / total
    half = _Z * np.sqrt((more + less + 1) / total - difference**2) / np.sqrt(total)
    return max(float(difference - half), -1.0), min(float(difference + half), 1.0)


class _Intervention(ABC):
    """Takes one candidate out of texts, and puts it into others; each change has a control.

    Args:
        candidate: the candidate.
        texts: the explained texts of the corpus.
        random: draws texts, places and control words.
    """

    def __init__(
        self, candidate: Candidate, texts: IndexedTexts, random: np.random.Generator
    ) -> None:
        self.candidate, self.texts, self.random = candidate, texts, random

    def holders(self) -> Integers:
        """The texts of the class that the candidate can be taken out of."""
        return np.flatnonzero(self.texts.predicted == self.candidate.class_).astype(np.int64)

    def others(self) -> Integers:
        """The texts of other classes that it can be put into."""
        return np.flatnonzero(self.texts.predicted != self.candidate.class_).astype(np.int64)

    @abstractmethod
    def remove(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        """A text without the candidate, and its control; None where too little is left."""

    @abstractmethod
    def insert(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        """A text with the candidate, and its control; None where it cannot be put in."""


class _Words(_Intervention):
    """Takes all words and phrases of a candidate out, or puts them all in."""

    def __init__(
        self, candidate: Candidate, texts: IndexedTexts, random: np.random.Generator
    ) -> None:
        super().__init__(candidate, texts, random)
        self.spans: dict[int, list[tuple[int, int, int]]] = {}  # phrase, start, end, by text
        for k, phrase in enumerate(candidate.phrases):
            rows, starts = texts.occurrences(phrase)
            for row, start in zip(rows.tolist(), starts.tolist(), strict=True):
                self.spans.setdefault(row, []).append((k, start, start + len(phrase)))
        self.held = texts.holding(candidate.phrases)
        own = self.held[texts.predicted[self.held] == candidate.class_]
        shown = np.intersect1d(candidate.rows, own)
        self.donors = next((rows for rows in (shown, own, self.held) if len(rows)), self.held)
        self.control_words = [
            [self._control_words(word, phrase) for word in phrase] for phrase in candidate.phrases
        ]

    def holders(self) -> Integers:
        own: Integers = self.held[self.texts.predicted[self.held] == self.candidate.class_]
        return own

    def others(self) -> Integers:
        any_ = self.texts.holding(self.candidate.phrases, every=False)
        rest = np.flatnonzero(self.texts.predicted != self.candidate.class_)
        found: Integers = np.setdiff1d(rest, any_).astype(np.int64)
        return found

    def remove(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        document, tokens = self.texts.document(row), self.texts.tokens[row]
        taken = np.zeros(len(tokens), bool)
        for _, start, end in self.spans[row]:
            taken[start:end] = True
        written = written_tokens(document)
        if taken[written].all():
            return None
        used = np.ones(len(tokens), bool)
        used[written] = taken[written]
        control = np.zeros(len(tokens), bool)
        for k, start, end in self.spans[row]:
            chosen = self._find_control(row, k, start, end - start, used)
            if chosen is not None:
                control[chosen : chosen + end - start] = True
                used[chosen : chosen + end - start] = True
        return (
            document.without(np.flatnonzero(taken)),
            document.without(np.flatnonzero(control)),
        )

    def _find_control(
        self, row: int, phrase: int, start: int, size: int, used: npt.NDArray[np.bool_]
    ) -> int | None:
        """The start of the other words that are most like a phrase in frequency and place."""
        blocked = np.concatenate([[0], np.cumsum(used)])
        starts = np.flatnonzero(blocked[size:] == blocked[:-size])
        if not len(starts):
            return None
        tokens = self.texts.tokens[row]
        frequency = self.texts.log_frequencies(tokens)
        sums = np.concatenate([[0.0], np.cumsum(frequency)])
        mean = (sums[starts + size] - sums[starts]) / size
        wanted = self.texts.log_frequencies(self.candidate.phrases[phrase]).mean()
        away = np.abs(starts - start) / max(len(tokens), 1)
        distance = np.abs(mean - wanted) + _PLACE * away
        best = np.flatnonzero(distance <= distance.min() + 1e-9)
        return int(starts[self.random.choice(best)])

    def insert(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        document = self.texts.document(row)
        gaps, runs, controls = [], [], []
        for k, gap, run in self._draw_phrases(len(document)):
            gaps.append(gap)
            runs.append(run)
            numbers = [int(self.random.choice(words)) for words in self.control_words[k]]
            controls.append(joined([self.texts.example(number) for number in numbers]))
        return with_runs(document, gaps, runs), with_runs(document, gaps, controls)

    def _draw_phrases(self, length: int) -> list[tuple[int, int, Run]]:
        """The phrases, placed and repeated as in a text drawn at random: phrase, gap, run."""
        if not len(self.donors):
            return self._place_phrases(length)
        donor = int(self.random.choice(self.donors))
        document = self.texts.document(donor)
        found = []
        for k in range(len(self.candidate.phrases)):
            spans = [span for span in self.spans[donor] if span[0] == k]
            # As often by share, so that a long text does not fill a short one.
            count = min(len(spans), max(1, round(len(spans) * length / max(len(document), 1))))
            chosen = sorted(self.random.choice(len(spans), count, replace=False).tolist())
            for place in chosen:
                _, start, end = spans[place]
                gap = gap_like(start, end, len(document), length)
                found.append((k, gap, run_of(document, start, end)))
        return found

    def _place_phrases(self, length: int) -> list[tuple[int, int, Run]]:
        """The phrases at random places, where no text holds them: phrase, gap, run."""
        found = []
        for k, phrase in enumerate(self.candidate.phrases):
            document = next(iter(self.texts.classifier.encode([" ".join(phrase)])))
            written = written_tokens(document)
            run = run_of(document, int(written[0]), int(written[-1]) + 1)
            found.append((k, int(self.random.integers(length + 1)), run))
        return found

    def _control_words(self, word: str, phrase: Phrase) -> Integers:
        """The 20 words of the corpus that are most like one in frequency and place."""
        texts = self.texts
        number = texts.number(word)
        frequency = texts.log_frequencies((word,))[0]
        place = 0.5 if number is None else float(texts.position[number])
        distance = np.abs(np.log1p(texts.frequency) - frequency) + _PLACE * np.abs(
            texts.position - place
        )
        own = [texts.number(w) for p in self.candidate.phrases for w in p]
        distance[[n for n in own if n is not None]] = np.inf
        if number is None or texts.known[number]:
            distance[~texts.known] = np.inf
        nearest = np.argsort(distance, kind="stable")[:_NEAREST]
        usable: Integers = nearest[np.isfinite(distance[nearest])]
        return usable if len(usable) else nearest


def gap_like(start: int, end: int, donor: int, length: int) -> int:
    """Where in a text of `length` tokens a phrase stands as it does in another one.

    Near an end of the other text the place is counted from that end, elsewhere it is relative.
    """
    after = donor - end
    if start < _EDGE and start <= after:
        return min(start, length)
    if after < _EDGE:
        return max(length - after, 0)
    return round(length * start / max(donor - (end - start), 1))


class _Position(_Intervention):
    """Takes the word at a place out, or puts the one of a text of the class in."""

    def __init__(
        self, candidate: Candidate, texts: IndexedTexts, random: np.random.Generator
    ) -> None:
        super().__init__(candidate, texts, random)
        own = super().holders()
        self.long = np.array([row for row in own.tolist() if len(texts.tokens[row]) > 2], np.int64)

    def holders(self) -> Integers:
        return self.long

    def remove(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        document = self.texts.document(row)
        written = written_tokens(document)
        if len(written) < 3:
            return None
        there = int(written[self.candidate.place])
        control = int(self.random.choice(written[1:-1]))
        return document.without([there]), document.without([control])

    def insert(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        if not len(self.long):
            return None
        document = self.texts.document(row)
        donor = self.texts.document(int(self.random.choice(self.long)))
        written = written_tokens(donor)
        there = int(written[self.candidate.place])
        elsewhere = int(self.random.choice(written[1:-1])) if len(written) > 2 else there
        gap = 0 if self.candidate.place == 0 else len(document)
        return (
            with_runs(document, [gap], [run_of(donor, there, there + 1)]),
            with_runs(document, [gap], [run_of(donor, elsewhere, elsewhere + 1)]),
        )


class _Length(_Intervention):
    """Brings texts to the length of the other classes, or to that of this class.

    A text is cut after its first words, or said again from its beginning. The control of a cut has
    random words of the corpus in place of what is cut; that of a longer text is the text with its
    two halves exchanged.
    """

    def __init__(
        self, candidate: Candidate, texts: IndexedTexts, random: np.random.Generator
    ) -> None:
        super().__init__(candidate, texts, random)
        lengths = np.array([len(own) for own in texts.tokens])
        own = texts.predicted == candidate.class_
        self.own_length = int(np.median(lengths[own])) if own.any() else 1
        self.other_length = int(np.median(lengths[~own])) if (~own).any() else self.own_length

    def remove(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        return self._resize(row, self.other_length, longer=self.other_length > self.own_length)

    def insert(self, row: int) -> tuple[EncodedText, EncodedText] | None:
        return self._resize(row, self.own_length, longer=self.own_length > self.other_length)

    def _resize(
        self, row: int, wanted: int, *, longer: bool
    ) -> tuple[EncodedText, EncodedText] | None:
        document = self.texts.document(row)
        length = len(document)
        wanted = min(max(wanted, 1), _LONGER * length)
        if longer and wanted > length:
            again = np.arange(wanted) % length
            turned = np.roll(np.arange(length), -(length // 2))
            return arranged(document, again), arranged(document, turned)
        if not longer and wanted < length:
            cut = arranged(document, np.arange(wanted))
            weights = self.texts.frequency / self.texts.frequency.sum()
            words = self.random.choice(len(weights), length - wanted, p=weights)
            filled = joined([self.texts.example(int(word)) for word in words])
            return cut, with_runs(cut, [wanted], [filled])
        return None
