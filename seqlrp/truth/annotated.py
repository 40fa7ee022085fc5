"""Texts of which it is known what each part does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqlrp.errors import CorpusError, OptionError, near
from seqlrp.text.corpora import Corpus


class Span(NamedTuple):
    """A part of a text, characters `start` to `end` (exclusive), and what is known of it.

    `kind` says what it does or where it comes from; `value` is a number that goes with it, such as
    +1 for a word that means something good and -1 for one that means something bad.
    """

    start: int
    end: int
    kind: str
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Annotated:
    """A corpus, and for each of its N texts the spans of which the truth is known.

    Attributes:
        corpus: texts, and their classes where a text has one.
        spans: one tuple a text.

    Raises:
        CorpusError: there are more or fewer tuples than texts, or a span is not in its text.
    """

    corpus: Corpus
    spans: Sequence[tuple[Span, ...]]

    def __post_init__(self) -> None:
        if len(self.spans) != len(self.corpus):
            raise CorpusError(
                f"Got the spans of {len(self.spans)} texts for {len(self.corpus)} texts, expected "
                "one tuple a text."
            )
        for row, (text, spans) in enumerate(zip(self.corpus.texts, self.spans, strict=True)):
            for span in spans:
                if not 0 <= span.start < span.end <= len(text):
                    raise CorpusError(
                        f"Text {row} has {len(text)} characters and a span from {span.start} to "
                        f"{span.end}; expected 0 <= start < end <= {len(text)}."
                    )

    def __len__(self) -> int:
        return len(self.corpus)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kinds of spans there are, sorted."""
        return tuple(sorted({span.kind for spans in self.spans for span in spans}))

    def rationales(self, *kinds: str) -> list[list[tuple[int, int]]]:
        """For each text where the spans of these kinds are, as (start, end); without kinds: all.

        This is what people's rationales look like, and what `seqlrp.evaluation` compares with.

        Raises:
            OptionError: no text has a span of that kind.
        """
        for kind in kinds:
            if kind not in self.kinds:
                raise OptionError(
                    f"There is no span of the kind {kind!r}. {near(kind, self.kinds)}"
                )
        return [
            [(span.start, span.end) for span in spans if not kinds or span.kind in kinds]
            for spans in self.spans
        ]

    def values(self, *kinds: str) -> list[list[tuple[int, int, float]]]:
        """As `rationales`, with the value of each span: (start, end, value).

        Raises:
            OptionError: no text has a span of that kind.
        """
        self.rationales(*kinds)
        return [
            [
                (span.start, span.end, span.value)
                for span in spans
                if not kinds or span.kind in kinds
            ]
            for spans in self.spans
        ]

    def part(self, chosen: Sequence[int] | npt.NDArray[np.integer]) -> Annotated:
        """The texts at these positions, in this order."""
        rows = np.asarray(chosen, dtype=np.int64)
        labels = None if self.corpus.labels is None else self.corpus.labels[rows]
        texts = [self.corpus.texts[row] for row in rows.tolist()]
        corpus = replace(self.corpus, texts=texts, labels=labels)
        return Annotated(corpus, [self.spans[row] for row in rows.tolist()])

    def split(self, fraction: float, seed: int) -> tuple[Annotated, Annotated]:
        """Part the texts as `Corpus.split` does, in what is left and what is held out.

        Raises:
            OptionError, CorpusError: as `Corpus.split`.
        """
        numbered = replace(self.corpus, texts=range(len(self)))  # type: ignore[arg-type]
        left, held_out = numbered.split(fraction, seed)
        return self.part(left.texts), self.part(held_out.texts)  # type: ignore[arg-type]
