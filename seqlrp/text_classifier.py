"""A model together with its words and its classes: texts in, scores out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.batching import BatchTokens, Budget, in_batches, pad_sentences, pad_words
from seqlrp.classifiers import Layout
from seqlrp.consistency import check_parts, checked_labels, scores_for_labels
from seqlrp.errors import (
    ModelError,
    NonFiniteError,
    OutputError,
    TargetError,
    TextError,
    TrainingModeError,
    near,
)
from seqlrp.lrp.door import selected
from seqlrp.prediction import Prediction, chances
from seqlrp.text.encoded import EncodedText, Tokenizer, tokenised
from seqlrp.text.tokens import SpacyTokenizer
from seqlrp.text.vocabulary import Vocabulary

Additional = Literal["lengths", "mask"] | Callable[[Tensor, Tensor], Any] | None

# Words of a text that is long enough for the filters of a convolution.
_FEW = 8
# Texts that are held encoded at a time while a stream of them is scored.
_HELD = 4096


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """A model that maps ids to scores, and what belongs to it.

    Attributes:
        model: any module that maps ids to scores `[B, C]`.
        vocabulary: gives each token its id.
        labels: the name of each class, in the order of the scores.
        tokenizer: splits a text into a `TokenizedText`, or into a list of tokens as they are
            written in it (`str.split`, say), or is a spaCy pipeline; by default spaCy's rules for
            English.
        layout: "words" for ids `[B, T]`, "sentences" for ids `[B, S, W]`.
        additional: what the model takes after the ids. "lengths" is how many words there are,
            int64 `[B]` (or `[B, S]`), on the CPU, where packing wants it; "mask" is True where a
            word is, bool as the ids. Anything else: a function of ids and mask, on the model's
            device, that gives one argument or a tuple of them.
        multilabel: a text may have several labels, so that the probability of each is the sigmoid
            of its score; otherwise probabilities are the softmax of the scores.

    A model with one output and two labels is taken as a yes-or-no classifier: its output speaks for
    `labels[1]`, and `scores` gives `[-output, output]`.

    Raises:
        LabelError: labels that are empty or not distinct, or more or fewer than the model has.
        VocabularyError: the vocabulary is not of the size of the model's embedding.
        OptionError: an unknown layout, or one that is not the model's; so with `additional`.
        ModelError: the model is no `torch.nn.Module`.
    """

    model: nn.Module
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    tokenizer: Tokenizer = field(default_factory=SpacyTokenizer)
    layout: Layout = "words"
    additional: Additional = None
    multilabel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", checked_labels(self.labels))
        check_parts(self)

    @property
    def single_output(self) -> bool:
        """Whether the model gives one number a text; asked of a text of a few words.

        Raises:
            TrainingModeError: the model or a part of it is in training mode.
        """
        shape = (1, _FEW) if self.layout == "words" else (1, 1, _FEW)
        words = torch.ones(shape, dtype=torch.bool, device=self.device)
        id_ = next(id_ for id_ in range(len(self.vocabulary)) if id_ != self.vocabulary.pad)
        scores = self._answer(torch.full(shape, id_, device=self.device), words)
        return isinstance(scores, Tensor) and scores.numel() == 1

    @property
    def independent(self) -> bool:
        """Whether a probability is the sigmoid of its own score: `multilabel`, or a single output.

        Raises:
            TrainingModeError: as `single_output`, which is asked where there are two labels.
        """
        return self.multilabel or self._one_output

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """The labels, in the order of the scores, under the name that scikit-learn has for them."""
        return np.array(self.labels)

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
        for source in tokenised(self.tokenizer, texts):
            yield EncodedText(self.vocabulary.encode(source.spelled), source)

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
            return pad_words(documents, self.vocabulary.pad)
        sentences = [encoded.source.sentences for encoded in batch]
        for places in sentences:
            if (np.diff(places) < 0).any():
                raise TextError(
                    "Got a token whose sentence comes before that of the token to its left; "
                    "the tokenizer must number the sentences of a text in their order."
                )
        return pad_sentences(documents, sentences, self.vocabulary.pad)

    def length(self, encoded: EncodedText) -> int:
        """How many ids the document takes up when it is padded by itself."""
        if self.layout == "words" or not len(encoded):
            return len(encoded)
        _, counts = np.unique(encoded.source.sentences, return_counts=True)
        return len(counts) * int(counts.max())

    def arguments(self, ids: Tensor, words: Tensor) -> tuple[Any, ...]:
        """What the model takes after `ids`, for the places where `words`, bool as they, is True."""
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
        answer = self._answer(*(part.to(self.device) for part in self.collate(batch)))
        scores = selected(answer, output)
        if not isinstance(scores, Tensor) or not scores.is_floating_point():
            raise OutputError(
                f"The model returns a {_kind(scores)}, expected a float tensor of scores [B, C]."
            )
        given, scores = list(scores.shape), self.by_label(scores)
        if scores.ndim == 2 and scores.shape[1] != len(self.labels) and len(given) == 2:
            raise scores_for_labels(given[1], self.labels)
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

    def _answer(self, ids: Tensor, words: Tensor) -> Any:
        """What the model returns for a batch, if nothing in it could change by that."""
        for name, module in self.model.named_modules():
            if module.training:
                raise TrainingModeError(
                    f"The model is in training mode ({name or type(module).__name__}), where its "
                    "scores may change from call to call; call model.eval() first."
                )
        with torch.no_grad():
            try:
                return self.model(ids, *self.arguments(ids, words))
            except TypeError as error:
                if "positional argument" not in str(error):
                    raise
                raise ModelError(
                    f"{error}. Say what the model takes after the ids: additional='lengths', "
                    "'mask', or a function of ids and mask; None if it takes ids alone."
                ) from error

    def by_label(self, scores: Tensor) -> Tensor:
        """Scores by label: for two labels and a single output s, `[B]` or `[B, 1]`, `[-s, s]`."""
        if scores.ndim == 1:
            scores = scores.unsqueeze(1)
        if scores.shape[1:] == (1,) and len(self.labels) == 2:
            return torch.cat([-scores, scores], dim=1)
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
            texts: read as a stream.
            batch_tokens: the most tokens, padding included, that the model reads at a time; or
                "auto", as for `seqlrp.explain`.
            progress: show a bar; None shows one where standard error is a terminal.

        Raises:
            As `encode` and `scores`; OptionError where `batch_tokens` is below 1.
        """
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
            while held := list(itertools.islice(encoded, _HELD)):
                scores = np.zeros((len(held), len(self.labels)), dtype=np.float32)

                def run(batch: list[int], held: list[EncodedText] = held) -> Tensor:
                    return self.scores([held[k] for k in batch]).float()

                for batch, found in in_batches([self.length(e) for e in held], budget, run):
                    scores[batch] = found.cpu().numpy()
                    bar.update(len(batch))
                parts.append(scores)
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

        Softmax of the scores. A model with a single output s says sigmoid(s), which is the
        probability of the second of two labels, or of the only one.

        Args:
            texts: as for `predict`, as are batch_tokens and progress.
            multilabel: a text may have several labels: sigmoid of each score. None takes what the
                classifier itself says.
            batch_tokens: see above.
            progress: see above.

        Raises:
            As `predict`.
        """
        found = self.predict(texts, batch_tokens=batch_tokens, progress=progress)
        return self.probabilities(found.scores, multilabel=multilabel)

    def probabilities(
        self, scores: npt.NDArray[np.floating], *, multilabel: bool | None = None
    ) -> npt.NDArray[np.float64]:
        """What `predict_proba` says of scores `[..., C]`."""
        several = self.multilabel if multilabel is None else multilabel
        return chances(scores, independent=several or self._one_output)

    @property
    def _one_output(self) -> bool:
        """Whether there is one output to all labels; the model is asked where that can be."""
        return len(self.labels) == 1 or (len(self.labels) == 2 and self.single_output)


def _kind(value: Any) -> str:
    return f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
