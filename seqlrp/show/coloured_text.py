"""What every export of a document shows: its text in shaded pieces, a heading and a legend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seqlrp.errors import check_choice
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.show.colours import levels
from seqlrp.show.edits import NO_EDITS, STRUCK, Edits
from seqlrp.show.numbers import number_format
from seqlrp.show.visible import one_line, visible

SCALES = ("document", "corpus")


class Style(NamedTuple):
    """How a piece of a text looks: the level of its colour, and what was done to it."""

    level: int = 0
    edit: str | None = None


@dataclass(frozen=True)
class ColouredText:
    """An explanation for one class together with the relevance that has the deepest colour."""

    explanation: Explanation
    largest: float
    edits: Edits = NO_EDITS

    def pieces(self) -> Iterator[tuple[str, int]]:
        """The whole text, `visible`, in pieces with their levels, -SHADES to SHADES.

        What stands between tokens has level 0. A token that holds no more than half of a CR LF
        ends before it.
        """
        return ((text, style.level) for text, style in self.styled())

    def styled(self) -> Iterator[tuple[str, Style]]:
        """The pieces, and what was done to each; what was struck has no colour."""
        e = self.explanation
        done = 0
        shades = levels(e.relevance, self.largest).tolist()
        for (start, end), shade in zip(e.offsets.tolist(), shades, strict=True):
            if shade:
                yield from self._piece(done, start, 0)
                yield from self._piece(start, end, shade)
                done = end
        yield from self._piece(done, len(e.text), 0)

    def _piece(self, start: int, end: int, level: int) -> Iterator[tuple[str, Style]]:
        text = self.explanation.text
        cut = end - 1 if text[end - 1 : end + 1] == "\r\n" else end
        if start < cut:
            for first, last, edit in self.edits.parts(start, cut):
                yield visible(text[first:last]), Style(0 if edit == STRUCK else level, edit)

    def heading(self) -> tuple[str, ...]:
        """Lines about the document: its name, the model's answers, what is explained."""
        e = self.explanation
        answer = f"Predicted: {one_line(e.predicted_label)}"
        if e.probabilities is not None:
            answer += f", probability {e.probabilities[e.predicted]:.3f}"
        if e.label_name is not None and e.label == e.predicted:
            answer += " (right)"
        elif e.label_name is not None:
            answer += f" (wrong, it is {one_line(e.label_name)})"
        score = format(e.score, number_format(abs(e.score)))
        question = f"Explained: {one_line(e.target_label)}, score {score}"
        if e.against_label is not None:
            other = one_line(e.against_label)
            question = (
                f"Explained: why {one_line(e.target_label)} rather than {other}, "
                f"by a score of {score}"
            )
        lines = [answer, *map(one_line, self.edits.said), f"{question}, by {one_line(e.method)}"]
        if (said := read_part(e)) is not None:
            lines.append(said)
        return tuple(lines) if e.id is None else (one_line(e.id), *lines)

    def account(self) -> str | None:
        """A line on where the score went, None where the method does not say."""
        ledger = self.explanation.ledger  # of one class
        parts = {kind: part for kind, part in ledger.items() if part and isinstance(part, float)}
        number = number_format(max((abs(part) for part in parts.values()), default=0.0))
        shares = ", ".join(
            f"{'words' if kind == 'tokens' else one_line(kind)} {format(part, number)}"
            for kind, part in parts.items()
        )
        return f"Where it went: {shares}" if shares else None

    def legend(self) -> tuple[str, str]:
        """What the deepest colours stand for, as ("against …  -1.5", "+1.5 for …")."""
        e, number = self.explanation, number_format(self.largest)
        named = one_line(e.target_label)
        other = e.against_label
        opposite = f"against {named}" if other is None else f"for {one_line(other)}"
        return (
            f"{opposite} {format(-self.largest, number)}",
            f"{format(self.largest, number)} for {named}",
        )


def read_part(explanation: Explanation) -> str | None:
    """A sentence on which part of the text the model read; None where it read all."""
    e = explanation
    if not e.unread:
        return None
    words = len(e.tokens)
    start = int(e.offsets[0, 0]) if words else 0
    side = "last" if e.text[:start].strip() else "first"
    return (
        f"The model read the {side} {words:,} of {words + e.unread:,} words; the others have no "
        "relevance."
    )


def coloured_texts(
    explanations: Iterable[Explanation],
    scale: str = "document",
    edits: Sequence[Edits] | None = None,
) -> list[ColouredText]:
    """The explanations with their scales; where every class is explained, the predicted one.

    Args:
        explanations: what is shown.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        edits: what was done to each text; None where nothing was.

    Raises:
        OptionError: another scale.
    """
    check_choice("scale", scale, SCALES)
    shown = [e.for_target(e.predicted) if e.target == ALL else e for e in explanations]
    largest = [float(abs(e.relevance).max(initial=0)) for e in shown]
    if scale == "corpus":
        largest = [max(largest, default=0.0)] * len(shown)
    done = [NO_EDITS] * len(shown) if edits is None else edits
    return [ColouredText(*each) for each in zip(shown, largest, done, strict=True)]
