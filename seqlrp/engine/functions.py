"""The catalogue: the name and the kind of each torch function, shared by all methods.

`torch.mul`, `Tensor.mul`, `*`, `mul_`, `Tensor.__rmul__` are one function to a reader and five
objects to a torch function mode. The catalogue gives them one name and a kind. A method has a law
for each kind. To add a torch function, add its name to one line below: every method then applies
the law of its kind, or refuses it by name.
"""

from __future__ import annotations

import functools
from ast import literal_eval
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqlrp.engine.nests import map_tensors


class Kind(Enum):
    """The kinds of torch functions."""

    LINEAR = auto()  # W x + b
    CONVOLUTION = auto()  # a linear map whose weights are shared
    PRODUCT = auto()  # a · b, element by element
    MATRIX_PRODUCT = auto()  # a @ b
    EINSUM = auto()
    TENSOR_PRODUCT = auto()  # other products of two tensors
    ADDED_PRODUCT = auto()  # a product and a sum in one call
    PRODUCT_OVER = auto()  # of all elements along a dimension
    QUOTIENT = auto()  # a / b
    SUM = auto()  # a + b, a - b
    NEGATION = auto()
    ACTIVATION = auto()  # y = f(x) for each element, with f(0) = 0
    GATE = auto()  # f between 0 and 1, as a sigmoid
    SOFTPLUS = auto()  # f > 0, for x of any sign
    EXPONENTIAL = auto()
    LOGARITHM = auto()
    POWER = auto()  # x ** n and similar functions
    INVERSE = auto()  # 1 / x, 1 / √x
    CLAMP = auto()  # to bounds
    ELEMENTWISE = auto()  # any other f
    COMPOSED = auto()  # written as simpler functions in `decompositions`, unless a law is named
    NORMALISATION = auto()  # likewise: centred, scaled, or both
    SIZE = auto()  # likewise: norms and variances, by which something is scaled
    REDUCTION = auto()  # sums and means over dimensions
    RUNNING_SUM = auto()
    RUNNING = auto()  # other functions of all elements up to each, along a dimension
    EXTREME = auto()  # the largest or smallest along dimensions
    LARGER = auto()  # the larger or smaller of two tensors
    ORDER = auto()  # sorted by value
    AVERAGE_POOLING = auto()
    MAX_POOLING = auto()
    RECURRENCE = auto()  # a whole recurrent layer
    CELL = auto()  # one step of one
    MOVE = auto()  # moves, repeats or drops values
    DIAGONAL = auto()  # reads a diagonal or makes a matrix of it
    CAST = auto()  # changes dtype or device
    ASSIGNMENT = auto()  # x[index] = value
    COPY = auto()  # x.copy_(y)
    SAME = auto()  # about gradients, not about values
    DROPOUT = auto()
    QUESTION = auto()  # reads the shape or dtype of a tensor, not its values
    ANSWER = auto()  # a comparison, an arg max, a new tensor of this shape: it passes no value on
    COUNT = auto()  # counts values that are not zero
    INTEGER = auto()  # arithmetic of whole numbers and of truth values
    FILL = auto()  # every element gets one value
    LOOKUP = auto()  # reads rows of a table by ids
    RANDOM = auto()  # gives other results from call to call


