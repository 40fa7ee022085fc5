"""The command `methods`."""

from __future__ import annotations

import inspect

from seqlrp.cli.application import show


def methods() -> None:
    """List the methods of explanation, and the options that each takes by --option NAME=VALUE."""
    from seqlrp.methods import METHODS

    for name, method in METHODS.items():
        _, *parameters = inspect.signature(method).parameters.values()  # the model is first
        options = ", ".join(
            p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters
        )
        sentence = inspect.getdoc(method) or ""
        show(f"{name}: {sentence.splitlines()[0]}")
        show(f"    {options}" if options else "    no options")
