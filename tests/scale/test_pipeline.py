"""One class for pipelines: one row in, one row out, whatever the kind of batch."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.errors import CorpusError
from seqlrp.scale import Explain

TEXTS = [*some_texts(7), "", None]
SPARK_SCHEMA = (  # as in the docs
    "tokens array<string>, start array<int>, end array<int>, relevance array<float>, target int, "
    "against int, predicted int, scores array<float>, probabilities array<float>, ledger string, "
    "unread int, left_out string"
)


@pytest.fixture(scope="module")
def explain() -> Explain:
    return Explain(small_classifier(), epsilon=0.01)


@pytest.fixture(scope="module")
def expected() -> list[seqlrp.Explanation]:
    return list(seqlrp.explain(small_classifier(), TEXTS[:7], epsilon=0.01, progress=False))


def check(relevance, expected) -> None:  # type: ignore[no-untyped-def]
    for found, one in zip(relevance, expected, strict=False):
        np.testing.assert_allclose(found, one.relevance, rtol=1e-5, atol=1e-7)


def test_every_kind_of_batch(explain, expected) -> None:  # type: ignore[no-untyped-def]
    frame = pd.DataFrame({"text": TEXTS, "k": range(9)})
    batches = {
        "frame": frame,
        "arrow": pa.table({"text": TEXTS, "k": list(range(9))}),
        "lists": {"text": list(TEXTS), "k": list(range(9))},
        "arrays": {"text": np.array(TEXTS, dtype=object), "k": np.arange(9)},
    }
    for batch in batches.values():
        found = explain(batch)
        assert type(found) is type(batch)
        columns = found.to_pydict() if isinstance(found, pa.Table) else found
        check(columns["relevance"], expected)
        assert list(columns["k"]) == list(range(9))
        assert columns["left_out"][8] == "without a word"
        assert columns["relevance"][7] is None
        assert list(columns["predicted"][:7]) == [e.predicted for e in expected]
    streamed = list(explain(iter([frame[:4], frame[4:]])))  # as mapInPandas of Spark
    assert [len(part) for part in streamed] == [4, 5]


def test_columns_of_the_batch_stay(explain) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CorpusError, match="prefix='lrp_'"):
        explain({"text": ["good"], "target": [1]})
    with pytest.raises(CorpusError, match="no column 'text'"):
        explain({"body": ["good"]})
    with_prefix = Explain(small_classifier(), prefix="lrp_")({"text": ["good"], "target": [1]})
    assert with_prefix["target"] == [1]
    assert len(with_prefix["lrp_relevance"][0]) == 1


def test_datasets(explain, expected) -> None:  # type: ignore[no-untyped-def]
    made = datasets.Dataset.from_dict({"text": TEXTS[:7]}).map(explain, batched=True, batch_size=4)
    check(made["relevance"], expected)
    assert made.column_names[0] == "text"


@pytest.mark.skipif(find_spec("dask") is None, reason="needs Dask")
@pytest.mark.filterwarnings("ignore")  # of Dask itself
def test_dask(explain, expected) -> None:  # type: ignore[no-untyped-def]
    import dask
    import dask.dataframe as dd

    frame = pd.DataFrame({"text": TEXTS[:7]})
    with dask.config.set(scheduler="sync", **{"dataframe.convert-string": False}):
        made = dd.from_pandas(frame, npartitions=2).map_partitions(explain, meta=explain(frame[:1]))
        check(made.compute()["relevance"], expected)


def explain_batches(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """What Spark runs in its own processes."""
    found: Iterator[pd.DataFrame] = Explain(small_classifier(), epsilon=0.01)(batches)
    return found


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("pyspark") is None or shutil.which("java") is None, reason="needs PySpark and Java"
)
@pytest.mark.filterwarnings("ignore")  # of Spark itself
def test_spark(expected, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", False)
    spark = session.getOrCreate()
    try:
        frame = spark.createDataFrame(list(enumerate(TEXTS)), "k int, text string")
        rows = frame.mapInPandas(explain_batches, f"k int, text string, {SPARK_SCHEMA}").collect()
    finally:
        spark.stop()
    assert [row["k"] for row in rows] == list(range(9))
    check([row["relevance"] for row in rows], expected)
    assert rows[7]["relevance"] is None
    assert rows[8]["left_out"] == "without a word"
