"""A saved classifier whose tokenizer fails at some words, and runs within the process of a test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from samples import sharded
from samples.sharded import Death, InProcess, failing_classifier, save_classifier

import seqlrp.scale
from seqlrp.scale import run
from seqlrp.scale.worker import Job


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def explain(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., seqlrp.scale.Status]:
    """`seqlrp.scale.explain` in this process; `InProcess` has `deaths` and `failed_starts`."""

    def die() -> None:
        raise Death

    monkeypatch.setattr(sharded, "die", die)

    def explain_here(
        source: Path,
        out: Path,
        *,
        deaths: Collection[int] = (),
        failed_starts: int = 0,
        **options: Any,
    ) -> seqlrp.scale.Status:
        def engine(name: str, job: Job, *rest: object) -> InProcess:
            return InProcess(job, deaths, failed_starts)

        monkeypatch.setattr(run, "_engine", engine)
        chosen = {"shard_size": 10, "progress": False, "workers": 2, **options}
        return seqlrp.scale.explain(saved, source, out, factory=failing_classifier, **chosen)

    return explain_here
