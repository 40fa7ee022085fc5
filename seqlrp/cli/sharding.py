"""`seqlrp explain --out FOLDER`: documents in shards, explained by many workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.cli.application import TEXTS_FAILED, print_path, say, show
from seqlrp.errors import OptionError

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier


class EngineName(StrEnum):
    """Where workers run."""

    processes = "processes"
    ray = "ray"


class OnError(StrEnum):
    """What becomes of a text at which a worker fails."""

    error = "raise"
    skip = "skip"


EngineOption = Annotated[
    EngineName, typer.Option(help="With --out FOLDER: where workers run; ray is an extra.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="With --out FOLDER: by default one a core, or a GPU."),
]
AddressOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="With --engine ray: of a cluster that runs.")
]
OnErrorOption = Annotated[
    OnError,
    typer.Option(help="With --out FOLDER: whether texts that fail are set aside, or end the run."),
]
ShardSizeOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="With --out FOLDER: documents in a shard.")
]
IdColumn = Annotated[
    str | None,
    typer.Option("--id-column", metavar="NAME", help="With --out FOLDER: column of the ids."),
]
MetricsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="With --out FOLDER: numbers for Prometheus.")
]
StatusOption = Annotated[
    bool, typer.Option("--status", help="With --out FOLDER: say how far it is, and end.")
]


@dataclass(frozen=True)
class Sharding:
    """The options that only a folder has."""

    engine: EngineName
    workers: int | None
    address: str | None
    on_error: OnError
    shard_size: int | None
    id_column: str | None
    metrics: Path | None
    status: bool

    def check_unused(self) -> None:
        """Check that none was typed where the output is no folder.

        Raises:
            OptionError: one was.
        """
        given = {
            "--engine": self.engine != EngineName.processes,
            "--workers": self.workers is not None,
            "--address": self.address is not None,
            "--on-error": self.on_error != OnError.skip,
            "--shard-size": self.shard_size is not None,
            "--id-column": self.id_column is not None,
            "--metrics": self.metrics is not None,
            "--status": self.status,
        }
        for flag in (flag for flag, typed in given.items() if typed):
            raise OptionError(f"{flag} goes with --out FOLDER, a name without .parquet or .jsonl.")


def is_folder(out: Path | None) -> bool:
    """Whether what is written is a folder of parts."""
    return out is not None and out != Path("-") and (out.is_dir() or not out.suffix)


def explain_shards(
    model: Path,
    sources: Sequence[str],
    out: Path,
    sharding: Sharding,
    factory: Callable[..., TextClassifier] | None,
    **options: Any,
) -> None:
    """Explain sources into a folder, or say how far it is.

    The exit status says whether texts were set aside.
    """
    from seqlrp import scale
    from seqlrp.scale.status import FAILED

    if sharding.status:
        found = scale.status(out)
        show(f"{found}\n{found.activity}")
        return
    try:
        found = scale.explain(
            model, sources, out, engine=sharding.engine.value, workers=sharding.workers,
            address=sharding.address, on_error=sharding.on_error.value,
            shard_size=sharding.shard_size, id_column=sharding.id_column,
            metrics=sharding.metrics, factory=factory, **options,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"finished shards are kept in {out}; the same command goes on from there.")
        raise
    say(f"{found}.")
    print_path(out)
    if found.failed:
        say(f"{out / FAILED} lists the texts that were set aside, and why.")
        raise typer.Exit(TEXTS_FAILED)
