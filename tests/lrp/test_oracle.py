"""The oracle is tested against torch's forward pass, against conservation and by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from oracles.lrp import Result, explain
from samples.examples import covering
from torch.nn.utils.rnn import pack_padded_sequence

D, H, P, C = 3, 4, 2, 3
POOLINGS = ["last", "mean", "max", "attention"]


class Case(NamedTuple):
    kind: str
    projected: bool
    layers: int
    bidirectional: bool
    bias: bool
    initial: bool
    pooling: str

    def __str__(self) -> str:
        marks = {
            "projected": self.projected,
            "bidirectional": self.bidirectional,
            "bias": self.bias,
            "initial": self.initial,
        }
        words = [self.kind, f"layers={self.layers}", *(m for m, is_on in marks.items() if is_on)]
        return "-".join([*words, self.pooling])


CASES = [
    Case(kind, projected, *rest)
    for kind, projected in [
        ("lstm", False),
        ("lstm", True),
        ("gru", False),
        ("rnn_tanh", False),
        ("rnn_relu", False),
    ]
    for rest in itertools.product([1, 2], [False, True], [False, True], [False, True], POOLINGS)
]
PAIRS = covering(CASES)
every = pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=() if c in PAIRS else pytest.mark.slow) for c in CASES],
    ids=str,
)


def torch_module(case: Case) -> torch.nn.RNNBase:
    options: dict[str, Any] = {
        "num_layers": case.layers,
        "bidirectional": case.bidirectional,
        "bias": case.bias,
        "batch_first": True,
        "dtype": torch.float64,
    }
    if case.kind == "lstm":
        module: torch.nn.RNNBase = torch.nn.LSTM(
            D, H, proj_size=P if case.projected else 0, **options
        )
    elif case.kind == "gru":
        module = torch.nn.GRU(D, H, **options)
    else:
        module = torch.nn.RNN(D, H, nonlinearity=case.kind.removeprefix("rnn_"), **options)
    # torch's own start is so small that the gates and tanh hardly leave their linear range.
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module


class Setting(NamedTuple):
    module: torch.nn.RNNBase
    network: dict[str, Any]
    h0: np.ndarray | None
    c0: np.ndarray | None


def setting(case: Case, seed: int) -> Setting:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    module = torch_module(case)
    rows = case.layers * (2 if case.bidirectional else 1)
    output = P if case.projected else H
    size = output * (2 if case.bidirectional else 1)
    network = {
        "kind": case.kind,
        "parameters": {name: value.numpy() for name, value in module.state_dict().items()},
        "layers": case.layers,
        "bidirectional": case.bidirectional,
        "hidden": H,
        "pooling": case.pooling,
        "attention": {
            "weight": rng.normal(size=(1, size)),
            "bias": rng.normal(size=1) if case.bias else None,
        },
        "head": {
            "weight": rng.normal(size=(C, size)),
            "bias": rng.normal(size=C) if case.bias else None,
        },
    }
    h0 = rng.normal(size=(rows, output)) if case.initial else None
    c0 = rng.normal(size=(rows, H)) if case.initial and case.kind == "lstm" else None
    return Setting(module, network, h0, c0)


def torch_scores(case: Case, s: Setting, documents: list[np.ndarray]) -> torch.Tensor:
    """The scores [B, C] of a padded batch, whose padding is garbage."""
    lengths = torch.tensor([len(document) for document in documents])
    batch = torch.full((len(documents), int(lengths.max()), D), 1e3, dtype=torch.float64)
    for row, document in enumerate(documents):
        batch[row, : len(document)] = torch.from_numpy(document)
    packed = pack_padded_sequence(batch, lengths, batch_first=True, enforce_sorted=False)

    def states(values: np.ndarray | None) -> torch.Tensor:
        assert values is not None
        return torch.from_numpy(values)[:, None].repeat(1, len(documents), 1)

    if not case.initial:
        output, last = s.module(packed)
    elif case.kind == "lstm":
        output, last = s.module(packed, (states(s.h0), states(s.c0)))
    else:
        output, last = s.module(packed, states(s.h0))
    h_n = last[0] if case.kind == "lstm" else last
    hidden, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    valid = (torch.arange(hidden.shape[1])[None] < lengths[:, None])[..., None]

    if case.pooling == "last":
        pooled = torch.cat(list(h_n[-2:] if case.bidirectional else h_n[-1:]), dim=1)
    elif case.pooling == "mean":
        pooled = (hidden * valid).sum(1) / lengths[:, None]
    elif case.pooling == "max":
        pooled = hidden.masked_fill(~valid, -math.inf).amax(1)
    else:
        scores = linear(s.network["attention"], hidden).masked_fill(~valid, -math.inf)
        pooled = (scores.softmax(1) * hidden).sum(1)
    return linear(s.network["head"], pooled)


def linear(layer: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    bias = None if layer["bias"] is None else torch.from_numpy(layer["bias"])
    return torch.nn.functional.linear(x, torch.from_numpy(layer["weight"]), bias)


def booked(result: Result) -> float:
    return result.tokens + sum(result.bias.values()) + result.stabiliser + result.initial_state


@every
def test_forward_is_torchs(case: Case) -> None:
    s = setting(case, seed=1)
    rng = np.random.default_rng(2)
    documents = [rng.normal(size=(length, D)) for length in [3, 5, 1]]
    with torch.no_grad():
        expected = torch_scores(case, s, documents).numpy()
    for document, scores in zip(documents, expected, strict=True):
        result = explain(s.network, document, 0, 0.001, s.h0, s.c0)
        np.testing.assert_allclose(result.scores, scores, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
@every
def test_relevance_is_conserved(case: Case, epsilon: float) -> None:
    # With these seeds no relu network is dead: every score depends on every account.
    s = setting(case, seed=10)
    document = np.random.default_rng(11).normal(size=(4, D))
    result = explain(s.network, document, 1, epsilon, s.h0, s.c0)
    score = result.scores[1]
    assert booked(result) == pytest.approx(score, rel=1e-12, abs=0.0)
    assert result.relevance.shape == document.shape
    assert result.tokens == pytest.approx(result.relevance.sum(), rel=1e-12)
    # Each account is open exactly where there is something to book.
    biases = [name for name in s.network["parameters"] if name.startswith("bias")]
    assert list(result.bias) == ([*biases, "head.bias"] if case.bias else [])
    assert (result.stabiliser != 0.0) == (epsilon > 0.0)
    assert (result.initial_state != 0.0) == case.initial


# --- By hand: one unit, two steps ----------------------------------------------------------------


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def one_unit(kind: str, parameters: dict[str, np.ndarray], **options: Any) -> dict[str, Any]:
    network = {
        "kind": kind,
        "parameters": parameters,
        "layers": 1,
        "bidirectional": False,
        "hidden": 1,
        "pooling": "last",
        "attention": None,
        "head": {"weight": column(1.0), "bias": None},
    }
    return network | options


def test_rnn_by_hand_in_whole_numbers() -> None:
    # h1 = relu(2·1 + 1 + 3·1 + 1) = 7, h2 = relu(2·2 + 1 + 3·7 + 1) = 27, score = 2·27 + 9 = 63.
    network = one_unit(
        "rnn_relu",
        {
            "weight_ih_l0": column(2.0),
            "weight_hh_l0": column(3.0),
            "bias_ih_l0": np.array([1.0]),
            "bias_hh_l0": np.array([1.0]),
        },
        head={"weight": column(2.0), "bias": np.array([9.0])},
    )
    result = explain(network, column(1.0, 2.0), 0, 1.0, h0=column(1.0))
    assert result.scores.tolist() == [63.0]
    # The score, denominator 63 + 1: 54/64 of 63 to h2, 9/64 to the bias, 1/64 to the stabiliser.
    R_h2 = 63 * 54 / 64
    # Step 2, denominator 27 + 1: 4/28 to x2, 21/28 to h1, 1/28 to each bias and the stabiliser.
    R_h1 = R_h2 * 21 / 28
    # Step 1, denominator 7 + 1: 2/8 to x1, 3/8 to h0, 1/8 to each bias and the stabiliser.
    assert result.relevance.tolist() == [
        [pytest.approx(R_h1 * 2 / 8)],
        [pytest.approx(R_h2 * 4 / 28)],
    ]
    assert result.initial_state == pytest.approx(R_h1 * 3 / 8)
    assert result.bias == {
        "bias_ih_l0": pytest.approx(R_h2 * 1 / 28 + R_h1 * 1 / 8),
        "bias_hh_l0": pytest.approx(R_h2 * 1 / 28 + R_h1 * 1 / 8),
        "head.bias": pytest.approx(63 * 9 / 64),
    }
    assert result.stabiliser == pytest.approx(63 * 1 / 64 + R_h2 * 1 / 28 + R_h1 * 1 / 8)


def test_rnn_by_hand_stabilises_away_from_zero() -> None:
    # h1 = tanh(-0.5), score = 2·h1: every pre-activation is negative, and so is every stabiliser.
    network = one_unit(
        "rnn_tanh",
        {"weight_ih_l0": column(-0.25), "weight_hh_l0": column(1.0)},
        head={"weight": column(2.0), "bias": None},
    )
    result = explain(network, column(2.0), 0, 0.1)
    score = -2 * math.tanh(0.5)
    R_h1 = score * score / (score - 0.1)
    assert result.relevance.tolist() == [[pytest.approx(R_h1 * -0.5 / (-0.5 - 0.1))]]
    assert result.stabiliser == pytest.approx(
        score * -0.1 / (score - 0.1) + R_h1 * -0.1 / (-0.5 - 0.1)
    )


def test_lstm_by_hand() -> None:
    w_i, w_f, w_g, w_o = 0.3, -0.4, 0.8, 0.5
    u_i, u_f, u_g, u_o = 0.2, 0.6, -0.7, 0.1
    b_i, b_f, b_g, b_o = 0.1, 0.2, 0.3, -0.1
    d_i, d_f, d_g, d_o = -0.2, 0.4, 0.15, 0.25
    network = one_unit(
        "lstm",
        {
            "weight_ih_l0": column(w_i, w_f, w_g, w_o),
            "weight_hh_l0": column(u_i, u_f, u_g, u_o),
            "bias_ih_l0": np.array([b_i, b_f, b_g, b_o]),
            "bias_hh_l0": np.array([d_i, d_f, d_g, d_o]),
        },
        head={"weight": column(-1.5, 1.2), "bias": np.array([0.4, -0.3])},
    )
    x1, x2, h0, c0, e = 0.9, -1.1, 0.35, -0.6, 0.01

    z_g1 = w_g * x1 + b_g + u_g * h0 + d_g
    i1 = sigmoid(w_i * x1 + b_i + u_i * h0 + d_i)
    f1 = sigmoid(w_f * x1 + b_f + u_f * h0 + d_f)
    o1 = sigmoid(w_o * x1 + b_o + u_o * h0 + d_o)
    c1 = f1 * c0 + i1 * math.tanh(z_g1)
    h1 = o1 * math.tanh(c1)
    z_g2 = w_g * x2 + b_g + u_g * h1 + d_g
    i2 = sigmoid(w_i * x2 + b_i + u_i * h1 + d_i)
    f2 = sigmoid(w_f * x2 + b_f + u_f * h1 + d_f)
    o2 = sigmoid(w_o * x2 + b_o + u_o * h1 + d_o)
    c2 = f2 * c1 + i2 * math.tanh(z_g2)
    h2 = o2 * math.tanh(c2)
    score = 1.2 * h2 - 0.3
    assert c1 > 0 > c2
    assert z_g1 > 0 > z_g2
    assert score < 0

    R_h2 = 1.2 * h2 * score / (score - e)
    R_c2 = R_h2  # h2 = o2 · tanh(c2)
    R_g2 = i2 * math.tanh(z_g2) * R_c2 / (c2 - e)
    R_x2 = w_g * x2 * R_g2 / (z_g2 - e)
    R_h1 = u_g * h1 * R_g2 / (z_g2 - e)
    R_c1 = R_h1 + f2 * c1 * R_c2 / (c2 - e)  # c1 is used by h1 and by c2
    R_g1 = i1 * math.tanh(z_g1) * R_c1 / (c1 + e)
    R_x1 = w_g * x1 * R_g1 / (z_g1 + e)
    R_h0 = u_g * h0 * R_g1 / (z_g1 + e)
    R_c0 = f1 * c0 * R_c1 / (c1 + e)

    result = explain(network, column(x1, x2), 1, e, h0=column(h0), c0=column(c0))
    assert result.scores.tolist() == pytest.approx([-1.5 * h2 + 0.4, score])
    assert result.relevance[:, 0].tolist() == pytest.approx([R_x1, R_x2])
    assert result.tokens == pytest.approx(R_x1 + R_x2)
    assert result.initial_state == pytest.approx(R_h0 + R_c0)
    assert result.bias == {
        "bias_ih_l0": pytest.approx(b_g * R_g2 / (z_g2 - e) + b_g * R_g1 / (z_g1 + e)),
        "bias_hh_l0": pytest.approx(d_g * R_g2 / (z_g2 - e) + d_g * R_g1 / (z_g1 + e)),
        "head.bias": pytest.approx(-0.3 * score / (score - e)),
    }
    assert result.stabiliser == pytest.approx(
        -e * score / (score - e)
        + -e * R_c2 / (c2 - e)
        + -e * R_g2 / (z_g2 - e)
        + e * R_c1 / (c1 + e)
        + e * R_g1 / (z_g1 + e)
    )


def test_lstm_with_projection_by_hand() -> None:
    # One step, two cells, one projected unit; all gates are sigmoid(0) = 1/2 and g = tanh(x).
    network = one_unit(
        "lstm",
        {
            "weight_ih_l0": column(0, 0, 0, 0, 1, -2, 0, 0),
            "weight_hh_l0": column(0, 0, 0, 0, 0, 0, 0, 0),
            "weight_hr_l0": np.array([[3.0, 1.0]]),
        },
        hidden=2,
    )
    x, e = 0.5, 0.1
    c_a, c_b = 0.5 * math.tanh(0.5), 0.5 * math.tanh(-1.0)
    m_a, m_b = 0.5 * math.tanh(c_a), 0.5 * math.tanh(c_b)
    h = 3 * m_a + m_b
    assert h > 0
    R_h = h * h / (h + e)
    R_c_a, R_c_b = 3 * m_a * R_h / (h + e), m_b * R_h / (h + e)
    R_g_a, R_g_b = c_a * R_c_a / (c_a + e), c_b * R_c_b / (c_b - e)
    R_x = 0.5 * R_g_a / (0.5 + e) + -1.0 * R_g_b / (-1.0 - e)
    result = explain(network, column(x), 0, e)
    assert result.scores.tolist() == pytest.approx([h])
    assert result.tokens == pytest.approx(R_x)


def test_gru_by_hand() -> None:
    w_r, w_z, w_n = 0.5, -0.3, 0.9
    u_r, u_z, u_n = -0.6, 0.4, 0.7
    b_r, b_z, b_n = 0.1, -0.2, 0.25
    d_r, d_z, d_n = 0.3, 0.15, -0.35
    network = one_unit(
        "gru",
        {
            "weight_ih_l0": column(w_r, w_z, w_n),
            "weight_hh_l0": column(u_r, u_z, u_n),
            "bias_ih_l0": np.array([b_r, b_z, b_n]),
            "bias_hh_l0": np.array([d_r, d_z, d_n]),
        },
        pooling="mean",
    )
    x1, x2, h0, e = 1.2, -0.8, 0.45, 0.02

    r1 = sigmoid(w_r * x1 + b_r + u_r * h0 + d_r)
    z1 = sigmoid(w_z * x1 + b_z + u_z * h0 + d_z)
    p1 = w_n * x1 + b_n + r1 * (u_n * h0 + d_n)
    h1 = (1 - z1) * math.tanh(p1) + z1 * h0
    r2 = sigmoid(w_r * x2 + b_r + u_r * h1 + d_r)
    z2 = sigmoid(w_z * x2 + b_z + u_z * h1 + d_z)
    p2 = w_n * x2 + b_n + r2 * (u_n * h1 + d_n)
    h2 = (1 - z2) * math.tanh(p2) + z2 * h1
    score = (h1 + h2) / 2
    assert p1 > 0 > p2
    assert h1 > 0
    assert score > 0
    s2 = math.copysign(e, h2)

    R_mean = score * score / (score + e)
    R_h2 = h2 / 2 * R_mean / score
    R_n2 = (1 - z2) * math.tanh(p2) * R_h2 / (h2 + s2)
    R_x2 = w_n * x2 * R_n2 / (p2 - e)
    R_h1 = h1 / 2 * R_mean / score + z2 * h1 * R_h2 / (h2 + s2) + r2 * u_n * h1 * R_n2 / (p2 - e)
    R_n1 = (1 - z1) * math.tanh(p1) * R_h1 / (h1 + e)
    R_x1 = w_n * x1 * R_n1 / (p1 + e)
    R_h0 = z1 * h0 * R_h1 / (h1 + e) + r1 * u_n * h0 * R_n1 / (p1 + e)

    result = explain(network, column(x1, x2), 0, e, h0=column(h0))
    assert result.scores.tolist() == pytest.approx([score])
    assert result.relevance[:, 0].tolist() == pytest.approx([R_x1, R_x2])
    assert result.initial_state == pytest.approx(R_h0)
    assert result.bias == {
        "bias_ih_l0": pytest.approx(b_n * R_n2 / (p2 - e) + b_n * R_n1 / (p1 + e)),
        "bias_hh_l0": pytest.approx(r2 * d_n * R_n2 / (p2 - e) + r1 * d_n * R_n1 / (p1 + e)),
    }
    assert result.stabiliser == pytest.approx(
        e * score / (score + e)
        + s2 * R_h2 / (h2 + s2)
        + -e * R_n2 / (p2 - e)
        + e * R_h1 / (h1 + e)
        + e * R_n1 / (p1 + e)
    )


# --- By hand: pooling. Steps that do not see each other: h_t = tanh(x_t), ε = 0 -------------------

ALONE = {"weight_ih_l0": column(1.0), "weight_hh_l0": column(0.0)}


def test_pooling_by_hand() -> None:
    x = column(0.2, 0.7, -0.4)
    h = np.tanh(x[:, 0])
    exponentials = np.exp(2.0 * h + 0.5)
    expected = {
        "last": np.array([0.0, 0.0, h[2]]),
        "mean": h / 3,
        "max": np.array([0.0, h[1], 0.0]),
        "attention": exponentials / exponentials.sum() * h,
    }
    attention = {"weight": column(2.0), "bias": np.array([0.5])}
    for pooling, relevance in expected.items():
        network = one_unit("rnn_tanh", ALONE, pooling=pooling, attention=attention)
        result = explain(network, x, 0, 0.0)
        np.testing.assert_allclose(result.relevance[:, 0], relevance, rtol=1e-12, err_msg=pooling)


def test_words_that_cancel_in_the_mean_still_receive_relevance() -> None:
    # The mean is exactly 0, so that the score is the bias; the limit of h_t R / y is h_t w.
    head = {"weight": column(3.0), "bias": np.array([1.0])}
    network = one_unit("rnn_tanh", ALONE, pooling="mean", head=head)
    result = explain(network, column(0.5, -0.5), 0, 0.0)
    share = 3 * math.tanh(0.5) / 2
    assert result.relevance[:, 0].tolist() == pytest.approx([share, -share])
    assert result.bias == {"head.bias": 1.0}


def test_a_zero_word_receives_nothing() -> None:
    network = one_unit("rnn_tanh", ALONE, pooling="mean")
    result = explain(network, column(0.5, 0.0), 0, 0.0)
    assert result.relevance[:, 0].tolist() == pytest.approx([math.tanh(0.5) / 2, 0.0])


# --- Both directions ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
def test_reverse_direction_explains_the_document_read_backwards(kind: str) -> None:
    case = Case(kind, False, 1, False, True, False, "last")
    alone = setting(case, seed=5).network
    forward, reverse = setting(case, seed=6).network["parameters"], alone["parameters"]
    both = alone | {
        "bidirectional": True,
        "parameters": forward | {f"{name}_reverse": value for name, value in reverse.items()},
        # The output layer reads the reverse direction only.
        "head": {
            "weight": np.hstack([np.zeros((C, H)), alone["head"]["weight"]]),
            "bias": alone["head"]["bias"],
        },
    }
    document = np.random.default_rng(7).normal(size=(5, D))
    result = explain(both, document, 2, 0.01)
    expected = explain(alone, document[::-1], 2, 0.01)
    np.testing.assert_allclose(result.relevance[::-1], expected.relevance, rtol=1e-12)
    for name in reverse:
        if name.startswith("bias"):
            assert result.bias[name] == 0.0
            assert result.bias[f"{name}_reverse"] == pytest.approx(expected.bias[name])


@pytest.mark.parametrize(("change", "message"), [("kind", "kind 'cnn'"), ("pooling", "'cnn'")])
def test_unknown_network_is_refused(change: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(one_unit("rnn_tanh", ALONE) | {change: "cnn"}, column(0.5), 0, 0.0)


def test_empty_document_is_refused() -> None:
    with pytest.raises(ValueError, match="without a step"):
        explain(one_unit("rnn_tanh", ALONE), np.zeros((0, 1)), 0, 0.0)
