"""A second run on other words: do values that the laws take for constants depend on the words?

A method sees which values it follows; it cannot see what a model computed elsewhere, through
NumPy or in another thread. So on the first call for a kind of input, a model runs a second time, on
other words with the same lengths and padding. A constant beside a signal that then has other values
depends on the words in a way that is not followed, and is refused by name.

Two kinds of constants may depend on words: those that select (an index, a mask, a condition), and
those that weigh a signal in a product and answer a question about ids (`ids > 5`, `idf[ids]`) or
are a number of one word each (`ids / 100`), see `provenance.py`. Both are like gates, which are
constants by definition.

The second run is of a copy of the model that shares its parameters; everything else is copied.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.functions import Call, Function, Kind, arrange, full_name
from seqlrp.engine.modules import modules_of, parameters_of, tensors_of
from seqlrp.engine.moves import MOVING, moved_values
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.engine.provenance import Provenance
from seqlrp.errors import SeqlrpError, UnfollowedWordsError

# In these, an operand weighs the others.
_WEIGHING = frozenset(
    (
        Kind.PRODUCT, Kind.QUOTIENT, Kind.MATRIX_PRODUCT, Kind.EINSUM, Kind.TENSOR_PRODUCT,
        Kind.LINEAR, Kind.CONVOLUTION,
    )
)  # fmt: skip
# Their law calls simpler functions, which are seen by themselves.
_TAKEN_APART = frozenset((Kind.COMPOSED, Kind.ADDED_PRODUCT))


class _StopSecondRunError(SeqlrpError):
    """The second run cannot go on without changing the model; nobody tries the model again."""


class WatchedRun(Protocol):
    """A run of a model that records the constants beside signals."""

    constants: ConstantRecorder | None
    table_sizes: list[int]

    def again(self, model: nn.Module) -> WatchedRun:
        """Return a new run like this one, for another model."""

    def run(self, model: nn.Module, inputs: Tensor, additional: Any) -> Any:
        """Run the model on ids or vectors."""

    def place(self) -> str:
        """Return the dotted name of the module that is running now."""

    def is_signal(self, tensor: object) -> bool:
        """Return whether the run follows a tensor, which then is no constant."""

    def provenance_of(self, tensor: object) -> Provenance | None:
        """Return where the elements of a tensor come from, or None if it does not hold ids."""


class Constant(NamedTuple):
    """A constant that a law saw beside a signal.

    Attributes:
        function: the function that was called with it.
        module: the dotted name of the module that called it.
        value: a copy of the tensor, or a number.
        weighs: whether it answers a question about ids and weighs a signal in a product.
        counts: which elements of the value are compared, bool; None for all.
    """

    function: str
    module: str
    value: Any
    weighs: bool
    counts: Tensor | None = None

    def alike(self, other: Constant) -> bool:
        """Return whether both were seen at the same step of a model."""
        shapes = (getattr(c.value, "shape", None) for c in (self, other))
        same = self.function == other.function and self.module == other.module
        return same and len(set(shapes)) == 1

    def differs(self, other: Constant) -> bool:
        """Return whether the values of both differ by more than rounding."""
        if not isinstance(self.value, Tensor):
            return bool(self.value != other.value) and not math.isnan(self.value)
        if not self.value.dtype.is_floating_point:
            return not torch.equal(self.value, other.value)
        one, another = self.value, other.value
        if self.counts is not None and other.counts is not None:
            both = self.counts & other.counts
            one, another = one[both], another[both]
        least = 100 * torch.finfo(one.dtype).eps
        return not torch.allclose(one, another, least, 0.0, equal_nan=True)


class ConstantRecorder:
    """Records the constants that the laws see in one run of a model.

    Attributes:
        seen: the constants, in order.
        special: ids that the model compares words with, such as that of the padding.
        second: whether this is the run on other words, which must not change the parameters.
    """

    def __init__(self, model: nn.Module, *, second: bool = False) -> None:
        self.seen: list[Constant] = []
        self.special: set[int] = {0}
        self.second = second
        self._own = {
            t.untyped_storage().data_ptr(): t._version for t in tensors_of(model) if _has_memory(t)
        }

    def note(
        self,
        run: WatchedRun,
        function: Callable[..., Any],
        entry: Function | None,
        args: Any,
        kwargs: Any,
    ) -> None:
        """Note the constants among the arguments of a function that is called with a signal."""
        if entry is not None and entry.kind in _TAKEN_APART:
            return
        call = arrange(function, entry, args, kwargs)
        kind = None if entry is None else entry.kind
        seen = None
        for value in _values(call, kind):
            if isinstance(value, Tensor):
                if run.is_signal(value) or self._is_own(value):
                    continue
                own = run.provenance_of(value)
                answer = own is not None and own.weighs
                value = value.detach().clone()
            else:
                answer = False
            seen = seen or (full_name(function), run.place())
            self.seen.append(Constant(*seen, value, answer and kind in _WEIGHING))

    def note_reading(self, run: WatchedRun, vectors: Tensor, origin: Tensor) -> None:
        """Note the vectors `[..., D]` that were looked up by ids that come from no word."""
        nobody = origin == NOBODY
        if bool(nobody.any()):
            found = vectors.detach().clone()
            self.seen.append(Constant("embedding", run.place(), found, False, nobody))

    def note_question(self, call: Call) -> None:
        """Note the ids that a model asks for."""
        for value in call.args[1:]:
            if isinstance(value, Tensor) and value.numel() <= 16:
                self.special.update(int(v) for v in value.reshape(-1).tolist())
            elif isinstance(value, int):
                self.special.add(value)

    def _is_own(self, value: Tensor) -> bool:
        """Return whether a tensor is a parameter or buffer of the model, or a view, unchanged."""
        if not _has_memory(value):
            return value.layout is not torch.strided  # nothing compares sparse tensors
        return self._own.get(value.untyped_storage().data_ptr()) == value._version

    def check_write(self, target: Tensor) -> None:
        """Stop before the run on other words changes a parameter, which both models share."""
        owner = target if target._base is None else target._base
        if self.second and isinstance(owner, nn.Parameter):
            raise _StopSecondRunError


def _has_memory(tensor: Tensor) -> bool:
    """Return whether a tensor has memory in which writes are counted."""
    return tensor.layout is torch.strided and not tensor.is_inference()


def _values(call: Call, kind: Kind | None) -> list[Any]:
    """Return what a function computes with, without what only selects."""
    nest = (call.args, call.kwargs)
    if call.name in MOVING or kind in (Kind.ASSIGNMENT, Kind.COPY):
        return list(call.args[1:2]) if kind is Kind.COPY else list(moved_values(call))
    if kind not in (Kind.SUM, *_WEIGHING):  # integers are lengths here, and select
        return [t for t in tensors_in(nest) if t.dtype.is_floating_point]
    numbers = [n for n in (*call.args, *call.kwargs.values()) if isinstance(n, float)]
    return [*tensors_in(nest), *numbers]


def check_constants(first: ConstantRecorder, second: ConstantRecorder) -> None:
    """Refuse a model in which a constant of the first run has other values in the second.

    If control flow differs between the runs, as where words decide how long a loop is, the rest is
    not compared.

    Raises:
        UnfollowedWordsError: a constant depends on the words; it names module and function.
    """
    for one, other in zip(first.seen, second.seen, strict=False):
        if not one.alike(other):
            return
        if not one.weighs and one.differs(other):
            where = f"module '{one.module}'" if one.module else "the model's own forward"
            shape = list(one.value.shape) if isinstance(one.value, Tensor) else "one number"
            raise UnfollowedWordsError(
                f"{one.function} in {where} got a tensor of shape {shape} that depends on the "
                f"words in a way that is not followed (through NumPy or a list, another thread, a "
                f"cast to integers, or arithmetic with ids): on other words it has other values. "
                f"Relevance through it would be lost. Compute it with torch functions from what "
                f"an embedding looked up, or pass verify=False to take it for a constant.",
                function=one.function,
                module=one.module,
            )


def twin(model: nn.Module) -> nn.Module | None:
    """Return a copy of a model that shares its parameters; None if it cannot be kept apart.

    Hooks that are functions may have side effects outside the model, so such a model is not copied:
    None.
    """
    modules = modules_of(model)
    hooks = [
        hook
        for module in modules
        for table in (module._forward_hooks, module._forward_pre_hooks)
        for hook in table.values()
    ]
    everywhere = nn.modules.module
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        return None
    if any(isinstance(hook, FunctionType) for hook in hooks):
        return None
    if any("forward" in vars(module) for module in modules):  # a function put in its place
        return None
    memo: dict[int, Any] = {id(p): p for p in parameters_of(model)}
    try:
        return copy.deepcopy(model, memo)
    except Exception:
        return None  # it holds a lock or a file


def other_words(ids: Tensor, padding: Tensor, special: set[int], sizes: list[int]) -> Tensor | None:
    """Return other ids for a batch, by one permutation of the vocabulary; None if there are none.

    Args:
        ids: the ids.
        padding: bool, shaped as the ids; they stay where it is True.
        special: ids that stay as they are, unless they stand between words.
        sizes: the sizes of the tables that the model looks ids up in.
    """
    top = int(ids.max()) + 1
    limit = min([size for size in sizes if size >= top], default=top)
    fixed = special - _inside(ids, padding, special)
    free = torch.tensor([k for k in range(limit) if k not in fixed])
    if len(free) < 2:
        return None
    order = free[torch.randperm(len(free), generator=torch.Generator().manual_seed(0))]
    mapping = torch.arange(limit)
    mapping[order] = order.roll(1)
    mapping = mapping.to(ids)
    known = (ids >= 0) & (ids < limit) & ~padding
    changed = torch.where(known, mapping[ids.long().clamp(0, limit - 1)], ids)
    return None if torch.equal(changed, ids) else changed


def _inside(ids: Tensor, padding: Tensor, special: set[int]) -> set[int]:
    """Return the special ids that stand between words: they are words, and frame no text."""
    framing = padding | torch.isin(ids, torch.tensor(sorted(special)).to(ids))
    words = (~framing).int()
    between = (words.cumsum(-1) > 0) & (words.flip(-1).cumsum(-1).flip(-1) > 0)
    return set(ids[framing & between & ~padding].tolist())


def other_vectors(vectors: Tensor) -> Tensor:
    """Return other vectors for a batch, 0 where these are."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.rand(vectors.shape, generator=generator) + 0.5
    return vectors * factors.to(vectors)


