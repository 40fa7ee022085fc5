"""Saves and loads classifiers: a folder of weights, vocabulary and settings, bound by hashes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlrp.errors import (
    InputError,
    ModelError,
    NonFiniteError,
    OptionError,
    SavedFileError,
    VocabularyError,
    WriteError,
    check_choice,
)
from seqlrp.models.chosen import CHOICE, read_choice, write_choice
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.devices import resolve_device
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier
from seqlrp.models.resizing import resize, was_resized
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vocabulary import Vocabulary
from seqlrp.writing import read_file, written_whole

CONFIG = "config.json"
VOCABULARY = "vocabulary.json"
WEIGHTS = "weights.safetensors"

_FORMAT = "seqlrp classifier"
_VERSION = 3
_MODELS = {model.__name__: model for model in (RecurrentClassifier, HierarchicalClassifier)}
# The entries that the hash `binding` covers, and the file version that introduced each.
_BOUND = {
    "model": 1,
    "layout": 1,
    "labels": 1,
    "tokenizer": 1,
    "vocabulary": 1,
    "weights": 1,
    "multilabel": 2,
    "factory": 2,
    "pad_to": 3,
    "pad_side": 3,
    "truncate": 3,
    "training": 3,
    "versions": 3,
}
# What a factory's classifier must have as it was saved.
_ALIKE = ("layout", "multilabel", "pad_to", "pad_side", "truncate")
# What makes two folders hold the same classifier, to which the choice of a method is bound.
_SAME = ("labels", "vocabulary", "weights", *_ALIKE)

_PRECISIONS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}

Factory = Callable[[Vocabulary, tuple[str, ...]], TextClassifier]


def save(
    classifier: TextClassifier,
    folder: str | Path,
    *,
    training: Mapping[str, Any] | None = None,
    factory: Factory | None = None,
) -> None:
    """Write a classifier as a folder, whole or not at all.

    An earlier classifier in that folder is replaced; a method that was chosen for it (`choose`)
    stays only if it is the same classifier. What `seqlrp train` makes is saved whole. The
    code of a model or a tokenizer of your own cannot be saved, only weights, vocabulary and labels:
    a factory of yours builds the rest, here as a test and again in `load`.

    Args:
        classifier: the classifier to save.
        folder: the folder to write.
        training: a record of the training to keep, of anything that JSON can hold, such as
            `TrainingReport.to_json()`.
        factory: for a model or a tokenizer of your own: takes the vocabulary and the labels, and
            gives the `TextClassifier` with a model that need not be trained.

    Raises:
        ModelError: `load` could not build the model again: its class is not one of seqlrp's and
            there is no factory, or the factory gives another model.
        OptionError: the tokenizer is no SpacyTokenizer, and there is no factory.
        NonFiniteError: a weight is NaN or infinite.
        WriteError: the file system refused, or the folder holds something else.
    """
    folder = Path(folder).resolve()
    model, vocabulary = classifier.model, classifier.vocabulary
    arguments = None if factory is not None else _constructor_arguments(classifier)
    state, resized = _checked_state(classifier, arguments, factory)
    weights = safetensors.torch.save(state)
    tokenizer = classifier.tokenizer
    bound = {
        "model": {"class": type(model).__name__, "arguments": arguments}
        | ({"resized": True} if resized else {}),
        "layout": classifier.layout,
        "labels": list(classifier.labels),
        "tokenizer": tokenizer.config() if isinstance(tokenizer, SpacyTokenizer) else None,
        "vocabulary": vocabulary.fingerprint,
        "weights": hashlib.sha256(weights).hexdigest(),
        "multilabel": classifier.multilabel,
        "factory": None if factory is None else _name(factory),
        "pad_to": classifier.pad_to,
        "pad_side": classifier.pad_side,
        "truncate": classifier.truncate,
        "training": None if training is None else json.loads(json.dumps(training, allow_nan=False)),
        "versions": {name: _installed(name) for name in ("seqlrp", "torch")},
    }
    config = {"format": _FORMAT, "version": _VERSION, **bound, "binding": _digest(bound)}
    written = json.dumps(config, indent=1, ensure_ascii=True, allow_nan=False)
    check_replaceable(folder)
    identity = _identity(bound)
    choice = _kept_choice(classifier, folder, identity)
    with written_whole(folder) as temporary:
        temporary.mkdir()
        vocabulary.save(temporary / VOCABULARY)
        (temporary / WEIGHTS).write_bytes(weights)
        (temporary / CONFIG).write_text(written, "ascii")
        if choice is not None:
            write_choice(temporary, identity, *choice)


def load(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    factory: Factory | None = None,
) -> TextClassifier:
    """Read what `save` wrote, ready to score.

    Args:
        folder: a folder that `save` wrote.
        device: the device to load the model to.
        factory: the function that the classifier was saved with, if any. Nothing that the folder
            names is ever run or imported.

    Raises:
        SavedFileError: a file is missing, damaged or of another version, or they do not fit
            together.
        VocabularyError: the vocabulary is not the one that the weights were trained with.
        NonFiniteError: a weight is NaN or infinite.
        ModelError: the factory gives another model than the one that was saved.
        OptionError: there is no such device; or a factory is missing, or not wanted.
    """
    folder = Path(folder)
    chosen = resolve_device(device)
    config = _read_config(folder)
    _check_factory(folder, config["factory"], factory)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    weights = _read(folder / WEIGHTS)
    _check_hashes(folder, config, vocabulary, weights)
    labels = _checked_labels(folder, config["labels"])
    built = None
    if factory is not None:
        built = _build(factory, vocabulary, labels, {name: config[name] for name in _ALIKE})
    try:
        tensors = safetensors.torch.load(weights)
        _check_finite(tensors, f"The classifier in {folder}")
        if built is None:
            built = _rebuild(config, vocabulary, labels, tensors)
        else:
            if config["model"].get("resized"):
                resize(built.model, {name: value.shape for name, value in tensors.items()})
            if misfit := _misfit(built.model, tensors):
                raise ModelError(
                    f"The factory gives another model than the one in {folder}: {misfit}."
                )
            built.model.load_state_dict(tensors)
    except (
        InputError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as error:
        raise SavedFileError(f"The files in {folder} do not fit together: {error}") from error
    built.model.eval().to(chosen)
    choice = read_choice(folder, _identity(config))
    return built if choice is None else built.with_chosen(choice[0])


def save_choice(
    folder: str | Path,
    classifier: TextClassifier,
    method: Mapping[str, Any],
    report: Mapping[str, Any],
) -> None:
    """Write the method that was chosen for a classifier into the folder that holds it.

    Args:
        folder: a folder that `save` wrote.
        classifier: the classifier that the method was chosen for.
        method: its name as `"method"`, and its options; JSON values.
        report: how it was chosen, JSON values.

    Raises:
        SavedFileError: the folder holds no classifier, or another one.
        WriteError: the file system refused; what was there before is unchanged.
    """
    folder = Path(folder)
    weights = safetensors.torch.save(_state(classifier.model))
    own = {
        "labels": list(classifier.labels),
        "vocabulary": classifier.vocabulary.fingerprint,
        "weights": hashlib.sha256(weights).hexdigest(),
        **{name: getattr(classifier, name) for name in _ALIKE},
    }
    if _identity(own) != _identity(_read_config(folder)):
        raise SavedFileError(
            f"The method was chosen for another classifier than the one in {folder}.",
            "Give the folder of the one that it was chosen for, or choose again.",
        )
    write_choice(folder, _identity(own), method, report)


def _kept_choice(
    classifier: TextClassifier, folder: Path, identity: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The method that is chosen for a classifier, and its report if the folder has that."""
    try:
        kept = read_choice(folder, identity)
    except SavedFileError:  # the folder is replaced
        kept = None
    if classifier.chosen is None or (kept is not None and kept[0] == classifier.chosen):
        return kept
    return classifier.chosen, {}


