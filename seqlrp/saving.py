"""Trained classifiers on disk: a folder of weights and words, bound together by hashes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
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
_VERSION = 1
_MODELS = {model.__name__: model for model in (RecurrentClassifier, HierarchicalClassifier)}


def save(
    classifier: TextClassifier,
    folder: str | Path,
    *,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a classifier as a folder, whole or not at all.

    An earlier classifier in that folder is replaced. `training` is kept for the reader: anything
    that JSON can hold, such as `TrainingReport.to_json()`.

    Raises:
        ModelError: the model is of a class that `load` could not build again.
        OptionError: so is the tokenizer.
        NonFiniteError: a weight is NaN or infinite.
        WriteError: the file system refused, or the folder holds something else.
    """
    folder = Path(folder).resolve()
    model, vocabulary = classifier.model, classifier.vocabulary
    if not isinstance(model, RecurrentClassifier) or type(model) not in _MODELS.values():
        raise ModelError(
            f"A model of the class {type(model).__name__} cannot be saved here, expected one of "
            f"{', '.join(_MODELS)}; save its weights with your own code and build "
            "seqlrp.TextClassifier(model, vocabulary, labels, ...) from them again."
        )
    if type(classifier.tokenizer) is not SpacyTokenizer:
        raise OptionError(
            f"A tokenizer of the type {type(classifier.tokenizer).__name__} cannot be saved by "
            "name, expected a SpacyTokenizer; save the weights with your own code and build "
            "seqlrp.TextClassifier(..., tokenizer=...) again."
        )
    tensors = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    arguments = dict(model.arguments)
    if misfit := _misfit(_blank(type(model).__name__, arguments), tensors):
        raise ModelError(f"The model is no longer what its constructor made it: {misfit}.")
    _check_finite(tensors, "The model")
    weights = safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()})
    bound = {
        "model": {"class": type(model).__name__, "arguments": arguments},
        "layout": classifier.layout,
        "labels": list(classifier.labels),
        "tokenizer": classifier.tokenizer.config(),
        "vocabulary": vocabulary.fingerprint,
        "weights": hashlib.sha256(weights).hexdigest(),
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


def load(folder: str | Path, *, device: str | torch.device = "cpu") -> TextClassifier:
    """Read what `save` wrote, ready to score.

    Raises:
        SavedFileError: a file is missing, damaged or of another version, or they do not fit
            together.
        VocabularyError: the vocabulary is not the one that the weights were trained with.
        NonFiniteError: a weight is NaN or infinite.
        OptionError: there is no such device.
    """
    folder = Path(folder)
    chosen = resolve_device(device)
    config = _read_config(folder)
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
    try:
        tensors = safetensors.torch.load(weights)
        model = _blank(config["model"]["class"], config["model"]["arguments"])
        if misfit := _misfit(model, tensors):
            raise SavedFileError(f"the weights do not fit the model: {misfit}")
        _check_finite(tensors, f"The classifier in {folder}")
        model.load_state_dict(tensors, assign=True)
        classifier = TextClassifier(
            model.eval(),
            vocabulary,
            tuple(config["labels"]),
            SpacyTokenizer(config["tokenizer"]["language"]),
            config["layout"],
        )
    except (InputError, TypeError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise SavedFileError(f"The files in {folder} do not fit together: {error}") from error
    classifier.model.to(chosen)
    return classifier


def _blank(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The model without values: neither memory nor random numbers are used."""
    if name not in _MODELS:
        raise OptionError(f"Unknown model class {name!r}. {near(str(name), _MODELS)}")
    with torch.device("meta"):
        return _MODELS[name](**arguments)


def _misfit(model: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """What keeps `tensors` from being the weights of `model`, if anything."""
    expected = {name: list(value.shape) for name, value in model.state_dict().items()}
    if odd := sorted(expected.keys() ^ tensors.keys()):
        return f"{odd[0]} is {'missing' if odd[0] in expected else 'no part of it'}"
    for name, shape in expected.items():
        if list(tensors[name].shape) != shape or not tensors[name].is_floating_point():
            return (
                f"{name} is {tensors[name].dtype} of the shape {list(tensors[name].shape)}, "
                f"expected floats of the shape {shape}"
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
    if config.get("version") != _VERSION:
        raise SavedFileError(
            f"{path} has the format version {config.get('version')!r}, expected {_VERSION}; "
            "read it with the version of seqlrp that wrote it."
        )
    names = ("model", "layout", "labels", "tokenizer", "vocabulary", "weights")
    if missing := [name for name in (*names, "binding") if name not in config]:
        raise SavedFileError(f"{path} is damaged: {missing[0]!r} is missing.")
    if _digest({name: config[name] for name in names}) != config["binding"]:
        raise SavedFileError(
            f"{path} was changed after it was written: its labels or its model are not those that "
            "were saved with the weights."
        )
    return config
