"""What is done with a folder of shards gives what one run in memory gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from samples.planted import planted_classifier, planted_corpus
from samples.sharded import failing_classifier, write_texts

import seqlrp
from seqlrp.analysis import known
from seqlrp.errors import InputError, OptionError
from seqlrp.evaluation import measuring
from seqlrp.evaluation import run as evaluation
from seqlrp.explanations import parts

FAST = {"projection": "spectral", "clusters": 2}


@pytest.fixture(scope="module")
def planted() -> tuple[seqlrp.TextClassifier, seqlrp.Corpus]:
    return planted_classifier(), planted_corpus()


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):  # type: ignore[no-untyped-def]
    """The planted corpus, explained in shards."""
    from samples.sharded import InProcess

    from seqlrp.scale import run

    classifier, corpus = planted
    path = tmp_path_factory.mktemp("planted")
    labels = [corpus.label_names[label] for label in corpus.labels]
    pd.DataFrame({"text": corpus.texts, "label": labels}).to_parquet(path / "a.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_engine", lambda name, job, *rest: InProcess(job))
        seqlrp.scale.explain(
            classifier, path / "a.parquet", path / "out", shard_size=17, progress=False
        )
    return seqlrp.Explanations.load(path / "out")


def test_a_folder_is_analysed_as_the_texts_are(planted, folder) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("sklearn")
    classifier, corpus = planted
    one = seqlrp.analyse(classifier, corpus, strategies=FAST, progress=False)
    found = seqlrp.analyse(classifier, folder, strategies=FAST, progress=False)
    assert found.assigned is None
    for name in ("strategies", "class_words", "shortcuts"):
        pd.testing.assert_frame_equal(
            getattr(found, name), getattr(one, name), rtol=1e-3, atol=1e-5
        )
    same = ["class", "strategy", "outlier", "sampled"]
    pd.testing.assert_frame_equal(found.documents[same], one.documents[same])


def test_of_a_large_folder_a_sample_is_clustered(planted, folder, monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The texts that are drawn, and the strategies of all, are those of one run in memory."""
    pytest.importorskip("sklearn")
    classifier, corpus = planted
    options = {"strategies": {**FAST, "sample": 25}, "shortcuts": False, "progress": False}
    one = seqlrp.analyse(classifier, corpus, **options)
    monkeypatch.setattr(known, "HELD", 60)
    monkeypatch.setattr(known, "_BLOCK", 16)
    found = seqlrp.analyse(classifier, folder, **options)
    assert len(found.explanations) == 50
    assert len(found.assigned) == 120
    for name in ("class", "strategy", "outlier", "sampled"):
        assert found.assigned[name].tolist() == one.documents[name].tolist()
    np.testing.assert_allclose(found.assigned["distance"], one.documents["distance"], atol=1e-4)
    assert "drawn from 120" in found.summary()
    found.save(tmp_path / "report")
    again = seqlrp.CorpusAnalysis.load(tmp_path / "report")
    pd.testing.assert_frame_equal(again.assigned, found.assigned)
    one.save(tmp_path / "report")  # an analysis without it may take its place


def test_what_is_analysed_is_of_this_model_and_its_predictions(planted, folder) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("sklearn")
    classifier, corpus = planted
    with pytest.raises(OptionError, match="nothing is explained again"):
        seqlrp.analyse(classifier, folder, epsilon=0.5)
    one = seqlrp.explain(classifier, corpus.texts[:12], target=0, progress=False)
    with pytest.raises(InputError, match="not of the class that is predicted"):
        seqlrp.analyse(classifier, one)
    other = planted_classifier()
    next(other.model.parameters()).data.mul_(1.5)
    for function in (seqlrp.analyse, seqlrp.evaluate):
        with pytest.raises(OptionError, match="are of another model"):
            function(other, folder)


@pytest.mark.usefixtures("without_pictures")
def test_shards_are_evaluated_as_one_run(planted, folder, monkeypatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    classifier, corpus = planted
    options = {
        "methods": ["lrp", "sensitivity", "random"], "random_orders": 2, "min_words": 3,
        "metrics": ["word_deletion", "aopc", "comprehensiveness"], "progress": False,
    }  # fmt: skip
    one = seqlrp.evaluate(classifier, corpus, **options)
    monkeypatch.setattr(evaluation, "BLOCK", 23)
    explained: list[str] = []
    explain = measuring._explain

    def noted(candidate, questions, *rest):  # type: ignore[no-untyped-def]
        explained.extend([candidate.name] * len(questions))
        return explain(candidate, questions, *rest)

    monkeypatch.setattr(measuring, "_explain", noted)
    found = seqlrp.evaluate(classifier, folder, out=tmp_path / "report", **options)
    pd.testing.assert_frame_equal(found.table, one.table, rtol=1e-4, atol=1e-5)
    assert found.made["documents"] == one.made["documents"] == 120
    wrong = sum(e.predicted != e.label for e in folder)
    warmed = -(-120 // 23)  # a text of each block is explained, so that loading is not measured
    assert explained.count("lrp") == wrong + warmed
    assert explained.count("sensitivity") >= 120
    assert not (tmp_path / "report" / "unfinished").exists()
    with pytest.raises(OptionError, match="none of the methods that are compared"):
        seqlrp.evaluate(classifier, folder, methods={"lrp": {"method": "lrp", "epsilon": 0.5}})


def test_a_folder_is_rendered_and_summed_up_as_one_run(planted, folder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    classifier, corpus = planted
    one = seqlrp.explain(
        classifier, corpus, ids=range(len(corpus)), progress=False, target="predicted"
    )
    pd.testing.assert_frame_equal(folder.summary("word"), one.summary("word"), rtol=1e-4, atol=1e-6)
    from seqlrp.show.page import save_pages

    for name, explanations in (("folder", folder), ("one", one)):
        save_pages(explanations, tmp_path / name, progress=False)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "folder").iterdir())
    index = [(tmp_path / name / "index.html").read_text() for name in ("folder", "one")]
    assert index[0] == index[1]


def test_a_damaged_part_says_what_to_do(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 12)
    explain(tmp_path / "a.jsonl", tmp_path / "out")
    path = parts.part_path(tmp_path / "out", 1)
    content = bytearray(path.read_bytes())
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(2)
    end = column.dictionary_page_offset + column.total_compressed_size
    content[end - 1] ^= 1  # of what a page holds: a change of its head may change no value
    path.write_bytes(content)
    with pytest.raises(seqlrp.errors.SavedFileError, match="it writes damaged parts again"):
        list(seqlrp.Explanations.load(tmp_path / "out"))
    explain(tmp_path / "a.jsonl", tmp_path / "out")
    assert len(list(seqlrp.Explanations.load(tmp_path / "out"))) == 12


def test_a_folder_that_is_not_finished_is_refused(saved, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 12)
    explain(tmp_path / "a.jsonl", tmp_path / "out")
    parts.part_path(tmp_path / "out", 1).unlink()
    classifier = seqlrp.load(saved, factory=failing_classifier)
    with pytest.raises(seqlrp.errors.SavedFileError, match="not finished"):
        seqlrp.evaluate(classifier, seqlrp.Explanations.load(tmp_path / "out"))
