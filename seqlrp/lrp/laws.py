"""What each family of torch functions does to γ, and to what is known of its values.

Every law takes the run, the function as the model spelled it, and its arguments, and returns what
the model goes on with. Whatever is linear and adds nothing is left to automatic differentiation;
the laws only decide what is a constant, where the ε-rule is due, and what the ledger hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import documents as docs
from seqlrp.lrp.functions import MOVES, arranged, spelled, values_of
from seqlrp.lrp.marks import put_mark, substituted, tensors_in
from seqlrp.lrp.rules import equal_shares, identity_rule, slope_at_zero, squashing_rule

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation

Law = Callable[["Propagation", Any, Any, Any], Any]


def in_place(law: Law, function: Callable[..., Any]) -> Law:
    """The law of `x.f_()`: that of `f`, whose result is then written over `x`."""

    def applied(run: Propagation, spelling: Any, args: Any, kwargs: Any) -> Any:
        target = args[0]
        result = law(run, function, args, kwargs)
        return overwrite(run, target, result)

    return applied


def overwrite(run: Propagation, target: Tensor, result: Tensor) -> Tensor:
    """Write a result over an existing tensor, which then is what the result is."""
    base = target._base
    if base is not None:
        base_mark = run.known(base)
        mark = run.known(result)
        if mark is not None and (mark.gate or mark.due is not None):
            result = run.signal(result, mark, "An in-place operation on a view")
            run.mark(result, documents=mark.documents)
        if base_mark is not None and (base_mark.gate or base_mark.due is not None):
            run.refuse_views()
        if base_mark is None:
            if run.count != 1 and run.account:
                run.refuse_views()
            run.mark(base)
    target.copy_(result)
    mark = run.known(result)
    if mark is not None:
        put_mark(target, mark)
    return target


# Values that are only moved


def move(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Slicing, reshaping, concatenating, packing: linear, without a bias; γ moves back.

    An ε-rule that is due stays due; where values of several kinds come together, it is applied.
    """
    name = spelled(function)
    assert name is not None
    args = arranged(function, args)
    function = torch.where if name == "where" else function
    values = list(tensors_in((args, kwargs)))
    marks = [run.known(t) for t in values]
    marked = [m for m in marks if m is not None]
    mixed = len(marked) > 1 or any(
        m is None and t.dtype.is_floating_point for t, m in zip(values, marks, strict=True)
    )
    gate = all(m.gate for m in marked)
    due = marked[0].due
    if mixed and (due is None or any(m.due != due or m.denominator is not None for m in marked)
                  or len(marked) < len(values)):
        due = None
        if not gate:
            args, kwargs = (substituted(n, _ready(run, function)) for n in (args, kwargs))
    denominator = None
    if due is not None and not mixed and marked[0].denominator is not None:
        denominators = [
            *tensors_in(
                function(
                    *substituted(args, lambda t: _denominator(run, t)),
                    **substituted(kwargs, lambda t: _denominator(run, t)),
                )
            )
        ]
    else:
        denominators = []
    documents = _moved_documents(run, name, args, kwargs)
    result = function(*run.constants_detached(args), **run.constants_detached(kwargs))
    results = [r for r in tensors_in(result) if r.dtype.is_floating_point]
    for k, tensor in enumerate(results):
        denominator = denominators[k] if denominators else None
        whose = documents[k] if documents else None
        run.mark(tensor, gate=gate, due=due, denominator=denominator, documents=whose)
    if mixed and not gate and run.account and name in _MIXING:
        return _mixing_absorbed(run, name, function, args, kwargs, result)
    return result


_MIXING = ("cat", "stack", "hstack", "vstack", "where", "masked_fill", "pad_sequence")


def _mixing_absorbed(
    run: Propagation, name: str, function: Any, args: Any, kwargs: Any, result: Tensor
) -> Tensor:
    """Book what reaches the constants among the values that were put together."""
    mark = run.known(result)
    assert mark is not None
    new_args, new_kwargs = values_of(
        name,
        args,
        kwargs,
        lambda t: None if run.known(t) is None else torch.zeros(t.shape, dtype=torch.int32),
    )
    constant = MOVES[name](*new_args, **new_kwargs) == docs.NOBODY
    if not bool(constant.any()):
        return result
    share = result.detach().masked_fill(~constant.to(result.device), 0)
    noted = run.absorb(result, share, "constant", name, mark.documents)
    return put_mark(noted, mark)