def _identity(values: Mapping[str, Any]) -> str:
    return _digest({name: values[name] for name in _SAME})


def _check_hashes(
    folder: Path, config: Mapping[str, Any], vocabulary: Vocabulary, weights: bytes
) -> None:
    if vocabulary.fingerprint != config["vocabulary"]:
        raise VocabularyError(
            f"The vocabulary in {folder} is not the one that the weights were trained with.",
            f"Put back the {VOCABULARY} that was saved with them.",
        )
    if hashlib.sha256(weights).hexdigest() != config["weights"]:
        raise SavedFileError(
            f"{folder / WEIGHTS} is truncated or not the file that was saved with {CONFIG}.",
            "Copy the whole folder again.",
        )


def _rebuild(
    config: Mapping[str, Any],
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    tensors: Mapping[str, Tensor],
) -> TextClassifier:
    """Build a classifier of one of seqlrp's own models."""
    _check_sizes(config["model"]["arguments"], tensors)
    model = _blank(config["model"]["class"], config["model"]["arguments"])
    if config["model"].get("resized"):
        resize(model, {name: value.shape for name, value in tensors.items()})
    if misfit := _misfit(model, tensors):
        raise SavedFileError(f"the weights do not fit the model: {misfit}")
    model.load_state_dict(tensors, assign=True)
    return TextClassifier(
        model.eval(),
        vocabulary,
        labels,
        SpacyTokenizer(config["tokenizer"]["language"]),
        config["layout"],
        multilabel=config["multilabel"],
        pad_to=config["pad_to"],
        pad_side=config["pad_side"],
        truncate=config["truncate"],
    )


