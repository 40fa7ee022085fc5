"""What every method offers."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from seqlrp.lrp import Attribution
from seqlrp.lrp.door import Target


class Method(Protocol):
    """A way to say how much each word speaks for a class."""

    name: str

    def __init__(self, model: nn.Module) -> None: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that the relevance depends on, JSON values, for the record."""
        ...

    def attribution(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Relevance `[B, T]` (`[B, C, T]` for `"all"`), scores, target, and a ledger or None.

        Args:
            inputs: ids `[B, T]` of int64 (or `[B, S, W]`), or vectors `[B, T, D]`.
            target: `"predicted"`, a class index, a tensor `[B]`, or `"all"`.
            additional_forward_args: what the model takes after its input.
            padding: bool, shaped as the ids, True on padding.
        """
        ...
