"""The entries of a ledger name what took the relevance."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from collections.abc import Callable

import torch
from samples.model_functions.classifiers import last_states_transposed
from samples.model_functions.layers import FULL, PADDED, Forward, Written, attribute, close
from samples.model_functions.recurrences import fused_lstm
from torch import Tensor


def test_entries_name_operations_and_modules() -> None:
    _, ledger = attribute(last_states_transposed, PADDED)
    named = {(e.kind, e.operation, e.module) for e in ledger.entries}
    assert ("bias", "linear", "mlp.0") in named
    assert ("stabiliser", "linear", "mlp.5") in named
    assert ("bias", "linear", "mlp.5") not in named  # it has none
    assert ("bias", "lstm bias_hh_l0_reverse", "both") in named


def test_a_bias_is_a_bias_in_any_shape() -> None:
    def function_name(f: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Forward:
        def write(m: Written, ids: Tensor) -> Tensor:
            return f(m.lstm(m.emb(ids))[0][:, -1], m.head.weight, m.head.bias)

        return write

    _, ledger = attribute(fused_lstm, FULL)
    for f in (
        lambda h, w, b: h @ w.T + b,
        lambda h, w, b: h @ w.T + b.unsqueeze(0),
        lambda h, w, b: b.view(1, -1) + h @ w.T,
        lambda h, w, b: torch.addmm(b, h, w.T),
    ):
        _, account = attribute(function_name(f), FULL)
        close(account.total("bias"), ledger.total("bias"))
