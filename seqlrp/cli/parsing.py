"""What typed options mean in Python."""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.cli.options import Device, GateRule
from seqlrp.errors import OptionError, WriteError, check_choice, near

if TYPE_CHECKING:
    from seqlrp.engine.batches import BatchTokens
    from seqlrp.models.classifier import TextClassifier


@contextmanager
def _uncollected() -> Iterator[None]:
    """Load modules and models, in which nothing is garbage, without the garbage collector.

    What is loaded is not looked through later, either: at the end of a process alone that would
    take half a second.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def parse_numbers(option: str, typed: str) -> list[int]:
    """Parse whole numbers that are separated by commas."""
    try:
        return [int(number) for number in typed.split(",")]
    except ValueError:
        raise OptionError(option=option, got=typed, expected="numbers such as 0,1,2,5") from None


def lrp_options(epsilon: str | None, gate_rule: GateRule | None) -> dict[str, Any]:
    """The options of LRP that were typed; the others keep their defaults."""
    given = {
        "epsilon": None if epsilon is None else _json_or_text(epsilon),
        "gate_rule": gate_rule and gate_rule.value,
    }
    return {name: value for name, value in given.items() if value is not None}


def parse_method_options(
    method: str, epsilon: str | None, gate_rule: GateRule | None, options: list[str] | None
) -> dict[str, Any]:
    """The options of a method by name: values that are JSON are read as JSON, others as strings.

    Raises:
        OptionError: no such method, an option that it does not take, or one that is given twice.
    """
    with _uncollected():
        from seqlrp.explaining.explain import CHOSEN
        from seqlrp.methods import METHODS

    check_choice("method", method, (*METHODS, CHOSEN))
    given = lrp_options(epsilon, gate_rule)
    flags = {name: f"--{name.replace('_', '-')}" for name in given}
    for option in options or ():
        name, found, value = option.partition("=")
        if not found:
            raise OptionError(f"Got --option {option!r}; expected a name and a value: n_steps=50.")
        if name in given:
            raise OptionError(f"The option {name!r} is given twice.")
        given[name], flags[name] = _json_or_text(value), f"--option {name}"
    if method == CHOSEN:
        return given  # refused, if there are any: it has its options
    parameters = dict(inspect.signature(METHODS[method]).parameters)
    del parameters["model"]
    for name, value in given.items():
        if name not in parameters:
            raise OptionError(
                f"Method {method!r} takes no {flags[name]}. {near(name, parameters)} "
                "Options are given as --option NAME=VALUE."
            )
        kind = parameters[name].annotation
        if type(value) not in _KINDS.get(kind, (type(value),)):
            raise OptionError(f"Got {flags[name]}={value}; expected {_KIND_NAMES[kind]}.")
    return given


# The types that a typed value may have, by the annotation of the option.
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
_KIND_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _json_or_text(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return written


def parse_batch_tokens(typed: str) -> BatchTokens:
    """The most tokens in a batch, or "auto"."""
    if typed == "auto":
        return "auto"
    if not (typed.isdecimal() and int(typed)):
        raise OptionError(
            option="batch_tokens", got=typed, expected="a whole number from 1 on, or auto"
        )
    return int(typed)


def target_or_pair(target: str, against: str | None) -> str | tuple[str, str]:
    """The target of `seqlrp.explain`: a class, or a pair of classes that are compared."""
    return target if against is None else (target, against)


def check_outputs(outputs: Iterable[Path | None], read: Iterable[str | Path | None]) -> None:
    """Check that no file is written over one that is read.

    Args:
        outputs: files or folders that are written.
        read: files that are read, or folders of which any file may be read; names that are no path
            are passed over.

    Raises:
        OptionError: an output is an input, or the same file by another name.
    """
    sources = [Path(source) for source in read if source is not None and os.path.exists(source)]
    for out in outputs:
        if out is None or not out.exists():
            continue
        for source in sources:
            inside = out.is_file() and source.resolve() in out.resolve().parents
            if inside or out.samefile(source):
                raise OptionError(
                    f"{out} is or may be read, as {source} is, and would be lost; name another "
                    "file to write.",
                    option="out",
                    got=out,
                )


def load_classifier(folder: Path, device: Device, factory: str | None = None) -> TextClassifier:
    """Load the classifier in a folder; `factory` names a function that builds the model.

    Raises:
        OptionError: there is no such function.
    """
    with _uncollected():
        from seqlrp.models.saving import load

        function = None if factory is None else load_factory(factory)
        return load(folder, device=device.value, factory=function)


def load_factory(name: str) -> Any:
    """Import "package.module:function", from the working directory or installed.

    Raises:
        OptionError: there is no such function.
    """
    module, _, function = name.partition(":")
    if module.endswith(".py"):
        path = module.removesuffix(".py").replace("/", ".")
        raise OptionError(
            option="factory",
            got=name,
            expected="package.module:function",
            advice=f"Leave out .py, as in {path}:{function or 'build'}.",
        )
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            option="factory",
            got=name,
            expected="package.module:function, with the module installed or in the working "
            f"directory ({error})",
        ) from error
    finally:
        sys.path.remove(os.getcwd())


def check_model_folder(out: Path, overwrite: bool) -> None:
    """Check that a model can be written there, before it is trained."""
    from seqlrp.models.saving import check_replaceable
    from seqlrp.writing import check_writable

    check_replaceable(out)
    if folder_entries(out) and not overwrite:
        raise WriteError(f"{out} holds a model already; name a new folder, or say --overwrite.")
    check_writable(out.parent)


def folder_entries(folder: Path) -> set[str]:
    """The names of the entries of a folder; none where it does not exist or is no folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
