"""Dispatches every torch function that a model calls to the law that a method has for it.

A method has a `Table` from kinds of functions to laws, with exceptions by name. The checks are the
same for all methods: calls on constants need no law, random functions are refused, and so are
functions without a law. Then the law returns the value with which the model continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, NoReturn, Protocol, TypeVar

import torch
from torch import Tensor, nn

from seqlrp.engine.following import FollowingMode, M
from seqlrp.engine.functions import (
    NAMES,
    Call,
    Function,
    Kind,
    arrange,
    forms_in_place,
    full_name,
    identify,
    out_of_place,
)
from seqlrp.engine.inputs import Tensors
from seqlrp.engine.marks import mark_of
from seqlrp.engine.moves import mixes
from seqlrp.engine.nests import map_tensors, tensors_among, tensors_in
from seqlrp.engine.provenance import UNKNOWN, Provenance
from seqlrp.errors import ModelError, TrainingModeError

R = TypeVar("R", bound="DispatchMode[Any]")
R_contra = TypeVar("R_contra", contravariant=True)


class Law(Protocol[R_contra]):
    """How a method treats a call of a function with a value that depends on the input."""

    def __call__(self, run: R_contra, call: Call, /) -> Any:
        """Return the value with which the model continues: the result, or one that replaces it."""


class Table(Generic[R]):
    """Maps each torch function to the law that a method has for it.

    Args:
        by_kind: the law of each kind of function; functions of other kinds are refused.
        by_name: exceptions, by a function's name in the catalogue.
    """

    def __init__(self, by_kind: Mapping[Kind, Law[R]], by_name: Mapping[str, Law[R]]) -> None:
        self._by_kind, self._by_name = dict(by_kind), dict(by_name)
        self.laws: dict[str, Law[R]] = {
            name: self._by_name.get(name) or self._by_kind[entry.kind]
            for name, entry in NAMES.items()
            if name in self._by_name or entry.kind in self._by_kind
        }
        self._found: dict[Function, Law[R] | None] = {}

    def law(self, function: Function) -> Law[R] | None:
        """Return the law of a function, or None if the function is to be refused."""
        try:
            return self._found[function]
        except KeyError:
            law = self.laws.get(function.name)
            if law is not None and function.in_place:
                law = _in_place_law(law, function)
            self._found[function] = law
            return law

    def with_laws(
        self, by_kind: Mapping[Kind, Law[Any]], by_name: Mapping[str, Law[Any]]
    ) -> Table[Any]:
        """Return a copy of the table with some laws replaced."""
        return Table(self._by_kind | dict(by_kind), self._by_name | dict(by_name))

    def with_wrapped_laws(
        self, kinds: Iterable[Kind], wrap: Callable[[Law[Any]], Law[Any]]
    ) -> Table[Any]:
        """Return a copy of the table with `wrap` applied to the laws of some kinds."""
        return Table(self._by_kind | {k: wrap(self._by_kind[k]) for k in kinds}, self._by_name)

    def kind(self, name: str) -> Kind | None:
        """Return the kind that decides the law of a function; None if its name decides."""
        return None if name in self._by_name else NAMES[name].kind

    def names_in_place(self) -> tuple[str, ...]:
        """Return the names of the functions with a supported in-place form."""
        written = (e for e in forms_in_place() if e.kind not in (Kind.SAME, Kind.DROPOUT))
        return tuple(sorted(e.name for e in written if self.law(e) is not None))


_UNSET = frozenset(("empty_like", "new_empty", "empty"))  # their values are those of the memory


def set_to_zero(entry: Function | None, unset: Any) -> Any:
    """Set a new tensor to zero if its function left it uninitialised; return it."""
    new = entry is not None and entry.name in _UNSET and isinstance(unset, Tensor)
    return unset.zero_() if new else unset


# In place or not, these return their argument, or write in place by themselves.
_AS_THEY_ARE = frozenset((Kind.SAME, Kind.DROPOUT, Kind.COPY, Kind.FILL))
_NEVER_IN_PLACE = frozenset((Kind.QUESTION, Kind.ANSWER, Kind.COUNT, Kind.RANDOM))


def _in_place_law(law: Law[R], function: Function) -> Law[R] | None:
    """Return the law of `x.f_()`: apply the law of `f`, then write its result over `x`."""
    if function.kind in _AS_THEY_ARE:
        return law
    shapes = function.kind is Kind.MOVE and not mixes(function.name)
    plain = out_of_place(function.name)
    if plain is None or shapes or function.kind in _NEVER_IN_PLACE:
        return None

    def apply_and_overwrite(run: R, call: Call) -> Any:
        target = call.args[0]
        # The law may keep its operands for the backward pass, which needs their old values.
        before = run.copy_marked(target)
        args, kwargs = map_tensors((call.args, call.kwargs), lambda t: before if t is target else t)
        result = law(run, Call(plain, call.name, args, kwargs))
        if result.shape != target.shape:
            run.refuse(call.function, "a result of another shape is written in place")
        return run.overwrite(target, result)

    return apply_and_overwrite


# Functions of one value: what else they take, such as the slopes of `prelu`, is a constant.
_OF_ONE_VALUE = frozenset(
    (Kind.ACTIVATION, Kind.GATE, Kind.SOFTPLUS, Kind.EXPONENTIAL, Kind.LOGARITHM, Kind.INVERSE)
)


class DispatchMode(FollowingMode[M]):
    """Runs one model under the laws of a table; takes the arguments of `FollowingMode`."""

    table: ClassVar[Table[Any]]

    # Methods override these

    def copy_marked(self, value: Tensor) -> Tensor:
        """Copy a value that is about to be overwritten, with its mark."""
        raise NotImplementedError

    def overwrite(self, target: Tensor, result: Tensor) -> Tensor:
        """Write a result over an existing tensor, which then gets the mark of the result."""
        raise NotImplementedError

    def law_of(
        self, function: Callable[..., Any], entry: Function | None, dependent: list[Tensor]
    ) -> Law[Any] | None:
        """Return the law of a function called with the values `dependent`; None refuses it."""
        return None if entry is None else self.table.law(entry)

    # Every function that the model calls

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        """Call a function that returns one tensor, under the method's law for it."""
        result: Tensor = self.call(function, args, kwargs)
        return result

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Look a function up in the table and apply its law, or refuse it by name.

        Raises:
            RefusedFunctionError: there is no law for it.
            ModelError: the function draws random numbers.
        """
        dependent, random, constant = [], "", False
        if found is None:
            found = tensors_among(args, kwargs)
        for value in found:
            mark = mark_of(value, self)
            if mark is None and id(value) in self._model_ids:
                continue
            if self.checked(value) is not None:
                dependent.append(value)
            elif mark is None:
                self.check_constant(value)
                constant = True
            elif mark.random:
                random = mark.random
        entry = identify(function)
        if dependent and random:
            self._refuse_random(random)
        if entry is not None and entry.kind is Kind.RANDOM:
            return self._draw(function, args, kwargs, dependent)
        if entry is not None and entry.name in _UNSET:
            with torch.inference_mode(False):  # signals may be written into it
                return set_to_zero(entry, function(*args, **kwargs))
        if not found:
            return self._call_plainly(function, args, kwargs)
        if not dependent:
            return self.call_on_constants(function, entry, args, kwargs)
        self.steps.add((function, constant))
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            return self._apply(function, entry, args, kwargs, dependent)
        with torch.inference_mode(False), torch.enable_grad():
            return self._apply(function, entry, args, kwargs, dependent)

    def _apply(
        self,
        function: Callable[..., Any],
        entry: Function | None,
        args: Any,
        kwargs: Any,
        dependent: list[Tensor],
    ) -> Any:
        if self.constants is not None:
            self.constants.note(self, function, entry, args, kwargs)
        law = self.law_of(function, entry, dependent)
        if law is None:
            self.refuse(function)
        call = arrange(function, entry, args, kwargs)
        of_one = entry is not None and entry.kind in _OF_ONE_VALUE
        if of_one and any(value is not call.args[0] for value in dependent):
            self.refuse(function, "more than its first argument depends on the words")
        recorder = self.constants
        if entry is not None and entry.kind is Kind.RECURRENCE:
            self.constants = None  # a packed layer has as many steps as its longest sequence
        try:
            result = law(self, call)
        finally:
            self.constants = recorder
        if entry is not None and entry.kind in (Kind.ANSWER, Kind.COUNT):
            self.note_answer(entry, result)
        return result

    def call_on_constants(
        self, function: Callable[..., Any], entry: Function | None, args: Any, kwargs: Any
    ) -> Any:
        """Call a function of constants, which needs no law, without recording gradients."""
        if entry is not None and entry.name == "dropout":
            self.check_dropout(arrange(function, entry, args, kwargs))
        self.record_question(function, entry, args, kwargs)
        given = args, kwargs
        if self.grad_wanted and getattr(function, "__name__", "") != "__set__":
            args, kwargs = self.detach_constants(args, kwargs)
        result = self._call_plainly(function, args, kwargs)
        if args is given[0]:
            return result
        # What returns its argument, as dropout does in evaluation, returns the parameter itself.
        owners = zip(tensors_among(args, kwargs), tensors_among(*given), strict=True)
        return next((own for detached, own in owners if detached is result), result)

    grad_wanted = True  # whether constants are computed with autograd switched on

    def _call_plainly(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if torch.is_grad_enabled() == self.grad_wanted:
            return function(*args, **kwargs)
        with torch.set_grad_enabled(self.grad_wanted):
            return function(*args, **kwargs)

    def _draw(
        self, function: Callable[..., Any], args: Any, kwargs: Any, dependent: list[Tensor]
    ) -> Any:
        """Draw random numbers, which are refused where they meet a signal or are looked up."""
        name = full_name(function)
        if dependent and not name.endswith("_like"):  # which use its shape alone
            self._refuse_random(name)
        result = self._call_plainly(function, args, kwargs)
        # A module under construction may fill its parameters with random numbers.
        for tensor in tensors_in(result):
            if not isinstance(tensor, nn.Parameter):
                own = Provenance(torch.tensor(UNKNOWN, device=tensor.device), made_by=name)
                self.note(tensor, own._replace(random=name))
        return result

    def _refuse_random(self, name: str) -> NoReturn:
        raise ModelError(
            f"The model draws random numbers with {name} and uses them in {self.describe_place()}; "
            f"its answer would change from call to call.",
            function=name,
        )

    def check_dropout(self, call: Call) -> None:
        """Refuse dropout in training mode.

        Raises:
            TrainingModeError: the output would change from call to call.
        """
        default = call.function is not torch.dropout  # the builtin has no default
        training = call.argument(2, "training", call.kwargs.get("train", default))
        if training and call.argument(1, "p", 0.5) > 0:
            raise TrainingModeError(
                f"Dropout is on in {self.describe_place()} and draws random numbers, so the answer "
                f"changes from call to call. The model is in evaluation mode, so the call itself "
                f"says training=True; write F.dropout(x, p, training=self.training)."
            )
