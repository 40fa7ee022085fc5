"""Commands that explain, and that show what was explained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli.application import app, ascii_safe
from seqlrp.cli.options import (
    AgainstOption,
    Device,
    DeviceOption,
    EpsilonOption,
    FactoryOption,
    GateRuleOption,
    LabelColumn,
    MethodOption,
    ModelArgument,
    OnUnanswerable,
    OnUnanswerableOption,
    SplitOption,
    TextColumn,
    TextOption,
    corpus_for,
    loaded,
    lrp_options,
    pair,
)
from seqlrp.errors import OptionError

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation


@app.command()
def explain(
    model: ModelArgument,
    corpus: Annotated[
        str | None, typer.Argument(help="What to explain: a corpus as for `train`.")
    ] = None,
    text: TextOption = None,
    out: Annotated[
        Path | None, typer.Option(help="A .parquet or .jsonl file; without it, words on stdout.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    target: Annotated[
        str, typer.Option(help="predicted, label, all, or the name of a class.")
    ] = "predicted",
    against: AgainstOption = None,
    method: MethodOption = "lrp",
    epsilon: EpsilonOption = None,
    gate_rule: GateRuleOption = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    on_unanswerable: OnUnanswerableOption = OnUnanswerable.error,
    device: DeviceOption = Device.auto,
    factory: FactoryOption = None,
) -> None:
    """Explain texts with a trained model: relevance of every word for the score of a class."""
    from seqlrp.explain import explain as explain_texts
    from seqlrp.exports.terminal import show, with_standard_input

    if (corpus is None) == (not text):
        raise OptionError("Say what to explain: either a corpus or --text, and not both.")
    classifier = loaded(model, device, factory)
    given = with_standard_input(text or (), sys.stdin)
    texts = given or corpus_for(
        classifier, str(corpus), text_column, label_column, split, on_unanswerable
    )
    explanations = explain_texts(
        classifier,
        texts,
        method,
        pair(target, against),
        on_unanswerable=on_unanswerable.value,
        **lrp_options(epsilon, gate_rule),
    )
    if out is not None:
        explanations.save(out)
        print(out)
    if html is not None:
        explanations.save_html(html)
        print(html)
    if out is None and html is None and not show(explanations, sys.stdout):
        for explanation in explanations:
            _print_words(explanation)


@app.command()
def check(
    model: ModelArgument,
    corpus: Annotated[
        str | None, typer.Argument(help="What to look at: a corpus as for `train`.")
    ] = None,
    text: TextOption = None,
    first: Annotated[int, typer.Option(help="Look at so many texts.")] = 20,
    target: Annotated[
        str, typer.Option(help="predicted, label, or the name of a class.")
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

    if corpus is not None and text:
        raise OptionError("Say what to look at: either a corpus or --text, and not both.")
    classifier = loaded(model, device, factory)
    texts: Any = text or SENTENCES
    if corpus is not None:
        texts = corpus_for(classifier, corpus, text_column, label_column, split, on_unanswerable)
    elif not text:
        print("No text given: looking at sentences of seqlrp's own.", file=sys.stderr)
    report = check_texts(
        classifier,
        texts,
        pair(target, against),
        first=first,
        on_unanswerable=on_unanswerable.value,
        **lrp_options(epsilon, gate_rule),
    )
    print(report.summary())
    for warning in report.warnings:
        print(f"seqlrp: {warning}", file=sys.stderr)


@app.command()
def render(
    explanations: Annotated[Path, typer.Argument(help="A .parquet or .jsonl file.")],
    out: Annotated[Path, typer.Option(help="The .html file, or a folder for pages of all texts.")],
    first: Annotated[int, typer.Option(help="Show at most so many texts in a file.", min=1)] = 100,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Which words decided",
    scale: Annotated[str, typer.Option(help="Colours by document or by corpus.")] = "document",
) -> None:
    """Make a page of saved explanations, to look at and to send to people."""
    from seqlrp.explanation import Explanations
    from seqlrp.page import save_pages

    saved = _Saved(explanations)
    if out.suffix == ".html":
        shown = list(islice(saved, first + 1))  # one more says whether there are more
        Explanations(shown[:first]).save_html(out, title=title, scale=scale)
        if len(shown) > first:
            print(
                f"Shown: the first {first:,} texts; --first takes another number, and --out a "
                "folder for pages of all texts.",
                file=sys.stderr,
            )
    else:
        save_pages(saved, out, title=title, scale=scale)
    print(out)


class _Saved:
    """The explanations of a file, read one by one, as often as somebody asks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Explanation]:
        from seqlrp.explanation_files import read_explanations

        return read_explanations(self._path)


def _print_words(explanation: Explanation) -> None:
    """The answer, the words with most relevance of either sign, and where the score went."""
    if explanation.target == "all":
        explanation = explanation.for_target(explanation.predicted)
    answer = f"{explanation.predicted_label}  (score {explanation.score:+.3f}"
    asked = f"for {explanation.target_label!r}"
    if explanation.against_label is not None:
        answer = f"{explanation.predicted_label}  (scores differ by {explanation.score:+.3f}"
        asked += f" rather than {explanation.against_label!r}"
    print(f"{answer} {asked})  {ascii_safe(explanation.text)}")
    strongest = sorted(
        (*explanation.top(5), *explanation.top(5, sign=-1)), key=lambda word: -abs(word[2])
    )
    for position, token, relevance in strongest:
        print(f"  {relevance:+9.4f}  {ascii_safe(token)}  [{position}]")
    for kind, amount in explanation.ledger.items():
        if amount:
            print(f"  {amount:+9.4f}  = all {kind}")
