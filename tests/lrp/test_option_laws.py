"""What must hold under every option: all targets at once, batches, padding, order, conservation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from oracles.rules import Ledger, epsilon_rule, linear_map
from samples.rule_checks import Function, array, randomise, seeded
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import seqlrp
from seqlrp import rules

D, H, C = 3, 4, 3


def dense() -> nn.Module:
    return Function(
        lambda m, x: m.head(torch.relu(m.b(torch.relu(m.a(x))).mean(1))),
        a=nn.Linear(D, 5),
        b=nn.Linear(5, H),
        head=nn.Linear(H, C),
    )


def recurrent(kind: Any, **options: Any) -> nn.Module:
    rnn = kind(D, H, batch_first=True, **options)
    width = (options.get("proj_size") or H) * (2 if rnn.bidirectional else 1)
    return Function(
        lambda m, x: m.head(m.rnn(x)[0].max(1).values), rnn=rnn, head=nn.Linear(width, C)
    )


def convolved() -> nn.Module:
    return Function(
        lambda m, x: m.head(torch.relu(m.conv(x.mT)).amax(2)),
        conv=nn.Conv1d(D, H, 3, padding=1),
        head=nn.Linear(H, C),
    )


def transformer() -> nn.Module:
    encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    return Function(
        lambda m, x: m.head(m.encoder(m.up(x)).mean(1)),
        up=nn.Linear(D, 4),
        encoder=encoder,
        head=nn.Linear(4, C),
    )


def pooled_by_attention() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Tensor:
        h = m.rnn(x)[0]
        weights = torch.softmax(m.query(torch.tanh(m.key(h))).squeeze(2), 1)
        return m.head((weights.unsqueeze(2) * h).sum(1))  # type: ignore[no-any-return]

    return Function(
        forward,
        rnn=nn.LSTM(D, H, batch_first=True),
        key=nn.Linear(H, 3),
        query=nn.Linear(3, 1, bias=False),
        head=nn.Linear(H, C),
    )


GATES: list[dict[str, Any]] = [{"gate_rule": g} for g in ("all", "half", "abs", "prop")]
GATES += [{"gate_rule": "half", "bias_factor": 1.0}, {"bias_factor": 0.5}]
MAPS: list[dict[str, Any]] = [
    {"rules": {nn.Module: rule}}
    for rule in (
        rules.Gamma(0.5),
        rules.AlphaBeta(2.0, 1.0),
        rules.Epsilon(0.3, relative=True),
    )
]
MAPS += [{"rules": {0: rule}} for rule in (rules.Flat(), rules.WSquare(), rules.ZB(-9, 9))]
MAPS += [{"rules": "deep_taylor"}, {"bias_factor": 0.5}]
ATTENTION: list[dict[str, Any]] = [{"attention": "attnlrp"}, {"attention": "constant"}]

CASES = [
    *[("dense", dense, o) for o in MAPS],
    *[("conv", convolved, o) for o in MAPS],
    *[("lstm", lambda: recurrent(nn.LSTM), o) for o in GATES],
    *[("projected", lambda: recurrent(nn.LSTM, proj_size=2), o) for o in GATES[::2]],
    *[
        ("deep", lambda: recurrent(nn.LSTM, num_layers=2, bidirectional=True), o)
        for o in GATES[3:5]
    ],
    *[("gru", lambda: recurrent(nn.GRU), o) for o in GATES],
    *[("rnn", lambda: recurrent(nn.RNN), o) for o in GATES[-2:]],
    *[("transformer", transformer, o) for o in ATTENTION],
    *[("pooled", pooled_by_attention, o) for o in [*ATTENTION, *GATES]],
]
IDS = [f"{name}-{'-'.join(map(str, o.values()))}"[:60] for name, _, o in CASES]
every = pytest.mark.parametrize(("make", "options"), [c[1:] for c in CASES], ids=IDS)

EPSILON = 0.05
# The first law verifies each model under its first options; the rest does not depend on these.
ONCE = {"verify": False}
_FIRST = {name: k for k, (name, _, _) in reversed([*enumerate(CASES)])}.values()
once_verified = pytest.mark.parametrize(
    ("make", "options", "verify"),
    [(make, options, k in _FIRST) for k, (_, make, options) in enumerate(CASES)],
    ids=IDS,
)


@once_verified
def test_all_targets_at_once_and_any_batch(
    make: Any, options: dict[str, Any], verify: bool
) -> None:
    model = randomise(make(), 1)
    x = seeded(1, 3, 3, D)
    lrp = seqlrp.LRP(model, EPSILON, **options, verify=verify)
    together, account = lrp.attribute(x, "all", return_ledger=True, reduce=False)
    assert together.shape == (3, C, 3, D)
    scale = float(together.abs().max())
    near: dict[str, Any] = {"rtol": 0.0, "atol": 1e-10 * scale}
    assert account.residual.abs().max() < 1e-10 * max(scale, 1.0)
    torch.testing.assert_close(account.score, model(x), rtol=1e-12, atol=1e-12)
    for target in range(C):
        R, ledger = lrp.attribute(x, target, return_ledger=True, reduce=False)
        torch.testing.assert_close(together[:, target], R, **near)
        for kind, amount in ledger.totals.items():
            torch.testing.assert_close(account.total(kind)[:, target], amount, **near)
        assert ledger.residual.abs().max() < 1e-10 * max(scale, 1.0)
    targets = torch.tensor([2, 0, 1])
    R = lrp.attribute(x, targets, reduce=False)
    torch.testing.assert_close(R, together[torch.arange(3), targets], **near)
    for d in (0, 2):
        R = lrp.attribute(x[d : d + 1], "all", reduce=False)
        torch.testing.assert_close(R[0], together[d], **near)
    R = lrp.attribute(x.flip(0), 0, reduce=False).flip(0)
    torch.testing.assert_close(R, together[:, 0], **near)


@every
def test_contrast_is_linear_where_relevance_starts(make: Any, options: dict[str, Any]) -> None:
    """With the contrast the ledger starts from the difference, and closes; relevance is linear."""
    model = randomise(make(), 2)
    x = seeded(2, 2, 3, D)
    lrp = seqlrp.LRP(model, EPSILON, **options, **ONCE)
    R, ledger = lrp.attribute(x, (2, 0), return_ledger=True, reduce=False)
    scores = model(x)
    torch.testing.assert_close(ledger.score, scores[:, 2] - scores[:, 0], rtol=1e-12, atol=0.0)
    scale = max(1.0, float(R.abs().max()))
    assert ledger.residual.abs().max() < 1e-10 * scale
    both = lrp.attribute(x, 2, reduce=False) - lrp.attribute(x, 0, reduce=False)
    torch.testing.assert_close(R, both, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("options", GATES, ids=str)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_packed_documents_are_explained_as_alone(kind: Any, options: dict[str, Any]) -> None:
    lengths = torch.tensor([4, 2, 1])

    def forward(m: Any, x: Tensor) -> Tensor:
        own = lengths[: len(x)] if len(x) > 1 else torch.tensor([x.shape[1]])
        state = m.rnn(pack_padded_sequence(x, own, batch_first=True))[1]
        return m.head((state[0] if isinstance(state, tuple) else state)[-1])  # type: ignore[no-any-return]

    rnn = kind(D, H, batch_first=True)
    model = randomise(Function(forward, rnn=rnn, head=nn.Linear(H, C)), 3)
    x = seeded(3, 3, 4, D)
    lrp = seqlrp.LRP(model, EPSILON, **options, verify=options == GATES[0])
    together = lrp.attribute(x, 1, reduce=False)
    for d, T in enumerate(lengths.tolist()):
        alone = lrp.attribute(x[d : d + 1, :T], 1, reduce=False)
        torch.testing.assert_close(together[d, :T], alone[0], rtol=1e-9, atol=1e-11)
        assert not together[d, T:].any()


@every
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_single_precision_is_near(make: Any, options: dict[str, Any]) -> None:
    model = randomise(make(), 4)
    x = seeded(4, 2, 3, D)
    exact = seqlrp.LRP(model, EPSILON, **options, **ONCE).attribute(x, 0)
    R = seqlrp.LRP(model.float(), EPSILON, **options, **ONCE).attribute(x.float(), 0)
    assert R.dtype == torch.float32
    assert (R.double() - exact).abs().max() < 1e-3 * exact.abs().max()


# --- Inner layers -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [None, rules.ZPlus()], ids=["epsilon", "z plus"])
def test_relevance_of_inner_layers(rule: Any) -> None:
    """What a module's output received: the last one's is the score, tanh passes on what it has."""
    model = randomise(nn.Sequential(nn.Linear(D, 5), nn.Tanh(), nn.Linear(5, 2)), 42)
    x = seeded(42, 3, D)
    options: dict[str, Any] = {"rules": {nn.Linear: rule}} if rule else {}
    layers = seqlrp.LRP(model, 0.2, **options).attribute(x, 1, layers=["0", "1", "2"])[1]
    first, hidden, last = (layers[name] for name in "012")
    torch.testing.assert_close(last, model(x) * torch.tensor([0.0, 1.0]).double())
    torch.testing.assert_close(first, hidden)


def test_relevance_of_the_states_of_an_lstm() -> None:
    model = randomise(
        Function(
            lambda m, x: m.head(m.rnn(x)[0][:, -1]),
            rnn=nn.LSTM(D, H, batch_first=True),
            head=nn.Linear(H, C),
        ),
        5,
    )
    x = seeded(5, 2, 4, D)
    R, layers = seqlrp.LRP(model, EPSILON).attribute(x, 1, layers=["rnn", "head"])
    states, (h, c) = layers["rnn"]
    assert states.shape == (2, 4, H)
    assert h.shape == c.shape == (1, 2, H)
    rnn, head = model.get_submodule("rnn"), model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    for d in range(2):
        a = array(rnn(x[d : d + 1])[0][0, -1])
        start = np.where(np.arange(C) == 1, array(head(torch.from_numpy(a))), 0.0)
        branch = [(array(head.weight), a)]
        (of_a,) = linear_map(epsilon_rule(EPSILON), branch, [array(head.bias)], start, Ledger())
        np.testing.assert_allclose(array(states[d, -1]), of_a, rtol=1e-10)
    assert R.shape == (2, 4)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("final", [True, False])
def test_relevance_of_a_layer_of_which_a_part_is_used(
    kind: type[nn.RNNBase], layers: int, final: bool
) -> None:
    def forward(m: Any, x: Tensor) -> Any:
        out, state = m.rnn(x)
        state = state[0] if isinstance(state, tuple) else state
        return m.head(state[-1] if final else out[:, -1])

    rnn = kind(D, H, layers, batch_first=True)
    model = randomise(Function(forward, rnn=rnn, head=nn.Linear(H, C)), 5)
    x = seeded(5, 2, 4, D)
    R, found = seqlrp.LRP(model, EPSILON).attribute(x, 1, layers=["rnn"])
    out, state = found["rnn"]
    state = state[0] if isinstance(state, tuple) else state
    used, unused = (state[-1], out) if final else (out[:, -1], state)
    assert not unused.any()
    assert used.abs().min() > 0
    whole = seqlrp.LRP(model, EPSILON).attribute(x, 1, through={"rnn": range(H)})
    torch.testing.assert_close(whole, R)


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_relevance_of_a_residual_block(epsilon: float) -> None:
    """The relevance of a sum is what it received, before its own stabiliser."""
    block = Function(lambda m, x: x + torch.tanh(m.a(x)), a=nn.Linear(D, D))
    model = randomise(
        Function(lambda m, x: m.head(m.block(x)), block=block, head=nn.Linear(D, 2)), 6
    )
    x = seeded(6, 1, D)
    layers = seqlrp.LRP(model, epsilon).attribute(x, 0, layers=["block"])[1]
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear)
    y = array(block(x)[0])
    start = np.where(np.arange(2) == 0, array(model(x)[0]), 0.0)
    branch = [(array(head.weight), y)]
    (expected,) = linear_map(epsilon_rule(epsilon), branch, [array(head.bias)], start, Ledger())
    np.testing.assert_allclose(array(layers["block"][0]), expected, rtol=1e-10)
