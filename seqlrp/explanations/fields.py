"""What the fields of an explanation may hold, checked once, copied and frozen."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import InputError, NonFiniteError, OptionError, TextError

_MOST = float(np.finfo(np.float32).max)
SURROGATE = re.compile("[\ud800-\udfff]")


def string(value: Any, name: str) -> str:
    """A string that every file can keep: no lone surrogates."""
    if not isinstance(value, str):
        raise TextError(f"{name} must be a string, got {value!r:.80}.")
    lone = None if value.isascii() else SURROGATE.search(value)
    if lone:
        raise TextError(
            f"{name} holds a lone surrogate at character {lone.start()}, which no file can keep; "
            "replace it by U+FFFD."
        )
    return str.__str__(value)  # a subclass, as NumPy's, would print itself otherwise


def strings(values: Any, name: str) -> tuple[str, ...]:
    """A tuple of such strings."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TextError(f"{name} must be a sequence of strings, got {values!r:.80}.")
    given = tuple(values)
    if {str}.issuperset(map(type, given)) and not SURROGATE.search("".join(given)):
        return given  # the usual case, without a step for every word
    return tuple(string(value, f"{name}[{i}]") for i, value in enumerate(given))


def class_index(value: Any, classes: int, name: str, error: type[InputError]) -> int:
    """The index of a class as an int; a bool is none."""
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


def floats(value: Any, shape: tuple[int, ...], name: str) -> npt.NDArray[np.float32]:
    """Finite numbers as a read-only float32 copy of this shape."""
    array = _array(value, "fiu", shape, name)
    if array.dtype == np.float32:
        copy = array.copy()
    else:
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


def probabilities(value: Any, classes: int) -> npt.NDArray[np.float32]:
    """Numbers from 0 to 1, one a class, as a read-only float32 copy."""
    copy = floats(value, (classes,), "probabilities")
    if ((copy < 0) | (copy > 1)).any():
        raise InputError(f"probabilities must be from 0 to 1, got {copy.tolist()}.")
    return copy


def offsets(value: Any, tokens: int, characters: int) -> npt.NDArray[np.int32]:
    """Where tokens start and end, int32 `[T, 2]`, in order and inside the text.

    A token that does not stand in the text, such as `[CLS]`, ends where it starts; not every token
    may.
    """
    array = _array(value, "iu", (tokens, 2), "offsets")
    ordered = np.concatenate(([0], array.ravel(), [characters]))
    nowhere = tokens > 0 and (array[:, 0] >= array[:, 1]).all()
    if (ordered[1:] < ordered[:-1]).any() or nowhere:
        raise TextError(
            f"offsets must run forward inside the text of {characters} characters, none "
            "overlapping the one before, and some at least one character long; "
            "they were made for another text, or by a tokenizer that rewrites it."
        )
    copy = array.astype(np.int32)
    copy.setflags(write=False)
    return copy


def sentences(value: Any, tokens: int) -> npt.NDArray[np.int32]:
    """The number of each token's sentence, int32 `[T]`: it never falls."""
    array = _array(value, "iu", (tokens,), "sentences")
    if (array[1:] < array[:-1]).any():
        raise TextError(
            "sentences must number the sentences of the text in their order, so that no token's "
            "number is lower than that of the token before it."
        )
    copy = array.astype(np.int32)
    copy.setflags(write=False)
    return copy


def frozen(value: Any, name: str) -> Any:
    """A JSON value that cannot be changed: mappings become proxies, lists become tuples."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return string(value, name)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return MappingProxyType(
            {
                string(key, f"a name in {name}"): frozen(item, f"{name}[{key!r}]")
                for key, item in value.items()
            }
        )
    if isinstance(value, list | tuple):
        return tuple(frozen(item, f"{name}[{i}]") for i, item in enumerate(value))
    raise OptionError(
        f"{name} is {value!r:.80}, which JSON cannot keep; give strings, finite numbers, true, "
        "false, null, and lists and mappings of them."
    )


def ledger(value: Any, classes: int | None) -> Mapping[str, float | tuple[float, ...]]:
    """Finite numbers by name, or tuples of one for each class."""
    if not isinstance(value, Mapping):
        raise InputError(f"ledger must be a mapping of names to numbers, got {value!r:.80}.")
    entries: dict[str, float | tuple[float, ...]] = {}
    for key, item in value.items():
        if type(item) is float and abs(item) < _MOST:  # the usual case; never true of NaN
            entries[string(key, "a name in the ledger")] = item
            continue
        name = f"ledger[{key!r}]"
        shape = () if classes is None or isinstance(item, int | float | np.generic) else (classes,)
        floats(item, shape, name)  # as finite as the scores, but kept in full
        array = np.asarray(item, dtype=np.float64)
        entries[string(key, "a name in the ledger")] = (
            tuple(array.tolist()) if shape else float(array)
        )
    return MappingProxyType(entries)
