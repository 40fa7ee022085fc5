"""Commands that make a classifier."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli.application import app
from seqlrp.cli.options import (
    CorpusArgument,
    Device,
    DeviceOption,
    LabelColumn,
    SeedOption,
    SplitOption,
    TextColumn,
)
from seqlrp.errors import WriteError


class ClassWeights(StrEnum):
    """What a class weighs in the loss."""

    balanced = "balanced"


@app.command()
def demo(
    corpus: Annotated[
        str, typer.Option(metavar="CORPUS", help="reviews, imdb, generated, or any corpus.")
    ] = ("reviews"),
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for everything.")] = Path(
        "seqlrp-demo"
    ),
    vectors: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Pretrained word vectors: auto (if installed), none, a name or a file.",
        ),
    ] = "auto",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train on a corpus, explain its hold-out, delete words, and leave a page to look at."""
    from seqlrp.demo import FILES, run_demo

    present = _entries(out)
    if (replaced := sorted(present & FILES)) and "held-out.csv" not in present:
        raise WriteError(
            f"{out} holds {replaced[0]!r}, which would be replaced, and was not made by "
            "`seqlrp demo`; name another folder by --out."
        )
    run_demo(corpus, out, vectors=vectors, device=device.value, seed=seed)


@app.command()
def train(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the model.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that is in the folder.")
    ] = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    cell: Annotated[str, typer.Option(metavar="NAME", help="lstm or gru.")] = "lstm",
    pooling: Annotated[
        str, typer.Option(metavar="NAME", help="last, mean, max or attention.")
    ] = "attention",
    hidden: Annotated[int, typer.Option(metavar="N", help="Hidden units in each direction.")] = 64,
    layers: Annotated[int, typer.Option(metavar="N", help="Recurrent layers.")] = 1,
    unidirectional: Annotated[
        bool, typer.Option("--unidirectional", help="Read forwards only.")
    ] = False,
    hierarchical: Annotated[
        bool, typer.Option("--hierarchical", help="Words → sentences → document.")
    ] = False,
    vectors: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Pretrained word vectors: none, a name or a file."),
    ] = None,
    class_weights: Annotated[
        ClassWeights | None,
        typer.Option(help="In the loss; balanced: rare classes weigh as much as common ones."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="At most; 10 by default.")] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Language of the tokenizer.")
    ] = "en",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train a classifier and save it as a folder."""
    from seqlrp.saving import check_replaceable, save
    from seqlrp.text.corpora import load_corpus
    from seqlrp.text.tokens import SpacyTokenizer
    from seqlrp.training import fit
    from seqlrp.writing import check_writable

    check_replaceable(out)
    if _entries(out) and not overwrite:
        raise WriteError(f"{out} holds a model already; name a new folder, or say --overwrite.")
    check_writable(out.parent)
    found = load_corpus(corpus, text=text_column, label=label_column, split=split)
    options: dict[str, Any] = {"class_weights": class_weights and class_weights.value}
    if epochs is not None:
        options["epochs"] = epochs
    trained = fit(
        found,
        layout="sentences" if hierarchical else "words",
        vectors=None if vectors == "none" else vectors,
        tokenizer=SpacyTokenizer(language),
        device=device.value,
        cell=cell,
        pooling=pooling,
        hidden=hidden,
        layers=layers,
        bidirectional=not unidirectional,
        seed=seed,
        **options,
    )
    save(trained.classifier, out, training=trained.report.to_json())
    print(out)
    print(trained.report.sentence(), file=sys.stderr)


def _entries(folder: Path) -> set[str]:
    """The names of what is in a folder; none where it is not there, or is no folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
