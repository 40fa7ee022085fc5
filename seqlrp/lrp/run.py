"""The run that the laws of LRP use: it finds the rule of a map and fills the ledger.

In the forward pass, every torch function goes through the table of laws; in the backward pass,
automatic differentiation computes γ = R / a instead of a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NoReturn, Self

import torch
from torch import Tensor, nn

from seqlrp.engine import documents as docs
from seqlrp.engine.dispatch import DispatchMode
from seqlrp.engine.functions import Kind, identify, writes_over_first
from seqlrp.engine.inputs import Reading, Tensors
from seqlrp.engine.ledger import Books
from seqlrp.engine.marks import mark_of, put_mark, record_write
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.errors import RefusedFunctionError
from seqlrp.lrp.deferred import Book, DeferredRule, apply_deferred
from seqlrp.lrp.map_rules import Bilinear, MapRule, stabiliser_of
from seqlrp.lrp.marks import Part, Value
from seqlrp.lrp.options import Options
from seqlrp.lrp.rules import quotient_or_zero
from seqlrp.lrp.stabilise import Stabiliser

# In these an operand is kept for the backward pass.
_FACTORS = frozenset((Kind.PRODUCT, Kind.QUOTIENT, Kind.MATRIX_PRODUCT, Kind.EINSUM))


class Run(DispatchMode[Value]):
    """One forward pass of one model, and the γ that flows back through it.

    Args:
        model: the model; errors and ledger name its modules.
        options: the user's options for the laws.
        count: the number of documents, or None where the ids alone do not tell.
        account: whether a ledger is kept.
        maps: the number of maps that the model runs, if a rule counts from the last.
    """

    refusal = "no law of relevance is known for it, and a plain gradient would be wrong"
    advice = (
        "Write the step with functions that have a law (docs/reference/functions.md lists them), "
        "explain the part of the model after it by handing its vectors [B, T, D] in, or pass "
        "on_unknown='absorb', and the function keeps what reaches it, as an entry of the ledger. "
        "The method 'occlusion' asks the model alone, and takes any."
    )

    def __init__(
        self,
        model: nn.Module,
        options: Options,
        count: int | None,
        account: bool,
        maps: int | None = None,
    ) -> None:
        super().__init__(model, count, account)
        self.options = options
        self.stabiliser = options.stabiliser
        self.at_sums = Stabiliser(self.stabiliser.absolute)
        self.bias_factor = options.bias_factor
        self.map_names: list[str] = []  # the module of each map that ran, in order
        self._maps = maps
        self._pinned: list[MapRule | None] = []
        self.ends: list[Tensor] = []  # leaves other than words at which relevance ends
        self.watched: dict[int, Book] = {}  # functions that record γ withheld at a value, by its id
        self.books: Books | None = None  # set during each backward pass
        self.put_together = False  # whether gates and signals have come together in a tensor
        self.in_log_space = False  # whether the model has taken the logarithm of a signal
        # Results made in the forward pass of an autograd function, and copies with their graph.
        self.inside: dict[int, tuple[Tensor, Tensor]] = {}

    def again(self, model: nn.Module) -> Self:
        """Return a new run with the same options for a model like this one."""
        return type(self)(model, self.options, self.count, self.account, self._maps)

    def read(self, reading: Reading) -> Tensor:
        """Mark the vectors that an embedding reads as a signal of the documents of their ids."""
        signal = super().read(reading)
        vectors, origin = reading.vectors, reading.origin
        documents = self.documents_of_ids(origin)
        if self.account and bool((origin < 0).any()):  # ids that the model added, such as [CLS]
            share = vectors.detach().masked_fill((origin >= 0).unsqueeze(-1), 0)
            signal = self.absorb(signal, share, "constant", "embedding", documents)
        return self.mark(signal, documents=documents)

    def grad_enabled(self, enabled: bool) -> None:
        """Apply the model's `no_grad` to constants only; signals always keep their graph."""
        self.grad_wanted = enabled

    # An autograd function of the model's own

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function under its law.

        What an autograd function of the model's own computes is seen like all else. But torch then
        puts the backward pass that its author wrote, which is one of gradients, in the place of the
        graph of the laws; so copies with that graph are kept, and used in the place of its results.
        """
        if torch.is_grad_enabled() and not self.inside:
            return super().call(function, args, kwargs, found)
        entry = identify(function)
        writes = writes_over_first(function, entry)
        if not writes:
            args, kwargs = map_tensors((args, kwargs), self.with_laws)
        if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            return super().call(function, args, kwargs)
        if entry is not None and entry.kind in _FACTORS:  # it may write over them afterwards
            with torch.enable_grad():
                args = (*args[:writes], *map_tensors(args[writes:], self._copy_known))
        result = super().call(function, args, kwargs)
        changed = [args[0], *self._with_memory_of(args[0])] if writes else tensors_in(result)
        for tensor in changed:
            self._keep_inside(tensor)
        return result

    def _copy_known(self, value: Tensor) -> Tensor:
        return value if self.checked(value) is None else self.copy_marked(value)

    def _keep_inside(self, result: Tensor) -> None:
        self.inside.pop(id(result), None)
        with suppress(RefusedFunctionError):  # its mark is wrong by now; whoever uses it is told
            mark = self.checked(result)
            if mark is not None:
                with torch.enable_grad():
                    copy = result.clone() if result._base is None else result.view_as(result)
                self.inside[id(result)] = result, put_mark(copy, mark.for_copy(result, copy))

    def _with_memory_of(self, written: Tensor) -> list[Tensor]:
        """Return the values that are kept and have just changed with another."""
        memory = written.untyped_storage().data_ptr()
        kept = (value for value, _ in self.inside.values())
        return [value for value in kept if value.untyped_storage().data_ptr() == memory]

    def with_laws(self, value: Tensor) -> Tensor:
        """Return a value with the graph of the laws, if a backward pass of its own hides it."""
        own = getattr(type(value.grad_fn), "_forward_cls", None)
        if own is None or id(value) not in self.inside or own.__module__.startswith("seqlrp."):
            return value
        return self.inside[id(value)][1]

    # Marks

    def mark(
        self,
        tensor: Tensor,
        *,
        documents: Tensor | None = None,
        gate: bool = False,
        inert: bool = False,
        deferred: DeferredRule | None = None,
        blank: Tensor | None = None,
        mixed: bool = False,
        parts: Tensor | None = None,
        logarithm: bool = False,
    ) -> Tensor:
        """Mark a value with properties that a law has found; by default it is a signal."""
        return self.put(
            tensor,
            Value(
                run=self, documents=documents, gate=gate, inert=inert, deferred=deferred,
                blank=blank, mixed=mixed, parts=parts, logarithm=logarithm,
            ),
        )  # fmt: skip

    def require_mark(self, value: Tensor) -> Value:
        """Return the mark of a value that depends on the input."""
        mark = self.known(value)
        assert mark is not None
        return mark

    def copy_marked(self, value: Tensor) -> Tensor:
        """Copy a value that is about to be overwritten, with its mark."""
        mark, copy = self.known(value), value.clone()
        return copy if mark is None else put_mark(copy, mark.for_copy(value, copy))

    def overwrite(self, target: Tensor, result: Tensor) -> Tensor:
        """Write a result over a tensor, which then gets the mark of the result."""
        mark = self.known(result)
        if mark is None:
            return target.copy_(result)
        was_constant = self.known(target) is None
        if target._base is not None:
            result = self._ready_for_part(target, result, mark)
            mark = self.require_mark(result)
            self.mark_base(target, mark)
        elif was_constant and result.shape != target.shape:
            self.refuse(Tensor.copy_, "a constant is overwritten by a value of another shape")
        target.copy_(result)
        if target.requires_grad and not result.requires_grad:  # nor has what is now in its place
            target.detach_()
        mark = mark.for_copy(result, target)
        self.record_write(target, mark)
        return put_mark(target, mark)

    def _ready_for_part(self, part: Tensor, result: Tensor, mark: Value) -> Tensor:
        """Return a result that may be written over a part of a tensor, its rule applied."""
        assert part._base is not None
        base = mark_of(part._base, self)
        if mark.parts is not None or mark.logarithm:
            self.refuse(Tensor.copy_, "gates and signals, or logarithms, written through a view")
        if mark.gate and base is None:
            self.refuse(Tensor.copy_, "a gate is written into a tensor through a view of it")
        if mark.gate and part.requires_grad != result.requires_grad:
            self.refuse(Tensor.copy_, "a gate is written over a signal through a view of it")
        if isinstance(base, Value):
            base.bounds = base.blank = None
        if mark.gate or mark.deferred is None:
            return result
        signal = self.signal(result, mark, "A write")
        return self.mark(signal, documents=mark.documents, mixed=mark.mixed)

    def mark_hidden_base(self, base: Tensor) -> None:
        """Mark it as a signal, so that a write through the view reaches it."""
        self.mark(base)

    def record_write(self, target: Tensor, mark: Value) -> None:
        """Record that a tensor was just overwritten with the value that has this mark."""
        self.overwrites = True
        record_write(target, self, mark)

    # Rules of maps

    def rule_of_map(self) -> MapRule | None:
        """Return the rule of the map that runs now; None: the ε-rule with the run's ε."""
        if self._pinned:
            return self._pinned[-1]
        composite = self.options.composite
        if not composite:
            return None
        name = self.place()
        chosen = composite.find(name, self.modules.get(name), len(self.map_names), self._maps)
        self.map_names.append(name)
        return chosen

    @contextmanager
    def use_rule_inside(self, rule: MapRule | None) -> Iterator[None]:
        """Use this rule for every map that runs in the context: they are steps of one layer."""
        self._pinned.append(rule)
        try:
            yield
        finally:
            self._pinned.pop()

    def check_rules_used(self) -> None:
        """Refuse a rule that no map has used."""
        if self.options.composite:
            self.options.composite.check_used(self.map_names, self.modules)

    def defer_map(
        self,
        f: Bilinear,
        x: Tensor,
        w: Tensor,
        operation: str,
        *,
        documents: Tensor | None,
        documents_of_x: Tensor | None,
        bias: Tensor | None = None,
        features: int = -1,
    ) -> DeferredRule | None:
        """Return the deferred rule of the map f(x, w) + bias, which belongs to `documents`."""

        def stand_in(value: Tensor, u: Tensor) -> Tensor:
            return self.stand_in(value, u, documents_of_x)

        rule = self.rule_of_map()
        made = (operation, self.ledger_place())
        stabiliser = stabiliser_of(rule, self.stabiliser)
        if stabiliser is not None:
            if not (stabiliser or self.stabiliser or self.bias_factor):
                return None
            deferred = DeferredRule("map", stabiliser, made, features=features)
            if not self.bias_factor:
                return deferred
            ones, same = torch.ones_like(x.detach()), torch.ones_like(w)
            units, count = f(stand_in(x, ones), same), f(ones, same)
            return replace(deferred, units=units, count=count, constant=bias)
        assert rule is not None
        parts = list(rule.weighted(f, x, w, stand_in))
        if bias is not None:
            for k, b in enumerate(rule.biased(bias)):
                if b is not None:
                    parts[k] = self.absorb(parts[k] + b, b, "bias", operation, documents)
        none = Stabiliser(0.0)
        return DeferredRule("map", none, made, features=features, rule=rule, parts=tuple(parts))

    def stand_in(self, x: Tensor, u: Tensor, documents: Tensor | None) -> Tensor:
        """Return the value `u`, and pass its relevance to `x`, from which it is not computed.

        R_x = R_u requires γ_x = γ_u · u / x; the relevance of an x of exactly 0 is booked.
        """
        book = self.booker("zero input", "map", self.ledger_place(), documents)
        result: Tensor = _StandIn.apply(x, u.detach(), book)  # type: ignore[no-untyped-call]
        return result

    # Operands of laws

    def signal(self, value: Tensor, mark: Value, user: str) -> Tensor:
        """Return a value for use as a signal, with its deferred rule applied.

        Raises:
            RefusedFunctionError: a gate without a graph, such as a softmax, is used as a signal.
        """
        if not value.requires_grad and not mark.gate:
            self.check_constant(value)
        together = mark.holds_bare_gates
        if (together or not value.requires_grad) and self.options.on_unknown == "absorb":
            return self.absorb(self.end(value), value, "refused", user, mark.documents)
        if together:
            self.refuse_together(user)
        if mark.logarithm:
            raise RefusedFunctionError(
                f"{user} in {self.describe_place()} uses the logarithm of a signal as a signal; "
                f"there is no law for it. Take its exponential first."
            )
        if mark.gate and mark.mixed:
            self.refuse_mixed(user)
        if not value.requires_grad:
            raise RefusedFunctionError(
                f"{user} in {self.describe_place()} uses as a signal what is known as a gate "
                f"only (from a softmax, an exponential, a norm or standard deviation, a quotient "
                f"of gates, a gate times a constant, or a module named in gates); relevance "
                f"through it has no law here, and would vanish. Use it as a weight in a product, "
                f"or explain the part of the model after it."
            )
        if mark.parts is not None and self.account:
            inert = (mark.parts == Part.INERT).expand(value.shape)
            if bool(inert.any()):  # beside signals a gate times a constant is a constant
                share = value.detach().masked_fill(~inert, 0)
                return self.absorb(value, share, "constant", user, mark.documents)
        if mark.deferred is None:
            return value
        return apply_deferred(self, value, mark.deferred, mark.documents)

    def refuse_mixed(self, user: str) -> NoReturn:
        """Refuse a sum or maximum of gates and signals that is used for itself."""
        raise RefusedFunctionError(
            f"{user} in {self.describe_place()} uses a sum or maximum of signals and of gates that "
            f"have no relevance (a softmax, an exponential, a norm or standard deviation). It may "
            f"only serve to compute gates, as in exp(x - m); relevance through it has no law, and "
            f"would vanish.",
            function=user,
            module=self.place(),
        )

    def refuse_together(self, user: str) -> NoReturn:
        """Refuse to use a tensor in which gates without relevance stand together with signals."""
        raise RefusedFunctionError(
            f"{user} in {self.describe_place()} uses a tensor in which signals stand together with "
            f"gates that have no relevance of their own (a softmax, an exponential, a norm or "
            f"standard deviation). If these only weigh signals later, as a normaliser does, take "
            f"the parts out first (unbind, chunk, an index), or keep them in tensors of their own; "
            f"as signals they have no law.",
            function=user,
            module=self.place(),
        )

    def gives_probabilities(self, output: Any) -> bool:
        """Return whether the output is a gate, made by a softmax or sigmoid.

        Raises:
            RefusedFunctionError: words affect the output only through gates, or in a hidden way.
        """
        mark = self.checked(output)
        if mark is None:
            if isinstance(output, Tensor):
                self.check_constant(output)
            return False
        if mark.inert:
            self.signal(output, mark, "The output")
        if mark.gate and mark.mixed:
            self.refuse_mixed("The output")
        # With attention="attnlrp", the output of a softmax is no gate.
        return mark.gate or type(output.grad_fn).__name__ == "_SoftmaxBackward"

    def connect_scores(self, output: Tensor, scores: Tensor) -> Tensor:
        """Return the scores with their deferred rule applied, as no other function uses them.

        Raises:
            ModelError: a row of the scores belongs to another document.
        """
        mark, shape = self.known(output), scores.shape
        if mark is not None:
            scores = self.signal(output, mark, "The output")
            scores = scores if scores.shape == shape else scores.reshape(shape)
        self.check_documents(scores, mark)
        return scores

    def end(self, value: Tensor) -> Tensor:
        """Return the value as a leaf, at which relevance ends."""
        leaf = value.detach().requires_grad_()
        self.ends.append(leaf)
        return leaf.clone()  # a clone, because a leaf cannot be changed in place

    def before_writing(self, constants: Tensor) -> None:
        """Prepare a tensor of constants for signals that are written into it in place."""
        if self.is_parameter(constants):
            self.refuse(Tensor.copy_, "the model writes into a parameter or buffer of its own")
        kind = self.constant_kind([constants])
        start = self.end(constants)
        constants.copy_(self.absorb_where_written(start, start, kind, constants))

    @staticmethod
    def on_gamma(value: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor:
        """Return a new, unused value with `change` applied to its γ in the backward pass."""
        if value.requires_grad:
            value.register_hook(change)  # type: ignore[no-untyped-call]
        return value

    # The ledger

    def constant_kind(self, terms: Iterable[Any]) -> str:
        """Return `"bias"` if a term is a parameter of the model or its view, else `"constant"`."""
        tensors = (t for t in terms if isinstance(t, Tensor) and self.known(t) is None)
        return "bias" if any(self.is_parameter(t) for t in tensors) else "constant"

    def booker(self, kind: str, operation: str, module: str, documents: Tensor | None) -> Book:
        """Return a function that books relevance as ending in an operation."""

        def book(relevance: Tensor) -> None:
            if self.books is not None:
                self.books.book(kind, operation, module, relevance.detach(), documents)

        return book

    def withheld_at(self, value: Tensor) -> Book | None:
        """Return the function that records γ withheld by a stabiliser at a value, or None."""
        return self.watched.get(id(value))

    def absorb(
        self, y: Tensor, share: Tensor, kind: str, operation: str, documents: Tensor | None
    ) -> Tensor:
        """Return `y`, a sum with the constant `share`; the backward pass books Σ γ·share."""
        if not self.account:
            return y
        book = self.booker(kind, operation, self.place(), documents)
        share = share.detach()

        def note(gamma: Tensor) -> None:
            relevance = gamma * share
            book(relevance.masked_fill(gamma == 0, 0))  # masks add -inf where no relevance goes

        return self.on_gamma(y, note)

    def absorb_where_written(self, y: Tensor, share: Tensor, kind: str, owner: Tensor) -> Tensor:
        """Book Σ γ·share of constants in a tensor `owner` into which signals are written.

        The documents of `owner` are known only after all writes, so they are read in the backward
        pass.
        """
        if not self.account:
            return y
        module, share = self.place(), share.detach()

        def note(gamma: Tensor) -> None:
            mark = mark_of(owner, self)
            documents = None if mark is None else mark.documents
            if documents is not None:
                documents = docs.assign_unowned(documents.expand(owner.shape))
            relevance = (gamma * share).masked_fill(gamma == 0, 0)
            self.booker(kind, "setitem", module, documents)(relevance)

        return self.on_gamma(y, note)


class _StandIn(torch.autograd.Function):
    """See `Run.stand_in`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, u: Tensor, book: Any) -> Tensor:
        ctx.book = book
        ctx.save_for_backward(x, u)
        return u.clone()

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        x, u = ctx.saved_tensors
        relevance = gamma * u
        ctx.book(relevance.masked_fill(x != 0, 0))
        return quotient_or_zero(relevance, x), None, None
