"""A model that keeps or copies tensors of a run does not crash the process, however often it runs.

Marks stand on tensors, and a tensor that outlives its run must not take the memory of others with
it. Such a fault shows now and then only, so each case runs a thousand times in a process of its
own, with `faulthandler`.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import copy
import faulthandler
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import SeqlrpError
from seqlrp.methods import DeepLIFT, GradientXInput

TIMES = 1000
IDS = torch.tensor([[3, 5, 2], [6, 4, 1]])


class Keeper(nn.Module):
    """Keeps its ids, a view of them and its last state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(20, 2), nn.Linear(2, 2)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        self.seen, self.kept = ids, {"first": ids[:, :1], "all": [ids.flip(1)]}
        h = torch.tanh(self.embedding(ids)).sum(1)
        self.state = h.detach()
        return self.head(h)


class Copier(Keeper):
    """Copies its ids deeply before it reads them."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(copy.deepcopy(ids))


def keeps_and_is_copied() -> None:
    model = Keeper()
    for method in (seqlrp.LRP, GradientXInput, DeepLIFT):
        method(model).attribute(IDS, target=1)
        copy.deepcopy(model)


def copies_ids() -> None:
    for method in (seqlrp.LRP, DeepLIFT):
        try:
            method(Copier()).attribute(IDS, target=1)
        except SeqlrpError:
            continue
        raise AssertionError("nothing is known of a copy")


CLASSIFIERS: list[Any] = []


def is_randomised_layer_by_layer() -> None:
    from seqlrp.evaluation.sanity import cascading_randomisation

    if not CLASSIFIERS:
        vocabulary = seqlrp.Vocabulary(["<pad>", "<unk>", "good", "bad", "film"])
        CLASSIFIERS.append(seqlrp.TextClassifier(Keeper(), vocabulary, ("no", "yes")))
    classifier = replace(CLASSIFIERS[0], model=Keeper())
    cascading_randomisation(classifier, ["a good film", "bad film"], progress=False)


CASES = (keeps_and_is_copied, copies_ids, is_randomised_layer_by_layer)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_thousand_times(case: Any) -> None:
    done = subprocess.run(
        [sys.executable, __file__, case.__name__],
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{TIMES}\n"


def main() -> None:
    """Run the case that is named on the command line, and print how often it ran."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    (case,) = (case for case in CASES if case.__name__ == sys.argv[1])
    times = int(sys.argv[2]) if len(sys.argv) > 2 else TIMES
    for _ in range(times):
        case()
    print(times)


if __name__ == "__main__":
    main()
