"""Answers questions in batches of similar length: relevance in terms of the classifier's labels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import Budget, in_batches
from seqlrp.engine.checks import One, resolve_contrast
from seqlrp.engine.nests import tensors_in
from seqlrp.engine.other_words import Frame, other_words
from seqlrp.engine.padding import padding_told_to
from seqlrp.errors import TargetError, WordFeaturesWarning
from seqlrp.explaining.questions import Question
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.methods import Explainer, Method
from seqlrp.models.consistency import label_count_error
from seqlrp.models.prediction import probabilities_from_scores

if TYPE_CHECKING:
    from seqlrp.models.classifier import Batch, TextClassifier
    from seqlrp.text.tokens import TokenizedText


def explain_questions(
    classifier: TextClassifier,
    method: Method,
    questions: Sequence[Question],
    budget: Budget,
    bar: tqdm[Any],
) -> Iterator[Explanation]:
    """Answer questions in order; where a batch fails, first give everything before it.

    Args:
        classifier: the classifier that is explained.
        method: the method of attribution, made for the classifier's model.
        questions: all about one class each, all about a pair of classes, or all about "all".
        budget: the most tokens in a batch.
        bar: moved on by a step for each question.
    """
    answers: dict[int, Explanation] = {}  # by the place of the question
    one_output = classifier.one_output  # for which the model is run: once for all batches
    independent = classifier.multilabel or one_output
    lengths = [classifier.length(question.document) for question in questions]

    def run(batch: list[int]) -> _BatchResult:
        asked = [questions[k] for k in batch]
        return _send_to_cpu(*attribute_batch(classifier, method, asked, one_output))

    failure = None
    try:
        for batch, found in in_batches(lengths, budget, run, up_to_failure=True):
            asked = [questions[k] for k in batch]
            made = list(_make_explanations(classifier, method, asked, found, independent))
            answers.update(zip(batch, made, strict=True))
            bar.update(len(batch))
    except Exception as error:
        failure = error
    yield from map(answers.__getitem__, takewhile(answers.__contains__, range(len(questions))))
    if failure is not None:
        raise failure


def attribute_batch(
    classifier: TextClassifier,
    method: Method,
    questions: Sequence[Question],
    one_output: bool | None = None,
) -> tuple[Attribution, Tensor]:
    """Attribute a batch, and say which places of its ids are words: bool, as the ids.

    Args:
        classifier: the classifier whose model `method` explains.
        method: the method of attribution.
        questions: all about one class each, all about a pair of classes, or all about "all".
        one_output: `classifier.one_output`, where it is known.

    Raises:
        TargetError: both sides of a pair are the same class for a text.
    """
    one_output = classifier.one_output if one_output is None else one_output
    batch = classifier.batch([question.document for question in questions])

    def side(classes: list[int | str]) -> One:
        if len(set(classes)) == 1:
            return classes[0]
        return torch.tensor(classes, device=batch.ids.device)

    target = side([question.target for question in questions])
    against = [question.against for question in questions if question.against is not None]
    if not against:
        return attribute_labels(classifier, method, batch, target, one_output), batch.words
    try:
        pair = target, side(against)
        return attribute_labels(classifier, method, batch, pair, one_output), batch.words
    except TargetError as error:
        if error.code != "same_class":
            raise
        raise _same_class_error(classifier, questions, error) from error


def _same_class_error(
    classifier: TextClassifier, questions: Sequence[Question], error: TargetError
) -> TargetError:
    """An error that names the first text with one class on both sides."""
    assert isinstance(error.got, tuple)
    rows = zip(questions, *(side.tolist() for side in error.got), strict=True)
    number, side = min((q.number, one) for q, one, other in rows if one == other)
    return TargetError(
        f"For text {number} both sides of the target are {classifier.labels[side]!r}, and a "
        "class differs from itself by nothing.",
        "Leave such texts out (on_unanswerable='skip'), or compare with another class.",
        option="target",
        text=number,
        code="unanswerable",
    )


def attribute_labels(
    classifier: TextClassifier,
    method: Method,
    batch: Batch,
    target: One | tuple[One, One],
    one_output: bool,
) -> Attribution:
    """Attribute a batch in terms of the classifier's labels.

    A model with one output s and two labels speaks for `labels[1]`: its scores are taken as
    [-s, s], so that relevance for `labels[0]` is the same with the sign changed, and the
    difference of the two is 2s for (`labels[1]`, `labels[0]`) and -2s for the other way round.

    Args:
        classifier: the classifier whose model `method` explains.
        method: the method of attribution.
        batch: the documents.
        target: a class, "predicted" or "all"; a tensor `[B]` with a class for each document; or a
            pair of these.
        one_output: `classifier.one_output`.

    Raises:
        TargetError: both sides of a pair are the same class for a document of the batch.
        LabelError: the model gives more or fewer scores than there are labels.
    """
    if callable(classifier.additional):
        _warn_of_features(classifier, batch)
    # The padding of a fixed length is part of what the model has learnt to read.
    with padding_told_to(None if classifier.pad_to is None else _ignore):
        return _attribute_labels(classifier, method, batch, target, one_output)


def _warn_of_features(classifier: TextClassifier, batch: Batch) -> None:
    """Warn if what the model takes after the ids is another for other words."""
    vocabulary = classifier.vocabulary
    frame, sizes = Frame(frozenset({vocabulary.pad}), ()), [len(vocabulary)]
    given = tensors_in(batch.additional)

    def changes(other: Tensor) -> bool:
        try:
            again = tensors_in(classifier.arguments(other, batch.words))
        except Exception:  # the function may know no other words
            return False
        return len(given) != len(again) or not all(map(torch.equal, given, again))

    if not any(map(changes, other_words(batch.ids, ~batch.words, frame, sizes))):
        return
    warnings.warn(
        "What the classifier's `additional` function returns depends on the words: for other words "
        "it has other values. The model takes them for given, so what words do by way of them is "
        "not explained; replace words (method='occlusion', removal='unk') to see all of it.",
        WordFeaturesWarning,
        stacklevel=2,
    )


def _ignore(share: float) -> None:
    pass


def _attribute_labels(
    classifier: TextClassifier,
    method: Method,
    batch: Batch,
    target: One | tuple[One, One],
    one_output: bool,
) -> Attribution:
    labels = len(classifier.labels)
    ids, padding, additional = batch.ids, ~batch.words, batch.additional or None
    if labels != 2 or not one_output:
        found = method.attribution(ids, target, additional, padding=padding)
        if found.scores.shape[1] != labels:
            raise label_count_error(found.scores.shape[1], classifier.labels)
        return found
    found = method.attribution(ids, 0, additional, padding=padding)
    scores = torch.cat([-found.scores, found.scores], dim=1)
    wanted, against = resolve_contrast(target, scores)
    factors = torch.tensor([[-1.0, 1.0]], dtype=scores.dtype, device=scores.device)
    relevance, documents = found.relevance, ids.ndim - 1
    if wanted is None:
        relevance = relevance.unsqueeze(1)  # [B, 1, T]
    else:
        factors = factors[0, wanted] * (1 if against is None else 2)
    factors = _rescaled_factors(method, factors)  # [B], or [1, 2] for all
    relevance = relevance * factors.reshape(*factors.shape, *[1] * documents)
    ledger = found.ledger and found.ledger.scale(factors)
    return Attribution(relevance, scores, wanted, ledger, against, unverified=found.unverified)


def _rescaled_factors(method: Method, factors: Tensor) -> Tensor:
    """The factors of relevance where the score is multiplied by `factors`."""
    return method.relevance_factors(factors) if isinstance(method, Explainer) else factors


class _BatchResult(NamedTuple):
    """The result of a method for one batch, on the CPU or on its way there."""

    relevance: Tensor  # [B, T], or [B, C, T] for all classes, float32
    scores: Tensor  # [B, C], float32
    words: Tensor  # bool, as the ids
    target: Tensor | None
    against: Tensor | None
    kinds: tuple[str, ...]  # of the ledger
    amounts: Tensor | None  # [kinds, B], or [kinds, B, C], float64
    arrived: torch.cuda.Event | None


def _send_to_cpu(found: Attribution, words: Tensor) -> _BatchResult:
    """Send results to the CPU; from CUDA into pinned memory, while the next batch is begun."""
    cuda = found.relevance.is_cuda
    totals = {} if found.ledger is None else found.ledger.totals
    amounts = torch.stack(list(totals.values())) if totals else None

    def to_cpu(tensor: Tensor) -> Tensor:
        return tensor.to("cpu", non_blocking=cuda)

    relevance, scores = to_cpu(found.relevance.float()), to_cpu(found.scores.float())
    words = to_cpu(words)
    target, against, amounts = (
        None if t is None else to_cpu(t) for t in (found.target, found.against, amounts)
    )
    arrived = None
    if cuda:
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(torch.cuda.current_stream(found.relevance.device))
    return _BatchResult(relevance, scores, words, target, against, tuple(totals), amounts, arrived)


def _make_explanations(
    classifier: TextClassifier,
    method: Method,
    questions: Sequence[Question],
    found: _BatchResult,
    independent: bool,
) -> Iterator[Explanation]:
    """Make an explanation for each question of a batch."""
    if found.arrived is not None:
        found.arrived.synchronize()
    relevance, words, scores = found.relevance.numpy(), found.words.numpy(), found.scores.numpy()
    targets = None if found.target is None else found.target.tolist()
    against = None if found.against is None else found.against.tolist()
    amounts = [()] * len(questions)
    if found.amounts is not None:
        amounts = found.amounts.transpose(0, 1).tolist()
    predicted = scores.argmax(1).tolist()
    probabilities = probabilities_from_scores(scores, independent=independent).astype(np.float32)
    parameters = method.parameters
    for row, question in enumerate(questions):
        source = question.document.source
        yield Explanation(
            text=source.text,
            tokens=source.tokens,
            offsets=source.offsets,
            sentences=_sentences(classifier, source),
            relevance=relevance[row][..., words[row]],
            target=ALL if targets is None else targets[row],
            against=None if against is None else against[row],
            predicted=predicted[row],
            label=question.truth,
            scores=scores[row],
            probabilities=probabilities[row],
            labels=classifier.labels,
            method=method.name,
            parameters=parameters,
            ledger=dict(zip(found.kinds, amounts[row], strict=True)),
            id=question.name,
            unread=source.unread,
        )


def _sentences(classifier: TextClassifier, source: TokenizedText) -> npt.NDArray[np.int32] | None:
    """The sentences `[T]` that the model read, or else those that the tokenizer found, if any."""
    if classifier.layout == "sentences":
        return source.sentences
    in_order = (source.sentences[1:] >= source.sentences[:-1]).all()
    return source.sentences if source.splits_sentences and in_order else None
