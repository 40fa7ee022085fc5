"""Explains a stream of texts: texts in, explanations out, in order."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.engine.completeness import CompletenessTotals, totals_for, warn_if_incomplete
from seqlrp.engine.modules import BY_VALUE, settings_of
from seqlrp.errors import OptionError, check_choice, near
from seqlrp.explaining.attribute import explain_questions
from seqlrp.explaining.pairs import leave_out_same_class
from seqlrp.explaining.questions import WINDOW, QuestionStream
from seqlrp.explaining.skipped import (
    MAX_WORDS,
    OnUnanswerable,
    SkippedTexts,
    caller_level,
)
from seqlrp.explaining.targets import Target
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.methods import METHODS, Method
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus

BATCH_TOKENS = 8192
_MOST_REMEMBERED = 16  # of a classifier, each with other options
CHOSEN = "chosen"  # the name of the method that `seqlrp.choose` found for a classifier


def explain(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    ids: Iterable[Any] | None = None,
    column: str = "text",
    on_unanswerable: OnUnanswerable | SkippedTexts = "raise",
    batch_tokens: BatchTokens = BATCH_TOKENS,
    max_words: int | None = MAX_WORDS,
    progress: bool | None = None,
    **options: Any,
) -> Explanations:
    """Explain every text: relevance of each word for the score of a class, in one pass.

    Args:
        classifier: a loaded or trained classifier, or your own model in a `TextClassifier`.
        texts: a list or any iterator of strings, one string, a `Corpus`, a pandas data frame, or a
            `datasets.Dataset`.
        method: a name in `seqlrp.METHODS`, `"chosen"` (see `seqlrp.choose`), or an object with
            `attribution`.
        target: `"predicted"`, `"label"` (the true class), a class by index or name, or `"all"`.
            A pair such as `("positive", "negative")` or `("label", "predicted")` asks why this
            class rather than that: relevance of the difference of their scores, positive for the
            first and negative for the second. A model with one output s and two labels has the
            scores [-s, s], and so ("second label", "first label") gives relevance of 2s, twice
            that of "second label" alone, and the other way round of -2s.
            A list or an array has a class for each text, and so may a side of a pair.
        labels: the true classes, by index or name, where they are known.
        ids: the caller's names of the texts, kept as `Explanation.id`.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        on_unanswerable: what becomes of texts of which nothing can be asked: those that are missing
            or hold no word, and those with one class on both sides of a pair, such as `("label",
            "predicted")` where the model is right. `"raise"` is an error; `"skip"` leaves them out,
            with one warning that says how many, and the `id` of each explanation is the text's
            number, from 0, where no `ids` are given.
        batch_tokens: the most tokens in a batch, padding included; or `"auto"`, which begins with
            what suits the device, doubles while that is faster, and halves when memory runs out.
            LRP through L recurrent layers of H units in R directions over vectors of D numbers
            holds at most about 4 · (18 D + 15 L R H) bytes a token of a batch in float32 (measured
            on a CPU); for D = 50, H = 64, R = 2 that is 11 kB, and 90 MB for the default.
            Relevance is the same for any batch to the rounding of float32.
        max_words: longer texts are refused, for a batch holds a text at least; None takes any.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method, e.g. `epsilon=0.01`.

    Returns:
        An explanation for each text that was not left out, in the order of the texts.

    Raises:
        TextError: a text holds no word, or more than `max_words`, or is no string.
        TargetError: no such class, or both sides of a pair are the same one for a text.
        LabelError, OptionError: an argument is not among what is known.
        ModelError: the model cannot be explained.
    """
    return Explanations(
        iter_explanations(
            classifier,
            texts,
            method,
            target,
            labels=labels,
            ids=ids,
            column=column,
            on_unanswerable=on_unanswerable,
            batch_tokens=batch_tokens,
            max_words=max_words,
            progress=progress,
            **options,
        )
    )


def iter_explanations(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    ids: Iterable[Any] | None = None,
    column: str = "text",
    on_unanswerable: OnUnanswerable | SkippedTexts = "raise",
    batch_tokens: BatchTokens = BATCH_TOKENS,
    max_words: int | None = MAX_WORDS,
    progress: bool | None = None,
    ahead: int | None = None,
    numbers: Iterable[int] | None = None,
    **options: Any,
) -> Iterator[Explanation]:
    """Explain texts one after the other, as `explain` does: a stream of any length.

    Memory stays bounded. Where a batch fails, everything before the first text of that batch is
    given before the error is raised. `seqlrp.explanations.files.explanation_writer` writes such a
    stream to a file.

    Args:
        classifier: a loaded or trained classifier, or your own model in a `TextClassifier`.
        texts: a list or any iterator of strings, one string, a `Corpus`, a pandas data frame, or a
            `datasets.Dataset`.
        method: a name in `seqlrp.METHODS`, `"chosen"`, or an object with `attribution`.
        target: which class is explained, or which rather than which; see `explain`.
        labels: the true classes, by index or name, where they are known.
        ids: the caller's names of the texts, kept as `Explanation.id`.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        on_unanswerable: `"raise"` or `"skip"`, see `explain`; the warning comes at the end. A
            `SkippedTexts` of the caller's own notes the texts that are left out without a warning.
        batch_tokens: the most tokens in a batch, padding included, or `"auto"`; see `explain`.
        max_words: longer texts are refused, or left out where `on_unanswerable` is `"skip"`.
        progress: show a bar; None shows one where stderr is a terminal.
        ahead: the most texts that are read before the first of them is explained; by default 4096.
        numbers: the numbers of the texts in their source, where some of it was left out before:
            messages count them, and they are the ids where none are given.
        options: passed to the method, e.g. `epsilon=0.01`.

    Yields:
        An explanation for each text that was not left out, in the order of the texts.

    Raises:
        TextError: a text holds no word, or more than `max_words`, or is no string.
        TargetError: no such class, or both sides of a pair are the same one for a text.
        LabelError, OptionError: an argument is not among what is known.
        ModelError: the model cannot be explained.
    """
    _check_has(
        "classifier",
        classifier,
        "collate",
        "a model together with its vocabulary and labels: "
        "seqlrp.TextClassifier(model, vocabulary, labels).",
    )
    budget = Budget(batch_tokens, classifier.device)
    scoring = Budget(batch_tokens, classifier.device)
    chosen = _remembered_method(classifier, method, options)
    if isinstance(on_unanswerable, SkippedTexts):
        skipped, warns = on_unanswerable, False
    else:
        skipped, warns = SkippedTexts(on_unanswerable), True
    questions = QuestionStream(
        classifier, texts, target, labels=labels, ids=ids, numbers=numbers, column=column,
        skipped=skipped, max_words=max_words,
    )  # fmt: skip
    totals, read = totals_for(chosen), 0
    hidden = None if progress is None else not progress
    description = f"explaining ({chosen.name})"
    with tqdm(total=questions.total, desc=description, unit="text", disable=hidden) as bar:
        for count, window in questions.windows(ahead or WINDOW):
            asked = leave_out_same_class(classifier, chosen, window, skipped, scoring)
            bar.update(count - len(asked))
            for explanation in explain_questions(classifier, chosen, asked, budget, bar):
                if totals is not None:
                    add_account(totals, explanation)
                yield explanation
            read += count
    warn_if_incomplete(chosen, totals, stacklevel=caller_level())
    if warns:
        skipped.warn(read)
    questions.check_used_up()


# Of each classifier the methods that it was explained with, and the settings of its model then.
_REMEMBERED: WeakKeyDictionary[TextClassifier, dict[str, tuple[Hashable, Method]]]
_REMEMBERED = WeakKeyDictionary()


def _remembered_method(
    classifier: TextClassifier, method: str | Method, options: dict[str, Any]
) -> Method:
    """Return the method that `chosen_method` makes, or has made for an earlier call like this one.

    The earlier one has verified the model. In a service that explains text by text, to do so in
    each call would take several times as long as explaining. It is done again if the settings of
    the model have changed.
    """
    named = isinstance(method, str) and isinstance(classifier, TextClassifier)
    if not named or not all(type(value) in BY_VALUE for value in options.values()):
        return chosen_method(classifier, method, options)
    asked, settings = repr((method, sorted(options.items()))), settings_of(classifier.model)
    made = _REMEMBERED.setdefault(classifier, {})
    if asked in made and made[asked][0] == settings:
        return made[asked][1]
    chosen = chosen_method(classifier, method, options)
    if len(made) >= _MOST_REMEMBERED:
        made.clear()
    made[asked] = settings, chosen
    return chosen


def _check_has(name: str, given: object, attribute: str, expected: str) -> None:
    if not hasattr(given, attribute):
        raise OptionError(
            f"Got a {type(given).__name__} for the {name}; expected {expected}",
            option=name,
            got=given,
        )


def check_no_class(method: object) -> None:
    """Refuse the class of a method, which is no object that explains a model.

    Raises:
        OptionError: it is a class.
    """
    if isinstance(method, type):
        called, name = method.__name__, getattr(method, "name", None)
        raise OptionError(
            f"Got the class {called} for the method; expected a name, or an object of that class.",
            f"Pass {called}(classifier.model)" + (f", or {name!r}." if name in METHODS else "."),
            option="method",
            got=method,
        )


def add_account(totals: CompletenessTotals, explanation: Explanation) -> None:
    """Add the ledger of an explanation to the totals, for every class that is explained."""
    every = explanation.target == ALL
    totals.add(explanation.ledger, explanation.scores if every else explanation.start)


def chosen_method(
    classifier: TextClassifier, method: str | Method, options: dict[str, Any]
) -> Method:
    """Make a method by its name for the classifier's model, or pass on a method object.

    Raises:
        OptionError: no such method, or one that does not take an option.
    """
    method, options = named_method(classifier, method, options)
    if not isinstance(method, str):
        _check_has(
            "method",
            method,
            "attribution",
            "its name, or an object with `attribution`. True classes are given by name: "
            "explain(…, labels=[…]).",
        )
        if options:
            raise OptionError(
                f"Options {sorted(options)} go to a method that is named, but an object was given; "
                f"make it with its options.",
                option=min(options),
            )
        return method
    check_choice("method", method, METHODS)
    _, *parameters = inspect.signature(METHODS[method]).parameters.values()  # the model is first
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        known = [p.name for p in parameters]
        for name in options:
            if name not in known:
                raise OptionError(
                    f"Method {method!r} takes no option {name!r}. {near(name, [*_OWN, *known])}",
                    option=name,
                    got=options[name],
                    known=tuple(known),
                )
        if options.get("removal") == "unk" and "unknown" in known:
            options = {"unknown": classifier.vocabulary.unk, **options}
    return METHODS[method](classifier.model, **options)


def named_method(
    classifier: TextClassifier, method: str | Method, options: dict[str, Any]
) -> tuple[str | Method, dict[str, Any]]:
    """Return the name and the options that `"chosen"` stands for, and others as they are.

    Raises:
        OptionError: no method was chosen for the classifier, or it is given options; or the class
            of a method is given.
    """
    check_no_class(method)
    if not isinstance(method, str) or method != CHOSEN:
        return method, options
    if classifier.chosen is None:
        raise OptionError(
            "No method was chosen for this classifier.",
            "Run `seqlrp choose MODEL CORPUS`, or seqlrp.choose(…).save(folder) and "
            "seqlrp.load(folder).",
            option="method",
            got=CHOSEN,
            code="none_chosen",
        )
    if options:
        raise OptionError(
            f"The method that was chosen has its options; leave {', '.join(sorted(options))} out.",
            option=min(options),
            got=options[min(options)],
        )
    chosen = dict(classifier.chosen)
    return chosen.pop("method"), chosen


# The options of `explain` itself, for messages about options that are misspelt.
_OWN = [name for name, p in inspect.signature(explain).parameters.items()
        if p.kind is p.KEYWORD_ONLY or name == "target"]  # fmt: skip
