"""An explanation as it is read: its words and its sentences, and the scale of their colours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.explanations.record import ALL, Explanation
from seqlrp.show.edits import NO_EDITS, Edits
from seqlrp.show.numbers import decimals_for, percent
from seqlrp.show.page.units import Units, tokens_and_sentences, words_and_sentences

Scale = tuple[float, float]  # the largest absolute relevance of a word, and of a sentence


@dataclass(frozen=True)
class TextView:
    """One explanation for one class, cut into what is coloured.

    Attributes:
        shown: the explanation for the class that is shown.
        every: the explanation for every class, where there is one.
        words: the words, or the tokens; [C, U] where `every` is given.
        sentences: the sentences, as numbers of words.
        edits: what was done to the text.
    """

    shown: Explanation
    every: Explanation | None
    words: Units
    sentences: Units
    edits: Edits = NO_EDITS

    @classmethod
    def of(cls, explanation: Explanation, by: str, edits: Edits = NO_EDITS) -> TextView:
        """Where every class is explained, the predicted one is shown."""
        cut = tokens_and_sentences if by == "token" else words_and_sentences
        parts, whole = cut(explanation)
        if explanation.target == ALL:
            single = explanation.for_target(explanation.predicted)
            return cls(single, explanation, parts, whole, edits)
        return cls(explanation, None, parts, whole, edits)

    @property
    def word_values(self) -> npt.NDArray[np.float64]:
        """The relevance of each word for the class that is shown, [U]."""
        return self._of_shown(self.words)

    @property
    def sentence_values(self) -> npt.NDArray[np.float64]:
        """The relevance of each sentence for the class that is shown, [S]."""
        return self._of_shown(self.sentences)

    @property
    def scale(self) -> Scale:
        """The largest values for the class that is shown."""
        return _largest(self.word_values), _largest(self.sentence_values)

    @property
    def largest(self) -> Scale:
        """The largest values for any class that is explained."""
        return _largest(self.words.values), _largest(self.sentences.values)

    def _of_shown(self, units: Units) -> npt.NDArray[np.float64]:
        if self.every is None:
            return units.values
        chosen: npt.NDArray[np.float64] = units.values[self.every.predicted]
        return chosen

    def word(self, number: int) -> str:
        """What is written there; the name of a token that stands nowhere, such as `[CLS]`."""
        start, end = self.words.spans[number].tolist()
        return self.shown.text[start:end] or self.shown.tokens[int(self.words.first[number])]

    def top(self, n: int, sign: int) -> list[tuple[str, float]]:
        """The n words that speak most for the class (+1) or against it (-1), strongest first.

        Blanks that are words of their own, such as a line feed, are left out.
        """
        values = self.word_values
        order = np.argsort(-sign * values, kind="stable").tolist()
        words = ((self.word(i), float(values[i])) for i in order if sign * values[i] > 0)
        return list(islice((word for word in words if word[0].strip()), n))


def corpus_scale(views: Iterable[TextView]) -> Scale:
    """The largest values of all texts, for every class that is explained."""
    word = sentence = 0.0
    for view in views:
        largest = view.largest
        word, sentence = max(word, largest[0]), max(sentence, largest[1])
    return word, sentence


def format_probabilities(explanation: Explanation) -> list[str] | None:
    """What the model believes of each class, [C], as it is printed; None where it is not known."""
    found = explanation.probabilities
    return None if found is None else [percent(float(share)) for share in found]


def pack_values(units: Units) -> dict[str, Any]:
    """The values of all classes [C, U] as text for the script: four digits of the largest.

    16-bit integers, little end first, in base64; a value is its integer times 10 ** -k.
    """
    decimals = [decimals_for(_largest(row)) for row in units.values]
    integers = [
        np.rint(row * 10.0**k).astype("<i2") for row, k in zip(units.values, decimals, strict=True)
    ]
    raw = b"".join(row.tobytes() for row in integers)
    return {"k": decimals, "q": base64.b64encode(raw).decode("ascii")}


def format_parameters(explanation: Explanation) -> str:
    """The method's options in one line."""
    return ", ".join(
        f"{key} = {json.dumps(value, ensure_ascii=False, default=dict)}"
        for key, value in explanation.parameters.items()
    )


def _largest(values: npt.NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0.0))
