"""Trained classifiers on disk: a folder of weights and words, bound together by hashes."""

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

from seqlrp.classifiers import HierarchicalClassifier, RecurrentClassifier
from seqlrp.devices import resolve_device
from seqlrp.errors import (
    InputError,
    ModelError,
    NonFiniteError,
    OptionError,
    SavedFileError,
    VocabularyError,
    WriteError,
    near,
)
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vocabulary import Vocabulary
from seqlrp.text_classifier import TextClassifier
from seqlrp.writing import written_whole

CONFIG = "config.json"
VOCABULARY = "vocabulary.json"
WEIGHTS = "weights.safetensors"

_FORMAT = "seqlrp classifier"
_VERSION = 2
_MODELS = {model.__name__: model for model in (RecurrentClassifier, HierarchicalClassifier)}
# What the hash in the file binds together, and the version that brought it.
_BOUND = {
    "model": 1,
    "layout": 1,
    "labels": 1,
    "tokenizer": 1,
    "vocabulary": 1,
    "weights": 1,
    "multilabel": 2,
    "factory": 2,
}

Factory = Callable[[Vocabulary, tuple[str, ...]], TextClassifier]


def save(
    classifier: TextClassifier,
    folder: str | Path,
    *,
    training: Mapping[str, Any] | None = None,
    factory: Factory | None = None,
) -> None:
    """Write a classifier as a folder, whole or not at all.

    An earlier classifier in that folder is replaced. What `seqlrp train` makes is saved as it is.
    Of a model or a tokenizer of your own the code cannot be saved: weights, vocabulary and labels
    are, and a function of yours puts the rest around them, here to try it and when it is loaded.

    Args:
        classifier: to be saved.
        folder: where to.
        training: kept for the reader: anything that JSON can hold, such as
            `TrainingReport.to_json()`.
        factory: for a model or a tokenizer of your own: takes the vocabulary and the labels, and
            gives the `TextClassifier` with a model that need not be trained.

    Raises:
        ModelError: the model is of a class that `load` could not build again, and there is no
            factory, or the factory gives another one.
        OptionError: so is the tokenizer.
        NonFiniteError: a weight is NaN or infinite.
        WriteError: the file system refused, or the folder holds something else.
    """
    folder = Path(folder).resolve()
    model, vocabulary = classifier.model, classifier.vocabulary
    tensors = _state(model)
    arguments = None if factory is not None else _arguments(classifier)
    if factory is not None:
        alike = classifier.layout, classifier.multilabel
        blank = _built(factory, vocabulary, classifier.labels, alike).model
    else:
        blank = _blank(type(model).__name__, arguments or {})
    if misfit := _misfit(blank, tensors):
        maker = "its constructor made it" if factory is None else "its factory makes it"
        raise ModelError(f"The model is no longer what {maker}: {misfit}.")
    _check_finite(tensors, "The model")
    weights = safetensors.torch.save(tensors)
    tokenizer = classifier.tokenizer
    bound = {
        "model": {"class": type(model).__name__, "arguments": arguments},
        "layout": classifier.layout,
        "labels": list(classifier.labels),
        "tokenizer": tokenizer.config() if isinstance(tokenizer, SpacyTokenizer) else None,
        "vocabulary": vocabulary.fingerprint,
        "weights": hashlib.sha256(weights).hexdigest(),
        "multilabel": classifier.multilabel,
        "factory": None if factory is None else _name(factory),
    }
    config = {
        "format": _FORMAT,
        "version": _VERSION,
        **bound,
        "binding": _digest(bound),
        "training": training,
        "versions": {name: _installed(name) for name in ("seqlrp", "torch")},
    }
    written = json.dumps(config, indent=1, ensure_ascii=True, allow_nan=False)
    check_replaceable(folder)
    with written_whole(folder) as temporary:
        temporary.mkdir()
        vocabulary.save(temporary / VOCABULARY)
        (temporary / WEIGHTS).write_bytes(weights)
        (temporary / CONFIG).write_text(written, "ascii")


