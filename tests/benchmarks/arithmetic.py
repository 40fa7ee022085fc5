"""Networks that add or subtract two numbers: tasks whose right explanation is known.

After Arras et al. (2019), "Explaining and Interpreting LSTMs", section on arithmetic tasks. A
sequence of 4 to 10 numbers names two of them, n_a and n_b, as operands: an operand stands in the
first component of the input, any other number in the second. One LSTM or GRU cell (hidden size 1)
and one output weight without bias return n_a + n_b or n_a − n_b. Because the result is the sum of
what the two operands contribute, the right relevance is known: R_a = n_a, R_b = ± n_b.

Numbers to add are drawn from [−1, −0.5] ∪ [0.5, 1]. Numbers to subtract are drawn from [0.5, 1]:
with both signs none of 60 random starts of either cell learned to subtract.

    python tests/benchmarks/arithmetic.py             table of the networks that are stored here
    python tests/benchmarks/arithmetic.py --train     trains 50 networks of each kind anew first
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from tqdm import tqdm

import seqlrp
from benchmarks.occlusion import Occlusion
from seqlrp.methods.gradients.gradient import GradientXInput
from seqlrp.writing import written_whole

LENGTHS = range(4, 11)
TOLERANCE = 1e-4  # mean squared error on held-out sequences, as published
TASKS = ("addition", "subtraction")
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
GATE_RULES = ("all", "prop", "abs", "half")
EPSILONS = (0.0, 1e-6, 1e-4, 1e-3, 1e-2)
STORED = Path(__file__).with_name("arithmetic_models.json")


class Calculator(nn.Module):
    """One cell of hidden size 1 and one output weight: vectors `[B, T, 2]` to scores `[B, 1]`."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.recurrent = CELLS[cell](2, 1, batch_first=True)
        self.output = nn.Linear(1, 1, bias=False)
        self.to(torch.float64)

    def forward(self, numbers: Tensor | PackedSequence) -> Tensor:
        _, last = self.recurrent(numbers)
        hidden = last[0] if isinstance(last, tuple) else last
        scores: Tensor = self.output(hidden[-1])
        return scores


class Sums(NamedTuple):
    """Sequences of one length T, and what is known of them."""

    numbers: Tensor  # [N, T, 2]
    at: Tensor  # [N, 2], the positions a < b
    operands: Tensor  # [N, 2], n_a and n_b
    result: Tensor  # [N]


def drawn(task: str, count: int, seed: int, lengths: Sequence[int] = LENGTHS) -> list[Sums]:
    """`count` random sequences of each length."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for T in lengths:
        values = 0.5 + 0.5 * torch.rand(count, T, generator=random, dtype=torch.float64)
        if task == "addition":
            values *= 2 * torch.randint(0, 2, (count, T), generator=random) - 1
        at = torch.rand(count, T, generator=random).topk(2).indices.sort(1).values
        marked = torch.zeros_like(values).scatter(1, at, 1.0)
        operands = values.gather(1, at)
        sign = 1 if task == "addition" else -1
        found.append(
            Sums(
                torch.stack([values * marked, values * (1 - marked)], -1),
                at,
                operands,
                operands[:, 0] + sign * operands[:, 1],
            )
        )
    return found


def _packed(sums: list[Sums]) -> tuple[PackedSequence, Tensor]:
    sequences = [sequence for one in sums for sequence in one.numbers]
    return pack_sequence(sequences, enforce_sorted=False), torch.cat([one.result for one in sums])


def squared_error(model: Calculator, sums: list[Sums]) -> float:
    """Mean squared error of the results."""
    numbers, result = _packed(sums)
    with torch.no_grad():
        return float((model(numbers)[:, 0] - result).square().mean())


def trained(task: str, cell: str, seed: int) -> Calculator | None:
    """A network trained from one random start by L-BFGS; None if it stays above the tolerance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Calculator(cell)
    numbers, result = _packed(drawn(task, 72, seed=0))
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=20, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        error: Tensor = (model(numbers)[:, 0] - result).square().mean()
        error.backward()  # type: ignore[no-untyped-call]
        return error.detach()

    before = float("inf")
    for _ in range(50):
        optimiser.step(loss)  # type: ignore[no-untyped-call]
        now = float(loss())
        # A start that has stopped falling is given up: another one is cheaper.
        if now < TOLERANCE / 2 or now > 0.97 * before:
            break
        before = now
    reached = squared_error(model, drawn(task, 144, seed=1)) < TOLERANCE
    return model.eval() if reached else None


def training(task: str, cell: str) -> Iterator[Calculator | None]:
    """One random start after another, without end."""
    return (trained(task, cell, seed) for seed in itertools.count())


