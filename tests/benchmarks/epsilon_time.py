"""The time of LRP with ε relative to a row's mean |z|, over that with an absolute ε, side by side.

One table: a row for each kind of model and number of texts, with the median of both in
milliseconds of processor time, and their quotient.

    python tests/benchmarks/epsilon_time.py [--seconds 4] [--threads 1] [--impl auto torch]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.benchmark.contenders import Contender
from seqlrp.benchmark.timing import time_interleaved

EMBEDDING, HIDDEN, CLASSES = 50, 128, 4
RULES: dict[str, dict[str, Any]] = {"absolute": {"epsilon": 5e-3}, "relative": {"epsilon": "5%"}}


class Reader(nn.Module):
    """An embedding, what makes a vector of each word of it, their mean and a linear layer."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, EMBEDDING)
        self.body = body
        self.head = nn.Linear(width, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        """Score ids `[B, T]` as `[B, C]`."""
        scores: Tensor = self.head(self.body(self.embedding(ids)).mean(1))
        return scores


class Layer(nn.Module):
    """A recurrent layer of the library."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.layer = kind(EMBEDDING, HIDDEN, batch_first=True)

    def forward(self, vectors: Tensor) -> Tensor:
        """Its outputs `[B, T, H]`."""
        outputs: Tensor = self.layer(vectors)[0]
        return outputs


class Cells(nn.Module):
    """A loop over the steps with a cell of the library."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(EMBEDDING, HIDDEN)

    def forward(self, vectors: Tensor) -> Tensor:
        """The hidden states `[B, T, H]`."""
        state, found = None, []
        for x in vectors.unbind(1):
            state = self.cell(x, state)
            found.append(state[0])
        return torch.stack(found, 1)


class Written(nn.Module):
    """An LSTM written out in linear layers, gates and products."""

    def __init__(self) -> None:
        super().__init__()
        self.of_x = nn.Linear(EMBEDDING, 4 * HIDDEN)
        self.of_h = nn.Linear(HIDDEN, 4 * HIDDEN)

    def forward(self, vectors: Tensor) -> Tensor:
        """The hidden states `[B, T, H]`."""
        h = c = vectors.new_zeros(len(vectors), HIDDEN)
        found = []
        for x in vectors.unbind(1):
            i, f, g, o = (self.of_x(x) + self.of_h(h)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            found.append(h)
        return torch.stack(found, 1)


class Convolution(nn.Module):
    """Filters of three words."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Conv1d(EMBEDDING, HIDDEN, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        """What they find, `[B, T, H]`."""
        return torch.relu(self.filters(vectors.transpose(1, 2))).transpose(1, 2)


class Attention(nn.Module):
    """One layer of self-attention and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(EMBEDDING, 2, batch_first=True)
        self.linear = nn.Linear(EMBEDDING, HIDDEN)

    def forward(self, vectors: Tensor) -> Tensor:
        """A vector for each word, `[B, T, H]`."""
        found, _ = self.attention(vectors, vectors, vectors, need_weights=False)
        return torch.relu(self.linear(vectors + found))


def heads() -> nn.Module:
    """Three linear layers over each word."""
    return nn.Sequential(
        nn.Linear(EMBEDDING, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(),
        nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
    )  # fmt: skip


BODIES: dict[str, Callable[[], nn.Module]] = {
    "LSTM": partial(Layer, nn.LSTM),
    "GRU": partial(Layer, nn.GRU),
    "cells": Cells,
    "written out": Written,
    "linear layers": heads,
    "convolution": Convolution,
    "attention": Attention,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Time both rules on every model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4, help="for each row (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--words", type=int, default=50, help="in a text (%(default)s)")
    parser.add_argument("--impl", nargs="+", default=["auto", "torch"], help="of recurrent layers")
    parser.add_argument("--only", nargs="+", choices=BODIES, default=list(BODIES))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"{'':24}{'texts':>6}{'absolute':>12}{'relative':>12}{'quotient':>10}")
    for name in options.only:
        for impl in options.impl if name in ("LSTM", "GRU", "cells") else ["auto"]:
            torch.manual_seed(0)
            model = Reader(BODIES[name](), HIDDEN).eval()
            for texts in options.texts:
                ids = torch.randint(1, 1000, (texts, options.words))
                contenders = {
                    rule: Contender(
                        partial(
                            LRP(model, impl=impl, verify=False, **own).attribute, ids, target=1
                        ),
                        1,
                    )
                    for rule, own in RULES.items()
                }
                timed = time_interleaved(
                    contenders, seconds=options.seconds, limit=60, clock=time.process_time, seed=0
                )
                one, other = (1e3 * median(timed[rule].seconds) for rule in RULES)
                shown = name if impl == "auto" else f"{name}, {impl}"
                print(
                    f"{shown:24}{texts:6}{one:10.2f}ms{other:10.2f}ms{other / one:10.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
