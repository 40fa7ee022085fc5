"""The model, its flags and torch's own are after an explanation what they were before."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from samples.unchanged import nothing_changes
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqlrp
from seqlrp.errors import RefusedFunctionError, UnverifiedWarning

IDS = torch.tensor([[3, 4, 5, 6, 2], [7, 8, 9, 0, 0], [1, 2, 0, 0, 0]])


class Tagger(nn.Module):
    """A packed bi-LSTM with attention, which can be told to fail half way."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(12, 5, padding_idx=0)
        self.capped = nn.Embedding(12, 5, max_norm=0.5)
        self.lstm = nn.LSTM(5, 4, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.att = nn.Linear(8, 1)
        self.head = nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.fails = False

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids) + self.capped(ids)
        packed = pack_padded_sequence(x, (ids != 0).sum(1), True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        scores = self.att(out).squeeze(-1).masked_fill(ids == 0, float("-inf"))
        if self.fails:
            out = torch.cumprod(out, 1)
        pooled: Tensor = self.head(torch.relu_((scores.softmax(1).unsqueeze(-1) * out).sum(1)))
        return pooled


def build(dtype: torch.dtype = torch.float32) -> Tagger:
    torch.manual_seed(0)
    model = Tagger().to(dtype).eval()
    model.head.bias.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    return model


@pytest.mark.parametrize("target", [0, "all", "predicted"])
@pytest.mark.parametrize("account", [False, True])
def test_after_an_explanation(target: int | str, account: bool) -> None:
    model = build()
    with nothing_changes(model, IDS):
        lrp = seqlrp.LRP(model)
        lrp.attribution(IDS, target, account=account)


def test_after_an_error_half_way() -> None:
    model = build()
    lrp = seqlrp.LRP(model)
    model.fails = True
    with nothing_changes(model, IDS), pytest.raises(RefusedFunctionError, match="cumprod"):
        lrp.attribute(IDS)
    model.fails = False
    assert lrp.attribute(IDS).equal(seqlrp.LRP(build()).attribute(IDS))


def test_after_a_models_own_error() -> None:
    model = build()
    lrp = seqlrp.LRP(model)

    def broken(ids: Tensor) -> Tensor:
        Tagger.forward(model, ids)
        raise KeyError("its own")

    object.__setattr__(model, "forward", broken)
    with pytest.raises(KeyError, match="its own"):
        lrp.attribute(IDS)
    del model.forward
    with nothing_changes(model, IDS):
        lrp.attribute(IDS)
    assert not torch.overrides._get_current_function_mode_stack()


@pytest.mark.parametrize("enabled", [True, False])
def test_gradients_stay_on_or_off(enabled: bool) -> None:
    model = build()
    with torch.set_grad_enabled(enabled), nothing_changes(model, IDS):
        seqlrp.LRP(model).attribute(IDS, target=1)
    with torch.inference_mode(), nothing_changes(model, IDS):
        seqlrp.LRP(model).attribute(IDS, target=1)


def test_a_model_that_turns_gradients_off_and_fails() -> None:
    model = build()
    lrp = seqlrp.LRP(model)

    def forward(ids: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        raise KeyError

    object.__setattr__(model, "forward", forward)
    with pytest.raises(KeyError):
        lrp.attribute(IDS)
    assert torch.is_grad_enabled()


def test_what_comes_back_has_no_graph_and_is_nobodys_view() -> None:
    model = build()
    ids = IDS.clone()
    found = seqlrp.LRP(model).attribution(ids, "all")
    assert found.ledger is not None
    for tensor in (found.relevance, found.scores, found.ledger.score):
        assert not tensor.requires_grad
        assert not tensor.is_inference()
    again = seqlrp.LRP(model).attribution(ids, "all")
    found.relevance.zero_()
    found.scores.zero_()
    assert again.relevance.any()
    torch.testing.assert_close(again.scores, model(IDS))


def test_training_goes_on_afterwards() -> None:
    model, other = build(), build()
    seqlrp.LRP(model).attribute(IDS)
    for m in (model, other):
        m.train()
        torch.manual_seed(1)
        m.zero_grad()
        m(IDS).sum().backward()
    for (name, p), (_, q) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None and q.grad is not None:
            assert p.grad.equal(q.grad), name


def test_hooks_of_the_users_run_and_stay() -> None:
    model = build()
    seen: list[str] = []
    model.head.register_forward_hook(lambda *_: seen.append("head"))
    model.lstm.register_forward_pre_hook(lambda *_: seen.append("lstm"))
    with nothing_changes(model, IDS), pytest.warns(UnverifiedWarning, match="a function as a"):
        relevance = seqlrp.LRP(model).attribute(IDS)
    assert seen == ["lstm", "head"]
    assert relevance.equal(seqlrp.LRP(build()).attribute(IDS))


def test_under_a_mode_of_the_users() -> None:
    class Counting(torch.overrides.TorchFunctionMode):
        calls = 0

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            Counting.calls += 1
            return function(*args, **(kwargs or {}))

    model = build()
    expect = seqlrp.LRP(model).attribute(IDS)
    with Counting():
        assert seqlrp.LRP(model).attribute(IDS).equal(expect)
    assert Counting.calls > 0
    with torch.device("cpu"):
        assert seqlrp.LRP(model).attribute(IDS).equal(expect)


def test_the_same_object_explains_twice_the_same() -> None:
    lrp = seqlrp.LRP(build())
    assert lrp.attribute(IDS, 1).equal(lrp.attribute(IDS, 1))
    assert lrp.attribute(IDS, 0).equal(seqlrp.LRP(build()).attribute(IDS, 0))


def test_nothing_of_the_run_is_kept_alive() -> None:
    import gc
    import weakref

    model = build()
    kept: list[weakref.ref[Tensor]] = []
    model.head.register_forward_pre_hook(lambda _, given: kept.append(weakref.ref(given[0])))
    lrp = seqlrp.LRP(model, verify=False)
    lrp.attribute(IDS)
    gc.collect()
    assert kept
    assert all(ref() is None for ref in kept)


def in_threads(work: Callable[[int], Tensor], count: int) -> list[Tensor]:
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(k: int) -> None:
        start.wait()
        try:
            results[k] = work(k)
        except Exception as error:
            results[k] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def test_eight_threads_on_one_model() -> None:
    model = build(torch.float64)
    lrp = seqlrp.LRP(model)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randint(1, 12, (3, 4 + k), generator=generator) for k in range(8)]
    alone = [lrp.attribute(ids, target=k % 3) for k, ids in enumerate(batches)]

    def work(k: int) -> Tensor:
        for _ in range(4):
            relevance, ledger = lrp.attribute(batches[k], target=k % 3, return_ledger=True)
            assert ledger.residual.abs().max() < 1e-10
        return relevance

    with nothing_changes(model, IDS):
        together = in_threads(work, 8)
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-13)


