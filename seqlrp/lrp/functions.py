"""Names for torch functions: one function has many spellings, the laws know families.

`torch.mul`, `Tensor.mul`, `*`, `mul_`, `Tensor.__rmul__` are one function to a reader and five
objects to a torch function mode. Each is known here by one name: that of the family.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.marks import tensors_in

_NAMESPACES = (torch, Tensor, F, torch._C._nn, torch._VF, torch.special, torch.linalg)
_SPELLINGS: dict[Any, str] = {}
_IN_PLACE: set[Any] = set()


def family(name: str, *aliases: str) -> str:
    """Know every spelling of a function, its operator and in-place forms included, by `name`."""
    for spelling in (name, *aliases):
        for namespace in _NAMESPACES:
            operator = () if spelling in ("float", "int", "long", "index") else (f"__{spelling}__",)
            for form in (spelling, *operator):
                function = getattr(namespace, form, None)
                if function is not None:
                    _SPELLINGS.setdefault(function, name)
            for form in (f"{spelling}_", f"__i{spelling}__"):
                function = getattr(namespace, form, None)
                if function is not None and not spelling.startswith("_"):
                    _SPELLINGS.setdefault(function, name)
                    _IN_PLACE.add(function)
    return name


def families(names: Iterable[str]) -> frozenset[str]:
    """Several functions without aliases."""
    return frozenset(family(name) for name in names)


# Asked of a tensor, not of its values.
QUESTIONS = families(
    (
        "size", "dim", "numel", "nelement", "stride", "is_contiguous", "element_size",
        "is_floating_point", "is_complex", "get_device", "len", "ndimension", "storage_offset",
        "is_pinned",
    )
) | frozenset(
    (
        ".shape", ".dtype", ".device", ".ndim", ".is_cuda", ".layout", ".requires_grad",
        ".is_leaf", ".is_sparse", ".is_quantized", ".itemsize", ".nbytes", ".is_nested", ".is_mps",
        ".is_cpu", ".is_meta", ".is_mkldnn",
    )
)  # fmt: skip


def is_question(function: Any) -> bool:
    """Whether a function only asks about shape, dtype, device and the like."""
    try:
        return _is_question(function)
    except TypeError:  # unhashable
        return False


@functools.cache
def _is_question(function: Any) -> bool:
    return spelled(function) in QUESTIONS


def spelled(function: Any) -> str | None:
    """The family of a torch function, or None if it belongs to none."""
    if getattr(function, "__name__", "") in ("__get__", "__set__"):
        attribute = getattr(function.__self__, "__name__", "?")
        return f".{attribute}" if function.__name__ == "__get__" else f".{attribute}="
    try:
        return _SPELLINGS.get(function)
    except TypeError:  # unhashable
        return None


def works_in_place(function: Any) -> bool:
    """Whether a spelling changes its first argument."""
    return function in _IN_PLACE


_FIRST = ("input", "self", "tensors", "sequences")
_SECOND = ("other", "mat2", "vec", "mat1", "batch1", "tensor1")
_THIRD = ("batch2", "tensor2")


def arranged(function: Any, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments in one order: values first, by position, however the model named them."""
    name = spelled(function)
    args, kwargs = list(args), dict(kwargs)
    if function is Tensor.where:  # x.where(c, y) is where(c, x, y)
        args[:2] = [args[1], args[0]] if len(args) > 1 else [kwargs.pop("condition"), args[0]]
    if name == "where":
        order: tuple[tuple[str, ...], ...] = (("condition",), ("input", "self"), ("other",))
    elif name in _BY_NAME:
        return tuple(args), kwargs
    else:
        three = ("addmm", "addmv", "baddbmm", "addcmul")
        order = (_FIRST, _SECOND, ("mat2", "vec", *_THIRD)) if name in three else (_FIRST, _SECOND)
    if "axis" in kwargs:
        kwargs["dim"] = kwargs.pop("axis")
    for place, names in enumerate(order):
        for key in names:
            if key in kwargs and len(args) == place:
                args.append(kwargs.pop(key))
    return tuple(args), kwargs


family("embedding")
family("embedding_bag")

# Functions whose laws read their arguments by name.
_BY_NAME = (
    "linear", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "embedding", "bilinear",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm", "normalize",
    "cosine_similarity", "scaled_dot_product_attention", "multi_head_attention_forward",
)  # fmt: skip


def full_name(function: Any) -> str:
    """A name to print, such as `torch.Tensor.cumprod`."""
    try:
        return _full_name(function)
    except TypeError:  # unhashable
        return str(function)


@functools.cache
def _full_name(function: Any) -> str:
    resolved = torch.overrides.resolve_name(function)
    if resolved:
        return (
            str(resolved).replace("torch.nn.functional", "F").replace("torch.functional", "torch")
        )
    return str(getattr(function, "__qualname__", None) or getattr(function, "__name__", function))


def _setitem(base: Tensor, index: Any, value: Any) -> Tensor:
    changed = base.clone()
    changed[index] = value
    return changed


def _permute(tensor: Tensor, *order: Any, dims: Any = ()) -> Tensor:
    return tensor.permute(*(order or dims))


def _pad(tensor: Tensor, pad: Any, mode: str = "constant", value: Any = None) -> Tensor:
    if mode == "constant":
        return F.pad(tensor, pad, mode, value)
    return F.pad(tensor.double(), pad, mode).to(tensor.dtype)  # has no integers in these modes


