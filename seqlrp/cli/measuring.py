"""Commands that measure: are explanations true, and how fast are they made."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli.application import app, say
from seqlrp.cli.options import (
    CorpusArgument,
    Device,
    DeviceOption,
    FactoryOption,
    LabelColumn,
    ModelArgument,
    SeedOption,
    SizesOption,
    SplitOption,
    TextColumn,
    loaded,
    numbers,
)


class RemovalOption(StrEnum):
    """What becomes of a removed word."""

    zero = "zero"
    delete = "delete"
    unk = "unk"
    mask = "mask"


class ScoreOption(StrEnum):
    """What is watched when words are removed."""

    probability = "probability"
    logit = "logit"
    accuracy = "accuracy"


class Pooled(StrEnum):
    """What becomes of the states of the network that is timed."""

    max = "max"
    last = "last"


@app.command()
def evaluate(
    model: ModelArgument,
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for tables and pictures.")],
    methods: Annotated[str, typer.Option(metavar="NAME,…", help="Names, separated by commas.")] = (
        "lrp,gradient_x_input,sensitivity,random"
    ),
    metrics: Annotated[str, typer.Option(metavar="NAME,…", help="Names, separated by commas.")] = (
        "word_deletion,aopc,comprehensiveness,sufficiency"
    ),
    ks: Annotated[
        str, typer.Option("--k", metavar="N,…", help="Numbers of deleted words.")
    ] = "0,1,2,3,4,5",
    removal: Annotated[
        RemovalOption,
        typer.Option(help="What becomes of a word: an embedding of 0, gone, unknown, masked."),
    ] = RemovalOption.zero,
    score: Annotated[ScoreOption, typer.Option(help="What is watched.")] = ScoreOption.probability,
    random_orders: Annotated[int, typer.Option(metavar="N", help="How often chance is tried.")] = 5,
    min_words: Annotated[int, typer.Option(metavar="N", help="Leave shorter texts out.")] = 10,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    device: DeviceOption = Device.auto,
    factory: FactoryOption = None,
    seed: SeedOption = 0,
) -> None:
    """Put explanations to the test: remove the words that each method names, and ask again.

    What is finished is kept in the folder: the same command goes on after an interruption.
    """
    from seqlrp.evaluation import evaluate as evaluated
    from seqlrp.text.corpora import load_corpus

    counts = numbers("--k", ks)
    classifier = loaded(model, device, factory)
    texts = load_corpus(
        corpus, text=text_column, label=label_column, split=split, label_names=classifier.labels
    )
    try:
        report = evaluated(
            classifier,
            texts,
            methods=[m.strip() for m in methods.split(",")],
            metrics=[m.strip() for m in metrics.split(",")],
            ks=counts,
            removal=removal.value,
            score=score.value,
            random_orders=random_orders,
            min_words=min_words,
            seed=seed,
            out=out,
        )
    except KeyboardInterrupt:
        say(f"methods that are finished are kept in {out}; the same command goes on from there.")
        raise
    print(report.summary())
    print()
    print(out)


@app.command()
def benchmark(
    quick: Annotated[bool, typer.Option("--quick", help="A small grid, under a minute.")] = False,
    threads: SizesOption = None,
    hidden: SizesOption = None,
    length: SizesOption = None,
    batch: SizesOption = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="For a row; 1, quick 0.3.")
    ] = None,
    limit: Annotated[
        float | None, typer.Option(metavar="S", help="A call, in seconds; 10, quick 1.")
    ] = None,
    pooling: Annotated[Pooled, typer.Option(help="Over steps, or the last.")] = Pooled.max,
    packed: Annotated[bool, typer.Option("--packed", help="Pack texts of T/2 to T.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write JSON, with times.")
    ] = None,
    device: DeviceOption = Device.cpu,
) -> None:
    """Time LRP against other methods side by side: ratios, on networks with random weights."""
    from seqlrp.benchmark import benchmark as timed
    from seqlrp.writing import check_writable

    if out is not None:
        check_writable(out.parent)
    lists = {"threads": threads, "hidden": hidden, "length": length, "batch": batch}
    options: dict[str, Any] = {
        name: numbers(f"--{name}", given) for name, given in lists.items() if given is not None
    }
    options |= {"device": device.value, "pooling": pooling.value, "packed": packed}
    report = timed(**options, seconds=seconds, limit=limit, quick=quick)
    print(report.summary())
    if out is not None:
        report.save(out)
        print(out)
    if report.interrupted:
        raise typer.Exit(130)
