"""The command `compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import LIMIT_PASSED, print_path, say, show
from seqlrp.cli.parsing import check_outputs, load_classifier, parse_method_options

if TYPE_CHECKING:
    from seqlrp.analysis.comparison_report import Comparison


FirstModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="The model compared with.")
]
SecondModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL2", help="The model that is judged.")
]
OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for page and tables.")]
TargetOption = Annotated[
    str,
    typer.Option(
        metavar="CLASS", help="Class that is explained: predicted (by MODEL), label, or a name."
    ),
]
MethodOption = Annotated[str, typer.Option(metavar="NAME", help="Method of explanation.")]
FirstOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Texts that the page shows side by side.")
]
MaxChangedOption = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="End with status 3 if more than this share of the answers changed.",
    ),
]
MinAgreementOption = Annotated[
    float | None,
    typer.Option(
        metavar="CORRELATION",
        min=-1,
        max=1,
        help="End with status 3 if the mean rank correlation of relevance is below this.",
    ),
]


def compare(
    model: FirstModelArgument,
    model2: SecondModelArgument,
    corpus: shared.CorpusArgument,
    out: OutOption,
    target: TargetOption = "predicted",
    method: MethodOption = "lrp",
    option: shared.MethodOptions = None,
    first: FirstOption = 30,
    max_changed_predictions: MaxChangedOption = None,
    min_agreement: MinAgreementOption = None,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    no_labels: shared.NoLabelsOption = False,
    split: shared.SplitOption = None,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
) -> None:
    """Compare two models on the same texts: whose answers changed, and whose reasons."""
    from seqlrp.analysis.compare import compare as compare_classifiers
    from seqlrp.analysis.comparison_report import FILES, PAGE
    from seqlrp.cli.input_texts import read_texts

    check_outputs([out / name for name in FILES], [model, model2, corpus])
    options = parse_method_options(method, None, None, option)
    old, new = load_classifier(model, device, factory), load_classifier(model2, device, factory)
    given = read_texts(
        old, str(corpus), (), text_column=text_column, label_column=label_column, split=split,
        labelled=not no_labels, on_unanswerable="skip",
    )  # fmt: skip
    found = compare_classifiers(
        old, new, given.texts, given.labels, target=target, method=method,
        names=_names(model, model2), ids=given.names, **options,
    )  # fmt: skip
    found.save(out, first=first)
    show(found.summary())
    show()
    print_path(out / PAGE)
    passed = list(_passed_limits(found, max_changed_predictions, min_agreement))
    if passed:
        say("; ".join(passed) + ".")
        raise typer.Exit(LIMIT_PASSED)


def _names(model: Path, model2: Path) -> tuple[str, str]:
    """What tables and pages call two models, by their folders."""
    if model.name != model2.name:
        return model.name, model2.name
    if str(model) != str(model2):
        return str(model), str(model2)
    return str(model), f"{model2} again"


def _passed_limits(
    found: Comparison, most_changed: float | None, least_agreement: float | None
) -> Iterator[str]:
    """Say which of the limits a comparison passes."""
    if most_changed is not None and 1 - found.agreement > most_changed:
        yield f"{1 - found.agreement:.4g} of the answers changed, at most {most_changed:g} may"
    if least_agreement is not None and not found.correlation >= least_agreement:
        yield (
            f"the mean rank correlation of relevance is {found.correlation:.3g}, "
            f"at least {least_agreement:g} is asked for"
        )
