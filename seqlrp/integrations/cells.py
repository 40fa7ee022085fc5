"""Recurrent layers that PyTorch does not have, written step by step in plain functions.

They were the defaults of Keras: gates with a hard sigmoid (until 2.2), and GRUs whose reset gate
comes before the product with the recurrent weights (until 2.x, as in Cho et al. 2014). Parameters
have the names and the layout of `nn.LSTM` and `nn.GRU`. Each step uses functions that `seqlrp.LRP`
has laws for: maps, gates, products and sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlrp.errors import check_choice

Gate = Literal["sigmoid", "hard_sigmoid", "hard_sigmoid_keras3"]

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    # min(max(x/5 + 1/2, 0), 1), where the function of PyTorch and Keras 3 has x/6.
    "hard_sigmoid": lambda x: F.hardsigmoid(1.2 * x),
    "hard_sigmoid_keras3": F.hardsigmoid,
}


class _Stepwise(nn.Module):
    """A recurrent layer with one or two directions, batch first, with zero initial states."""

    blocks: int  # the number of blocks of H rows in the weights

    def __init__(
        self, inputs: int, hidden: int, *, gate: Gate, bidirectional: bool, bias: tuple[bool, bool]
    ) -> None:
        super().__init__()
        self.hidden = hidden
        check_choice("gate", gate, GATES)
        self.gate = gate
        self.directions = ("", "_reverse")[: 1 + bidirectional]
        rows = self.blocks * hidden
        for end in self.directions:
            for name, columns in (("ih", inputs), ("hh", hidden)):
                weight = nn.Parameter(torch.empty(rows, columns))
                nn.init.uniform_(weight, -(hidden**-0.5), hidden**-0.5)
                self.register_parameter(f"weight_{name}_l0{end}", weight)
            for name, there in zip(("ih", "hh"), bias, strict=True):
                value = nn.Parameter(torch.zeros(rows)) if there else None
                self.register_parameter(f"bias_{name}_l0{end}", value)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Read vectors `[B, T, D]`; return all states `[B, T, R·H]` and the last `[R, B, H]`."""
        read, last = [], []
        for end in self.directions:
            steps = list(vectors.unbind(1))
            states = self.run(steps[::-1] if end else steps, end)
            last.append(states[-1])
            read.append(torch.stack(states[::-1] if end else states, dim=1))
        return torch.cat(read, dim=2), torch.stack(last)

    def parts(self, end: str) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return the weights and biases of a direction: for the inputs and for the state."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (getattr(self, f"{name}_l0{end}") for name in names)
        return w_ih, w_hh, b_ih, b_hh

    def run(self, steps: list[Tensor], end: str) -> list[Tensor]:
        """Return the state `[B, H]` after each of the steps `[B, D]`."""
        raise NotImplementedError


class StepwiseLSTM(_Stepwise):
    """An LSTM (Gers et al. 1999) with a choice of the gate function.

    c' = f ∘ c + i ∘ tanh(g), h' = o ∘ tanh(c'); rows in the order i, f, g, o.

    Raises:
        OptionError: there is no such gate function.
    """

    blocks = 4

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        gate: Gate = "hard_sigmoid",
        bidirectional: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(inputs, hidden, gate=gate, bidirectional=bidirectional, bias=(bias, bias))

    def run(self, steps: list[Tensor], end: str) -> list[Tensor]:
        """Return the state `[B, H]` after each of the steps `[B, D]`."""
        w_ih, w_hh, b_ih, b_hh = self.parts(end)
        gate = GATES[self.gate]
        h = c = steps[0].new_zeros(len(steps[0]), self.hidden)
        states = []
        for x in steps:
            z = F.linear(x, w_ih, b_ih) + F.linear(h, w_hh, b_hh)
            i, f, g, o = z.chunk(4, dim=1)
            c = gate(f) * c + gate(i) * torch.tanh(g)
            h = gate(o) * torch.tanh(c)
            states.append(h)
        return states


class StepwiseGRU(_Stepwise):
    """A GRU whose reset gate comes before the product, as in Cho et al. 2014, or after it.

    n = tanh(W x + b + U (r ∘ h)), or with `reset_after` n = tanh(W x + b + r ∘ (U h + b')), which
    is what `nn.GRU` computes; h' = (1 − z) ∘ n + z ∘ h. Rows in the order r, z, n.

    Raises:
        OptionError: there is no such gate function.
    """

    blocks = 3

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        reset_after: bool = False,
        gate: Gate = "sigmoid",
        bidirectional: bool = False,
        bias: bool = True,
    ) -> None:
        biases = bias, bias and reset_after
        super().__init__(inputs, hidden, gate=gate, bidirectional=bidirectional, bias=biases)
        self.reset_after = reset_after

    def run(self, steps: list[Tensor], end: str) -> list[Tensor]:
        """Return the state `[B, H]` after each of the steps `[B, D]`."""
        w_ih, w_hh, b_ih, b_hh = self.parts(end)
        gate, H = GATES[self.gate], self.hidden
        h = steps[0].new_zeros(len(steps[0]), H)
        states = []
        for x in steps:
            of_x = F.linear(x, w_ih, b_ih)
            if self.reset_after:
                of_h = F.linear(h, w_hh, b_hh)
                r, z = gate(of_x[:, : 2 * H] + of_h[:, : 2 * H]).chunk(2, dim=1)
                n = torch.tanh(of_x[:, 2 * H :] + r * of_h[:, 2 * H :])
            else:
                r, z = gate(of_x[:, : 2 * H] + F.linear(h, w_hh[: 2 * H])).chunk(2, dim=1)
                n = torch.tanh(of_x[:, 2 * H :] + F.linear(r * h, w_hh[2 * H :]))
            h = (1 - z) * n + z * h
            states.append(h)
        return states