def _check_sizes(arguments: Any, tensors: Mapping[str, Tensor]) -> None:
    """Check that a model with these arguments could have these weights, before it is built.

    Raises:
        SavedFileError: it would be larger, or its weights have several precisions.
    """
    if not isinstance(arguments, dict):
        raise SavedFileError(f"the model's arguments are {arguments!r:.80}, expected an object")
    most = sum(value.numel() for value in tensors.values())
    for name, value in arguments.items():
        limit = len(tensors) if name == "layers" else most
        if isinstance(value, int | float) and not value <= limit:
            raise SavedFileError(
                f"the model has {name}={value!r:.20}, and its weights are {most:,} numbers in "
                f"{len(tensors)} tensors"
            )
    precisions = {value.dtype for value in tensors.values() if value.is_floating_point()}
    if len(precisions) > 1 or precisions - _PRECISIONS:
        found = ", ".join(sorted(map(str, precisions)))
        raise SavedFileError(f"the weights are {found}; expected one of float16 to float64")


def _checked_labels(folder: Path, labels: Any) -> tuple[str, ...]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise SavedFileError(
            f"{folder / CONFIG} has the labels {labels!r:.80}, expected a list of names."
        )
    return tuple(labels)


def _checked_state(
    classifier: TextClassifier, arguments: dict[str, Any] | None, factory: Factory | None
) -> tuple[dict[str, Tensor], bool]:
    """The weights of a classifier, if `load` could put them into a new model.

    Returns:
        the weights, and whether layers of the new model must be given other sizes first.
    """
    model = classifier.model
    tensors = _state(model)
    if factory is not None:
        alike = {name: getattr(classifier, name) for name in _ALIKE}
        blank = _build(factory, classifier.vocabulary, classifier.labels, alike).model
    else:
        blank = _blank(type(model).__name__, arguments or {})
    misfit = _misfit(blank, tensors)
    resized = misfit is not None and was_resized(model) and _can_resize(blank, model, tensors)
    if resized:
        misfit = _misfit(blank, tensors)
    if misfit:
        maker = "its constructor made it" if factory is None else "its factory makes it"
        raise ModelError(f"The model is no longer what {maker}: {misfit}.")
    _check_finite(tensors, "The model")
    return tensors, resized