def load(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    factory: Factory | None = None,
) -> TextClassifier:
    """Read what `save` wrote, ready to score.

    Args:
        folder: that `save` wrote.
        device: where the model is put.
        factory: for what was saved with a factory: the same function. Nothing that stands in the
            folder is ever run or imported.

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
    if vocabulary.fingerprint != config["vocabulary"]:
        raise VocabularyError(
            f"The vocabulary in {folder} is not the one that the weights were trained with; "
            f"put back the {VOCABULARY} that was saved with them."
        )
    weights = _read(folder / WEIGHTS)
    if hashlib.sha256(weights).hexdigest() != config["weights"]:
        raise SavedFileError(
            f"{folder / WEIGHTS} is truncated or not the file that was saved with {CONFIG}; "
            "copy the whole folder again."
        )
    labels = tuple(config["labels"])
    alike = config["layout"], config["multilabel"]
    built = None if factory is None else _built(factory, vocabulary, labels, alike)
    try:
        tensors = safetensors.torch.load(weights)
        _check_finite(tensors, f"The classifier in {folder}")
        if built is not None:
            if misfit := _misfit(built.model, tensors):
                raise ModelError(
                    f"The factory gives another model than the one in {folder}: {misfit}."
                )
            built.model.load_state_dict(tensors)
            built.model.eval().to(chosen)
            return built
        model = _blank(config["model"]["class"], config["model"]["arguments"])
        if misfit := _misfit(model, tensors):
            raise SavedFileError(f"the weights do not fit the model: {misfit}")
        model.load_state_dict(tensors, assign=True)
        classifier = TextClassifier(
            model.eval(),
            vocabulary,
            labels,
            SpacyTokenizer(config["tokenizer"]["language"]),
            config["layout"],
            multilabel=config["multilabel"],
        )
    except (InputError, TypeError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise SavedFileError(f"The files in {folder} do not fit together: {error}") from error
    classifier.model.to(chosen)
    return classifier


def _arguments(classifier: TextClassifier) -> dict[str, Any]:
    """What the model's constructor was called with, where `load` knows that constructor."""
    model = classifier.model
    cure = (
        "pass factory=, a function of the vocabulary and the labels that gives such a "
        "seqlrp.TextClassifier, with a model that need not be trained; seqlrp.load takes it again."
    )
    if not isinstance(model, RecurrentClassifier) or type(model) not in _MODELS.values():
        raise ModelError(
            f"A model of the class {type(model).__name__} cannot be saved by itself, expected one "
            f"of {', '.join(_MODELS)}; {cure}"
        )
    if type(classifier.tokenizer) is not SpacyTokenizer:
        raise OptionError(
            f"A tokenizer of the type {type(classifier.tokenizer).__name__} cannot be saved by "
            f"name, expected a SpacyTokenizer; {cure}"
        )
    return dict(model.arguments)


def _check_factory(folder: Path, saved: str | None, given: Factory | None) -> None:
    if saved is None and given is not None:
        raise OptionError(f"The classifier in {folder} needs no factory; leave it out.")
    if saved is not None and given is None:
        raise OptionError(
            f"The classifier in {folder} is built by a function of its owner, which was called "
            f"{saved!r:.200} when it was saved, and which is not run unasked: "
            "give it to seqlrp.load(folder, factory=…)."
        )


def _built(
    factory: Factory, vocabulary: Vocabulary, labels: tuple[str, ...], alike: tuple[str, bool]
) -> TextClassifier:
    """What the factory gives; random numbers that it draws for weights are not missed.

    `alike` are the layout and whether texts have several labels.
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
    if (classifier.layout, classifier.multilabel) != alike:
        raise ModelError(
            f"The factory gives a classifier with layout={classifier.layout!r} and "
            f"multilabel={classifier.multilabel}, expected {alike[0]!r} and {alike[1]} as saved."
        )
    return classifier


def _name(factory: Factory) -> str:
    name = getattr(factory, "__qualname__", type(factory).__qualname__)
    return f"{factory.__module__}:{name}"


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers on the CPU; those that share memory are copied."""
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ModelError(
                f"The model's state holds {name}, a {type(value).__name__}; only tensors can be "
                "saved."
            )
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _blank(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The model without values: neither memory nor random numbers are used."""
    if name not in _MODELS:
        raise OptionError(f"Unknown model class {name!r}. {near(str(name), _MODELS)}")
    with torch.device("meta"):
        return _MODELS[name](**arguments)


def _misfit(model: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """What keeps `tensors` from being the weights of `model`, if anything."""
    expected = model.state_dict()
    if odd := sorted(expected.keys() ^ tensors.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in expected else 'no part of it'}"
    for name, value in expected.items():
        # A model without values takes those of any precision as they are.
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
    other = sorted(set(os.listdir(folder)) - {CONFIG, VOCABULARY, WEIGHTS})
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
        return path.read_bytes()
    except OSError as error:
        raise SavedFileError(
            f"Could not read {path}: {error.strerror or error}; "
            "expected a folder that seqlrp.save wrote."
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
    return {"multilabel": False, "factory": None, **config}
