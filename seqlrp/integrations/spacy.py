"""A component of spaCy pipelines that sets the classes of a document and its tokens' relevance.

Installing seqlrp makes it known to spaCy by the name "seqlrp", with no import.
"""

# No postponed annotations: spaCy reads those of the factory to check its options.

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.attrs import IDX, LENGTH
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, Token

from seqlrp.errors import OptionError, SavedFileError
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, iter_explanations
from seqlrp.explaining.skipped import SkippedTexts
from seqlrp.explaining.targets import checked_target
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.saving import load, save

KEY = "seqlrp"  # in doc.user_data, where everything must be plain enough for spaCy to write
CLASSIFIER = "classifier"  # the folder beside a saved pipeline
STRONG = 0.1  # of the largest relevance: what `doc.spans` has


class RelevancePipe(Pipe):
    """Sets `doc.cats` to probabilities, `doc._.explanation`, and the relevance of tokens and spans.

    `doc.spans["seqlrp"]` has the words with at least a tenth of the largest relevance, labelled by
    the class that they speak for, or "not" that class, so that displaCy shows them:
    `displacy.render(doc, style="span", options={"spans_key": "seqlrp"})`.

    The classifier splits the text as it was trained to, and the relevance of its tokens goes to
    those of the document: to the same token where both agree, and else by the characters that they
    share. The relevance of white space and of tokens such as `[CLS]` is in `doc._.explanation`
    only.

    A pipeline that is saved takes the classifier with it, unless a function makes it.

    A document without a word, or with one class on both sides of a pair, stays as it is, and its
    `doc._.explanation` is None.

    Args:
        nlp: the pipeline.
        classifier: what is explained; None where it comes with the pipeline.
        name: of the component.
        target: "predicted", a class, or a pair of classes; a list is taken as a pair.
        method: a name in `seqlrp.METHODS`.
        multilabel: whether a document may have several labels, so that a probability is the sigmoid
            of its score; None takes what the classifier says.
        batch_tokens: the most tokens in a batch, padding included, or "auto".
        options: of the method, e.g. `{"epsilon": 0.01}`.

    Raises:
        OptionError: no such method or option, or the target "all".
        TargetError: no such class.
    """

    def __init__(
        self,
        nlp: Language,
        classifier: TextClassifier | None,
        *,
        name: str = "seqlrp",
        target: Any = "predicted",
        method: str = "lrp",
        multilabel: bool | None = None,
        batch_tokens: Any = BATCH_TOKENS,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.vocab = nlp.vocab
        self.folder: str | None = None  # what it was loaded from
        self.device = "cpu"
        target = tuple(target) if isinstance(target, list) else target
        if target == ALL:
            raise OptionError(
                "Got target='all'; a token has one number: name a class, or a pair of classes.",
                option="target",
                got=target,
            )
        self.target = target
        self.method = method
        self.multilabel = multilabel
        self.batch_tokens = batch_tokens
        self.options = dict(options or {})
        self._classifier: TextClassifier | None = None
        if classifier is not None:
            self._use(classifier)

    @property
    def classifier(self) -> TextClassifier:
        """What is explained.

        Raises:
            SavedFileError: it was in a folder that is not there, and did not come with a pipeline.
        """
        if self._classifier is None:
            raise SavedFileError(
                f"There is no classifier in {self.folder}, and the pipeline was saved without it."
            )
        return self._classifier

    def _use(self, classifier: TextClassifier) -> None:
        """Take a classifier, and say at once what does not fit it."""
        self.target = checked_target(classifier, self.target, labelled=False)
        chosen_method(classifier, self.method, self.options)
        self._classifier = classifier

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        """Save the classifier beside the pipeline, if it was loaded from a folder."""
        if self.folder is not None:
            Path(path).mkdir(exist_ok=True)
            save(self.classifier, Path(path, CLASSIFIER))

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> "RelevancePipe":
        """Load the classifier that was saved with the pipeline, if there is one."""
        if (folder := Path(path, CLASSIFIER)).exists():
            self.folder = str(folder)
            self._use(_loaded(folder, self.device))
        return self

    def __call__(self, doc: Doc) -> Doc:
        """Explain one document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 256) -> Iterator[Doc]:
        """Explain documents in batches, in their order."""
        handle = self.get_error_handler()
        stream = iter(stream)
        while docs := list(islice(stream, batch_size)):
            try:
                self._explain(docs)
            except Exception as error:
                handle(self.name, self, docs, error)
            yield from docs

    def _explain(self, docs: Sequence[Doc]) -> None:
        explanations = list(
            iter_explanations(
                self.classifier,
                (doc.text for doc in docs),
                self.method,
                self.target,
                ids=range(len(docs)),
                on_unanswerable=SkippedTexts("skip"),
                batch_tokens=self.batch_tokens,
                progress=False,
                **self.options,
            )
        )
        if not explanations:
            return
        scores = np.stack([e.scores for e in explanations])
        chances = self.classifier.probabilities(scores, multilabel=self.multilabel)
        for explanation, row in zip(explanations, chances.tolist(), strict=True):
            doc = docs[int(explanation.id or 0)]
            doc.cats.update(zip(self.classifier.labels, row, strict=True))
            values = _plain(dataclasses.replace(explanation, id=None))
            doc.user_data[KEY] = {"explanation": values, "tokens": np.zeros(0)}
            doc.spans[KEY] = _strongest_words(doc, explanation)


@Language.factory(
    "seqlrp",
    assigns=["doc.cats", "doc.spans", "doc._.explanation", "token._.relevance", "span._.relevance"],
    default_config={
        "target": "predicted",
        "method": "lrp",
        "multilabel": None,
        "batch_tokens": BATCH_TOKENS,
        "device": "cpu",
        "options": {},
    },
)
def make_relevance_pipe(
    nlp: Language,
    name: str,
    model: Any,
    target: Any,
    method: str,
    multilabel: bool | None,
    batch_tokens: Any,
    device: str,
    options: dict[str, Any],
) -> RelevancePipe:
    """Make the component from a pipeline's configuration.

    Args:
        nlp: the pipeline.
        name: of the component.
        model: the folder of a saved classifier; or `{"@misc": "…"}`, a function registered with
            `spacy.registry.misc` that returns a `TextClassifier`.
        target: "predicted", a class, or a pair of classes.
        method: a name in `seqlrp.METHODS`.
        multilabel: whether a document may have several labels.
        batch_tokens: the most tokens in a batch, padding included, or "auto".
        device: where a saved classifier is put.
        options: of the method.
    """
    made = isinstance(model, TextClassifier)
    # A pipeline from another machine names a folder that is not here, and brings the classifier.
    there = made or os.path.exists(model)
    pipe = RelevancePipe(
        nlp,
        model if made else _loaded(model, device) if there else None,
        name=name,
        target=target,
        method=method,
        multilabel=multilabel,
        batch_tokens=batch_tokens,
        options=options,
    )
    pipe.folder, pipe.device = None if made else str(model), device
    return pipe


def _loaded(folder: Any, device: str) -> TextClassifier:
    try:
        return load(folder, device=device)
    except OptionError as error:
        if error.code != "factory_missing":
            raise
        raise OptionError(
            f"{error} In a pipeline: do so in a function registered by spacy.registry.misc, and "
            'name that instead of the folder: model={"@misc": "…"}.',
            option="model",
            got=folder,
            code=error.code,
        ) from error


def shared(
    relevance: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.integer],
    places: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Relevance `[T]` of tokens at `offsets` `[T, 2]` for those at `places` `[N, 2]`: `[N]`.

    Both are in order, and none lies over another of its kind. A token's relevance goes to all
    places that share characters with it, in proportion to how many, so that the sum stays but for
    tokens that share none.
    """
    starts, ends = places.T
    firsts = np.searchsorted(ends, offsets[:, 0], side="right")
    counts = np.searchsorted(starts, offsets[:, 1], side="left") - firsts
    counts[offsets[:, 0] == offsets[:, 1]] = 0
    # A row for each token and each place that it shares characters with.
    token = np.repeat(np.arange(len(offsets)), counts)
    place = np.arange(counts.sum()) + np.repeat(firsts - counts.cumsum() + counts, counts)
    overlap = np.minimum(ends[place], offsets[token, 1]) - np.maximum(
        starts[place], offsets[token, 0]
    )
    share = overlap / np.bincount(token, overlap, len(offsets))[token]
    amounts = relevance.astype(np.float64)[token] * share
    return np.asarray(np.bincount(place, amounts, len(places)), dtype=np.float64)


def _strongest_words(doc: Doc, explanation: Explanation) -> list[Span]:
    """The tokens with at least a tenth of the largest relevance, labelled by the class."""
    relevance = _relevance(doc)
    assert relevance is not None
    assert isinstance(explanation.target, int)
    label = explanation.labels[explanation.target]
    least = STRONG * np.abs(relevance).max(initial=0.0)
    return [
        Span(doc, i, i + 1, label=label if relevance[i] > 0 else f"not {label}")
        for i in np.flatnonzero((np.abs(relevance) >= least) & (relevance != 0)).tolist()
    ]


def _plain(explanation: Explanation) -> dict[str, Any]:
    values = {f.name: getattr(explanation, f.name) for f in dataclasses.fields(explanation)}
    values["parameters"] = json.loads(json.dumps(explanation.parameters, default=dict))
    values["ledger"] = dict(explanation.ledger)
    return values


def _explanation(doc: Doc) -> Explanation | None:
    held = doc.user_data.get(KEY)
    return None if held is None else Explanation(**held["explanation"])


def _relevance(doc: Doc) -> npt.NDArray[np.float64] | None:
    """Of each token of the document, as it is split now: components may merge and split tokens."""
    held = doc.user_data.get(KEY)
    if held is None:
        return None
    if len(held["tokens"]) != len(doc):
        rows = doc.to_array([IDX, LENGTH]).astype(np.int64).reshape(-1, 2)
        places = np.stack([rows[:, 0], rows.sum(1)], axis=1)
        values = held["explanation"]
        held["tokens"] = shared(values["relevance"], values["offsets"], places)
    tokens: npt.NDArray[np.float64] = held["tokens"]
    return tokens


def _of_token(token: Token) -> float | None:
    found = _relevance(token.doc)
    return None if found is None else float(found[token.i])


def _of_span(span: Span) -> float | None:
    found = _relevance(span.doc)
    return None if found is None else float(found[span.start : span.end].sum())


Doc.set_extension("explanation", getter=_explanation, force=True)
Doc.set_extension("relevance", getter=_relevance, force=True)
Token.set_extension("relevance", getter=_of_token, force=True)
Span.set_extension("relevance", getter=_of_span, force=True)
