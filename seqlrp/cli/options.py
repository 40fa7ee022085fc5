"""What commands share: arguments and options, and what they mean in Python."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.errors import OptionError, near

if TYPE_CHECKING:
    from seqlrp.batching import BatchTokens
    from seqlrp.text_classifier import TextClassifier


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class GateRule(StrEnum):
    """How a gate and a signal share relevance."""

    all = "all"
    prop = "prop"
    abs = "abs"
    half = "half"


class OnUnanswerable(StrEnum):
    """What becomes of a text of which nothing can be asked."""

    error = "raise"
    skip = "skip"


CorpusArgument = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="A CSV, JSON lines, Parquet or text file, a folder CLASS/*.txt, 'reviews', 'imdb', "
        "'generated', or a data set of the hub.",
    ),
]
TextsArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CORPUS",
        help="What to look at: a corpus as for `train`, a folder of .txt files, or - for standard "
        "input, a text on each line.",
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder that `seqlrp train` or seqlrp.save wrote.")
]
FactoryOption = Annotated[
    str | None,
    typer.Option(
        "--factory",
        metavar="MODULE:NAME",
        help="For a model of your own: package.module:function, code of yours that is run.",
    ),
]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", metavar="NAME", help="Column of the texts.")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", metavar="NAME", help="Column of the labels.")
]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Which part of the corpus.")
]
OnUnanswerableOption = Annotated[
    OnUnanswerable,
    typer.Option(help="What becomes of texts without a word, or with one class on both sides."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
SeedOption = Annotated[int, typer.Option(metavar="N", help="Seed of everything that is drawn.")]
MethodOption = Annotated[
    str, typer.Option(metavar="NAME", help="How to explain: lrp, gradient_x_input, …")
]
MethodOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Of the method, e.g. n_steps=50; repeatable."
    ),
]
EpsilonOption = Annotated[
    float | None, typer.Option(metavar="ε", help="LRP's stabiliser, 0 or more.")
]
GateRuleOption = Annotated[
    GateRule | None, typer.Option(help="LRP: what a gate gets of its product; all: the signal all.")
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text", metavar="TEXT", help="A text, or - for all of standard input; repeatable."
    ),
]
BatchTokensOption = Annotated[
    str,
    typer.Option(
        "--batch-tokens",
        metavar="N|auto",
        help="The most tokens in a batch; auto finds what is fast and fits.",
    ),
]
SizesOption = Annotated[
    str | None, typer.Option(metavar="N,…", help="Numbers, separated by commas.")
]
TargetOption = Annotated[
    str, typer.Option(metavar="CLASS", help="predicted, label, all, or the name of a class.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="CLASS",
        help="Why the target rather than this: predicted, label, or a class's name.",
    ),
]


def numbers(option: str, given: str) -> list[int]:
    """The numbers that were typed, separated by commas."""
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise OptionError(f"Got {option} {given!r}; expected numbers such as 0,1,2,5.") from None


def lrp_options(epsilon: float | None, gate_rule: GateRule | None) -> dict[str, Any]:
    """The options of LRP that were given; the rest is as it is by default."""
    given = {"epsilon": epsilon, "gate_rule": gate_rule and gate_rule.value}
    return {name: value for name, value in given.items() if value is not None}


def method_options(
    method: str, epsilon: float | None, gate_rule: GateRule | None, options: list[str] | None
) -> dict[str, Any]:
    """The options of a method by name; what is JSON is read as JSON, the rest is a string.

    Raises:
        OptionError: no such method, an option that it does not take, or one that is given twice.
    """
    from seqlrp.methods import METHODS

    if method not in METHODS:
        raise OptionError(f"There is no method {method!r}. {near(method, METHODS)}")
    given = lrp_options(epsilon, gate_rule)
    flags = {name: f"--{name.replace('_', '-')}" for name in given}
    for option in options or ():
        name, found, value = option.partition("=")
        if not found:
            raise OptionError(f"Got --option {option!r}; expected a name and a value: n_steps=50.")
        if name in given:
            raise OptionError(f"The option {name!r} is given twice.")
        given[name], flags[name] = _value(value), f"--option {name}"
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
            raise OptionError(f"Got {flags[name]}={value}; expected {_KINDS_SAID[kind]}.")
    return given


# How the methods annotate what is simple, and what may be typed for it.
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
_KINDS_SAID = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _value(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return written


def most_tokens(given: str) -> BatchTokens:
    """The most tokens in a batch, or "auto"."""
    if given != "auto" and not (given.isdecimal() and int(given)):
        raise OptionError(
            f"Got --batch-tokens {given}; expected a whole number from 1 on, or auto."
        )
    return "auto" if given == "auto" else int(given)


def pair(target: str, against: str | None) -> str | tuple[str, str]:
    """The target as `seqlrp.explain` takes it: a class, or a class rather than another."""
    return target if against is None else (target, against)


def loaded(folder: Path, device: Device, factory: str | None = None) -> TextClassifier:
    """The classifier in a folder, on that device; the code of its owner is run where it is named.

    Raises:
        OptionError: there is no such function.
    """
    from seqlrp.saving import load

    function = None if factory is None else _function(factory)
    return load(folder, device=device.value, factory=function)


def _function(name: str) -> Any:
    """A function by the name "package.module:function", from the working directory or installed."""
    module, _, function = name.partition(":")
    if module.endswith(".py"):
        raise OptionError(
            f"Got --factory {name!r}, expected package.module:function: leave out .py, as in "
            f"{module.removesuffix('.py').replace('/', '.')}:{function or 'build'}."
        )
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"Got --factory {name!r}: {error}; expected package.module:function, with the module "
            "installed or in the working directory."
        ) from error
    finally:
        sys.path.remove(os.getcwd())
