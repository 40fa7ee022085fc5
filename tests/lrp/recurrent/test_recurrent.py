"""The recurrences, reference and fast, against the oracle that shares no code with them."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from oracles.lrp import Result, explain
from samples.examples import covering
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqlrp
from seqlrp.lrp import Ledger

D, H, P, C, V = 3, 4, 2, 3, 20
EPSILON, TARGET, TOLERANCE = 0.01, 1, 1e-12
KINDS = ["lstm", "lstm projected", "gru", "rnn_tanh", "rnn_relu"]
INITIAL = ["none", "zeros", "constant", "from the ids"]
PADDED = ["padded", "time-major"]
PACKED = ["packed", "packed unsorted", "packed time-major"]
# Sorted by length; zeros are padding.
IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 3, 2, 1], [7, 8, 9, 0, 0], [5, 0, 0, 0, 0]])
UNSORTED = torch.tensor([3, 0, 2, 1])


class Recurrent(nn.Module):
    """An embedding, a recurrent layer in one of its layouts, a pooling and a head."""

    def __init__(
        self, kind: str, layers: int, both: bool, bias: bool, initial: str, pooling: str
    ) -> None:
        super().__init__()
        self.kind = "lstm" if kind == "lstm projected" else kind
        self.initial, self.pooling, self.layout = initial, pooling, "padded"
        options: dict[str, Any] = {
            "num_layers": layers,
            "bidirectional": both,
            "bias": bias,
            "dropout": 0.3 if layers > 1 else 0.0,
        }
        self.output = P if kind == "lstm projected" else H
        self.rows = layers * (2 if both else 1)
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.rnn: nn.RNNBase
        if self.kind == "lstm":
            self.rnn = nn.LSTM(D, H, proj_size=P if self.output == P else 0, **options)
        elif self.kind == "gru":
            self.rnn = nn.GRU(D, H, **options)
        else:
            self.rnn = nn.RNN(D, H, nonlinearity=self.kind.removeprefix("rnn_"), **options)
        # One vector a state: what each direction of each layer starts from.
        self.h0 = nn.Embedding(V, self.rows * self.output)
        self.c0 = nn.Embedding(V, self.rows * H)
        width = self.output * (2 if both else 1)
        self.attention = nn.Linear(width, 1)
        self.head = nn.Linear(width, C, bias=bias)

    def start(self, ids: Tensor) -> Any:
        """What is handed to the layer as its initial state."""
        if self.initial == "none":
            return None
        first = ids[:, 0] if self.initial == "from the ids" else torch.full((len(ids),), 2)
        h = self.h0(first).view(len(ids), self.rows, self.output).transpose(0, 1).contiguous()
        c = self.c0(first).view(len(ids), self.rows, H).transpose(0, 1).contiguous()
        if self.initial == "zeros":
            h, c = torch.zeros_like(h), torch.zeros_like(c)
        return (h, c) if self.kind == "lstm" else h

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        x, start = self.embedding(ids), self.start(ids)
        batch_first = "time-major" not in self.layout
        self.rnn.batch_first = batch_first
        if not batch_first:
            x = x.transpose(0, 1)
        if "packed" in self.layout:
            packed = pack_padded_sequence(
                x, lengths, batch_first=batch_first, enforce_sorted="unsorted" not in self.layout
            )
            out, final = self.rnn(packed, start)
            out, _ = pad_packed_sequence(out, batch_first=batch_first, total_length=ids.shape[1])
        else:
            out, final = self.rnn(x, start)
        if not batch_first:
            out = out.transpose(0, 1)
        if self.pooling == "last":
            h = final[0] if self.kind == "lstm" else final
            pooled = torch.cat([h[-2], h[-1]], -1) if self.rnn.bidirectional else h[-1]
        elif self.pooling == "mean":
            pooled = out.sum(1) / lengths.unsqueeze(1)
        elif self.pooling == "max":
            outside = (ids == 0).unsqueeze(-1)
            pooled = out.masked_fill(outside, float("-inf")).max(1).values
        else:
            scores = self.attention(out).squeeze(-1).masked_fill(ids == 0, float("-inf"))
            pooled = torch.bmm(scores.softmax(1).unsqueeze(1), out).squeeze(1)
        scores_out: Tensor = self.head(pooled)
        return scores_out


def build(seed: int, *arguments: Any) -> Recurrent:
    torch.manual_seed(seed)
    model = Recurrent(*arguments).double().eval()
    for parameter in model.parameters():
        # torch's own start is so small that gates and tanh hardly leave their linear range.
        nn.init.normal_(parameter, std=0.7)
    return model


def expected(model: Recurrent, ids: Tensor, target: int = TARGET) -> list[Result]:
    """The oracle's word on each document."""

    def arrays(layer: nn.Linear) -> dict[str, Any]:
        bias = None if layer.bias is None else layer.bias.detach().numpy()
        return {"weight": layer.weight.detach().numpy(), "bias": bias}

    network = {
        "kind": model.kind,
        "parameters": {name: p.detach().numpy() for name, p in model.rnn.named_parameters()},
        "layers": model.rnn.num_layers,
        "bidirectional": model.rnn.bidirectional,
        "hidden": H,
        "pooling": model.pooling,
        "attention": arrays(model.attention),
        "head": arrays(model.head),
    }
    with torch.no_grad():
        start = model.start(ids)
        found = []
        for b, row in enumerate(ids):
            words = model.embedding(row[row != 0]).numpy()
            h0 = c0 = None
            if start is not None:
                h, c = start if model.kind == "lstm" else (start, None)
                h0, c0 = h[:, b].numpy(), None if c is None else c[:, b].numpy()
            found.append(explain(network, words, target, EPSILON, h0, c0))
    return found


