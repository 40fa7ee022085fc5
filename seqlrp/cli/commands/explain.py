"""The command `explain`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli import pages
from seqlrp.cli.application import print_path
from seqlrp.cli.input_texts import STANDARD_INPUT, InputTexts, read_texts
from seqlrp.cli.parsing import (
    check_outputs,
    load_classifier,
    load_factory,
    parse_batch_tokens,
    parse_method_options,
    target_or_pair,
)
from seqlrp.cli.plain_text import format_classes, format_explanation
from seqlrp.cli.sharding import (
    AddressOption,
    EngineName,
    EngineOption,
    IdColumn,
    MetricsOption,
    OnError,
    OnErrorOption,
    Sharding,
    ShardSizeOption,
    StatusOption,
    WorkersOption,
    explain_shards,
    is_folder,
)
from seqlrp.errors import OptionError
from seqlrp.explaining.skipped import MAX_WORDS

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation
    from seqlrp.methods import Method
    from seqlrp.models.classifier import TextClassifier

_PROMPT = 64  # texts read at a time where the output is not a file

OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="A .parquet, .jsonl or .csv file; a folder, in shards, by many workers; or - for JSON "
        "lines on standard output. Without it, words are shown.",
    ),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Also make a page, or a folder of pages where there are many."
    ),
]
TitleOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Heading of the page, with --html.")
]
NoteOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What you say to its reader, with --html.")
]
FirstOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Explain at most so many texts.")
]


def explain(
    model: shared.ModelArgument,
    corpus: shared.SourcesArgument = None,
    text: shared.TextOption = None,
    out: OutOption = None,
    html: HtmlOption = None,
    title: TitleOption = None,
    note: NoteOption = None,
    target: shared.TargetOption = "predicted",
    against: shared.AgainstOption = None,
    first: FirstOption = None,
    method: shared.MethodOption = "lrp",
    epsilon: shared.EpsilonOption = None,
    gate_rule: shared.GateRuleOption = None,
    option: shared.MethodOptions = None,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    no_labels: shared.NoLabelsOption = False,
    split: shared.SplitOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    max_words: shared.MaxWordsOption = MAX_WORDS,
    batch_tokens: shared.BatchTokensOption = "8192",
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    engine: EngineOption = EngineName.processes,
    workers: WorkersOption = None,
    address: AddressOption = None,
    on_error: OnErrorOption = OnError.skip,
    shard_size: ShardSizeOption = None,
    id_column: IdColumn = None,
    metrics: MetricsOption = None,
    status: StatusOption = False,
) -> None:
    """Explain texts with a trained model: relevance of every word for the score of a class.

    With --out FOLDER any number of texts is explained in shards, and the same command goes on where
    an earlier one ended. On a terminal the texts are shown with their words in colour: red for the
    class, blue against it. In a pipe each text is a line with the answer, and below it the
    strongest words.
    """
    options = parse_method_options(method, epsilon, gate_rule, option)
    sharding = Sharding(engine, workers, address, on_error, shard_size, id_column, metrics, status)
    asked: dict[str, Any] = {
        "target": target_or_pair(target, against), "on_unanswerable": on_unanswerable.value,
        "batch_tokens": parse_batch_tokens(batch_tokens), "max_words": max_words,
    }  # fmt: skip
    columns: dict[str, Any] = {
        "text_column": text_column, "label_column": label_column, "labelled": not no_labels,
    }  # fmt: skip
    if out is not None and is_folder(out):
        _check_no_others(corpus, text, html, first, split)
        explain_shards(
            model, corpus or (), out, sharding, None if factory is None else load_factory(factory),
            method=method, device=device.value, **columns, **asked, **options,
        )  # fmt: skip
        return
    sharding.check_unused()
    source = _single(corpus)
    check_outputs([out, html], [model, source])
    if method == "lrp" and source is None:  # few texts: loading machine code would not pay
        options.setdefault("impl", "torch")
    classifier = load_classifier(model, device, factory)
    # Not at the top: what it needs has been loaded by now, without the garbage collector.
    from seqlrp.explaining.explain import chosen_method

    stream = partial(_explained, classifier, chosen_method(classifier, method, options), asked)
    given = read_texts(
        classifier, source, text or (), split=split, on_unanswerable=on_unanswerable.value,
        **columns,
    ).first(first)  # fmt: skip
    if html is None and out in (None, Path("-")):
        _print(given, stream, json=out is not None)
    else:
        page = {} if html is None else pages.model_facts(model, classifier, source)
        _save(given, stream, out, html, first, page | {"title": title, "note": note})


def _explained(
    classifier: TextClassifier,
    method: Method,
    asked: Mapping[str, Any],
    texts: InputTexts,
    progress: bool | None = None,
    ahead: int | None = None,
) -> Iterator[Explanation]:
    from seqlrp.explaining.explain import iter_explanations

    return iter_explanations(
        classifier, texts.texts, method, labels=texts.labels, ids=texts.names,
        numbers=texts.numbers, progress=progress, ahead=ahead, **asked,
    )  # fmt: skip


def _check_no_others(
    corpus: list[str] | None,
    text: list[str] | None,
    html: Path | None,
    first: int | None,
    split: str | None,
) -> None:
    given = {"--text": text, "--html": html, "--first": first, "--split": split}
    for flag in (flag for flag, value in given.items() if value is not None):
        raise OptionError(f"{flag} does not go with --out FOLDER; write a .parquet file by --out.")
    if not corpus or STANDARD_INPUT in corpus:
        raise OptionError("With --out FOLDER name the texts by files, folders, globs or URLs.")


def _single(corpus: list[str] | None) -> str | None:
    if corpus is not None and len(corpus) > 1:
        raise OptionError("Several sources go with --out FOLDER, a name without a suffix.")
    return corpus[0] if corpus else None


def _print(given: InputTexts, stream: Callable[..., Iterator[Explanation]], *, json: bool) -> None:
    """Explain texts onto standard output, each as soon as it is there."""
    if given.typed:
        print("Type a text on each line; Ctrl-D ends.", file=sys.stderr)
    found = stream(given, progress=False, ahead=1 if given.typed else _PROMPT)
    if json:
        _print_json_lines(found)
    else:
        _print_words(found)


def _save(
    given: InputTexts,
    stream: Callable[..., Iterator[Explanation]],
    out: Path | None,
    html: Path | None,
    first: int | None,
    page: Mapping[str, Any],
) -> None:
    """Explain texts into a file, a page or both, without holding all explanations in memory."""
    from seqlrp.explanations.files import explanation_writer
    from seqlrp.explanations.spreadsheets import spreadsheet_writer

    if out == Path("-"):
        raise OptionError("Got --out - together with --html; name a file by --out.")
    with ExitStack() as files:
        if out is not None:
            append: Callable[[Explanation], None]
            if out.suffix == ".csv":
                append = files.enter_context(spreadsheet_writer(out)).append
            else:
                append = files.enter_context(explanation_writer(out)).append
            found = _append_all(stream(given), append)
        elif first is None and pages.is_page(html):
            found = stream(given.first(pages.SHOWN + 1))  # no more than the page shows
        else:
            found = stream(given)
        if html is not None:
            pages.save_html(found, html, first, **page)
            print_path(html)
        for _ in found:  # those that are not on the page go into the file, too
            pass
    if out is not None:
        print_path(out)


def _append_all(
    explanations: Iterable[Explanation], append: Callable[[Explanation], None]
) -> Iterator[Explanation]:
    for explanation in explanations:
        append(explanation)
        yield explanation


def _print_words(explanations: Iterable[Explanation]) -> None:
    """Print explanations as they come: in colour on a terminal, as plain text in a pipe."""
    from seqlrp.show.terminal import show

    explanations = iter(explanations)
    if not show(_print_classes(explanations), sys.stdout):
        for number, explanation in enumerate(explanations):
            print(("\n" if number else "") + format_explanation(explanation), flush=True)


def _print_classes(explanations: Iterator[Explanation]) -> Iterator[Explanation]:
    """Pass explanations on; after one of all classes was shown, print a line for each class."""
    from seqlrp.explanations.record import ALL

    for explanation in explanations:
        yield explanation
        if explanation.target == ALL:
            print("", *format_classes(explanation), sep="\n", flush=True)


def _print_json_lines(explanations: Iterable[Explanation]) -> None:
    from seqlrp.explanations.files import json_line

    for explanation in explanations:
        print(json_line(explanation), end="", flush=True)
