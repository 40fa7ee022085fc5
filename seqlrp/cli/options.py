"""What commands share: arguments and options, and what they mean in Python."""

from __future__ import annotations

import importlib
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqlrp.errors import OptionError

if TYPE_CHECKING:
    from seqlrp.text.corpora import Corpus
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
        help="A CSV, JSON lines, Parquet or text file, a folder CLASS/*.txt, 'reviews', 'imdb', "
        "'generated', or a data set of the hub."
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(help="A folder that `seqlrp train` or seqlrp.save wrote.")
]
FactoryOption = Annotated[
    str | None,
    typer.Option(
        "--factory",
        help="For a model of your own: package.module:function, code of yours that is run.",
    ),
]
TextColumn = Annotated[str | None, typer.Option("--text-column", help="Column of the texts.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Column of the labels.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Which part of the corpus.")]
OnUnanswerableOption = Annotated[
    OnUnanswerable,
    typer.Option(help="What becomes of texts without a word, or with one class on both sides."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
MethodOption = Annotated[str, typer.Option(help="How to explain: lrp, gradient_x_input, …")]
EpsilonOption = Annotated[float | None, typer.Option(help="LRP's stabiliser ε ≥ 0.")]
GateRuleOption = Annotated[
    GateRule | None, typer.Option(help="LRP: what a gate gets of its product; all: the signal all.")
]
TextOption = Annotated[
    list[str] | None, typer.Option("--text", help="A text, or - for standard input; repeatable.")
]
SizesOption = Annotated[str | None, typer.Option(help="Numbers, separated by commas.")]
AgainstOption = Annotated[
    str | None,
    typer.Option(help="Why the target rather than this: predicted, label, or a class's name."),
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


def pair(target: str, against: str | None) -> str | tuple[str, str]:
    """The target as `seqlrp.explain` takes it: a class, or a class rather than another."""
    return target if against is None else (target, against)


def corpus_for(
    classifier: TextClassifier,
    corpus: str,
    text: str | None,
    label: str | None,
    split: str | None,
    on_unanswerable: OnUnanswerable = OnUnanswerable.error,
) -> Corpus:
    """The corpus that was named, its labels in the order of the classifier's."""
    from seqlrp.text.corpora import load_corpus

    return load_corpus(
        corpus,
        text=text,
        label=label,
        split=split,
        label_names=classifier.labels,
        on_unanswerable=on_unanswerable.value,
    )


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