def _denominator(run: Propagation, value: Tensor) -> Tensor:
    mark = run.known(value)
    return value if mark is None or mark.denominator is None else mark.denominator


def _ready(run: Propagation, function: Any) -> Callable[[Tensor], Tensor]:
    def ready(value: Tensor) -> Tensor:
        mark = run.known(value)
        if mark is None:
            return value
        signal = run.signal(value, mark, spelled(function) or "A function")
        return run.mark(signal, documents=mark.documents) if signal is not value else value

    return ready


def _moved_documents(run: Propagation, name: str, args: Any, kwargs: Any) -> list[Tensor]:
    if not run.documents_of((args, kwargs)):
        return []
    new_args, new_kwargs = values_of(name, args, kwargs, run.numbers)
    result = MOVES[name](*new_args, **new_kwargs)
    results = [r for r in tensors_in(result)]
    if name == "_pack_padded_sequence":  # its second result is the batch sizes
        results = results[:1]
    return [docs.squeezed(docs.claimed(docs.squeezed(r))) for r in results]


def set_item(run: Propagation, function: Any, args: Any, kwargs: Any) -> None:
    """`x[index] = value`: moved into a tensor of constants or of signals."""
    base, index, value = args
    base_mark, mark = run.known(base), run.known(value)
    if base._base is not None:
        run.refuse_views()
    if mark is not None:
        value = run.signal(value, mark, "An assignment")
    if base_mark is not None and base_mark.gate:
        run.refuse(function, "an assignment into a gate")
    if base_mark is not None and base_mark.due is not None:
        base.copy_(run.signal(base, base_mark, "An assignment"))
    documents = None
    if run.account and run.count != 1:
        documents = base_mark.documents if base_mark is not None else None
        documents = (
            torch.full(base.shape, docs.NOBODY, dtype=torch.int32, device=base.device)
            if documents is None
            else documents.expand(base.shape).clone()
        )
        number = run.numbers(value) if mark is None else None
        if mark is not None and mark.documents is not None:
            number = mark.documents.expand(value.shape)
        if number is not None:
            documents[index] = number
    if run.account and base_mark is None and bool((base != 0).any()):
        run.refuse(function, "an assignment into constants that are not zero")
    base[index] = run.raw(value)
    run.mark(base, documents=documents)


