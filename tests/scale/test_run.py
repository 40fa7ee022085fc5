"""Every document once, the same to the last bit, whoever dies when."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import sys
import traceback
from itertools import count
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
from samples.classifiers import small_classifier, some_texts
from samples.kills import NOT_WRITTEN, check_folder, on_writes
from samples.sharded import KILLS, OVERFLOWS, RAISES, contents, failing_classifier, write_texts

import seqlrp
import seqlrp.scale
from seqlrp.errors import (
    CorpusError,
    FailedTextError,
    FolderInUseError,
    LabelError,
    OptionError,
    SavedFileError,
    ShardError,
    WriteError,
)
from seqlrp.scale import worker
from seqlrp.scale.log import LOG, read_finished


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts.jsonl", 47)
    return tmp_path / "texts.jsonl"


def test_a_folder_has_what_one_call_explains(source, tmp_path, saved, explain) -> None:  # type: ignore[no-untyped-def]
    status = explain(source, tmp_path / "out", target="label", epsilon=0.01)
    assert (status.shards, status.explained, status.failed) == (5, 47, 0)
    assert status.complete
    corpus = seqlrp.load_corpus(source)
    classifier = seqlrp.load(saved, factory=failing_classifier)
    expected = seqlrp.explain(classifier, corpus, target="label", epsilon=0.01, progress=False)
    found = seqlrp.Explanations.load(tmp_path / "out")
    assert [e.id for e in found] == [str(k) for k in range(47)]
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.target, one.label) == (other.text, other.target, other.label)
        np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-4, atol=1e-6)
    assert len(found) == 47
    assert found[-1].text == expected[46].text
    assert [e.id for e in found[8:12]] == ["8", "9", "10", "11"]
    assert "47 documents" in repr(found)
    table = pd.read_parquet(tmp_path / "out", filters=[("predicted", "==", 1)])
    assert len(table) == sum(e.predicted == 1 for e in expected)


def test_a_folder_is_evaluated(source, tmp_path, saved, explain) -> None:  # type: ignore[no-untyped-def]
    explain(source, tmp_path / "out")
    classifier, texts = seqlrp.load(saved, factory=failing_classifier), seqlrp.load_corpus(source)
    report = seqlrp.evaluate(
        classifier, texts, metrics=["comprehensiveness"], min_words=3, progress=False,
        methods={"lrp": "lrp", "folder": seqlrp.Explanations.load(tmp_path / "out")},
    )  # fmt: skip
    values = report.table.groupby("method")["value"].mean()
    assert values["folder"] == pytest.approx(values["lrp"], rel=1e-3)


def test_columns_are_chosen(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    rows = [{"body": "a good film", "class": "1", "key": f"k{k}"} for k in range(12)]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    explain(tmp_path / "a.csv", tmp_path / "o", text_column="body", id_column="key")
    found = list(seqlrp.Explanations.load(tmp_path / "o"))
    assert [(e.id, e.label) for e in found] == [(f"k{k}", 1) for k in range(12)]
    with pytest.raises(OptionError, match="id_column"):
        explain(tmp_path / "a.csv", tmp_path / "p", text_column="body", id_column="kee")


@pytest.mark.parametrize("seed", range(2))
def test_workers_may_die(seed, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    numbers = random.permutation(47)[:3].tolist()
    failing = dict(zip(numbers, (RAISES, KILLS, OVERFLOWS), strict=True))
    write_texts(tmp_path / "a.jsonl", 47, failing)
    explain(tmp_path / "a.jsonl", tmp_path / "calm")
    deaths = set(random.integers(0, 25, 3).tolist())
    status = explain(tmp_path / "a.jsonl", tmp_path / "out", deaths=deaths)
    table = pd.read_parquet(tmp_path / "out" / "_failed.parquet")
    failed = table.set_index("number")
    assert (status.explained, sorted(failed.index)) == (44, sorted(failing)), (deaths, table)
    for number, word in failing.items():
        expected = {RAISES: "cannot be split", KILLS: "at a text", OVERFLOWS: "finite"}[word]
        assert expected in failed["reason"][number]
        assert failed["row"][number] == number
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_workers_may_die_before_they_are_ready(source, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    """As where a machine is taken away; one that never gets ready is given up."""
    assert explain(source, tmp_path / "out", failed_starts=4).explained == 47
    assert explain(source, tmp_path / "one", failed_starts=5).explained == 47
    assert '"event": "given up", "worker": 0' in (tmp_path / "one" / LOG).read_text()
    with pytest.raises(ShardError, match="3 times before it was ready, the last so: at the start"):
        explain(source, tmp_path / "never", failed_starts=100)


def test_a_text_that_fails_may_end_the_run(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 30, {17: RAISES})
    with pytest.raises(FailedTextError, match="Text 17 cannot be explained") as raised:
        explain(tmp_path / "a.jsonl", tmp_path / "o", on_error="raise")
    assert raised.value.text == 17
    with pytest.raises(SavedFileError, match="not finished"):
        seqlrp.Explanations.load(tmp_path / "o")
    assert explain(tmp_path / "a.jsonl", tmp_path / "o").failed == 1
    assert len(seqlrp.Explanations.load(tmp_path / "o")) == 29


def test_a_source_that_cannot_be_read_for_a_while(source, tmp_path, explain, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """What fails is the network, and no text is blamed for it."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/scale/a.jsonl", source.read_bytes())
    opens, answers = type(memory).open, [True, True, False, True]  # then False

    def now_and_then(self: object, *args: object, **kwargs: object) -> object:
        if answers.pop(0) if answers else False:
            return opens(self, *args, **kwargs)
        raise RuntimeError("the network is down")

    monkeypatch.setattr(type(memory), "open", now_and_then)
    monkeypatch.setattr(worker, "_PAUSES", (0.0, 0.0))
    with pytest.raises(CorpusError, match="the network is down"):
        explain("memory://scale/a.jsonl", tmp_path / "out")
    assert read_finished(tmp_path / "out").keys() == {0}
    answers.extend([True] * 20)
    status = explain("memory://scale/a.jsonl", tmp_path / "out")
    assert (status.explained, status.failed) == (47, 0)
    explain(source, tmp_path / "calm")
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_texts_of_which_nothing_can_be_asked(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    texts = some_texts(20)
    texts[3], texts[4] = "", "good " * 40
    pd.DataFrame({"text": [*texts, None]}).to_parquet(tmp_path / "a.parquet")
    status = explain(tmp_path / "a.parquet", tmp_path / "o", max_words=30)
    assert (status.explained, status.failed, status.left_out) == (18, 3, {})
    status = explain(tmp_path / "a.parquet", tmp_path / "p", max_words=30, on_unanswerable="skip")
    assert (status.explained, status.failed) == (18, 0)
    assert status.left_out == {"without a word": 2, "with too many words": 1}
    assert not (tmp_path / "p" / "_failed.parquet").exists()


def test_where_all_texts_fail_the_run_ends(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 90, dict.fromkeys(range(90), RAISES))
    with pytest.raises(ShardError, match="More than 64 texts"):
        explain(tmp_path / "a.jsonl", tmp_path / "o", shard_size=90)
    write_texts(tmp_path / "b.jsonl", 20)
    with pytest.raises(ShardError, match="no text of it by itself"):
        explain(tmp_path / "b.jsonl", tmp_path / "p", deaths=range(200), shard_size=1)


def test_damaged_parts_are_written_again(source, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    explain(source, out)
    before = contents(out)
    part = out / "part-000002.parquet"
    damaged = bytearray(part.read_bytes())
    damaged[100] ^= 1
    part.write_bytes(damaged)
    (out / "part-000003.parquet").unlink()
    assert seqlrp.scale.status(out).finished == 4  # which looks at sizes only
    with pytest.raises(SavedFileError, match="not finished"):
        seqlrp.Explanations.load(out)
    explain(source, out)
    assert contents(out) == before


def test_another_run_is_refused(source, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    explain(source, out)
    for option, options in [
        ("target", {"target": "label"}),
        ("parameters", {"epsilon": 0.5}),
        ("method", {"method": "gradient_x_input"}),
        ("shard_size", {"shard_size": 11}),
    ]:
        with pytest.raises(OptionError, match="The folder was begun with") as raised:
            explain(source, out, **options)
        assert raised.value.option == option
    with pytest.raises(OptionError, match="The folder was begun with model") as raised:
        seqlrp.scale.explain(small_classifier(), source, out, shard_size=10, progress=False)
    assert raised.value.option == "model"
    content = source.read_bytes()
    source.write_bytes(content)  # another time, the same content
    assert explain(source, out, shard_size=None).complete
    source.write_bytes(content[:-3] + b'!"}')
    with pytest.raises(OptionError, match=r"texts\.jsonl has changed"):
        explain(source, out)
    source.write_bytes(content + content[-1:])
    with pytest.raises(OptionError, match=r"texts\.jsonl has changed"):
        explain(source, out)
    other = source.with_name("other.jsonl")
    other.write_bytes(content)
    with pytest.raises(OptionError, match=r"other\.jsonl is new among them"):
        explain([source, other], out)
    with pytest.raises(OptionError, match=r"texts\.jsonl is no longer among them"):
        explain(other, out)
    source.write_bytes(content)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.txt").touch()
    with pytest.raises(OptionError, match="holds something else"):
        explain(source, tmp_path / "else")


def test_two_runs_on_one_folder(source, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    from filelock import FileLock

    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(FolderInUseError):
        explain(source, out)
    assert explain(source, out).complete


def test_labels_that_the_classifier_does_not_know(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    pd.DataFrame({"text": ["good"] * 3, "label": ["mixed"] * 3}).to_csv(tmp_path / "a.csv")
    with pytest.raises(LabelError, match="mixed"):
        explain(tmp_path / "a.csv", tmp_path / "o")
    assert explain(tmp_path / "a.csv", tmp_path / "p", labelled=False).complete


def test_the_log_and_the_metrics(source, tmp_path, explain, capsys) -> None:  # type: ignore[no-untyped-def]
    explain(source, tmp_path / "out", metrics=tmp_path / "m.prom", progress=None, deaths={2})
    events = [json.loads(line) for line in (tmp_path / "out" / LOG).read_text().splitlines()]
    assert (events[0]["shards"], events[0]["workers"]) == (5, 2)
    names = "began ready finished finished died finished finished finished ended"
    assert [e["event"] for e in events] == names.split()
    shown = capsys.readouterr().err
    assert "explaining: 47 of 47 texts (100.0 %)" in shown
    assert "workers that died: 1" in shown
    lines = (tmp_path / "m.prom").read_text().splitlines()
    assert "seqlrp_documents_explained_total 47" in lines
    assert "# TYPE seqlrp_shards_done_total counter" in lines
    assert "seqlrp_workers_ready 2" in lines
    assert "seqlrp_workers_died_total 1" in lines
    explain(source, tmp_path / "out", metrics=tmp_path / "m.prom", progress=None)  # nothing to do
    assert capsys.readouterr().err == ""
    assert len((tmp_path / "out" / LOG).read_text().splitlines()) == len(events)


# A process that is killed at some moment, whatever it was about to do with a file


def _killed(run, moment: int, folder: Path, error: int | None) -> bool:  # type: ignore[no-untyped-def]
    """Run in a fork that is killed, or whose disk fails, at a write; whether that came."""
    child = os.fork()
    if child == 0:
        writes = count(1)

        def fail() -> None:
            if next(writes) > moment:
                if error is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                else:
                    raise OSError(error, os.strerror(error))

        on_writes(folder, fail)
        try:
            run()
        except WriteError:
            os._exit(NOT_WRITTEN)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL if error is None else NOT_WRITTEN)
    return status != 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize(
    "error", [None, errno.ENOSPC, errno.EROFS], ids=["kill", "disk-full", "read-only"]
)
def test_a_run_that_is_killed_goes_on(error, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "a.jsonl"
    write_texts(source, 23, {12: RAISES})
    explain(source, tmp_path / "calm")
    calm = contents(tmp_path / "calm")
    moments = np.random.default_rng(error or 0).integers(0, 30, 4)
    deaths = 0
    for number, moment in enumerate(moments.tolist()):
        out = tmp_path / str(number)
        deaths += _killed(lambda: explain(source, out), moment, out, error)  # noqa: B023
        assert explain(source, out).explained == 22
        check_folder(out, calm)
    assert deaths >= 1


# The model of a worker


def test_a_model_that_is_replaced_ends_the_run(source, tmp_path, explain, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(worker, "fingerprint", lambda *_: hashlib.sha256(b"of another model"))
    with pytest.raises(SavedFileError, match="replaced while the run went on"):
        explain(source, tmp_path / "out")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_share_the_weights_of_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, path = small_classifier().model, tmp_path / "weights.safetensors"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(before, path)
    worker._share_weights(model, path)
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    mapped = [[int(end, 16) for end in m[0].split("-")] for m in maps if m[-1] == str(path)]
    for name, value in model.state_dict().items():
        assert value.equal(before[name])
        assert any(start <= value.data_ptr() < end for start, end in mapped)
    safetensors.torch.save_file({n: value + 1 for n, value in before.items()}, tmp_path / "other")
    worker._share_weights(model, tmp_path / "other")  # not the same: they stay
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
