"""A name gives its device or a sentence."""

from __future__ import annotations

import pytest
import torch

from seqlrp.errors import OptionError
from seqlrp.models.devices import resolve_device


def test_names() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuad", "", "meta", "mps", "cuda:x"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(OptionError, match=r"Got device=.*'cuda'|Got device=.*Known"):
        resolve_device(name)


def test_a_device_that_is_not_there() -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with pytest.raises(OptionError, match=f"torch finds {count} CUDA devices"):
        resolve_device(f"cuda:{count}")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda() -> None:
    assert resolve_device("cuda").type == "cuda"
