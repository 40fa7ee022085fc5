"""Which document each element belongs to: of nothing, and of what is known later."""

from __future__ import annotations

import pytest
import torch

from seqlrp.engine.documents import MIXED, NOBODY, combine, contract, reduce
from seqlrp.errors import MixedDocumentsError


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dims", [[0], [1], [0, 1], [1, 0]])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 3)])
def test_a_reduction_of_nothing_is_nobodys(
    shape: tuple[int, int], dims: list[int], keepdim: bool
) -> None:
    documents = torch.arange(6)[: torch.Size(shape).numel()].reshape(shape)
    found = reduce(documents, dims, keepdim)
    assert found.shape == documents.sum(dims, keepdim=keepdim).shape
    assert (found == (MIXED if documents.numel() else NOBODY)).all()


def test_a_product_over_nothing_is_nobodys() -> None:
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    found = contract("ij,jk->ik", [nothing, None], [[2, 0], [0, 3]])
    assert (found == NOBODY).all()


def test_a_document_that_is_known_later_is_filled_in() -> None:
    unwritten = torch.tensor([[0], [NOBODY], [NOBODY]])
    expanded = torch.full((1, 1), NOBODY).expand(3, 1)
    found = combine([unwritten, expanded, torch.tensor([[0], [1], [NOBODY]])], 2)
    assert found.tolist() == unwritten.tolist() == [[0], [1], [NOBODY]]
    assert (expanded == NOBODY).all()
    with pytest.raises(MixedDocumentsError):
        combine([unwritten, torch.tensor([[0], [2], [2]])], 2)