def test_threads_that_share_their_ids() -> None:
    lrp = seqlrp.LRP(build(torch.float64))
    ids = IDS.clone()
    expect = lrp.attribute(ids, target=1)
    for got in in_threads(lambda k: lrp.attribute(ids, target=1), 4):
        torch.testing.assert_close(got, expect, rtol=0, atol=1e-13)


def test_weights_that_change_between_calls_count_at_once() -> None:
    model = build()
    lrp = seqlrp.LRP(model)
    lrp.attribute(IDS, target=0)
    weight = model.lstm.weight_ih_l1
    weight.data.mul_(2)  # which torch does not count as a change
    model.head.weight.detach().numpy()[0] = 1.0
    model.att.weight = nn.Parameter(-model.att.weight.detach())
    with torch.no_grad():
        model.emb.weight[3] += 1.0
    assert torch.equal(lrp.attribute(IDS, target=0), seqlrp.LRP(model).attribute(IDS, target=0))


class Doubled(nn.Module):
    """Doubles what its only recurrent layer returns, in place or not."""

    def __init__(self, kind: type[nn.RNNBase], in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.rnn, self.head = nn.Embedding(12, 5), kind(5, 4), nn.Linear(4, 3)
        self.in_place = in_place

    def forward(self, ids: Tensor) -> Tensor:
        out, state = self.rnn(self.emb(ids.T))
        last = state[0] if isinstance(state, tuple) else state
        if self.in_place:
            last.mul_(2)
            out.mul_(2)
        else:
            last, out = last * 2, out * 2
        scores: Tensor = self.head(last[0] + out.sum(0))
        return scores


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("documents", [1, 3])
def test_a_model_may_change_what_a_layer_returns(
    kind: type[nn.RNNBase], dtype: torch.dtype, documents: int
) -> None:
    found = []
    for in_place in (True, False):
        lrp = seqlrp.LRP(Doubled(kind, in_place).to(dtype).eval())
        found.append(lrp.attribute(IDS[:documents], target=1, return_ledger=True))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1].totals, found[1][1].totals)
