"""Is it true? Delete the words that a method names, and look at what the classifier then says.

The experiment of Arras et al. 2017 (sec. 4): with the true class as target, words go in decreasing
order of relevance where the classifier was right (its accuracy should fall), and in increasing
order where it was wrong (its accuracy should rise). A method is as good as its curve is steep.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.batching import batches_by_length
from seqlrp.deletion_report import DIRECTIONS, DeletionReport
from seqlrp.errors import CorpusError, LabelError, OptionError, near
from seqlrp.explain import BATCH_TOKENS, explain, label_names
from seqlrp.explanation import Explanations
from seqlrp.lrp.inputs import InputMode
from seqlrp.text.corpora import Corpus
from seqlrp.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.text_classifier import EncodedText, TextClassifier

Removal = Literal["zero", "delete", "unk"]


class _ZeroedWords(InputMode):
    """Runs a model with the embeddings of some words set to zero; the length stays."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.kept = kept.reshape(-1)

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, without a graph."""
        return vectors.masked_fill(~self.kept[origin].unsqueeze(-1), 0)


def scores_without(
    classifier: TextClassifier,
    documents: Sequence[EncodedText],
    removed: Sequence[npt.NDArray[np.int64]],
    removal: Removal = "zero",
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: tqdm[Any] | None = None,
) -> npt.NDArray[np.float32]:
    """Scores `[N, C]` of documents without the words at `removed` (positions, one array each).

    Args:
        classifier: what answers.
        documents: as `classifier.encode` gives them; one may stand here many times.
        removed: positions to take out of each; a document must keep a word under `"delete"`.
        removal: `"zero"` sets the words' embeddings to zero and keeps the length (Arras 2017),
            `"delete"` makes the sequence shorter, `"unk"` puts the unknown word in their place.
        batch_tokens: the most tokens in a batch, padding included.
        progress: a bar to move on, a step for each document.
    """
    if removal not in get_args(Removal):
        raise OptionError(f"There is no removal {removal!r}. {near(removal, get_args(Removal))}")
    if removal == "delete":
        documents = [d.without(r) for d, r in zip(documents, removed, strict=True)]
    scores = np.zeros((len(documents), len(classifier.labels)), np.float32)
    for batch in batches_by_length([classifier.length(d) for d in documents], batch_tokens):
        ids, words = (
            t.to(classifier.device) for t in classifier.collate([documents[k] for k in batch])
        )
        gone = torch.zeros(len(batch), max(len(documents[k].ids) for k in batch), dtype=torch.bool)
        if removal != "delete":
            for row, k in enumerate(batch):
                gone[row, removed[k]] = True
        lengths = torch.tensor([len(documents[k].ids) for k in batch])
        present = torch.arange(gone.shape[1]) < lengths.unsqueeze(1)
        away = torch.zeros_like(words)
        away[words] = gone[present].to(words.device)  # both in the order of the words
        with torch.no_grad():
            if removal == "zero":
                mode = _ZeroedWords(~away)
                found = mode.run(classifier.model, ids, None)
            elif removal == "unk":
                found = classifier.model(ids.masked_fill(away, Vocabulary.UNK))
            else:
                found = classifier.model(ids)
        if found.shape[-1] == 1 and len(classifier.labels) == 2:
            found = torch.cat([-found, found], dim=-1)
        scores[batch] = found.float().cpu().numpy()
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
    batch_tokens: int = BATCH_TOKENS,
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
    long_enough = [k for k, e in enumerate(classifier.encode(texts)) if len(e.ids) >= min_words]
    if not long_enough:
        raise CorpusError(
            f"None of the {len(texts)} texts has {min_words} words; pass a smaller min_words."
        )
    kept_texts = [texts[k] for k in long_enough]
    kept_labels = [labels[k] for k in long_enough]
    runs: list[tuple[str, int, Explanations]] = []
    for method in methods:
        for order in range(random_orders if method == "random" else 1):
            options: dict[str, Any] = {"seed": seed + order} if method == "random" else {}
            explanations = explain(
                classifier,
                kept_texts,
                method,
                "label",
                labels=kept_labels,
                batch_tokens=batch_tokens,
                progress=progress,
                **options,
            )
            runs.append((method, order, explanations))
    return _delete(
        classifier,
        runs,
        tuple(sorted({0, *ks})),
        removal,
        min_words,
        len(texts) - len(long_enough),
        seed,
        batch_tokens,
        progress,
    )


def _delete(
    classifier: TextClassifier,
    runs: list[tuple[str, int, Explanations]],
    ks: tuple[int, ...],
    removal: Removal,
    min_words: int,
    left_out: int,
    seed: int,
    batch_tokens: int,
    progress: bool | None,
) -> DeletionReport:
    import pandas as pd

    documents = list(classifier.encode([e.text for e in runs[0][2]]))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("document", "method", "seed", "direction", "k", "score")
    } | {"probability": [], "correct": []}
    hidden = None if progress is None else not progress
    total = sum(len(explanations) for _, _, explanations in runs) * len(ks)
    with tqdm(total=total, desc="deleting words", unit="text", disable=hidden) as bar:
        for method, order, explanations in runs:
            variants: list[EncodedText] = []
            removed: list[npt.NDArray[np.int64]] = []
            for number, e in enumerate(explanations):
                right = e.predicted == e.label
                ranking = np.argsort(-e.relevance if right else e.relevance, kind="stable")
                for k in ks:
                    if k > len(ranking) or (removal == "delete" and k == len(ranking)):
                        # nothing would be left to answer from: missing, not 0 or 1
                        outcome = None
                        bar.update(1)
                    else:
                        outcome = len(variants)
                        variants.append(documents[number])
                        removed.append(ranking[:k])
                    columns["document"].append(number)
                    columns["method"].append(method)
                    columns["seed"].append(order)
                    columns["direction"].append(DIRECTIONS[0 if right else 1])
                    columns["k"].append(k)
                    columns["score"].append(outcome)
            scores = scores_without(
                classifier, variants, removed, removal, batch_tokens=batch_tokens, progress=bar
            )
            first = len(columns["probability"])
            for place in range(first, len(columns["score"])):
                outcome = columns["score"][place]
                label = explanations[columns["document"][place]].label
                assert label is not None
                if outcome is None:
                    score = probability = correct = np.nan
                else:
                    row = scores[outcome].astype(np.float64)
                    score = float(row[label])
                    probability = float(np.exp(score - np.logaddexp.reduce(row)))
                    correct = float(row.argmax() == label)
                columns["score"][place] = score
                columns["probability"].append(probability)
                columns["correct"].append(correct)
    return DeletionReport(pd.DataFrame(columns), removal, min_words, left_out, seed)
