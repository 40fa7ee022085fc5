"""The mode under which a model runs on a text and on its reference in lockstep.

Each value that depends on the words carries what the same place holds for the reference; each
function that the model calls is called for both, with the same ids, lengths and indices. Values and
their partners so stay aligned however the model sorts, packs or writes in place. Backward,
automatic differentiation carries multipliers: `table.py` says which law each function has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, RefusedFunctionError
from seqlrp.lrp.following import FollowingMode
from seqlrp.lrp.functions import arranged, full_name, spelled, works_in_place
from seqlrp.lrp.laws.moving import dropout
from seqlrp.lrp.marks import Mark, mark_of, put_mark, substituted, tensors_in
from seqlrp.lrp.table import RANDOM, RANDOM_NAMES
from seqlrp.methods.deeplift.rules import difference
from seqlrp.methods.deeplift.table import ASKED, lookup

SQUASHING = ("softmax", "log_softmax", "sigmoid", "expit", "logsigmoid")
Rule = Literal["rescale", "reveal_cancel"]
Reference = Callable[["Lockstep", Tensor, Tensor], Tensor]
N = TypeVar("N")


@dataclass(slots=True)
class Dual(Mark):
    """A note on a value: what the reference has in its place.

    Attributes:
        reference: same shape and dtype, without a graph.
        parts: Δ⁺ and Δ⁻, with the graph of their contributions, for RevealCancel; None: the value
            counts as one contribution.
        version: how often the value's memory had been written to when this was noted.
        jumps: it is ordered by value, and otherwise for the reference; whoever uses it is refused.
    """

    reference: Tensor = field(kw_only=True)
    parts: tuple[Tensor, Tensor] | None = None
    version: int = 0
    jumps: bool = False


class Lockstep(FollowingMode):
    """One forward pass of one model on words and their references.

    Args:
        model: whose modules are named in errors.
        rule: that of elementwise functions.
        reference: (run, vectors, origin) -> the references of the vectors that were just read.
    """

    def __init__(self, model: nn.Module, rule: Rule, reference: Reference) -> None:
        super().__init__(model, count=None, account=False)
        self.rule = rule
        self.references: list[Tensor] = []  # of the readings, in order
        self.probabilities: Any = None  # the last of them that the model made
        self._reference = reference

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`; beside the words go their references."""
        with torch.inference_mode(False), torch.enable_grad():
            vectors = vectors.clone() if vectors.is_inference() else vectors.detach()
            reference = self._reference(self, vectors, origin)
            self.references.append(reference)
            return self.pair(super().read(vectors, origin), reference.clone())

    def own_documents(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """As `InputMode.own_documents`: which bag each of the ids is in."""
        rows = torch.arange(len(vectors), device=vectors.device).unsqueeze(1)
        self.bag_owner = rows.new_zeros(count)
        self.bag_owner[index[index >= 0]] = rows.expand(index.shape)[index >= 0]

    # What is known of a value

    def pair(self, value: Tensor, reference: Tensor, *, jumps: bool = False) -> Tensor:
        """Note what the reference has in the place of a value."""
        self.mark(value)
        reference = reference.detach()
        if value._base is None and reference.stride() != value.stride():
            # Written to through views, both must lie alike.
            reference = _laid_out_as(value).copy_(reference)
        dual = Dual(self, reference=reference, version=value._version, jumps=jumps)
        return put_mark(value, dual)

    def known(self, value: object) -> Dual | None:
        """The partner of a value that depends on the words; None for all others.

        A view that is older than the words written into its base finds theirs.
        """
        mark = super().known(value)
        if not isinstance(value, Tensor) or (mark is not None and not isinstance(mark, Dual)):
            return None
        if mark is not None and mark.jumps:
            self.refuse_choice()
        whole = None if value._base is None else super().known(value._base)
        if not isinstance(whole, Dual) or (mark is not None and _share(mark, whole)):
            if mark is not None and mark.version != value._version:
                mark.parts = None  # of what was there before
            return mark
        if mark is not None and mark.version == value._version:
            return mark
        base = value._base
        if base is None or mark is not None or whole.reference.stride() != base.stride():
            self.refuse_views()
        place = value.storage_offset() - base.storage_offset() + whole.reference.storage_offset()
        part = whole.reference.as_strided(value.shape, value.stride(), place)
        return Dual(self, reference=part, version=value._version)

    def partner(self, value: Tensor) -> Tensor:
        """What the reference has in the place of a value, or the value itself if it is constant."""
        dual = self.known(value)
        return value.detach() if dual is None else dual.reference

    def partners(self, nest: N) -> N:
        """The same nest of arguments, for the reference."""
        return substituted(nest, self.partner)  # type: ignore[no-any-return]

    def operands(self, nest: N) -> N:
        """The same nest of arguments, with a graph to nothing but what depends on the words."""
        return substituted(nest, self.raw)  # type: ignore[no-any-return]

    def values(self, nest: N) -> N:
        """The same nest of arguments, without any graph."""
        return substituted(nest, lambda t: t.detach())  # type: ignore[no-any-return]

    def signals(self, nest: Any) -> list[Tensor]:
        """The floating values among the arguments that depend on the words."""
        return [
            t for t in tensors_in(nest) if t.dtype.is_floating_point and self.known(t) is not None
        ]

    def delta(self, value: Tensor) -> Tensor:
        """Δ = x − x0 with the graph of x."""
        return value + (difference(value.detach(), self.partner(value)) - value.detach())

    # What laws return

    def paired(self, result: Any, reference: Any) -> Any:
        """A nest of results, each with its partner; what is no number must be the same for both."""
        theirs = tensors_in(reference)
        for mine, other in zip(tensors_in(result), theirs, strict=True):
            known = mark_of(mine, self)
            if isinstance(known, Dual) and known.reference is other:
                continue  # the very same value, as from `contiguous`
            if mine.dtype.is_floating_point or not torch.equal(mine, other):
                self.pair(mine, other)
        return result

    def linear(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function that is linear in the words: its multipliers are its gradient."""
        result = function(*self.operands(args), **self.operands(kwargs))
        with torch.no_grad():
            reference = function(*self.partners(args), **self.partners(kwargs))
        return self.paired(result, reference)

    def exact(self, surrogate: Tensor, value: Tensor, reference: Tensor) -> Tensor:
        """`value`, whose multipliers are the gradient of `surrogate`."""
        if value._base is not None:
            value = value.clone()
        y: Tensor = _Valued.apply(surrogate, (value.detach(),))  # type: ignore[no-untyped-call]
        return self.pair(y, reference)

    def overwrite(self, target: Tensor, result: Tensor) -> Tensor:
        """Write a result over an existing tensor, for the reference too."""
        mine = self.written(target)
        partner = self.partner(result)
        _ = target.grad_fn  # asked for, a view of what was written into gets its graph
        target.copy_(self.raw(result))
        mine.copy_(partner)
        return self.pair(target, mine)

    def written(self, target: Tensor) -> Tensor:
        """The reference's tensor in the place of one that is about to be written into."""
        dual = self.known(target)
        if dual is not None:
            whole = None if target._base is None else self.known(target._base)
            if whole is not None and not _share(dual, whole):
                self.refuse_views()
            return dual.reference
        if self.is_own(target):
            self.refuse(Tensor.copy_, "the model writes into a parameter or buffer of its own")
        base = target if target._base is None else target._base
        self.pair(base, _laid_out_as(base).copy_(base.detach()))
        return self.partner(target)

    def in_place(self, law: Any, function: Any, args: Any, kwargs: Any) -> Tensor:
        """The law of `x.f_()`: that of `f`, whose result is then written over `x`."""
        target = args[0]
        mark = self.known(target)
        before = target.clone() if mark is None else put_mark(target.clone(), replace(mark))
        if mark is not None:  # the law may keep the partner, which is about to be overwritten
            before = self.pair(before, mark.reference.clone())
        args, kwargs = (
            substituted(n, lambda t: before if t is target else t) for n in (args, kwargs)
        )
        return self.overwrite(target, law(self, function, args, kwargs))

    # Every function that the model calls

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Look a function up in the table and apply its law, or refuse it by name."""
        tensors = tensors_in((args, kwargs))
        duals = [t for t in tensors if self.known(t) is not None]
        for tensor in tensors:
            if self.origin_of(tensor) is None and all(tensor is not d for d in duals):
                self.check_constant(tensor)
        if (function in RANDOM or full_name(function) in RANDOM_NAMES) and not _fills(args, kwargs):
            raise ModelError(
                f"The model draws random numbers with {full_name(function)} in "
                f"{self.place_in_words()}; its answer would change from call to call."
            )
        if not duals:
            if spelled(function) == "dropout":
                dropout(self, function, args, kwargs)  # type: ignore[arg-type]  # refuses one on
            # With a graph to nothing: views made without one could not be written into later.
            if getattr(function, "__name__", "") != "__set__":
                args, kwargs = self.constants_detached(args), self.constants_detached(kwargs)
            with torch.inference_mode(False), torch.enable_grad():
                return function(*args, **kwargs)
        with torch.inference_mode(False), torch.enable_grad():
            if spelled(function) in ASKED:
                return self._asked(function, args, kwargs)
            if not any(t.dtype.is_floating_point for t in duals):
                return self._chosen(function, args, kwargs)
            self.check_choices(function, duals)
            law = lookup(function)
            if law is None:
                self.refuse(function)
            if kwargs.get("out") is not None:
                self.refuse(function, "a result written to out=")
            args, kwargs = arranged(function, args, kwargs)
            result = law(self, function, args, kwargs)
            if spelled(function) in SQUASHING:
                self.probabilities = result
            return result

    def _asked(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A question or comparison: no multiplier goes through the answer."""
        with torch.no_grad():
            result = function(*args, **kwargs)
            answers = [t for t in tensors_in(result) if not t.dtype.is_floating_point]
            if answers or isinstance(result, bool):
                reference = function(*self.partners(args), **self.partners(kwargs))
                if not answers and result != reference:
                    self.refuse_choice(function)
                others = [t for t in tensors_in(reference) if not t.dtype.is_floating_point]
                for mine, other in zip(answers, others, strict=True):
                    if not torch.equal(mine, other):
                        self.pair(mine, other)
        return result

    def _chosen(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of masks or indices only, which differ between text and reference."""
        if works_in_place(function) or full_name(function).endswith("_"):
            self.check_choices(function, tensors_in((args, kwargs)))
            return function(*args, **kwargs)
        with torch.no_grad():
            result = function(*args, **kwargs)
            reference = function(*self.partners(args), **self.partners(kwargs))
        mine, others = tensors_in(result), tensors_in(reference)
        if not mine and result != reference:
            self.refuse_choice(function)
        for one, other in zip(mine, others, strict=True):
            if one.shape != other.shape or not torch.equal(one, other):
                if one.dtype.is_floating_point or one.shape != other.shape:
                    self.refuse_choice(function)
                self.pair(one, other)
        return result

    def check_choices(self, function: Any, tensors: list[Tensor]) -> None:
        """Refuse masks and indices that are not the same for text and reference."""
        for tensor in tensors:
            if not tensor.dtype.is_floating_point:
                dual = self.known(tensor)
                if dual is not None and not torch.equal(tensor, dual.reference):
                    self.refuse_choice(function)

    def refuse_choice(self, function: Any = None) -> NoReturn:
        """Refuse a choice by values (a comparison, an arg max) that the reference flips."""
        name = "" if function is None else f"{full_name(function)} in "
        raise RefusedFunctionError(
            f"{name}{self.place_in_words()} uses a choice (a comparison, an arg max or an order of "
            f"values) that the words decide, and the baseline would choose otherwise: the "
            f"difference of the scores then jumps, and no multipliers add up to it. Write the "
            f"step with a function that has a rule (relu, maximum, max, clamp), or take a "
            f"baseline that chooses alike."
        )

    def refuse(self, function: Any, why: str = "") -> NoReturn:
        """Refuse a function by its name, with the module that called it and what to do."""
        raise RefusedFunctionError(
            f"{full_name(function)} in {self.place_in_words()}: "
            + (why or "DeepLIFT has no rule for it, and a plain gradient would not add up")
            + ". Write the step with functions that have one "
            "(seqlrp.methods.deeplift.table.ruled() lists them), or explain the part of the model "
            "after it by handing its vectors [B, T, D] in."
        )


def _laid_out_as(value: Tensor) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)


def _share(one: Dual, other: Dual) -> bool:
    """Whether two references lie in the same memory."""
    memory = (d.reference.untyped_storage().data_ptr() for d in (one, other))
    return len(set(memory)) == 1


def _fills(args: Any, kwargs: Any) -> bool:
    """Whether a parameter of a module that is being built is filled with numbers."""
    return isinstance(args[0] if args else kwargs.get("tensor"), nn.Parameter)


class _Valued(torch.autograd.Function):
    """A value that was computed elsewhere, with the gradient of a surrogate."""

    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, value: tuple[Tensor]) -> Tensor:
        return value[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None
