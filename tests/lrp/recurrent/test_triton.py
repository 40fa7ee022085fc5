"""Triton kernels: run in its interpreter, compiled for GPUs that are not here, refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.recurrent_calls import Weights
from seqlrp.errors import KernelWarning, OptionError
from seqlrp.lrp.recurrent.kernels import choice, gpu, vectorised

HERE = Path(__file__).parent
IDS = torch.arange(6).reshape(1, 6)

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


def run_checks(**environment: str) -> None:
    """Run `triton_checks.py` in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider",
         str(HERE / "triton_checks.py")],
        env=inherited | environment, cwd=HERE.parents[2], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
@needs_triton
def test_in_the_interpreter() -> None:
    run_checks(TRITON_INTERPRET="1")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@needs_triton
def test_on_a_gpu() -> None:
    run_checks()


BLOCK = {"BLOCK_B": 16, "BLOCK_H": 64, "BLOCK_K": 16}
KERNELS = [
    ("lstm_factors", {"BLOCK_H": 64}),
    ("gru_factors", {"BLOCK_R": 16, "BLOCK_H": 64}),
    ("add_product", {"BLOCK_R": 64, "BLOCK_C": 64, "BLOCK_K": 16}),
    ("lstm_backward", {"ACCOUNT": True, **BLOCK}),
    ("gru_backward", {"ACCOUNT": True, **BLOCK}),
]
COUNTS = ["rows", "batch", "steps", "hidden", "inner", "columns", "weight_row", "weight_column"]


@needs_triton
@pytest.mark.skipif(gpu.interpreted(), reason="Triton interprets here")
@pytest.mark.parametrize(("name", "constants"), KERNELS)
def test_kernels_compile_for_a_gpu(
    name: str, constants: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    # The interpreter takes what the compiler refuses.
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from seqlrp.lrp.recurrent.kernels import gpu_loops

    kernel = getattr(gpu_loops, name)
    types = dict.fromkeys(kernel.arg_names, "*fp32") | {"starts": "*i64", "sizes": "*i64"}
    types |= dict.fromkeys(COUNTS, "i32") | {"epsilon": "fp32", "floor": "fp32"}
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, {k: types[k] for k in kernel.arg_names}, constants)
    options = {"enable_fp_fusion": True}
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    code = found.asm["ptx"]
    assert "fma.rn.f32" in code
    assert "tf32" not in code
    assert "mma" not in code  # products of float32 as it is, on no tensor core
    assert "ld.global.nc" not in code  # what was written before a barrier is read after it


def model(**options: Any) -> nn.Module:
    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.recurrent = nn.GRU(4, 5, batch_first=True, **options)
            self.head = nn.Linear(5, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.recurrent(self.embedding(ids))[0][:, -1])  # type: ignore[no-any-return]

    return Classifier().eval()


def test_refused_where_it_is_not_installed(monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "installed", lambda: False)
    with pytest.raises(OptionError, match=r"not installed: pip install triton.*impl='auto'"):
        seqlrp.LRP(model(), impl="triton")


@pytest.mark.parametrize("laws", [{"gate_rule": "half"}, {"bias_factor": 0.5}])
def test_refused_under_other_laws(laws: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "installed", lambda: True)
    with pytest.raises(OptionError, match=r"impl 'triton'.*gate_rule 'all', bias_factor 0"):
        seqlrp.LRP(model(), impl="triton", **laws)


def test_refused_where_a_layer_has_a_rule_of_its_own(monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "installed", lambda: True)
    lrp = seqlrp.LRP(model(), impl="triton", rules={"recurrent": seqlrp.rules.Epsilon(0.5)})
    with pytest.raises(OptionError, match="no rule of their own"):
        lrp.attribute(IDS, target=0)


def test_refused_on_the_cpu(monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "installed", lambda: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    lrp = seqlrp.LRP(model(), impl="triton")
    with pytest.raises(OptionError, match=r"on cpu; move model and input to a CUDA device"):
        lrp.attribute(IDS, target=0)


@pytest.fixture
def replaced_kernels(monkeypatch: Any) -> Any:
    """Take a function in the place of both GPU kernels."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(gpu, "installed", lambda: True)
    monkeypatch.setattr(gpu, "failure", gpu.failure.__wrapped__)

    def replace(lstm: Any, gru: Any) -> None:
        monkeypatch.setattr(gpu, "lstm", lstm)
        monkeypatch.setattr(gpu, "gru", gru)

    return replace


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("Failed to find C compiler.\nmore")


def wrong(*arguments: Any, **options: Any) -> Any:
    found = vectorised.gru(*arguments, **options)
    return found._replace(x=found.x * 1.01)


def test_what_does_not_run_says_why(replaced_kernels: Any) -> None:
    replaced_kernels(broken, broken)
    weights = [Weights(torch.ones(3, 1), torch.ones(3, 1))]
    with pytest.raises(OptionError, match=r"on cpu \(RuntimeError: Failed to find C compiler\.\)"):
        choice.choose_kernel("triton", "gru", weights, torch.ones(1, 1))


def test_a_kernel_that_computes_wrong_values_is_not_used(replaced_kernels: Any) -> None:
    replaced_kernels(vectorised.lstm, wrong)
    found = gpu.failure(torch.device("cpu"))
    assert found == (
        "its GRU kernel computes wrong values on cpu (x differs from the reference by 0.01 of its "
        "largest value)"
    )
    replaced_kernels(vectorised.lstm, vectorised.gru)
    assert gpu.failure(torch.device("cpu")) is None


def test_a_failure_is_one_warning(replaced_kernels: Any) -> None:
    replaced_kernels(broken, broken)
    choice._fails_with_warning.cache_clear()
    with pytest.warns(KernelWarning, match=r"not used, for its kernels do not run.*seqlrp doctor"):
        assert choice._fails_with_warning(torch.device("cpu"))
    assert choice._fails_with_warning(torch.device("cpu"))  # and warns no more
    choice._fails_with_warning.cache_clear()


@pytest.mark.parametrize("impl", ["auto", "torch", "reference"])
def test_autocast_leaves_relevance_wide(impl: Any) -> None:
    lrp = seqlrp.LRP(model(), impl=impl)
    expected = lrp.attribute(IDS, target=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = lrp.attribute(IDS, target=0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.02)
