"""The record that flows: one text, its words, what each of them says for and against a class."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from seqlrp import explanation_fields as checked
from seqlrp.errors import InputError, LabelError, OptionError, TargetError, near
from seqlrp.explanation_exports import Exported

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.merging import By

ALL = "all"


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation(Exported):
    """One explained text: raw signed relevance for every word, and where the rest of the score is.

    The record checks itself when it is made, its arrays are copies that cannot be written to, and
    its mappings are frozen. T is the number of tokens, C the number of classes.

    Attributes:
        text: the text as it was read; it holds no lone surrogates.
        tokens: the words, T of them.
        offsets: int32 [T, 2], where each token starts and ends in `text` (end exclusive).
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

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("text", checked.string(self.text, "text"))
        put("tokens", checked.strings(self.tokens, "tokens"))
        put("labels", checked.strings(self.labels, "labels"))
        put("method", checked.string(self.method, "method"))
        put("id", None if self.id is None else checked.string(self.id, "id"))
        put("offsets", checked.offsets(self.offsets, len(self.tokens), len(self.text)))
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
        return replace(self, target=target, relevance=self.relevance[target], ledger=ledger)

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
        """This explanation by "word", by "sentence" or by given spans: relevance is added up.

        See `seqlrp.merging.merged`.
        """
        from seqlrp.merging import merged

        return merged(self, by)

    def _documents(self) -> Sequence[Explanation]:
        return (self,)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 40 else self.text[:39] + "…"
        against = "" if self.against is None else f"against={self.against_label!r}, "
        return (
            f"Explanation({text!r}, {len(self.tokens)} tokens, target={self.target_label!r}, "
            f"{against}predicted={self.predicted_label!r}, method={self.method!r})"
        )

    def _repr_html_(self) -> str:
        from seqlrp.page import notebook

        return notebook([self], 1)

    def __reduce__(self) -> tuple[Callable[[], Explanation], tuple[()]]:
        # A mapping proxy cannot be sent to another process, a dict can.
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["parameters"] = json.loads(json.dumps(self.parameters, default=dict))
        values["ledger"] = dict(self.ledger)
        return partial(Explanation, **values), ()


class Explanations(Sequence[Explanation], Exported):
    """Explained texts in order; a slice, a filter and a sum are `Explanations` again."""

    def __init__(self, explanations: Iterable[Explanation] = ()) -> None:
        self._items = tuple(explanations)
        for item in self._items:
            if not isinstance(item, Explanation):
                raise InputError(f"Explanations holds Explanation records, got {item!r:.80}.")

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        if isinstance(index, slice):
            return Explanations(self._items[index])
        return self._items[index]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self._items)

    def __add__(self, other: Explanations) -> Explanations:
        if not isinstance(other, Explanations):
            return NotImplemented
        return Explanations(self._items + other._items)

    def _documents(self) -> Sequence[Explanation]:
        return self._items

    def filter(self, predicate: Callable[[Explanation], bool]) -> Explanations:
        """Those for which `predicate` is true, e.g. `lambda e: e.predicted != e.label`."""
        return Explanations(item for item in self._items if predicate(item))

    def merged(self, by: str = "word") -> Explanations:
        """Each of them by "word" or by "sentence"; see `seqlrp.merging.merged`."""
        return Explanations(item.merged(by) for item in self._items)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a `.parquet` or a `.jsonl` file, from which `load` gives the same again.

        Raises:
            OptionError: another suffix.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.explanation_files import explanation_writer

        with explanation_writer(path) as writer:
            writer.extend(self._items)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanations:
        """Read a file that `save` wrote.

        Raises:
            OptionError: a suffix that is neither `.parquet` nor `.jsonl`.
            SavedFileError: the file is not there, is foreign, or is truncated.
        """
        from seqlrp.explanation_files import read_explanations

        return cls(read_explanations(path))

    def to_pandas(self, by: str = "word") -> pd.DataFrame:
        """A table with one row a word, or one row a document (`by="document"`).

        Where every class is explained there is a row for each class. Relevance is raw: float32 a
        word, summed in float64 a document.
        """
        from seqlrp.explanation_frames import by_document, by_word

        frames = {"word": by_word, "document": by_document}
        if by not in frames:
            raise OptionError(f"by={by!r} is not one of those allowed. {near(by, frames)}")
        return frames[by](self._items)

    def summary(self, by: str = "word", **options: Any) -> pd.DataFrame:
        """What each "word", "lemma" or "class" says over all documents: mean, median, quartiles.

        See `seqlrp.summarising.summarise`, which also takes a stream.
        """
        from seqlrp.summarising import summarise

        return summarise(self._items, by, **options)

    def save_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write one HTML page that needs nothing else; `options` are those of `page.render`.

        Raises:
            OptionError: an option of `page.render` with a value that is not allowed, or a name
                that does not end in .html.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.page import render
        from seqlrp.writing import check_suffix, written_whole

        check_suffix(path, ".html", ".htm")
        page = render(self._items, **{"page": True} | options)
        with written_whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")

    def save_pages(self, folder: str | os.PathLike[str], **options: Any) -> Path:
        """Write a folder of pages with an index, for many texts; options as `page.save_pages`.

        Returns:
            The path of its `index.html`.

        Raises:
            OptionError: an option that is not allowed, or a folder that holds other files.
            WriteError: the file system refused; what was there before is unchanged.
        """
        from seqlrp.page import save_pages

        return save_pages(self._items, folder, **options)

    def __repr__(self) -> str:
        methods = ", ".join(sorted({repr(item.method) for item in self._items}))
        return f"Explanations({len(self)} documents{', method ' + methods if methods else ''})"

    def _repr_html_(self) -> str:
        from seqlrp.page import notebook

        return notebook(self._items, len(self))
