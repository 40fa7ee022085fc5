"""The ledger closes where gates are put together with constants, under every gate rule."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import RefusedFunctionError

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 3, 1]])
RULES = ("all", "prop", "abs", "half")
FIRST, ROWS = torch.tensor([0]), torch.tensor([0, 1])


class Model(nn.Module):
    def __init__(self, join: Callable[[Any, Tensor, Tensor], Tensor], use: str = "factor") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.of_gate, self.weight = nn.Embedding(12, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.map, self.fc = nn.Linear(3, 3), nn.Linear(3, 2)
        self.places = nn.Parameter(torch.rand(2, 4, 3))
        self.join, self.use = join, use
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        gates = self.join(self, torch.sigmoid(self.of_gate(x)), x)
        if self.use == "factor":
            return self.fc((gates * torch.tanh(self.map(x))).sum(1))
        if self.use == "weights":
            return self.fc((gates.transpose(1, 2) @ torch.tanh(self.map(x))).sum(1))
        return self.fc(torch.tanh(self.map(gates)).sum(1))


def attention(m: Model, x: Tensor) -> Tensor:
    return torch.softmax(m.weight(x), 1).expand(x.shape)


JOINS: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "cat": lambda m, z, x: torch.cat([z[:, :2], m.places[:, 2:]], 1),
    "cat and chunk": lambda m, z, x: torch.cat([z, m.places], -1).chunk(2, -1)[0],
    "chunk of a constant": lambda m, z, x: torch.cat([z, m.places], -1).chunk(2, -1)[1],
    "stack": lambda m, z, x: torch.stack([z, m.places]).mean(0),
    "pad": lambda m, z, x: F.pad(z[:, :2], (0, 0, 0, 2), value=0.5),
    "where": lambda m, z, x: torch.where(z > 0.5, z, m.places),
    "masked_fill": lambda m, z, x: z.masked_fill(z > 0.5, 0.5),
    "index_put": lambda m, z, x: z.index_put((ROWS, FIRST.expand(2)), m.places[:, 0]),
    "index_fill": lambda m, z, x: z.index_fill(1, FIRST, 0.5),
    "index_copy": lambda m, z, x: z.index_copy(1, FIRST, m.places[:, :1]),
    "select_scatter": lambda m, z, x: z.select_scatter(m.places[:, 0], 1, 1),
    "attention": lambda m, z, x: torch.cat([attention(m, x)[:, :2], m.places[:, 2:]], 1),
}


@pytest.mark.parametrize("use", ["factor", "weights", "signal"])
@pytest.mark.parametrize("name", JOINS)
def test_the_ledger_closes_with_constants_beside_gates(name: str, use: str) -> None:
    if (name, use) == ("attention", "signal"):  # a softmax is no signal
        return
    for rule in RULES:
        lrp = seqlrp.LRP(Model(JOINS[name], use), 0.01, gate_rule=rule, verify=False)  # type: ignore[arg-type]
        ledger = lrp.attribution(IDS, 0).ledger
        assert ledger is not None
        assert ledger.residual.abs().max() < 1e-12, rule


@pytest.mark.parametrize("first", [True, False])
def test_gates_with_a_gate_that_has_no_relevance_have_none(first: bool) -> None:
    """By assignment as by `cat`: a softmax among gates ends what relevance they get."""

    def written(m: Model, z: Tensor, x: Tensor) -> Tensor:
        a, b = (z, attention(m, x)) if first else (attention(m, x), z)
        y = a.clone()
        y[:, 2:] = b[:, 2:]
        return y

    def joined(m: Model, z: Tensor, x: Tensor) -> Tensor:
        a, b = (z, attention(m, x)) if first else (attention(m, x), z)
        return torch.cat([a[:, :2], b[:, 2:]], 1)

    for rule in RULES:
        found = seqlrp.LRP(Model(written), gate_rule=rule, verify=False).attribution(IDS, 0)  # type: ignore[arg-type]
        expect = seqlrp.LRP(Model(joined), gate_rule=rule, verify=False).attribution(IDS, 0)  # type: ignore[arg-type]
        torch.testing.assert_close(found.relevance, expect.relevance, rtol=0, atol=1e-14)
        assert found.ledger is not None
        assert found.ledger.residual.abs().max() < 1e-12
    with pytest.raises(RefusedFunctionError):
        seqlrp.LRP(Model(written, "signal"), verify=False).attribution(IDS, 0)


def test_a_gate_times_a_constant_beside_signals_is_a_constant() -> None:
    def joined(m: Model, z: Tensor, x: Tensor) -> Tensor:
        return torch.cat([(z * m.places)[:, :2], x[:, 2:]], 1)

    for rule in RULES:
        lrp = seqlrp.LRP(Model(joined, "signal"), gate_rule=rule, verify=False)  # type: ignore[arg-type]
        ledger = lrp.attribution(IDS, 0).ledger
        assert ledger is not None
        assert ledger.residual.abs().max() < 1e-12


def by_rows(m: Model, z: Tensor, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[0, :3] = x[0, :3]
    y[1, :2] = x[1, :2]
    return y


def by_a_view(m: Model, z: Tensor, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 0].copy_(x[:, 0])
    return y


@pytest.mark.parametrize("written", [by_rows, by_a_view])
def test_what_was_never_written_belongs_to_the_text_beside_it(written: Any) -> None:
    """A bias that a map adds to zeros after the last word is one of that text."""
    lrp = seqlrp.LRP(Model(written, "signal"))
    ledger = lrp.attribution(IDS, 0).ledger
    assert ledger is not None
    assert ledger.residual.abs().max() < 1e-12
    for k in range(2):
        if written is by_a_view:
            alone = lrp.attribution(IDS[k : k + 1], 0).ledger
            assert alone is not None
            torch.testing.assert_close(ledger.total("bias")[k], alone.total("bias")[0])
