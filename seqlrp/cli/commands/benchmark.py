"""The command `benchmark`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli.application import print_path, show
from seqlrp.cli.options import Device, DeviceOption, SizesOption
from seqlrp.cli.parsing import parse_numbers


class Pooling(StrEnum):
    """How the network that is timed pools its states."""

    max = "max"
    last = "last"


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
    pooling: Annotated[Pooling, typer.Option(help="Over steps, or the last.")] = Pooling.max,
    packed: Annotated[bool, typer.Option("--packed", help="Pack texts of T/2 to T.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write JSON, with times.")
    ] = None,
    device: DeviceOption = Device.cpu,
) -> None:
    """Time LRP against other methods side by side: ratios, on networks with random weights."""
    from seqlrp.benchmark import benchmark as time_methods
    from seqlrp.writing import check_writable

    if out is not None:
        check_writable(out.parent)
    lists = {"threads": threads, "hidden": hidden, "length": length, "batch": batch}
    options: dict[str, Any] = {
        name: parse_numbers(name, typed) for name, typed in lists.items() if typed is not None
    }
    options |= {"device": device.value, "pooling": pooling.value, "packed": packed}
    report = time_methods(**options, seconds=seconds, limit=limit, quick=quick)
    show(report.summary())
    if out is not None:
        report.save(out)
        print_path(out)
    if report.interrupted:
        raise typer.Exit(130)
