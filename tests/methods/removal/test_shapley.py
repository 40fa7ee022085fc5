"""Shapley values, sampled and by regression: against all subsets one by one, and their axioms."""

from __future__ import annotations

from itertools import combinations, permutations
from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import IdsError, OptionError
from seqlrp.methods import KernelSHAP, Shapley

BOTH = [(Shapley, {"samples": 4}), (KernelSHAP, {"samples": 40})]


def document(words: int, width: int | None = None, seed: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.zeros(1, width or words, dtype=torch.int64)
    ids[0, :words] = torch.randint(2, 12, (words,), generator=drawn)
    return ids


def scores_of_subsets(model: nn.Module, ids: torch.Tensor, removal: str) -> dict[frozenset, list]:
    """One pass for each subset of the words, the embeddings of all others zeroed by a hook."""
    scores = {}
    words = range(ids.shape[1])
    for size in range(ids.shape[1] + 1):
        for chosen in combinations(words, size):
            mask = torch.zeros(1, ids.shape[1], 1, dtype=torch.float64)
            mask[0, list(chosen)] = 1
            text, hook = ids, None
            if removal == "unk":
                text = torch.where(mask[..., 0] > 0, ids, 1)
            else:
                hook = model.embedding.register_forward_hook(lambda m, i, o, mask=mask: o * mask)
            with torch.no_grad():
                scores[frozenset(chosen)] = model(text)[0]
            if hook is not None:
                hook.remove()
    return scores


def by_definition(scores: dict[frozenset, torch.Tensor], words: int) -> torch.Tensor:
    """`[C, T]`: Σ_S |S|! (T − |S| − 1)! / T! (v(S ∪ i) − v(S))."""
    values = []
    for i in range(words):
        total = torch.zeros_like(scores[frozenset()])
        for subset, score in scores.items():
            if i not in subset:
                weight = factorial(len(subset)) * factorial(words - len(subset) - 1)
                total += weight / factorial(words) * (scores[subset | {i}] - score)
        values.append(total)
    return torch.stack(values, 1)


@pytest.mark.parametrize("removal", ["zero", "unk"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_against_every_subset(cell: str, removal: str) -> None:
    model = small_classifier(labels=("a", "b", "c"), cell=cell).model.double()
    ids = document(8)
    expected = by_definition(scores_of_subsets(model, ids, removal), 8)
    options = {"removal": removal, "unknown": 1 if removal == "unk" else None}
    assert expected.abs().max() > 1e-2
    for method in (Shapley(model, 50, **options), KernelSHAP(model, **options)):
        found = method.attribution(ids, "all")
        torch.testing.assert_close(found.relevance[0], expected, rtol=0, atol=1e-12)
        assert (found.error == 0).all()
        pair = method.attribute(ids, (2, 0))
        torch.testing.assert_close(pair[0], expected[2] - expected[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_samples_are_within_their_standard_errors(cell: str) -> None:
    model = small_classifier(cell=cell).model.double()
    ids = document(8)
    exact = KernelSHAP(model).attribution(ids, 1).relevance
    # 30 permutations are fewer passes than all 254 coalitions, 200 coalitions too.
    cases = [(Shapley, 30), (Shapley, 36), (KernelSHAP, 200), (KernelSHAP, 252)]
    for kind, samples in cases:
        values, error = kind(model, samples, seed=1).attribute(ids, 1, return_error=True)
        assert values.shape == error.shape == (1, 8)
        assert (error > 0).all()
        assert error.max() < 0.1 * exact.abs().max()
        assert (values - exact).abs().max() > 1e-6
        assert ((values - exact).abs() <= 4 * error).all()


@pytest.mark.parametrize(("kind", "samples"), [(Shapley, 12), (KernelSHAP, 100)])
def test_standard_errors_are_those_of_many_repetitions(kind: type, samples: int) -> None:
    model = small_classifier().model.double()
    ids = document(9)
    repeated = [
        kind(model, samples, seed=s).attribute(ids, 1, return_error=True) for s in range(60)
    ]
    values, errors = (torch.cat(t) for t in zip(*repeated, strict=True))
    seen, said = values.std(0), errors.square().mean(0).sqrt()
    assert (seen / said).log().abs().max() < 0.5  # 60 repetitions know it to a tenth
    exact = KernelSHAP(model).attribute(ids, 1)[0]
    assert ((values.mean(0) - exact).abs() < 4 * seen / 60**0.5 + 1e-3 * exact.abs().max()).all()


def test_all_permutations_together_are_exact() -> None:
    class AllOrders(Shapley):
        def enumerates(self, words: int) -> bool:
            return False

        def orders(self, words: int, drawn: np.random.Generator) -> np.ndarray:
            return np.array(list(permutations(range(words))))

    model = small_classifier().model.double()
    ids = document(5)
    expected = by_definition(scores_of_subsets(model, ids, "zero"), 5)
    found = AllOrders(model).attribute(ids, "all")[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@examples(15)
@pytest.mark.slow
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    extra=st.integers(0, 4),
    batch_tokens=st.integers(1, 300),
    seed=st.integers(0, 9),
)
def test_values_add_up_and_do_not_depend_on_the_batch(
    lengths: list[int], extra: int, batch_tokens: int, seed: int
) -> None:
    model = small_classifier().model.double()
    alone = [document(length, seed=k) for k, length in enumerate(lengths)]
    width = max(lengths) + extra
    ids = torch.cat([document(n, width, seed=k) for k, n in enumerate(lengths)])
    for kind, options in BOTH:
        method = kind(model, seed=seed, batch_tokens=batch_tokens, **options)
        found = method.attribution(ids, "all")
        assert (found.relevance.transpose(1, 2)[ids == 0] == 0).all()
        assert found.ledger.residual.abs().max() < 1e-13
        total = found.relevance.sum(2) + found.ledger.total("baseline")
        torch.testing.assert_close(total, found.scores, rtol=0, atol=1e-13)
        assert found.error.shape == found.relevance.shape
        for k, one in enumerate(alone):
            single = kind(model, seed=seed, **options).attribution(one, "all")
            torch.testing.assert_close(
                found.relevance[k, :, : lengths[k]], single.relevance[0], rtol=0, atol=1e-12
            )
            torch.testing.assert_close(
                found.error[k, :, : lengths[k]], single.error[0], rtol=0, atol=1e-12
            )


class Products(nn.Module):
    """Reads vectors `[B, T, 1]`: a weight for each place, and a few products of two places."""

    def __init__(self, weights: list[float], pairs: list[tuple[int, int, float]]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float64))
        self.pairs = pairs

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        x = vectors[..., 0]
        products = sum(w * x[:, i] * x[:, j] for i, j, w in self.pairs)
        return torch.stack(
            [x @ self.weights + products, x @ self.weights, 0 * x[:, 0] + products], 1
        )


@examples(25)
@given(
    weights=st.lists(st.floats(-2, 2), min_size=4, max_size=7),
    drawn=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(-2, 2)), max_size=4),
    samples=st.sampled_from([4, 6, 20]),
)
def test_dummy_symmetry_and_linearity(weights: list[float], drawn: list, samples: int) -> None:
    # The last place is a dummy; the last but one enters by its weight alone.
    pairs = [(i, j, w) for i, j, w in drawn if i != j]
    model = Products([*weights[:-1], 0.0], pairs).eval()
    vectors = torch.ones(1, len(weights), 1, dtype=torch.float64)
    for method in (Shapley(model, samples), KernelSHAP(model), KernelSHAP(model, 2 * samples + 14)):
        whole, linear, product = method.attribute(vectors, "all")[0]
        torch.testing.assert_close(whole, linear + product, rtol=0, atol=1e-12)
        torch.testing.assert_close(linear, model.weights.detach(), rtol=0, atol=1e-12)
        exact = torch.zeros_like(whole)
        for i, j, w in pairs:  # by symmetry each of the two has half of their product
            exact[i] += w / 2
            exact[j] += w / 2
        # A pair of a permutation and its reverse, or of complements, gives products of two exactly.
        torch.testing.assert_close(product, exact, rtol=0, atol=1e-12)
        assert abs(float(whole[-1])) < 1e-12


def test_two_equal_words_of_a_bag_are_worth_the_same() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.head = nn.Embedding(12, 4), nn.Linear(4, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.embedding(ids).sum(1)))

    ids = torch.tensor([[3, 5, 3, 7, 4]])
    for method in (Shapley(Bag().double().eval()), KernelSHAP(Bag().double().eval())):
        found = method.attribute(ids, 0)[0]
        assert found[0] == pytest.approx(float(found[2]), abs=1e-14)
        assert abs(found[0] - found[1]) > 1e-3


@pytest.mark.parametrize("kind", [Shapley, KernelSHAP])
def test_texts(kind: type) -> None:
    classifier = small_classifier(hierarchical=True)
    texts = some_texts(4, longest=7)
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    together = seqlrp.explain(classifier, texts, kind(classifier.model, seed=2))
    assert torch.equal(state[0], torch.random.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()
    for text, found in zip(texts, together, strict=True):
        assert set(found.ledger) == {"tokens", "baseline"}
        alone = seqlrp.explain(classifier, [text], kind(classifier.model, seed=2))[0]
        np.testing.assert_allclose(found.relevance, alone.relevance, atol=1e-5)
        whole = sum(found.ledger.values())
        assert whole == pytest.approx(float(found.scores[found.predicted]), abs=1e-5)
        assert found.parameters["seed"] == 2


def test_another_seed_draws_others_and_the_same_seed_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = small_classifier().model.double()
    ids = document(12)
    for kind, samples in ((Shapley, 4), (KernelSHAP, 30)):
        first = kind(model, samples, seed=0).attribute(ids, 0)
        assert torch.equal(first, kind(model, samples, seed=0).attribute(ids, 0))
        assert not torch.equal(first, kind(model, samples, seed=1).attribute(ids, 0))
    assert capsys.readouterr().err == ""
    Shapley(model, 4, progress=True).attribute(ids, 0)
    assert "shapley: 100%" in capsys.readouterr().err


def test_captum_agrees() -> None:
    attr = pytest.importorskip("captum.attr")
    model = small_classifier().model.double()
    vectors = model.embedding(document(6)).detach()

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = model.encoder, model.head

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return self.head(self.encoder(vectors, torch.full((len(vectors),), 6)))

    whole = Embedded().eval()
    mask = torch.arange(6).view(1, 6, 1).expand_as(vectors).contiguous()
    theirs = attr.ShapleyValues(whole).attribute(vectors, target=1, feature_mask=mask)[..., 0]
    ours = Shapley(whole).attribute(vectors, 1)
    torch.manual_seed(0)  # Captum draws from the global generator
    sampled = attr.ShapleyValueSampling(whole).attribute(
        vectors, target=1, feature_mask=mask, n_samples=60
    )[..., 0]
    assert (sampled - ours).abs().max() < 0.05 * ours.abs().max()
    assert theirs.abs().max() > 1e-2
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=1e-6)


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="removal='zero' or 'unk'"):
        Shapley(model, removal="delete")
    with pytest.raises(OptionError, match="samples=2; expected a whole number, at least 4"):
        Shapley(model, 2)
    with pytest.raises(OptionError, match="one and its reverse"):
        Shapley(model, 5)
    with pytest.raises(OptionError, match="one and its complement"):
        KernelSHAP(model, 5)
    with pytest.raises(OptionError, match="seed=-1"):
        KernelSHAP(model, seed=-1)
    with pytest.raises(OptionError, match=r"12 words, .*at least 24, or None for 2072"):
        KernelSHAP(model, 22).attribute(document(12), 0)
    with pytest.raises(OptionError, match="do not tell apart"):
        KernelSHAP(model, 26).attribute(document(12), 0)
    with pytest.raises(IdsError, match="nothing but padding"):
        Shapley(model).attribute(torch.tensor([[2, 3], [0, 0]]), 0)
