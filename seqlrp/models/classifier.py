"""`TextClassifier`: a model with its tokenizer, vocabulary and labels, from texts to scores."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens, Budget, in_batches
from seqlrp.engine.checks import select_output
from seqlrp.engine.failures import missing_argument_error
from seqlrp.errors import (
    NonFiniteError,
    OutputError,
    TargetError,
    TextError,
    TrainingModeError,
    check_choice,
    near,
)
from seqlrp.models.consistency import check_padding, check_parts, checked_labels, label_count_error
from seqlrp.models.networks import Layout
from seqlrp.models.padding import pad_sentences, pad_words
from seqlrp.models.prediction import Prediction, probabilities_from_scores
from seqlrp.text.encoded import EncodedText, Tokenizer, tokenised
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vocabulary import Vocabulary

Additional = Literal["lengths", "mask"] | Callable[[Tensor, Tensor], Any] | None


class Batch(NamedTuple):
    """Documents as the model reads them, on its device.

    Attributes:
        ids: int64 `[B, T]`, or `[B, S, W]` by sentences.
        words: bool, as the ids, True where a word is and not padding.
        additional: what the model takes after the ids.
    """

    ids: Tensor
    words: Tensor
    additional: tuple[Any, ...]


# The length of a text that is long enough for the filters of a convolution.
_PROBE_LENGTH = 8
# Texts that are encoded at a time while a stream of them is scored.
_WINDOW = 4096


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """A model that maps ids to scores, with its vocabulary, labels and tokenizer.

    Attributes:
        model: any module that maps ids to scores `[B, C]`.
        vocabulary: gives each token its id.
        labels: the name of each class, in the order of the scores.
        tokenizer: splits a text into a `TokenizedText`, or into a list of tokens as they are
            written in it (`str.split`, say), or is a spaCy pipeline; by default spaCy's rules for
            English.
        layout: "words" for ids `[B, T]`, "sentences" for ids `[B, S, W]`.
        additional: what the model takes after the ids. "lengths" is the numbers of words, int64
            `[B]` (or `[B, S]`) on the CPU, as `pack_padded_sequence` takes them; "mask" is True
            where a word is, bool of the shape of the ids. A function takes ids and mask, on the
            model's device, and gives one argument or a tuple of them.
        multilabel: a text may have several labels, so that the probability of each is the sigmoid
            of its score; otherwise probabilities are the softmax of the scores.
        pad_to: the length to which the model's texts were padded in training, if that was a fixed
            one: shorter texts are padded to it, of longer ones so many words are read. None pads
            each batch to its longest text.
        pad_side: on which side padding stands, "right" or "left".
        truncate: what of a text longer than `pad_to` is cut off: its "tail" or its "head".
        chosen: the method of explanation that `seqlrp.choose` found for this classifier, with its
            options, as in `{"method": "lrp", "epsilon": "2%"}`; None where none was chosen.
            `seqlrp.load` reads it, `method="chosen"` uses it, and `dataclasses.replace`, which
            makes another classifier, drops it.

    `pad_sequences(…, maxlen=30, padding="pre", truncating="pre")` of Keras, its default, is
    `pad_to=30, pad_side="left", truncate="head"`; "post" is "right" and "tail".

    A model with one output and two labels is taken as a yes-or-no classifier: its output speaks for
    `labels[1]`, and `scores` gives `[-output, output]`.

    Raises:
        LabelError: labels that are empty or not distinct, or more or fewer than the model has.
        VocabularyError: the vocabulary is not of the size of the model's embedding.
        OptionError: an unknown `layout` or `additional`, or one that is not the model's.
        ModelError: the model is no `torch.nn.Module`.
    """

    model: nn.Module
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    tokenizer: Tokenizer = field(default_factory=SpacyTokenizer)
    layout: Layout = "words"
    additional: Additional = None
    multilabel: bool = False
    pad_to: int | None = None
    pad_side: Literal["right", "left"] = "right"
    truncate: Literal["tail", "head"] = "tail"
    chosen: Mapping[str, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", checked_labels(self.labels))
        check_parts(
            self.model,
            self.vocabulary,
            self.labels,
            self.tokenizer,
            layout=self.layout,
            additional=self.additional,
            multilabel=self.multilabel,
        )
        check_padding(self.model, self.layout, self.additional, self.pad_to, self.pad_side)
        check_choice("truncate", self.truncate, ("tail", "head"))
        if self.pad_to is not None:
            object.__setattr__(self, "pad_to", int(self.pad_to))

    def with_chosen(self, method: Mapping[str, Any]) -> TextClassifier:
        """Give the same classifier with a method of explanation that was chosen for it.

        Args:
            method: its name as `"method"`, and its options.
        """
        same = copy.copy(self)
        object.__setattr__(same, "chosen", dict(method))
        return same

    @property
    def single_output(self) -> bool:
        """Whether the model gives one number a text, found by running it on a short text.

        Raises:
            TrainingModeError: the model or a part of it is in training mode.
        """
        length = self.pad_to or _PROBE_LENGTH
        shape = (1, length) if self.layout == "words" else (1, 1, length)
        words = torch.ones(shape, dtype=torch.bool, device=self.device)
        id_ = next(id_ for id_ in range(len(self.vocabulary)) if id_ != self.vocabulary.pad)
        ids = torch.full(shape, id_, device=self.device)
        scores = self.output(Batch(ids, words, self.arguments(ids, words)))
        return isinstance(scores, Tensor) and scores.numel() == 1

    @property
    def independent(self) -> bool:
        """Whether a probability is the sigmoid of its own score: `multilabel`, or a single output.

        Raises:
            TrainingModeError: there are one or two labels, and the model or a part of it is in
                training mode.
        """
        return self.multilabel or self.one_output

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """The labels in the order of the scores, under the name that scikit-learn uses."""
        return np.array(self.labels)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
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
            raise TargetError(
                f"Unknown label {label!r}.", near(label, self.labels), got=label, known=self.labels
            )
        if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer):
            raise TargetError(
                f"Got a label of type {type(label).__name__}, expected a name or a class index.",
                got=label,
            )
        if not 0 <= label < len(self.labels):
            raise TargetError(
                f"Got the class {label}, expected 0 to {len(self.labels) - 1}: "
                f"{', '.join(map(repr, self.labels[:10]))}.",
                got=label,
                known=tuple(range(len(self.labels))),
            )
        return int(label)

    def encode(self, texts: Iterable[str]) -> Iterator[EncodedText]:
        """Tokenise texts and look up their ids, one after another; cut them where `pad_to` says so.

        A string is one text.

        Raises:
            TextError: a text is no string.
        """
        texts = [texts] if isinstance(texts, str) else texts
        for source in tokenised(self.tokenizer, texts):
            encoded = EncodedText(self.vocabulary.encode(source.spelled), source)
            yield encoded if self.pad_to is None else encoded.truncated(self.pad_to, self.truncate)

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
            left = self.pad_side == "left"
            return pad_words(documents, self.vocabulary.pad, length=self.pad_to or 1, left=left)
        sentences = [encoded.source.sentences for encoded in batch]
        for places in sentences:
            if (np.diff(places) < 0).any():
                raise TextError(
                    "Got a token whose sentence comes before that of the token to its left; "
                    "the tokenizer must number the sentences of a text in their order."
                )
        return pad_sentences(documents, sentences, self.vocabulary.pad)

    def batch(self, documents: Sequence[EncodedText]) -> Batch:
        """Pad documents and put them, with what the model takes after the ids, on its device.

        Raises:
            TextError: the tokens of a document are not in the order of its sentences.
        """
        ids, words = (part.to(self.device) for part in self.collate(documents))
        return Batch(ids, words, self.arguments(ids, words))

    def length(self, encoded: EncodedText) -> int:
        """The number of ids of a document that is padded by itself."""
        if self.layout == "words" or not len(encoded):
            return max(self.pad_to or 0, len(encoded))
        _, counts = np.unique(encoded.source.sentences, return_counts=True)
        return len(counts) * int(counts.max())

    def arguments(self, ids: Tensor, words: Tensor) -> tuple[Any, ...]:
        """What the model takes after `ids`; `words` is True where one of them is a word."""
        if self.additional is None:
            return ()
        if self.additional == "lengths":
            return (words.sum(dim=-1).cpu(),)
        if self.additional == "mask":
            return (words,)
        found = self.additional(ids, words)
        return found if isinstance(found, tuple) else (found,)

    def scores(self, batch: Sequence[EncodedText], *, output: int | str | None = None) -> Tensor:
        """Score a batch on the model's device: float `[B, C]`.

        Args:
            batch: documents, as `encode` gives them.
            output: which part of what the model returns holds the scores, if it is several things.

        Raises:
            TrainingModeError: the model or a part of it is in training mode.
            OutputError: the model returns something else than scores `[B, C]`.
            LabelError: it gives more or fewer scores than there are labels.
            NonFiniteError: a score is NaN or infinite.
        """
        answer = self.output(self.batch(batch))
        scores = select_output(answer, output)
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            raise OutputError(
                f"The model returns a {_kind(scores)}, expected a float tensor of scores [B, C]."
            )
        given, scores = list(scores.shape), self.by_label(scores)
        if scores.ndim == 2 and scores.shape[1] != len(self.labels) and len(given) == 2:
            raise label_count_error(given[1], self.labels)
        if scores.shape != (len(batch), len(self.labels)):
            raise OutputError(
                f"The model returns scores of the shape {given}, expected "
                f"{[len(batch), len(self.labels)]} for {len(batch)} documents and "
                f"{len(self.labels)} labels."
            )
        if not scores.isfinite().all():
            raise NonFiniteError(
                "The model returns a score that is NaN or infinite; check its weights."
            )
        return scores

    def output(self, batch: Batch) -> Any:
        """The output of the model for a batch, in evaluation mode and without gradients."""
        for name, module in self.model.named_modules():
            if module.training:
                raise TrainingModeError(
                    f"The model is in training mode ({name or type(module).__name__}), where its "
                    "scores may change from call to call; call model.eval() first."
                )
        arguments = (batch.ids, *batch.additional)
        with torch.no_grad():
            try:
                return self.model(*arguments)
            except TypeError as error:
                missing = missing_argument_error(self.model, arguments)
                if missing is None:
                    raise
                raise missing from error

    def by_label(self, scores: Tensor) -> Tensor:
        """Scores `[B, C]`; a single output s, `[B]` or `[B, 1]`, of two labels gives `[-s, s]`."""
        if scores.ndim == 1:
            scores = scores.unsqueeze(1)
        if scores.shape[1:] == (1,) and len(self.labels) == 2:
            return torch.cat([-scores, scores], dim=1)
        return scores

    def all_scores(
        self,
        documents: Sequence[EncodedText],
        budget: Budget,
        done: Callable[[int], object] = lambda count: None,
    ) -> npt.NDArray[np.float32]:
        """Score documents in batches of similar length: `[N, C]`, in their order.

        Args:
            documents: as `encode` gives them.
            budget: how many tokens make a batch.
            done: is told after each batch how many documents it had.

        Raises:
            ModelError: the model does not give finite scores `[B, C]`, one a label; see `scores`.
        """
        scores = np.zeros((len(documents), len(self.labels)), dtype=np.float32)

        def run(batch: list[int]) -> Tensor:
            return self.scores([documents[k] for k in batch]).float()

        for batch, found in in_batches([self.length(d) for d in documents], budget, run):
            scores[batch] = found.cpu().numpy()
            done(len(batch))
        return scores

    def predict(
        self,
        texts: Iterable[str],
        *,
        batch_tokens: BatchTokens = 16_384,
        progress: bool | None = None,
    ) -> Prediction:
        """Give the class and the scores of each text, in the order of the texts.

        Args:
            texts: strings, read as a stream; or one string, which is one text.
            batch_tokens: the most tokens, padding included, that the model reads at a time;
                "auto" finds what is fast and fits into memory.
            progress: show a bar; None shows one where standard error is a terminal.

        Raises:
            TextError: a text is no string.
            TrainingModeError: the model or a part of it is in training mode.
            OutputError: the model returns something else than scores `[B, C]`.
            LabelError: it gives more or fewer scores than there are labels.
            NonFiniteError: a score is NaN or infinite.
            OptionError: `batch_tokens` is below 1.
        """
        texts = [texts] if isinstance(texts, str) else texts
        total = len(texts) if isinstance(texts, Sized) else None
        budget = Budget(batch_tokens, self.device)
        parts = [np.zeros((0, len(self.labels)), dtype=np.float32)]
        encoded = self.encode(texts)
        with tqdm(
            total=total,
            unit="text",
            desc="Scoring",
            disable=None if progress is None else not progress,
        ) as bar:
            while held := list(itertools.islice(encoded, _WINDOW)):
                parts.append(self.all_scores(held, budget, bar.update))
        scores = np.concatenate(parts)
        return Prediction(scores.argmax(axis=1).astype(np.int64), scores)

    def predict_proba(
        self,
        texts: Iterable[str],
        *,
        multilabel: bool | None = None,
        batch_tokens: BatchTokens = 16_384,
        progress: bool | None = None,
    ) -> npt.NDArray[np.float64]:
        """Give the probability of each class for each text: `[N, C]`, in the order of `labels`.

        The softmax of the scores. Of a model with a single output s it is sigmoid(s), the
        probability of the second of two labels, or of the only one.

        Args:
            texts: strings, read as a stream; or one string, which is one text.
            multilabel: a text may have several labels: the sigmoid of each score. None takes the
                `multilabel` of the classifier.
            batch_tokens: the most tokens in a batch, as in `predict`.
            progress: show a bar; None shows one where standard error is a terminal.

        Raises:
            SeqlrpError: the errors of `predict`.
        """
        found = self.predict(texts, batch_tokens=batch_tokens, progress=progress)
        return self.probabilities(found.scores, multilabel=multilabel)

    def probabilities(
        self, scores: npt.NDArray[np.floating], *, multilabel: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """The probabilities that `predict_proba` gives for scores `[..., C]`."""
        several = self.multilabel if multilabel is None else multilabel
        return probabilities_from_scores(scores, independent=several or self.one_output)

    @property
    def one_output(self) -> bool:
        """Whether one output stands for all labels; the model is run where that can be.

        Raises:
            TrainingModeError: there are two labels, and the model or a part of it is in training
                mode.
        """
        return len(self.labels) == 1 or (len(self.labels) == 2 and self.single_output)


def _kind(value: Any) -> str:
    return f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
