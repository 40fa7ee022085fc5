"""Document vectors: the vectors of a text's words, added up with weights (Arras et al. 2017).

A weight says how much a word counts: its relevance, how rare it is, or the same for all. How well
texts with the same answer lie together says how well the weights found what the answer rests on
(`seqlrp.analysis.explanatory_power`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from tqdm import tqdm

from seqlrp.analysis.terms import (
    class_relevance,
    explained_class,
    inverse_document_frequency,
    sums_and_counts,
)
from seqlrp.analysis.word_vectors import word_vectors
from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens, Budget, in_batches
from seqlrp.errors import InputError, OptionError, near
from seqlrp.explaining.attribute import attribute_batch
from seqlrp.explaining.explain import BATCH_TOKENS
from seqlrp.explaining.questions import Question
from seqlrp.explanations.record import Explanation
from seqlrp.lrp import LRP
from seqlrp.methods import METHODS, Method
from seqlrp.text.encoded import EncodedText
from seqlrp.text.tokens import SpacyTokenizer

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

KINDS = ("relevance", "elementwise", "uniform", "tfidf", "sensitivity", "words", "layer:NAME")
LAYER = "layer:"
Vectors: TypeAlias = npt.NDArray[np.float32] | sparse.csr_array


def document_vectors(
    explanations: Iterable[Explanation],
    classifier: TextClassifier,
    kind: str = "relevance",
    *,
    method: Method | None = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
) -> Vectors:
    """Give a vector to each explained text: float32 `[N, D]`, in the order of the explanations.

    Where an explanation is for all classes, its relevance for the predicted one counts.

    Args:
        explanations: of any method, with the tokens that the classifier reads (not merged).
        classifier: the classifier that was explained.
        kind: how the vectors x_t `[D]` of the words, as the model looks them up, are put together
            (Arras et al. 2017, PLoS ONE 12(8), "What is relevant in a text document?"):

            - "relevance": Σ_t R_t x_t.
            - "elementwise": Σ_t R_ti x_ti in dimension i, where R_ti is the relevance of one
              dimension of a word. It is computed anew, by LRP.
            - "uniform": Σ_t x_t.
            - "tfidf": Σ_w tf_w idf_w x_w over the distinct words w, with tf how often w stands in
              the text, and idf = ln(N / n) for n of these N texts that hold it.
            - "sensitivity": Σ_t ‖∂score/∂x_t‖² x_t, computed anew.
            - "words": relevance by word of the vocabulary, sparse `[N, V]`.
            - "layer:NAME": relevance of the units of the module NAME, added up over the words,
              `[N, U]`, by LRP.
        method: for "elementwise" and "layer:NAME", the LRP that is asked; by default one with the
            options with which the texts were explained.
        batch_tokens: the most tokens in a batch of what is computed anew.
        progress: show a bar there; None shows one where standard error is a terminal.

    Raises:
        OptionError: no such kind, or one that needs LRP for explanations of another method.
        InputError: the explanations are merged, or not of this classifier.
        ModelError: the model looks up no vectors.
    """
    held = list(explanations)
    for k, explanation in enumerate(held):
        if not isinstance(explanation, Explanation):
            raise InputError(
                f"Got {type(explanation).__name__} as explanation {k}; expected Explanations, as "
                f"seqlrp.explain(classifier, texts) returns them."
            )
        if "merged" in explanation.parameters:
            raise _token_error(k, "are merged")
    if kind == "elementwise" or kind.startswith(LAYER):
        lrp = lrp_of(held, classifier, kind) if method is None else method
        question: _WholeText
        if kind == "elementwise":
            question = _Elementwise(lrp, word_vectors(classifier))
        else:
            question = _Layer(lrp, kind[len(LAYER) :])
        found = answers(held, classifier, question, batch_tokens, progress)
        return np.stack(list(found)) if held else np.zeros((0, question.width), np.float32)
    if kind not in KINDS:
        raise OptionError(advice=near(kind, KINDS), option="kind", got=kind, known=KINDS)
    weights = _weights(held, classifier, kind, batch_tokens, progress)
    if kind == "words":
        return sparse.csr_array(weights.astype(np.float32))
    vectors = word_vectors(classifier).astype(np.float64)
    dense: npt.NDArray[np.float32] = (weights @ vectors).astype(np.float32)
    return dense


def encoded_explanations(
    explanations: Sequence[Explanation], classifier: TextClassifier
) -> list[EncodedText]:
    """The explained texts as the classifier reads them.

    Raises:
        InputError: a text has other tokens: it was merged, or explained with another tokenizer.
    """
    texts = (explanation.text for explanation in explanations)
    documents = []
    for k, (e, document) in enumerate(zip(explanations, classifier.encode(texts), strict=True)):
        if e.tokens != document.source.tokens:
            raise _token_error(k, "are not those that the classifier reads")
        documents.append(document)
    return documents


def _ids(
    explanations: Sequence[Explanation], classifier: TextClassifier
) -> list[npt.NDArray[np.int64]]:
    """The ids of the words of each explained text; the text is split again only if it must be."""
    if not isinstance(classifier.tokenizer, SpacyTokenizer):
        return [document.ids for document in encoded_explanations(explanations, classifier)]
    return [classifier.vocabulary.encode(explanation.tokens) for explanation in explanations]


def _token_error(number: int, problem: str) -> InputError:
    return InputError(
        f"The tokens of explanation {number} {problem}.",
        "Hand in explanations as seqlrp.explain gives them, before merged(), and the classifier "
        "that they explain.",
        text=number,
    )


def _weights(
    explanations: Sequence[Explanation],
    classifier: TextClassifier,
    kind: str,
    batch_tokens: BatchTokens,
    progress: bool | None,
) -> sparse.csr_array:
    """The weight `[N, V]` of each word of the vocabulary in each document."""
    ids = _ids(explanations, classifier)
    values: Iterable[npt.NDArray[np.floating]] = (np.ones(len(own)) for own in ids)
    if kind in ("relevance", "words"):
        values = map(class_relevance, explanations)
    elif kind == "sensitivity":
        sensitivity = METHODS["sensitivity"](classifier.model)
        values = answers(explanations, classifier, sensitivity, batch_tokens, progress)
    sums, counts = sums_and_counts(zip(ids, values, strict=True))
    for matrix in (sums, counts):
        matrix.resize((len(ids), len(classifier.vocabulary)))
    if kind == "tfidf":
        sums = sums @ sparse.diags_array(inverse_document_frequency(counts))
    return sparse.csr_array(sums)


def answers(
    explanations: Sequence[Explanation],
    classifier: TextClassifier,
    method: Method,
    batch_tokens: BatchTokens,
    progress: bool | None,
) -> Iterator[npt.NDArray[np.float32]]:
    """The relevance that a method gives to each document for its explained class, in order."""
    documents = encoded_explanations(explanations, classifier)
    questions = [
        Question(k, document, explained_class(e), e.against)
        for k, (e, document) in enumerate(zip(explanations, documents, strict=True))
    ]
    pairs = [q.against is not None for q in questions]
    if any(pairs) and not all(pairs):
        raise InputError("Some explanations compare two classes and some do not; take one kind.")
    found: list[npt.NDArray[np.float32] | None] = [None] * len(questions)

    def run(batch: list[int]) -> tuple[Tensor, Tensor]:
        answer, words = attribute_batch(classifier, method, [questions[k] for k in batch])
        return answer.relevance.float().cpu(), words.cpu()

    hidden = None if progress is None else not progress
    lengths = [classifier.length(document) for document in documents]
    budget = Budget(batch_tokens, classifier.device)
    with tqdm(total=len(questions), desc=f"vectors ({method.name})", disable=hidden) as bar:
        for batch, (relevance, words) in in_batches(lengths, budget, run):
            for row, k in enumerate(batch):
                whole = isinstance(method, _WholeText)
                values = relevance[row].flatten() if whole else relevance[row][words[row]]
                found[k] = values.numpy().copy()
            bar.update(len(batch))
    return (values for values in found if values is not None)


def lrp_of(explanations: Sequence[Explanation], classifier: TextClassifier, kind: str) -> LRP:
    """LRP with the options with which the texts were explained."""
    for explanation in explanations:
        if explanation.method != "lrp" or "rules" in explanation.parameters:
            raise OptionError(
                f"kind={kind!r} is computed by LRP, and the texts were explained by "
                f"{explanation.method!r} with {dict(explanation.parameters)!r:.80}.",
                "Say method=seqlrp.LRP(classifier.model, …) with the options that are meant.",
                option="method",
            )
    options: dict[str, Any] = dict(explanations[0].parameters) if explanations else {}
    return LRP(classifier.model, **options)


class _WholeText:
    """LRP that answers with one vector a text in place of a number a word.

    `attribute_batch` puts it to the questions as any method, and multiplies what it answers by
    the sign of a label where a model has a single output.
    """

    def __init__(self, lrp: Any) -> None:
        if not isinstance(lrp, LRP):
            raise OptionError(option="method", got=lrp, expected="an object of seqlrp.LRP")
        self.lrp, self.name, self.parameters = lrp, lrp.name, lrp.parameters
        self.width = 0

    def vectors(
        self, inputs: Tensor, *arguments: Any, **options: Any
    ) -> tuple[Attribution, Tensor]:
        """The answer of LRP, and a vector `[B, D]` for each text."""
        raise NotImplementedError

    def attribution(self, inputs: Tensor, *arguments: Any, **options: Any) -> Attribution:
        """Return the vectors in place of relevance, shaped `[B, D]` or `[B, 1, D]` as the ids."""
        found, vectors = self.vectors(inputs, *arguments, **options)
        self.width = vectors.shape[1]
        shape = (len(vectors), *[1] * (inputs.ndim - 2), self.width)
        return found._replace(relevance=vectors.reshape(shape), ledger=None)


class _Elementwise(_WholeText):
    """Σ_t R_ti x_ti for each dimension i of the word vectors x_t."""

    def __init__(self, lrp: Any, vectors: npt.NDArray[np.float32]) -> None:
        super().__init__(lrp)
        self.table = torch.from_numpy(vectors)
        self.width = vectors.shape[1]

    def vectors(
        self, inputs: Tensor, *arguments: Any, **options: Any
    ) -> tuple[Attribution, Tensor]:
        """The answer of LRP for single dimensions of the words, and a vector for each text."""
        found = self.lrp.attribution(inputs, *arguments, account=False, reduce=False, **options)
        vectors = self.table.to(found.relevance)[inputs]
        if vectors.shape != found.relevance.shape:
            raise OptionError(
                "kind='elementwise' needs a model with one embedding; this one has several, whose "
                "dimensions stand for different things.",
                option="kind",
                got="elementwise",
            )
        return found, (found.relevance * vectors).flatten(1, -2).sum(1)


class _Layer(_WholeText):
    """Σ over all steps of the relevance of each unit of a named module."""

    def __init__(self, lrp: Any, layer: str) -> None:
        super().__init__(lrp)
        names = [name for name, _ in lrp.model.named_modules() if name]
        if layer not in names:
            raise OptionError(advice=near(layer, names), option="layer", got=layer, known=names)
        self.layer = layer

    def vectors(
        self, inputs: Tensor, *arguments: Any, **options: Any
    ) -> tuple[Attribution, Tensor]:
        """The answer of LRP, and the relevance of the units for each text."""
        found = self.lrp.attribution(
            inputs, *arguments, account=False, units=[self.layer], **options
        )
        assert found.units is not None
        return found, found.units[self.layer]