def _can_resize(blank: nn.Module, model: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Give the layers of `blank` the sizes of those of a model, if they are of the same kinds.

    The model may have got a bias where `blank` has none.
    """
    if {n: type(m) for n, m in blank.named_modules()} != {
        n: type(m) for n, m in model.named_modules()
    }:
        return False
    more = tensors.keys() - blank.state_dict().keys()
    if not all(_lacks_bias(blank, name) for name in more):
        return False
    resize(blank, {name: value.shape for name, value in tensors.items()})
    return True


def _lacks_bias(model: nn.Module, name: str) -> bool:
    owner, _, own = name.rpartition(".")
    return own == "bias" and model.get_submodule(owner)._parameters.get(own, model) is None


def _constructor_arguments(classifier: TextClassifier) -> dict[str, Any]:
    """The arguments of the model's constructor, where `load` knows that constructor."""
    model = classifier.model
    advice = (
        "Pass factory=, a function of the vocabulary and the labels that gives such a "
        "seqlrp.TextClassifier, with a model that need not be trained; seqlrp.load takes it again."
    )
    if not isinstance(model, RecurrentClassifier) or type(model) not in _MODELS.values():
        raise ModelError(
            f"A model of the class {type(model).__name__} cannot be saved by itself, expected one "
            f"of {', '.join(_MODELS)}.",
            advice,
        )
    if type(classifier.tokenizer) is not SpacyTokenizer:
        raise OptionError(
            f"A tokenizer of the type {type(classifier.tokenizer).__name__} cannot be saved by "
            f"name, expected a SpacyTokenizer.",
            advice,
        )
    return dict(model.arguments)


def _check_factory(folder: Path, saved: str | None, given: Factory | None) -> None:
    if saved is None and given is not None:
        raise OptionError(f"The classifier in {folder} needs no factory; leave it out.")
    if saved is not None and given is None:
        raise OptionError(
            f"The classifier in {folder} is built by a function of its owner, which was called "
            f"{saved!r:.200} when it was saved, and which is not run unasked.",
            "Give it to seqlrp.load(folder, factory=…).",
            option="factory",
            code="factory_missing",
        )


def _build(
    factory: Factory,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    alike: Mapping[str, Any],
) -> TextClassifier:
    """Call the factory, without moving the random numbers of the caller, and check its answer.

    Args:
        factory: the function that the user gave.
        vocabulary: the vocabulary of the classifier.
        labels: the labels of the classifier.
        alike: layout, `multilabel` and the options of padding that the answer must have.
    """
    with torch.random.fork_rng(devices=[]):
        classifier = factory(vocabulary, labels)
    if not isinstance(classifier, TextClassifier):
        raise ModelError(
            f"The factory returns a {type(classifier).__name__}, expected a "
            "seqlrp.TextClassifier of the vocabulary and the labels that it is given."
        )
    if classifier.vocabulary != vocabulary or classifier.labels != labels:
        raise ModelError(
            "The factory gives a classifier with another vocabulary or other labels than those "
            "that it is given."
        )
    for name, value in alike.items():
        if getattr(classifier, name) != value:
            raise ModelError(
                f"The factory gives a classifier with {name}={getattr(classifier, name)!r}, "
                f"expected {value!r} as saved."
            )
    return classifier


def _name(factory: Factory) -> str:
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{factory.__module__}:{name}"


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers, copied to the CPU, none of which share memory."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ModelError(
                f"The model's state holds {name}, a {type(value).__name__}; only tensors can be "
                "saved."
            )
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _blank(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """A model on the meta device, which needs neither memory nor random numbers."""
    check_choice("model class", name, _MODELS)
    with torch.device("meta"), _NoInitialisation():
        return _MODELS[name](**arguments)


class _NoInitialisation(TorchFunctionMode):
    """Leaves new weights as they are: `normal_` on the meta device imports all of torch._dynamo."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _misfit(model: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Why `tensors` cannot be the weights of `model`, or None if they can."""
    expected = model.state_dict()
    if odd := sorted(expected.keys() ^ tensors.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in expected else 'no part of it'}"
    for name, value in expected.items():
        # A model on the meta device takes weights of any precision.
        dtypes = {tensors[name].dtype} if value.is_meta else {value.dtype}
        found, shape = tensors[name], list(value.shape)
        floats = found.is_floating_point() == value.is_floating_point()
        if list(found.shape) != shape or not floats or found.dtype not in dtypes:
            wanted = "floats" if value.is_meta else str(value.dtype)
            return (
                f"{name} is {found.dtype} of the shape {list(found.shape)}, "
                f"expected {wanted} of the shape {shape}"
            )
    return None


def _check_finite(tensors: Mapping[str, Tensor], owner: str) -> None:
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise NonFiniteError(f"{owner} has weights that are NaN or infinite, in {name}.")


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that `save` may not replace: only what it wrote may go.

    Raises:
        WriteError: the folder holds something else, or is a file.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise WriteError(
            f"Could not write {folder}: it is a file, expected a folder or a new name."
        )
    other = sorted(set(os.listdir(folder)) - {CONFIG, VOCABULARY, WEIGHTS, CHOICE})
    if other:
        raise WriteError(
            f"Could not write {folder}: the folder holds something else ({other[0]!r}), which "
            "would be lost; choose a new name."
        )


def _digest(bound: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode("ascii")).hexdigest()


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise SavedFileError(
            f"Could not read {path}: {error.strerror or error}.",
            "Give a folder that seqlrp.save wrote.",
            code="no_model_folder",
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    written = _read(path)
    try:
        config = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise SavedFileError(
            f"{path} is truncated or damaged: it is not valid JSON ({error})."
        ) from error
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise SavedFileError(f'{path} was not written by seqlrp: it lacks "format": "{_FORMAT}".')
    version = config.get("version")
    if type(version) is not int or not 1 <= version <= _VERSION:
        raise SavedFileError(
            f"{path} has the format version {version!r}, expected 1 to {_VERSION}; "
            "read it with the version of seqlrp that wrote it."
        )
    names = [name for name, since in _BOUND.items() if since <= version]
    if missing := [name for name in (*names, "binding") if name not in config]:
        raise SavedFileError(f"{path} is damaged: {missing[0]!r} is missing.")
    if _digest({name: config[name] for name in names}) != config["binding"]:
        raise SavedFileError(
            f"{path} was changed after it was written: its labels or its model are not those that "
            "were saved with the weights."
        )
    older = {"multilabel": False, "factory": None, "training": None}
    return {**older, "pad_to": None, "pad_side": "right", "truncate": "tail", **config}
