"""Every document in one batch, within the budget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.engine.batches import (
    Budget,
    batches_by_length,
    in_batches,
    ran_out_of_memory,
)
from seqlrp.errors import OptionError


@given(st.lists(st.integers(0, 40)), st.integers(1, 100))
def test_batches_keep_every_document_within_the_budget(
    lengths: list[int], batch_tokens: int
) -> None:
    batches = batches_by_length(lengths, batch_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    longest_first = [max(1, lengths[index]) for batch in batches for index in batch]
    assert longest_first == sorted(longest_first, reverse=True)
    for batch in batches:
        assert batch
        assert len(batch) * max(1, *(lengths[i] for i in batch)) <= batch_tokens or len(batch) == 1


@given(st.lists(st.integers(0, 40), min_size=1), st.integers(40, 100))
def test_batches_are_as_large_as_the_budget_allows(lengths: list[int], batch_tokens: int) -> None:
    for batch in batches_by_length(lengths, batch_tokens)[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > batch_tokens


def test_batches_of_equal_lengths_keep_their_order() -> None:
    assert batches_by_length([3, 5, 3, 5, 3], 6) == [[1], [3], [0, 2], [4]]
    assert batches_by_length([], 6) == []


def test_batches_need_room_for_a_token() -> None:
    with pytest.raises(OptionError, match="batch_tokens must be 1 or more, got 0"):
        batches_by_length([1], 0)


CPU = torch.device("cpu")


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.one_of(st.integers(1, 100), st.just("auto")),
    st.integers(1, 100),
)
def test_every_document_runs_once_though_memory_runs_out(
    lengths: list[int], batch_tokens: int | str, most: int
) -> None:
    most = max(most, 1, *lengths, 0)  # a document alone always fits

    def run(batch: list[int]) -> list[int]:
        if len(batch) * max(1, *(lengths[k] for k in batch)) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [10 * k for k in batch]

    budget = Budget(batch_tokens, CPU, halves=True)  # type: ignore[arg-type]
    pairs = list(in_batches(lengths, budget, run))
    assert sorted(k for batch, _ in pairs for k in batch) == list(range(len(lengths)))
    assert all(found == [10 * k for k in batch] for batch, found in pairs)


def test_batches_stay_half_as_large_once_memory_ran_out() -> None:
    sizes: list[int] = []

    def run(batch: list[int]) -> None:
        sizes.append(len(batch))
        if len(batch) > 5:
            raise MemoryError

    assert len(list(in_batches([2] * 30, Budget(40, CPU, halves=True), run))) == 6
    assert sizes == [20, 10, 5, 5, 5, 5, 5, 5]


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, known: bool) -> None:
    assert ran_out_of_memory(error) is known


def test_torch_says_so_in_words_that_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert ran_out_of_memory(caught.value)


@pytest.mark.parametrize(("halves", "advice"), [(False, "smaller batch_tokens"), (True, "longest")])
def test_memory_that_is_short_for_good_is_said(halves: bool, advice: str) -> None:
    def run(batch: list[int]) -> None:
        raise MemoryError

    with pytest.raises(MemoryError) as caught:
        list(in_batches([3, 3], Budget(6, CPU, halves=halves), run))
    assert advice in caught.value.__notes__[0]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 40), st.data())
def test_everything_before_a_failure_is_done_first(
    lengths: list[int], batch_tokens: int, data: st.DataObject
) -> None:
    bad = data.draw(st.sets(st.integers(0, len(lengths) - 1), min_size=1))

    failing: list[list[int]] = []

    def run(batch: list[int]) -> list[int]:
        if bad & set(batch):
            failing.append(batch)
            raise ValueError(f"document {min(bad & set(batch))}")
        return batch

    done: set[int] = set()
    outcomes = in_batches(lengths, Budget(batch_tokens, CPU), run, up_to_failure=True)
    with pytest.raises(ValueError, match="document"):
        done.update(k for batch, _ in outcomes for k in batch)
    first = min(min(batch) for batch in failing)
    assert first <= min(bad)
    assert done >= set(range(first))
    assert first not in done


def test_the_budget_grows_while_tokens_get_cheaper() -> None:
    budget = Budget("auto", CPU)
    first = budget.tokens
    budget.record_batch(first, 1.0)
    assert budget.tokens == 2 * first
    budget.record_batch(first // 4, 9.0)  # half empty: it tells nothing
    assert budget.tokens == 2 * first
    budget.record_batch(2 * first, 1.5)
    assert budget.tokens == 4 * first
    budget.record_batch(4 * first, 2.95)
    budget.record_batch(2 * first, 1.0)
    assert budget.tokens == 2 * first
    fixed = Budget(100, CPU)
    fixed.record_batch(100, 0.1)
    assert fixed.tokens == 100
    assert Budget("auto", torch.device("cuda")).tokens > first
    endless = Budget("auto", CPU)
    for step in range(30):
        endless.record_batch(endless.tokens, 0.5**step)
    assert endless.tokens == 32_768


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "many", None])
def test_budgets_that_are_none(wrong: object) -> None:
    with pytest.raises(OptionError, match="batch_tokens"):
        Budget(wrong, CPU)  # type: ignore[arg-type]
