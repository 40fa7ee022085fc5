"""Words that decide or count are refused; constants are left alone, and a run leaves no trace."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from samples.architectures import built
from samples.architectures.convolution import CharacterLSTM
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import ModelError, SecondTextWarning, UnfollowedWordsError, UnverifiedWarning
from seqlrp.methods import DeepLIFT

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 1, 1]])


class Stateful(nn.Module):
    """Counts its calls, and keeps its last state for the next text."""

    calls: Tensor
    state: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.cell, self.fc = nn.Embedding(12, 3), nn.GRUCell(3, 4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("state", torch.zeros(2, 4))
        self.seen: list[int] = []
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(ids.shape[1])
        h = self.state
        mask = (ids != 1).float()
        for t in range(ids.shape[1]):
            h = self.cell(self.emb(ids[:, t]), h) * mask[:, t : t + 1]
        self.state = h.detach()
        return self.fc(h)


def test_the_second_run_leaves_the_model_as_one_call_does() -> None:
    model, plain = Stateful(), Stateful()
    with torch.no_grad():
        plain(IDS)
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes())
    seqlrp.LRP(model).attribute(IDS, 0)
    torch.testing.assert_close(model.state, plain.state)
    assert model.calls == 1
    assert model.seen == [4]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tobytes() == states[2]


def test_a_kind_of_input_is_verified_once() -> None:
    lrp = seqlrp.LRP(Stateful())
    assert lrp.attribute(IDS, 0).shape == IDS.shape
    kinds = set(lrp._verified)
    lrp.attribute(IDS + 1, 0)
    assert lrp._verified == kinds
    assert seqlrp.LRP(Stateful(), verify=False)._verified == {None}


def test_integers_of_signals_are_refused_with_module_and_function() -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + (x * 100).int().float() / 100

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb, self.rounded, self.fc = nn.Embedding(12, 3), Rounded(), nn.Linear(3, 2)

        def forward(self, ids: Tensor) -> Tensor:
            return self.fc(self.rounded(self.emb(ids)).sum(1))

    with pytest.raises(UnfollowedWordsError) as found:
        seqlrp.LRP(Model().eval()).attribute(IDS, 0)
    assert found.value.module == "rounded"
    assert found.value.function == "torch.Tensor.add"


class Pooled(nn.Module):
    """The mean of its vectors, and what `add` makes of the scores, `[B, 2]`, and the ids."""

    def __init__(self, add: Callable[..., Tensor], padding: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.head = nn.Embedding(200, 4, padding_idx=padding), nn.Linear(4, 2, bias=False)
        self.other, self.unknown = nn.Embedding(20, 4), nn.Parameter(torch.ones(4))
        self.add = add
        self.kept: Any = None
        self.eval()

    def forward(self, ids: Tensor, *more: Tensor) -> Tensor:
        return self.add(self, self.head(self.emb(ids).mean(1)), ids, *more)


BONUS, LEXICON = torch.tensor([5.0, 0.0]), torch.arange(110, 190)
WORDS = torch.tensor([[4, 6, 2, 3, 8, 5, 7], [9, 3, 6, 5, 1, 2, 4]])
HARMLESS = torch.tensor([[4, 6, 2, 3, 8, 9, 7], [9, 3, 6, 8, 1, 2, 4]])


def added_to_rows(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
    o = o.clone()
    o[(ids == 5).any(1)] += BONUS
    return o


def replaced(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
    x = m.emb(ids)
    x[ids == 5] = torch.ones(4)
    return m.head(x.mean(1))


# What one word, or how words are alike, adds to the scores.
DECIDED: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "isin": lambda m, o, ids: o + 5 * torch.isin(ids, LEXICON).sum(1, keepdim=True),
    "count": lambda m, o, ids: o + (ids == 5).sum(),
    "count_as_number": lambda m, o, ids: o + int((ids == 5).sum()),
    "branch": lambda m, o, ids: o + BONUS if (ids == 5).any() else o,
    "branch_item": lambda m, o, ids: o + BONUS if (ids == 5).any().item() else o,
    "where_of_sums": lambda m, o, ids: torch.where((ids == 5).any(1, True), o + BONUS, o),
    "where_added": lambda m, o, ids: o + torch.where((ids == 5).any(1, True), BONUS, 0 * BONUS),
    "rows": added_to_rows,
    "bound": lambda m, o, ids: o + (ids > 198).sum(1, keepdim=True),
    "replaced": replaced,
    "where_parameter": lambda m, o, ids: m.head(
        torch.where((ids == 5).unsqueeze(-1), m.unknown, m.emb(ids)).mean(1)
    ),
    "filled": lambda m, o, ids: m.head(
        m.emb(ids).masked_fill((ids == 5).unsqueeze(-1), 3.0).mean(1)
    ),
    "as_arithmetic": lambda m, o, ids: m.head(
        (m.emb(ids) + (ids == 5).float().unsqueeze(-1) * m.unknown).mean(1)
    ),
}
ALIKE: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "unique": lambda m, o, ids: o + torch.tensor([[float(r.unique().numel())] for r in ids]),
    "pairs": lambda m, o, ids: o + (ids[:, :, None] == ids[:, None]).sum((1, 2))[:, None].float(),
    "set": lambda m, o, ids: o + torch.tensor([[len(set(r)) / len(r)] for r in ids.tolist()]),
}


@pytest.mark.parametrize("ids", [WORDS, HARMLESS, HARMLESS[:1], WORDS[1:]], ids=len)
@pytest.mark.parametrize("name", DECIDED)
def test_what_words_decide_is_refused_also_where_the_words_are_missing(
    name: str, ids: Tensor
) -> None:
    with pytest.raises(UnfollowedWordsError) as found:
        seqlrp.LRP(Pooled(DECIDED[name])).attribute(ids, 0)
    assert found.value.code in ("words_decide", "words_in_a_constant")


@pytest.mark.parametrize("ids", [WORDS, torch.tensor([[4, 4, 4, 4, 7]]), torch.full((2, 4), 3)])
@pytest.mark.parametrize("name", ALIKE)
def test_whether_words_are_alike_is_refused(name: str, ids: Tensor) -> None:
    with pytest.raises(UnfollowedWordsError, match="add in the model's own forward"):
        seqlrp.LRP(Pooled(ALIKE[name])).attribute(ids, 0)


def test_a_branch_in_python_is_refused_if_the_word_is_there() -> None:
    model = Pooled(lambda m, o, ids: o + BONUS if 5 in ids.flatten().tolist() else o)
    with pytest.raises(UnfollowedWordsError, match="called on some words only"):
        seqlrp.LRP(model).attribute(WORDS, 0)
    seqlrp.LRP(model).attribute(HARMLESS, 0)  # nothing can tell what Python would ask for


def at_separator(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
    place = (ids == 5).int().argmax(1)
    return o + m.head(m.emb(ids)[torch.arange(len(ids)), place])


# Questions about single words, and about padding, that select or weigh.
ALLOWED: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "mask": lambda m, o, ids: m.head((m.emb(ids) * (ids > 5).unsqueeze(-1)).mean(1)),
    "left_out": lambda m, o, ids: m.head(
        m.emb(ids).masked_fill((ids == 5).unsqueeze(-1), 0).mean(1)
    ),
    "excluded": lambda m, o, ids: m.head(
        m.emb(ids).masked_fill((ids == 5).unsqueeze(-1), -1e9).amax(1)
    ),
    "attended": lambda m, o, ids: m.head(
        ((m.emb(ids).sum(-1) + -1e9 * (ids == 5)).softmax(1).unsqueeze(-1) * m.emb(ids)).sum(1)
    ),
    "two_tables": lambda m, o, ids: m.head(
        torch.where((ids == 5).unsqueeze(-1), m.other(ids.clamp(max=19)), m.emb(ids)).mean(1)
    ),
    "separator": at_separator,
    "length": lambda m, o, ids: o + (ids != 0).sum(1, keepdim=True),
    "any_word": lambda m, o, ids: o + BONUS if (ids != 0).any() else o,
    "checked": lambda m, o, ids: o if (ids < 200).all() else 2 * o,
    "rows_of_words": lambda m, o, ids: torch.where((ids != 0).any(1, True), o + BONUS, o),
}


@pytest.mark.parametrize("ids", [WORDS, HARMLESS[:1], torch.tensor([[4, 5, 3, 0], [5, 3, 0, 0]])])
@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.filterwarnings("ignore::seqlrp.errors.PaddingWarning")
def test_questions_about_single_words_and_padding_may_select(name: str, ids: Tensor) -> None:
    model = Pooled(ALLOWED[name])
    found = seqlrp.LRP(model).attribution(ids, 0)
    expect = seqlrp.LRP(model, verify=False).attribution(ids, 0)
    assert torch.equal(found.relevance, expect.relevance)
    assert (found.unverified, expect.unverified) == ("", "verify=False")


def test_a_padding_that_an_embedding_declares_is_not_put_between_words() -> None:
    length = Pooled(lambda m, o, ids: o + (ids != 1).sum(1, keepdim=True), padding=1)
    seqlrp.LRP(length).attribute(HARMLESS[:1], 0)
    length.emb.padding_idx = None
    with pytest.raises(UnfollowedWordsError):
        seqlrp.LRP(length).attribute(HARMLESS[:1], 0)


def test_scores_must_be_those_of_a_plain_call() -> None:
    watched = torch.overrides._get_current_function_mode
    model = Pooled(lambda m, o, ids: o if watched() is None else 1.1 * o)
    with pytest.raises(ModelError, match="other scores while") as found:
        seqlrp.LRP(model).attribute(WORDS, 0)
    assert found.value.code == "other_scores_when_watched"
    seqlrp.LRP(model, verify=False).attribute(WORDS, 0)


def test_a_plain_call_does_not_write_into_parameters() -> None:
    class Renormalised(Pooled):
        def forward(self, ids: Tensor, *more: Tensor) -> Tensor:
            x = nn.functional.embedding(ids, self.emb.weight, max_norm=0.1)
            return self.head(x.mean(1))

    model = Renormalised(lambda m, o, ids: o)
    before = model.emb.weight.detach().clone()
    seqlrp.LRP(model).attribute(WORDS, 0)
    assert torch.equal(model.emb.weight, before)


def test_what_is_not_verified_is_said_once() -> None:
    model = Pooled(lambda m, o, ids: o + torch.from_numpy(TABLE[ids.numpy()].mean(1)))
    model.kept = threading.Lock()
    lrp = seqlrp.LRP(model)
    with pytest.warns(UnverifiedWarning, match="cannot be copied"):
        found = lrp.attribution(WORDS, 0)
    assert "lock" in found.unverified
    assert "lock" in lrp.attribution(WORDS, 0).unverified  # and no further warning
    quiet = seqlrp.LRP(model, verify=False).attribution(WORDS, 0)
    assert quiet.unverified == "verify=False"


TABLE = np.random.default_rng(0).normal(size=(200, 2)).astype("float32")


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_model_with_old_weight_norm_is_verified_in_every_call() -> None:
    model = Pooled(lambda m, o, ids: o + torch.from_numpy(TABLE[ids.numpy()].mean(1)))
    model.head = torch.nn.utils.weight_norm(model.head)
    lrp = seqlrp.LRP(model)
    for _ in range(2):
        with pytest.raises(UnfollowedWordsError):
            lrp.attribute(WORDS, 0)


def spelled(use: Callable[[Tensor, int], Tensor]) -> Callable[..., Tensor]:
    """A rule on scores that uses how many different words a text has, a number of Python."""
    return lambda m, o, ids: torch.cat(
        [use(torch.tanh(o[k : k + 1]), len(set(row))) for k, row in enumerate(ids.tolist())]
    )


def assigned(o: Tensor, n: float) -> Tensor:
    o = o.clone()
    o[:, 0] = n
    return o


NUMBERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "added": lambda o, n: o + n,
    "added, scaled": lambda o, n: torch.add(o, o, alpha=n),
    "factor": lambda o, n: o * n,
    "divisor": lambda o, n: o / n,
    "exponent": lambda o, n: o.abs() ** n,
    "bound": lambda o, n: o.clamp(max=0.01 * n),
    "slope": lambda o, n: torch.nn.functional.leaky_relu(-o.abs(), 1 / n),
    "assigned": assigned,
    "padded": lambda o, n: torch.nn.functional.pad(o, (1, 0), value=float(n)),
    "filled": lambda o, n: o + torch.full_like(o, n),
    "new": lambda o, n: o * o.new_full((1,), n),
    "masked": lambda o, n: o + torch.zeros_like(o).masked_fill(o > -9, n),
    "interpolated": lambda o, n: torch.lerp(o, 2 * o, 0.1 * n),
    "repeated": lambda o, n: o.repeat(n, 1).sum(0, keepdim=True),
    "loop": lambda o, n: sum([o] * n),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "deeplift"])
def test_numbers_of_python_that_words_make_are_refused(name: str, method: str) -> None:
    explainer = seqlrp.METHODS[method](Pooled(spelled(NUMBERS[name])))
    with pytest.raises(UnfollowedWordsError):
        explainer.attribute(WORDS, 0)


# Questions with two answers; other words often give that of the text.
QUESTIONS: dict[str, Callable[[list[int]], bool]] = {
    "a rare word": lambda row: any(word >= 10 for word in row),
    "frequent words alone": lambda row: all(word < 25 for word in row),
    "largest": lambda row: max(row) > 20,
    "smallest": lambda row: min(row) >= 4,
    "even sum": lambda row: sum(row) % 2 == 0,
    "falling": lambda row: row[0] > row[-1],
    "mostly rare": lambda row: sum(word >= 10 for word in row) > 2,
    "repeats": lambda row: len(set(row)) < len(row),
    "few words": lambda row: len(set(row)) <= 2,
    "known words": lambda row: set(row) <= set(range(2, 30)),
    "in order": lambda row: row == sorted(row),
}


@pytest.mark.parametrize("vocabulary", [31, 2000])
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_with_two_answers_in_python_is_refused(name: str, vocabulary: int) -> None:
    def flagged(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        answers = [[QUESTIONS[name](row)] for row in ids.tolist()]
        return o + torch.tensor(answers, dtype=o.dtype)

    model = Pooled(flagged)
    model.emb = nn.Embedding(vocabulary, 4).eval()
    for seed in range(6):
        for length in (5, 6):
            ids = torch.tensor([random.Random(seed).sample(range(2, 30), length)])
            with pytest.raises(UnfollowedWordsError):
                seqlrp.LRP(model).attribute(ids, 0)


@pytest.mark.parametrize("word", range(1, 30))
def test_a_word_that_python_asks_for_is_missed_in_other_words(word: int) -> None:
    def flagged(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        return o + torch.tensor([[3.0 * (word in row)] for row in ids.tolist()])

    model = Pooled(flagged)
    model.emb = nn.Embedding(30, 4).eval()
    others = random.Random(word).sample(sorted({*range(1, 30)} - {word}), 5)
    with pytest.raises(UnfollowedWordsError):
        seqlrp.LRP(model).attribute(torch.tensor([[*others, word]]), 0)


ABOUT_VECTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "positive": lambda x: x.mean((1, 2)) > 0,
    "large": lambda x: x.amax((1, 2)) > 2,
    "growing": lambda x: x[:, -1].sum(1) > x[:, 0].sum(1),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ABOUT_VECTORS)
def test_a_question_with_two_answers_about_vectors_is_refused(name: str, seed: int) -> None:
    class Flagged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.sum(1)) + ABOUT_VECTORS[name](x).float().unsqueeze(1)

    torch.manual_seed(seed)
    with pytest.raises(UnfollowedWordsError):
        seqlrp.LRP(Flagged().eval()).attribute(torch.randn(1, 5, 4), 0)


KNOWN = {word: word / 10 for word in range(1, 20)}  # the words of a corpus, and no others


def looked_up_in_a_dict(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
    return o + torch.tensor([[KNOWN[word] for word in row] for row in ids.tolist()]).mean()


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "deeplift"])
def test_a_model_that_raises_on_other_words_is_run_on_its_own(method: str) -> None:
    def weighed_by_place(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        first = torch.tensor([KNOWN[row[0]] for row in ids.tolist()])
        return o + first.unsqueeze(1)

    with pytest.raises(UnfollowedWordsError):
        seqlrp.METHODS[method](Pooled(weighed_by_place)).attribute(WORDS, 0)


def test_a_model_that_raises_on_all_other_words_is_told_once() -> None:
    def known_alone(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        if ids[0].tolist() != WORDS[0].tolist():
            raise KeyError("a word")
        return looked_up_in_a_dict(m, o, ids)

    lrp = seqlrp.LRP(Pooled(known_alone))
    with pytest.warns(UnverifiedWarning, match="raises on other words .KeyError: 'a word'"):
        found = lrp.attribution(WORDS[:1], 0)
    assert found.unverified.startswith("it raises on other words")
    lrp.attribution(WORDS[:1], 0)  # and no further warning


def test_a_model_that_raises_on_other_vectors_is_told() -> None:
    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            if x.shape[0] == 1 and not torch.equal(x.detach(), torch.ones(1, 3, 4)):
                raise ValueError("not these")
            return self.head(x.sum(1))

    with pytest.warns(UnverifiedWarning, match="raises on other vectors"):
        seqlrp.LRP(Exact().eval()).attribute(torch.ones(1, 3, 4), 0)


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "integrated_gradients", "deeplift"])
def test_memory_that_is_filled_later_is_no_constant(method: str) -> None:
    def filled(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        kept, x = torch.empty(len(ids), 7, 4), m.emb(ids)
        for t in range(7):
            kept[:, t] = x[:, t]
        return m.head(kept.mean(1))

    found = seqlrp.METHODS[method](Pooled(filled)).attribute(WORDS, 0)
    expected = seqlrp.METHODS[method](Pooled(lambda m, o, ids: o)).attribute(WORDS, 0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_computes_under_autocast_is_explained_roughly(seed: int) -> None:
    class Cast(Pooled):
        def forward(self, ids: Tensor, *more: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return super().forward(ids, *more).float()

    def hidden(m: Pooled, o: Tensor, ids: Tensor) -> Tensor:
        return m.head(torch.tanh(m.second(m.emb(ids)).mean(1)))

    models = [kind(hidden) for kind in (Cast, Pooled)]
    torch.manual_seed(seed)
    models[0].second = models[1].second = nn.Linear(4, 4).eval()
    cast, plain = (seqlrp.LRP(m).attribute(WORDS, 0, return_ledger=True)[0] for m in models)
    torch.testing.assert_close(cast, plain, rtol=0, atol=0.05 * float(plain.abs().max()))


def test_a_second_text_is_told_once() -> None:
    def both(m: Pooled, o: Tensor, ids: Tensor, title: Tensor) -> Tensor:
        return o + m.head(m.emb(title).mean(1))

    lrp, title = seqlrp.LRP(Pooled(both)), torch.tensor([[3, 4], [5, 6]])
    with pytest.warns(SecondTextWarning, match=r"shape \[2, 2\]"):
        lrp.attribute(WORDS, 0, title)
    lrp.attribute(WORDS, 0, title)


def test_later_calls_run_the_model_once() -> None:
    calls = []

    class Counted(Pooled):
        def forward(self, ids: Tensor, *more: Tensor) -> Tensor:
            calls.append(1)
            return super().forward(ids, *more)

    lrp = seqlrp.LRP(Counted(lambda m, o, ids: o))
    lrp.attribute(WORDS, 0)
    # Watched, nine times beside other texts, plainly, on three sets of other words.
    assert len(calls) == 14
    lrp.attribute(WORDS, 0)
    assert len(calls) == 15


class Remembering(nn.Module):
    """Keeps the vectors of words for later calls."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.emb, self.fc = nn.Embedding(12, 6), nn.Linear(6, 3)
        self.kept: dict[int, Tensor] = {}
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        rows = []
        for vector, word in zip(self.emb(ids).flatten(0, 1), ids.flatten().tolist(), strict=True):
            rows.append(vector + self.kept.setdefault(word, torch.tanh(vector)))
        return self.fc(torch.stack(rows).view(*ids.shape, 6).mean(1))


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "deeplift"])
def test_vectors_kept_from_an_earlier_call_are_refused(method: str) -> None:
    model = Remembering()
    explainer = seqlrp.METHODS[method](model)
    explainer.attribute(IDS[:1], 1)
    with pytest.raises(UnfollowedWordsError):
        explainer.attribute(IDS[:1], 1)
    model.kept.clear()
    explainer.attribute(IDS[:1], 1)
    model.kept.clear()
    with torch.no_grad():
        model(IDS[:1])
    with pytest.raises(UnfollowedWordsError):
        explainer.attribute(IDS[:1], 1)


