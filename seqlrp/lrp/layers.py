"""Relevance of inner values: at the output of any named module, of its units, or through them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.errors import ModelError, OptionError, check_choice
from seqlrp.lrp.units import Through, check_through, check_units, units_of

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


class _Place(NamedTuple):
    """One float tensor in the output of a module.

    Attributes:
        value: a copy, under which γ is noted.
        documents: int64, of its shape: the document of each element; None for a single document.
        units: int64, broadcastable to it: the unit of each element.
    """

    value: Tensor
    documents: Tensor | None
    units: Tensor


class LayerRecorder:
    """Records γ at the outputs of named modules during one run of a model, and lets it pass or not.

    Args:
        model: the model; it is not changed.
        layers: dotted names of modules, as in `model.named_modules()`, whose relevance is wanted.
        units: names of modules the relevance of whose units is wanted.
        through: the units of modules through which relevance passes, by name; it passes through
            all units of other modules.

    Raises:
        OptionError: a name is no module of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        units: Sequence[str] = (),
        through: Through | None = None,
    ) -> None:
        self.through = check_through(through)
        named: dict[str, Sequence[str]] = {
            "layers": layers, "units": units, "through": list(self.through)
        }  # fmt: skip
        modules = dict(model.named_modules()) if any(named.values()) else {}
        for option, names in named.items():
            if isinstance(names, str):
                raise OptionError(
                    f"Got {option}={names!r}; expected a list of names: [{names!r}].",
                    option=option,
                    got=names,
                )
            for name in names:
                check_choice(option, name, modules)
        if self.through and (layers or units):
            raise OptionError(
                "Relevance at layers and relevance through units are two questions: call twice, "
                "with layers= and with through=.",
                option="through",
            )
        self.layers, self.units = list(layers), list(units)
        self._modules = modules
        wanted = dict.fromkeys([*layers, *units, *self.through])
        self._wanted = {id(modules[name]): name for name in wanted}
        self._outputs: dict[str, list[Any]] = {name: [] for name in wanted}
        self._places: dict[str, list[list[_Place]]] = {name: [] for name in wanted}
        self._gammas: dict[int, Tensor] = {}
        self._passing: dict[str, bool] = {}  # whether γ passes the chosen units of a module
        self._reached: list[tuple[dict[str, Any], dict[str, Tensor]]] = []  # by backward pass
        self._held: list[Tensor] = []  # kept alive, so that their ids stay unique

    @property
    def records(self) -> bool:
        """Whether relevance at layers or of units is wanted."""
        return bool(self.layers or self.units)

    def recording(self, run: Propagation) -> AbstractContextManager[None]:
        """Record the outputs of the named modules in this thread, while the context lasts."""
        return self._recording(run) if self._wanted else nullcontext()

    @contextmanager
    def _recording(self, run: Propagation) -> Iterator[None]:
        thread = threading.get_ident()

        def note(module: nn.Module, args: Any, output: Any) -> None:
            name = self._wanted.get(id(module))
            if name is None or threading.get_ident() != thread:
                return
            with torch._C.DisableTorchFunction():
                self._note_output(run, name, output)

        # A global hook, so that the user's modules stay unchanged.
        handle = nn.modules.module.register_module_forward_hook(note)
        try:
            yield
        finally:
            handle.remove()

    def _note_output(self, run: Propagation, name: str, output: Any) -> None:
        units: Iterator[Tensor] = iter(())
        if name in self.units or name in self.through:
            found = units_of(name, self._modules[name], output)
            check_units(name, self.through.get(name, ()), found)
            units = iter(found)
        places: list[_Place] = []

        def record(tensor: Tensor) -> Tensor:
            of_elements = next(units, None) if tensor.is_floating_point() else None
            copy = self._record(run, name, tensor, of_elements)
            if of_elements is not None:
                places.append(_Place(copy, run.documents_of(tensor), of_elements))
            return copy

        self._outputs[name].append(map_tensors(output, record))
        self._places[name].append(places)
        if name in self.through and len(self._outputs[name]) > 1:
            raise ModelError(
                f"Module {name!r} runs several times, so that relevance passes its units more than "
                "once; name a module that runs once, such as a whole recurrent layer.",
                module=name,
            )

    def _record(self, run: Propagation, name: str, tensor: Tensor, units: Tensor | None) -> Tensor:
        """Return a copy that represents an output; γ of the original is stored under the copy."""
        copy = tensor.detach().clone()
        mark = run.checked(tensor)
        if mark is None or not tensor.requires_grad:
            return copy
        if mark.logarithm:
            raise OptionError(
                f"Module {name!r} returns the logarithm of a signal, whose relevance is that of "
                f"its exponential; name the module that takes it.",
                got=name,
            )
        if name in self.through and mark.deferred is not None and not mark.deferred.plain:
            raise OptionError(
                f"Module {name!r} has a rule or a bias_factor under which relevance does not pass "
                "its output, but goes from its users to its inputs; through= needs the ε-rule.",
                option="through",
                got=name,
            )
        key, mask = id(copy), self._mask(name, tensor, units)

        def note(gamma: Tensor | None) -> None:
            if gamma is None:  # only another output of the same function has been used
                return
            noted = self._gammas.get(key)
            self._gammas[key] = gamma.detach() if noted is None else noted + gamma.detach()

        def select(gamma: Tensor | None) -> Tensor | None:
            if mask is None or gamma is None:
                note(gamma)
                return None
            return gamma * mask if self._passing[name] else torch.zeros_like(gamma)

        tensor.register_hook(select)  # type: ignore[no-untyped-call]
        # The value also received the relevance that a stabiliser withholds at it.
        run.watched[id(tensor)] = note
        self._held.append(tensor)
        return copy

    def _mask(self, name: str, tensor: Tensor, units: Tensor | None) -> Tensor | None:
        """Return 1 at the units through which relevance passes and 0 elsewhere; None for all."""
        if name not in self.through or units is None:
            return None
        chosen = torch.tensor(self.through[name], dtype=torch.int64, device=units.device)
        return torch.isin(units, chosen).to(tensor.dtype)

    def selections(self) -> Iterator[tuple[int, bool]]:
        """Let γ pass the chosen units in turn; yield the sign of each pass, and whether it is last.

        Relevance through the units U of one layer is that of a pass in which all other units of the
        layer are blocked, less that of a pass in which all its units are: what goes around the
        layer. Through units of several layers it is the same difference for each of them, so that
        there is a pass for every set of layers that are blocked.
        """
        states = list(product((True, False), repeat=len(self.through)))
        for k, state in enumerate(states):
            self._passing = dict(zip(self.through, state, strict=True))
            yield (-1) ** state.count(False), k + 1 == len(states)

    def relevance(self) -> dict[str, Any]:
        """Return the relevance at each named output after one backward pass.

        The result has the structure that the module returned, with relevance in place of values; a
        list of these if the module ran several times.
        """
        found: dict[str, Any] = {}
        for name in self.layers:
            nests = [map_tensors(call, self._relevance_of) for call in self._calls(name)]
            found[name] = nests[0] if len(nests) == 1 else nests
        return found

    def relevance_of_units(self, documents: int) -> dict[str, Tensor]:
        """Return the relevance `[B, U]` of the units of each named module over all steps."""
        found = {}
        for name in self.units:
            self._calls(name)
            places = [place for call in self._places[name] for place in call]
            count = check_units(name, (), [place.units for place in places])
            total = torch.zeros(documents * count, dtype=torch.float64)
            for value, owner, units in places:
                relevance = self._relevance_of(value).double()
                total = total.to(relevance.device)
                place = units.expand(relevance.shape)
                if owner is not None:
                    relevance = relevance.masked_fill(owner < 0, 0)
                    place = place + owner.clamp(min=0) * count
                total.index_add_(0, place.reshape(-1), relevance.reshape(-1))
            found[name] = total.reshape(documents, count)
        return found

    def close_pass(self, documents: int) -> None:
        """Keep what one backward pass has brought, and begin the next one with nothing."""
        self._reached.append((self.relevance(), self.relevance_of_units(documents)))
        self._gammas.clear()

    def results(self, every: bool) -> tuple[dict[str, Any] | None, dict[str, Tensor] | None]:
        """Return `layers` and `units` of an `Attribution`; `every` if every class is a target."""
        layers = [of_layers for of_layers, _ in self._reached]
        units = [of_units for _, of_units in self._reached]
        if every:
            layers = [stack_passes(layers)] if self.layers else []
            units = [{name: torch.stack([u[name] for u in units], 1) for name in self.units}]
        return layers[0] if self.layers else None, units[0] if self.units else None

    def _calls(self, name: str) -> list[Any]:
        calls = self._outputs[name]
        if not calls:
            raise ModelError(
                f"Module {name!r} was never called, so it has no output; its weights may be "
                f"used by another module (a head of nn.MultiheadAttention, say).",
                module=name,
            )
        return calls

    def check_called(self) -> None:
        """Refuse units of a module that the model never calls."""
        for name in self.through:
            self._calls(name)

    def _relevance_of(self, value: Tensor) -> Tensor:
        gamma = self._gammas.get(id(value))
        if not value.dtype.is_floating_point:
            return value
        return torch.zeros_like(value) if gamma is None else gamma * value


def stack_passes(passes: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack the relevance of several targets, to `[C, ...]` in place of each tensor."""
    together: dict[str, Any] = {}
    for name in passes[0]:
        columns = [tensors_in(found[name]) for found in passes]
        rows = iter([torch.stack(same) for same in zip(*columns, strict=True)])

        def row(value: Tensor, rows: Iterator[Tensor] = rows) -> Tensor:
            return next(rows)

        together[name] = map_tensors(passes[0][name], row)
    return together