# Each name stands for `torch.name`, `Tensor.name`, `F.name`, `name_`, `__name__` and `__iname__`;
# aliases follow it after bars. A name that begins with a dot is an attribute of a tensor.
_CATALOGUE: dict[Kind, str] = {
    Kind.LINEAR: "linear",
    Kind.CONVOLUTION: "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    Kind.PRODUCT: "mul|multiply|rmul",
    Kind.MATRIX_PRODUCT: "matmul|mm|bmm|mv|dot|rmatmul",
    Kind.EINSUM: "einsum",
    Kind.TENSOR_PRODUCT: "outer|ger inner tensordot kron",
    Kind.ADDED_PRODUCT: "addmm|addmv|baddbmm addcmul",
    Kind.PRODUCT_OVER: "prod",
    Kind.QUOTIENT: "div|divide|true_divide|truediv|rdiv|rtruediv",
    Kind.SUM: "add|radd sub|subtract|rsub",
    Kind.NEGATION: "neg|negative",
    Kind.ACTIVATION: """tanh relu leaky_relu elu selu celu gelu silu mish hardtanh relu6 hardswish
        softsign tanhshrink hardshrink softshrink prelu abs absolute atan arctan sin sinh asinh
        arcsinh erf expm1 log1p nan_to_num""",
    Kind.GATE: "sigmoid hardsigmoid expit",
    Kind.SOFTPLUS: "softplus",
    Kind.EXPONENTIAL: "exp logsigmoid",
    Kind.LOGARITHM: "log",
    Kind.POWER: "sqrt square pow",
    Kind.INVERSE: "rsqrt reciprocal",
    Kind.CLAMP: "clamp clip clamp_min clamp_max",
    Kind.ELEMENTWISE: "cos tan cosh erfc exp2 log2 log10 rpow threshold logit",
    Kind.COMPOSED: """softmax log_softmax softmin logsumexp logaddexp glu lerp addcdiv bilinear diff
        index_add scatter_add scatter_reduce segment_reduce tril triu cosine_similarity
        multi_dot chain_matmul pixel_shuffle pixel_unshuffle channel_shuffle|native_channel_shuffle
        im2col col2im|fold max_unpool1d max_unpool2d
        scaled_dot_product_attention multi_head_attention_forward""",
    Kind.NORMALISATION: "layer_norm rms_norm batch_norm group_norm instance_norm normalize",
    Kind.SIZE: "norm vector_norm std var",
    Kind.REDUCTION: "sum mean",
    Kind.RUNNING_SUM: "cumsum",
    Kind.RUNNING: "cumprod logcumsumexp cummax cummin",
    Kind.EXTREME: "max min amax amin",
    Kind.LARGER: "maximum minimum fmax fmin",
    Kind.ORDER: "topk sort",
    Kind.AVERAGE_POOLING:
        "avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d interpolate|upsample",
    Kind.MAX_POOLING: """max_pool1d|max_pool1d_with_indices max_pool2d|max_pool2d_with_indices
        adaptive_max_pool1d|adaptive_max_pool1d_with_indices
        adaptive_max_pool2d|adaptive_max_pool2d_with_indices""",
    Kind.RECURRENCE: "lstm gru rnn_tanh rnn_relu",
    Kind.CELL: "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    Kind.MOVE: """view reshape view_as reshape_as flatten|ravel unflatten squeeze unsqueeze
        transpose|swapaxes|swapdims t .T .mT .H .mH permute movedim|moveaxis expand expand_as
        broadcast_to repeat repeat_interleave tile clone chunk|unsafe_chunk split|unsafe_split
        tensor_split unbind narrow select_scatter slice_scatter index_fill select getitem
        index_select gather take_along_dim masked_select flip|reversed fliplr roll
        unfold cat|concat|concatenate stack hstack vstack|row_stack where index_put index_copy
        scatter masked_fill diagonal rot90 pad|constant_pad_nd pad_sequence _pack_padded_sequence
        _pad_packed_sequence take int long""",
    Kind.DIAGONAL: "diag",
    Kind.CAST: "to type type_as cpu cuda float double half bfloat16 contiguous",
    Kind.ASSIGNMENT: "setitem",
    Kind.COPY: "copy",
    Kind.SAME: "detach requires_grad as_tensor positive|pos .data",
    Kind.DROPOUT: """dropout alpha_dropout feature_dropout feature_alpha_dropout dropout1d dropout2d
        dropout3d""",
    Kind.QUESTION: """size dim numel nelement stride is_contiguous element_size is_floating_point
        is_complex get_device len ndimension storage_offset is_pinned .shape .dtype .device .ndim
        .is_cuda .layout .requires_grad .is_leaf .is_sparse .is_quantized .itemsize .nbytes
        .is_nested .is_mps .is_cpu .is_meta .is_mkldnn""",
    Kind.ANSWER: """eq ne lt le gt ge greater less isnan isinf isfinite argmax argmin argsort
        allclose equal zeros_like ones_like empty_like full_like new_zeros new_ones new_full
        new_empty empty new_tensor result_type repr str format hash .grad .grad_fn .names
        _nested_tensor_from_mask_left_aligned""",  # the last: is padding right?
    Kind.COUNT: "count_nonzero nonzero",
    Kind.INTEGER: """remainder fmod floor_divide|floordiv bitwise_xor|xor bitwise_and|and
        bitwise_or|or bitwise_not|invert bitwise_left_shift|lshift bitwise_right_shift|rshift
        logical_not logical_and logical_or logical_xor sign|sgn floor ceil round trunc isin
        bucketize searchsorted""",
    Kind.FILL: "fill zero",
    Kind.LOOKUP: "embedding embedding_bag",
}  # fmt: skip

# Functions with arguments that are read by name, in positional order.
_SIGNATURES: dict[str, str] = {
    "linear": "input weight bias",
    **dict.fromkeys(_CATALOGUE[Kind.CONVOLUTION].split(), "input weight bias"),
    "bilinear": "input1 input2 weight bias",
    "diff": "input n=1 dim=-1 prepend append",
    "index_add": "input dim index source alpha=1",
    "scatter_add": "input dim index src",
    "scatter_reduce": "input dim index src reduce include_self=True",
    "segment_reduce": "data reduce lengths indices offsets axis=0 unsafe=False initial",
    "tensordot": "a b dims=2",
    "col2im": "input output_size kernel_size dilation=1 padding=0 stride=1",
    **dict.fromkeys(("tril", "triu"), "input diagonal=0"),
    "layer_norm": "input normalized_shape weight bias eps=1e-5",
    "rms_norm": "input normalized_shape weight eps",
    "batch_norm": "input running_mean running_var weight bias training momentum eps=1e-5",
    "group_norm": "input num_groups weight bias eps=1e-5",
    "instance_norm":
        "input running_mean running_var weight bias use_input_stats=True momentum eps=1e-5",
    "normalize": "input p=2.0 dim=1 eps=1e-12",
    "cosine_similarity": "x1 x2 dim=1 eps=1e-8",
    "embedding": "input weight padding_idx max_norm norm_type=2.0",
    "scaled_dot_product_attention":
        "query key value attn_mask dropout_p=0.0 is_causal=False scale enable_gqa=False",
    "multi_head_attention_forward":
        "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v "
        "add_zero_attn=False dropout_p=0.0 out_proj_weight out_proj_bias training=True "
        "key_padding_mask need_weights=True attn_mask use_separate_proj_weight=False "
        "q_proj_weight k_proj_weight v_proj_weight static_k static_v average_attn_weights=True "
        "is_causal=False",
    **dict.fromkeys(_CATALOGUE[Kind.CELL].split(), "input hx w_ih w_hh b_ih b_hh"),
}  # fmt: skip

# They share a name with a function of nn.functional or Tensor, but take other arguments.
_OTHERS = (F.unfold, torch.batch_norm, torch.instance_norm)

_RANDOM: dict[Any, str] = {
    torch: """rand randn randint randperm rand_like randn_like randint_like normal bernoulli
        multinomial poisson""",
    Tensor: """normal_ uniform_ bernoulli bernoulli_ exponential_ random_ multinomial cauchy_
        log_normal_ geometric_""",
    F: "gumbel_softmax rrelu",
    torch.nn.init: """normal_ uniform_ kaiming_normal_ kaiming_uniform_ xavier_normal_
        xavier_uniform_ trunc_normal_ orthogonal_""",
}


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A torch function of the catalogue.

    Attributes:
        name: the name that all of its forms share.
        kind: its kind.
        in_place: whether this form writes its result over its first argument.
    """

    name: str
    kind: Kind
    in_place: bool = False


class Call(NamedTuple):
    """One call of a torch function, with its arguments ordered by `arrange`.

    Attributes:
        function: the function in the form that the model called.
        name: its name in the catalogue; "" for one that is not in it.
        args: positional arguments, values first.
        kwargs: keyword arguments.
    """

    function: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def evaluate(self, change: Callable[[Tensor], Any]) -> Any:
        """Call the function after applying `change` to each tensor among its arguments."""
        args, kwargs = map_tensors((self.args, self.kwargs), change)
        return self.function(*args, **kwargs)

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument by position or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def arguments(self, *names: str) -> list[Any]:
        """Return arguments of a function, or PyTorch's defaults if left out.

        Raises:
            LookupError: an argument is not in `_SIGNATURES`.
        """
        defaults = _signature(self.name)
        for name in names:
            if name not in defaults:
                raise LookupError(f"Add {name!r} to the signature of {self.name!r} (_SIGNATURES).")
        given = dict(zip(defaults, self.args, strict=False)) | self.kwargs
        return [given.get(name, defaults.get(name)) for name in names]

    def without(self, *names: str) -> Call:
        """Return this call with None for some of its arguments."""
        places = list(_signature(self.name))
        args = tuple(
            None if name in names else value for name, value in zip(places, self.args, strict=False)
        )
        kwargs = {name: None if name in names else v for name, v in self.kwargs.items()}
        return self._replace(args=args, kwargs=kwargs)


NAMES: dict[str, Function] = {}
_FUNCTIONS: dict[Any, Function] = {}
_NAMESPACES = (torch, Tensor, F, torch._C._nn, torch._VF, torch.special, torch.linalg)


def _register(kind: Kind, name: str, *aliases: str) -> None:
    """Enter every form of a function into the catalogue."""
    plain, in_place = Function(name, kind), Function(name, kind, in_place=True)
    NAMES[name] = plain
    if name.startswith("."):
        attribute = getattr(Tensor, name[1:], None)
        if attribute is not None:
            _FUNCTIONS.setdefault(attribute.__get__, plain)
        return
    for alias in (name, *aliases):
        # `Tensor.__int__` and similar methods convert a tensor to a Python number.
        operator = () if alias in ("float", "int", "long", "index") else (f"__{alias}__",)
        for namespace in _NAMESPACES:
            for form in (alias, *operator):
                function = getattr(namespace, form, None)
                if function is not None and function not in _OTHERS:
                    _FUNCTIONS.setdefault(function, plain)
            for form in (f"{alias}_", f"__i{alias}__"):
                function = getattr(namespace, form, None)
                if function is not None and not alias.startswith("_"):
                    _FUNCTIONS.setdefault(function, in_place)


for _namespace, _names in _RANDOM.items():
    for _name in _names.split():
        _FUNCTIONS[getattr(_namespace, _name)] = Function(_name, Kind.RANDOM)
for _kind, _names in _CATALOGUE.items():
    for _name in _names.split():
        _register(_kind, *_name.split("|"))
_FUNCTIONS[F.unfold] = NAMES["im2col"]  # Tensor.unfold is another function


def identify(function: Any) -> Function | None:
    """Return the catalogue's entry for a torch function in any of its forms, or None."""
    try:
        return _FUNCTIONS.get(function)
    except TypeError:  # unhashable
        return None


def function_name(function: Any) -> str | None:
    """Return the name of a torch function in the catalogue, or None if it is not there."""
    entry = identify(function)
    return None if entry is None else entry.name


def names_of_kind(*kinds: Kind) -> frozenset[str]:
    """Return the names of all functions of some kinds."""
    return frozenset(entry.name for entry in NAMES.values() if entry.kind in kinds)


def forms_in_place() -> tuple[Function, ...]:
    """Return the entries of all forms that write their result over their first argument."""
    return tuple({entry.name: entry for entry in _FUNCTIONS.values() if entry.in_place}.values())


def random_functions() -> tuple[str, ...]:
    """Return printable names of the functions that draw random numbers."""
    random = (f for f, entry in _FUNCTIONS.items() if entry.kind is Kind.RANDOM)
    return tuple(sorted({full_name(function) for function in random}))


@functools.cache
def out_of_place(name: str) -> Any:
    """Return the form of a function that returns a new tensor, by its name, or None."""
    for namespace in (torch, F, Tensor, torch.special):
        function = getattr(namespace, name, None)
        if function is not None and function_name(function) == name:
            return function
    return None


def full_name(function: Any) -> str:
    """Return a printable name, such as `torch.Tensor.cumprod`."""
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
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", function))
    return name.replace("_VariableFunctionsClass", "torch")


@functools.cache
def _signature(name: str) -> dict[str, Any]:
    """Return the names of a function's arguments, in order, with their defaults."""
    parts = (part.partition("=") for part in _SIGNATURES.get(name, "").split())
    return {name: literal_eval(default) if default else None for name, _, default in parts}


_FIRST = ("input", "self", "tensors", "sequences")
_SECOND = ("other", "mat2", "vec")
_WHERE = (("condition",), ("input", "self"), ("other",))
_ADDED_PRODUCT = (
    ("input", "self"),
    ("mat1", "mat", "batch1", "tensor1"),
    ("mat2", "vec", "batch2", "tensor2"),
)


def arrange(function: Callable[..., Any], entry: Function | None, args: Any, kwargs: Any) -> Call:
    """Put the arguments of a call in one order: values first, by position, even if given by name.

    Functions with a signature, and those that are not in the catalogue, keep their order.
    """
    if entry is None:
        return Call(function, "", tuple(args), kwargs)
    name = entry.name
    if function is Tensor.where:  # x.where(c, y) is where(c, x, y)
        args, kwargs, function = list(args), dict(kwargs), torch.where
        args[:2] = [args[1], args[0]] if len(args) > 1 else [kwargs.pop("condition"), args[0]]
    if not kwargs or name in _SIGNATURES:
        return Call(function, name, tuple(args), kwargs)
    order: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND)
    if name == "where":
        order = _WHERE
    elif entry.kind is Kind.ADDED_PRODUCT:
        order = _ADDED_PRODUCT
    args, kwargs = list(args), dict(kwargs)
    for other, own in (("axis", "dim"), ("keepdims", "keepdim")):  # as NumPy has them
        if other in kwargs:
            kwargs[own] = kwargs.pop(other)
    for place, names in enumerate(order):
        for key in names:
            if key in kwargs and len(args) == place:
                args.append(kwargs.pop(key))
    return Call(function, name, tuple(args), kwargs)


def writes_over_first(function: Any, entry: Function | None) -> bool:
    """Return whether a function writes over its first argument."""
    if entry is not None:
        return entry.in_place or entry.kind is Kind.ASSIGNMENT
    name = getattr(function, "__name__", "").partition(".")[0]  # torch.ops.aten.add_.Tensor
    return name.endswith("_") and not name.startswith("__")
