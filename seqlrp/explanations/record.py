"""The record of an explained text: its words, and the relevance of each for a class."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import (
    LabelError,
    OptionError,
    TargetError,
    check_number,
    near,
)
from seqlrp.explanations import fields as checked
from seqlrp.explanations.exports import Exported
from seqlrp.explanations.merging import By, Tokens, merge

ALL = "all"


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(Exported):
    """One explained text: the signed relevance of every word, and where the rest of the score is.

    The record checks itself when it is made, its arrays are copies that cannot be written to, and
    its mappings are frozen. T is the number of tokens, C the number of classes.

    Attributes:
        text: the text as it was read; it holds no lone surrogates.
        tokens: the words, T of them.
        offsets: int32 [T, 2], where each token starts and ends in `text` (end exclusive).
        sentences: int32 [T], the number of the sentence that each token is in, as the model or its
            tokenizer split the text; None where neither did, and sentences are found by
            punctuation.
        relevance: float32 [T], in units of the score; [C, T] where `target` is "all".
        target: the class that is explained, an index, or "all".
        against: for a contrast, the class that `target` is compared with: the question is why
            this one rather than that. None where a class is explained by itself.
        predicted: the class with which the model answers.
        label: the true class, None where it is not known.
        scores: float32 [C], one a class, before any softmax.
        probabilities: float32 [C], what the classifier makes of the scores: their softmax or, where
            a text may have several labels, the sigmoid of each. None where that is not known.
        labels: the names of the classes.
        method: the name of the method that gave the relevance.
        parameters: the options of the method, JSON values.
        ledger: where the score went, e.g. {"tokens": 2.1, "bias": 0.4}; a tuple of C numbers each
            where `target` is "all".
        id: the caller's name for the text.
        unread: how many tokens of the text the model did not read, as it was cut to a fixed length
            at its beginning or end. They are not among `tokens`, and have no relevance.

    Raises:
        TextError: tokens, offsets and text do not fit, or a string holds a lone surrogate.
        TargetError: `target`, `against` or `predicted` is no class, or a class is compared with
            itself.
        LabelError: `label` is no class.
        NonFiniteError: a relevance, a score or a ledger entry is NaN or infinite.
        InputError: an array has the wrong shape or dtype, or a probability is not in 0 to 1.
    """

    text: str
    tokens: tuple[str, ...]
    offsets: npt.NDArray[np.int32]
    sentences: npt.NDArray[np.int32] | None = None
    relevance: npt.NDArray[np.float32]
    target: int | str
    against: int | None = None
    predicted: int
    label: int | None = None
    scores: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32] | None = None
    labels: tuple[str, ...]
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    id: str | None = None
    unread: int = 0

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("text", checked.string(self.text, "text"))
        put("tokens", checked.strings(self.tokens, "tokens"))
        put("labels", checked.strings(self.labels, "labels"))
        put("method", checked.string(self.method, "method"))
        put("id", None if self.id is None else checked.string(self.id, "id"))
        check_number("unread", self.unread, least=0, whole=True)
        put("unread", int(self.unread))
        put("offsets", checked.offsets(self.offsets, len(self.tokens), len(self.text)))
        if self.sentences is not None:
            put("sentences", checked.sentences(self.sentences, len(self.tokens)))
        classes = len(self.labels)
        if not (isinstance(self.target, str) and self.target == ALL):
            put("target", checked.class_index(self.target, classes, "target", TargetError))
        if self.against is not None:
            put("against", checked.class_index(self.against, classes, "against", TargetError))
            if self.target in (ALL, self.against):
                raise TargetError(
                    f"against must be another class than target, got {self.against} for both."
                    if self.target == self.against
                    else "against goes with a single class as target, got target='all'."
                )
        put("predicted", checked.class_index(self.predicted, classes, "predicted", TargetError))
        if self.label is not None:
            put("label", checked.class_index(self.label, classes, "label", LabelError))
        words = (len(self.tokens),)
        shape = (classes, *words) if self.target == ALL else words
        put("relevance", checked.floats(self.relevance, shape, "relevance"))
        put("scores", checked.floats(self.scores, (classes,), "scores"))
        if self.probabilities is not None:
            put("probabilities", checked.probabilities(self.probabilities, classes))
        if not isinstance(self.parameters, Mapping):
            raise OptionError(f"parameters must be a mapping, got {self.parameters!r}.")
        put("parameters", checked.frozen(self.parameters, "parameters"))
        put("ledger", checked.ledger(self.ledger, classes if self.target == ALL else None))

    @property
    def target_label(self) -> str:
        """The name of the class that is explained; "all" where every class is."""
        return ALL if isinstance(self.target, str) else self.labels[self.target]

    @property
    def against_label(self) -> str | None:
        """The name of the class that the target is compared with; None where there is none."""
        return None if self.against is None else self.labels[self.against]

    @property
    def predicted_label(self) -> str:
        """The name of the class with which the model answers."""
        return self.labels[self.predicted]

    @property
    def label_name(self) -> str | None:
        """The name of the true class, None where it is not known."""
        return None if self.label is None else self.labels[self.label]

    @property
    def score(self) -> float:
        """The score of the target; of the predicted class where every class is explained.

        For a contrast, how much higher the target's score is than that of the other class.
        """
        target = self.predicted if isinstance(self.target, str) else self.target
        score = float(self.scores[target])
        return score if self.against is None else score - float(self.scores[self.against])

    @property
    def probability(self) -> float | None:
        """The probability of the target; of the predicted class where every class is explained.

        None where it is not known.
        """
        if self.probabilities is None:
            return None
        return float(
            self.probabilities[self.predicted if isinstance(self.target, str) else self.target]
        )

    @property
    def start(self) -> float:
        """What relevance starts from and adds up to, with the ledger: the score.

        With the option `start="one"` of LRP, 1 for any score.
        """
        return 1.0 if self.parameters.get("start") == "one" else self.score

    def for_target(self, target: int | str) -> Explanation:
        """This explanation for one class alone: relevance [T], the ledger's entries single numbers.

        Args:
            target: the index or the name of a class.

        Raises:
            TargetError: no such class, or one that was not explained.
        """
        if isinstance(target, str):
            if self.labels.count(target) != 1:
                raise TargetError(
                    f"No single class is called {target!r}. {near(target, self.labels)}"
                )
            target = self.labels.index(target)
        target = checked.class_index(target, len(self.labels), "target", TargetError)
        if self.against is not None:
            raise TargetError(
                f"This explanation is for {self.target_label!r} rather than "
                f"{self.against_label!r}, not for one class alone; explain with target='all'."
            )
        if self.target == target:
            return self
        if self.target != ALL:
            raise TargetError(
                f"This explanation is for class {self.target} ({self.target_label!r}), not for "
                f"{target} ({self.labels[target]!r}); explain with target='all' to have every one."
            )
        ledger = {
            name: value[target] if isinstance(value, tuple) else value
            for name, value in self.ledger.items()
        }
        relevance = self.relevance[target].copy()
        relevance.setflags(write=False)
        # All parts are checked already, and labels would be once more for every class.
        single = object.__new__(type(self))
        parts = {"target": target, "relevance": relevance, "ledger": MappingProxyType(ledger)}
        single.__dict__.update(self.__dict__ | parts)
        return single

    def top(self, n: int, sign: int = +1) -> list[tuple[int, str, float]]:
        """The n words that speak most for the target (`sign=+1`) or against it (`sign=-1`).

        In a contrast, against it means for the class that it is compared with.
        Words come by position, as (position, token, relevance), strongest first, so that a word
        said twice is there twice. Words whose relevance has the other sign, or is 0, are left out.
        Where every class is explained, these are the words for the predicted one.
        """
        if sign not in (+1, -1):
            raise OptionError(f"sign must be +1 (for) or -1 (against), got {sign!r}.")
        relevance = self.relevance[self.predicted] if self.target == ALL else self.relevance
        order = np.argsort(-sign * relevance, kind="stable")[: max(n, 0)]
        return [
            (int(i), self.tokens[i], float(relevance[i])) for i in order if sign * relevance[i] > 0
        ]

    def merged(self, by: By = "word") -> Explanation:
        """This explanation with tokens put together, and their relevance added up.

        Sums are taken in float64 and stored in float32; the ledger and the scores stay as they are.
        A new token is the text from its first piece to the end of its last; a token that is joined
        with no other is kept as it is.

        Tokens that stand nowhere in the text, such as `[CLS]`, stay by themselves in words and
        sentences, but for those inside one, and those that stand before its first character after a
        gap, as tokenizers place the bytes of a character.

        Args:
            by: which tokens belong together:

                - "word": neighbours with nothing between them, where the characters that meet are
                  letters, digits or marks. Apostrophes and hyphens between letters or digits belong
                  to the word (don't, well-made), points and commas between digits to the number
                  (3.5); all other punctuation stays apart. Scripts without spaces between words
                  (Chinese, Japanese, Thai, Lao, Tibetan, Burmese, Khmer) keep the tokenizer's
                  tokens.
                - "sentence": tokens of one sentence, as `Explanation.sentences` numbers them. Where
                  that is None, a sentence ends with . ! ? and their like, and the quotes that close
                  it, before white space, with 。！？ anywhere, and with an empty line. A full stop
                  after an initial or one of the commonest abbreviations ends none, and no mark does
                  before a small letter, unless it stands by itself, as in texts that have been cut
                  into words.
                - pairs (first, end) of token positions, end exclusive, in order and not
                  overlapping; tokens in none of them stay by themselves.
                - T word numbers, one for each token, as tokenizers count words: neighbours with one
                  number belong together, None stands alone.

        Raises:
            OptionError: another name, or spans or numbers that do not fit the tokens.
        """
        merged = merge(
            Tokens(self.text, self.tokens, self.offsets, self.relevance, self.sentences), by
        )
        if not self.tokens:
            return self
        unit = by if isinstance(by, str) else "spans"
        return replace(
            self,
            tokens=tuple(merged.tokens),
            offsets=merged.offsets.astype(np.int32),
            relevance=merged.relevance,
            sentences=None if merged.sentences is None else merged.sentences.astype(np.int32),
            parameters={**self.parameters, "merged": unit},
        )

    def _documents(self) -> Sequence[Explanation]:
        return (self,)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 40 else self.text[:39] + "…"
        against = "" if self.against is None else f"against={self.against_label!r}, "
        return (
            f"Explanation({text!r}, {len(self.tokens)} tokens, target={self.target_label!r}, "
            f"{against}predicted={self.predicted_label!r}, method={self.method!r})"
        )

    def __reduce__(self) -> tuple[Callable[[], Explanation], tuple[()]]:
        # A mapping proxy cannot be sent to another process, a dict can.
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["parameters"] = json.loads(json.dumps(self.parameters, default=dict))
        values["ledger"] = dict(self.ledger)
        return partial(Explanation, **values), ()
