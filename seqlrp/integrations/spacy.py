"""A component of a spaCy pipeline: the classes of a document, and the relevance of its tokens.

Installing seqlrp makes it known to spaCy by the name "seqlrp", with no import.
"""

# No postponed annotations: spaCy reads those of the factory to check its options.

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.attrs import IDX, LENGTH
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, Token

from seqlrp.errors import OptionError
from seqlrp.explain import BATCH_TOKENS, chosen_method, explained
from seqlrp.explanation import ALL, Explanation
from seqlrp.saving import load
from seqlrp.targets import checked_target
from seqlrp.text_classifier import TextClassifier
from seqlrp.unanswerable import Unanswerable

KEY = "seqlrp"  # in doc.user_data, where everything must be plain enough for spaCy to write


class RelevancePipe(Pipe):
    """Sets `doc.cats` to probabilities, and what `doc._.explanation` and the relevances say.

    The classifier splits the text as it was trained to, and the relevance of its tokens goes to
    those of the document: to the same token where both agree, and else by the characters that they
    share. What white space and tokens such as `[CLS]` have stays with `doc._.explanation`.

    A document of which nothing can be asked stays as it is, and its `doc._.explanation` is None:
    one without a word, or with one class on both sides of a pair.

    Args:
        nlp: the pipeline.
        classifier: what is explained.
        name: of the component.
        target: as for `seqlrp.explain`, as are method, batch_tokens and options; but not "all".
        method: see above.
        multilabel: a document may have several labels: the sigmoid of each score; None takes what
            the classifier says.
        batch_tokens: see above.
        options: see above.

    Raises:
        OptionError, TargetError: as `seqlrp.explain`.
    """

    def __init__(
        self,
        nlp: Language,
        classifier: TextClassifier,
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
        self.classifier = classifier
        target = tuple(target) if isinstance(target, list) else target
        if target == ALL:
            raise OptionError(
                "Got target='all'; a token has one number: name a class, or a pair of classes."
            )
        self.target = checked_target(classifier, target, labelled=False)
        self.method = method
        self.multilabel = multilabel
        self.batch_tokens = batch_tokens
        self.options = dict(options or {})
        chosen_method(classifier, method, self.options)  # what is wrong is said at once

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
            explained(
                self.classifier,
                (doc.text for doc in docs),
                self.method,
                self.target,
                ids=range(len(docs)),
                on_unanswerable=Unanswerable("skip"),
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
            _relevance(doc)


@Language.factory(
    "seqlrp",
    assigns=["doc.cats", "doc._.explanation", "token._.relevance", "span._.relevance"],
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
    """Make the component of what stands in a pipeline's configuration.

    Args:
        nlp: the pipeline.
        name: of the component.
        model: the folder of a saved classifier; or `{"@misc": "…"}`, a function registered with
            `spacy.registry.misc` that returns a `TextClassifier`.
        target: as for `RelevancePipe`, as are method, multilabel, batch_tokens and options.
        method: see above.
        multilabel: see above.
        batch_tokens: see above.
        device: where a saved classifier is put.
        options: see above.
    """
    return RelevancePipe(
        nlp,
        model if isinstance(model, TextClassifier) else _loaded(model, device),
        name=name,
        target=target,
        method=method,
        multilabel=multilabel,
        batch_tokens=batch_tokens,
        options=options,
    )


def _loaded(folder: Any, device: str) -> TextClassifier:
    try:
        return load(folder, device=device)
    except OptionError as error:
        if "factory=" not in str(error):
            raise
        raise OptionError(
            f"{error} In a pipeline: do so in a function registered by spacy.registry.misc, and "
            'name that instead of the folder: model={"@misc": "…"}.'
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
