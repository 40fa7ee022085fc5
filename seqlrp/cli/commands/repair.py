"""The command `repair`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.improved import save_improved
from seqlrp.cli.input_texts import read_corpus
from seqlrp.cli.parsing import check_model_folder, check_outputs, load_classifier
from seqlrp.errors import OptionError


class How(StrEnum):
    """The ways of repair."""

    data = "data"
    penalise = "penalise"
    project = "project"
    disable = "disable"


class Edit(StrEnum):
    """What becomes of a shortcut in the corpus."""

    swap = "swap"
    delete = "delete"
    unknown = "unknown"


OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the new model.")]
ShortcutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shortcut",
        metavar="WORDS",
        help="A word or phrase, 'a + b' for two together, 'the first word' or 'the last "
        "word'; repeatable.",
    ),
]
UnitsOffOption = Annotated[
    list[str] | None,
    typer.Option(
        "--units-off",
        metavar="LAYER:N,…",
        help="disable: units to switch off, such as encoder.recurrence:3,17; repeatable.",
    ),
]
HowOption = Annotated[How, typer.Option(help="The way of repair.")]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder for page, tables and corpus.")
]
TestOption = Annotated[
    str | None,
    typer.Option(metavar="CORPUS", help="Texts to measure on; else a quarter of CORPUS."),
]
EditOption = Annotated[Edit, typer.Option(help="data: what becomes of the shortcut.")]
AnewOption = Annotated[bool, typer.Option("--anew", help="data: begin with new weights.")]
StrengthOption = Annotated[
    float | None, typer.Option(metavar="X", help="penalise: the weight of the penalty.")
]
LayerOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="project, disable: at which layer.")
]
OrthogonalOption = Annotated[
    bool, typer.Option("--orthogonal", help="project: the projection of P-ClArC.")
]
TrainOnOption = Annotated[
    bool, typer.Option("--train-on", help="disable: train the last layer on afterwards.")
]
EpochsOption = Annotated[int | None, typer.Option(metavar="N", help="Of training, at most.")]


def repair(
    model: shared.ModelArgument,
    corpus: shared.CorpusArgument,
    out: OutOption,
    shortcut: ShortcutOption = None,
    units_off: UnitsOffOption = None,
    how: HowOption = How.data,
    report: ReportOption = None,
    test: TestOption = None,
    edit: EditOption = Edit.swap,
    anew: AnewOption = False,
    strength: StrengthOption = None,
    layer: LayerOption = None,
    orthogonal: OrthogonalOption = False,
    train_on: TrainOnOption = False,
    epochs: EpochsOption = None,
    overwrite: shared.OverwriteOption = False,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    seed: shared.SeedOption = 0,
) -> None:
    """Make a new model that does not rest on a shortcut, and prove that it does not."""
    from seqlrp.improving.repair import repair as repair_classifier
    from seqlrp.improving.repair_report import FILES

    pages = [] if report is None else [report / name for name in FILES]
    check_outputs([out, *pages], [model, corpus, test])
    check_model_folder(out, overwrite)
    classifier = load_classifier(model, device, factory)
    given = _shortcuts(shortcut or (), units_off or ())
    read = partial(
        read_corpus, text=text_column, label=label_column, label_names=classifier.labels,
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    texts = read(corpus, split=split)
    measured = None if test is None else read(test)
    options: dict[str, Any] = {"strength": strength, "layer": layer, "epochs": epochs}
    repaired, found = repair_classifier(
        classifier, texts, given, how.value, test=measured, edit=edit.value, anew=anew,
        oblique=not orthogonal, train_on=train_on, seed=seed,
        **{name: value for name, value in options.items() if value is not None},
    )  # fmt: skip
    save_improved(repaired, found, "repair", out, report, factory)


def _shortcuts(words: Sequence[str], units_off: Sequence[str]) -> list[Any]:
    if not words and not units_off:
        raise OptionError("Name what is to be repaired: --shortcut WORDS, or --units-off LAYER:N.")
    return [*words, *map(_units, units_off)]


def _units(typed: str) -> dict[str, list[int]]:
    """A layer and its units, from LAYER:3,17."""
    layer, _, numbers = typed.rpartition(":")
    if not layer or not all(number.isdecimal() for number in numbers.split(",")):
        raise OptionError(
            option="units_off", got=typed, expected="a layer and its units: encoder.recurrence:3,17"
        )
    return {layer: [int(number) for number in numbers.split(",")]}
