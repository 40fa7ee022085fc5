"""What every export of a document shows: its text in shaded pieces, a heading and a legend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from seqlrp.errors import OptionError, near
from seqlrp.explanation import ALL, Explanation
from seqlrp.page.colours import levels
from seqlrp.page.reading import number_format

SCALES = ("document", "corpus")

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls, marks and overrides of direction, byte order marks, tags, noncharacters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f"
    + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def visible(text: str) -> str:
    r"""The text with every end of line as "\n" and what cannot be seen as its number, [U+001B].

    What cannot be seen are control characters, marks and overrides of the direction of writing,
    byte order marks, tags and noncharacters: nothing in the result can steer a terminal or turn
    the text around it. Joiners stay, since scripts and emoji need them.
    """
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", _LINE_END.sub("\n", text))


def one_line(text: str) -> str:
    """A label or a name as `visible` shows it, without ends of line."""
    return " ".join(visible(text).split())


@dataclass(frozen=True)
class Shaded:
    """An explanation for one class together with the relevance that has the deepest colour."""

    explanation: Explanation
    largest: float

    def pieces(self) -> Iterator[tuple[str, int]]:
        """The whole text, `visible`, in pieces with their levels, -SHADES to SHADES.

        What stands between tokens has level 0. A token that holds no more than half of a CR LF
        ends before it.
        """
        e = self.explanation
        done = 0
        shades = levels(e.relevance, self.largest).tolist()
        for (start, end), shade in zip(e.offsets.tolist(), shades, strict=True):
            if shade:
                yield from self._piece(done, start, 0)
                yield from self._piece(start, end, shade)
                done = end
        yield from self._piece(done, len(e.text), 0)

    def _piece(self, start: int, end: int, level: int) -> Iterator[tuple[str, int]]:
        text = self.explanation.text
        cut = end - 1 if text[end - 1 : end + 1] == "\r\n" else end
        if start < cut:
            yield visible(text[start:cut]), level

    def heading(self) -> tuple[str, ...]:
        """Lines about the document: its name, what the model answers, what is explained."""
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
        lines = (answer, f"{question}, by {one_line(e.method)}")
        return lines if e.id is None else (one_line(e.id), *lines)

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


def shaded(explanations: Iterable[Explanation], scale: str = "document") -> list[Shaded]:
    """The explanations with their scales; where every class is explained, the predicted one.

    Args:
        explanations: what is shown.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".

    Raises:
        OptionError: another scale.
    """
    if scale not in SCALES:
        raise OptionError(f"scale={scale!r} is not one of those allowed. {near(scale, SCALES)}")
    shown = [e.for_target(e.predicted) if e.target == ALL else e for e in explanations]
    largest = [float(abs(e.relevance).max(initial=0)) for e in shown]
    if scale == "corpus":
        largest = [max(largest, default=0.0)] * len(shown)
    return [Shaded(e, most) for e, most in zip(shown, largest, strict=True)]
