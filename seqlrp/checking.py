"""Where do the scores go? A look at a few documents, layer by layer, before anybody reads words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.attributing import answerable, attributed, differing, strings, true_classes
from seqlrp.batching import batches_by_length
from seqlrp.check_report import CheckReport
from seqlrp.errors import CorpusError, OptionError, TargetError
from seqlrp.explain import BATCH_TOKENS, chosen_method, label_names
from seqlrp.explanation import ALL
from seqlrp.lrp.ledger import Entry, Ledger
from seqlrp.targets import Target, checked_target, for_documents
from seqlrp.text.corpora import Corpus
from seqlrp.unanswerable import SAME, OnUnanswerable, Unanswerable

if TYPE_CHECKING:
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

# How much of the absolute amounts of a document rounding may take, by the model's precision.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 1e-1}

# Something to look at where there is no corpus: for, against, mixed, negated, short, long.
SENTENCES = (
    "A wonderful film, warm and funny, and the best I have seen this year.",
    "It is dull, badly written, and far too long.",
    "The actors are good, but the story never finds its way out of the first idea.",
    "Not a bad film at all.",
    "I would not call it good.",
    "What a waste of time!",
    "The plot is simple. The pictures are beautiful. I left the cinema happy.",
    "Whoever liked the book will be disappointed, since nothing that made it great, neither its "
    "wit nor its patience with its people, has come through.",
)


def check(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any = SENTENCES,
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    column: str = "text",
    first: int = 20,
    on_unanswerable: OnUnanswerable = "raise",
    batch_tokens: int = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> CheckReport:
    """Explain a few documents by LRP and say where their scores go, layer by layer.

    Args:
        classifier: as for `seqlrp.explain`, as are
        texts: by default a few English sentences about films, and
        target: a class, or a pair of classes, but not "all".
        labels: the true classes, where they are known.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        first: at most so many texts are looked at.
        on_unanswerable: as for `seqlrp.explain`.
        batch_tokens: the most tokens in a batch, padding included.
        progress: show a bar; None shows one where stderr is a terminal.
        options: of `seqlrp.LRP`, e.g. `epsilon=0.01`.

    Raises:
        CorpusError: there is no text.
        TargetError: no such class, "all", or both sides of a pair are the same class for a text.
        InputError, ModelError: as `seqlrp.explain`.
    """
    if first < 1:
        raise OptionError(f"Got first {first}; expected at least 1.")
    method = chosen_method(classifier, "lrp", options)
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
    target = checked_target(classifier, target, labelled=labels is not None)
    if target == ALL:
        raise TargetError("Got target='all'; a check follows one class, or a pair of classes.")
    unanswerable = Unanswerable(on_unanswerable)
    given = list(islice(strings(texts, column)[0], first))
    places: Sequence[int] = range(len(given))
    if isinstance(texts, Corpus) and texts.numbers is not None:
        places = texts.numbers[: len(given)].tolist()
    numbered = answerable(classifier, given, places, unanswerable)
    here = [k for k, number in enumerate(places) if number in numbered]
    truths = None if labels is None else iter(labels)
    truth = true_classes(classifier, truths, range(len(given)), here)
    documents, numbers = list(numbered.values()), list(numbered)
    compared = isinstance(target, tuple)
    if isinstance(target, tuple) and unanswerable.skip and documents:
        kept, target = differing(classifier, method, documents, target, truth)
        for k in set(range(len(documents))) - set(kept):
            unanswerable.leave_out(numbers[k], SAME)
        documents, truth = [documents[k] for k in kept], [truth[k] for k in kept]
        numbers = [numbers[k] for k in kept]
    unanswerable.warn(len(given))
    if not documents:
        raise CorpusError("There is no text to look at; give one or more.")
    batches = batches_by_length([classifier.length(d) for d in documents], batch_tokens)
    ledgers: list[Ledger] = []
    exact = torch.float32
    shown = None if progress is None else not progress
    for batch in tqdm(batches, desc="checking", unit="batch", disable=shown):
        members, known = [documents[k] for k in batch], [truth[k] for k in batch]
        asked = for_documents(target, batch)
        found, _ = attributed(
            classifier, method, members, asked, known, [numbers[k] for k in batch]
        )
        assert found.ledger is not None
        ledgers.append(found.ledger)
        exact = found.scores.dtype
    order = torch.tensor([k for batch in batches for k in batch]).argsort()
    return CheckReport(
        _joined(ledgers, order),
        method.parameters,
        rounding=ROUNDING[exact],
        compared=compared,
        tokens=sum(map(len, documents)),
        unknown=_unknown(classifier, documents),
    )


def _unknown(classifier: TextClassifier, documents: Sequence[EncodedText]) -> dict[str, int]:
    """How often each token stands there that has the id of the unknown word."""
    counts: Counter[str] = Counter()
    for document in documents:
        unknown = (document.ids == classifier.vocabulary.unk).nonzero()[0].tolist()
        counts.update(document.source.tokens[k] for k in unknown)
    return dict(counts.most_common())


def _joined(ledgers: list[Ledger], order: Tensor) -> Ledger:
    """One account of all documents, on the CPU, in the user's order."""
    keys = dict.fromkeys((e.kind, e.operation, e.module) for g in ledgers for e in g.entries)
    amounts: dict[tuple[str, str, str], list[Tensor]] = {key: [] for key in keys}
    for ledger in ledgers:
        known = {(e.kind, e.operation, e.module): e.amount for e in ledger.entries}
        for key in keys:
            amounts[key].append(known.get(key, torch.zeros_like(ledger.score)))
    entries = (Entry(*key, torch.cat(parts).cpu()[order]) for key, parts in amounts.items())
    return Ledger(torch.cat([g.score for g in ledgers]).cpu()[order], tuple(entries))
