"""What a shortcut is: where it stands in a text, how it is taken out, and how it is put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seqlrp.analysis.candidates import POSITIONS
from seqlrp.analysis.edits import run_of, with_runs, written_tokens
from seqlrp.analysis.interventions import gap_like
from seqlrp.improving.labelled_texts import Integers, LabelledTexts, Mask
from seqlrp.text.encoded import EncodedText

Place = tuple[int, int]  # the first token and the one after the last
Span = tuple[int, int, int]  # a text of the corpus, its first character, the one after the last


@dataclass(frozen=True)
class Shortcut:
    """Words, a position or spans that a class rests on, and should not.

    Attributes:
        name: as it is shown.
        phrases: runs of tokens in lower case, which stand in a text all together.
        position: 0 for the first word of a text of the class, -1 for the last; None for others.
        spans: of single texts of the corpus.
        class_: the class that it speaks for; it is found from the texts where nobody says it.
    """

    name: str
    phrases: tuple[tuple[str, ...], ...] = ()
    position: int | None = None
    spans: tuple[Span, ...] = field(default=(), repr=False)
    class_: int | None = None

    @classmethod
    def at(cls, position: int, class_: int | None = None) -> Shortcut:
        """The first (0) or the last (-1) word."""
        return cls(POSITIONS[position], position=position, class_=class_)

    def groups(self, texts: LabelledTexts, k: int) -> list[list[Place]]:
        """The places of each of its phrases in text k; nothing where one of them is missing."""
        document = texts.documents[k]
        if self.phrases:
            found = [_occurrences(texts.tokens[k], phrase) for phrase in self.phrases]
        elif self.position is not None:
            written = written_tokens(document)
            own = self.class_ is None or texts.labels[k] == self.class_
            there = int(written[self.position]) if len(written) > 1 and own else None
            found = [[] if there is None else [(there, there + 1)]]
        else:
            found = [self._tokens(document, int(texts.rows[k]))]
        return found if all(found) else []

    def _tokens(self, document: EncodedText, row: int) -> list[Place]:
        """The tokens that a span of this text touches."""
        offsets = document.source.offsets
        found = []
        for text, start, end in self.spans:
            if text == row:
                inside = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
                if len(inside):
                    found.append((int(inside[0]), int(inside[-1]) + 1))
        return found


class Located:
    """A shortcut in some texts.

    Attributes:
        shortcut: the shortcut.
        texts: the texts.
        held: bool `[N]`, whether each holds it.
    """

    def __init__(self, shortcut: Shortcut, texts: LabelledTexts) -> None:
        self.shortcut, self.texts = shortcut, texts
        self._groups = [shortcut.groups(texts, k) for k in range(len(texts))]
        self.held: Mask = np.array([bool(groups) for groups in self._groups], bool)

    @property
    def holders(self) -> Integers:
        """The numbers of the texts that hold it."""
        return np.flatnonzero(self.held).astype(np.int64)

    def likeliest_class(self) -> int:
        """The class of whose texts the largest share holds it."""
        classes = len(self.texts.classifier.labels)
        sizes = np.bincount(self.texts.labels, minlength=classes)
        held = np.bincount(self.texts.labels[self.held], minlength=classes)
        return int(np.argmax(held / np.maximum(sizes, 1)))

    def mark(self, k: int) -> Mask:
        """Which tokens of text k belong to it, bool `[T]`."""
        found = np.zeros(len(self.texts.documents[k]), bool)
        for places in self._groups[k]:
            for start, end in places:
                found[start:end] = True
        return found

    def taken_out(self, k: int) -> EncodedText | None:
        """Text k without it; None where nothing would be left."""
        document, mark = self.texts.documents[k], self.mark(k)
        if mark[written_tokens(document)].all():
            return None
        return document.without(np.flatnonzero(mark))

    def put_in(
        self, documents: Sequence[EncodedText], random: np.random.Generator
    ) -> list[EncodedText]:
        """Put it into texts, each time as it stands in a text that is drawn from the holders."""
        donors = random.choice(self.holders, len(documents))
        return [self._put_in(d, int(k), random) for d, k in zip(documents, donors, strict=True)]

    def _put_in(
        self, document: EncodedText, donor: int, random: np.random.Generator
    ) -> EncodedText:
        source = self.texts.documents[donor]
        gaps, runs = [], []
        for places in self._groups[donor]:
            start, end = places[int(random.integers(len(places)))]
            gaps.append(gap_like(start, end, len(source), len(document)))
            runs.append(run_of(source, start, end))
        return with_runs(document, gaps, runs)


def _occurrences(tokens: tuple[str, ...], phrase: tuple[str, ...]) -> list[Place]:
    """Where a phrase stands."""
    size = len(phrase)
    if phrase[0] not in tokens:
        return []
    ends = range(size, len(tokens) + 1)
    return [(end - size, end) for end in ends if tokens[end - size : end] == phrase]
