"""The command `evaluate`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import print_path, say, show
from seqlrp.cli.input_texts import load_explained, read_corpus
from seqlrp.cli.parsing import (
    check_outputs,
    load_classifier,
    parse_batch_tokens,
    parse_method_options,
    parse_numbers,
)
from seqlrp.errors import CorpusError, OptionError

if TYPE_CHECKING:
    from seqlrp.explanations.collection import Explanations
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.corpora import Corpus


class Removal(StrEnum):
    """What becomes of a removed word."""

    zero = "zero"
    delete = "delete"
    unk = "unk"
    mask = "mask"


class Score(StrEnum):
    """What is measured when words are removed."""

    probability = "probability"
    logit = "logit"
    accuracy = "accuracy"


AGREEMENT = "agreement"
_WIDTH = 96
OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for tables and pictures.")]
NamesOption = Annotated[str, typer.Option(metavar="NAME,…", help="Names, separated by commas.")]
CountsOption = Annotated[str, typer.Option("--k", metavar="N,…", help="Numbers of deleted words.")]
RemovalOption = Annotated[
    Removal, typer.Option(help="What becomes of a word: an embedding of 0, gone, unknown, masked.")
]
ScoreOption = Annotated[Score, typer.Option(help="What is measured.")]
OrdersOption = Annotated[int, typer.Option(metavar="N", help="How often chance is tried.")]
MinWordsOption = Annotated[int, typer.Option(metavar="N", help="Leave shorter texts out.")]
FirstOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Take at most so many texts.")
]
OptionsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD.NAME=VALUE", help="Of a method, e.g. lrp.epsilon=0.1; repeatable."
    ),
]
RationalesOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The words that people marked: for each text a line with a JSON list of "
        "[start, end] in characters. Adds the metric agreement.",
    ),
]
WorkersOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Processes that measure, each with its cores.")
]
SeedOption = Annotated[
    int, typer.Option(metavar="N", help="Seed of chance, metrics and intervals.")
]


def evaluate(
    model: shared.ModelArgument,
    corpus: shared.CorpusArgument,
    out: OutOption,
    methods: NamesOption = "lrp,gradient_x_input,occlusion,sensitivity,random",
    metrics: NamesOption = "word_deletion,aopc,comprehensiveness,sufficiency",
    ks: CountsOption = "0,1,2,3,4,5",
    removal: RemovalOption = Removal.zero,
    score: ScoreOption = Score.probability,
    random_orders: OrdersOption = 5,
    min_words: MinWordsOption = 10,
    first: FirstOption = None,
    option: OptionsOption = None,
    rationales: RationalesOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    batch_tokens: shared.BatchTokensOption = "8192",
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    seed: SeedOption = 0,
    workers: WorkersOption = 1,
) -> None:
    """Put explanations to the test: remove the words that each method names, and ask again.

    CORPUS may be a folder that `explain --out FOLDER` wrote: what is there is not explained again.

    What is finished is kept in the folder: the same command goes on after an interruption.
    """
    from seqlrp.evaluation import evaluate as evaluate_methods
    from seqlrp.evaluation.report.report import FILES
    from seqlrp.evaluation.report.verdict import plain_verdict

    check_outputs([out / name for name in FILES], [model, corpus, rationales])
    counts, tokens = parse_numbers("ks", ks), parse_batch_tokens(batch_tokens)
    compared, measured = _with_options(_names(methods), option or ()), _names(metrics)
    classifier = load_classifier(model, device, factory)
    texts, marked = _read(
        classifier, corpus, text_column, label_column, split, on_unanswerable, first, rationales
    )
    measured += [] if marked is None or AGREEMENT in measured else [AGREEMENT]
    try:
        report = evaluate_methods(
            classifier, texts, methods=compared, metrics=measured, rationales=marked,
            ks=counts, removal=removal.value, score=score.value, random_orders=random_orders,
            min_words=min_words, seed=seed, batch_tokens=tokens, out=out, workers=workers,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"methods that are finished are kept in {out}; the same command goes on from there.")
        raise
    for sentence in plain_verdict(report):
        show("\n".join(textwrap.wrap(sentence, _WIDTH, break_on_hyphens=False)))
    show(f"\nEvery number, its interval and what it means: {out / 'summary.txt'}")
    print_path(out)


def _read(
    classifier: TextClassifier,
    corpus: str,
    text: str | None,
    label: str | None,
    split: str | None,
    on_unanswerable: shared.OnUnanswerable,
    first: int | None,
    rationales: Path | None,
) -> tuple[Corpus | Explanations, list[Any] | None]:
    """Read the texts, or their explanations, and the words of each that people marked."""
    from seqlrp.explaining.known import check_explained_by

    explained = load_explained(
        corpus, text_column=text, label_column=label, split=split,
        rationales=None if rationales is None else str(rationales),
    )  # fmt: skip
    if explained is not None:
        check_explained_by(classifier, explained)
        return explained if first is None else explained[:first], None
    texts = read_corpus(
        corpus, text=text, label=label, split=split, label_names=classifier.labels,
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    texts = texts if first is None else texts.part(slice(first))
    marked = None if rationales is None else _marked_words(rationales, texts, classifier)
    return texts, marked


def _names(typed: str) -> list[str]:
    return [name.strip() for name in typed.split(",")]


def _with_options(methods: Sequence[str], options: Sequence[str]) -> list[str] | dict[str, Any]:
    """The methods by name, those that have options with them."""
    by_method: dict[str, list[str]] = {}
    for option in options:
        method, found, rest = option.partition(".")
        if not found or method not in methods:
            raise OptionError(
                f"Got --option {option!r}; expected METHOD.NAME=VALUE with one of the methods "
                f"{', '.join(methods)}."
            )
        by_method.setdefault(method, []).append(rest)
    if not by_method:
        return list(methods)
    parsed = {m: parse_method_options(m, None, None, typed) for m, typed in by_method.items()}
    return {m: {"method": m, **parsed.get(m, {})} for m in methods}


def _marked_words(path: Path, corpus: Corpus, classifier: TextClassifier) -> list[Any]:
    """The words of each text that people marked, read from a line for each row of the corpus."""
    from seqlrp.evaluation.metrics.agreement import marked_words

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"Could not read {path}: {error}.") from error
    rows = range(len(corpus)) if corpus.numbers is None else corpus.numbers.tolist()
    if len(lines) <= max(rows):
        raise CorpusError(
            f"{path} has {len(lines)} lines; expected one for each of the {max(rows) + 1} texts."
        )
    spans = [_spans(lines[row], f"Line {row + 1} of {path}") for row in rows]
    return marked_words(classifier, corpus.texts, spans)


def _spans(line: str, place: str) -> list[list[int]]:
    try:
        found = json.loads(line)
        good = all(0 <= start < end and type(start) is type(end) is int for start, end in found)
    except (ValueError, TypeError, RecursionError):
        good = False
    if not good:
        raise CorpusError(
            f"{place} is {line[:60]!r}; expected a JSON list of [start, end] in characters, "
            "with start below end, such as [[0, 4], [10, 17]]."
        )
    return list(found)
