"""A model together with its words and its classes: texts in, scores out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.batching import batches_by_length, pad_sentences, pad_words
from seqlrp.classifiers import Layout, RecurrentClassifier
from seqlrp.errors import (
    IdsError,
    LabelError,
    ModelError,
    NonFiniteError,
    OptionError,
    OutputError,
    TargetError,
    TextError,
    TrainingModeError,
    VocabularyError,
    near,
)
from seqlrp.text.tokens import SpacyTokenizer, TokenizedText, located
from seqlrp.text.vocabulary import Vocabulary

# Texts that are held encoded at a time while a stream of them is scored.
_HELD = 4096


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A tokenised text and the ids of its T tokens.

    Attributes:
        ids: int64 `[T]`.
        source: the tokens, and where they stand in the text.
    """

    ids: npt.NDArray[np.int64]
    source: TokenizedText

    def __post_init__(self) -> None:
        if self.ids.shape != (len(self.source.tokens),):
            raise IdsError(
                f"Got ids of the shape {self.ids.shape} for {len(self.source.tokens)} tokens, "
                "expected one id a token."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, positions: Sequence[int] | npt.NDArray[np.integer]) -> EncodedText:
        """Delete the tokens at these positions, so that the sequence gets shorter.

        The text itself stays, as do the places in it of the tokens that are left.

        Raises:
            IdsError: a position is not in 0 to T - 1.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        outside = (chosen < 0) | (chosen >= len(self))
        if outside.any():
            raise IdsError(
                f"Got the position {chosen[outside][0]}, expected 0 to {len(self) - 1} "
                f"for {len(self)} tokens."
            )
        kept = np.ones(len(self), dtype=bool)
        kept[chosen] = False
        source = replace(
            self.source,
            tokens=tuple(itertools.compress(self.source.tokens, kept)),
            offsets=self.source.offsets[kept],
            sentences=self.source.sentences[kept],
        )
        return EncodedText(self.ids[kept], source)


class Prediction(NamedTuple):
    """What a classifier says of N texts: the class of each, int64 `[N]`; float32 `[N, C]`."""

    predicted: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """A model that maps ids to scores, and what belongs to it.

    Attributes:
        model: any module that maps ids to scores `[B, C]`.
        vocabulary: gives each token its id.
        labels: the name of each class, in the order of the scores.
        tokenizer: splits a text into a `TokenizedText`, or into a list of tokens as they are
            written in it (`str.split`, say); by default spaCy's rules for English.
        layout: "words" for ids `[B, T]`, "sentences" for ids `[B, S, W]`.

    A model with one output and two labels is taken as a yes-or-no classifier: its output speaks for
    `labels[1]`, and `scores` gives `[-output, output]`.

    Raises:
        LabelError: labels that are empty or not distinct, or more or fewer than the model has.
        VocabularyError: the vocabulary is not of the size of the model's embedding.
        OptionError: an unknown layout, or one that is not the model's.
        ModelError: the model is no `torch.nn.Module`.
    """

    model: nn.Module
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    tokenizer: Callable[[str], TokenizedText | Sequence[str]] = field(
        default_factory=SpacyTokenizer
    )
    layout: Layout = "words"

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):
            raise LabelError(f"Got the str {self.labels!r} as labels, expected a tuple of names.")
        object.__setattr__(self, "labels", tuple(self.labels))
        _check_labels(self.labels)
        if self.layout not in get_args(Layout):
            raise OptionError(
                f"Unknown layout {self.layout!r}. {near(str(self.layout), get_args(Layout))}"
            )
        if not isinstance(self.vocabulary, Vocabulary):
            raise VocabularyError(
                f"Got a vocabulary of type {type(self.vocabulary).__name__}, expected a "
                "seqlrp.Vocabulary: Vocabulary(('<pad>', '<unk>', 'the', ...)) holds the token of "
                "each id, with 0 for padding and 1 for unknown words."
            )
        if not isinstance(self.model, nn.Module):
            raise ModelError(
                f"Got a model of type {type(self.model).__name__}, expected a torch.nn.Module."
            )
        if isinstance(self.model, RecurrentClassifier):
            self._check_own(self.model)
        else:
            self._check_embeddings()

    def _check_own(self, model: RecurrentClassifier) -> None:
        classes, size = model.arguments["classes"], model.arguments["vocabulary_size"]
        if classes != len(self.labels) and (classes, len(self.labels)) != (1, 2):
            raise LabelError(
                f"Got {len(self.labels)} labels for a model of {classes} classes, "
                "expected one label a class."
            )
        if size != len(self.vocabulary):
            raise VocabularyError(
                f"Got a vocabulary of {len(self.vocabulary)} tokens for a model of {size}; "
                "give the vocabulary that the model was trained with."
            )
        if self.layout != model.layout:
            raise OptionError(
                f"Got the layout {self.layout!r}, but {type(model).__name__} reads "
                f"{model.layout!r}; pass layout={model.layout!r}."
            )

    def _check_embeddings(self) -> None:
        # One of several embeddings may be of positions or the like, and smaller.
        sizes = [m.num_embeddings for m in self.model.modules() if isinstance(m, nn.Embedding)]
        if sizes and max(sizes) < len(self.vocabulary):
            raise VocabularyError(
                f"Got a vocabulary of {len(self.vocabulary)} tokens for an embedding of "
                f"{max(sizes)} rows; give the vocabulary that the model was trained with."
            )

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        weight = next(self.model.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device

    def label_index(self, label: int | str) -> int:
        """Give the class index of a label's name or number.

        Raises:
            TargetError: no such name, or a number that is not in 0 to C - 1.
        """
        if isinstance(label, str):
            if label in self.labels:
                return self.labels.index(label)
            raise TargetError(f"Unknown label {label!r}. {near(label, self.labels)}")
        if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer):
            raise TargetError(
                f"Got a label of type {type(label).__name__}, expected a name or a class index."
            )
        if not 0 <= label < len(self.labels):
            raise TargetError(
                f"Got the class {label}, expected 0 to {len(self.labels) - 1}: "
                f"{', '.join(map(repr, self.labels[:10]))}."
            )
        return int(label)

    def encode(self, texts: Iterable[str]) -> Iterator[EncodedText]:
        """Tokenise texts and look up their ids, one after another.

        Raises:
            TextError: a text is no string, or `texts` itself is one.
        """
        if isinstance(texts, str):
            raise TextError("Got a single str, expected an iterable of texts; put it in a list.")
        pipe = getattr(self.tokenizer, "pipe", None)
        for source in map(self._tokenised, texts) if pipe is None else pipe(texts):
            yield EncodedText(self.vocabulary.encode(source.tokens), source)

    def _tokenised(self, text: str) -> TokenizedText:
        found = self.tokenizer(text)
        if isinstance(found, TokenizedText):
            return found
        if isinstance(found, (list, tuple)):
            return located(text, found)
        raise TextError(
            f"The tokenizer returned {type(found).__name__}, expected a list of tokens or a "
            "TokenizedText."
        )

    def collate(self, batch: Sequence[EncodedText]) -> tuple[Tensor, Tensor]:
        """Pad a batch to what the model reads.

        Returns:
            ids, int64 `[B, T]` or `[B, S, W]`, and words, bool of that shape, True where a word is.
            In either layout `words[b]`, row by row, runs through the words of document b in
            their order.

        Raises:
            TextError: the tokens of a document are not in the order of its sentences.
        """
        documents = [encoded.ids for encoded in batch]
        if self.layout == "words":
            return pad_words(documents, self.vocabulary.PAD)
        sentences = [encoded.source.sentences for encoded in batch]
        for places in sentences:
            if (np.diff(places) < 0).any():
                raise TextError(
                    "Got a token whose sentence comes before that of the token to its left; "
                    "the tokenizer must number the sentences of a text in their order."
                )
        return pad_sentences(documents, sentences, self.vocabulary.PAD)

    def length(self, encoded: EncodedText) -> int:
        """How many ids the document takes up when it is padded by itself."""
        if self.layout == "words" or not len(encoded):
            return len(encoded)
        _, counts = np.unique(encoded.source.sentences, return_counts=True)
        return len(counts) * int(counts.max())

    def scores(self, batch: Sequence[EncodedText]) -> Tensor:
        """Score a batch on the model's device: float `[B, C]`.

        Raises:
            TrainingModeError: the model or a part of it is in training mode.
            OutputError: the model returns something else than scores `[B, C]`.
            NonFiniteError: a score is NaN or infinite.
        """
        for name, module in self.model.named_modules():
            if module.training:
                raise TrainingModeError(
                    f"The model is in training mode ({name or type(module).__name__}), where its "
                    "scores may change from call to call; call model.eval() first."
                )
        ids, _ = self.collate(batch)
        with torch.no_grad():
            scores = self.model(ids.to(self.device))
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            raise OutputError(
                f"The model returns a {_kind(scores)}, expected a float tensor of scores [B, C]."
            )
        if scores.shape == (len(batch), 1) and len(self.labels) == 2:
            scores = torch.cat([-scores, scores], dim=1)
        if scores.shape != (len(batch), len(self.labels)):
            raise OutputError(
                f"The model returns scores of the shape {list(scores.shape)}, expected "
                f"{[len(batch), len(self.labels)]} for {len(batch)} documents and "
                f"{len(self.labels)} labels."
            )
        if not scores.isfinite().all():
            raise NonFiniteError(
                "The model returns a score that is NaN or infinite; check its weights."
            )
        return scores

    def predict(
        self, texts: Iterable[str], *, batch_tokens: int = 16_384, progress: bool | None = None
    ) -> Prediction:
        """Give the class and the scores of each text, in the order of the texts.

        Args:
            texts: read as a stream.
            batch_tokens: the most tokens, padding included, that the model reads at a time.
            progress: show a bar; None shows one where standard error is a terminal.

        Raises:
            As `encode` and `scores`; OptionError where `batch_tokens` is below 1.
        """
        total = len(texts) if isinstance(texts, Sized) else None
        parts = [np.zeros((0, len(self.labels)), dtype=np.float32)]
        encoded = self.encode(texts)
        with tqdm(
            total=total,
            unit="text",
            desc="Scoring",
            disable=None if progress is None else not progress,
        ) as bar:
            while held := list(itertools.islice(encoded, _HELD)):
                scores = np.zeros((len(held), len(self.labels)), dtype=np.float32)
                for batch in batches_by_length([self.length(e) for e in held], batch_tokens):
                    scores[batch] = self.scores([held[i] for i in batch]).float().cpu().numpy()
                    bar.update(len(batch))
                parts.append(scores)
        scores = np.concatenate(parts)
        return Prediction(scores.argmax(axis=1).astype(np.int64), scores)


def _check_labels(labels: tuple[str, ...]) -> None:
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise LabelError(f"Got the label {label!r}, expected a str that is not empty.")
    if not labels or len(set(labels)) < len(labels):
        raise LabelError(f"Got the labels {labels!r}, expected one or more distinct names.")


def _kind(value: Any) -> str:
    return f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
