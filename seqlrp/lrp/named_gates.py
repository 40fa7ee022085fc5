"""Gates by name: modules whose output is a constant in products, as the option `gates=` says.

A sigmoid shows that it is a gate. The parameters Δ, B and C of a selective state space, and the
queries and keys of a matrix memory, are linear in the words, and nothing in the code shows whether
they select or carry. MambaLRP (Jafari et al. 2024) takes the parameters of the state space as
constants: for a product y = p · x, R_x = R_y and R_p = 0.

The output of a named module is marked as a gate times a constant: no relevance flows through it,
and in a sum it counts as a bias.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.nests import map_tensors
from seqlrp.errors import OptionError, check_choice
from seqlrp.lrp.run import Run


def check_gates(names: Sequence[str], model: nn.Module) -> None:
    """Check that every name is that of a module inside of the model.

    Raises:
        OptionError: there is no such module; the message names the nearest.
    """
    if names:
        known = [name for name, _ in model.named_modules() if name]
        for name in names:
            check_choice("gates", name, known)


@contextmanager
def take_for_gates(run: Run, names: Sequence[str]) -> Iterator[None]:
    """Take the outputs of the named modules for gates in this thread, while the context lasts.

    Raises:
        OptionError: a named module has not run, so that it has no output.
    """
    thread = threading.get_ident()
    named = {id(run.modules[name]): name for name in names}
    called: set[str] = set()

    def replace(module: nn.Module, args: Any, output: Any) -> Any:
        if id(module) not in named or threading.get_ident() != thread:
            return None
        called.add(named[id(module)])
        with torch._C.DisableTorchFunction():
            return map_tensors(output, lambda tensor: _gate(run, tensor))

    # A global hook, so that the user's modules stay unchanged.
    handle = nn.modules.module.register_module_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
    for name in names:
        if name not in called:
            raise OptionError(
                f"Module {name!r}, named in gates, was never called, so that it has no output to "
                f"take for a gate; the model may use its weights directly. Name the module that "
                f"makes its input.",
                option="gates",
                got=name,
            )


def _gate(run: Run, tensor: Tensor) -> Tensor:
    mark = run.checked(tensor)
    if mark is None or not tensor.dtype.is_floating_point:
        return tensor
    value = tensor.detach().clone()  # the model may change it in place
    return run.mark(value, gate=True, inert=True, documents=mark.documents)
