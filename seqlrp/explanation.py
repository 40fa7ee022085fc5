"""The record that flows: one text, its words, what each of them says for and against a class."""

from __future__ import annotations

import json
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from seqlrp.errors import (
    InputError,
    LabelError,
    NonFiniteError,
    OptionError,
    TargetError,
    TextError,
    near,
)

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """One explained text: raw signed relevance for every word, and where the rest of the score is.

    The record checks itself when it is made, its arrays are copies that cannot be written to, and
    its mappings are frozen. T is the number of tokens, C the number of classes.

    Attributes:
        text: the text as it was read; it holds no lone surrogates.
        tokens: the words, T of them.
        offsets: int32 [T, 2], where each token starts and ends in `text` (end exclusive).
        relevance: float32 [T], in units of the score; [C, T] where `target` is "all".
        target: the class that is explained, an index, or "all".
        predicted: the class with which the model answers.
        label: the true class, None where it is not known.
        scores: float32 [C], one a class, before any softmax.
        labels: the names of the classes.
        method: the name of the method that gave the relevance.
        parameters: the options of the method, JSON values.
        ledger: where the score went, e.g. {"tokens": 2.1, "bias": 0.4}; a tuple of C numbers each
            where `target` is "all".
        id: the caller's name for the text.

    Raises:
        TextError: tokens, offsets and text do not fit, or a string holds a lone surrogate.
        TargetError: `target` or `predicted` is no class.
        LabelError: `label` is no class.
        NonFiniteError: a relevance, a score or a ledger entry is NaN or infinite.
        InputError: an array has the wrong shape or dtype.
    """

    text: str
    tokens: tuple[str, ...]
    offsets: npt.NDArray[np.int32]
    relevance: npt.NDArray[np.float32]
    target: int | str
    predicted: int
    label: int | None = None
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    id: str | None = None

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("text", _string(self.text, "text"))
        put("tokens", _strings(self.tokens, "tokens"))
        put("labels", _strings(self.labels, "labels"))
        put("method", _string(self.method, "method"))
        put("id", None if self.id is None else _string(self.id, "id"))
        put("offsets", _offsets(self.offsets, len(self.tokens), len(self.text)))
        classes = len(self.labels)
        if not (isinstance(self.target, str) and self.target == ALL):
            put("target", _class(self.target, classes, "target", TargetError))
        put("predicted", _class(self.predicted, classes, "predicted", TargetError))
        if self.label is not None:
            put("label", _class(self.label, classes, "label", LabelError))
        words = (len(self.tokens),)
        shape = (classes, *words) if self.target == ALL else words
        put("relevance", _floats(self.relevance, shape, "relevance"))
        put("scores", _floats(self.scores, (classes,), "scores"))
        if not isinstance(self.parameters, Mapping):
            raise OptionError(f"parameters must be a mapping, got {self.parameters!r}.")
        put("parameters", _frozen(self.parameters, "parameters"))
        put("ledger", _ledger(self.ledger, classes if self.target == ALL else None))

    @property
    def target_label(self) -> str:
        """The name of the class that is explained; "all" where every class is."""
        return ALL if isinstance(self.target, str) else self.labels[self.target]

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
        """The score of the target; of the predicted class where every class is explained."""
        target = self.predicted if isinstance(self.target, str) else self.target
        return float(self.scores[target])

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
        target = _class(target, len(self.labels), "target", TargetError)
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

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 40 else self.text[:39] + "…"
        return (
            f"Explanation({text!r}, {len(self.tokens)} tokens, target={self.target_label!r}, "
            f"predicted={self.predicted_label!r}, method={self.method!r})"
        )

    def _repr_html_(self) -> str:
        from seqlrp.page import render

        return render([self], page=False)

    def __reduce__(self) -> tuple[Callable[[], Explanation], tuple[()]]:
        # A mapping proxy cannot be sent to another process, a dict can.
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["parameters"] = json.loads(json.dumps(self.parameters, default=dict))
        values["ledger"] = dict(self.ledger)
        return partial(Explanation, **values), ()


