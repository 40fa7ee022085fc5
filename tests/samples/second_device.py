"""A second device that needs no hardware: it computes, and refuses to mix with the CPU.

A tensor of it holds a tensor of the CPU. Every operation of PyTorch is run on what is held; where
another tensor is on the CPU, it raises as CUDA does, and only `.cpu()` and `.to("cpu")` bring a
value back. It is called "meta", the one device that every build of PyTorch knows and whose backward
pass needs no hardware. So code that forgets to make a tensor on the device of its operands fails
here as it would on a GPU. Kernels of a GPU, streams and memory are not simulated.
"""

# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from seqlrp.engine.nests import map_tensors, tensors_in

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
_aten = torch.ops.aten
_COPIES = (_aten._to_copy.default, _aten.copy_.default)
# What takes an index, or lengths, from the CPU on CUDA, too, and the place of that argument.
_FROM_THE_CPU = {
    "aten::index": (1,), "aten::index_put": (1,), "aten::index_put_": (1,),
    "aten::_pack_padded_sequence": (1,), "aten::_pad_packed_sequence": (1,),
    "aten::_index_put_impl_": (1,),
}  # fmt: skip
_SIZES_ON_THE_CPU = ("aten::_pack_padded_sequence", "aten::_pad_packed_sequence")


class There(Tensor):
    """A tensor of the second device."""

    held: Tensor
    is_meta = False  # it has values
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=DEVICE,
        )  # fmt: skip
        made.held = held
        return made  # type: ignore[no-any-return]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    there = any(isinstance(t, There) for t in tensors_in((args, kwargs)))
    wanted = kwargs.get("device")
    if there and func not in _COPIES:
        _check_devices(func, args, kwargs)
    args_held, kwargs_held = map_tensors((args, kwargs), _held)
    if wanted is not None:
        kwargs_held["device"] = CPU
    result = func(*args_held, **kwargs_held)
    schema = func._schema
    if schema.returns and all(r.alias_info is not None and r.alias_info.is_write
                              for r in schema.returns):  # fmt: skip
        return kwargs["out"] if "out" in kwargs else args[0]
    if not (there if wanted is None else torch.device(wanted).type == DEVICE.type):
        return result
    if schema.name in _SIZES_ON_THE_CPU:
        return There(result[0]), result[1]
    return map_tensors(result, lambda r: There(r) if type(r) is Tensor else r)


def _check_devices(func: Any, args: Any, kwargs: Any) -> None:
    if func._schema.name in _SIZES_ON_THE_CPU and isinstance(args[1], There):
        raise RuntimeError(f"{func}: lengths and sizes of batches must be on the CPU")
    allowed = _FROM_THE_CPU.get(func._schema.name, ())
    checked = [a for k, a in enumerate(args) if k not in allowed]
    for tensor in tensors_in((checked, kwargs)):
        if not isinstance(tensor, There) and tensor.ndim:
            raise RuntimeError(f"{func}: a tensor on the CPU beside one on the second device")


def _held(value: Any) -> Any:
    if isinstance(value, There):
        return value.held
    if isinstance(value, Tensor) and value.device.type == DEVICE.type:
        raise NotImplementedError("PyTorch made a tensor without values, as of a list as an index")
    return value


def to_device(tensor: Tensor) -> Tensor:
    """Return a tensor of the second device with these values."""
    return There(tensor.detach().clone())


@contextmanager
def second_device() -> Iterator[None]:
    """Let `device="meta"` be the second device."""
    autocast, tolist, storage, pointer, new_tensor = (
        torch.autocast, Tensor.tolist, Tensor.untyped_storage, Tensor.data_ptr, Tensor.new_tensor,
    )  # fmt: skip

    def on_the_device(make: Any) -> Any:
        """Return what makes a tensor from numbers; PyTorch leaves those of "meta" without any."""

        def made(*args: Any, **options: Any) -> Any:
            device = options.pop("device", None)
            if device is None and args and isinstance(args[0], There) and make is new_tensor:
                device = DEVICE
            wanted = device is not None and torch.device(device).type == DEVICE.type
            result = make(*map(_held, args), **options, device=CPU if wanted else device)
            return There(result) if wanted else result

        return made

    def known_autocast(kind: str, *args: Any, **options: Any) -> Any:
        return autocast("cpu" if kind == DEVICE.type else kind, *args, **options)

    with (
        patch.object(torch, "autocast", known_autocast),
        patch.object(torch, "tensor", on_the_device(torch.tensor)),
        patch.object(torch, "as_tensor", on_the_device(torch.as_tensor)),
        patch.object(Tensor, "new_tensor", on_the_device(new_tensor)),
        patch.object(Tensor, "tolist", lambda t: tolist(_held(t))),
        patch.object(Tensor, "untyped_storage", lambda t: storage(_held(t))),
        patch.object(Tensor, "data_ptr", lambda t: pointer(_held(t))),
        _Mode(),
    ):
        yield
