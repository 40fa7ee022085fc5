"""The recurrences of `reference.py` in float32 on a GPU, with the Triton kernels of `gpu_loops.py`.

One large product of the library recomputes the gates from the layer's own outputs, one elementwise
kernel computes the factors, and all steps of the backward pass are one launch. Tensors of narrower
dtypes, from a forward pass under autocast, are converted first. Needs Triton, which CUDA builds of
torch include on Linux, and is not used without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.recurrent.kernels.self_check import disagreement
from seqlrp.lrp.recurrent.kernels.vectorised import _previous_states
from seqlrp.lrp.recurrent.reference import Direction, Gammas
from seqlrp.lrp.stabilise import Stabiliser

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
NOT_INSTALLED = "Triton is not installed: pip install triton"
SEQUENCES, UNITS, INNER = 16, 256, 16  # the largest block of the backward pass
ROWS, COLUMNS = 64, 64  # the block of a product; COLUMNS also for factors


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on tensors of any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed() -> bool:
    """Whether Triton can be imported."""
    return find_spec("triton") is not None


def obstacle(kind: str, weights: Weights, *inputs: Tensor) -> str | None:
    """Return why no such kernel computes a layer with these operands, or None if one does.

    Whether the kernels run on the device at all is up to `failure`.
    """
    operands = [*inputs, *(w for w in weights if w is not None)]
    if kind not in ("lstm", "gru"):
        return "a plain RNN is none of the layers that it computes (LSTM, GRU)"
    if weights.hr is not None:
        return "it computes no LSTM with a projection (proj_size)"
    for operand in operands:
        if operand.dtype not in DTYPES:
            return f"it computes in float32, and the layer is in {operand.dtype}"
        if operand.device.type != "cuda" and not (interpreted() and operand.device.type == "cpu"):
            return (
                f"the layer is on {operand.device}; move model and input to a CUDA device (or set "
                f"TRITON_INTERPRET=1 before Python starts, to run it slowly on the CPU)"
            )
    return None


@cache
def failure(device: torch.device) -> str | None:
    """Try the kernels on a device once; return why they cannot be used there, or None if they can.

    They may not be installed, not compile, not start, or not agree with the reference.
    """
    if not installed():
        return NOT_INSTALLED
    for kind, kernel in (("lstm", lstm), ("gru", gru)):
        try:
            difference = disagreement(kind, kernel, device)
        except Exception as error:  # any error of a compiler, a driver or a version
            said = str(error).strip().splitlines() or [""]
            return f"its kernels do not run on {device} ({type(error).__name__}: {said[0]})"
        if difference is not None:
            return f"its {kind.upper()} kernel computes wrong values on {device} ({difference})"
    return None


@contextmanager
def _without_autocast(x: Tensor) -> Iterator[None]:
    """Switch to the device of `x`, and autocast off."""
    device: Any = torch.cuda.device_of
    with torch.autocast(x.device.type, enabled=False), device(x):
        yield


def _launch(name: str, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel of `gpu_loops`, one program for each point of the grid."""
    from seqlrp.lrp.recurrent.kernels import gpu_loops

    # a·b + c with one rounding, as in the library's kernels; explicit, as Triton's default varies
    getattr(gpu_loops, name)[grid](*arguments, enable_fp_fusion=True, **options)


def _library_is_exact() -> bool:
    """Return whether the library multiplies float32 exactly, without rounding to TF32."""
    matmul: Any = torch.backends.cuda.matmul
    try:
        return bool(matmul.fp32_precision != "tf32")
    except AttributeError:  # before torch 2.9
        return not matmul.allow_tf32


def _add_product(z: Tensor, a: Tensor, weight: Tensor) -> Tensor:
    """Add a · weight to z `[N, M]` in float32, without changing the user's choice of TF32."""
    if _library_is_exact():
        return z.addmm_(a, weight)
    rows, columns = z.shape
    _launch(
        "add_product", (_blocks(rows, ROWS), _blocks(columns, COLUMNS)), z, a, weight,
        rows, a.shape[1], columns, *weight.stride(),
        BLOCK_R=ROWS, BLOCK_C=COLUMNS, BLOCK_K=INNER,
    )  # fmt: skip
    return z


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return W x + b, `[N, M]`."""
    start = x.new_zeros(len(weight)) if bias is None else bias
    return _add_product(start.repeat(len(x), 1), x, weight.T)


def _to_float32(*tensors: Tensor | None) -> Any:
    """Convert tensors to contiguous float32, detached from the graph."""
    return (None if t is None else t.detach().float().contiguous() for t in tensors)


def _state(tensor: Tensor) -> Tensor:
    """Return a float32 copy that is updated step by step."""
    return tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _step_order(steps: Steps, reverse: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return first row and number of rows of each step, int64, in the order of a direction."""
    sizes = torch.tensor(steps.sizes)
    both = torch.stack([sizes.cumsum(0) - sizes, sizes])
    first, size = (both.flip(-1) if reverse else both).to(device)
    return first, size


def _epsilon_and_floor(epsilon: float) -> tuple[float, float]:
    """Return ε in float32, and the tiny number that replaces it in quotients if it is 0."""
    tiny = torch.finfo(torch.float32).tiny
    return (0.0, tiny) if epsilon < tiny else (min(epsilon, 1e30), 0.0)


def _added(stabiliser: Stabiliser, x: Tensor, p: Callable[[], Tensor]) -> Tensor:
    """Return the relative part of ε for each row, `[N]`; `p` gives the outputs of the map."""
    if not stabiliser.relative:
        return x.new_zeros(len(x))
    return p().abs().mean(-1).mul_(min(stabiliser.relative, 1e30))


