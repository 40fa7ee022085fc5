"""The catalogue knows every form of a function, and each method has a law for its kind or none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.decompositions import DECOMPOSITIONS
from seqlrp.engine.functions import (
    NAMES,
    Kind,
    arrange,
    forms_in_place,
    function_name,
    identify,
    names_of_kind,
    out_of_place,
)
from seqlrp.errors import RefusedFunctionError
from seqlrp.lrp import table as lrp
from seqlrp.methods.deeplift import table as deeplift

# What one method knows and the other refuses, by design.
ONLY_LRP = {"fill", "zero"}
ONLY_DEEPLIFT = {
    "cos", "cosh", "diag", "erfc", "exp2", "log10", "log2", "logit", "prod", "rpow", "tan",
    "threshold",
}  # fmt: skip


def test_every_name_is_a_function_of_torch() -> None:
    known = {entry.name for entry in map(identify, _everything()) if entry is not None}
    attributes = {name for name in NAMES if name.startswith(".")}
    assert set(NAMES) - attributes <= known


def _everything() -> list[Any]:
    spaces = (torch, Tensor, F, torch._C._nn, torch._VF, torch.special, torch.linalg)
    return [getattr(space, name) for space in spaces for name in dir(space)]


@pytest.mark.parametrize("table", [lrp.TABLE, deeplift.TABLE], ids=["lrp", "deeplift"])
def test_every_composition_is_written_out_or_has_a_law(table: Any) -> None:
    kinds = (Kind.COMPOSED, Kind.NORMALISATION, Kind.SIZE)
    names = {name for kind in kinds for name in names_of_kind(kind)} & set(table.laws)
    assert names - set(table._by_name) <= set(DECOMPOSITIONS)


def test_every_kind_has_a_function() -> None:
    empty = [kind for kind in Kind if not names_of_kind(kind) and kind is not Kind.RANDOM]
    assert not empty
    random = identify(torch.rand)
    assert random is not None
    assert random.kind is Kind.RANDOM


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.mul, "mul"),
        (Tensor.__rmul__, "mul"),
        (Tensor.mul_, "mul"),
        (Tensor.__imul__, "mul"),
        (torch.mm, "matmul"),
        (torch.special.expit, "expit"),
        (Tensor.shape.__get__, ".shape"),  # type: ignore[attr-defined]
        (F.unfold, "im2col"),
        (torch.nanmedian, None),
        (torch.batch_norm, None),
    ],
)
def test_forms_share_a_name(function: Any, name: str | None) -> None:
    assert function_name(function) == name


def test_unhashable_functions_are_not_known() -> None:
    assert identify([]) is None


def test_methods_know_the_same_but_for_a_few() -> None:
    asked = names_of_kind(*deeplift.ASKED)
    of_lrp = ({*lrp.ruled(), *lrp.transparent()}) - asked
    of_deeplift = set(deeplift.ruled())
    assert of_lrp - of_deeplift == ONLY_LRP
    assert of_deeplift - of_lrp == ONLY_DEEPLIFT


@pytest.mark.parametrize("table", [lrp.TABLE, deeplift.TABLE], ids=["LRP", "DeepLIFT"])
def test_what_would_change_a_shape_in_place_has_no_law(table: Any) -> None:
    for name in ("squeeze", "unsqueeze", "t", "transpose", "lt", "eq"):
        entry = next(entry for entry in forms_in_place() if entry.name == name)
        assert table.law(entry) is None


def test_forms_in_place_have_another_form() -> None:
    for name in lrp.TABLE.names_in_place():
        assert out_of_place(name) is not None or name in ("copy", "zero")


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (torch.add, (), {"other": 2, "input": 1}, ((1, 2), {})),
        (torch.sum, (), {"input": 1, "axis": 0}, ((1,), {"dim": 0})),
        (Tensor.where, (1, 2, 3), {}, ((2, 1, 3), {})),
        (torch.addmm, (), {"input": 1, "mat1": 2, "mat2": 3, "beta": 4}, ((1, 2, 3), {"beta": 4})),
        (F.linear, (), {"input": 1, "weight": 2}, ((), {"input": 1, "weight": 2})),
    ],
)
def test_arguments_are_arranged(function: Any, args: Any, kwargs: Any, expected: Any) -> None:
    call = arrange(function, identify(function), args, kwargs)
    assert (call.args, call.kwargs) == expected


def test_arguments_have_the_defaults_of_torch() -> None:
    call = arrange(F.layer_norm, identify(F.layer_norm), (1, (2,)), {"bias": 3})
    assert call.arguments("input", "weight", "bias", "eps") == [1, None, 3, 1e-5]
    assert call.argument(1, "normalized_shape") == (2,)


class Clamped(nn.Module):
    """Words, a map, and a function that works in place or not."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(9, 4)
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.function = function

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.head(self.function(self.inner(self.embedding(ids)).sum(1)))
        return scores


IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("name", ["clamp", "abs", "square", "sin", "log1p"])
@pytest.mark.parametrize("method", [seqlrp.LRP, seqlrp.METHODS["deeplift"]])
def test_in_place_is_as_out_of_place(method: Any, name: str) -> None:
    more = (-0.3, 0.4) if name == "clamp" else ()
    found = [
        method(Clamped(lambda x, f=form: getattr(x.abs(), f)(*more)).eval()).attribute(IDS, 1)
        for form in (name, f"{name}_")
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("method", [seqlrp.LRP, seqlrp.METHODS["deeplift"]])
def test_a_change_of_shape_in_place_is_refused(method: Any) -> None:
    model = Clamped(lambda x: x.unsqueeze(0).squeeze_(0)).eval()
    with pytest.raises(RefusedFunctionError, match="squeeze_"):
        method(model).attribute(IDS, 1)


def test_zeroth_power_is_refused() -> None:
    with pytest.raises(RefusedFunctionError, match="pow"):
        seqlrp.LRP(Clamped(lambda x: x**0).eval()).attribute(IDS, 1)
