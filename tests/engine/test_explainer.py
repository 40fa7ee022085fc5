"""What all methods share: `LRP` is one of them, and others may subclass `Explainer`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from samples.classifiers import small_classifier
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.failures import missing_argument_error
from seqlrp.errors import InputError, ModelError, NonFiniteError, NonFiniteInputError
from seqlrp.lrp import LRP, Attribution
from seqlrp.methods import METHODS, Explainer

IDS = torch.tensor([[3, 5, 2, 7], [4, 9, 0, 0]])


class Ones(Explainer):
    """A method of somebody else's."""

    name = "ones"

    def compute(
        self, inputs: Tensor, target: Any, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        assert not torch.is_inference_mode_enabled()
        forward = self.forward(inputs, target, additional_forward_args, padding)
        ones = (~forward.padding).double().expand(len(forward.starts), -1, -1)
        return forward.attribution(ones)


def test_every_method_is_an_explainer() -> None:
    assert all(issubclass(method, Explainer) for method in METHODS.values())
    assert seqlrp.LRP is LRP


def test_a_subclass_computes_and_the_rest_is_there() -> None:
    classifier = small_classifier(labels=("a", "b", "c"))
    method = Ones(classifier.model)
    with torch.inference_mode():
        found = method.attribution(IDS, "all")
    assert found.relevance.shape == (2, 3, 4)
    assert torch.equal(method.attribute(IDS), (IDS != 0).double())
    (explanation,) = seqlrp.explain(classifier, ["a good film"], method)
    assert explanation.method == "ones"
    with pytest.raises(TypeError, match="no option 'return_error'"):
        method.attribute(IDS, return_error=True)
    with pytest.raises(NotImplementedError, match="compute"):
        Explainer(classifier.model).attribute(IDS)


def test_a_parameter_that_diverges_later_is_refused_by_every_method() -> None:
    model = small_classifier().model
    methods = [METHODS[name](model) for name in ("lrp", "gradient_x_input", "deeplift")]
    with torch.no_grad():
        model.head.weight.fill_(torch.nan)
    for method in methods:
        with pytest.raises(NonFiniteError, match=r"'head\.weight'") as refused:
            method.attribution(IDS)
        assert refused.value.module == "head"
        assert not isinstance(refused.value, InputError)


def test_vectors_that_are_not_finite_are_the_inputs_fault() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 2)

        def forward(self, vectors: Tensor) -> Tensor:
            return self.head(vectors.mean(1))  # type: ignore[no-any-return]

    for name in ("lrp", "gradient_x_input", "deeplift"):
        with pytest.raises(NonFiniteInputError, match="NaN") as refused:
            METHODS[name](Mean().eval()).attribution(torch.full((1, 2, 3), torch.nan))
        assert isinstance(refused.value, InputError)
        assert isinstance(refused.value, NonFiniteError)


def test_missing_arguments_are_told_from_errors_inside_the_model() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(12, 2)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            return (self.embedding(ids) * mask.unsqueeze(-1)).sum(1)  # type: ignore[no-any-return]

    model = Masked().eval()
    assert missing_argument_error(model, (IDS, IDS)) is None
    error = missing_argument_error(model, (IDS,))
    assert error is not None
    assert error.code == "missing_argument"
    for name in ("lrp", "gradient_x_input"):
        with pytest.raises(ModelError, match=r"'mask'.*additional_forward_args="):
            METHODS[name](model).attribution(IDS, 0)
        with pytest.raises(ModelError, match="too many"):
            METHODS[name](model).attribution(IDS, 0, (IDS, IDS))

    class Wrong(Masked):
        def forward(self, ids: Tensor) -> Tensor:
            return Masked.forward(self, ids)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match="mask"):  # the model's own mistake
        LRP(Wrong().eval()).attribution(IDS, 0)


def test_the_engine_knows_no_method() -> None:
    """Of what is shared by all methods nothing imports LRP or another method."""
    engine = Path(seqlrp.__file__).parent / "engine"
    for name in ("attribution", "checks", "completeness", "explainer", "gradient_mode", "ledger"):
        for node in ast.walk(ast.parse((engine / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqlrp."):
                assert node.module.split(".")[1] in {"engine", "errors"}
