"""The doctor: versions, devices, and kernels that agree with the reference or do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from samples.commands import run

from seqlrp.benchmark import Diagnosis, KernelCheck, diagnose, installation
from seqlrp.lrp import LRP

EXACT = KernelCheck("cpu", "lstm", "auto", "compiled", 1e-6, 0.5)
WRONG = KernelCheck("cuda:0", "gru", "auto", "triton", 0.02, 0.3)
DEAD = KernelCheck("cuda:1", "gru", "auto", "", None, None, "device lost")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "SECONDS", 1e-3)


def diagnosis(*checks: KernelCheck) -> Diagnosis:
    return Diagnosis({"torch": "3.0"}, {"cpu": "a processor"}, 2, checks)


def test_every_kernel_of_this_machine_agrees() -> None:
    state = torch.get_rng_state()
    found = diagnose()
    assert torch.equal(torch.get_rng_state(), state)
    assert found.healthy
    assert found.versions["torch"] == torch.__version__
    on_cpu = {(c.kind, c.impl) for c in found.kernels if c.device == "cpu"}
    assert on_cpu == {("lstm", "auto"), ("lstm", "torch"), ("gru", "auto"), ("gru", "torch")}
    assert all(check.ratio is not None and check.ratio > 0 for check in found.kernels)


def test_a_kernel_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    attribute = LRP.attribute

    def wrong(self: LRP, *arguments: Any, **options: Any) -> Any:
        found = attribute(self, *arguments, **options)
        return found if found.dtype == torch.float64 else found * 1.01

    monkeypatch.setattr(LRP, "attribute", wrong)
    found = diagnose()
    assert not any(check.agrees for check in found.kernels)
    assert "DIFFERS FROM THE REFERENCE" in found.summary()


def test_a_kernel_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    attribute = LRP.attribute

    def failing(self: LRP, ids: Any, **options: Any) -> Any:
        if next(self.model.parameters()).dtype == torch.float32:
            raise RuntimeError("CUDA error: device lost\nmore")
        return attribute(self, ids, **options)

    monkeypatch.setattr(LRP, "attribute", failing)
    found = diagnose()
    assert {check.failure for check in found.kernels} == {"CUDA error: device lost"}
    assert "does not run: CUDA error: device lost" in found.summary()


def test_the_verdict() -> None:
    assert "Every kernel agrees" in diagnosis(EXACT).summary()
    for other in (WRONG, DEAD):
        found = diagnosis(EXACT, other)
        assert not found.healthy
        assert "impl='reference'" in found.summary()
        assert json.loads(json.dumps(found.to_dict()))["healthy"] is False


@pytest.mark.parametrize(("checks", "status"), [((EXACT,), 0), ((EXACT, WRONG), 1)])
def test_the_command(
    checks: tuple[KernelCheck, ...],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("seqlrp.benchmark.diagnose", lambda: diagnosis(*checks))
    found, out, _ = run(capsys, "doctor")
    assert found == status
    assert "compiled" in out
    found, out, _ = run(capsys, "doctor", "--json")
    assert found == status
    assert json.loads(out)["devices"] == {"cpu": "a processor"}
