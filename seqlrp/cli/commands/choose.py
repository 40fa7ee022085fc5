"""The command `choose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import print_path, say, show
from seqlrp.cli.input_texts import read_corpus
from seqlrp.cli.parsing import (
    check_outputs,
    load_classifier,
    parse_batch_tokens,
    parse_method_options,
)

CandidatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="METHOD[,NAME=VALUE…]",
        help="In place of seqlrp's own candidates, e.g. lrp,epsilon=2%; repeatable.",
    ),
]
MetricOption = Annotated[
    str, typer.Option(metavar="NAME", help="What is compared: abpc, comprehensiveness, …")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Keep both evaluations here; an interrupted choice goes on."
    ),
]
FirstOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Take at most so many texts.")
]
MinWordsOption = Annotated[int, typer.Option(metavar="N", help="Leave shorter texts out.")]


def choose(
    model: shared.ModelArgument,
    corpus: shared.CorpusArgument,
    candidate: CandidatesOption = None,
    metric: MetricOption = "abpc",
    out: OutOption = None,
    first: FirstOption = None,
    min_words: MinWordsOption = 10,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    batch_tokens: shared.BatchTokensOption = "8192",
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    seed: shared.SeedOption = 0,
) -> None:
    """Choose the method of explanation for a model, and store it there for `--method chosen`.

    Candidates are compared on one half of the texts, and the best is confirmed on the other.
    """
    from seqlrp.analysis.choose import choose as choose_method
    from seqlrp.evaluation.report.report import FILES
    from seqlrp.models.chosen import CHOICE
    from seqlrp.writing import check_writable

    if out is not None:
        folders = (out / "choosing", out / "confirming")
        files = [folder / name for folder in folders for name in FILES]
        check_outputs([out, *files], [model, corpus])
    candidates = None if candidate is None else dict(_candidate(typed) for typed in candidate)
    tokens = parse_batch_tokens(batch_tokens)
    classifier = load_classifier(model, device, factory)
    check_writable(model)
    texts = read_corpus(
        corpus, text=text_column, label=label_column, split=split, label_names=classifier.labels,
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    try:
        choice = choose_method(
            classifier, texts if first is None else texts.part(slice(first)),
            candidates=candidates, metric=metric, min_words=min_words, seed=seed,
            batch_tokens=tokens, out=out,
        )  # fmt: skip
    except KeyboardInterrupt:
        if out is not None:
            say(f"methods that are finished are kept in {out}; the same command goes on.")
        raise
    choice.save(model)
    show(choice.summary())
    show()
    print_path(model / CHOICE)


def _candidate(typed: str) -> tuple[str, dict[str, Any]]:
    """The name of a candidate, as typed, with its method and options."""
    method, *options = typed.split(",")
    return typed, {"method": method, **parse_method_options(method, None, None, options)}
