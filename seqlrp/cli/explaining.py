"""Commands that explain, and that show what was explained."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli.application import app
from seqlrp.cli.options import (
    AgainstOption,
    BatchTokensOption,
    Device,
    DeviceOption,
    EpsilonOption,
    FactoryOption,
    GateRuleOption,
    LabelColumn,
    MethodOption,
    MethodOptions,
    ModelArgument,
    OnUnanswerable,
    OnUnanswerableOption,
    SplitOption,
    TargetOption,
    TextColumn,
    TextOption,
    TextsArgument,
    loaded,
    lrp_options,
    method_options,
    most_tokens,
    pair,
)
from seqlrp.cli.reading import Given, given
from seqlrp.cli.words import by_class, in_words
from seqlrp.errors import LabelError, OptionError

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation

_SHOWN = 100  # texts on one page, unless another number is asked for
_PROMPT = 64  # texts read at a time where somebody waits for the words


@app.command()
def explain(
    model: ModelArgument,
    corpus: TextsArgument = None,
    text: TextOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .parquet or .jsonl file, or - for JSON lines on standard output. "
            "Without it, words are shown.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also make a page, or a folder of pages where there are many."
        ),
    ] = None,
    target: TargetOption = "predicted",
    against: AgainstOption = None,
    first: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Explain at most so many texts.")
    ] = None,
    method: MethodOption = "lrp",
    epsilon: EpsilonOption = None,
    gate_rule: GateRuleOption = None,
    option: MethodOptions = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Leave the labels of the corpus out.")
    ] = False,
    split: SplitOption = None,
    on_unanswerable: OnUnanswerableOption = OnUnanswerable.error,
    batch_tokens: BatchTokensOption = "8192",
    device: DeviceOption = Device.auto,
    factory: FactoryOption = None,
) -> None:
    """Explain texts with a trained model: relevance of every word for the score of a class.

    On a terminal the texts are shown with their words in colour: red for the class, blue against
    it. In a pipe each text is a line with the answer, and below it the strongest words.
    """
    from seqlrp.explain import chosen_method, explained
    from seqlrp.explanation_files import explanation_writer

    options = method_options(method, epsilon, gate_rule, option)
    tokens = most_tokens(batch_tokens)
    classifier = loaded(model, device, factory)
    chosen = chosen_method(classifier, method, options)
    try:
        texts = given(
            classifier, corpus, text or (), text_column=text_column, label_column=label_column,
            split=split, labelled=not no_labels,
            on_unanswerable=on_unanswerable.value,
        ).first(first)  # fmt: skip
    except LabelError as error:
        raise LabelError(f"{error} Or leave the labels out by --no-labels.") from error

    def stream(texts: Given, **how: Any) -> Iterator[Explanation]:
        return explained(
            classifier, texts.texts, chosen, pair(target, against),
            labels=texts.labels, ids=texts.names, numbers=texts.numbers,
            on_unanswerable=on_unanswerable.value,
            batch_tokens=tokens, **how,
        )  # fmt: skip

    if html is None and out in (None, Path("-")):
        if texts.typed:
            print("Type a text on each line; Ctrl-D ends.", file=sys.stderr)
        found = stream(texts, progress=False, ahead=1 if texts.typed else _PROMPT)
        show = _print_words if out is None else _print_lines
        show(found)
        return
    if out == Path("-"):
        raise OptionError("Got --out - together with --html; name a file by --out.")
    with ExitStack() as files:
        if out is not None:
            writer = files.enter_context(explanation_writer(out))
            found = _passed_on(stream(texts), writer.append)
        elif first is None and _is_page(html):
            found = stream(texts.first(_SHOWN + 1))
        else:
            found = stream(texts)
        if html is not None:
            _save_html(found, html, first)
            print(html)
        for _ in found:  # what the page left
            pass
    if out is not None:
        print(out)


@app.command()
def check(
    model: ModelArgument,
    corpus: TextsArgument = None,
    text: TextOption = None,
    first: Annotated[int, typer.Option(metavar="N", help="Look at so many texts.")] = 20,
    target: Annotated[
        str, typer.Option(metavar="CLASS", help="predicted, label, or the name of a class.")
    ] = "predicted",
    against: AgainstOption = None,
    epsilon: EpsilonOption = None,
    gate_rule: GateRuleOption = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    on_unanswerable: OnUnanswerableOption = OnUnanswerable.error,
    device: DeviceOption = Device.auto,
    factory: FactoryOption = None,
) -> None:
    """See where the scores go by LRP: how much reaches the words, and which layer takes the rest.

    Without a corpus or a text, a few English sentences about films are looked at.
    """
    from seqlrp.checking import SENTENCES
    from seqlrp.checking import check as check_texts

    classifier = loaded(model, device, factory)
    if corpus is None and not text:
        print("No text given: looking at sentences of seqlrp's own.", file=sys.stderr)
        text = list(SENTENCES)
    texts = given(
        classifier, corpus, text or (), text_column=text_column, label_column=label_column,
        split=split, labelled="label" in (target, against),
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    report = check_texts(
        classifier, texts.texts, pair(target, against), labels=texts.labels, first=first,
        on_unanswerable=on_unanswerable.value, **lrp_options(epsilon, gate_rule),
    )  # fmt: skip
    print(report.summary())
    for warning in report.warnings:
        print(f"seqlrp: {warning}", file=sys.stderr)


@app.command()
def render(
    explanations: Annotated[
        Path, typer.Argument(metavar="EXPLANATIONS", help="A .parquet or .jsonl file.")
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The .html file, or a folder for pages of all texts."),
    ],
    first: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Show at most so many texts; in a file 100, in a folder all."
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Heading of the page.")
    ] = "Which words decided",
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="Colours by document or by corpus.")
    ] = "document",
) -> None:
    """Make a page of saved explanations, to look at and to send to people."""
    found = _Saved(explanations, None if _is_page(out) else first)
    _save_html(found, out, first, title=title, scale=scale)
    print(out)


class _Saved:
    """The explanations of a file, read one by one, as often as somebody asks."""

    def __init__(self, path: Path, first: int | None) -> None:
        self._path = path
        self._first = first

    def __iter__(self) -> Iterator[Explanation]:
        from seqlrp.explanation_files import read_explanations

        return islice(read_explanations(self._path), self._first)


def _is_page(path: Path | None) -> bool:
    return path is not None and path.suffix in (".html", ".htm")


def _save_html(
    explanations: Iterable[Explanation], path: Path, first: int | None, **look: Any
) -> None:
    """Write a page of the first texts, or a folder of pages of all of them."""
    from seqlrp.explanation import Explanations
    from seqlrp.page import save_pages

    if not _is_page(path):
        save_pages(explanations, path, **look)
        return
    number = _SHOWN if first is None else first
    shown = list(islice(explanations, number + 1))  # one more says whether there are more
    Explanations(shown[:number]).save_html(path, **look)
    if len(shown) > number:
        print(
            f"{path} shows the first {number:,} texts; --first takes another number, and a folder "
            "instead of a file holds them all.",
            file=sys.stderr,
        )


def _passed_on(
    explanations: Iterable[Explanation], also: Callable[[Explanation], None]
) -> Iterator[Explanation]:
    for explanation in explanations:
        also(explanation)
        yield explanation


def _print_words(explanations: Iterable[Explanation]) -> None:
    """Show texts as they come: in colour to a person, in plain words to a program."""
    from seqlrp.exports.terminal import show

    explanations = iter(explanations)
    if not show(_with_classes(explanations), sys.stdout):
        for number, explanation in enumerate(explanations):
            print(("\n" if number else "") + in_words(explanation), flush=True)


def _with_classes(explanations: Iterator[Explanation]) -> Iterator[Explanation]:
    """The same; below one of all classes, when it was shown, the words for and against each."""
    from seqlrp.explanation import ALL

    for explanation in explanations:
        yield explanation
        if explanation.target == ALL:
            print("", *by_class(explanation), sep="\n", flush=True)


def _print_lines(explanations: Iterable[Explanation]) -> None:
    from seqlrp.explanation_files import json_line

    for explanation in explanations:
        print(json_line(explanation), end="", flush=True)
