"""Relevance of inner values: what reaches the output of any named module, layer by layer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, OptionError, near
from seqlrp.lrp.marks import substituted, tensors_in

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


class Watch:
    """Notes γ at the outputs of modules during one run of a model.

    Args:
        model: whose modules are watched; it is not touched.
        layers: dotted names of modules, as `model.named_modules()` has them.

    Raises:
        OptionError: a name is no module of the model.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        modules = dict(model.named_modules()) if layers else {}
        if isinstance(layers, str):
            raise OptionError(f"Got layers {layers!r}; expected a list of names: [{layers!r}].")
        for name in layers:
            if not isinstance(name, str):
                raise OptionError(
                    f"Got a {type(name).__name__} among the layers; expected the names of modules, "
                    f"as model.named_modules() has them."
                )
            if name not in modules:
                raise OptionError(f"Got layer {name!r}. {near(name, modules)}")
        self.layers = list(layers)
        self._wanted = {id(modules[name]): name for name in layers}
        self._outputs: dict[str, list[Any]] = {name: [] for name in layers}
        self._gammas: dict[int, Tensor] = {}
        self._held: list[Tensor] = []  # so that their ids stay theirs

    @contextmanager
    def outputs(self, run: Propagation) -> Iterator[None]:
        """While this holds, what the named modules return in this thread is noted."""
        thread = threading.get_ident()

        def note(module: nn.Module, args: Any, output: Any) -> None:
            name = self._wanted.get(id(module))
            if name is None or threading.get_ident() != thread:
                return
            with torch._C.DisableTorchFunction():
                self._outputs[name].append(substituted(output, lambda t: self._seen(run, t)))

        if not self.layers:
            yield
            return
        # A hook for all modules of the process, and not on the user's own, which stay as they are.
        handle = nn.modules.module.register_module_forward_hook(note)
        try:
            yield
        finally:
            handle.remove()

    def _seen(self, run: Propagation, tensor: Tensor) -> Tensor:
        """A copy of an output that stands for it; γ of the original is noted under the copy."""
        copy = tensor.detach().clone()
        if run.known(tensor) is not None and tensor.requires_grad:
            key = id(copy)

            def note(gamma: Tensor) -> None:
                noted = self._gammas.get(key)
                self._gammas[key] = gamma.detach() if noted is None else noted + gamma.detach()

            tensor.register_hook(note)  # type: ignore[no-untyped-call]
            # What a stabiliser withholds at this value was received by it, too.
            run.watched[id(tensor)] = note
            self._held.append(tensor)
        return copy

    def relevance(self) -> dict[str, Any]:
        """Relevance at each named output after one backward pass, which is then forgotten.

        A nest as the module returned it, with relevance in place of values; a list of such nests
        where the module ran several times.
        """
        found: dict[str, Any] = {}
        for name, calls in self._outputs.items():
            if not calls:
                raise ModelError(
                    f"Module {name!r} was never called, so it has no output; its weights may be "
                    f"used by another module (a head of nn.MultiheadAttention, say)."
                )
            nests = [substituted(call, self._relevance_of) for call in calls]
            found[name] = nests[0] if len(nests) == 1 else nests
        self._gammas.clear()
        return found

    def _relevance_of(self, value: Tensor) -> Tensor:
        gamma = self._gammas.get(id(value))
        if not value.dtype.is_floating_point:
            return value
        return torch.zeros_like(value) if gamma is None else gamma * value


def stacked(passes: list[dict[str, Any]]) -> dict[str, Any]:
    """The relevance of several targets as one, `[C, ...]` in place of each tensor."""
    together: dict[str, Any] = {}
    for name in passes[0]:
        columns = [tensors_in(found[name]) for found in passes]
        rows = iter([torch.stack(same) for same in zip(*columns, strict=True)])

        def row(value: Tensor, rows: Iterator[Tensor] = rows) -> Tensor:
            return next(rows)

        together[name] = substituted(passes[0][name], row)
    return together
