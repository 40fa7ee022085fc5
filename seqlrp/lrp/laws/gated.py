"""Gate rules that give a share to both gate and signal: all except signal-take-all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqlrp.errors import OptionError
from seqlrp.lrp.run import Run


class _Share(torch.autograd.Function):
    """y = gate · signal of one shape; R_gate = share_gate · R_y, R_signal = share_signal · R_y.

    As γ = R / a: γ_gate = share_gate · signal · γ_y, and the other way round (Arras 2019, 3.2).
    """

    @staticmethod
    def forward(ctx: Any, gate: Tensor, signal: Tensor, shares: Any, book: Any) -> Tensor:
        ctx.shares, ctx.book = shares, book
        ctx.save_for_backward(gate, signal)
        return gate * signal

    @staticmethod
    def backward(ctx: Any, gamma: Tensor) -> Any:
        gate, signal = ctx.saved_tensors
        of_gate, of_signal = ctx.shares
        relevance = gamma * gate * signal
        ctx.book("stabiliser", relevance * (1 - of_gate - of_signal))
        if not ctx.needs_input_grad[0]:
            ctx.book("gate", relevance * of_gate)
        return of_gate * signal * gamma, of_signal * gate * gamma, None, None


def share_product(
    run: Run, operands: list[Any], name: str, equation: str, documents: Tensor | None
) -> Tensor:
    """Return the product of a gate and a signal under the gate rule of the run.

    `equation` is that of `torch.einsum`; "" is an elementwise product.
    """
    tensors = [o for o in operands if isinstance(o, Tensor)]
    marks = [run.known(o) for o in tensors]
    if len(tensors) != len(operands) or len(tensors) != 2 or None in marks:
        run.refuse(torch.einsum, "more than a gate and a signal in one product, under a gate rule")
    terms, _, out = equation.partition("->")
    full = out + "".join(c for c in dict.fromkeys(terms) if c not in out + ",")
    ready: list[Tensor] = []
    for k, (tensor, mark) in enumerate(zip(tensors, marks, strict=True)):
        assert mark is not None
        bare = mark.gate and not tensor.requires_grad
        value = tensor.detach() if bare else run.signal(tensor, mark, name)
        if equation:  # expand to the full shape: γ is summed in the backward pass
            pair = [value if j == k else torch.ones_like(t) for j, t in enumerate(tensors)]
            ready.append(torch.einsum(f"{terms}->{full}", *pair))
        else:
            ready.append(torch.add(value, torch.zeros_like(tensors[1 - k])))
    first = 0 if marks[0] is not None and marks[0].gate else 1
    gate, signal = ready[first], ready[1 - first]
    owners = _spread(documents, full, out)
    module = run.ledger_place()
    books = {kind: run.booker(kind, name, module, owners) for kind in ("stabiliser", "gate")}
    shares = run.options.shares(gate.detach(), signal.detach())
    _check_shares(shares, gate)
    nothing = (gate.detach() == 0) | (signal.detach() == 0)  # a share of nothing may be 0 / 0
    of_gate, of_signal = (torch.as_tensor(s, dtype=gate.dtype) for s in shares)
    both = tuple(s.masked_fill(nothing & s.isnan(), 0) for s in (of_gate, of_signal))
    y: Tensor = _Share.apply(  # type: ignore[no-untyped-call]
        gate, signal, both, lambda kind, relevance: books[kind](relevance)
    )
    if len(full) > len(out):
        y = y.sum(list(range(len(out), len(full))))
    return run.mark(y, documents=documents)


def _spread(documents: Tensor | None, full: str, out: str) -> Tensor | None:
    if documents is None or not full:
        return documents
    return documents.reshape(*documents.shape, *(1,) * (len(full) - len(out)))


def _check_shares(shares: Any, gate: Tensor) -> None:
    def fits(share: Any) -> bool:
        if isinstance(share, Tensor):
            return bool(gate.new_zeros(()).expand_as(gate).add(share).shape == gate.shape)
        return isinstance(share, (int, float))

    if not (isinstance(shares, tuple) and len(shares) == 2 and all(map(fits, shares))):
        raise OptionError(
            "A gate_rule of your own must return two shares, that of the gate and that of the "
            f"signal, numbers or tensors that broadcast to {list(gate.shape)}."
        )