class Explanations(Sequence[Explanation]):
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

    def filter(self, predicate: Callable[[Explanation], bool]) -> Explanations:
        """Those for which `predicate` is true, e.g. `lambda e: e.predicted != e.label`."""
        return Explanations(item for item in self._items if predicate(item))

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

    def save_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write one HTML page that needs nothing else; `options` are those of `page.render`.

        Raises:
            OptionError: an option of `page.render` with a value that is not allowed.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        from seqlrp.page import render
        from seqlrp.writing import written_whole

        page = render(self._items, **options)
        with written_whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")

    def __repr__(self) -> str:
        methods = ", ".join(sorted({repr(item.method) for item in self._items}))
        return f"Explanations({len(self)} documents{', method ' + methods if methods else ''})"

    def _repr_html_(self) -> str:
        from seqlrp.page import render

        first = self._items[:10]
        return render(first, page=False, title=f"{len(first)} of {len(self)} documents")


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TextError(f"{name} must be a string, got {value!r:.80}.")
    lone = SURROGATE.search(value)
    if lone:
        raise TextError(
            f"{name} holds a lone surrogate at character {lone.start()}, which no file can keep; "
            "replace it by U+FFFD."
        )
    return str.__str__(value)  # a subclass, as NumPy's, would print itself otherwise


def _strings(values: Any, name: str) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TextError(f"{name} must be a sequence of strings, got {values!r:.80}.")
    strings = tuple(values)
    if all(type(string) is str for string in strings) and not SURROGATE.search("".join(strings)):
        return strings  # the usual case, without a step for every word
    return tuple(_string(value, f"{name}[{i}]") for i, value in enumerate(strings))


def _class(value: Any, classes: int, name: str, error: type[InputError]) -> int:
    try:
        index = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        index = -1
    if not 0 <= index < classes:
        raise error(
            f"{name} must be the index of one of the {classes} classes (0 to {classes - 1}), "
            f"got {value!r:.80}."
        )
    return index


def _array(value: Any, kinds: str, shape: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is no array of numbers: {error}.") from error
    if array.shape != shape or (array.size and array.dtype.kind not in kinds):
        wanted = "whole numbers" if kinds == "iu" else "numbers"
        raise InputError(
            f"{name} must be {wanted} of shape {list(shape)}, got {array.dtype} of shape "
            f"{list(array.shape)}."
        )
    return array


def _floats(value: Any, shape: tuple[int, ...], name: str) -> npt.NDArray[np.float32]:
    array = _array(value, "fiu", shape, name)
    with np.errstate(over="ignore", invalid="ignore"):
        copy = array.astype(np.float32)
    if not np.isfinite(copy).all():
        where = np.argwhere(~np.isfinite(copy))[0].tolist()
        raise NonFiniteError(
            f"{name}{where or ''} is {float(array[tuple(where)])}, which is not finite in float32; "
            "look for NaN or very large weights in the model."
        )
    copy.setflags(write=False)
    return copy


def _offsets(value: Any, tokens: int, characters: int) -> npt.NDArray[np.int32]:
    array = _array(value, "iu", (tokens, 2), "offsets")
    ordered = np.concatenate(([0], array.ravel(), [characters]))
    starts, ends = array[:, 0], array[:, 1]
    if (ordered[1:] < ordered[:-1]).any() or (starts >= ends).any():
        raise TextError(
            f"offsets must run forward inside the text of {characters} characters, each token "
            "at least one character long and none overlapping the one before; "
            "they were made for another text, or by a tokenizer that rewrites it."
        )
    copy = array.astype(np.int32)
    copy.setflags(write=False)
    return copy


def _frozen(value: Any, name: str) -> Any:
    """A JSON value that cannot be changed: mappings become proxies, lists become tuples."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _string(value, name)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return MappingProxyType(
            {
                _string(key, f"a name in {name}"): _frozen(item, f"{name}[{key!r}]")
                for key, item in value.items()
            }
        )
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, f"{name}[{i}]") for i, item in enumerate(value))
    raise OptionError(
        f"{name} is {value!r:.80}, which JSON cannot keep; give strings, finite numbers, true, "
        "false, null, and lists and mappings of them."
    )


def _ledger(value: Any, classes: int | None) -> Mapping[str, float | tuple[float, ...]]:
    if not isinstance(value, Mapping):
        raise InputError(f"ledger must be a mapping of names to numbers, got {value!r:.80}.")
    entries: dict[str, float | tuple[float, ...]] = {}
    for key, item in value.items():
        name = f"ledger[{key!r}]"
        shape = () if classes is None or isinstance(item, int | float | np.generic) else (classes,)
        _floats(item, shape, name)  # as finite as the scores, but kept in full
        array = np.asarray(item, dtype=np.float64)
        entries[_string(key, "a name in the ledger")] = (
            tuple(array.tolist()) if shape else float(array)
        )
    return MappingProxyType(entries)
