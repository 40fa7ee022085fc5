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


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def explain(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., seqlrp.scale.Status]:
    """`seqlrp.scale.explain` without other processes; `deaths` says when workers die."""

    def die() -> None:
        raise Death

    monkeypatch.setattr(sharded, "die", die)

    def explain_here(
        source: Path, out: Path, *, deaths: Collection[int] = (), **options: Any
    ) -> seqlrp.scale.Status:
        monkeypatch.setattr(run, "_engine", lambda name, job, *rest: InProcess(job, deaths))
        chosen = {"shard_size": 10, "progress": False, "workers": 2, **options}
        return seqlrp.scale.explain(saved, source, out, factory=failing_classifier, **chosen)

    return explain_here
