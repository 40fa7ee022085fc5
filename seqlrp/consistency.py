"""Whether a model, its vocabulary, its labels and its tokenizer can belong together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from torch import nn

from seqlrp.classifiers import Layout, RecurrentClassifier
from seqlrp.errors import (
    LabelError,
    ModelError,
    OptionError,
    VocabularyError,
    VocabularyWarning,
    near,
)
from seqlrp.text.encoded import fast_hint
from seqlrp.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from seqlrp.text_classifier import TextClassifier

# Rows are often rounded up to a multiple of this, for speed.
_ROUNDED_UP = 128


def check_parts(classifier: TextClassifier) -> None:
    """Look at the parts of a classifier before anything is asked of it.

    Raises:
        LabelError: more or fewer labels than the model has classes.
        VocabularyError: the vocabulary is not of the size of the model's embedding.
        OptionError: an unknown layout, or one that is not the model's; another option with a value
            that is not allowed.
        ModelError: the model is no `torch.nn.Module`.
    """
    if classifier.layout not in get_args(Layout):
        raise OptionError(
            f"Unknown layout {classifier.layout!r}. "
            f"{near(str(classifier.layout), get_args(Layout))}"
        )
    additional = classifier.additional
    if additional not in (None, "lengths", "mask") and not callable(additional):
        raise OptionError(
            f"Got additional={additional!r}, expected 'lengths', 'mask', a function of ids and "
            "mask, or None."
        )
    if not isinstance(classifier.multilabel, bool):
        raise OptionError(f"Got multilabel={classifier.multilabel!r}, expected True or False.")
    if not callable(classifier.tokenizer):
        raise OptionError(
            f"Got tokenizer={classifier.tokenizer!r:.80}, expected a function of a text, a spaCy "
            f"pipeline, or seqlrp.SpacyTokenizer('en').{fast_hint(classifier.tokenizer, 'encode')}"
        )
    if not isinstance(classifier.vocabulary, Vocabulary):
        raise VocabularyError(
            f"Got a vocabulary of type {type(classifier.vocabulary).__name__}, expected a "
            "seqlrp.Vocabulary: Vocabulary(('<pad>', '<unk>', 'the', ...)) holds the token of "
            "each id, with 0 for padding and 1 for unknown words."
        )
    if not isinstance(classifier.model, nn.Module):
        raise ModelError(
            f"Got a model of type {type(classifier.model).__name__}, expected a torch.nn.Module."
        )
    if isinstance(classifier.model, RecurrentClassifier):
        _check_own(classifier, classifier.model)
    else:
        _check_embeddings(classifier.model, classifier.vocabulary)


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as a tuple.

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


def scores_for_labels(scores: int, labels: tuple[str, ...]) -> LabelError:
    """The refusal of a model that gives more or fewer scores a text than there are labels."""
    return LabelError(
        f"The model gives {scores} scores a text, but the classifier names {len(labels)} labels: "
        f"{', '.join(labels)}."
    )


def _check_own(classifier: TextClassifier, model: RecurrentClassifier) -> None:
    classes, size = model.arguments["classes"], model.arguments["vocabulary_size"]
    labels, vocabulary = classifier.labels, classifier.vocabulary
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
    if classifier.layout != model.layout:
        raise OptionError(
            f"Got the layout {classifier.layout!r}, but {type(model).__name__} reads "
            f"{model.layout!r}; pass layout={model.layout!r}."
        )
    if classifier.additional is not None:
        raise OptionError(
            f"Got additional={classifier.additional!r}, but {type(model).__name__} takes ids alone."
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
