"""Each method gives the values that it gave before the package was divided into its parts.

The values are those of version 0.1.0, computed by this file: `python test_fixed_values.py` prints
them. Weights are drawn by NumPy, whose generators do not change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seqlrp

VALUES = Path(__file__).with_name("fixed_values.json")
IDS = torch.tensor([[3, 7, 2, 9, 4, 5], [8, 2, 6, 0, 0, 0], [5, 5, 3, 9, 0, 0]])
# The default stabiliser of LRP was absolute then.
OF_LRP: dict[str, dict[str, Any]] = {
    "lrp": {"epsilon": 0.005},
    "deep_taylor": {"epsilon": 0.005, "gate_rule": "all", "rules": "deep_taylor"},
}


class Model(nn.Module):
    """Ids `[B, T]`, 0 is padding, to scores `[B, 3]`."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4, padding_idx=0)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.rnn = kind(4, 5, batch_first=True, bidirectional=cell == "gru")
        self.head = nn.Linear(5 if cell == "lstm" else 10, 3)
        drawn = np.random.default_rng(11)
        for parameter in self.parameters():
            parameter.data = torch.from_numpy(drawn.normal(0, 0.7, tuple(parameter.shape)))
        self.embedding.weight.data[0] = 0
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        vectors = self.embedding(ids)
        packed = nn.utils.rnn.pack_padded_sequence(
            vectors, lengths, batch_first=True, enforce_sorted=False
        )
        outputs, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        last = outputs[torch.arange(len(ids)), lengths - 1]
        return self.head(last)  # type: ignore[no-any-return]


def relevance(name: str, cell: str) -> Any:
    """The relevance `[B, T]` of the second class, by the defaults of version 0.1.0."""
    method = seqlrp.METHODS["lrp" if name in OF_LRP else name](Model(cell), **OF_LRP.get(name, {}))
    return method.attribution(IDS, 1).relevance.tolist()


def known() -> dict[str, Any]:
    return dict(json.loads(VALUES.read_text("utf-8")))


@pytest.mark.parametrize("case", known())
def test_values_are_those_of_the_first_version(case: str) -> None:
    name, cell = case.split()
    found, expected = np.array(relevance(name, cell)), np.array(known()[case])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


if __name__ == "__main__":
    values = {}
    for name in sorted(seqlrp.METHODS):
        for cell in ("lstm", "gru"):
            try:
                values[f"{name} {cell}"] = relevance(name, cell)
            except Exception as error:
                print(name, cell, str(error)[:200], file=sys.stderr)
    json.dump(values, sys.stdout, indent=0)