@contextmanager
def same_random_state() -> Iterator[None]:
    """Leave the random state of Python, NumPy and torch as it was before."""
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if used else []
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


class SecondRun:
    """Runs a model again on other words and compares its constants; made before the first run.

    Args:
        model: the model.
        additional: what the model takes after its input.
    """

    def __init__(self, model: nn.Module, additional: Any) -> None:
        self.twin = twin(model)
        self.first = ConstantRecorder(model)
        self._additional = map_tensors(additional, Tensor.clone)

    def compare(
        self,
        mode: WatchedRun,
        inputs: Tensor,
        padding: Tensor,
    ) -> bool:
        """Run the twin on other words, and compare; return whether there was a second run.

        Args:
            mode: that of the first run.
            inputs: the ids or vectors of the first run.
            padding: bool, shaped as the ids, True on padding.

        Raises:
            UnfollowedWordsError: a constant depends on the words.
        """
        if self.twin is None:
            return False
        other = (
            other_vectors(inputs)
            if inputs.dtype.is_floating_point
            else other_words(inputs, padding, self.first.special, mode.table_sizes)
        )
        if other is None:
            return False
        again = mode.again(self.twin)
        second = again.constants = ConstantRecorder(self.twin, second=True)
        # These words may lead elsewhere; what was seen until then can be compared.
        with torch.enable_grad(), same_random_state(), suppress(Exception):
            again.run(self.twin, other, self._additional)
        check_constants(self.first, second)
        return True
