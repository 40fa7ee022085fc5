"""What is compared: methods by name or object, or attributions that come from outside."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import InputError, OptionError, SeqlrpError, near
from seqlrp.evaluation.metric import Metric
from seqlrp.explain import chosen_method
from seqlrp.explanation import ALL, Explanation
from seqlrp.methods import METHODS, Method

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

Given = Sequence[Any]  # an array [T] or [C, T], or an Explanation, for each text
Methods = Sequence[str | Method] | Mapping[str, str | Method | Mapping[str, Any] | Given]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One thing to be compared with others, in one of its orders.

    Attributes:
        name: in the table.
        order: which of several random orders; 0 otherwise.
        method: what explains; None where attributions are given.
        given: the attributions from outside, one a text.
    """

    name: str
    order: int = 0
    method: Method | None = None
    given: Given | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the attributions depend on, JSON values."""
        if self.method is None:
            return {"method": "given"}
        return {"method": self.method.name, "parameters": dict(self.method.parameters)}


def candidates(
    classifier: TextClassifier, methods: Methods, *, texts: int, orders: int, seed: int
) -> list[Candidate]:
    """What `seqlrp.evaluate` compares, the orders of a random method one after the other.

    Args:
        classifier: whose model the named methods explain.
        methods: as for `seqlrp.evaluate`.
        texts: how many there are, for attributions from outside.
        orders: how many seeds the method `"random"` is run with.
        seed: the first of them.

    Raises:
        OptionError: an unknown name or option, two methods of one name, no method at all.
        InputError: there are not as many attributions as texts.
    """
    if isinstance(methods, str):
        methods = [methods]
    if not methods:
        raise OptionError("Got no method to evaluate; name one or more, e.g. methods=['lrp'].")
    if orders < 1:
        raise OptionError(f"Got random_orders={orders}; expected 1 or more.")
    if isinstance(methods, Mapping):
        named = list(methods.items())
    else:
        named = [(m if isinstance(m, str) else m.name, m) for m in methods]
    names = [name for name, _ in named]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(
            f"Two methods are called {doubled[0]!r}; pass a mapping that gives each a name of its "
            f"own."
        )
    return [c for name, m in named for c in _of(classifier, name, m, texts, orders, seed)]


def _of(
    classifier: TextClassifier, name: str, method: Any, texts: int, orders: int, seed: int
) -> Iterator[Candidate]:
    options: dict[str, Any] = {}
    if isinstance(method, Mapping):
        options = dict(method)
        method = options.pop("method", name)
    if isinstance(method, str):
        if method == "random":
            first = options.pop("seed", seed)
            for order in range(orders):
                made = chosen_method(classifier, method, {**options, "seed": first + order})
                yield Candidate(name, order, made)
        else:
            yield Candidate(name, 0, chosen_method(classifier, method, options))
    elif hasattr(method, "attribution"):
        yield Candidate(name, 0, chosen_method(classifier, method, options))
    elif isinstance(method, Iterable):
        given = list(method)
        if len(given) != texts:
            raise InputError(
                f"Got {len(given)} attributions called {name!r} for {texts} texts; expected one "
                f"array a text, short texts included."
            )
        yield Candidate(name, 0, None, given)
    else:
        raise OptionError(
            f"Got a {type(method).__name__} for the method {name!r}; expected a name "
            f"({', '.join(METHODS)}), a method, a mapping of options, or an array for each text."
        )


def outside(
    name: str,
    item: Any,
    document: EncodedText,
    number: int,
    wanted: int,
    label: int | None,
    scores: npt.NDArray[np.float32],
    labels: tuple[str, ...],
) -> Explanation | None:
    """Attributions from outside as an explanation of the class `wanted`, None if it has none.

    An array `[C, T]` has every class; `[T]` is about the class that is predicted. Of an
    `Explanation` the class is known.

    Raises:
        InputError: it does not fit the text, or is not finite.
    """
    predicted = int(scores.argmax())
    about = predicted
    if isinstance(item, Explanation):
        if item.tokens != document.source.tokens:
            raise InputError(
                f"The explanation for text {number} in {name!r} is of other words than the text; "
                f"its tokenizer is another one."
            )
        if item.against is not None:
            raise InputError(
                f"The explanation for text {number} in {name!r} is of a contrast of two classes; "
                f"expected one of a single class, or of all."
            )
        about = predicted if item.target == ALL else int(item.target)
        item = item.relevance
    relevance = np.asarray(item)
    words, classes = len(document), len(labels)
    if relevance.shape not in ((words,), (classes, words)):
        raise InputError(
            f"The attributions for text {number} in {name!r} have the shape "
            f"{list(relevance.shape)}; expected [{words}], a number a word of "
            f"{document.source.text[:40]!a}, or [{classes}, {words}] for all classes."
        )
    if relevance.ndim == 2:
        relevance = relevance[wanted]
    elif about != wanted:
        return None
    try:
        return Explanation(
            text=document.source.text,
            tokens=document.source.tokens,
            offsets=document.source.offsets,
            relevance=relevance.astype(np.float32),
            target=wanted,
            predicted=predicted,
            label=label,
            scores=scores,
            labels=labels,
            method=name,
        )
    except SeqlrpError as error:
        raise type(error)(f"The attributions for text {number} in {name!r}: {error}") from error


def chosen_metrics(
    metrics: Sequence[str | Metric], known: Mapping[str, type[Metric]], options: Mapping[str, Any]
) -> list[Metric]:
    """Metrics by name, made with those of the options that they take, or objects as they are.

    Raises:
        OptionError: an unknown name, no metric, or two that give the same figures.
    """
    if isinstance(metrics, str | Metric):
        metrics = [metrics]
    chosen: list[Metric] = []
    asked: set[str] = set()
    for metric in metrics:
        if isinstance(metric, Metric):
            chosen.append(metric.fresh())
            continue
        name = metric if metric in known else _metric_of(metric, known, options)
        if name not in asked:
            chosen.append(_made(known[name], options))
        asked.add(name)
    if not chosen:
        raise OptionError("Got no metric; name one or more, e.g. metrics=['word_deletion'].")
    figures = [name for metric in chosen for name in metric.quantities]
    if doubled := sorted({name for name in figures if figures.count(name) > 1}):
        raise OptionError(f"Two metrics give {doubled[0]!r}; leave one of them out.")
    return chosen


def _made(kind: type[Metric], options: Mapping[str, Any]) -> Metric:
    taken = inspect.signature(kind).parameters
    return kind(**{n: v for n, v in options.items() if n in taken})


def _metric_of(figure: str, known: Mapping[str, type[Metric]], options: Mapping[str, Any]) -> str:
    """The metric that gives a figure of this name."""
    for name, kind in known.items():
        if figure in _made(kind, options).quantities:
            return name
    raise OptionError(f"There is no metric {figure!r}. {near(str(figure), known)}")
