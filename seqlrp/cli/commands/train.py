"""The command `train`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import print_path
from seqlrp.cli.input_texts import read_corpus
from seqlrp.cli.parsing import check_model_folder, check_outputs

if TYPE_CHECKING:
    from seqlrp.models.optimisation import Epoch


class ClassWeights(StrEnum):
    """How classes are weighted in the loss."""

    balanced = "balanced"


OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the model.")]
CellOption = Annotated[str, typer.Option(metavar="NAME", help="lstm or gru.")]
PoolingOption = Annotated[str, typer.Option(metavar="NAME", help="last, mean, max or attention.")]
HiddenOption = Annotated[int, typer.Option(metavar="N", help="Hidden units in each direction.")]
LayersOption = Annotated[int, typer.Option(metavar="N", help="Recurrent layers.")]
UnidirectionalOption = Annotated[bool, typer.Option("--unidirectional", help="Read forwards only.")]
HierarchicalOption = Annotated[
    bool, typer.Option("--hierarchical", help="Words → sentences → document.")
]
VectorsOption = Annotated[
    str | None,
    typer.Option(
        metavar="VECTORS",
        help="Pretrained word vectors: glove-6b-50d, a text file as of GloVe or word2vec, or none.",
    ),
]
ClassWeightsOption = Annotated[
    ClassWeights | None,
    typer.Option(help="In the loss; balanced: rare classes weigh as much as common ones."),
]
EpochsOption = Annotated[int | None, typer.Option(metavar="N", help="At most; 10 by default.")]
LearningRateOption = Annotated[
    float | None, typer.Option(metavar="X", help="Of AdamW; 0.002 by default.")
]
BatchSizeOption = Annotated[
    int | None, typer.Option(metavar="N", help="Texts in a batch; 64 by default.")
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Of a longer text each epoch reads so many; all by default."),
]
MinCountOption = Annotated[
    int | None, typer.Option(metavar="N", help="Rarer words are unknown; 1 by default.")
]
LanguageOption = Annotated[str, typer.Option(metavar="CODE", help="Language of the tokenizer.")]


def train(
    corpus: shared.CorpusArgument,
    out: OutOption,
    overwrite: shared.OverwriteOption = False,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    cell: CellOption = "lstm",
    pooling: PoolingOption = "attention",
    hidden: HiddenOption = 64,
    layers: LayersOption = 1,
    unidirectional: UnidirectionalOption = False,
    hierarchical: HierarchicalOption = False,
    vectors: VectorsOption = None,
    class_weights: ClassWeightsOption = None,
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    batch_size: BatchSizeOption = None,
    max_tokens: MaxTokensOption = None,
    min_count: MinCountOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    language: LanguageOption = "en",
    device: shared.DeviceOption = shared.Device.auto,
    seed: shared.SeedOption = 0,
) -> None:
    """Train a classifier and save it as a folder."""
    from seqlrp.models.saving import save
    from seqlrp.models.training import fit
    from seqlrp.text.tokens import SpacyTokenizer

    check_outputs([out], [corpus, vectors])
    check_model_folder(out, overwrite)
    found = read_corpus(
        corpus, text=text_column, label=label_column, split=split, labelled="required",
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    options = _typed(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_length=max_tokens,
        min_count=min_count, class_weights=class_weights and class_weights.value,
    )  # fmt: skip
    trained = fit(
        found, layout="sentences" if hierarchical else "words",
        vectors=None if vectors == "none" else vectors, tokenizer=SpacyTokenizer(language),
        device=device.value, cell=cell, pooling=pooling, hidden=hidden, layers=layers, seed=seed,
        bidirectional=not unidirectional, **options,
        on_epoch=_ignore if sys.stderr.isatty() else _print_epoch,
    )  # fmt: skip
    save(trained.classifier, out, training=trained.report.to_json())
    print_path(out)
    print(trained.report.sentence(), file=sys.stderr)


def _typed(**options: Any) -> dict[str, Any]:
    """The options that were typed; the others have their defaults in `fit`."""
    return {name: value for name, value in options.items() if value is not None}


def _ignore(number: int, epoch: Epoch) -> None:
    """The bar shows it."""


def _print_epoch(number: int, epoch: Epoch) -> None:
    print(f"epoch {number}: {epoch.sentence()}", file=sys.stderr, flush=True)