def store(models: int, path: Path = STORED) -> None:
    """Trains `models` networks of each kind and writes their weights."""
    kinds = {}
    for task in TASKS:
        for cell in CELLS:
            weights, starts = [], 0
            with tqdm(total=models, desc=f"{task} {cell}", disable=None) as bar:
                for model in training(task, cell):
                    starts += 1
                    if model is not None:
                        flat = parameters_to_vector(model.parameters()).tolist()
                        weights.append([float(f"{w:.9g}") for w in flat])
                        bar.update()
                    if len(weights) == models:
                        break
            kinds[f"{task} {cell}"] = {"starts": starts, "weights": weights}
    with written_whole(path) as temporary:
        rows = json.dumps(kinds).replace("], [", "],\n[").replace('}, "', '},\n"')
        Path(temporary).write_text(rows + "\n", encoding="utf-8")


def stored(task: str, cell: str, models: int | None = None) -> list[Calculator]:
    """The first `models` networks of a kind, as stored."""
    kinds = json.loads(STORED.read_text(encoding="utf-8"))
    found = []
    for weights in kinds[f"{task} {cell}"]["weights"][:models]:
        model = Calculator(cell)
        vector_to_parameters(torch.tensor(weights, dtype=torch.float64), model.parameters())
        found.append(model.eval())
    return found


class Method(Protocol):
    """What explains a network."""

    def attribute(self, inputs: Tensor, target: Any) -> Tensor: ...


class Agreement(NamedTuple):
    """How well relevance tells what the operands contribute."""

    a: float  # correlation of R_a with n_a over sequences
    b: float  # correlation of R_b with n_b: near −1 is right for a subtraction
    error: float  # E[(R_a + R_b − result)²]: what the two operands did not get


def agreement(method: Method, sums: list[Sums]) -> Agreement:
    """Relevance of the two operands next to their values."""
    shares = torch.cat([method.attribute(s.numbers, target=0).gather(1, s.at) for s in sums])
    operands = torch.cat([s.operands for s in sums])
    result = torch.cat([s.result for s in sums])
    a, b = (
        float(torch.corrcoef(torch.stack([shares[:, k], operands[:, k]]))[0, 1]) for k in (0, 1)
    )
    return Agreement(a, b, float((shares.sum(1) - result).square().mean()))


def agreements(
    method: Callable[[nn.Module], Method], models: Sequence[Calculator], sums: list[Sums]
) -> Tensor:
    """`[M, 3]`: one `Agreement` a model."""
    return torch.tensor([agreement(method(model), sums) for model in models], dtype=torch.float64)


def methods() -> dict[str, Callable[[nn.Module], Method]]:
    """What the table compares."""
    found: dict[str, Callable[[nn.Module], Method]] = {
        "gradient x input": GradientXInput,
        "occlusion": Occlusion,
    }
    for rule in GATE_RULES:
        # The stabiliser hardly moves the other rules, whose lot is decided at the gates.
        for epsilon in EPSILONS if rule == "all" else (0.0, 1e-3):
            found[f"LRP-{rule}, epsilon {epsilon:g}"] = _lrp(rule, epsilon)
    found["LRP-all, epsilon 5%"] = _lrp("all", "5%")
    return found


def _lrp(rule: Any, epsilon: float | str) -> Callable[[nn.Module], Method]:
    return lambda model: seqlrp.LRP(model, epsilon=epsilon, gate_rule=rule)


def main() -> None:
    parser = argparse.ArgumentParser(description="LRP on networks that add or subtract.")
    parser.add_argument("--train", action="store_true", help="train the networks anew first")
    parser.add_argument("--models", type=int, default=50, help="networks of each kind")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.train:
        store(options.models)
    print("Correlations in percent and error, mean over networks (median in brackets).")
    for task, cell in itertools.product(TASKS, CELLS):
        models, sums = stored(task, cell, options.models), drawn(task, 72, seed=2)
        print(f"\n{task}, {cell}: {len(models)} networks")
        print(f"{'':28}{'R_a with n_a':>18}{'R_b with n_b':>20}{'E[(R_a+R_b-y)^2]':>24}")
        for name, method in tqdm(methods().items(), disable=None, leave=False):
            found = agreements(method, models, sums)
            mean, median = found.mean(0), found.median(0).values
            print(
                f"{name:28}"
                + "".join(f"{100 * mean[k]:11.3f} ({100 * median[k]:7.2f})" for k in (0, 1))
                + f"{mean[2]:13.2e} ({median[2]:.2e})"
            )


if __name__ == "__main__":
    main()
