"""Checks where the scores of a few texts go, layer by layer, before their words are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import Budget, batches_by_length
from seqlrp.engine.ledger import Entry, Ledger
from seqlrp.engine.padding import padding_told_to
from seqlrp.errors import CorpusError, OptionError, TargetError, check_number
from seqlrp.explaining.attribute import attribute_batch
from seqlrp.explaining.check_report import LEAST_FOR_WORDS, CheckReport, smaller_epsilons
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, named_method
from seqlrp.explaining.pairs import leave_out_same_class
from seqlrp.explaining.questions import Question, QuestionStream
from seqlrp.explaining.skipped import MAX_WORDS, OnUnanswerable, SkippedTexts
from seqlrp.explaining.targets import Target
from seqlrp.explaining.unread import find_uncredited, find_unread, words_to_try
from seqlrp.explanations.record import ALL
from seqlrp.methods import Explainer, Method
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

# How much of the absolute amounts of a document rounding may take, by the model's precision.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 1e-1}

# How many texts with one word replaced are read.
VARIANTS = 100

# Texts for a check without a corpus: for, against, mixed, negated, short, long.
SENTENCES = (
    "A wonderful film, warm and funny, and the best I have seen this year.",
    "It is dull, badly written, and far too long.",
    "The actors are good, but the story never finds its way out of the first idea.",
    "Not a bad film at all.",
    "I would not call it good.",
    "What a waste of time!",
    "The plot is simple. The pictures are beautiful. I left the cinema happy.",
    "Whoever liked the book will be disappointed, since nothing that made it great, neither its "
    "wit nor its patience with its people, has come through.",
)


def check(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any = SENTENCES,
    target: Target = "predicted",
    *,
    method: str = "lrp",
    labels: Iterable[int | str] | None = None,
    column: str = "text",
    first: int = 20,
    on_unanswerable: OnUnanswerable = "raise",
    batch_tokens: int = BATCH_TOKENS,
    max_words: int | None = MAX_WORDS,
    variants: int = VARIANTS,
    progress: bool | None = None,
    **options: Any,
) -> CheckReport:
    """Explain a few texts by LRP and report where their scores go, layer by layer.

    Args:
        classifier: a loaded or trained classifier, or your own model in a `TextClassifier`.
        texts: strings, or one, a `Corpus`, a data frame, or a `datasets.Dataset`; by default a few
            English sentences about films.
        target: `"predicted"`, `"label"` (the true class), a class by index or name, or a pair of
            these: why the first rather than the second.
        method: `"lrp"`, or `"chosen"` where LRP was chosen (`seqlrp.choose`).
        labels: the true classes, by index or name, where they are known.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        first: at most so many texts are read.
        on_unanswerable: what happens to texts without a word, and to those with one class on both
            sides of a pair: `"raise"` is an error, `"skip"` leaves them out with one warning.
        batch_tokens: the most tokens in a batch, padding included.
        max_words: longer texts are refused, or left out where `on_unanswerable` is `"skip"`.
        variants: at most so many texts with one word replaced are read, to find words that have
            relevance although the model does not read them, and as many to find words that have
            none although the score changes with them; 0 leaves that out.
        progress: show a bar; None shows one where stderr is a terminal.
        options: options of `seqlrp.LRP`, e.g. `epsilon=0.01`.

    Raises:
        CorpusError: there is no text.
        TextError: a text holds no word, or is no string.
        TargetError: no such class, "all", or both sides of a pair are the same class for a text.
        LabelError, OptionError: an argument is not among what is known.
        ModelError: the model cannot be explained.
    """
    _check_options(target, first, variants)
    lrp, options = _lrp(classifier, method, options)
    skipped = SkippedTexts(on_unanswerable)
    stream = QuestionStream(
        classifier, texts, target, labels=labels, column=column, skipped=skipped, per_text=False,
        max_words=max_words,
    )  # fmt: skip
    questions = _first_questions(stream, classifier, lrp, skipped, first, batch_tokens)
    documents = [question.document for question in questions]
    batches = batches_by_length([classifier.length(d) for d in documents], batch_tokens)
    run = partial(_run, classifier, questions, batches, progress)
    found = run(lrp, verify=True)
    words = words_to_try(found.amounts, variants)
    unread, read_tried = find_unread(classifier, questions, words, variants)
    words = words_to_try(found.amounts, variants, without=True)
    uncredited, without_tried = find_uncredited(classifier, questions, words, variants)
    report = CheckReport(
        found.ledger,
        lrp.parameters,
        rounding=ROUNDING[found.precision],
        compared=questions[0].against is not None,
        tokens=sum(map(len, documents)),
        unknown=_count_unknown(classifier, documents),
        reads_padding=found.reads_padding or classifier.pad_to is not None,
        pad_to=classifier.pad_to,
        strongest=found.strongest,
        unread=tuple(unread),
        read_tried=read_tried,
        uncredited=tuple(uncredited),
        without_tried=without_tried,
        unverified=found.unverified,
    )
    return _try_smaller_epsilons(classifier, report, options, run)


def _check_options(target: Target, first: int, variants: int) -> None:
    check_number("first", first, least=1, whole=True)
    check_number("variants", variants, least=0, whole=True)
    if isinstance(target, str) and target == ALL:
        raise TargetError(option="target", got=ALL, expected="one class, or a pair of classes")


def _lrp(
    classifier: TextClassifier, method: str, options: dict[str, Any]
) -> tuple[Method, dict[str, Any]]:
    """LRP by its name or by "chosen", and its options."""
    name, options = named_method(classifier, method, options)
    if name != "lrp":
        raise OptionError(
            f"A check follows the score by LRP, and got the method {name!r}.",
            'Leave method= out, or give "lrp".',
            option="method",
            got=name,
        )
    return chosen_method(classifier, name, options), options


def _first_questions(
    stream: QuestionStream,
    classifier: TextClassifier,
    lrp: Method,
    skipped: SkippedTexts,
    first: int,
    batch_tokens: int,
) -> list[Question]:
    """The questions about the first texts, without those that are left out."""
    read, questions = next(stream.windows(first), (0, []))
    budget = Budget(batch_tokens, classifier.device)
    questions = leave_out_same_class(classifier, lrp, questions, skipped, budget)
    skipped.warn(read)
    if not questions:
        raise CorpusError("There is no text to check; give one or more.")
    return questions


def _try_smaller_epsilons(
    classifier: TextClassifier,
    report: CheckReport,
    options: dict[str, Any],
    run: Callable[..., _Found],
) -> CheckReport:
    """Add the share of the words with smaller values of epsilon, where it takes too much."""
    if not report.stabiliser_is_largest:
        return report
    tried: dict[float | str, float] = {}
    for epsilon in smaller_epsilons(report.parameters["epsilon"]):
        method = chosen_method(classifier, "lrp", {**options, "epsilon": epsilon})
        tried[epsilon] = replace(report, ledger=run(method).ledger).words
        if tried[epsilon] >= LEAST_FOR_WORDS:
            break
    return replace(report, tried=tried)


class _Found(NamedTuple):
    """What a method found in the texts.

    Attributes:
        ledger: of all texts.
        precision: of the scores.
        reads_padding: whether the model reads padding.
        strongest: of each text, the class that is explained and the word that speaks most for it.
        amounts: of each text, the relevance of each word.
        unverified: why the model was not run on other words, see `Attribution`; or "".
    """

    ledger: Ledger
    precision: torch.dtype
    reads_padding: bool
    strongest: list[tuple[str, str]]
    amounts: list[list[float]]
    unverified: str


def _run(
    classifier: TextClassifier,
    questions: Sequence[Question],
    batches: Sequence[Sequence[int]],
    progress: bool | None,
    method: Method,
    *,
    verify: bool = False,
) -> _Found:
    """Explain the questions batch by batch, and verify each batch if asked to."""
    ledgers: list[Ledger] = []
    precision = torch.float32
    strongest: dict[int, tuple[str, str]] = {}
    amounts: dict[int, list[float]] = {}
    padding: list[float] = []  # the share of padding, where it counts: the report says it
    unverified = ""
    hidden = None if progress is None else not progress
    with padding_told_to(padding.append):
        for batch in tqdm(batches, desc="checking", unit="batch", disable=hidden):
            asked = [questions[k] for k in batch]
            if verify and isinstance(method, Explainer):
                method.verify_again()
            found, words = attribute_batch(classifier, method, asked)
            assert found.ledger is not None
            assert found.target is not None
            ledgers.append(found.ledger)
            precision = found.scores.dtype
            unverified = unverified or found.unverified
            labels = [classifier.labels[class_] for class_ in found.target.tolist()]
            said = zip(labels, _strongest_words(found, words, asked), strict=True)
            strongest.update(zip(batch, said, strict=True))
            rows = zip(found.relevance.flatten(1), words.flatten(1), strict=True)
            of_words = [row[is_word].tolist() for row, is_word in rows]
            amounts.update(zip(batch, of_words, strict=True))
    order = torch.tensor([k for batch in batches for k in batch]).argsort()
    in_order = range(len(questions))
    return _Found(
        _join_ledgers(ledgers, order), precision, bool(padding),
        [strongest[k] for k in in_order], [amounts[k] for k in in_order], unverified,
    )  # fmt: skip


def _strongest_words(found: Attribution, words: Tensor, asked: Sequence[Question]) -> list[str]:
    """The word of each text that has the most relevance."""
    words = words.flatten(1)
    relevance = found.relevance.flatten(1).masked_fill(~words, -torch.inf)
    place = relevance.argmax(dim=1, keepdim=True)
    token = (words.cumsum(dim=1) - 1).gather(1, place).squeeze(1).tolist()
    return [q.document.source.tokens[k] for q, k in zip(asked, token, strict=True)]


def _count_unknown(classifier: TextClassifier, documents: Sequence[EncodedText]) -> dict[str, int]:
    """Count the tokens that have the id of the unknown word."""
    counts: Counter[str] = Counter()
    for document in documents:
        unknown = (document.ids == classifier.vocabulary.unk).nonzero()[0].tolist()
        counts.update(document.source.tokens[k] for k in unknown)
    return dict(counts.most_common())


def _join_ledgers(ledgers: list[Ledger], order: Tensor) -> Ledger:
    """One ledger of all documents, on the CPU, in the user's order."""
    keys = dict.fromkeys((e.kind, e.operation, e.module) for g in ledgers for e in g.entries)
    amounts: dict[tuple[str, str, str], list[Tensor]] = {key: [] for key in keys}
    for ledger in ledgers:
        known = {(e.kind, e.operation, e.module): e.amount for e in ledger.entries}
        for key in keys:
            amounts[key].append(known.get(key, torch.zeros_like(ledger.score)))
    entries = (Entry(*key, torch.cat(parts).cpu()[order]) for key, parts in amounts.items())
    return Ledger(torch.cat([g.score for g in ledgers]).cpu()[order], tuple(entries))