def check(
    model: Recurrent, relevance: Tensor, ledger: Ledger, ids: Tensor, oracle: list[Result]
) -> None:
    """Relevance `[B, T]` and every entry of the ledger are the oracle's."""
    from_ids = model.initial == "from the ids"
    biases = {
        f"{model.kind} {name}": name
        for name, _ in model.rnn.named_parameters()
        if name.startswith("bias")
    }
    if model.head.bias is not None:
        biases["linear"] = "head.bias"
    entries = {(e.kind, e.operation): e for e in ledger.entries}
    assert {o for kind, o in entries if kind == "bias"} - set(biases) <= {
        f"{model.kind} bias_{part}_l{layer}{suffix}"
        for part in ("ih", "hh")
        for layer in range(model.rnn.num_layers)
        for suffix in ("", "_reverse")
    }
    for b, result in enumerate(oracle):
        length = int((ids[b] != 0).sum())
        words = torch.from_numpy(result.relevance.sum(1))
        if from_ids:  # the state was looked up by the first word, which is given its relevance
            words[0] += result.initial_state
        torch.testing.assert_close(relevance[b, :length], words, rtol=0, atol=TOLERANCE)
        assert not relevance[b, length:].any()
        assert ledger.score[b].item() == pytest.approx(result.scores[TARGET], abs=TOLERANCE)
        for operation, name in biases.items():
            amount = entries["bias", operation].amount[b].item()
            assert amount == pytest.approx(result.bias[name], abs=TOLERANCE), name
        totals = {kind: total[b].item() for kind, total in ledger.totals.items()}
        assert totals["bias"] == pytest.approx(sum(result.bias.values()), abs=TOLERANCE)
        assert totals["stabiliser"] == pytest.approx(result.stabiliser, abs=TOLERANCE)
        initial = 0.0 if from_ids else result.initial_state
        assert totals["initial state"] == pytest.approx(initial, abs=TOLERANCE)
        tokens = result.tokens + (result.initial_state if from_ids else 0.0)
        assert totals["tokens"] == pytest.approx(tokens, abs=TOLERANCE)
        assert totals["padding"] == 0
        assert totals["constant"] == pytest.approx(0, abs=TOLERANCE)


class Case(NamedTuple):
    kind: str
    layers: int
    both: bool
    bias: bool
    initial: str

    def __str__(self) -> str:
        both, bias = "both" if self.both else "forward", "bias" if self.bias else "unbiased"
        return f"{self.kind}-{self.layers}-{both}-{bias}-{self.initial}"


CASES = [
    Case(*values)
    for values in itertools.product(KINDS, [1, 2, 3], [False, True], [True, False], INITIAL)
]
POOLINGS = ["last", "attention", "mean", "max"]


# A pooling and two layouts a case, turned so that each one meets every kind, depth and direction;
# the reference runs in the packed one.
TURNED = [
    (*case, POOLINGS[(k + k // 4) % 4], PADDED[k % 2], PACKED[(k + k // 4) % 3])
    for k, case in enumerate(CASES)
]
CHOSEN = covering(TURNED)  # the others are slow tests


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(k, id=str(case), marks=() if TURNED[k] in CHOSEN else pytest.mark.slow)
        for k, case in enumerate(CASES)
    ],
)
def test_every_configuration_is_the_oracles(index: int) -> None:
    *_, pooling, padded, packed = TURNED[index]
    model = build(index, *CASES[index], pooling)
    oracle = expected(model, IDS)
    for layout in (padded, packed):
        ids, expect = IDS, oracle
        if "packed" not in layout:  # padding would take part
            ids, expect = IDS[:2], oracle[:2]
        elif layout == "packed unsorted":
            ids, expect = IDS[UNSORTED], [oracle[k] for k in UNSORTED.tolist()]
        model.layout = layout
        for impl in ("torch", "reference") if "packed" in layout else ("torch",):
            lrp = seqlrp.LRP(model, EPSILON, impl=impl, verify=impl == "torch")
            relevance, ledger = lrp.attribute(ids, target=TARGET, return_ledger=True)
            check(model, relevance, ledger, ids, expect)
            assert ledger.residual.abs().max() < 1e-12
    # The account is no part of the answer.
    alone = seqlrp.LRP(model, EPSILON, verify=False).attribute(ids, target=TARGET)
    torch.testing.assert_close(alone, relevance, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 1.0, 100.0])
