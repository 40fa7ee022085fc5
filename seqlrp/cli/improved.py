"""What `repair` and `prune` write: the new model, and the report of what was done to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seqlrp.cli.application import print_path, show
from seqlrp.cli.parsing import load_factory

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier


class ImprovementReport(Protocol):
    """The report of a repair or a pruning."""

    def summary(self) -> str:
        """What was done, for people."""

    def to_json(self) -> dict[str, Any]:
        """What is kept with the model."""

    def save(self, folder: Path) -> object:
        """Write page and tables."""


def save_improved(
    classifier: TextClassifier,
    report: ImprovementReport,
    done: str,
    out: Path,
    reports: Path | None,
    factory: str | None,
) -> None:
    """Write the model into `out` and the report into `reports`, and print the summary.

    The JSON of the report is kept with the model, under the name `done`.
    """
    from seqlrp.analysis.comparison_report import PAGE
    from seqlrp.models.saving import save

    function = None if factory is None else load_factory(factory)
    save(classifier, out, training={done: report.to_json()}, factory=function)
    show(report.summary())
    show()
    print_path(out)
    if reports is not None:
        report.save(reports)
        print_path(reports / PAGE)
