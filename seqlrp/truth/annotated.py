"""Corpora with annotated spans: parts of texts whose role or value is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqlrp.errors import CorpusError, check_choice
from seqlrp.text.corpora import Corpus


class Span(NamedTuple):
    """An annotated part of a text.

    Attributes:
        start: the index of its first character.
        end: the index after its last character.
        kind: its role or origin.
        value: a number, e.g. +1 for a word with a positive meaning, -1 for a negative one.
    """

    start: int
    end: int
    kind: str
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Annotated:
    """A corpus with annotated spans for each of its N texts.

    Attributes:
        corpus: texts, and their classes where a text has one.
        spans: one tuple for each text.

    Raises:
        CorpusError: there are more or fewer tuples than texts, or a span is not in its text.
    """

    corpus: Corpus
    spans: Sequence[tuple[Span, ...]]

    def __post_init__(self) -> None:
        if len(self.spans) != len(self.corpus):
            raise CorpusError(
                f"Got the spans of {len(self.spans)} texts for {len(self.corpus)} texts; expected "
                "one tuple for each text."
            )
        for row, (text, spans) in enumerate(zip(self.corpus.texts, self.spans, strict=True)):
            for span in spans:
                if not 0 <= span.start < span.end <= len(text):
                    raise CorpusError(
                        f"Text {row} has {len(text)} characters and a span from {span.start} to "
                        f"{span.end}; expected 0 <= start < end <= {len(text)}.",
                        text=row,
                    )

    def __len__(self) -> int:
        return len(self.corpus)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of spans in the corpus, sorted."""
        return tuple(sorted({span.kind for spans in self.spans for span in spans}))

    def rationales(self, *kinds: str) -> list[list[tuple[int, int]]]:
        """Return the places (start, end) of the spans of these kinds, for each text.

        This is the form of people's rationales, which `seqlrp.evaluation.marked_words` takes.

        Args:
            kinds: the kinds of spans; by default all.

        Raises:
            OptionError: no text has a span of that kind.
        """
        return [[(start, end) for start, end, _ in spans] for spans in self.values(*kinds)]

    def values(self, *kinds: str) -> list[list[tuple[int, int, float]]]:
        """Return the places and values (start, end, value) of spans of these kinds, for each text.

        Args:
            kinds: the kinds of spans; by default all.

        Raises:
            OptionError: no text has a span of that kind.
        """
        for kind in kinds:
            check_choice("kind", kind, self.kinds)
        return [
            [
                (span.start, span.end, span.value)
                for span in spans
                if not kinds or span.kind in kinds
            ]
            for spans in self.spans
        ]

    def part(self, chosen: Sequence[int] | npt.NDArray[np.integer]) -> Annotated:
        """Return the texts at these positions, in this order."""
        rows = np.asarray(chosen, dtype=np.int64)
        labels = None if self.corpus.labels is None else self.corpus.labels[rows]
        texts = [self.corpus.texts[row] for row in rows.tolist()]
        corpus = replace(self.corpus, texts=texts, labels=labels)
        return Annotated(corpus, [self.spans[row] for row in rows.tolist()])

    def split(self, fraction: float, seed: int) -> tuple[Annotated, Annotated]:
        """Split the texts as `Corpus.split` does, into the remaining and the held-out texts.

        Raises:
            OptionError: `fraction` is out of range, see `Corpus.split`.
            CorpusError: the corpus cannot be split, see `Corpus.split`.
        """
        numbered = replace(self.corpus, texts=range(len(self)))  # type: ignore[arg-type]
        left, held_out = numbered.split(fraction, seed)
        return self.part(left.texts), self.part(held_out.texts)  # type: ignore[arg-type]
