"""Contextual decomposition: against the paper's equations in plain loops, and what must hold."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import (
    IdsError,
    MixedDocumentsError,
    NoEmbeddingError,
    OptionError,
    ProbabilityError,
    RefusedFunctionError,
)
from seqlrp.methods import ContextualDecomposition


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def average_over_orders(f, terms: list[float], bias: float) -> list[float]:
    """L_f: what each term adds when the terms come one after another, the bias before all."""
    totals = [0.0] * len(terms)
    orders = list(permutations(range(len(terms))))
    for order in orders:
        so_far = bias
        for k in order:
            totals[k] += (f(so_far + terms[k]) - f(so_far)) / len(orders)
            so_far += terms[k]
    return totals


def decomposed_by_hand(
    weights: dict[str, np.ndarray], x: np.ndarray, phrase: set[int], variant: str
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """β_t, γ_t and β^c_t of one LSTM, unit by unit: Murdoch et al. 2018, sec. 3.2."""
    w, v, b = weights["w"], weights["v"], weights["b"]  # [4H, D], [4H, H], [4H]
    hidden = len(b) // 4
    beta, gamma = np.zeros(hidden), np.zeros(hidden)
    beta_c, gamma_c = np.zeros(hidden), np.zeros(hidden)
    betas, gammas, cells = [], [], []
    for t in range(len(x)):
        new = [np.zeros(hidden) for _ in range(4)]
        for u in range(hidden):
            split = {}
            for gate, (name, f) in enumerate(
                [("i", sigmoid), ("f", sigmoid), ("g", np.tanh), ("o", sigmoid)]
            ):
                row = gate * hidden + u
                word, own, other = w[row] @ x[t], v[row] @ beta, v[row] @ gamma
                inside, outside = ([word, own], [other]) if t in phrase else ([own], [word, other])
                if variant == "released":
                    inside, outside = [sum(inside)], [sum(outside)]
                parts = average_over_orders(f, inside + outside, b[row])
                split[name] = (sum(parts[: len(inside)]), sum(parts[len(inside) :]), f(b[row]))
                if name == "o":
                    o = f(b[row] + word + own + other)
            (i_p, i_r, i_b), (f_p, f_r, f_b), (g_p, g_r, g_b) = (split[k] for k in "ifg")
            new_beta_c = (f_p + f_b) * beta_c[u] + i_p * (g_p + g_b) + i_b * g_p
            new_gamma_c = f_r * beta_c[u] + (f_p + f_r + f_b) * gamma_c[u]
            new_gamma_c += i_r * (g_p + g_r + g_b) + (i_p + i_b) * g_r
            if variant == "released" and t in phrase:
                new_beta_c += i_b * g_b
            else:
                new_gamma_c += i_b * g_b
            tanh_p, tanh_r = average_over_orders(np.tanh, [new_beta_c, new_gamma_c], 0.0)
            for values, value in zip(
                new, (new_beta_c, new_gamma_c, o * tanh_p, o * tanh_r), strict=True
            ):
                values[u] = value
        beta_c, gamma_c, beta, gamma = new
        betas.append(beta)
        gammas.append(gamma)
        cells.append(beta_c)
    return betas, gammas, cells


def weights_of(recurrence: nn.LSTM, suffix: str) -> dict[str, np.ndarray]:
    found = {name: p.detach().numpy() for name, p in recurrence.named_parameters()}
    bias = found[f"bias_ih_{suffix}"] + found[f"bias_hh_{suffix}"]
    return {"w": found[f"weight_ih_{suffix}"], "v": found[f"weight_hh_{suffix}"], "b": bias}


def some_ids(lengths: list[int], width: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(len(lengths))
    ids = torch.zeros(len(lengths), max([*lengths, width]), dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(2, 12, (length,), generator=drawn)
    return ids


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_against_the_equations_in_loops(variant: str) -> None:
    model = small_classifier(bidirectional=False, pooling="last").model.double()
    ids = some_ids([6, 3])
    method = ContextualDecomposition(model, variant)
    spans = [(0, 1), (1, 3), (2, 3), (0, 3)]
    found = method.decomposition(ids, spans, "all")
    assert found.inside.shape == found.outside.shape == (2, 2, 4)
    head = model.head.weight.detach().numpy()
    weights = weights_of(model.encoder.recurrence, "l0")
    for b, length in enumerate([6, 3]):
        x = model.embedding(ids[b, :length]).detach().numpy()
        for k, (start, stop) in enumerate(spans):
            betas, gammas, _ = decomposed_by_hand(weights, x, set(range(start, stop)), variant)
            inside, outside = found.inside[b, :, k].numpy(), found.outside[b, :, k].numpy()
            np.testing.assert_allclose(inside, head @ betas[-1], rtol=0, atol=1e-13)
            np.testing.assert_allclose(outside, head @ gammas[-1], rtol=0, atol=1e-13)
    assert found.inside.abs().min() > 1e-5
    one = method.attribution(ids, 1).relevance
    torch.testing.assert_close(one[:, 0], found.inside[:, 1, 0], rtol=0, atol=1e-13)
    torch.testing.assert_close(one[:, 2], found.inside[:, 1, 2], rtol=0, atol=1e-13)
    assert (one[1, 3:] == 0).all()


def test_the_two_variants_differ() -> None:
    model = small_classifier().model.double()
    ids = some_ids([6])
    paper, released = (
        ContextualDecomposition(model, v).attribute(ids, 0) for v in ("paper", "released")
    )
    assert (paper - released).abs().max() > 1e-4


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_both_directions_and_pooling_by_hand(pooling: str) -> None:
    model = small_classifier(pooling=pooling).model.double()
    ids, phrase = some_ids([5]), {1, 2}
    x = model.embedding(ids[0]).detach()
    forward = weights_of(model.encoder.recurrence, "l0")
    back = weights_of(model.encoder.recurrence, "l0_reverse")
    there, _, _ = decomposed_by_hand(forward, x.numpy(), phrase, "paper")
    mirrored = {4 - t for t in phrase}
    returning, _, _ = decomposed_by_hand(back, x.numpy()[::-1], mirrored, "paper")
    betas = np.concatenate([np.stack(there), np.stack(returning)[::-1]], 1)  # [T, 2H]
    with torch.no_grad():
        states, _ = model.encoder.recurrence(x.unsqueeze(0))
    states = states[0]
    if pooling == "last":
        pooled = np.concatenate([betas[-1, :5], betas[0, 5:]])
    elif pooling == "mean":
        pooled = betas.mean(0)
    elif pooling == "max":
        pooled = betas[states.argmax(0).numpy(), np.arange(10)]
    else:
        energies = model.encoder.attention(torch.tanh(model.encoder.projection(states)))
        pooled = torch.softmax(energies[:, 0], 0).detach().numpy() @ betas
    expected = model.head.weight.detach().numpy() @ pooled
    found = ContextualDecomposition(model).decomposition(ids, [(1, 3)], "all").inside[0, :, 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-13)


@examples(12)
@given(
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    pooling=st.sampled_from(["last", "mean", "max", "attention"]),
    variant=st.sampled_from(["paper", "released"]),
    head_bias=st.booleans(),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    batch_tokens=st.integers(1, 60),
    extra=st.integers(0, 3),
)
def test_the_parts_are_the_score(
    layers: int, bidirectional: bool, pooling: str, variant: str, head_bias: bool,
    lengths: list[int], batch_tokens: int, extra: int,
) -> None:  # fmt: skip
    model = small_classifier(
        layers=layers, bidirectional=bidirectional, pooling=pooling, head_bias=head_bias
    ).model.double()
    ids = some_ids(lengths, max(lengths) + extra)
    drawn = torch.Generator().manual_seed(1)
    phrases = torch.rand(len(lengths), 4, ids.shape[1], generator=drawn) < 0.4
    phrases[:, 0] = False
    method = ContextualDecomposition(model, variant, batch_tokens=batch_tokens)
    found = method.decomposition(ids, phrases, "all")
    total = found.inside + found.outside
    torch.testing.assert_close(
        total, found.scores.unsqueeze(2).expand_as(total), rtol=0, atol=1e-12
    )
    assert found.inside[:, :, 0].abs().max() < 1e-15  # nothing comes of no phrase
    pair = method.decomposition(ids, phrases, (1, 0))
    torch.testing.assert_close(
        pair.inside, found.inside[:, 1] - found.inside[:, 0], rtol=0, atol=1e-12
    )
    words = method.attribute(ids, "all")
    assert (words.transpose(1, 2)[ids == 0] == 0).all()
    for b, length in enumerate(lengths):
        alone = ContextualDecomposition(model, variant).attribute(ids[b : b + 1, :length], "all")
        torch.testing.assert_close(words[b, :, :length], alone[0], rtol=0, atol=1e-12)
        single = torch.eye(length, dtype=torch.bool).unsqueeze(0)
        by_phrases = method.decomposition(ids[b : b + 1, :length], single, "all").inside
        torch.testing.assert_close(by_phrases, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_whole_text_makes_all_but_what_biases_make(layers: int) -> None:
    model = small_classifier(layers=layers, head_bias=True).model.double()
    ids = some_ids([5, 4])
    scores, bias = model(ids).detach(), model.head.bias.detach()
    released = ContextualDecomposition(model, "released").decomposition(ids, [(0, 5)], "all")
    torch.testing.assert_close(released.inside[..., 0], scores - bias, rtol=0, atol=1e-13)
    paper = ContextualDecomposition(model).decomposition(ids, [(0, 5)], "all")
    assert (paper.outside[..., 0] - bias).abs().max() > 1e-3  # biases that meet in i · g
    for name, parameter in model.encoder.recurrence.named_parameters():
        if "bias" in name:
            parameter.data.zero_()
    paper = ContextualDecomposition(model).decomposition(ids, [(0, 5)], "all")
    torch.testing.assert_close(paper.inside[..., 0], model(ids).detach() - bias, rtol=0, atol=1e-13)


class Reader(nn.Module):
    """A model of another make: padded, time first, a projection before and states given."""

    def __init__(self, project: int = 0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(12, 4)
        self.before = nn.Linear(4, 3)
        self.left = nn.LSTM(3, 5, proj_size=project)
        self.right = nn.LSTM(3, 5, bias=False)
        self.h0 = nn.Parameter(torch.randn(1, 1, project or 5))
        self.head = nn.Linear((project or 5) + 5, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.before(self.embedding(ids)).transpose(0, 1)
        start = self.h0.expand(1, len(ids), -1).contiguous()
        left, _ = self.left(x, (start, torch.ones(1, len(ids), 5, dtype=x.dtype)))
        _, (_, cells) = self.right(x.flip(0))
        return self.head(torch.cat([left.mean(0), cells[-1]], 1))


@pytest.mark.parametrize("project", [0, 2])
def test_a_model_of_another_make(project: int) -> None:
    model = Reader(project).double().eval()
    ids = some_ids([5, 5])
    method = ContextualDecomposition(model)
    found = method.decomposition(ids, [(1, 3), (0, 5)], "all")
    total = found.inside + found.outside
    expected = model(ids).detach().unsqueeze(2).expand_as(total)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)

    class After(nn.Module):
        """The same, fed with what its LSTMs read."""

        def __init__(self) -> None:
            super().__init__()
            self.reader = model
            self.reader.before = nn.Identity()

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            reader = self.reader
            x = vectors.transpose(0, 1)
            start = reader.h0.expand(1, len(vectors), -1).contiguous()
            left, _ = reader.left(x, (start, torch.ones(1, len(vectors), 5, dtype=x.dtype)))
            _, (_, cells) = reader.right(x.flip(0))
            return reader.head(torch.cat([left.mean(0), cells[-1]], 1))

    vectors = model.before(model.embedding(ids)).detach()
    again = ContextualDecomposition(After().eval()).decomposition(vectors, [(1, 3), (0, 5)], "all")
    torch.testing.assert_close(again.inside, found.inside, rtol=0, atol=1e-13)
    # The LSTM on the right by hand: the score reads its final cell state, from the end.
    weights = {
        "w": model.right.weight_ih_l0.detach().numpy(),
        "v": model.right.weight_hh_l0.detach().numpy(),
        "b": np.zeros(20),
    }
    model.head.weight.data[:, :-5] = 0
    _, _, cells = decomposed_by_hand(weights, vectors[0].numpy()[::-1], {2, 3}, "paper")
    right = ContextualDecomposition(After().eval()).decomposition(vectors, [(1, 3)], "all")
    expected = model.head.weight[:, -5:].detach().numpy() @ cells[-1]
    np.testing.assert_allclose(right.inside[0, :, 0].numpy(), expected, rtol=0, atol=1e-13)
    assert abs(expected).min() > 1e-3


def test_the_model_stays_as_it_is_and_texts_go_in() -> None:
    classifier = small_classifier(labels=("a", "b", "c"))
    state = {k: v.clone() for k, v in classifier.model.state_dict().items()}
    random = torch.random.get_rng_state()
    texts = some_texts(6, longest=9)
    together = seqlrp.explain(classifier, texts, "contextual_decomposition", "all")
    assert torch.equal(random, torch.random.get_rng_state())
    for key, value in classifier.model.state_dict().items():
        assert torch.equal(value, state[key])
    assert all(p.grad is None and p.requires_grad for p in classifier.model.parameters())
    for text, found in zip(texts, together, strict=True):
        alone = seqlrp.explain(classifier, [text], "contextual_decomposition", "all")[0]
        np.testing.assert_allclose(found.relevance, alone.relevance, atol=1e-6)
        assert found.parameters == {"variant": "paper"}
        assert not found.ledger


class Around(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.embedding = nn.Embedding(12, 4)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.second = nn.LSTM(4, 4, batch_first=True)
        self.rnn = nn.RNN(4, 4, batch_first=True)
        self.cell = nn.LSTMCell(4, 4)
        self.head = nn.Linear(4, 2)
        self.norm, self.place = nn.LayerNorm(4), nn.Embedding(9, 4)
        self.hidden = nn.Linear(4, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        if self.kind == "norm":
            x = self.norm(x + self.place(torch.arange(ids.shape[1])))
        if self.kind == "conv":
            x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        if self.kind == "rnn":
            return self.head(self.rnn(x)[0][:, -1])
        if self.kind == "cell":
            return self.head(self.cell(x[:, 0])[0])
        states, final = self.lstm(x)
        if self.kind == "series":
            states, _ = self.second(states)
        if self.kind == "states":
            states, _ = self.second(x, final)
        last = states[:, -1]
        if self.kind == "swapped":
            last = last.flip(0)
        if self.kind == "skip":
            last = last + x.mean(1)
        if self.kind == "residual":
            last = (states + x)[:, -1]
        if self.kind == "hidden":
            last = torch.tanh(self.hidden(last))
        scores = self.head(last)
        return scores.softmax(1) if self.kind == "probabilities" else scores


@pytest.mark.parametrize("documents", [1, 3])
@pytest.mark.parametrize("kind", ["plain", "norm", "hidden"])
def test_padded_models_and_what_comes_before_and_after(kind: str, documents: int) -> None:
    model = Around(kind).double().eval()
    ids = some_ids([4] * documents)
    method = ContextualDecomposition(model)
    found = method.decomposition(ids, [(1, 2), (0, 3)], "all")
    total = found.inside + found.outside
    expected = model(ids).detach().unsqueeze(2).expand_as(total)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    weights = weights_of(model.lstm, "l0")
    for b in range(documents):
        x = model.embedding(ids[b])
        x = model.norm(x + model.place(torch.arange(4))) if kind == "norm" else x
        betas, gammas, _ = decomposed_by_hand(weights, x.detach().numpy(), {0, 1, 2}, "paper")
        carried = model.head.weight.detach()
        if kind == "hidden":  # f(x)/x stays as it is in the full run
            z = model.hidden(torch.tensor(betas[-1] + gammas[-1])).detach()
            carried = carried * (torch.tanh(z) / z) @ model.hidden.weight.detach()
        inside = carried.numpy() @ betas[-1]
        np.testing.assert_allclose(found.inside[b, :, 1].numpy(), inside, rtol=0, atol=1e-13)


@pytest.mark.parametrize("documents", [1, 2])
@pytest.mark.parametrize(
    ("kind", "error", "match"),
    [
        ("rnn", RefusedFunctionError, "equations for nn.LSTM only, .*'rnn' calls .*rnn_tanh"),
        ("cell", RefusedFunctionError, "equations for nn.LSTM only, .*lstm_cell"),
        ("conv", RefusedFunctionError, "Words meet elsewhere than in the LSTM"),
        ("skip", RefusedFunctionError, "Words meet elsewhere than in the LSTM"),
        ("residual", RefusedFunctionError, "Words meet elsewhere than in the LSTM"),
        ("series", RefusedFunctionError, "'second' reads what another one has made"),
        ("states", RefusedFunctionError, "'second' starts from states that depend on the words"),
        ("probabilities", ProbabilityError, "returns probabilities"),
    ],
)
def test_what_it_has_no_equations_for(
    kind: str, error: type[Exception], match: str, documents: int
) -> None:
    with pytest.raises(error, match=match):
        ContextualDecomposition(Around(kind).eval()).attribute(some_ids([4] * documents), 0)


def test_documents_that_a_model_mixes_are_named_as_such() -> None:
    with pytest.raises(MixedDocumentsError, match="mixes the documents of a batch"):
        ContextualDecomposition(Around("swapped").eval()).attribute(some_ids([4, 4]), 0)


def test_what_is_refused() -> None:
    with pytest.raises(RefusedFunctionError, match=r"nn\.LSTM only, .* calls .*gru"):
        ContextualDecomposition(small_classifier(cell="gru").model).attribute(some_ids([3]), 0)
    hierarchical = small_classifier(hierarchical=True).model
    with pytest.raises(RefusedFunctionError, match="reads what another one has made"):
        ContextualDecomposition(hierarchical).attribute(some_ids([3]).unsqueeze(1), 0)
    model = small_classifier().model
    with pytest.raises(OptionError, match="Known: 'paper', 'released'"):
        ContextualDecomposition(model, "code")
    method = ContextualDecomposition(model)
    with pytest.raises(IdsError, match=r"phrase \(2, 5\)"):
        method.decomposition(some_ids([4]), [(2, 5)])
    with pytest.raises(IdsError, match=r"expected bool \[1, P, 4\]"):
        method.decomposition(some_ids([4]), torch.zeros(1, 2, 3, dtype=torch.bool))
    with pytest.raises(IdsError, match="a row for each document"):
        method.attribute(some_ids([4])[0])

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(12, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.embedding(ids)[:, 0]

    with pytest.raises(RefusedFunctionError, match=r"calls no nn\.LSTM"):
        ContextualDecomposition(Bag().eval()).attribute(some_ids([4]), 0)

    class Nothing(Bag):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(ids), 2)

    with pytest.raises(NoEmbeddingError):
        ContextualDecomposition(Nothing().eval()).attribute(some_ids([4]), 0)
