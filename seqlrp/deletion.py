"""Is it true? Delete the words that a method names, and look at what the classifier then says.

The experiment of Arras et al. 2017 (sec. 4): with the true class as target, words go in decreasing
order of relevance where the classifier was right (its accuracy should fall), and in increasing
order where it was wrong (its accuracy should rise). A method is as good as its curve is steep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from tqdm import tqdm

from seqlrp.attributing import true_classes
from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.deletion_report import DIRECTIONS, DeletionReport
from seqlrp.errors import CorpusError, LabelError, OptionError, near
from seqlrp.explain import BATCH_TOKENS, chosen_method, explained_documents, label_names
from seqlrp.explanation import Explanation
from seqlrp.methods.removal import Removal, ZeroedWords
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import Tensor

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier


def scores_without(
    classifier: TextClassifier,
    documents: Sequence[EncodedText],
    removed: Sequence[npt.NDArray[np.int64]],
    removal: Removal = "zero",
    *,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: tqdm[Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Scores `[N, C]` of documents without the words at `removed` (positions, one array each).

    Args:
        classifier: what answers.
        documents: as `classifier.encode` gives them; one may stand here many times.
        removed: positions to take out of each; a document must keep a word under `"delete"`.
        removal: `"zero"` sets the words' embeddings to zero and keeps the length (Arras 2017),
            `"delete"` makes the sequence shorter, `"unk"` puts the unknown word in their place.
        batch_tokens: the most tokens in a batch, padding included, or `"auto"`.
        progress: a bar to move on, a step for each document.
    """
    if removal not in get_args(Removal):
        raise OptionError(f"There is no removal {removal!r}. {near(removal, get_args(Removal))}")
    unknown = classifier.vocabulary.unk
    if removal == "unk" and unknown is None:
        raise OptionError(
            "The vocabulary has no unknown word to put in the place of others; use removal='zero' "
            "or 'delete'."
        )
    if removal == "delete":
        documents = [d.without(r) for d, r in zip(documents, removed, strict=True)]
    scores = np.zeros((len(documents), len(classifier.labels)), np.float32)
    device = classifier.device

    def run(batch: list[int]) -> Tensor:
        ids, words = classifier.collate([documents[k] for k in batch])
        away = torch.zeros_like(words)
        if removal != "delete":
            counts = np.array([len(documents[k]) for k in batch])
            firsts = np.cumsum(counts) - counts  # of the words of the batch, one after another
            gone = np.zeros(counts.sum(), dtype=bool)
            gone[np.concatenate([removed[k] + f for k, f in zip(batch, firsts, strict=True)])] = 1
            away[words] = torch.from_numpy(gone)
        with torch.no_grad():
            if removal == "unk" and unknown is not None:
                ids = ids.masked_fill(away, unknown)
            ids = ids.to(device)
            additional = classifier.arguments(ids, words.to(device))
            if removal == "zero":
                found = ZeroedWords(away.to(device)).run(classifier.model, ids, additional)
            else:
                found = classifier.model(ids, *additional)
        return classifier.by_label(found).float().cpu()

    lengths = [classifier.length(d) for d in documents]
    for batch, found in in_batches(lengths, Budget(batch_tokens, device), run):
        scores[batch] = found.numpy()
        if progress is not None:
            progress.update(len(batch))
    return scores


