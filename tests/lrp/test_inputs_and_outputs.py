"""Inputs and outputs of other kinds: sentences, bags, vectors, tuples, dtypes, more arguments."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from samples.model_functions.classifiers import (
    CLASSIFIERS,
    bag_mean,
    bilstm_attention,
    dan,
    gru_max,
    gru_max_pool1d,
    with_positions,
)
from samples.model_functions.layers import (
    EPSILON,
    FULL,
    PADDED,
    D,
    Forward,
    V,
    Written,
    attribute,
    build,
    close,
)
from samples.model_functions.recurrences import fused_gru, fused_lstm, gru_slices, lstm_chunks
from torch import Tensor
from torch.nn.utils.rnn import (
    pack_padded_sequence,
)

import seqlrp
from seqlrp.errors import IdsError, ModelError, PaddingWarning


def test_hierarchical() -> None:
    def write(m: Written, ids: Tensor) -> Tensor:
        B, S, W = ids.shape
        words = m.both(m.emb(ids.view(B * S, W)))[0].mean(1)
        return m.head(m.sentences(words.view(B, S, -1))[0][:, -1])

    ids = torch.randint(1, V, (3, 2, 4), generator=torch.Generator().manual_seed(1))
    relevance, ledger = attribute(write, ids)
    assert relevance.shape == (3, 2, 4)
    assert ledger.residual.abs().max() < 1e-12
    close(ledger.total("tokens"), relevance.sum((1, 2)))
    for b in range(3):
        alone, account = attribute(write, ids[b : b + 1])
        close(alone[0], relevance[b])
        close(account.total("bias")[0], ledger.total("bias")[b])


def test_bags_with_offsets() -> None:
    def write(m: Written, ids: Tensor, offsets: Tensor) -> Tensor:
        return m.head_d(m.bag_mean(ids, offsets).tanh())

    ids, offsets = torch.tensor([3, 4, 5, 6, 7, 3, 2]), torch.tensor([0, 2, 5])
    relevance, ledger = attribute(write, ids, additional_forward_args=(offsets,))
    assert relevance.shape == (7,)
    assert ledger.residual.abs().max() < 1e-12
    rows, _ = attribute(bag_mean, torch.tensor([[3, 4, 0], [5, 6, 7], [3, 2, 0]]))
    close(relevance, rows[rows != 0])


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 0])
def test_a_bag_is_what_it_pools(mode: str, padding_idx: int | None) -> None:
    def bagged(m: Written, ids: Tensor) -> Tensor:
        return m.head_d(F.embedding_bag(ids, m.emb.weight, mode=mode, padding_idx=padding_idx))

    def pooled(m: Written, ids: Tensor) -> Tensor:
        x, lengths = m.emb(ids), torch.full((len(ids), 1), ids.shape[1])
        if padding_idx is not None:
            lengths = (ids != 0).sum(1, keepdim=True)
            x = x * (ids != 0).unsqueeze(-1)
        if mode != "max":
            return m.head_d(x.sum(1) / (lengths if mode == "mean" else 1))
        if padding_idx is not None:
            x = x.masked_fill((ids == 0).unsqueeze(-1), float("-inf"))
        return m.head_d(x.max(1).values)

    ids = FULL if padding_idx is None else PADDED
    close(build(bagged)(ids), build(pooled)(ids), 1e-14)
    relevance, ledger = attribute(bagged, ids)
    expect, account = attribute(pooled, ids)
    close(relevance, expect)
    for kind, total in account.totals.items():
        close(ledger.total(kind), total)


def test_vectors_are_explained_like_the_ids_they_were_looked_up_by() -> None:
    def write(m: Written, x: Tensor) -> Tensor:
        return m.head2(m.both(x)[0].max(1).values)

    def by_ids(m: Written, ids: Tensor) -> Tensor:
        return write(m, m.emb(ids))

    x = build(write).emb(FULL).detach()
    relevance, ledger = attribute(write, x)
    expect, account = attribute(by_ids, FULL)
    assert relevance.shape == FULL.shape
    close(relevance, expect)
    close(ledger.total("tokens"), account.total("tokens"))
    full = seqlrp.LRP(build(write), EPSILON).attribute(x, target=1, reduce=False)
    assert full.shape == (*FULL.shape, D)
    close(full.sum(-1), relevance)


@pytest.mark.parametrize("key", [0, -2, "tuple", "dict", "attribute"])
def test_one_of_several_outputs(key: int | str) -> None:
    def write(m: Written, ids: Tensor) -> Any:
        out = m.lstm(m.emb(ids))[0]
        scores = m.head(out[:, -1])
        if key == "dict":
            return {"logits": scores, "states": out}
        if key == "attribute":
            return torch.nn.modules.module._IncompatibleKeys(scores, out)  # a named tuple
        return scores, out

    output = {"tuple": 0, "dict": "logits", "attribute": "missing_keys"}.get(str(key), key)
    lrp = seqlrp.LRP(build(write), EPSILON, output=output)
    relevance, ledger = lrp.attribute(FULL, target=1, return_ledger=True)
    expect, _ = attribute(fused_lstm, FULL)
    close(relevance, expect)
    assert ledger.residual.abs().max() < 1e-12


def test_one_output_without_a_class_dimension() -> None:
    def flat(m: Written, ids: Tensor) -> Tensor:
        return fused_lstm(m, ids)[:, 1]

    def column(m: Written, ids: Tensor) -> Tensor:
        return fused_lstm(m, ids)[:, 1:2]

    expect, _ = attribute(fused_lstm, FULL)
    for write in (flat, column):
        lrp = seqlrp.LRP(build(write), EPSILON)
        found = lrp.attribution(FULL)
        assert found.scores.shape == (len(FULL), 1)
        close(found.relevance, expect)
        close(lrp.attribute(FULL, target="all")[:, 0], expect)
        assert found.ledger is not None
        assert found.ledger.residual.abs().max() < 1e-12


def test_inside_inference_mode() -> None:
    lrp = seqlrp.LRP(build(bilstm_attention), EPSILON)
    expect = lrp.attribute(PADDED, target=1)
    with torch.inference_mode():
        relevance = lrp.attribute(PADDED.clone(), target=1)
        assert torch.is_inference_mode_enabled()
    close(relevance, expect)
    with torch.no_grad():
        close(lrp.attribute(PADDED, target=1), expect)


def test_a_model_made_in_inference_mode() -> None:
    expect, _ = attribute(bilstm_attention, PADDED)
    with torch.inference_mode():
        model = build(bilstm_attention)
    close(seqlrp.LRP(model, EPSILON).attribute(PADDED, target=1), expect)


def test_a_frozen_model() -> None:
    expect, _ = attribute(bilstm_attention, PADDED)
    model = build(bilstm_attention).requires_grad_(False)
    close(seqlrp.LRP(model, EPSILON).attribute(PADDED, target=1), expect)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "write", [bilstm_attention, lstm_chunks, gru_slices, gru_max], ids=lambda f: f.__name__
)
def test_lower_precision(write: Forward, dtype: torch.dtype) -> None:
    ids = PADDED if write in CLASSIFIERS else FULL
    model = build(write).to(dtype)
    relevance, ledger = seqlrp.LRP(model, EPSILON).attribute(ids, target=1, return_ledger=True)
    assert relevance.dtype == torch.float32
    # against float64 with the very same (rounded) weights
    expect = seqlrp.LRP(model.double(), EPSILON).attribute(ids, target=1)
    scale = expect.abs().max().item()
    error = (relevance.double() - expect).abs().max().item()
    assert error < (1e-5 if dtype == torch.float32 else 0.1) * max(scale, 1)
    assert ledger.residual.abs().max() < (1e-5 if dtype == torch.float32 else 0.1)


def test_float16_is_refused() -> None:
    with pytest.raises(ModelError, match="float16"):
        seqlrp.LRP(build(lstm_chunks).to(torch.float16)).attribute(FULL, target=1)


def test_sparse_ids_are_refused() -> None:
    with pytest.raises(IdsError, match="sparse"):
        seqlrp.LRP(build(lstm_chunks)).attribute(FULL.to_sparse(), target=1)


def test_int32_ids() -> None:
    expect, _ = attribute(bilstm_attention, PADDED)
    close(attribute(bilstm_attention, PADDED.int())[0], expect)


def test_more_arguments() -> None:
    def write(m: Written, ids: Tensor, lengths: Tensor, scale: float) -> Tensor:
        packed_ids = pack_padded_sequence(m.emb(ids), lengths, True, enforce_sorted=False)
        return scale * m.head(m.lstm(packed_ids)[1][0][-1])

    lengths = (PADDED != 0).sum(1)
    lrp = seqlrp.LRP(build(write), EPSILON)
    relevance, ledger = lrp.attribute(PADDED, 1, (lengths, 2.0), return_ledger=True)
    assert ledger.residual.abs().max() < 1e-12
    close(relevance, 2 * lrp.attribute(PADDED, 1, (lengths, 1.0)))
    with torch.inference_mode():
        close(lrp.attribute(PADDED, 1, (lengths.clone(), 2.0)), relevance)


def test_ids_written_over_do_not_matter_afterwards() -> None:
    def write(m: Written, ids: Tensor) -> Tensor:
        x = m.emb(ids)
        ids.fill_(1)
        return m.head(m.lstm(x)[0][:, -1])

    ids = FULL.clone()
    relevance, _ = attribute(write, ids)
    assert ids.equal(FULL)
    close(relevance, attribute(fused_lstm, FULL)[0])


def test_padding_that_takes_part_is_shown_by_itself() -> None:
    for write in (fused_lstm, fused_gru, gru_max_pool1d, dan, with_positions):
        with pytest.warns(PaddingWarning, match="Padding takes part"):
            relevance, ledger = attribute(write, PADDED)
        assert ledger.residual.abs().max() < 1e-12
        shown = relevance.masked_fill(PADDED != 0, 0).sum(1)
        close(ledger.total("padding"), shown)
        close(ledger.total("tokens"), relevance.masked_fill(PADDED == 0, 0).sum(1))
