"""What a run knows of a value: signal or gate, whether its ε-rule is still due, whose it is.

A mark is a plain attribute on a tensor that the run itself made, so it is found again wherever
the model carries that tensor, and goes when the tensor goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

_ATTRIBUTE = "_seqlrp_mark"


@dataclass(slots=True)
class Mark:
    """A note on one tensor of one run.

    Attributes:
        run: the run that made it; a mark of another run means nothing.
        gate: the value came out of a sigmoid or softmax, and is a constant in a product.
        inert: a gate times a constant: in a sum it is a bias, as the signal of that product is.
        due: None, or the ε-rule has yet to be applied to this value before anybody uses it; it
            is the output of a linear `"map"` or of a `"sum"`. Put off, because the denominator is
            the whole pre-activation: `W x + U h + b` has one, not one for each branch.
        denominator: the `z` of the ε-rule that is due; None stands for the value itself.
        documents: int64, broadcastable to the value: which document each element belongs to.
        made: the operation, and the module it ran in, whose ε-rule is due.
        origin: for ids: int64, same shape: which element of the given ids this one is.
    """

    run: Any
    gate: bool = False
    inert: bool = False
    due: Literal["map", "sum"] | None = None
    denominator: Tensor | None = None
    documents: Tensor | None = None
    made: tuple[str, str] | None = None
    origin: Tensor | None = None


def mark_of(value: object, run: object) -> Mark | None:
    """The mark that this run put on a tensor, if any."""
    mark: Mark | None = getattr(value, _ATTRIBUTE, None) if isinstance(value, Tensor) else None
    return mark if mark is not None and mark.run is run else None


def put_mark(tensor: Tensor, mark: Mark) -> Tensor:
    """Mark a tensor, and return it."""
    setattr(tensor, _ATTRIBUTE, mark)
    return tensor


def tensors_in(value: object) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


def substituted(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest of tuples, lists and dicts with `change` applied to every tensor."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [substituted(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: substituted(item, change) for key, item in value.items()}
    return value