def _candidate(from_x: Tensor, from_h: Tensor) -> Tensor:
    """Return W_in x + b_in + r · (W_hn h + b_hn), `[N, H]`, from both parts of all gates."""
    reset, of_h = from_h.chunk(3, dim=-1)[0], from_h.chunk(3, dim=-1)[2]
    r_x, _, of_x = from_x.chunk(3, dim=-1)
    return (r_x + reset).sigmoid_().mul_(of_h).add_(of_x)


def _blocks(count: int, size: int) -> int:
    """Return the number of blocks of `size` that hold `count` elements."""
    return -(-count // size)


def _backward_blocks(hidden: int) -> dict[str, int]:
    """Return the block sizes of a program of `lstm_backward` and `gru_backward`."""
    units = min(UNITS, max(16, 1 << (hidden - 1).bit_length()))
    warps = 8 if units > 64 else 4
    return {"BLOCK_B": SEQUENCES, "BLOCK_H": units, "BLOCK_K": INNER, "num_warps": warps}


def lstm(run: Direction, *, h: Tensor, account: bool) -> Gammas:
    """Compute the result of `reference.lstm` in float32; `h` `[N, H]` are the library's outputs."""
    x, (h0, c0), weights, steps, reverse, gamma_h, (gamma_hn, gamma_cn), stabiliser = run
    with _without_autocast(x):
        x, h0, c0, h, gamma_h = _to_float32(x, h0, c0, h, gamma_h)
        weights = Weights(*_to_float32(*weights))
        batch, hidden = h0.shape
        w_ig, w_hg, b_ig, b_hg, _ = weights.signal(4)

        both = [b for b in weights[2:4] if b is not None]
        factors = _affine(x, weights.ih, both[0] + both[1] if both else None)
        _add_product(factors, _previous_states(h0, h, steps, reverse), weights.hh.T)
        _launch(
            "lstm_factors", (batch, _blocks(hidden, COLUMNS)),
            factors, c0, *_step_order(steps, reverse, x.device), batch, len(steps.sizes), hidden,
            *_epsilon_and_floor(stabiliser.absolute),
            _added(stabiliser, x, lambda: factors[:, 2 * hidden : 3 * hidden]),
            BLOCK_H=COLUMNS, num_warps=1,
        )  # fmt: skip

        gh, gc = _state(gamma_hn), _state(gamma_cn)
        gamma_p, withheld = torch.empty_like(gamma_h), x.new_empty(len(x))
        _launch(
            "lstm_backward", (_blocks(batch, SEQUENCES),),
            factors, w_hg, gamma_h, gh, gc, gamma_p, withheld,
            *_step_order(steps, not reverse, x.device), len(steps.sizes), hidden,
            ACCOUNT=account, **_backward_blocks(hidden),
        )  # fmt: skip
        gamma_x = _add_product(torch.zeros_like(x), gamma_p, w_ig)
        if not account:
            return Gammas(gamma_x, gh, gc)
        of_ih, of_hh = _bias_share(gamma_p, b_ig), _bias_share(gamma_p, b_hg)
        return Gammas(gamma_x, gh, gc, of_ih, of_hh, withheld)


def _bias_share(gamma: Tensor, bias: Tensor | None) -> Tensor:
    return gamma.new_zeros(len(gamma)) if bias is None else gamma @ bias


def gru(run: Direction, *, h: Tensor, account: bool) -> Gammas:
    """Compute the result of `reference.gru` in float32; `h` `[N, H]` are the library's outputs."""
    x, (h0,), weights, steps, reverse, gamma_h, (gamma_hn,), stabiliser = run
    with _without_autocast(x):
        x, h0, h, gamma_h = _to_float32(x, h0, h, gamma_h)
        weights = Weights(*_to_float32(*weights))
        batch, hidden = h0.shape
        w_in, w_hn, b_in, b_hn, _ = weights.signal(3)

        factors = _affine(x, weights.ih, weights.bias_ih)
        from_h = _affine(_previous_states(h0, h, steps, reverse), weights.hh, weights.bias_hh)
        _launch(
            "gru_factors", (_blocks(len(x), SEQUENCES), _blocks(hidden, COLUMNS)),
            factors, from_h, h, len(x), hidden, *_epsilon_and_floor(stabiliser.absolute),
            _added(stabiliser, x, lambda: _candidate(factors, from_h)),
            BLOCK_R=SEQUENCES, BLOCK_H=COLUMNS,
        )  # fmt: skip

        gh, gamma_u = _state(gamma_hn), torch.empty_like(h0)
        gamma_p = torch.empty_like(gamma_h)
        withheld, bias_share = x.new_empty(len(x)), x.new_empty(len(x))
        _launch(
            "gru_backward", (_blocks(batch, SEQUENCES),),
            factors, from_h, w_hn, x.new_zeros(hidden) if b_hn is None else b_hn, gamma_h, gh,
            gamma_p, gamma_u, withheld, bias_share,
            *_step_order(steps, not reverse, x.device), len(steps.sizes), hidden,
            ACCOUNT=account, **_backward_blocks(hidden),
        )  # fmt: skip
        gamma_x = _add_product(torch.zeros_like(x), gamma_p, w_in)
        if not account:
            return Gammas(gamma_x, gh, None)
        return Gammas(gamma_x, gh, None, _bias_share(gamma_p, b_in), bias_share, withheld)
