"""Commands that make a classifier."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    pass


@app.command()
def demo(
    corpus: Annotated[str, typer.Option(help="reviews, imdb, generated, or any corpus.")] = (
        "reviews"
    ),
    out: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("seqlrp-demo"),
    vectors: Annotated[
        str,
        typer.Option(help="Pretrained word vectors: auto (if installed), none, a name or a file."),
    ] = "auto",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train on a corpus, explain its hold-out, delete words, and leave a page to look at."""
    from seqlrp.demo import run_demo

    run_demo(corpus, out, vectors=vectors, device=device.value, seed=seed)


@app.command()
def train(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    cell: Annotated[str, typer.Option(help="lstm or gru.")] = "lstm",
    pooling: Annotated[str, typer.Option(help="last, mean, max or attention.")] = "attention",
    hidden: Annotated[int, typer.Option(help="Hidden units in each direction.")] = 64,
    layers: Annotated[int, typer.Option(help="Recurrent layers.")] = 1,
    unidirectional: Annotated[bool, typer.Option(help="Read forwards only.")] = False,
    hierarchical: Annotated[bool, typer.Option(help="Words → sentences → document.")] = False,
    vectors: Annotated[
        str | None, typer.Option(help="Pretrained word vectors: none, a name or a file.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    language: Annotated[str, typer.Option(help="Language of the tokenizer.")] = "en",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train a classifier and save it as a folder."""
    from seqlrp.saving import save
    from seqlrp.text.corpora import load_corpus
    from seqlrp.text.tokens import SpacyTokenizer
    from seqlrp.training import fit
    from seqlrp.writing import check_writable

    check_writable(out.parent)
    found = load_corpus(corpus, text=text_column, label=label_column, split=split)
    options: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
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
