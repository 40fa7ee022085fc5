"""The recurrences of `recurrent.py` in float32 on a GPU, with the Triton kernels of `gpu_loops.py`.

The gates come back from the layer's own outputs by one large product of the library, their factors
by one elementwise kernel, and all steps of the way back are one launch. Narrower numbers, as a
forward pass under autocast leaves them, are widened first. Needs Triton, which CUDA builds of torch
bring along on Linux, and is not used without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from seqlrp.lrp.kernels.vectorised import _before
from seqlrp.lrp.recurrent import Gammas, Steps, Weights

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
NOT_INSTALLED = "Triton is not installed: pip install triton"
SEQUENCES, UNITS, INNER = 16, 256, 16  # at most in one block of the way back
ROWS, COLUMNS = 64, 64  # in one block of a product; as many columns in one of factors


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels, on tensors of any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def installed() -> bool:
    """Whether there is a Triton to import."""
    return find_spec("triton") is not None


def obstacle(kind: str, weights: Weights, *inputs: Tensor) -> str | None:
    """Why a layer of this kind with these operands cannot be computed here, or None if it can."""
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
    return _failure(operands[0].device)


@cache
def _failure(device: torch.device) -> str | None:
    """Why no kernel runs on this device: no Triton, no compiler, too old a GPU; found by trying."""
    if not installed():
        return NOT_INSTALLED
    steps = Steps((1,))
    one = torch.ones(1, 1, device=device)
    weights = Weights(one.expand(3, 1).contiguous(), one.expand(3, 1).contiguous())
    try:
        found = gru(one, one, weights, steps, False, one, one, 0.0, h=one, account=False)
        runs = bool(found.x.isfinite().all())
    except Exception as error:  # whatever a compiler, a driver or a version has to say
        said = str(error).strip().splitlines() or [""]
        return f"its kernels do not run on {device} ({type(error).__name__}: {said[0]})"
    return None if runs else f"its kernels compute nothing of use on {device}"


@contextmanager
def _alone(x: Tensor) -> Iterator[None]:
    """On the device of `x`, with autocast off."""
    device: Any = torch.cuda.device_of
    with torch.autocast(x.device.type, enabled=False), device(x):
        yield


def _launch(name: str, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel of `gpu_loops`, a program for each place of the grid."""
    from seqlrp.lrp.kernels import gpu_loops

    # a·b + c in one rounding, as the library's kernels have it; said, since Triton's default varies
    getattr(gpu_loops, name)[grid](*arguments, enable_fp_fusion=True, **options)


def _library_is_exact() -> bool:
    """Whether the library's products of float32 are just that, and not rounded to TF32."""
    matmul: Any = torch.backends.cuda.matmul
    try:
        return bool(matmul.fp32_precision != "tf32")
    except AttributeError:  # before torch 2.9
        return not matmul.allow_tf32


def _add_product(z: Tensor, a: Tensor, weight: Tensor) -> Tensor:
    """z += a · weight, `[N, M]`, with the user's choice of TF32 left as it is and not followed."""
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
    """W x + b, `[N, M]`."""
    start = x.new_zeros(len(weight)) if bias is None else bias
    return _add_product(start.repeat(len(x), 1), x, weight.T)


def _wide(*tensors: Tensor | None) -> Any:
    """The same numbers in float32, in rows without gaps, outside the graph."""
    return (None if t is None else t.detach().float().contiguous() for t in tensors)