def _alias(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return tensor


# Functions that only move, repeat or drop values, each with how to do that to other values.
MOVES: dict[str, Callable[..., Any]] = {
    family("view"): Tensor.reshape,
    family("reshape"): Tensor.reshape,
    family("view_as"): Tensor.reshape_as,
    family("reshape_as"): Tensor.reshape_as,
    family("flatten", "ravel"): torch.flatten,
    family("unflatten"): Tensor.unflatten,
    family("squeeze"): torch.squeeze,
    family("unsqueeze"): torch.unsqueeze,
    family("transpose", "swapaxes", "swapdims"): torch.transpose,
    family("t"): torch.t,
    ".T": lambda x: x.T,
    ".mT": lambda x: x.mT,
    ".H": lambda x: x.T,
    ".mH": lambda x: x.mT,
    family("permute"): _permute,
    family("movedim", "moveaxis"): torch.movedim,
    family("expand"): Tensor.expand,
    family("expand_as"): Tensor.expand_as,
    family("broadcast_to"): torch.broadcast_to,
    family("repeat"): Tensor.repeat,
    family("repeat_interleave"): torch.repeat_interleave,
    family("tile"): Tensor.tile,
    family("contiguous"): Tensor.contiguous,
    family("clone"): torch.clone,
    family("chunk"): torch.chunk,
    family("split"): torch.split,
    family("tensor_split"): torch.tensor_split,
    family("unbind"): torch.unbind,
    family("narrow"): torch.narrow,
    family("select"): torch.select,
    family("getitem"): Tensor.__getitem__,
    family("setitem"): _setitem,
    family("index_select"): torch.index_select,
    family("gather"): torch.gather,
    family("take_along_dim"): torch.take_along_dim,
    family("masked_select"): torch.masked_select,
    family("flip"): Tensor.flip,
    family("fliplr"): torch.fliplr,
    family("roll"): Tensor.roll,
    family("unfold"): Tensor.unfold,
    family("cat", "concat", "concatenate"): torch.cat,
    family("stack"): torch.stack,
    family("hstack"): torch.hstack,
    family("vstack", "row_stack"): torch.vstack,
    family("where"): torch.where,
    family("index_put"): torch.index_put,
    family("index_copy"): torch.index_copy,
    family("scatter"): torch.scatter,
    family("masked_fill"): torch.masked_fill,
    family("pad", "constant_pad_nd"): _pad,
    family("pad_sequence"): torch._C._nn.pad_sequence,
    family("_pack_padded_sequence"): torch._VF._pack_padded_sequence,
    family("_pad_packed_sequence"): torch._VF._pad_packed_sequence,
    family("to"): _alias,
    family("type_as"): _alias,
    **dict.fromkeys(
        families(("cpu", "cuda", "long", "int", "float", "double", "half", "bfloat16")), _alias
    ),
}

_SPELLINGS.pop(F.unfold)  # it shares a name with `Tensor.unfold`, and is another function

# Which arguments are values (moved along), and not dimensions, indices or masks.
_VALUE_ARGUMENTS: dict[str, tuple[tuple[int, str], ...]] = {
    "cat": ((0, "tensors"),),
    "stack": ((0, "tensors"),),
    "hstack": ((0, "tensors"),),
    "vstack": ((0, "tensors"),),
    "pad_sequence": ((0, "sequences"), (2, "padding_value")),
    "where": ((1, "input"), (2, "other")),
    "masked_fill": ((0, "input"), (2, "value")),
    "setitem": ((0, "input"), (2, "value")),
    "index_put": ((0, "input"), (2, "values")),
    "index_copy": ((0, "input"), (3, "source")),
    "scatter": ((0, "input"), (3, "src"), (3, "value")),
    "pad": ((0, "input"), (3, "value")),
    "_pad_packed_sequence": ((0, "data"), (3, "padding_value")),
}
# Values that are filled in where nothing is said.
_FILLS = {"pad": "value", "pad_sequence": "padding_value"}

# On ids, elementwise functions that leave each one where it is.
family("floor_divide", "floordiv")
family("bitwise_xor", "xor")
family("bitwise_and", "and")
family("bitwise_or", "or")
ELEMENTWISE_ON_IDS = families(
    (
        "clamp", "clip", "add", "sub", "mul", "remainder", "fmod", "clamp_min", "clamp_max",
        "floor_divide", "bitwise_and", "bitwise_or", "bitwise_xor", "detach", "where",
        "masked_fill",
    )
)  # fmt: skip


def values_in(name: str, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors among the arguments of a function of `MOVES` whose values it moves."""
    places = _VALUE_ARGUMENTS.get(name, ((0, "input"),))
    found: list[Tensor] = []
    for index, key in places:
        value = args[index] if index < len(args) else kwargs.get(key)
        found += [t for t in tensors_in(value) if all(t is not other for other in found)]
    return found


def values_of(
    name: str, args: Any, kwargs: Any, numbers: Callable[[Tensor], Tensor | None]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a function of `MOVES` with each value replaced by its number.

    `numbers` gives an integer tensor for a tensor that has one; other values get `NOBODY`.
    """

    def replaced(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(replaced(item) for item in value)
        if isinstance(value, Tensor):
            number = numbers(value)
            return _nobody(value) if number is None else number
        return NOBODY if isinstance(value, (int, float)) else value

    def passed(value: Any) -> Any:
        if isinstance(value, Tensor):
            number = numbers(value)
            return value if number is None else number
        return value

    places = _VALUE_ARGUMENTS.get(name, ())
    new_args = [passed(a) for a in args]
    new_kwargs = {key: passed(a) for key, a in kwargs.items()}
    for index, key in places:
        if index < len(args):
            new_args[index] = replaced(args[index])
        elif kwargs.get(key) is not None:
            new_kwargs[key] = replaced(kwargs[key])
        elif _FILLS.get(name) == key:
            new_kwargs[key] = NOBODY
    return tuple(new_args), new_kwargs


def _nobody(value: Tensor) -> Tensor:
    return torch.full((), NOBODY, dtype=torch.int64, device=value.device).expand(value.shape)
