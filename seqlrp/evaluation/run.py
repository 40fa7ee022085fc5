"""`evaluate`: every method explains every text, and every metric measures the explanations."""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import OptionError, check_number
from seqlrp.evaluation.candidates import Methods
from seqlrp.evaluation.documents import Score
from seqlrp.evaluation.metrics.metric import KEY, Metric
from seqlrp.evaluation.metrics.word_deletion import KS
from seqlrp.evaluation.processes import beside
from seqlrp.evaluation.removal import Removal
from seqlrp.evaluation.report.report import EvaluationReport
from seqlrp.evaluation.work import Asked, Block, Work, measure_beside
from seqlrp.explaining.explain import BATCH_TOKENS
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

BLOCK = 4096  # explanations that are held at a time
METHODS_COMPARED = ("lrp", "gradient_x_input", "occlusion", "sensitivity", "random")
METRICS_COMPUTED = ("word_deletion", "aopc", "comprehensiveness", "sufficiency")


def evaluate(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    labels: Sequence[int | str] | None = None,
    methods: Methods = METHODS_COMPARED,
    metrics: Sequence[str | Metric] = METRICS_COMPUTED,
    *,
    ks: Sequence[int] = KS,
    removal: Removal = "zero",
    score: Score = "probability",
    rationales: Sequence[Any] | None = None,
    random_orders: int = 5,
    column: str = "text",
    min_words: int = 10,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    out: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: bool | None = None,
) -> EvaluationReport:
    """Explain texts by several methods and measure the quality of the explanations.

    Args:
        classifier: the classifier that is explained.
        texts: strings, a `Corpus` with labels, a pandas data frame, a `datasets.Dataset`, or
            `Explanations` of their predicted classes, which then stand for the method that made
            them, so that it explains nothing again. Those of a folder are read 4,096 at a time, and
            what is held of them is their values.
        labels: the true class of each text, by index or name; word deletion needs them.
        methods: names in `seqlrp.METHODS`, `"chosen"` (see `seqlrp.choose`), method objects, or a
            mapping of a name of your own to a name, an object, a mapping of options (`{"lrp,
            ε=0.1": {"method": "lrp", "epsilon": 0.1}}`), or attributions from outside: one array a
            text, `[T]` for the class that is predicted, or `[C, T]` for all classes. Values that
            need attributions for another class are missing.
        metrics: names in `seqlrp.evaluation.METRICS`, or metric objects. The name of a quantity
            (`"abpc"`) stands for its metric (`"aopc"`).
        ks: the numbers of words to delete; 0 is always among them.
        removal: `"zero"`, `"delete"`, `"unk"` or `"mask"`, see `seqlrp.evaluation.removal.Remover`.
        score: what is measured: `"probability"`, `"logit"` or `"accuracy"`.
        rationales: the words that people marked, for metrics that compare with them: for each text
            numbers from 0 to 1 `[T]`, or bool.
        random_orders: the number of seeds with which `"random"` is run.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        min_words: texts with fewer words are left out, and counted.
        seed: the seed of random orders, metrics and bootstraps.
        batch_tokens: the largest number of tokens in a batch, padding included, or `"auto"`.
        out: a folder to save the report to. The results of each finished method are stored there,
            so that an interrupted evaluation continues when it is called again with the same model,
            texts and options.
        workers: processes that measure, each with its share of the cores; the numbers are the same
            for any. In a script call it under `if __name__ == "__main__":`.
        progress: show a bar; None shows one where stderr is a terminal.

    Raises:
        CorpusError: no text is long enough.
        LabelError: labels are missing or unknown.
        OptionError: an unknown method, metric, removal or score, or missing rationales.
        SeqlrpError: a text could not be explained; the message says which.
    """
    check_number("workers", workers, least=1, whole=True)
    with contextlib.ExitStack() as stack:
        kept = out
        if workers > 1 and out is None:  # processes find there what others have measured
            kept = stack.enter_context(tempfile.TemporaryDirectory())
        work = Work(Asked(
            classifier, texts, labels, methods, metrics, ks, removal, score, rationales,
            random_orders, column, min_words, seed, batch_tokens, kept, BLOCK, workers > 1,
        ))  # fmt: skip
        if workers > 1:
            _check_sendable(work.asked)
        with beside(workers - 1, measure_beside, work.asked):
            report = _report(work, work.measure(progress))
        if out is not None:
            report.save(out)
            work.remove_checkpoints()
    return report


def _check_sendable(asked: Asked) -> None:
    """Check that other processes can be told what is asked.

    Raises:
        OptionError: something cannot be pickled.
    """
    try:
        pickle.dumps(asked)
    except Exception as error:
        raise OptionError(
            f"What is evaluated cannot be sent to other processes ({error}).",
            "Take one worker, or define models, tokenizers, methods and metrics in a module.",
            option="workers",
        ) from error


def _report(work: Work, blocks: Sequence[Block]) -> EvaluationReport:
    import pandas as pd

    metrics, sizes = work.metrics, [block.documents for block in blocks]
    quantities = {name: q for metric in metrics for name, q in metric.quantities.items()}
    tables: list[pd.DataFrame] = []
    seconds: dict[str, list[float]] = {}
    for place, candidate in enumerate(work.compared):
        results = [found for block in blocks if (found := block.results[place]) is not None]
        tables.append(_merged([table for table, _ in results], metrics))
        mean = float(np.average([each for _, each in results], weights=sizes))
        seconds.setdefault(candidate.name, []).append(mean)
    methods = {c.name: c.about for c in reversed(work.compared)}  # the first of several orders
    made = {**work.made, "documents": sum(sizes), "left_out": work.texts - sum(sizes)}
    made["methods"] = {name: methods[name] for name in seconds}
    means = {name: float(np.mean(each)) for name, each in seconds.items()}
    return EvaluationReport(pd.concat(tables, ignore_index=True), quantities, means, made)


def _merged(tables: Sequence[pd.DataFrame], metrics: Sequence[Metric]) -> pd.DataFrame:
    """The rows of all blocks, metric by metric as those of one block are."""
    import pandas as pd

    if len(tables) == 1:
        return tables[0]
    table = pd.concat(tables, ignore_index=True)
    parts = [table[table["metric"].isin(list(m.quantities))].sort_values(KEY) for m in metrics]
    return pd.concat(parts, ignore_index=True)
