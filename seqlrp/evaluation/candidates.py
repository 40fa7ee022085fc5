"""The candidates of an evaluation: methods by name or object, or attributions from outside."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import InputError, OptionError, SeqlrpError, check_number, near
from seqlrp.evaluation.metrics.metric import Metric
from seqlrp.explaining.explain import check_no_class, chosen_method
from seqlrp.explaining.questions import Question
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.methods import METHODS, Method

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.models.classifier import TextClassifier

Given = Sequence[Any]  # an array [T] or [C, T], or an Explanation, for each text
Methods = Sequence[str | Method] | Mapping[str, str | Method | Mapping[str, Any] | Given]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method or a set of attributions that is compared with others, in one random order.

    Attributes:
        name: its name in the table.
        order: the number of the random order, from 0; 0 for a method that draws none.
        method: the method object; None for attributions from outside.
        given: the attributions from outside, one for each text.
    """

    name: str
    order: int = 0
    method: Method | None = None
    given: Given | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The method and its parameters, JSON values."""
        if self.method is None:
            return {"method": "given"}
        return {"method": self.method.name, "parameters": dict(self.method.parameters)}


def candidates(
    classifier: TextClassifier, methods: Methods, *, texts: int, orders: int, seed: int
) -> list[Candidate]:
    """Make the candidates of `seqlrp.evaluate`, one for each order of the method `"random"`.

    Args:
        classifier: the classifier whose model is explained.
        methods: the argument `methods` of `seqlrp.evaluate`.
        texts: the number of texts, which attributions from outside must match.
        orders: the number of seeds with which `"random"` is run.
        seed: the first of these seeds.

    Raises:
        OptionError: an unknown name or option, two methods of one name, no method at all.
        InputError: there are not as many attributions as texts.
    """
    named = named_methods(methods)
    if not named:
        raise OptionError("Got no method to evaluate; name one or more, e.g. methods=['lrp'].")
    check_number("random_orders", orders, least=1, whole=True)
    names = [name for name, _ in named]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(
            f"Two methods are called {doubled[0]!r}; pass a mapping that gives each a name of its "
            f"own."
        )
    return [c for name, m in named for c in _of(classifier, name, m, texts, orders, seed)]


def named_methods(methods: Methods | str | Method) -> list[tuple[str, Any]]:
    """Return methods as `seqlrp.evaluate` takes them, or a single one, each with its name.

    Raises:
        OptionError: one has no name, or is a class.
    """
    named: list[tuple[Any, Any]]
    if isinstance(methods, Mapping):
        named = list(methods.items())
    else:
        one = isinstance(methods, (str, type)) or hasattr(methods, "attribution")
        several: Iterable[Any] = [methods] if one else methods  # type: ignore[assignment]
        named = [(m if isinstance(m, str) else getattr(m, "name", None), m) for m in several]
    for name, method in named:
        check_no_class(method)
        if not isinstance(name, str):
            raise OptionError(
                f"Got a {type(method).__name__} among the methods, which has no name; expected "
                f"names and methods.",
                "Pass a mapping that gives each a name of its own.",
                option="methods",
                got=method,
            )
    return named


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
    question: Question,
    wanted: int,
    scores: npt.NDArray[np.float32],
    labels: tuple[str, ...],
) -> Explanation | None:
    """Convert attributions from outside to an explanation of the class `wanted`, if they have it.

    An array `[C, T]` has every class; `[T]` is about the class that is predicted. Of an
    `Explanation` the class is known.

    Raises:
        InputError: it does not fit the text, or is not finite.
    """
    document, number = question.document, question.number
    predicted = int(scores.argmax())
    about = predicted
    if isinstance(item, Explanation):
        check_explanation(name, item, question)
        about = predicted if item.target == ALL else int(item.target)
        item = item.relevance
    relevance = _checked_relevance(name, item, question, len(labels))
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
            label=question.truth,
            scores=scores,
            labels=labels,
            method=name,
            unread=document.source.unread,
        )
    except SeqlrpError as error:
        fields = {field: getattr(error, field) for field in SeqlrpError.__annotations__}
        fields["text"] = number
        raise type(error)(
            f"The attributions for text {number} in {name!r}: {error}", **fields
        ) from error


def check_explanation(name: str, item: Explanation, question: Question) -> None:
    """Check that an explanation from outside is of the words of the text, and of one class."""
    if item.tokens != question.document.source.tokens:
        raise InputError(
            f"The explanation for text {question.number} in {name!r} is of other words than the "
            f"text; its tokenizer is another one."
        )
    if item.against is not None:
        raise InputError(
            f"The explanation for text {question.number} in {name!r} is of a contrast of two "
            f"classes; expected one of a single class, or of all."
        )


def _checked_relevance(
    name: str, item: Any, question: Question, classes: int
) -> npt.NDArray[np.floating]:
    """Attributions from outside as an array `[T]` or `[C, T]`."""
    relevance = np.asarray(item)
    words = len(question.document)
    if relevance.shape not in ((words,), (classes, words)):
        raise InputError(
            f"The attributions for text {question.number} in {name!r} have the shape "
            f"{list(relevance.shape)}; expected [{words}], a number a word of "
            f"{question.document.source.text[:40]!a}, or [{classes}, {words}] for all classes."
        )
    return relevance


def chosen_metrics(
    metrics: Sequence[str | Metric], known: Mapping[str, type[Metric]], options: Mapping[str, Any]
) -> list[Metric]:
    """Make metrics from names, with the options that their classes take; objects are copied.

    Raises:
        OptionError: an unknown name, no metric, or two that compute the same quantity.
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
            chosen.append(_make_metric(known[name], options))
        asked.add(name)
    if not chosen:
        raise OptionError("Got no metric; name one or more, e.g. metrics=['word_deletion'].")
    names = [name for metric in chosen for name in metric.quantities]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(
            f"Two metrics compute {doubled[0]!r}; leave one of them out.", option="metrics"
        )
    return chosen


def _make_metric(kind: type[Metric], options: Mapping[str, Any]) -> Metric:
    taken = inspect.signature(kind).parameters
    return kind(**{n: v for n, v in options.items() if n in taken})


def _metric_of(quantity: str, known: Mapping[str, type[Metric]], options: Mapping[str, Any]) -> str:
    """Return the name of the metric that computes a quantity."""
    for name, kind in known.items():
        if quantity in _make_metric(kind, options).quantities:
            return name
    raise OptionError(
        f"There is no metric {quantity!r}. {near(str(quantity), known)}",
        option="metrics",
        got=quantity,
        known=tuple(known),
    )
