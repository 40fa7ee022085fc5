"""Checks that a model, its vocabulary, its labels and its tokenizer fit together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, get_args

from torch import nn

from seqlrp.errors import (
    LabelError,
    ModelError,
    OptionError,
    VocabularyError,
    VocabularyWarning,
    check_choice,
    check_number,
)
from seqlrp.models.networks import Layout, RecurrentClassifier
from seqlrp.text.encoded import fast_hint
from seqlrp.text.vocabulary import Vocabulary

# The rows of an embedding are often rounded up to a multiple of this, for speed.
_ROUNDED_UP = 128


def check_parts(
    model: Any,
    vocabulary: Any,
    labels: tuple[str, ...],
    tokenizer: Any,
    *,
    layout: Any,
    additional: Any,
    multilabel: Any,
) -> None:
    """Check the parts of a `TextClassifier` by themselves and against each other.

    Raises:
        LabelError: more or fewer labels than the model has classes.
        VocabularyError: the vocabulary is not of the size of the model's embedding.
        OptionError: an unknown layout, or one that is not the model's; another option with a value
            that is not allowed.
        ModelError: the model is no `torch.nn.Module`.
    """
    check_choice("layout", layout, get_args(Layout))
    if additional not in (None, "lengths", "mask") and not callable(additional):
        expected = "'lengths', 'mask', a function of ids and mask, or None"
        raise OptionError(option="additional", got=additional, expected=expected)
    if not isinstance(multilabel, bool):
        raise OptionError(option="multilabel", got=multilabel, expected="True or False")
    if not callable(tokenizer):
        raise OptionError(
            option="tokenizer",
            got=tokenizer,
            expected="a function of a text, a spaCy pipeline, or seqlrp.SpacyTokenizer('en')",
            advice=fast_hint(tokenizer, "encode"),
        )
    if not isinstance(vocabulary, Vocabulary):
        raise VocabularyError(
            f"Got a vocabulary of type {type(vocabulary).__name__}, expected a "
            "seqlrp.Vocabulary: Vocabulary(('<pad>', '<unk>', 'the', ...)) holds the token of "
            "each id, with 0 for padding and 1 for unknown words."
        )
    if not isinstance(model, nn.Module):
        raise ModelError(f"Got a model of type {type(model).__name__}, expected a torch.nn.Module.")
    if isinstance(model, RecurrentClassifier):
        _check_recurrent(model, vocabulary, labels, layout, additional)
    else:
        _check_embeddings(model, vocabulary)


def check_padding(model: Any, layout: str, additional: Any, pad_to: Any, pad_side: Any) -> None:
    """Check how a `TextClassifier` pads against what its model reads.

    Raises:
        OptionError: a length below 1, or another side; padding by words where the model reads
            sentences; or padding on the left where the model takes it to be on the right.
    """
    if pad_to is not None:
        check_number("pad_to", pad_to, least=1, whole=True)
    check_choice("pad_side", pad_side, ("right", "left"))
    if layout != "words" and (pad_to is not None or pad_side != "right"):
        option, got = ("pad_side", pad_side) if pad_to is None else ("pad_to", pad_to)
        raise OptionError(option=option, got=got, expected="no such option with layout='sentences'")
    reader = "additional='lengths'" if additional == "lengths" else type(model).__name__
    if pad_side == "left" and (additional == "lengths" or isinstance(model, RecurrentClassifier)):
        raise OptionError(
            option="pad_side",
            got=pad_side,
            expected=f"'right', as {reader} takes words to be first",
        )


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """The names of classes as a tuple, once they are checked.

    Raises:
        LabelError: they are empty or not distinct.
    """
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise LabelError(
            f"Got the {type(labels).__name__} {labels!r} as labels, expected a tuple of names."
        )
    names = tuple(labels)
    for label in names:
        if not isinstance(label, str) or not label.strip():
            raise LabelError(f"Got the label {label!r}, expected a str that is not empty.")
    if not names or len(set(names)) < len(names):
        raise LabelError(f"Got the labels {names!r}, expected one or more distinct names.")
    return names


def label_count_error(scores: int, labels: tuple[str, ...]) -> LabelError:
    """The error for a model that gives more or fewer scores a text than there are labels."""
    return LabelError(
        f"The model gives {scores} scores a text, but the classifier names {len(labels)} labels: "
        f"{', '.join(labels)}."
    )


def _check_recurrent(
    model: RecurrentClassifier,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    layout: Layout,
    additional: Any,
) -> None:
    classes, size = model.arguments["classes"], model.arguments["vocabulary_size"]
    if classes != len(labels) and (classes, len(labels)) != (1, 2):
        raise LabelError(
            f"Got {len(labels)} labels for a model of {classes} classes, "
            "expected one label a class."
        )
    if size != len(vocabulary):
        raise VocabularyError(
            f"Got a vocabulary of {len(vocabulary)} tokens for a model of {size}; "
            "give the vocabulary that the model was trained with."
        )
    if layout != model.layout:
        raise OptionError(
            f"Got the layout {layout!r}, but {type(model).__name__} reads {model.layout!r}.",
            f"Pass layout={model.layout!r}.",
            option="layout",
            got=layout,
        )
    if additional is not None:
        raise OptionError(
            f"Got additional={additional!r}, but {type(model).__name__} takes ids alone.",
            option="additional",
            got=additional,
        )
    _check_padding(vocabulary, model.padding_idx, type(model).__name__)


def _check_embeddings(model: nn.Module, vocabulary: Vocabulary) -> None:
    # One of several embeddings may be of positions or the like, and smaller.
    kinds = (nn.Embedding, nn.EmbeddingBag)
    embeddings = [m for m in model.modules() if isinstance(m, kinds)]
    enough = [m for m in embeddings if m.num_embeddings >= len(vocabulary)]
    if not embeddings:
        return
    if not enough:
        largest = max(m.num_embeddings for m in embeddings)
        raise VocabularyError(
            f"Got a vocabulary of {len(vocabulary)} tokens for an embedding of {largest} rows; "
            "give the vocabulary that the model was trained with."
        )
    nearest = min(enough, key=lambda m: m.num_embeddings)
    if nearest.num_embeddings >= len(vocabulary) + _ROUNDED_UP:
        warnings.warn(
            f"The vocabulary has {len(vocabulary)} tokens, and the embedding "
            f"{nearest.num_embeddings} rows: if this is not the vocabulary that the model was "
            "trained with, ids stand for other words.",
            VocabularyWarning,
            stacklevel=5,
        )
    if nearest.padding_idx is not None:
        _check_padding(vocabulary, nearest.padding_idx, "the model's embedding")


def _check_padding(vocabulary: Vocabulary, padding: int, owner: str) -> None:
    if padding != vocabulary.pad:
        raise VocabularyError(
            f"Got a vocabulary whose padding is id {vocabulary.pad}, but {owner} has the "
            f"padding_idx {padding}; say where it is: Vocabulary(tokens, pad={padding}, unk=...)."
        )
