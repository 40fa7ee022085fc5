"""What is saved comes back the same, or is refused with the reason."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from samples.classifiers import small_classifier, some_texts
from torch import nn

from seqlrp.errors import (
    ModelError,
    NonFiniteError,
    OptionError,
    SavedFileError,
    VocabularyError,
    WriteError,
)
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.models.saving import _BOUND, CONFIG, VOCABULARY, WEIGHTS, _digest, load, save
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vocabulary import Vocabulary

FILES = {CONFIG, VOCABULARY, WEIGHTS}


def english(language: str = "en", **options: Any) -> TextClassifier:
    found = small_classifier(**options)
    return TextClassifier(
        found.model, found.vocabulary, found.labels, SpacyTokenizer(language), found.layout
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(english(), tmp_path / "model")
    return tmp_path / "model"


@contextmanager
def changed_config(folder: Path) -> Iterator[dict[str, Any]]:
    config = json.loads((folder / CONFIG).read_text())
    yield config
    (folder / CONFIG).write_text(json.dumps(config))


def rebound(folder: Path, tensors: dict[str, torch.Tensor], **arguments: Any) -> None:
    """Weights and arguments with hashes that are right, as another writer could make them."""
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(tensors))
    with changed_config(folder) as config:
        config["weights"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        config["model"]["arguments"].update(arguments)
        config["binding"] = _digest({name: config[name] for name in _BOUND})


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load((folder / WEIGHTS).read_bytes())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "gru", "pooling": "last", "layers": 2, "bidirectional": False},
        {"hierarchical": True, "pooling": "mean", "head_bias": True},
        {"labels": ("ja", "né\ud800", "vielleicht")},
    ],
)
def test_what_is_saved_comes_back(tmp_path: Path, options: dict[str, Any]) -> None:
    before = english("de", **options)
    save(before, tmp_path / "model")
    after = load(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert type(after.model) is type(before.model)
    assert not any(module.training for module in after.model.modules())
    assert after.labels == before.labels
    assert after.layout == before.layout
    assert after.vocabulary == before.vocabulary
    assert after.tokenizer.config() == {"tokenizer": "spacy", "language": "de"}  # type: ignore[attr-defined]
    weights = before.model.state_dict()
    assert after.model.state_dict().keys() == weights.keys()
    for name, value in after.model.state_dict().items():
        assert torch.equal(value, weights[name])
    assert all(parameter.requires_grad for parameter in after.model.parameters())
    texts = some_texts(9)
    assert (after.predict(texts).scores == before.predict(texts).scores).all()


def test_padding_elsewhere_is_saved(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("film", "[UNK]", "[PAD]", "dull"), pad="[PAD]", unk="[UNK]")
    model = RecurrentClassifier(4, 2, embedding=3, hidden=2, padding_idx=2).eval()
    before = TextClassifier(model, vocabulary, ("no", "yes"), SpacyTokenizer("en"))
    save(before, tmp_path / "model")
    after = load(tmp_path / "model")
    assert (after.vocabulary.pad, after.vocabulary.unk) == (2, 1)
    texts = ["film", "dull dull film", "what"]
    assert (after.predict(texts).scores == before.predict(texts).scores).all()


def test_loading_draws_no_random_numbers(saved: Path) -> None:
    before = torch.get_rng_state()
    load(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_double_precision_stays(tmp_path: Path) -> None:
    classifier = english()
    classifier.model.double()
    save(classifier, tmp_path / "model")
    assert {p.dtype for p in load(tmp_path / "model").model.parameters()} == {torch.float64}


def test_training_is_kept_for_the_reader(tmp_path: Path) -> None:
    save(english(), tmp_path / "model", training={"epochs": 3})
    config = json.loads((tmp_path / "model" / CONFIG).read_text())
    assert config["training"] == {"epochs": 3}
    assert config["versions"]["torch"] == torch.__version__


def test_several_labels_a_text_are_kept(tmp_path: Path) -> None:
    save(replace(english(), multilabel=True), tmp_path / "model")
    assert load(tmp_path / "model").multilabel
    save(english(), tmp_path / "model")
    assert not load(tmp_path / "model").multilabel


def test_folders_of_version_1_are_read(saved: Path) -> None:
    with changed_config(saved) as config:
        config["version"] = 1
        del config["multilabel"], config["factory"]
        names = ("model", "layout", "labels", "tokenizer", "vocabulary", "weights")
        config["binding"] = _digest({name: config[name] for name in names})
    assert load(saved).labels == ("negative", "positive")
    assert not load(saved).multilabel


def test_an_earlier_classifier_is_replaced(saved: Path) -> None:
    save(english(labels=("no", "yes")), saved)
    assert load(saved).labels == ("no", "yes")
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


# A model of one's own


class Own(nn.Module):
    """Tied weights, a buffer of whole numbers, and batch normalisation."""

    def __init__(self, words: int, classes: int, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, classes)
        self.tied = self.head
        self.register_buffer("steps", torch.arange(3))

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        vectors = self.embedding(ids).sum(1) / lengths.unsqueeze(1)
        return self.head(self.norm(vectors))  # type: ignore[no-any-return]


def built(vocabulary: Vocabulary, labels: tuple[str, ...]) -> TextClassifier:
    model = Own(len(vocabulary), len(labels))
    return TextClassifier(model, vocabulary, labels, str.split, additional="lengths")


@pytest.fixture
def own(tmp_path: Path) -> tuple[TextClassifier, Path]:
    classifier = built(Vocabulary.build([["good", "bad", "film"]]), ("no", "yes"))
    classifier.model.norm.running_mean.normal_()
    classifier.model.eval()
    save(classifier, tmp_path / "own", factory=built)
    return classifier, tmp_path / "own"


def test_a_model_of_ones_own_is_built_by_its_owner(own: tuple[TextClassifier, Path]) -> None:
    before, folder = own
    state = torch.get_rng_state()
    after = load(folder, factory=built)
    assert torch.equal(torch.get_rng_state(), state)
    texts = ["a good film", "bad"]
    assert (after.predict(texts).scores == before.predict(texts).scores).all()
    assert after.tokenizer is str.split
    assert after.additional == "lengths"
    assert after.model.tied is after.model.head
    assert after.model.tied.weight is after.model.head.weight
    assert {path.name for path in folder.iterdir()} == FILES
    config = json.loads((folder / CONFIG).read_text())
    assert config["factory"].endswith("test_saving:built")
    assert config["model"] == {"class": "Own", "arguments": None}


def test_no_code_is_run_unasked(own: tuple[TextClassifier, Path]) -> None:
    message = r"function of its owner, which was called '.*test_saving:built' .*factory="
    with pytest.raises(OptionError, match=message):
        load(own[1])


def test_a_factory_that_is_not_wanted(saved: Path) -> None:
    with pytest.raises(OptionError, match="needs no factory; leave it out"):
        load(saved, factory=built)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda v, n: Own(len(v), len(n)), "returns a Own, expected a seqlrp.TextClassifier"),
        (lambda v, n: TextClassifier(Own(5, 2, 3), v, n, str.split), "embedding.weight is torch.f"),
        (
            lambda v, n: TextClassifier(Own(5, 2).double(), v, n, str.split),
            "expected torch.float64",
        ),
        (lambda v, n: replace(built(v, n), labels=("a", "b")), "other labels than those"),
        (
            lambda v, n: replace(built(v, n), multilabel=True),
            "multilabel=True, expected False as saved",
        ),
        (lambda v, n: replace(built(v, n), layout="sentences"), "layout='sentences'"),
    ],
)
def test_a_factory_that_gives_something_else(
    own: tuple[TextClassifier, Path], factory: Any, message: str, tmp_path: Path
) -> None:
    classifier, folder = own
    with pytest.raises(ModelError, match=message):
        load(folder, factory=factory)
    with pytest.raises(ModelError, match=message):
        save(classifier, tmp_path / "other", factory=factory)
    assert not (tmp_path / "other").exists()


# Refused when saving


def test_a_folder_with_something_else_is_left_alone(saved: Path) -> None:
    (saved / "thesis.tex").write_text("years of work")
    with pytest.raises(WriteError, match=r"holds something else \('thesis.tex'\)"):
        save(english(), saved)
    assert (saved / "thesis.tex").read_text() == "years of work"
    with pytest.raises(WriteError, match="it is a file, expected a folder"):
        save(english(), saved / "thesis.tex")


@pytest.mark.parametrize("failing", [CONFIG, VOCABULARY, WEIGHTS])
def test_a_full_disk_keeps_the_earlier_one(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(method: Callable[..., int]) -> Callable[..., int]:
        def write(path: Path, *args: Any, **kwargs: Any) -> int:
            if path.name == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return method(path, *args, **kwargs)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full(Path.write_text))
        patch.setattr(Path, "write_bytes", full(Path.write_bytes))
        with pytest.raises(WriteError, match="No space left on device"):
            save(english(labels=("no", "yes")), saved)
    assert load(saved).labels == ("negative", "positive")
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_model_of_another_class(tmp_path: Path) -> None:
    class Mine(type(small_classifier().model)):  # type: ignore[misc]
        pass

    mine = small_classifier().model
    mine.__class__ = Mine
    for model in (nn.Sequential(nn.Embedding(14, 2)), mine):
        classifier = TextClassifier(model, small_classifier().vocabulary, ("a", "b"))
        with pytest.raises(ModelError, match=r"cannot be saved by itself.*Pass factory="):
            save(classifier, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_model_that_was_changed(tmp_path: Path) -> None:
    classifier = english()
    classifier.model.head = nn.Linear(10, 2, bias=True)
    with pytest.raises(ModelError, match=r"no longer what its constructor made it: head.bias"):
        save(classifier, tmp_path / "model")


def test_a_tokenizer_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="tokenizer of the type function cannot be saved"):
        save(small_classifier(), tmp_path / "model")


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    classifier = english()
    classifier.model.get_parameter("head.weight").data[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"The model has weights .* in head.weight"):
        save(classifier, tmp_path / "model")


# Refused when loading


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SavedFileError, match=r"No such file .* Give a folder that seqlrp.save"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_missing(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(SavedFileError, match=f"{name}.*No such file"):
        load(saved)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_file_is_truncated(saved: Path, name: str, part: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(part * len(content))])
    with pytest.raises(SavedFileError, match=name):
        load(saved)


def test_the_vocabulary_is_another_one(saved: Path) -> None:
    tokens = load(saved).vocabulary.tokens
    Vocabulary((*tokens[:2], *reversed(tokens[2:]))).save(saved / VOCABULARY)
    with pytest.raises(VocabularyError, match="not the one that the weights were trained with"):
        load(saved)


def test_the_weights_are_others(saved: Path, tmp_path: Path) -> None:
    save(english(cell="gru"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, saved / WEIGHTS)
    with pytest.raises(SavedFileError, match=r"not the file that was saved with config.json"):
        load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["labels"].reverse(),
        lambda config: config["model"]["arguments"].update(pooling="max"),
        lambda config: config["tokenizer"].update(language="de"),
        lambda config: config.update(layout="sentences"),
    ],
)
def test_the_config_was_edited(saved: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with changed_config(saved) as config:
        change(config)
    with pytest.raises(SavedFileError, match="was changed after it was written"):
        load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 4}, "format version 4, expected 1 to 3; read it with the version"),
        ({"version": None}, "format version None"),
        ({"format": "other"}, "was not written by seqlrp"),
    ],
)
def test_another_format(saved: Path, change: dict[str, Any], message: str) -> None:
    with changed_config(saved) as config:
        config.update(change)
    with pytest.raises(SavedFileError, match=message):
        load(saved)


@pytest.mark.parametrize("text", ["[]", "3", "null", "[" * 100_000, "\x00", '{"a": 1'])
def test_a_config_that_is_none(saved: Path, text: str) -> None:
    (saved / CONFIG).write_text(text)
    with pytest.raises(SavedFileError, match=r"config.json"):
        load(saved)


@pytest.mark.parametrize("name", ["model", "labels", "vocabulary", "weights", "binding"])
def test_a_config_with_a_gap(saved: Path, name: str) -> None:
    with changed_config(saved) as config:
        del config[name]
    with pytest.raises(SavedFileError, match=f"{name!r} is missing"):
        load(saved)


def test_a_class_that_is_unknown(saved: Path) -> None:
    with changed_config(saved) as config:
        config["model"]["class"] = "RecurentClassifier"
    rebound(saved, tensors_of(saved))
    with pytest.raises(SavedFileError, match="Did you mean 'RecurrentClassifier'"):
        load(saved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": 6}, r"of the shape \[.*\], expected floats of the shape"),
        ({"hidden": 10**15}, "hidden=1000000000000000, and its"),
        ({"hidden": 100}, "expected floats of the shape"),
        ({"layers": 2}, "bias_hh_l1 is missing"),
        ({"pooling": "max"}, "attention.weight is no part of it"),
        ({"cell": "rnn"}, "Got cell='rnn'"),
        ({"hiden": 6}, "hiden"),
        ({"classes": "2"}, "Got classes='2'; expected a whole number"),
        ({"vocabulary_size": 15}, r"embedding.weight .* expected floats of the shape \[15, 6\]"),
    ],
)
def test_arguments_that_do_not_fit(saved: Path, arguments: dict[str, Any], message: str) -> None:
    rebound(saved, tensors_of(saved), **arguments)
    with pytest.raises(SavedFileError, match=f"do not fit together: .*{message}"):
        load(saved)


def test_weights_that_are_not_finite(saved: Path) -> None:
    tensors = tensors_of(saved)
    tensors["head.weight"][0, 0] = float("nan")
    rebound(saved, tensors)
    with pytest.raises(
        NonFiniteError, match=r"has weights that are NaN or infinite, in head.weight"
    ):
        load(saved)


def test_weights_that_are_no_floats(saved: Path) -> None:
    tensors = tensors_of(saved)
    tensors["head.weight"] = tensors["head.weight"].long()
    rebound(saved, tensors)
    with pytest.raises(SavedFileError, match=r"head.weight is torch.int64"):
        load(saved)


def test_a_device_that_is_unknown(saved: Path) -> None:
    with pytest.raises(OptionError, match="Got device='gpu'"):
        load(saved, device="gpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 10**6}, "layers=1000000, and its weights are"),
        ({"layers": 10**30}, "layers=1000"),
        ({"hidden": 10**30}, "hidden=1000"),
        ({"hidden": 10**9}, "hidden=1000000000"),
        ({"embedding": 1e300}, "embedding=1e"),
        ({"vocabulary_size": 10**12}, "vocabulary_size=1000"),
        ({"hidden": "many"}, "hidden='many'"),
        ({"hidden": None}, "hidden=None"),
        ({"hidden": [3]}, r"hidden=\[3\]"),
        ({"hidden": -3}, "hidden=-3"),
        ({"layers": 3}, "is missing"),
        ({"cell": {}}, "cell="),
        ({"unknown": 3}, "unknown"),
    ],
)
def test_a_model_that_its_weights_cannot_be_of(
    saved: Path, arguments: dict[str, Any], message: str
) -> None:
    rebound(saved, tensors_of(saved), **arguments)
    with pytest.raises(SavedFileError, match=f"do not fit together.*{message}"):
        load(saved)


@pytest.mark.parametrize("labels", [5, None, "ab", {"a": 1}, [1, 2], [], ["a"], ["a", "a"]])
def test_labels_that_are_none(saved: Path, labels: Any) -> None:
    with changed_config(saved) as config:
        config["labels"] = labels
        config["binding"] = _digest({name: config[name] for name in _BOUND})
    with pytest.raises(SavedFileError, match="labels"):
        load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": 3}, {"tokenizer": {"language": "xx/../.."}}, {"tokenizer": None},
        {"layout": "pages"}, {"layout": []}, {"multilabel": "yes"}, {"model": None}, {"model": []},
        {"model": {"class": "RecurrentClassifier", "arguments": 3}},
        {"model": {"class": "system", "arguments": {}}}, {"pad_to": "3"}, {"pad_to": -1},
        {"pad_side": None}, {"truncate": 0},
    ],
)  # fmt: skip
def test_settings_that_are_none(saved: Path, change: dict[str, Any]) -> None:
    with changed_config(saved) as config:
        config.update(change)
        config["binding"] = _digest({name: config[name] for name in _BOUND})
    with pytest.raises(SavedFileError, match="fit together"):
        load(saved)


def test_weights_of_several_precisions(saved: Path) -> None:
    tensors = tensors_of(saved)
    tensors["embedding.weight"] = tensors["embedding.weight"].double()
    rebound(saved, tensors)
    with pytest.raises(SavedFileError, match=r"torch\.float32, torch\.float64; expected one of"):
        load(saved)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_files_that_are_no_files(saved: Path, name: str, kind: str) -> None:
    (saved / name).unlink()
    if kind == "pipe":
        os.mkfifo(saved / name)
    elif kind == "folder":
        (saved / name).mkdir()
    else:
        (saved / name).symlink_to("/dev/zero")
    with pytest.raises(SavedFileError, match="it is no regular file"):
        load(saved)


@pytest.mark.parametrize("name", ["training", "versions", "pad_to", "labels"])
def test_a_changed_entry_is_noticed(saved: Path, name: str) -> None:
    with changed_config(saved) as config:
        config[name] = {"epochs": 99}
    with pytest.raises(SavedFileError, match="was changed after it was written"):
        load(saved)


def test_folders_of_version_2_are_read(saved: Path) -> None:
    with changed_config(saved) as config:
        config["version"] = 2
        for name in ("pad_to", "pad_side", "truncate"):
            del config[name]
        bound = {name: config[name] for name, since in _BOUND.items() if since <= 2}
        config["binding"] = _digest(bound)
    assert load(saved).pad_to is None
