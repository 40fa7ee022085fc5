"""Numbers beside values move as the values do, also where one of many equal numbers is moved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seqlrp.engine.functions import Call, arrange, identify
from seqlrp.engine.moves import fills, move_alike, move_numbers


def call(function: Any, *args: Any, **kwargs: Any) -> Call:
    return arrange(function, identify(function), args, kwargs)


def packed(x: Tensor, sizes: Tensor, **options: Any) -> Call:
    defaults = {"batch_first": True, "value": 0.0, "length": len(sizes)} | options
    return call(torch._VF._pad_packed_sequence, x, sizes, *defaults.values())


@given(
    shape=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    varying=st.sets(st.integers(0, 2)),
    which=st.sampled_from(["pack", "unpack", "select", "flip"]),
    data=st.data(),
)
def test_numbers_alike_move_as_all_numbers_do(
    shape: list[int], varying: set[int], which: str, data: st.DataObject
) -> None:
    value = torch.zeros(shape)
    lengths = sorted(data.draw(st.lists(st.integers(1, shape[1]), min_size=shape[0],
                                        max_size=shape[0])), reverse=True)  # fmt: skip
    sizes = torch.tensor([sum(n > t for n in lengths) for t in range(lengths[0])])
    if which == "pack":
        made = call(torch._VF._pack_padded_sequence, value, torch.tensor(lengths), True)
    elif which == "unpack":
        value = torch.zeros(int(sizes.sum()), *shape[1:])
        made = packed(value, sizes)
    elif which == "select":
        dim = data.draw(st.integers(-3, 2))
        index = data.draw(st.lists(st.integers(0, shape[dim] - 1), min_size=1))
        made = call(torch.index_select, value, dim, torch.tensor(index))
    else:
        made = call(torch.flip, value, [1])
    small = [n if d in varying else 1 for d, n in enumerate(value.shape)]
    numbers = torch.arange(torch.Size(small).numel()).reshape(small).expand(value.shape)

    def number_of(tensor: Tensor) -> Tensor | None:
        return numbers if tensor is value else None

    found, wanted = move_alike(made, number_of)[0], move_numbers(made, number_of)[0]
    assert torch.equal(found.expand(wanted.shape), wanted)


def test_numbers_of_columns_are_moved_once() -> None:
    value, sizes = torch.zeros(5, 1000), torch.tensor([3, 2])
    numbers = torch.arange(5).unsqueeze(1).expand(5, 1000)
    assert move_alike(packed(value, sizes), lambda _: numbers)[0].shape == (3, 2, 1)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (packed(torch.zeros(3, 2), torch.tensor([2, 1])), False),
        (packed(torch.zeros(3, 2), torch.tensor([2, 1]), value=-1.0), True),
        (call(torch.cat, [torch.zeros(2, 2)], dim=1), False),
        (call(torch.nn.functional.pad, torch.zeros(2), (1, 1)), False),
        (call(torch.nn.functional.pad, torch.zeros(2), (1, 1), value=2.0), True),
        (call(torch.masked_fill, torch.zeros(2), torch.ones(2) > 0, 3), True),
        (call(torch.masked_fill, torch.zeros(2), torch.ones(2) > 0, 0), False),
    ],
)
def test_only_a_value_is_filled_in(made: Call, expected: bool) -> None:
    """An axis, a length or a flag is a number, too, and no value."""
    assert bool(fills(made)) is expected
