"""Declarations of the arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class GateRule(StrEnum):
    """How a gate and a signal share the relevance of their product."""

    all = "all"
    prop = "prop"
    abs = "abs"
    half = "half"


class OnUnanswerable(StrEnum):
    """What becomes of a text that cannot be explained."""

    error = "raise"
    skip = "skip"


CorpusArgument = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="A CSV, JSON lines, Parquet or text file, a folder CLASS/*.txt, 'reviews', 'imdb', "
        "'generated', or a data set of the hub.",
    ),
]
TextsArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CORPUS",
        help="The texts: a corpus as for `train`, a folder of .txt files, or - for standard "
        "input, a text on each line.",
    ),
]
SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CORPUS…",
        help="The texts: a corpus as for `train`, a folder of .txt files, or - for standard "
        "input, a text on each line. With --out FOLDER: files, folders, globs and URLs.",
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder that `seqlrp train` or seqlrp.save wrote.")
]
FactoryOption = Annotated[
    str | None,
    typer.Option(
        "--factory",
        metavar="MODULE:NAME",
        help="For a model of your own: package.module:function, code of yours that is run.",
    ),
]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", metavar="NAME", help="Column of the texts.")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="Column of the labels.")
]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Which part of the corpus.")
]
NoLabelsOption = Annotated[
    bool, typer.Option("--no-labels", help="Leave the labels of the corpus out.")
]
OnUnanswerableOption = Annotated[
    OnUnanswerable,
    typer.Option(help="What becomes of texts without a word, or with one class on both sides."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a model that is in the folder.")
]
SeedOption = Annotated[int, typer.Option(metavar="N", help="Seed of all random numbers.")]
MethodOption = Annotated[
    str, typer.Option(metavar="NAME", help="How to explain: lrp, gradient_x_input, …, chosen.")
]
MethodOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Of the method, e.g. n_steps=50; repeatable."
    ),
]
EpsilonOption = Annotated[
    str | None,
    typer.Option(metavar="ε", help="LRP's stabiliser: relative, as 5%, or absolute, as 0.001."),
]
GateRuleOption = Annotated[
    GateRule | None,
    typer.Option(help="LRP: what a gate gets of its product; all: the signal takes all."),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="TEXT", help="A text, or - for all of standard input; repeatable."
    ),
]
BatchTokensOption = Annotated[
    str,
    typer.Option(
        "--batch-tokens",
        metavar="N|auto",
        help="The most tokens in a batch; auto finds what is fast and fits.",
    ),
]
MaxWordsOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Refuse longer texts, which need much memory.")
]
SizesOption = Annotated[
    str | None, typer.Option(metavar="N,…", help="Numbers, separated by commas.")
]
TargetOption = Annotated[
    str, typer.Option(metavar="CLASS", help="predicted, label, all, or the name of a class.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS",
        help="Explain why the target rather than this class: predicted, label, or a name.",
    ),
]
