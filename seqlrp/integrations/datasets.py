"""Explanations as columns of a Hugging Face dataset: a function for `Dataset.map`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import CorpusError, OptionError, near
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, iter_explanations
from seqlrp.explaining.skipped import OnUnanswerable, SkippedTexts
from seqlrp.explaining.targets import Target, checked_target
from seqlrp.explanations.record import ALL

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

COLUMNS = (
    "tokens",
    "start",
    "end",
    "relevance",
    "target",
    "predicted",
    "score",
    "scores",
    "probabilities",
)


class ExplainColumns:
    """Adds the explanation of each text to a dataset, in columns.

    >>> add = ExplainColumns(classifier, method="lrp", prefix="lrp_")  # doctest: +SKIP
    >>> dataset = dataset.map(add, batched=True)  # doctest: +SKIP

    The columns are `tokens`, where each of them stands in the text (`start`, `end`), their
    `relevance` (`[T]`, or `[C, T]` for the target "all"), the names of the `target` and of the
    `predicted` class, the target's `score`, and `scores` and `probabilities` of all classes. It may
    be pickled, so that `num_proc` works, and equal ones have equal fingerprints, so that what was
    computed once is found again.

    Args:
        classifier: a loaded or trained classifier, or your own model in a `TextClassifier`.
        text_column: which column holds the text.
        label_column: which column holds the true class, by index or name, for the target "label".
        method: a name in `seqlrp.METHODS`.
        target: a class for all texts, "predicted", "label" or "all", or a pair of classes; see
            `seqlrp.explain`.
        prefix: put before the name of each new column.
        on_unanswerable: what happens to texts without a word, and to those with one class on both
            sides of a pair: `"raise"` is an error, `"skip"` keeps the row, with empty lists and
            None. Pass `features=add.features(dataset.features)` to `map` then, which otherwise
            takes the types of columns from the first rows.
        batch_tokens: the most tokens that the model reads at a time; rows of one call are sorted
            by length.
        options: of the method, e.g. `epsilon=0.01`.

    Raises:
        OptionError: no such method or option.
        TargetError: no such class.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        *,
        text_column: str = "text",
        label_column: str | None = None,
        method: str = "lrp",
        target: Target = "predicted",
        prefix: str = "",
        on_unanswerable: OnUnanswerable = "raise",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        **options: Any,
    ) -> None:
        if not isinstance(method, str):
            raise OptionError(
                f"Got a method of type {type(method).__name__}, expected a name, which every "
                "process can make its own method from.",
                option="method",
                got=method,
            )
        SkippedTexts(on_unanswerable)
        chosen_method(classifier, method, options)  # what is wrong is said before work begins
        checked_target(classifier, target, labelled=label_column is not None)
        self.classifier = classifier
        self.text_column = text_column
        self.label_column = label_column
        self.method = method
        self.target = target
        self.prefix = prefix
        self.on_unanswerable = on_unanswerable
        self.batch_tokens = batch_tokens
        self.options = options

    def __call__(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Explain a batch of rows, column by column, as `Dataset.map(…, batched=True)` hands it.

        Raises:
            CorpusError: a column is not there, or the rows come one by one.
            TextError: a text holds no word, or is no string.
            TargetError: both sides of a pair are the same class for a text.
            LabelError: a label is no class of the classifier.
            ModelError: the model cannot be explained.
        """
        texts = self._column(rows, self.text_column)
        truths = None if self.label_column is None else self._column(rows, self.label_column)
        made = iter_explanations(
            self.classifier,
            texts,
            self.method,
            self.target,
            labels=truths,
            ids=range(len(texts)),
            on_unanswerable=SkippedTexts(self.on_unanswerable),
            batch_tokens=self.batch_tokens,
            progress=False,
            **self.options,
        )
        found = {explanation.id: explanation for explanation in made}
        classes = len(self.classifier.labels)
        columns = [_values(found.get(str(k)), self.target, classes) for k in range(len(texts))]
        return {self.prefix + name: [row[name] for row in columns] for name in COLUMNS}

    def features(self, given: Mapping[str, Any]) -> Any:
        """The types of all columns, where those of the dataset have the types `given`."""
        import datasets
        from datasets import Value

        numbers, places = datasets.Sequence(Value("float32")), datasets.Sequence(Value("int32"))
        kinds = {
            "tokens": datasets.Sequence(Value("string")),
            "start": places,
            "end": places,
            "relevance": datasets.Sequence(numbers) if self.target == ALL else numbers,
            "target": Value("string"),
            "predicted": Value("string"),
            "score": Value("float32"),
            "scores": numbers,
            "probabilities": numbers,
        }
        return datasets.Features({**given, **{self.prefix + name: kinds[name] for name in COLUMNS}})

    def _column(self, rows: Mapping[str, Sequence[Any]], name: str) -> Sequence[Any]:
        if name not in rows:
            raise CorpusError(
                f"The dataset has no column {name!r}. {near(name, map(str, rows))} Say "
                "text_column= or label_column=.",
                got=name,
                known=tuple(map(str, rows)),
            )
        if isinstance(rows[name], str):
            raise CorpusError("Got a single row; pass batched=True to map.")
        return rows[name]


def _values(explanation: Explanation | None, target: Target, classes: int) -> dict[str, Any]:
    if explanation is None:
        nothing, nowhere = np.zeros(0, np.float32), np.zeros(0, np.int32)
        empty: dict[str, Any] = dict.fromkeys(COLUMNS)
        return empty | {
            "tokens": [],
            "start": nowhere,
            "end": nowhere,
            "relevance": [nothing] * classes if target == ALL else nothing,
            "scores": nothing,
            "probabilities": nothing,
        }
    relevance = explanation.relevance
    return {
        "tokens": list(explanation.tokens),
        "start": explanation.offsets[:, 0],
        "end": explanation.offsets[:, 1],
        "relevance": list(relevance) if target == ALL else relevance,
        "target": explanation.target_label,
        "predicted": explanation.predicted_label,
        "score": np.float32(explanation.score),
        "scores": explanation.scores,
        "probabilities": explanation.probabilities,
    }
