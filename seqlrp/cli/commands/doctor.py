"""The command `doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from seqlrp.cli.application import show


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print versions and devices, and check every kernel against the reference.

    The exit status is 1 where a kernel does not agree.
    """
    from seqlrp.benchmark import diagnose

    found = diagnose()
    show(json.dumps(found.to_dict(), indent=2) if as_json else found.summary())
    if not found.healthy:
        raise typer.Exit(1)