def test_any_epsilon(kind: str, epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "EPSILON", epsilon)
    model = build(5, kind, 2, True, True, "constant", "attention")
    model.layout = "packed"
    oracle = expected(model, IDS)
    for impl in ("torch", "reference"):
        lrp = seqlrp.LRP(model, epsilon, impl=impl, verify=False)
        relevance, ledger = lrp.attribute(IDS, target=TARGET, return_ledger=True)
        check(model, relevance, ledger, IDS, oracle)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_have_the_oracles_relevance_by_dimension(kind: str) -> None:
    model = build(6, kind, 2, True, True, "constant", "max")
    model.layout = "packed"
    relevance = seqlrp.LRP(model, EPSILON).attribute(IDS, target=TARGET, reduce=False)
    assert relevance.shape == (*IDS.shape, D)
    for b, result in enumerate(expected(model, IDS)):
        length = len(result.relevance)
        torch.testing.assert_close(
            relevance[b, :length], torch.from_numpy(result.relevance), rtol=0, atol=TOLERANCE
        )


@pytest.mark.parametrize("kind", KINDS)
def test_all_targets_are_the_single_ones(kind: str) -> None:
    model = build(7, kind, 2, True, True, "constant", "attention")
    model.layout = "packed"
    lrp = seqlrp.LRP(model, EPSILON)
    relevance, ledger = lrp.attribute(IDS, target="all", return_ledger=True)
    assert relevance.shape == (len(IDS), C, IDS.shape[1])
    for target in range(C):
        alone, account = lrp.attribute(IDS, target=target, return_ledger=True)
        torch.testing.assert_close(relevance[:, target], alone, rtol=0, atol=1e-15)
        for kind_of_entry, total in account.totals.items():
            torch.testing.assert_close(
                ledger.total(kind_of_entry)[:, target], total, rtol=0, atol=1e-15
            )


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_gates_and_states_stay_finite(kind: str, dtype: torch.dtype) -> None:
    model = build(8, kind, 1, True, True, "none", "last")
    for parameter in model.rnn.parameters():
        parameter.data.mul_(50)
    model = model.to(dtype)
    model.layout = "packed"
    results = [
        seqlrp.LRP(model, EPSILON, impl=impl).attribute(IDS, target=0)
        for impl in ("torch", "reference")
    ]
    assert torch.isfinite(results[0]).all()
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_a_state_that_is_exactly_zero_has_a_relevance_per_unit() -> None:
    # Without a bias and with zero vectors every pre-activation is exactly 0.
    model = build(9, "lstm", 1, False, False, "none", "last")
    model.embedding.weight.data.zero_()
    ids = IDS[:2]
    for impl in ("torch", "reference"):
        for epsilon in (0.0, 0.01):
            lrp = seqlrp.LRP(model, epsilon, impl=impl)
            relevance, ledger = lrp.attribute(ids, target=0, return_ledger=True)
            assert not relevance.any()
            assert not ledger.residual.any()


class Doubled(nn.Module):
    """Doubles the output of a recurrent layer, in place or not."""

    def __init__(self, packed: bool, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(V, D), nn.Linear(H, C)
        self.rnn = nn.LSTM(D, H, num_layers=2, batch_first=True)
        self.packed, self.in_place = packed, in_place

    def forward(self, ids: Tensor) -> Tensor:
        x: Any = self.embedding(ids)
        if self.packed:
            lengths = torch.full((len(ids),), ids.shape[1])
            x = pack_padded_sequence(x, lengths, batch_first=True)
        out, _ = self.rnn(x)
        data = out.data if self.packed else out
        if self.in_place:
            data.mul_(2)
        else:
            data = data * 2
        if self.packed:
            data = pad_packed_sequence(out._replace(data=data), batch_first=True)[0]
        scores: Tensor = self.head(data.sum(1))
        return scores


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("documents", [1, 3])
@pytest.mark.parametrize("ledger", [False, True])
def test_a_model_may_change_the_output_in_place(
    packed: bool, dtype: torch.dtype, documents: int, ledger: bool
) -> None:
    ids = torch.arange(3 * 4).view(3, 4)[:documents] % (V - 1) + 1
    found: list[Any] = []
    for in_place in (True, False):
        lrp = seqlrp.LRP(Doubled(packed, in_place).to(dtype).eval())
        found.append(lrp.attribute(ids, target=1, return_ledger=ledger))
    if ledger:
        torch.testing.assert_close(found[0][1].totals, found[1][1].totals)
        found = [relevance for relevance, _ in found]
    assert torch.equal(*found)
