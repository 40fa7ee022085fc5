"""`Explain`: explanations as columns, for pipelines of Ray Data, Spark, Dask or `datasets`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import CorpusError, OptionError, near
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, iter_explanations
from seqlrp.explaining.skipped import MAX_WORDS, SkippedTexts
from seqlrp.explaining.targets import Target
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.saving import load

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from seqlrp.engine.batches import BatchTokens
    from seqlrp.explanations.record import Explanation

COLUMNS = (
    "tokens", "start", "end", "relevance", "target", "against", "predicted", "scores",
    "probabilities", "ledger", "unread", "left_out",
)  # fmt: skip


class Explain:
    """Adds explanations to batches of a table: one row in, one row out.

    Made once for each worker, and called with a batch: a dict of columns (lists or NumPy arrays), a
    pandas data frame, or an Arrow table. It returns the same kind, with the columns of `COLUMNS`
    besides. With an iterator of batches, as Spark's `mapInPandas` hands in, it returns one.

    `ledger` is JSON text. A text of which nothing can be asked has the reason in `left_out`, and
    null in the other columns.

    Args:
        classifier: a folder that `seqlrp.save` wrote, or a classifier.
        method: a name in `seqlrp.METHODS`.
        target: which class is explained, or which rather than which, for all texts.
        column: the column of the texts.
        prefix: of the names of the columns that are added.
        batch_tokens: the most tokens in a batch, padding included; see `seqlrp.explain`.
        max_words: longer texts are left out.
        device: "auto", "cpu" or "cuda".
        factory: the function that builds a model of your own; see `seqlrp.load`.
        options: of the method, e.g. `epsilon=0.01`.

    Raises:
        OptionError: a method, target or option that is not known.
        SavedFileError: the folder holds no classifier.
    """

    def __init__(
        self,
        classifier: TextClassifier | str | os.PathLike[str],
        method: str = "lrp",
        target: Target = "predicted",
        *,
        column: str = "text",
        prefix: str = "",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        max_words: int = MAX_WORDS,
        device: str = "auto",
        factory: Callable[..., TextClassifier] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(classifier, TextClassifier):
            classifier = load(os.fspath(classifier), device=device, factory=factory)
        if target == "label":
            raise OptionError(
                option="target", got=target, expected='a class, a pair, "predicted" or "all"'
            )
        self._classifier = classifier
        self._method = chosen_method(classifier, method, options)
        self._target = target
        self._column, self._prefix = column, prefix
        self._batch_tokens, self._max_words = batch_tokens, max_words

    def __call__(self, batch: Any) -> Any:
        """Add the columns to a batch, or to each of an iterator of batches.

        Raises:
            CorpusError: the batch has no such column of texts, or already one that is added.
            TextError: a text is no string.
            ModelError: the model cannot be explained.
        """
        if isinstance(batch, Iterator):
            return map(self, batch)
        if isinstance(batch, Mapping):
            return self._dict(batch)
        if hasattr(batch, "column_names"):
            return self._arrow(batch)
        return self._frame(batch)

    def _dict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        self._check(list(batch))
        arrays = isinstance(batch[self._column], np.ndarray)
        added = self._columns(batch[self._column])
        if arrays:
            return dict(batch) | {name: _objects(values) for name, values in added.items()}
        return dict(batch) | added

    def _frame(self, batch: pd.DataFrame) -> pd.DataFrame:
        self._check(list(map(str, batch.columns)))
        texts = batch[self._column].astype(object)
        added = self._columns(texts.where(texts.notna(), None).tolist())
        return batch.assign(**{name: _objects(values) for name, values in added.items()})

    def _arrow(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        self._check(batch.column_names)
        added = self._columns(batch.column(self._column).to_pylist())
        for name, values in added.items():
            kind = arrow_types()[name.removeprefix(self._prefix)]
            batch = batch.append_column(name, pa.array(values, kind))
        return batch

    def _check(self, names: Sequence[str]) -> None:
        if self._column not in names:
            raise CorpusError(
                f"The batch has no column {self._column!r}. {near(self._column, names)} "
                "Say column=.",
                option="column",
                got=self._column,
                known=tuple(names),
            )
        for name in COLUMNS:
            if self._prefix + name in names:
                raise CorpusError(
                    f"The batch has a column {self._prefix + name!r} already.",
                    "Say prefix=, such as prefix='lrp_'.",
                    option="prefix",
                    got=self._prefix,
                )

    def _columns(self, texts: Sequence[Any]) -> dict[str, list[Any]]:
        skipped = SkippedTexts("skip")
        found = iter_explanations(
            self._classifier, list(texts), self._method, self._target, on_unanswerable=skipped,
            batch_tokens=self._batch_tokens, max_words=self._max_words, progress=False,
        )  # fmt: skip
        rows: list[dict[str, Any]] = [{} for _ in texts]
        for explanation in found:  # whose id is the number of its text
            rows[int(explanation.id or 0)] = _row(explanation)
        for number, reason in skipped.reasons.items():
            rows[number] = {"left_out": reason}
        return {self._prefix + name: [row.get(name) for row in rows] for name in COLUMNS}


def arrow_types() -> dict[str, pa.DataType]:
    """The Arrow types of the columns that `Explain` adds; lists of numbers are 32 bits wide."""
    import pyarrow as pa

    text, number = pa.string(), pa.int32()
    integers, floats = pa.list_(number), pa.list_(pa.float32())
    return {
        "tokens": pa.list_(text), "start": integers, "end": integers, "relevance": floats,
        "target": number, "against": number, "predicted": number, "scores": floats,
        "probabilities": floats, "ledger": text, "unread": number, "left_out": text,
    }  # fmt: skip


def _row(explanation: Explanation) -> dict[str, Any]:
    probabilities = explanation.probabilities
    return {
        "tokens": list(explanation.tokens),
        "start": explanation.offsets[:, 0].tolist(),
        "end": explanation.offsets[:, 1].tolist(),
        "relevance": explanation.relevance.ravel().tolist(),
        "target": explanation.target if isinstance(explanation.target, int) else None,
        "against": explanation.against,
        "predicted": explanation.predicted,
        "scores": explanation.scores.tolist(),
        "probabilities": None if probabilities is None else probabilities.tolist(),
        "ledger": json.dumps(dict(explanation.ledger)),
        "unread": explanation.unread,
    }


def _objects(values: Sequence[Any]) -> Any:
    """A NumPy array of objects, whatever their lengths."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
