"""Chooses a method of explanation for a classifier: the best on some texts, confirmed on others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.choice import CHEAPEST, DEFAULT, Choice, is_better
from seqlrp.errors import CorpusError, OptionError, near
from seqlrp.evaluation.blocks import check_one_per_text
from seqlrp.evaluation.candidates import Methods, chosen_metrics, named_methods
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.metrics.word_deletion import KS
from seqlrp.evaluation.report.report import EvaluationReport
from seqlrp.evaluation.run import evaluate
from seqlrp.evaluation.statistics import compare
from seqlrp.explaining.explain import BATCH_TOKENS, named_method
from seqlrp.explaining.questions import QuestionStream, label_names, read_texts
from seqlrp.explaining.skipped import SkippedTexts
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.engine.batches import BatchTokens
    from seqlrp.evaluation.documents import Score
    from seqlrp.evaluation.removal import Removal
    from seqlrp.models.classifier import TextClassifier

LEAST = 50  # texts of a half
ABSOLUTE = (0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1)
RELATIVE = ("1%", "2%", "10%")  # beside the default
CANDIDATES: dict[str, Any] = {
    DEFAULT: {"method": "lrp"},
    CHEAPEST: {"method": "gradient_x_input"},
    **{f"lrp, ε = {value}": {"method": "lrp", "epsilon": value} for value in ABSOLUTE + RELATIVE},
    "lrp, gate rule half": {"method": "lrp", "gate_rule": "half"},
    "lrp, attnlrp": {"method": "lrp", "attention": "attnlrp"},
    "occlusion": {"method": "occlusion"},
}


def choose(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    labels: Sequence[int | str] | None = None,
    candidates: Methods | None = None,
    metric: str = "abpc",
    *,
    ks: Sequence[int] = KS,
    removal: Removal = "zero",
    score: Score = "probability",
    rationales: Sequence[Any] | None = None,
    column: str = "text",
    min_words: int = 10,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    out: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Choice:
    """Choose the method of explanation that a metric finds best for a classifier.

    All candidates are compared on one half of the texts, drawn at random. The best is compared with
    the default, `"lrp"`, and with the cheapest, `"gradient_x_input"`, on the other half, and takes
    the place of the default only if it is better there: its difference is above 0 by a 95 %
    interval (bootstrap over texts) and by a sign-flip test (p < 0.05). Gradient × input takes the
    place of either if it is better.

    Args:
        classifier: the classifier that is explained.
        texts: strings, a `Corpus`, a pandas data frame, or a `datasets.Dataset`; at least 100 with
            `min_words` words.
        labels: the true class of each text, by index or name, for metrics that need it.
        candidates: methods as `seqlrp.evaluate` takes them, but no attributions from outside; by
            default LRP with several ε, a gate rule and a rule of attention, gradient × input, and
            occlusion. `"lrp"` and `"gradient_x_input"` with their defaults are always among them.
        metric: the name of a quantity such as `"abpc"`, `"aopc_morf"`, `"comprehensiveness"`,
            `"sufficiency"` or `"deletion_accuracy"`, or of a metric that computes a single one.
        ks: the numbers of words to delete, for metrics that take them.
        removal: what becomes of a removed word, see `seqlrp.evaluation.removal.Remover`.
        score: what is measured when words are removed.
        rationales: the words that people marked, for metrics that compare with them.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        min_words: texts with fewer words are left out.
        seed: the seed of the halves, metrics and intervals.
        batch_tokens: the largest number of tokens in a batch, padding included, or `"auto"`.
        out: a folder for the reports of both evaluations, `choosing` and `confirming`. An
            interrupted choice continues there when it is called again.
        progress: show a bar; None shows one where stderr is a terminal.

    Returns:
        A `Choice`; its `save(folder)` stores it with the classifier, for `method="chosen"`.

    Raises:
        CorpusError: there are fewer than 100 texts of `min_words` words.
        OptionError: an unknown method, option or metric, or a metric by which nothing is better.
        LabelError: labels are missing or unknown.
    """
    texts, columns = _checked_columns(texts, column, labels, rationales)
    compared = _with_reference(classifier, candidates)
    quantity = _checked_quantity(metric, {"ks": ks, "score": score})
    halves = _halves(classifier, texts, max(min_words, 1), seed)
    settings: dict[str, Any] = {
        "removal": removal, "score": score, "min_words": min_words, "seed": seed
    }  # fmt: skip

    def evaluated(methods: Mapping[str, Any], part: int) -> EvaluationReport:
        rows = halves[part]
        own: dict[str, Any] = {name: _rows(column, rows) for name, column in columns.items()}
        folder = None if out is None else Path(out) / ("choosing", "confirming")[part]
        return evaluate(
            classifier, [texts[k] for k in rows], methods=methods, metrics=[quantity], ks=ks,
            batch_tokens=batch_tokens, out=folder, progress=progress, **settings, **own,
        )  # fmt: skip

    choosing = evaluated(compared, 0)
    best, table = _ranked(choosing, quantity)
    confirming = evaluated({name: compared[name] for name in (DEFAULT, CHEAPEST, best)}, 1)
    differences = _differences(confirming, quantity, best)
    return Choice(
        name=_decide(differences, best),
        best=best,
        metric=quantity,
        title=_title(choosing, quantity),
        candidates=table,
        differences=differences,
        methods=compared,
        classifier=classifier,
        made=settings | {"texts": [len(half) for half in halves]},
    )  # fmt: skip


def _checked_columns(
    texts: Any, column: str, labels: Sequence[int | str] | None, rationales: Sequence[Any] | None
) -> tuple[list[str], dict[str, Any]]:
    """The texts, and what is known of each, by name."""
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
    found = list(read_texts(texts, column)[0])
    columns: dict[str, Any] = {"labels": labels, "rationales": rationales}
    check_one_per_text(len(found), **columns)
    return found, columns


def _rows(column: Sequence[Any] | None, rows: Sequence[int]) -> list[Any] | None:
    return None if column is None else [column[k] for k in rows]


def _with_reference(classifier: TextClassifier, candidates: Methods | None) -> dict[str, Any]:
    """The candidates by name, the default and gradient × input first."""
    if candidates is None:
        return dict(CANDIDATES)
    named = named_methods(candidates)
    compared = {name: CANDIDATES[name] for name in (DEFAULT, CHEAPEST)}
    for name, method in named:
        plain = {"method": method} if isinstance(method, str) else method
        if isinstance(plain, Mapping):
            options = {"method": name, **plain}
            kind, options = named_method(classifier, options.pop("method"), options)
            plain = {"method": kind, **options}
        elif not hasattr(plain, "attribution"):
            raise OptionError(
                f"Got attributions from outside, {name!r}, among the candidates; expected methods, "
                "which can explain other texts, too.",
                option="candidates",
            )
        if compared.setdefault(name, plain) != plain:
            raise OptionError(
                f"Two candidates are called {name!r}; this is the name of seqlrp's default or of "
                "another candidate. Pass a mapping that gives each a name of its own.",
                option="candidates",
                got=name,
            )
    if len(compared) == 2 and not set(compared) & {name for name, _ in named}:
        raise OptionError("Got no candidate; name one or more, or leave candidates= out.")
    return compared


def _checked_quantity(metric: str, options: Mapping[str, Any]) -> str:
    """The single quantity of a metric by which methods can be ranked."""
    quantities = {
        found.name: [n for n, q in found.quantities.items() if q.headline and q.better != "neither"]
        for found in chosen_metrics(list(METRICS), METRICS, options)
    }
    known = [name for names in quantities.values() for name in names]
    if metric in known:
        return metric
    ranked = quantities.get(metric, [])
    if len(ranked) == 1:
        return ranked[0]
    if not ranked:
        raise OptionError(
            f"There is no metric {metric!r}; expected one quantity by which methods are ranked.",
            near(metric, known), option="metric", got=metric, known=tuple(known),
        )  # fmt: skip
    raise OptionError(
        f"Got metric={metric!r}; expected one quantity by which methods are ranked, here one of "
        f"{', '.join(map(repr, ranked))}.",
        option="metric",
        got=metric,
        known=tuple(ranked),
    )


def _halves(
    classifier: TextClassifier, texts: Sequence[str], min_words: int, seed: int
) -> tuple[list[int], list[int]]:
    """The numbers of the texts of either half, drawn at random."""
    stream = QuestionStream(classifier, texts, skipped=SkippedTexts("skip"))
    words = {q.number: len(q.document) for q in stream}
    long = [number for number, length in words.items() if length >= min_words]
    if len(long) < 2 * LEAST:
        enough = len(words) >= 2 * LEAST
        most = sorted(words.values(), reverse=True)[2 * LEAST - 1] if enough else 0
        raise CorpusError(
            f"Got {len(long)} texts of at least {min_words} words; a choice needs {2 * LEAST}, "
            f"{LEAST} to choose on and {LEAST} others to confirm it, for with fewer it is often "
            "worse than the default.",
            f"Give more texts, or pass min_words={most} or less."
            if enough
            else f"Give more texts; {len(words)} have any word at all.",
        )
    drawn = np.random.default_rng(seed).permutation(long).tolist()
    middle = len(drawn) // 2
    return sorted(drawn[:middle]), sorted(drawn[middle:])


def _ranked(report: EvaluationReport, quantity: str) -> tuple[str, pd.DataFrame]:
    """The best candidate of the choosing half, and a row for each candidate, the best first."""
    import pandas as pd

    values = report.document_values(quantity)
    measured = np.all([~np.isnan(v).any(1) for v in values.values()], axis=0)
    if measured.sum() < LEAST:
        raise CorpusError(
            f"Only {measured.sum()} of {len(measured)} texts have a value of {quantity!r} for "
            f"every candidate; a choice needs {LEAST}.",
            "Give more or longer texts, or take another metric.",
        )
    rows = []
    for name, own in values.items():
        against = compare(own[measured], values[DEFAULT][measured], report.seed)
        rows.append(
            (name, float(own[measured].mean()), against.difference, against.low, against.high,
             1000 * report.seconds[name])
        )  # fmt: skip
    columns = ["candidate", "value", "difference", "low", "high", "milliseconds"]
    table = pd.DataFrame(rows, columns=columns)
    # Candidates that are equal stay in their order: the default is before all others.
    table = table.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    return str(table["candidate"].iloc[0]), table


def _title(report: EvaluationReport, quantity: str) -> str:
    described = report.quantities[quantity]
    signs = {described.sign(direction) for direction in report.directions(quantity)}
    return described.title + ("" if signs == {1} else ", negated where lower is better")


def _differences(report: EvaluationReport, quantity: str, best: str) -> pd.DataFrame:
    """The differences on the confirming half, between the best, the default and the cheapest."""
    import pandas as pd

    values = report.document_values(quantity)
    pairs = [(best, DEFAULT), (best, CHEAPEST), (CHEAPEST, DEFAULT)]
    rows = []
    for one, other in dict.fromkeys(pair for pair in pairs if pair[0] != pair[1]):
        found = compare(values[one], values[other], report.seed)
        rows.append((one, other, found.difference, found.low, found.high, found.p, found.documents))
    columns = ["candidate", "over", "difference", "low", "high", "p", "documents"]
    return pd.DataFrame(rows, columns=columns)


def _decide(differences: pd.DataFrame, best: str) -> str:
    """The default, unless the best, or then gradient × input, is better."""
    chosen = DEFAULT
    for rival in (best, CHEAPEST):
        if is_better(differences, rival, chosen):
            chosen = rival
    return chosen