def _state(tensor: Tensor) -> Tensor:
    """A float32 copy, to be updated step by step."""
    return tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def _ordered(steps: Steps, reverse: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """First row and number of rows of each step, int64, in the order of a direction."""
    sizes = torch.tensor(steps.sizes)
    both = torch.stack([sizes.cumsum(0) - sizes, sizes])
    first, size = (both.flip(-1) if reverse else both).to(device)
    return first, size


def _stable(epsilon: float) -> tuple[float, float]:
    """ε as float32 has it, and what stands in for it in quotients where it is 0."""
    tiny = torch.finfo(torch.float32).tiny
    return (0.0, tiny) if epsilon < tiny else (min(epsilon, 1e30), 0.0)


def _blocks(count: int, size: int) -> int:
    """How many blocks of a size hold so many."""
    return -(-count // size)


def _way_back(hidden: int) -> dict[str, int]:
    """The block of one program of `lstm_backward` and `gru_backward`."""
    units = min(UNITS, max(16, 1 << (hidden - 1).bit_length()))
    warps = 8 if units > 64 else 4
    return {"BLOCK_B": SEQUENCES, "BLOCK_H": units, "BLOCK_K": INNER, "num_warps": warps}


def lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    gamma_h: Tensor,
    gamma_hn: Tensor,
    gamma_cn: Tensor,
    epsilon: float,
    *,
    h: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.lstm`, in float32; `h` `[N, H]`, the outputs, as the library gave them."""
    with _alone(x):
        x, h0, c0, h, gamma_h = _wide(x, h0, c0, h, gamma_h)
        weights = Weights(*_wide(*weights))
        batch, hidden = h0.shape
        w_ig, w_hg = weights.ih.chunk(4)[2], weights.hh.chunk(4)[2]
        b_ig, b_hg = (None if b is None else b.chunk(4)[2] for b in weights[2:4])

        both = [b for b in weights[2:4] if b is not None]
        factors = _affine(x, weights.ih, both[0] + both[1] if both else None)
        _add_product(factors, _before(h0, h, steps, reverse), weights.hh.T)
        _launch(
            "lstm_factors", (batch, _blocks(hidden, COLUMNS)),
            factors, c0, *_ordered(steps, reverse, x.device), batch, len(steps.sizes), hidden,
            *_stable(epsilon), BLOCK_H=COLUMNS, num_warps=1,
        )  # fmt: skip

        gh, gc = _state(gamma_hn), _state(gamma_cn)
        gamma_p, stabiliser = torch.empty_like(gamma_h), x.new_empty(len(x))
        _launch(
            "lstm_backward", (_blocks(batch, SEQUENCES),),
            factors, w_hg, gamma_h, gh, gc, gamma_p, stabiliser,
            *_ordered(steps, not reverse, x.device), len(steps.sizes), hidden,
            ACCOUNT=account, **_way_back(hidden),
        )  # fmt: skip
        gamma_x = _add_product(torch.zeros_like(x), gamma_p, w_ig)
        if not account:
            return Gammas(gamma_x, gh, gc)
        of_ih, of_hh = _bias_share(gamma_p, b_ig), _bias_share(gamma_p, b_hg)
        return Gammas(gamma_x, gh, gc, of_ih, of_hh, stabiliser)


def _bias_share(gamma: Tensor, bias: Tensor | None) -> Tensor:
    return gamma.new_zeros(len(gamma)) if bias is None else gamma @ bias


def gru(
    x: Tensor,
    h0: Tensor,
    weights: Weights,
    steps: Steps,
    reverse: bool,
    gamma_h: Tensor,
    gamma_hn: Tensor,
    epsilon: float,
    *,
    h: Tensor,
    account: bool,
) -> Gammas:
    """As `recurrent.gru`, in float32; `h` `[N, H]`, the outputs, as the library gave them."""
    with _alone(x):
        x, h0, h, gamma_h = _wide(x, h0, h, gamma_h)
        weights = Weights(*_wide(*weights))
        batch, hidden = h0.shape
        w_in, w_hn = weights.ih.chunk(3)[2], weights.hh.chunk(3)[2]
        b_in, b_hn = (None if b is None else b.chunk(3)[2] for b in weights[2:4])

        factors = _affine(x, weights.ih, weights.bias_ih)
        from_h = _affine(_before(h0, h, steps, reverse), weights.hh, weights.bias_hh)
        _launch(
            "gru_factors", (_blocks(len(x), SEQUENCES), _blocks(hidden, COLUMNS)),
            factors, from_h, h, len(x), hidden, *_stable(epsilon),
            BLOCK_R=SEQUENCES, BLOCK_H=COLUMNS,
        )  # fmt: skip

        gh, gamma_u = _state(gamma_hn), torch.empty_like(h0)
        gamma_p = torch.empty_like(gamma_h)
        stabiliser, bias_share = x.new_empty(len(x)), x.new_empty(len(x))
        _launch(
            "gru_backward", (_blocks(batch, SEQUENCES),),
            factors, from_h, w_hn, x.new_zeros(hidden) if b_hn is None else b_hn, gamma_h, gh,
            gamma_p, gamma_u, stabiliser, bias_share,
            *_ordered(steps, not reverse, x.device), len(steps.sizes), hidden,
            ACCOUNT=account, **_way_back(hidden),
        )  # fmt: skip
        gamma_x = _add_product(torch.zeros_like(x), gamma_p, w_in)
        if not account:
            return Gammas(gamma_x, gh, None)
        return Gammas(gamma_x, gh, None, _bias_share(gamma_p, b_in), bias_share, stabiliser)
