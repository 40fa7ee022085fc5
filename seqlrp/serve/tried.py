"""What a reader tried on a text: words struck and replaced, what the model answers then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqlrp.evaluation.removal import Removal
from seqlrp.explanations.record import Explanation
from seqlrp.serve.limits import RequestError
from seqlrp.serve.live_model import Answer, LiveModel
from seqlrp.serve.questions import scores_without
from seqlrp.serve.schema import Edited, Replacement
from seqlrp.show.edits import Edits
from seqlrp.show.page.units import words_and_sentences

REMOVALS: dict[Removal, str] = {
    "zero": "set to zero",
    "delete": "deleted",
    "unk": "made unknown",
    "mask": "masked",
}
_NAMED = 12  # words that a sentence names
_MARKS_ALONE = re.compile(r"[\W_]+")

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tried:
    """An explanation, what was done to its text, and the answers that this gives.

    Attributes:
        answer: the explanation of the text as it stands.
        edited: what was struck and replaced.
        tokens: the numbers of the tokens that were struck.
        removal: what striking means.
        without: the scores of the text without what was struck; None where nothing was.
        before: the scores of the text before words were replaced; None where none were.
    """

    answer: Answer
    edited: Edited
    tokens: list[int]
    removal: Removal
    without: Scores | None
    before: Scores | None

    @property
    def struck(self) -> list[str]:
        """The words of which a token was struck."""
        return [word for word, _ in self._struck_words()]

    @property
    def replaced(self) -> list[tuple[str, str]]:
        """What stood there, and what stands there now."""
        text = self.answer.explanation.text
        return [(each.was, text[each.start : each.end]) for each in self.edited.replaced]

    def edits(self, model: LiveModel, name: str | None = None) -> Edits:
        """What a file shows of it; `name` is that of the model where it is one of two."""
        return Edits(
            struck=tuple(span for _, span in self._struck_words()),
            replaced=tuple((each.start, each.end) for each in self.edited.replaced),
            said=tuple(self._sentences(model, "the model" if name is None else name)),
        )

    def _sentences(self, model: LiveModel, name: str) -> list[str]:
        said = []
        if self.without is not None:
            words = _named(self.struck)
            now = model.named(self.without)
            said.append(f"Without {words} ({REMOVALS[self.removal]}) {name} answers {now}.")
        if self.before is not None:
            pairs = ", ".join(f"“{new}” for “{was}”" for was, new in self.replaced[:_NAMED])
            said.append(f"Replaced: {pairs}. Before that {name} answered "
                        f"{model.named(self.before)}.")  # fmt: skip
        unknown, count = unknown_words(self.answer)
        if unknown:
            none = len(unknown) == count
            subject = "The model" if name == "the model" else name
            verb = "knows none" if none else f"does not know {len(unknown)}"
            said.append(f"{subject} {verb} of the {count} words: "
                        f"{_named(unknown)}.")  # fmt: skip
        return said

    def _struck_words(self) -> list[tuple[str, tuple[int, int]]]:
        found = self.answer.explanation
        places = found.offsets[self.tokens].tolist()
        words, _ = words_and_sentences(found)
        spans = [
            (start, end) for start, end in words.spans.tolist()
            if any(first < end and start < last for first, last in places)
        ]  # fmt: skip
        return [(found.text[start:end], (start, end)) for start, end in spans]


async def tried(model: LiveModel, answer: Answer, edited: Edited, removal: Removal) -> Tried:
    """Ask for the answers to a text without what was struck, and before words were replaced.

    Raises:
        RequestError: the places of what was replaced are not in the text, status 422.
    """
    text = answer.explanation.text
    original = before_replacing(text, edited.replaced)
    asked = []
    tokens = [
        token for token, (start, end) in enumerate(answer.explanation.offsets.tolist())
        if any(start < each.end and each.start < end for each in edited.struck)
    ]  # fmt: skip
    if tokens:
        asked.append(scores_without(model, text, [tokens], removal))
    if edited.replaced:
        asked.append(scores_without(model, original, [[]], removal))
    found = [scores[0] for scores in await asyncio.gather(*asked)]
    without = found.pop(0) if tokens else None
    before = found.pop() if edited.replaced else None
    return Tried(answer, edited, tokens, removal, without, before)


def before_replacing(text: str, replaced: Sequence[Replacement]) -> str:
    """The text with what stood in it before words were replaced.

    Raises:
        RequestError: a place is not in the text, or two overlap, status 422.
    """
    end = len(text)
    for each in sorted(replaced, key=lambda each: each.start, reverse=True):
        if not each.start <= each.end <= end:
            raise RequestError(
                422, "replaced", "Got places of replaced words that overlap or are not in the text."
            )
        text = text[: each.start] + each.was + text[each.end :]
        end = each.start
    return text


def unknown_words(answer: Answer) -> tuple[list[str], int]:
    """The words that hold a token the vocabulary lacks, and how many words there are.

    Punctuation that stands by itself is no word here; emoji are.
    """
    explanation = answer.explanation
    places = explanation.offsets[answer.unknown].tolist()
    unknown, count = [], 0
    for start, end in words_and_sentences(explanation)[0].spans.tolist():
        word = explanation.text[start:end]
        if word.isascii() and _MARKS_ALONE.fullmatch(word):
            continue
        count += 1
        if any(first < end and start < last for first, last in places):
            unknown.append(word)
    return unknown, count


def title_of(found: Explanation) -> str:
    """What a page of one text is called: what it explains, and how the text begins."""
    line = " ".join(found.text.split())
    start = line if len(line) <= 60 else line[:60].rpartition(" ")[0] + " …"
    against = "" if found.against_label is None else f" rather than {found.against_label}"
    return f"Why {found.target_label}{against}: {start}"


def _named(words: Sequence[str]) -> str:
    shown = ", ".join(f"“{word}”" for word in words[:_NAMED])
    more = len(words) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
