"""The mode under which a model runs unchanged while each function it calls obeys its law.

Forward, every torch function goes through `table.py`; backward, automatic differentiation carries
γ = R / a instead of a gradient. This module holds what the laws ask of a run: which rule a map
has, a value with its rule settled, and the entries of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from seqlrp.errors import IdsError, ModelError, RefusedFunctionError
from seqlrp.lrp import documents as docs
from seqlrp.lrp.due import Due, settle
from seqlrp.lrp.following import FollowingMode
from seqlrp.lrp.functions import arranged, full_name, spelled
from seqlrp.lrp.laws.absorbed import absorbed
from seqlrp.lrp.laws.moving import dropout
from seqlrp.lrp.ledger import Books
from seqlrp.lrp.map_rules import Bilinear, MapRule, absolute_epsilon
from seqlrp.lrp.marks import Mark, mark_of, tensors_in
from seqlrp.lrp.options import Options
from seqlrp.lrp.rules import divided
from seqlrp.lrp.table import RANDOM, RANDOM_NAMES, lookup


class Propagation(FollowingMode):
    """One forward pass of one model, and the γ that flows back through it.

    Args:
        model: whose modules are named in errors and ledger.
        options: what the user chose about the laws.
        count: the number of documents, or None where the ids alone do not tell.
        account: whether a ledger is kept.
        maps: how many maps the model runs, where a rule counts from the last.
    """

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
        self.epsilon = float(options.epsilon)
        self.map_names: list[str] = []  # the module of each map that ran, in order
        self._maps = maps
        self._pinned: list[MapRule | None] = []
        self.ends: list[Tensor] = []  # leaves, besides words, at which relevance arrives
        self.watched: dict[int, Callable[[Tensor], None]] = {}  # see `Watch`, by id of a value
        self._grad_enabled = True
        self.books: Books | None = None  # opened for each backward pass

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`; the result is a signal, and belongs to the documents of its ids."""
        signal = super().read(vectors, origin)
        if self.account and bool((origin < 0).any()):  # ids that the model added, such as [CLS]
            share = vectors.detach().masked_fill((origin >= 0).unsqueeze(-1), 0)
            signal = self.absorb(signal, share, "constant", "embedding", self.owner(origin))
        return self.mark(signal, documents=self.owner(origin))

    # Which rule holds where

    def rule_of_map(self) -> MapRule | None:
        """The rule of the map that runs now; None: the ε-rule with the run's ε."""
        if self._pinned:
            return self._pinned[-1]
        composite = self.options.composite
        if not composite:
            return None
        name = self.place()
        chosen = composite.chosen(name, self.modules.get(name), len(self.map_names), self._maps)
        self.map_names.append(name)
        return chosen

    @contextmanager
    def pinned(self, rule: MapRule | None) -> Iterator[None]:
        """Every map that runs inside has this rule: they are steps of one layer."""
        self._pinned.append(rule)
        try:
            yield
        finally:
            self._pinned.pop()

    def check_rules_used(self) -> None:
        """Refuse a rule that no map asked for."""
        self.options.composite.check_used(self.map_names, self.modules)

    def due_of_map(
        self,
        f: Bilinear,
        x: Tensor,
        w: Tensor,
        operation: str,
        *,
        documents: Tensor | None,
        whose: Tensor | None,
        bias: Tensor | None = None,
        features: int = -1,
    ) -> Due | None:
        """What is due at the map f(x, w) + bias; its rule decides.

        `documents` and `whose` are the documents of the result and of x.
        """

        def stand_in(value: Tensor, u: Tensor) -> Tensor:
            return self.stand_in(value, u, whose)

        rule = self.rule_of_map()
        made = (operation, self.booked_place())
        epsilon = absolute_epsilon(rule, self.epsilon)
        if epsilon is not None:
            if not (epsilon or self.epsilon or self.options.bias_factor):
                return None
            due = Due("map", epsilon, made, features=features)
            if not self.options.bias_factor:
                return due
            ones, same = torch.ones_like(x.detach()), torch.ones_like(w)
            return Due(
                "map", epsilon, made, features=features,
                units=f(stand_in(x, ones), same), count=f(ones, same), constant=bias,
            )  # fmt: skip
        assert rule is not None
        parts = list(rule.weighted(f, x, w, stand_in))
        if bias is not None:
            for k, b in enumerate(rule.biased(bias)):
                if b is not None:
                    parts[k] = self.absorb(parts[k] + b, b, "bias", operation, documents)
        return Due("map", 0.0, made, features=features, rule=rule, parts=tuple(parts))

    def stand_in(self, x: Tensor, u: Tensor, documents: Tensor | None) -> Tensor:
        """The value `u`, which is not made of `x`, whose relevance `x` receives all the same.

        R_x = R_u asks for γ_x = γ_u · u / x; what an exact 0 would receive is booked.
        """
        book = self.booker("zero input", "map", self.booked_place(), documents)
        result: Tensor = _StandIn.apply(x, u.detach(), book)  # type: ignore[no-untyped-call]
        return result

    def signal(self, value: Tensor, mark: Mark, user: str) -> Tensor:
        """The value ready to be used as a signal: with the rule that was due at it applied.

        Raises:
            RefusedFunctionError: a gate that carries no graph (a softmax, say) used as a signal.
        """
        if not value.requires_grad and not mark.gate:
            self.check_constant(value)
        if not value.requires_grad and self.options.on_unknown == "absorb":
            return self.absorb(self.end(value), value, "refused", user, mark.documents)
        if not value.requires_grad:
            raise RefusedFunctionError(
                f"{user} in {self.place_in_words()} uses as a signal what is known as a gate "
                f"only (from a softmax, an exponential, a quotient of gates, or a gate times a "
                f"constant); relevance through it has no law here, and would vanish. Use it as a "
                f"weight in a product, or explain the part of the model after it."
            )
        return value if mark.due is None else settle(self, value, mark)

    def end(self, value: Tensor) -> Tensor:
        """The same value as one that is made of nothing: relevance that arrives stays there."""
        leaf = value.detach().requires_grad_()
        self.ends.append(leaf)
        return leaf.clone()  # a clone, because a leaf cannot be changed in place

    def absorb_where_written(self, y: Tensor, share: Tensor, kind: str, owner: Tensor) -> Tensor:
        """As `absorb`, for constants beside which signals are written into the tensor `owner`.

        Whose they are is known only when all has been written: when relevance flows.
        """
        if not self.account:
            return y
        module, share = self.place(), share.detach()

        def note(gamma: Tensor) -> None:
            mark = mark_of(owner, self)
            documents = None if mark is None else mark.documents
            if documents is not None:
                documents = docs.claimed(documents.expand(owner.shape))
            relevance = (gamma * share).masked_fill(gamma == 0, 0)
            self.booker(kind, "setitem", module, documents)(relevance)

        return self.on_gamma(y, note)

    def opened(self, constants: Tensor) -> None:
        """Make a tensor of constants one that signals can be written into, in place."""
        if self.is_own(constants):
            self.refuse(Tensor.copy_, "the model writes into a parameter or buffer of its own")
        kind = self.constant_kind([constants])
        start = self.end(constants)
        constants.copy_(self.absorb_where_written(start, start, kind, constants))

    @staticmethod
    def on_gamma(value: Tensor, change: Callable[[Tensor], Tensor | None]) -> Tensor:
        """A value just made and used nowhere yet, whose γ goes through `change` on its way back."""
        if value.requires_grad:
            value.register_hook(change)  # type: ignore[no-untyped-call]
        return value

    # The ledger

    def constant_kind(self, terms: Iterable[Any]) -> str:
        """`"bias"` where a term is a parameter of the model or a view of one, else `"constant"`."""
        tensors = (t for t in terms if isinstance(t, Tensor) and self.known(t) is None)
        return "bias" if any(self.is_own(t) for t in tensors) else "constant"

    def booker(
        self, kind: str, operation: str, module: str, documents: Tensor | None
    ) -> Callable[[Tensor], None]:
        """A function that books relevance as ending in an operation."""

        def book(relevance: Tensor) -> None:
            if self.books is not None:
                self.books.book(kind, operation, module, relevance.detach(), documents)

        return book

    def absorb(
        self, y: Tensor, share: Tensor, kind: str, operation: str, documents: Tensor | None
    ) -> Tensor:
        """`y`, a sum that has the constant `share` in it: Σ γ·share is booked on the way back."""
        if not self.account:
            return y
        book = self.booker(kind, operation, self.place(), documents)
        share = share.detach()

        def note(gamma: Tensor) -> None:
            relevance = gamma * share
            book(relevance.masked_fill(gamma == 0, 0))  # masks add -inf where no relevance goes

        return self.on_gamma(y, note)

    # Every function that the model calls

    def grad_enabled(self, enabled: bool) -> None:
        """As `InputMode.grad_enabled`, but obeyed for constants; γ flows through signals anyway."""
        self._grad_enabled = enabled

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Look a function up in the table and apply its law, or refuse it by name."""
        values = tensors_in((args, kwargs))
        signals = False
        for value in values:
            if self.known(value) is not None:
                signals = True
            elif mark_of(value, self) is None:
                self.check_constant(value)
        drawn = function in RANDOM or full_name(function) in RANDOM_NAMES
        # A module that is being built may fill its parameters with numbers, to be overwritten.
        filled = args[0] if args and full_name(function).endswith("_") else kwargs.get("tensor")
        if drawn and not isinstance(filled, nn.Parameter):
            raise ModelError(
                f"The model draws random numbers with {full_name(function)} in "
                f"{self.place_in_words()}; its answer would change from call to call."
            )
        if signals:
            law = lookup(function)
            if spelled(function) in ("embedding", "embedding_bag"):
                _refuse_vectors(self.readings[0].vectors, full_name(function))
            if law is None and self.options.on_unknown == "absorb":
                law = absorbed
            if law is None:
                self.refuse(function)
            if kwargs.get("out") is not None:
                self.refuse(function, "a result written to out=")
            args, kwargs = arranged(function, args, kwargs)
            if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                return law(self, function, args, kwargs)
            with torch.inference_mode(False), torch.enable_grad():
                return law(self, function, args, kwargs)
        if spelled(function) == "dropout":
            dropout(self, function, args, kwargs)  # refuses one that is on
        if self._grad_enabled and getattr(function, "__name__", "") != "__set__":
            args, kwargs = self.constants_detached(args), self.constants_detached(kwargs)
        with torch.set_grad_enabled(self._grad_enabled):
            return function(*args, **kwargs)


def _refuse_vectors(vectors: Tensor, name: str) -> NoReturn:
    shape = list(vectors.squeeze(-1).shape)
    raise IdsError(
        f"Got vectors of shape {shape}, but the model looks ids up with {name}; ids must be of "
        f"dtype int64, these are {vectors.dtype}."
    )


class _StandIn(torch.autograd.Function):
    """See `Propagation.stand_in`."""

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
        return divided(relevance, x), None, None
