"""Is it true? Delete the words that a method names, and look at what the classifier then says.

The experiment of Arras et al. 2017 (sec. 4): with the true class as target, words go in decreasing
order of relevance where the classifier was right (its accuracy should fall), and in increasing
order where it was wrong (its accuracy should rise). A method is as good as its curve is steep.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.batching import batches_by_length
from seqlrp.errors import CorpusError, LabelError, OptionError, near
from seqlrp.explain import BATCH_TOKENS, explain, label_names
from seqlrp.explanation import Explanations
from seqlrp.lrp.inputs import InputMode
from seqlrp.text.corpora import Corpus
from seqlrp.text.vocabulary import Vocabulary
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import matplotlib.figure
    import numpy.typing as npt
    import pandas as pd

    from seqlrp.text_classifier import EncodedText, TextClassifier

Removal = Literal["zero", "delete", "unk"]
DIRECTIONS = ("right", "wrong")
_ADVERBS = {"right": "correctly", "wrong": "wrongly"}
_RESAMPLES = 2000


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


@dataclass(frozen=True)
class DeletionReport:
    """What the deletion experiment found.

    Attributes:
        table: a row for each document, method, order (`seed`) and number of deleted words `k`,
            with `direction` (`"right"`: the document was classified correctly to begin with, words
            deleted most relevant first; `"wrong"`: least relevant first), the true class's `score`
            and `probability`, and `correct`. Where a document has fewer than `k` words (or no
            word would be left) the last three are missing, never 0 or 1.
        removal: how words were removed.
        min_words: shorter documents were left out.
        left_out: how many those were.
        seed: of the bootstrap and the random orders.
    """

    table: pd.DataFrame
    removal: str
    min_words: int
    left_out: int
    seed: int

    def curves(self, value: str = "correct") -> pd.DataFrame:
        """The mean of `value` for each direction, method and k, with its 95 % interval.

        Orders of one method (random ones, say) are averaged within a document first; the interval
        is a bootstrap over documents.
        """
        import pandas as pd

        rows = []
        for direction, method, matrix in self._matrices(value):
            low, high = _interval(matrix, self.seed)
            for column, k in enumerate(self.ks):
                known = matrix[:, column][~np.isnan(matrix[:, column])]
                rows.append(
                    (
                        direction,
                        method,
                        k,
                        float(known.mean()) if len(known) else np.nan,
                        low[column],
                        high[column],
                        len(known),
                    )
                )
        names = ["direction", "method", "k", value, "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    def advantage(self, over: str = "random", value: str = "correct") -> pd.DataFrame:
        """How much steeper each method's curve is than another's, with a paired 95 % interval.

        The mean over k ≥ 1 of the difference of the two curves, signed so that positive is better
        in both directions; paired by document, the interval a bootstrap over documents.
        """
        import pandas as pd

        matrices = {(d, m): matrix for d, m, matrix in self._matrices(value)}
        columns = [c for c, k in enumerate(self.ks) if k > 0]
        rows = []
        for (direction, method), matrix in matrices.items():
            other = matrices.get((direction, over))
            if other is None:
                raise OptionError(f"The report has no method {over!r}. {near(over, self.methods)}")
            if method == over:
                continue
            sign = 1.0 if direction == "wrong" else -1.0
            difference = sign * (matrix - other)[:, columns]
            with np.errstate(invalid="ignore"):
                counts = (~np.isnan(difference)).sum(1)
            each = np.nansum(difference[counts > 0], 1) / counts[counts > 0]
            low, high = _interval(each[:, None], self.seed)
            mean = float(each.mean()) if len(each) else np.nan
            rows.append((direction, method, over, mean, low[0], high[0], len(each)))
        names = ["direction", "method", "over", "advantage", "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of deleted words."""
        return tuple(int(k) for k in sorted(self.table["k"].unique()))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods compared, in the order in which they were asked for."""
        return tuple(self.table["method"].unique())

    def plot(self, value: str = "correct") -> matplotlib.figure.Figure:
        """The curves of both directions side by side, with their intervals."""
        from seqlrp.plots import deletion_figure

        return deletion_figure(self, value)

    def summary(self) -> str:
        """Accuracy by number of deleted words, and each method's advantage over chance, in words."""
        wide = self.curves().pivot(index=["direction", "method"], columns="k", values="correct")
        order = [(d, m) for d in DIRECTIONS for m in self.methods if (d, m) in wide.index]
        lines = []
        for direction, method in order:
            if method == self.methods[0]:
                first = "most" if direction == "right" else "least"
                documents = self.table.loc[self.table["direction"] == direction, "document"]
                lines += [
                    "",
                    f"Texts classified {_ADVERBS[direction]} ({documents.nunique():,}), "
                    f"{first} relevant words deleted first: accuracy after k words",
                    f"{'':18}" + "".join(f"{f'k={k}':>8}" for k in self.ks),
                ]
            values = "".join(f"{wide.loc[(direction, method), k]:8.3f}" for k in self.ks)
            lines.append(f"{method:18}{values}")
        if "random" in self.methods and len(self.methods) > 1 and max(self.ks) > 0:
            lines += ["", "Better than a random order by (mean over k, 95 % interval over texts):"]
            for row in self.advantage().itertuples():
                lines.append(
                    f"{row.method:18}{_ADVERBS[str(row.direction)]:12}"
                    f"{row.advantage:+.3f}  [{row.low:+.3f}, {row.high:+.3f}]"
                )
        if self.left_out:
            lines += ["", f"Left out: {self.left_out:,} texts shorter than {self.min_words} words."]
        return "\n".join(lines).lstrip("\n")

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `deletion.parquet` (every row), `deletion.csv` (the curves) and `deletion.png`.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        folder = Path(folder)
        paths = [folder / f"deletion.{suffix}" for suffix in ("parquet", "csv", "png")]
        with written_whole(paths[0]) as temporary:
            self.table.to_parquet(temporary)
        with written_whole(paths[1]) as temporary:
            self.curves().to_csv(temporary, index=False)
        with written_whole(paths[2]) as temporary:
            self.plot().savefig(temporary, dpi=150)
        return paths

    def _matrices(self, value: str) -> Iterable[tuple[str, str, npt.NDArray[np.float64]]]:
        """For each direction and method: values [documents, ks]."""
        for direction in DIRECTIONS:
            part = self.table[self.table["direction"] == direction]
            for method in self.methods:
                one = part[part["method"] == method]
                if len(one):
                    wide = one.pivot_table(
                        index="document", columns="k", values=value, aggfunc="mean", dropna=False
                    )
                    yield direction, method, wide.to_numpy(np.float64)


def _interval(
    matrix: npt.NDArray[np.float64], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The 95 % bootstrap interval of the mean of each column, over rows."""
    if not len(matrix):
        nothing = np.full(matrix.shape[1], np.nan)
        return nothing, nothing
    drawn = np.random.default_rng(seed).multinomial(
        len(matrix), np.full(len(matrix), 1 / len(matrix)), size=_RESAMPLES
    )
    known = ~np.isnan(matrix)
    with np.errstate(invalid="ignore"):
        means = (drawn @ np.where(known, matrix, 0)) / (drawn @ known)
    if np.isnan(means).all(0).any():
        means = np.where(np.isnan(means).all(0), 0, means)
        low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
        empty = ~known.any(0)
        return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
    low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return low, high


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
            options = {"seed": seed + order} if method == "random" else {}
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
