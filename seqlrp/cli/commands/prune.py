"""The command `prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.improved import save_improved
from seqlrp.cli.parsing import (
    check_model_folder,
    check_outputs,
    load_classifier,
    parse_batch_tokens,
    parse_method_options,
)

OutOption = Annotated[Path, typer.Option(metavar="MODEL2", help="Folder for the smaller model.")]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder for page and tables.")
]
ShareOption = Annotated[
    float, typer.Option(metavar="SHARE", help="Of the units that go, above 0 and below 1.")
]
CriterionOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How units are scored: lrp, absolute, signed, positive, gradient_x_unit, "
        "gradient, taylor, weight, random.",
    ),
]
LayerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        metavar="NAME",
        help="A module whose units may go; repeatable. By default all recurrent layers.",
    ),
]
ReferencesOption = Annotated[
    int, typer.Option(metavar="N", help="Texts of each class, the most, that score units.")
]
ScopeOption = Annotated[
    str, typer.Option(metavar="SCOPE", help="global: rank all units together; or layer.")
]
StepsOption = Annotated[int, typer.Option(metavar="N", help="Take units away in so many steps.")]
RefitOption = Annotated[
    bool, typer.Option("--refit/--no-refit", help="Fit the scores to those of the full model.")
]
EpochsOption = Annotated[
    int, typer.Option(metavar="N", help="Train on for so many passes after each step.")
]
WordsOption = Annotated[
    str, typer.Option(metavar="WORDS", help="seen: forget words that no text has; or all.")
]
CompareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        metavar="NAME",
        help="Another criterion in the curve of the report; repeatable. By default random.",
    ),
]
NoLabelsOption = Annotated[
    bool, typer.Option("--no-labels", help="Leave the labels of the corpus out.")
]


def prune(
    model: shared.ModelArgument,
    corpus: shared.CorpusArgument,
    out: OutOption,
    report: ReportOption = None,
    share: ShareOption = 0.5,
    criterion: CriterionOption = "lrp",
    layer: LayerOption = None,
    references: ReferencesOption = 20,
    scope: ScopeOption = "global",
    steps: StepsOption = 1,
    refit: RefitOption = True,
    epochs: EpochsOption = 0,
    words: WordsOption = "all",
    compare: CompareOption = None,
    overwrite: shared.OverwriteOption = False,
    option: shared.MethodOptions = None,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    no_labels: NoLabelsOption = False,
    split: shared.SplitOption = None,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    batch_tokens: shared.BatchTokensOption = "4096",
    seed: shared.SeedOption = 0,
) -> None:
    """Take away the units that matter least, and write a smaller model."""
    from seqlrp.cli.input_texts import read_texts
    from seqlrp.improving.prune import prune as prune_classifier
    from seqlrp.improving.prune_report import FILES

    options = parse_method_options("lrp", None, None, option)
    outputs = [] if report is None else [report / name for name in FILES]
    check_outputs([out, *outputs], [model, corpus])
    check_model_folder(out, overwrite)
    classifier = load_classifier(model, device, factory)
    given = read_texts(
        classifier, corpus, (), text_column=text_column, label_column=label_column, split=split,
        labelled=not no_labels, on_unanswerable="skip",
    )  # fmt: skip
    smaller, found = prune_classifier(
        classifier, given.texts, given.labels, share=share, criterion=criterion, layers=layer,
        references=references, scope=scope, steps=steps, refit=refit, epochs=epochs, words=words,
        compare=("random",) if compare is None else compare, seed=seed,
        batch_tokens=parse_batch_tokens(batch_tokens), **options,
    )  # fmt: skip
    save_improved(smaller, found, "pruned", out, report, factory)