def cast(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """A change of dtype or device: the value, and all that is known of it, stays."""
    result = function(*run.constants_detached(args), **kwargs)
    mark = run.known(args[0])
    if mark is None or not result.dtype.is_floating_point or result is args[0]:
        return result
    denominator = mark.denominator
    if denominator is not None:
        denominator = function(denominator, *args[1:], **kwargs)
    documents = None if mark.documents is None else mark.documents.to(result.device)
    return run.mark(
        result, gate=mark.gate, due=mark.due, denominator=denominator, documents=documents
    )


def same(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`detach`, `.data`, `requires_grad_`: about gradients, not about values; relevance goes on."""
    return args[0]


def ask(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Questions about shape or dtype, and comparisons: no relevance goes through an answer."""
    return function(*args, **kwargs)


def dropout(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """The identity in evaluation mode.

    Raises:
        TrainingModeError: dropout is on, and its answer would change from call to call.
    """
    given = dict(zip(("input", "p", "training"), args, strict=False)) | kwargs
    default = function is not torch.dropout  # the builtin has no default
    training = given.get("training", given.get("train", default))
    if training and given.get("p", 0.5) > 0:
        raise TrainingModeError(
            f"Dropout is on in {run.place_in_words()}, so the answer changes from call to call; "
            f"call model.eval() first."
        )
    return args[0] if args else given["input"]


# Elementwise functions


class _Elementwise(torch.autograd.Function):
    """y = f(x), whose γ goes back through a rule of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Any, back: Any, eager: bool) -> Tensor:
        y: Tensor = f(x)
        if eager:  # at once, so that x and y may be changed in place afterwards
            ctx.factor = back(torch.ones_like(y), x, y)
        else:
            ctx.back = back
            ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:  # type: ignore[override]
        if hasattr(ctx, "factor"):
            return gamma * ctx.factor, None, None, None
        x, y = ctx.saved_tensors
        return ctx.back(gamma, x, y), None, None, None


def identity(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`y = f(x)` with f(0) = 0: the identity rule, R_x = R_y (Bach 2015)."""
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    rest = args[1:]
    overwritten = kwargs.pop("inplace", False)
    mark = run.known(given)
    assert mark is not None
    x = run.signal(given, mark, spelled(function) or "")

    def f(value: Tensor) -> Tensor:
        return function(value, *rest, **kwargs)  # type: ignore[no-any-return]

    slope = slope_at_zero(f, x)
    y: Tensor = _Elementwise.apply(x, f, lambda g, x, y: identity_rule(g, x, y, slope), True)
    run.mark(y, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def gate(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`sigmoid`: a gate in a product; as a signal, f(x) / (x + ε·sign x)."""
    kwargs = dict(kwargs)
    given = args[0] if args else kwargs.pop("input")
    overwritten = kwargs.pop("inplace", False)
    mark = run.known(given)
    assert mark is not None
    if mark.gate and not given.requires_grad:
        return run.mark(function(given, *args[1:], **kwargs), gate=True, documents=mark.documents)
    if mark.denominator is not None:
        given_signal = run.signal(given, mark, "sigmoid")
    else:
        given_signal = given  # the ε-rule that is due at x is part of the ratio
    epsilon = run.epsilon
    book = run.booker("stabiliser", spelled(function) or "", mark.documents) if run.account else None

    def back(gamma: Tensor, x: Tensor, y: Tensor) -> Tensor:
        gamma_x = squashing_rule(gamma, x, y, epsilon)
        if book is not None:
            book(gamma * y - gamma_x * x)
        return gamma_x

    y: Tensor = _Elementwise.apply(
        given_signal, lambda x: function(x, *args[1:], **kwargs), back, False
    )
    run.mark(y, gate=True, documents=mark.documents)
    return overwrite(run, given, y) if overwritten else y


def weights(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`softmax`, `exp`: constants in a product; as a signal they are refused."""
    nest = substituted((args, kwargs), lambda t: t.detach())
    result: Tensor = function(*nest[0], **nest[1])
    documents = run.documents_like((args, kwargs), result.ndim)
    return run.mark(result, gate=True, documents=documents)


# Sums


def add(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a + b`, `a - b`: a sum under the ε-rule (Arras 2017); a constant in it is a bias."""
    terms = [a for a in args[:2]] + [kwargs[k] for k in ("other",) if k in kwargs]
    if any(isinstance(t, (int, float)) and t == 0 for t in terms) and not kwargs.get("out"):
        if spelled(function) == "add":
            return next(t for t in terms if isinstance(t, Tensor))  # sum([...]) starts with 0
    marks = [run.known(t) for t in terms]
    marked = [m for m in marks if m is not None]
    is_gate = all(m.gate for m in marked)
    ready = []
    for term, mark in zip(terms, marks, strict=True):
        if mark is not None and mark.gate and not is_gate:
            run.signal(term, mark, spelled(function) or "")  # refuses a gate without a graph
        if mark is not None and mark.gate and is_gate and not term.requires_grad:
            ready = None
            break
        ready.append(run.raw(term))
    if ready is None:  # gates that can only be constants
        result = function(*substituted(args, Tensor.detach), **kwargs)
        return run.mark(result, gate=True, documents=run.documents_like(args, result.ndim))
    rest = {key: value for key, value in kwargs.items() if key != "other"}
    y: Tensor = function(*ready, *args[2:], **rest)
    documents = run.documents_like((args, kwargs), y.ndim)
    maps = all(m.due == "map" for m in marked)
    if len(marked) < len(terms) and run.account:
        constant = [run.raw(t) if m is None else _nothing(t) for t, m in zip(terms, marks, strict=True)]
        share = function(*constant, *args[2:], **rest)
        kind = "bias" if any(isinstance(t, nn.Parameter) for t in terms) else "constant"
        y = run.absorb(y, share, kind, spelled(function) or "", documents)
    return run.mark(y, gate=is_gate, due="map" if maps else "sum", documents=documents)


def _nothing(value: Any) -> Any:
    return torch.zeros_like(value) if isinstance(value, Tensor) else 0


def negative(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`-x`: as `x`, with the sign changed."""
    mark = run.known(args[0])
    assert mark is not None
    denominator = None if mark.denominator is None else -mark.denominator
    return run.mark(
        function(args[0]),
        gate=mark.gate,
        due=mark.due,
        denominator=denominator,
        documents=mark.documents,
    )


# Products


def product(
    run: Propagation, f: Callable[..., Tensor], operands: list[Any], name: str, maps: bool
) -> tuple[Tensor, bool, Any, Tensor | None]:
    """A product of operands: gates and constants are constants, signals share equally.

    `maps` says that the product contracts a dimension, and with constants is a linear map.
    Returns the result, whether it is a gate, and the ε-rule that is due (with its denominator).
    """
    marks = [run.known(o) for o in operands]
    signals = [k for k, m in enumerate(marks) if m is not None and not m.gate]
    if not signals:
        live = [k for k, m in enumerate(marks) if m is not None]
        if any(not operands[k].requires_grad for k in live):
            return f(*[_constant(o) for o in operands]), True, None, None
        signals = live
        is_gate = True
    else:
        is_gate = False
    ready: list[Any] = []
    due, denominator = None, None
    for k, (operand, mark) in enumerate(zip(operands, marks, strict=True)):
        if k not in signals or mark is None:
            ready.append(_constant(operand))
        elif len(signals) == 1 and not maps and mark.due == "map" and not is_gate:
            # A scaled map is a map: put off its ε-rule until it is known what it is added to.
            due, denominator = "map", _denominator(run, operand).detach()
            ready.append(operand)
        else:
            ready.append(run.signal(operand, mark, name))
    y = f(*ready)
    if denominator is not None:
        denominator = denominator.expand(y.shape)
    if len(signals) > 1:
        count = len(signals)
        y = run.on_gamma(y, lambda gamma: equal_shares(gamma, count))
    gated = any(m is not None and m.gate for m in marks)
    if maps and len(signals) == 1 and not gated:
        due = "map"
    return y, is_gate, due, denominator


def _constant(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def multiply(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a * b`: signal takes all (Arras 2017); two signals take half each (Arras 2019)."""
    operands = [*args, *kwargs.values()]
    y, is_gate, due, denominator = product(run, torch.mul, operands, "mul", maps=False)
    documents = run.documents_like(operands, y.ndim)
    return run.mark(y, gate=is_gate, due=due, denominator=denominator, documents=documents)


def divide(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a / b`: a product with the constant or gate 1/b."""
    top, bottom = [*args, *(kwargs[k] for k in ("other",) if k in kwargs)][:2]
    if function is Tensor.__rtruediv__ or function is Tensor.__rdiv__:
        top, bottom = bottom, top
    if kwargs.get("rounding_mode") is not None:
        run.refuse(function, "a division that rounds")
    bottom_mark = run.known(bottom)
    if bottom_mark is not None and not bottom_mark.gate:
        run.refuse(function, "a division by a signal has no law")
    if run.known(top) is None:  # a constant by a gate
        y = torch.div(top, bottom.detach())
        return run.mark(y, gate=True, documents=run.documents_like([bottom], y.ndim))
    divisor = _constant(bottom)
    y, is_gate, due, denominator = product(
        run, lambda a: torch.div(a, divisor), [top], "div", maps=False
    )
    documents = run.documents_like([top, bottom], y.ndim)
    return run.mark(y, gate=is_gate, due=due, denominator=denominator, documents=documents)


def linear(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`W x + b`: the ε-rule (Bach 2015, eq. 58); the bias keeps b / (z + ε·sign z) of R_z."""
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    y, is_gate, due, _ = product(run, F.linear, [x, weight], "linear", maps=True)
    documents = run.documents_of([x])
    whose = documents[0][1].narrow(-1, 0, 1) if documents else None
    if run.known(weight) is not None and run.account and run.count != 1:
        run.refuse(function, "weights that depend on the input")
    y = run.mark(y, gate=is_gate, due=due, documents=whose)
    if bias is None:
        return y
    if run.known(bias) is not None:
        return add(run, torch.add, (y, bias), {})
    y = y + bias.detach()
    y = run.absorb(y, bias, "bias", "linear", whose)
    return run.mark(y, gate=is_gate, due=due, documents=whose)


def multiply_matrices(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`a @ b`: a linear map where one side is constant, weighted values where it is a gate."""
    operands = [*args, *kwargs.values()]
    if function is Tensor.__rmatmul__:
        operands.reverse()
    y, is_gate, due, _ = product(run, torch.matmul, operands, "matmul", maps=True)
    return run.mark(y, gate=is_gate, due=due, documents=_matmul_documents(run, operands))


def _matmul_documents(run: Propagation, operands: list[Tensor]) -> Tensor | None:
    if not run.documents_of(operands):
        return None
    a, b = operands
    batch = max(a.ndim, b.ndim) - 2
    letters = "ABCDEFGH"[: max(batch, 0)]
    left = letters[len(letters) - (a.ndim - 2) :] + "ij" if a.ndim > 1 else "j"
    right = letters[len(letters) - (b.ndim - 2) :] + "jk" if b.ndim > 1 else "j"
    out = letters + ("i" if a.ndim > 1 else "") + ("k" if b.ndim > 1 else "")
    shapes = [list(a.shape), list(b.shape)]
    numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
    return docs.contracted(f"{left},{right}->{out}", numbers, shapes)


def einsum(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """As `multiply_matrices`, for any number of operands."""
    equation, *operands = args
    if not isinstance(equation, str):
        run.refuse(function, "einsum with lists of axes instead of an equation")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = sorted(set(inputs) - {",", "."})
        output = "".join(c for c in letters if inputs.count(c) == 1)
        output = ("..." if "..." in inputs else "") + output
    terms = inputs.split(",")
    maps = any(set(term) - set(output) for term in terms) and len(operands) > 1
    y, is_gate, due, _ = product(
        run, lambda *o: torch.einsum(equation, *o), operands, "einsum", maps=maps
    )
    documents = None
    if run.documents_of(operands):
        if "..." in equation:
            run.refuse(function, "einsum with an ellipsis, where the ledger is kept by document")
        numbers = [None if (m := run.known(o)) is None else m.documents for o in operands]
        documents = docs.contracted(
            f"{inputs}->{output}", numbers, [list(o.shape) for o in operands]
        )
    return run.mark(y, gate=is_gate, due=due, documents=documents)


def add_product(run: Propagation, function: Any, args: Any, kwargs: Any) -> Tensor:
    """`addmm`, `baddbmm`, `addcmul`: a product and a sum in one call."""
    if kwargs:
        run.refuse(function, "with a scale or a named argument")
    term, a, b = args
    combine = multiply if spelled(function) == "addcmul" else multiply_matrices
    inner = torch.mul if combine is multiply else torch.matmul
    if run.known(a) is None and run.known(b) is None:
        part = inner(run.raw(a), run.raw(b))
    else:
        part = combine(run, inner, (a, b), {})
    return add(run, torch.add, (part, term), {})


# Reductions and selections


def _dims(function: Any, args: Any, kwargs: Any, ndim: int) -> tuple[list[int], bool]:
    """The dimensions that a reduction runs over, and whether it keeps them."""
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    if dim is None or dim == () or dim == []:
        return list(range(ndim)), keep
    dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % ndim for d in dims], keep


def reduce(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`sum`, `mean`: linear and without a bias. `max`, `amax`: the winner takes all."""
    given = args[0] if args else kwargs["input"]
    args = (given, *args[1:])
    kwargs = {key: value for key, value in kwargs.items() if key != "input"}
    if len(args) > 1 and isinstance(args[1], Tensor):
        run.refuse(function, "the larger of two tensors")
    mark = run.known(given)
    assert mark is not None
    keeps_gate = mark.gate
    value = given if keeps_gate else run.signal(given, mark, spelled(function) or "")
    result = function(value, *args[1:], **kwargs)
    documents = None
    if mark.documents is not None:
        dims, keep = _dims(function, args, kwargs, given.ndim)
        documents = docs.reduced(mark.documents, dims, keep)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=keeps_gate, documents=documents)
    return result


def along_last(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """Pooling windows, sorting and the k largest: values selected along one dimension."""
    given = args[0] if args else kwargs["input"]
    rest = {key: value for key, value in kwargs.items() if key != "input"}
    mark = run.known(given)
    assert mark is not None
    value = given if mark.gate else run.signal(given, mark, spelled(function) or "")
    result = function(value, *args[1:], **rest)
    documents = mark.documents
    if documents is not None:
        if spelled(function) in ("topk", "sort"):
            place = 2 if spelled(function) == "topk" else 1
            dim = rest.get("dim", args[place] if len(args) > place else -1)
        else:
            dim = -1
        documents = docs.reduced(documents, [dim % given.ndim], keepdim=True)
    for tensor in tensors_in(result):
        if tensor.dtype.is_floating_point:
            run.mark(tensor, gate=mark.gate, documents=documents)
    return result