class LongTexts(nn.Module):
    """Adds the share of distinct words, which it counts in Python, for texts of a least length."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.emb, self.fc, self.least = nn.Embedding(60, 6), nn.Linear(6, 3), least
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        scores = self.fc(self.emb(ids).mean(1))
        if ids.shape[1] >= self.least:
            shares = [[len(set(row)) / len(row)] for row in ids.tolist()]
            scores = scores + torch.tensor(shares)
        return scores


@pytest.mark.parametrize(
    ("method", "least"), [("lrp", 16), ("lrp", 11), ("gradient_x_input", 16), ("deeplift", 11)]
)
def test_what_a_model_does_for_longer_texts_only_is_verified(method: str, least: int) -> None:
    explainer = seqlrp.METHODS[method](LongTexts(least))
    explainer.attribute(torch.arange(10).unsqueeze(0), 1)
    with pytest.raises(UnfollowedWordsError):
        explainer.attribute(torch.arange(least).unsqueeze(0), 1)


def test_verify_false_also_holds_for_later_calls() -> None:
    explainer = seqlrp.LRP(LongTexts(11), verify=False)
    explainer.attribute(torch.arange(10).unsqueeze(0), 1)
    explainer.attribute(torch.arange(11).unsqueeze(0), 1)


def test_a_state_that_is_kept_for_the_next_text_is_explained() -> None:
    model = Stateful()
    explainer = seqlrp.LRP(model, 0.0)
    for _ in range(3):
        explainer.attribute(IDS, 0)
    assert model.calls == 3


def test_a_packed_layer_may_have_more_steps_for_other_words() -> None:
    """Its sequences are as long as words have letters, and DeepLIFT takes it step by step."""
    ids = torch.tensor([[10, 2, 13, 17], [7, 0, 0, 0], [3, 0, 0, 0]])
    DeepLIFT(built(CharacterLSTM, 1), rule="reveal_cancel").attribute(ids, 0)