def evaluate(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus,
    labels: Sequence[int | str] | None = None,
    methods: Sequence[str] = ("lrp", "gradient_x_input", "sensitivity", "random"),
    *,
    ks: Sequence[int] = (0, 1, 2, 3, 4, 5),
    removal: Removal = "zero",
    random_orders: int = 5,
    min_words: int = 10,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
) -> DeletionReport:
    """Explain labelled texts by several methods and delete the words that each of them names.

    Args:
        classifier: what is explained and asked again.
        texts: strings, or a `Corpus` with labels.
        labels: the true class of each text, by index or name.
        methods: names in `seqlrp.METHODS`.
        ks: how many words to delete; 0 is the text as it is.
        removal: `"zero"`, `"delete"` or `"unk"`, see `scores_without`.
        random_orders: how many seeds `"random"` is run with.
        min_words: texts with fewer words are left out, and counted.
        seed: of the random orders and the bootstrap.

    Raises:
        CorpusError: no text is long enough.
        LabelError: labels are missing or unknown.
    """
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
        texts = texts.texts
    if labels is None:
        raise LabelError("Deleting words needs the true class of each text; pass labels=.")
    texts, labels = list(texts), list(labels)
    if len(texts) != len(labels):
        raise LabelError(f"Got {len(labels)} labels for {len(texts)} texts.")
    encoded = list(classifier.encode(texts))
    long_enough = [k for k, e in enumerate(encoded) if len(e) >= min_words]
    if not long_enough:
        raise CorpusError(
            f"None of the {len(texts)} texts has {min_words} words; pass a smaller min_words."
        )
    documents = [encoded[k] for k in long_enough]
    known = true_classes(classifier, (labels[k] for k in long_enough), len(documents))
    budget = Budget(batch_tokens, classifier.device)
    ks = sorted({0, *ks})
    runs = [(m, order) for m in methods for order in range(random_orders if m == "random" else 1)]
    hidden = None if progress is None else not progress
    tables = []
    with tqdm(
        total=len(runs) * len(documents) * (1 + len(ks)),
        desc="explaining and deleting words",
        unit="text",
        disable=hidden,
    ) as bar:
        for method, order in runs:
            options: dict[str, Any] = {"seed": seed + order} if method == "random" else {}
            chosen = chosen_method(classifier, method, options)
            explanations = list(
                explained_documents(
                    classifier, chosen, documents, "label", known, long_enough, budget, bar
                )
            )
            table = _without_words(
                classifier, documents, explanations, ks, removal, batch_tokens, bar
            )
            table.insert(1, "method", method)
            table.insert(2, "seed", order)
            tables.append(table)
    import pandas as pd

    left_out = len(texts) - len(documents)
    table = pd.concat(tables, ignore_index=True)
    return DeletionReport(table, removal, min_words, left_out, seed)


def _without_words(
    classifier: TextClassifier,
    documents: Sequence[EncodedText],
    explanations: Sequence[Explanation],
    ks: Sequence[int],
    removal: Removal,
    batch_tokens: BatchTokens,
    bar: tqdm[Any],
) -> pd.DataFrame:
    """A row for each document and k: what the classifier says without its k words."""
    import pandas as pd

    labels = np.array([e.label for e in explanations])
    right = np.array([e.predicted for e in explanations]) == labels
    rankings = [
        np.argsort(-e.relevance if turn else e.relevance, kind="stable")
        for e, turn in zip(explanations, right, strict=True)
    ]
    # Where nothing would be left to answer from, the outcome is missing, not 0 or 1.
    most = np.array([len(d) for d in documents]) - (removal == "delete")
    possible = np.array(ks) <= most[:, None]
    scores = np.full((*possible.shape, len(classifier.labels)), np.nan)
    scores[:, 0] = [e.scores for e in explanations]  # k = 0: the text as it is
    possible[:, 0] = False
    numbers, places = (axis.tolist() for axis in possible.nonzero())
    bar.update(possible.size - len(numbers))
    scores[numbers, places] = scores_without(
        classifier,
        [documents[n] for n in numbers],
        [rankings[n][: ks[place]] for n, place in zip(numbers, places, strict=True)],
        removal,
        batch_tokens=batch_tokens,
        progress=bar,
    )
    with np.errstate(invalid="ignore"):  # of what is missing
        chances = classifier.probabilities(scores)
    score, probability = (
        np.take_along_axis(part, labels[:, None, None], axis=2)[..., 0]
        for part in (scores, chances)
    )
    correct = (scores.argmax(2) == labels[:, None]).astype(np.float64)
    correct[np.isnan(score)] = np.nan
    directions = [DIRECTIONS[0 if turn else 1] for turn in right for _ in ks]
    return pd.DataFrame(
        {
            "document": np.repeat(np.arange(len(documents)), len(ks)),
            "direction": directions,
            "k": np.tile(ks, len(documents)),
            "score": score.ravel(),
            "probability": probability.ravel(),
            "correct": correct.ravel(),
        }
    )
