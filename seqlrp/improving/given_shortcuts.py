"""What users name as shortcuts: words, positions, spans, rows of an analysis, units of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.candidates import POSITIONS
from seqlrp.errors import OptionError
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.shortcut import Located, Shortcut, Span

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

Units = dict[str, list[int]]
_EXPECTED = (
    "words and phrases as strings, positions 0 and -1, spans (text, start, end), rows of "
    "analysis.shortcuts, or units of a layer as {'encoder.recurrence': [3, 17]}"
)


def read_shortcuts(given: Any, classifier: TextClassifier) -> tuple[list[Shortcut], Units]:
    """Separate what the user names into shortcuts in texts and units by the name of their layer.

    Raises:
        OptionError: nothing is named, or something that is no shortcut.
    """
    shortcuts: list[Shortcut] = []
    spans: list[Span] = []
    units: Units = {}
    for one in _each(given):
        if isinstance(one, Mapping) and "candidate" not in one:
            units |= {str(layer): [int(u) for u in own] for layer, own in one.items()}
        elif isinstance(one, tuple):
            spans.append(_span(one))
        else:
            shortcuts.append(_shortcut(one, classifier))
    if spans:
        name = f"{len(spans)} spans" if len(spans) > 1 else "a span"
        shortcuts.append(Shortcut(name, spans=tuple(spans)))
    if not shortcuts and not units:
        raise _wrong(given)
    return shortcuts, units


def known_class(shortcut: Shortcut, texts: LabelledTexts) -> Shortcut:
    """A shortcut with the class that it speaks for.

    Raises:
        OptionError: no text holds it.
    """
    located = Located(shortcut, texts)
    if not located.held.any():
        raise OptionError(
            f"The shortcut {shortcut.name!r} stands in none of the {len(texts):,} texts that the "
            "repair learns from.",
            "Spell it as the tokenizer splits it, or give a corpus that holds it.",
            option="shortcuts",
            got=shortcut.name,
            code="shortcut_not_found",
        )
    if shortcut.class_ is not None:
        return shortcut
    return replace(shortcut, class_=located.likeliest_class())


def _each(given: Any) -> Iterable[Any]:
    """Iterate over the single shortcuts in what the user passed."""
    if hasattr(given, "iterrows"):  # a pandas data frame
        return [row.to_dict() for _, row in given.iterrows()]
    if hasattr(given, "to_dict"):  # a row of one
        return [given.to_dict()]
    single = isinstance(given, str | Mapping | Shortcut | int | np.integer)
    if single or (isinstance(given, tuple) and len(given) == 3 and _whole(given)):
        return [given]
    if not isinstance(given, Iterable):
        raise _wrong(given)
    parts = [_each(one) if hasattr(one, "to_dict") else [one] for one in given]
    return [one for part in parts for one in part]


def _shortcut(one: Any, classifier: TextClassifier) -> Shortcut:
    if isinstance(one, Shortcut):
        return one
    if isinstance(one, Mapping):
        return _of_row(one, classifier)
    if isinstance(one, int | np.integer) and not isinstance(one, bool) and int(one) in POSITIONS:
        return Shortcut.at(int(one))
    if isinstance(one, str):
        for place, name in POSITIONS.items():
            if one == name:
                return Shortcut.at(place)
        return _words(one, classifier)
    raise _wrong(one)


def _of_row(row: Mapping[Any, Any], classifier: TextClassifier) -> Shortcut:
    """A row of the table of `seqlrp.analysis.shortcuts.find_shortcuts`."""
    name, kind = str(row["candidate"]), row.get("kind", "words")
    class_ = classifier.label_index(str(row["class"])) if "class" in row else None
    if kind == "words":
        return replace(_words(name, classifier), class_=class_)
    if kind == "position":
        return Shortcut.at(next(p for p, known in POSITIONS.items() if known == name), class_)
    raise OptionError(
        f"The shortcut {name!r} is of the kind {kind!r}, which is no part of a text that could be "
        "taken out; expected words or a position.",
        option="shortcuts",
        got=name,
    )


def _words(written: str, classifier: TextClassifier) -> Shortcut:
    """Words or a phrase; `a + b` stands for two that stand in a text together."""
    parts = [part.strip() for part in written.split(" + ") if part.strip()]
    phrases = []
    for document in classifier.encode(parts):
        spans = zip(document.source.tokens, document.source.offsets.tolist(), strict=True)
        phrases.append(tuple(token.lower() for token, (start, end) in spans if end > start))
    if not phrases or not all(phrases):
        raise _wrong(written)
    return Shortcut(written.strip(), tuple(phrases))


def _span(given: Sequence[Any]) -> Span:
    if len(given) != 3 or not _whole(given) or not 0 <= given[1] < given[2] or given[0] < 0:
        raise OptionError(
            option="shortcuts",
            got=given,
            expected="a span as (number of the text, first character, character after the last)",
        )
    text, start, end = (int(part) for part in given)
    return text, start, end


def _whole(given: Sequence[Any]) -> bool:
    return all(isinstance(p, int | np.integer) and not isinstance(p, bool) for p in given)


def _wrong(got: Any) -> OptionError:
    return OptionError(option="shortcuts", got=got, expected=_EXPECTED)
