"""Networks that count brackets with their gates: where signal-take-all has nothing to show.

A sequence of "(", ")" and "x" has the score: brackets opened minus brackets closed. Each "("
contributes +1, each ")" −1, each "x" 0, and so says occlusion too: leave the token out, and see by
how much the score falls.

Three kinds of network for each cell:

- "by hand": weights written down, not learned. Both units hold a candidate that is a constant (a
  bias); the input gate of the first (in a GRU: its update gate) opens at "(", that of the second
  at ")", and the score is their difference. All that a token does, it does to a gate.
- "gates only": the same form (candidate a constant), trained.
- "free": any weights, trained.

    python tests/benchmarks/brackets.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

import seqlrp
from benchmarks.occlusion import Occlusion
from seqlrp.methods.gradients.gradient import GradientXInput

TOKENS = ("(", ")", "x")
CONTRIBUTION = (1.0, -1.0, 0.0)
LENGTHS = range(4, 13)
KINDS = ("by hand", "gates only", "free")
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
GATE_RULES = ("all", "prop", "abs", "half")
STARTS = 20  # random starts before training is given up
HIDDEN = 4


class Counter(nn.Module):
    """One-hot tokens, one recurrent layer, one output without bias: ids `[B, T]` to `[B, 1]`."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        one_hot = torch.eye(len(TOKENS))
        self.embedding = nn.Embedding(len(TOKENS), len(TOKENS), _weight=one_hot, _freeze=True)
        self.recurrent = CELLS[cell](len(TOKENS), hidden, batch_first=True)
        self.output = nn.Linear(hidden, 1, bias=False)
        self.to(torch.float64)

    def forward(self, ids: Tensor) -> Tensor:
        outputs, _ = self.recurrent(self.embedding(ids))
        scores: Tensor = self.output(outputs[:, -1])
        return scores

    @property
    def candidate(self) -> slice:
        """Rows of the candidate in the recurrent weights: g of i, f, g, o, or n of r, z, n."""
        H = self.recurrent.hidden_size
        return slice(2 * H, 3 * H)


def by_hand(cell: str) -> Counter:
    """A counter whose weights are written down: the tokens reach the gates and nothing else."""
    model, step, shut, away = Counter(cell, 2), 1e-3, -20.0, 40.0
    weights = dict(model.recurrent.named_parameters())
    weight, bias = weights["weight_ih_l0"], weights["bias_ih_l0"]
    with torch.no_grad():
        for parameter in weights.values():
            parameter.zero_()
        opened, closed = TOKENS.index("("), TOKENS.index(")")
        if cell == "lstm":
            # c grows by tanh(step) where the input gate opens; f = o = 1, up to 2e-9.
            weight[0, opened] = weight[1, closed] = away
            bias[0:2] = shut
            bias[2:4] = -shut
            bias[4:6] = step
            bias[6:8] = -shut
            height = step
        else:
            # h moves towards tanh(1) by a thousandth of the way where z falls from 1 to 1 − step.
            fall = float(torch.tensor(1 - step, dtype=torch.float64).logit()) + shut
            weight[2, opened] = weight[3, closed] = fall
            bias[2:4] = -shut
            bias[4:6] = 1.0
            height = step * float(torch.tanh(torch.tensor(1.0)))
        model.output.weight[0] = torch.tensor([1.0, -1.0]) / height
    return model.eval()


class Sequences(NamedTuple):
    """Sequences of one length T."""

    ids: Tensor  # [N, T]
    contribution: Tensor  # [N, T]

    @property
    def score(self) -> Tensor:
        """`[N]`: brackets opened minus brackets closed."""
        return self.contribution.sum(1)


def drawn(count: int, seed: int, lengths: Any = LENGTHS) -> list[Sequences]:
    """`count` random sequences of each length."""
    random = torch.Generator().manual_seed(seed)
    worth = torch.tensor(CONTRIBUTION, dtype=torch.float64)
    ids = [torch.randint(0, len(TOKENS), (count, T), generator=random) for T in lengths]
    return [Sequences(one, worth[one]) for one in ids]


def squared_error(model: Counter, data: list[Sequences]) -> Tensor:
    """Mean squared error of the score, over lengths."""
    return torch.stack([(model(d.ids)[:, 0] - d.score).square().mean() for d in data]).mean()


def trained(cell: str, *, gates_only: bool, seed: int = 0) -> Counter:
    """A counter trained by L-BFGS to a mean squared error below 0.01 on held-out sequences.

    Raises:
        RuntimeError: none of `STARTS` random starts got there.
    """
    train, held_out = drawn(60, seed=0), drawn(60, seed=1)
    for start in range(seed * STARTS, (seed + 1) * STARTS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start)
            model = Counter(cell, HIDDEN)
        if gates_only:
            # L-BFGS leaves a weight at zero whose gradient is always zero.
            for name, weight in model.recurrent.named_parameters():
                if name.startswith("weight"):
                    _hold_at_zero(weight, model.candidate)
        optimiser = torch.optim.LBFGS(
            model.parameters(), max_iter=200, history_size=20, line_search_fn="strong_wolfe"
        )

        def loss(model: Counter = model, optimiser: Any = optimiser) -> Tensor:
            optimiser.zero_grad()
            error = squared_error(model, train)
            error.backward()  # type: ignore[no-untyped-call]
            return error.detach()

        optimiser.step(loss)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            if squared_error(model, held_out) < 0.01:
                return model.eval()
    raise RuntimeError(f"No {cell} counter was found in {STARTS} random starts.")


def _hold_at_zero(weight: Tensor, rows: slice) -> None:
    kept = torch.ones_like(weight)
    kept[rows] = 0
    with torch.no_grad():
        weight *= kept
    weight.register_hook(lambda gradient: gradient * kept)  # type: ignore[no-untyped-call]


class Method(Protocol):
    """What explains a network."""

    def attribute(self, inputs: Tensor, target: Any) -> Tensor: ...


class Agreement(NamedTuple):
    """How well relevance tells what each token contributes."""

    share: float  # Σ|R| over Σ|contribution|: 1 where it is right, 0 where nothing is shown
    correlation: float  # of R with the contribution, over all tokens; 0 where all R are equal
    within: float  # the same in one sequence, mean over sequences of more than one kind of token


def agreement(method: Method, data: list[Sequences]) -> Agreement:
    """Relevance of all tokens next to what they contribute."""
    found = [method.attribute(d.ids, target=0) for d in data]
    R, truth = (
        torch.cat([r.flatten() for r in found]),
        torch.cat([d.contribution.flatten() for d in data]),
    )
    within = torch.cat(
        [
            _correlation(r, d.contribution)[d.contribution.std(1) > 0]
            for r, d in zip(found, data, strict=True)
        ]
    )
    return Agreement(
        float(R.abs().sum() / truth.abs().sum()),
        float(_correlation(R[None], truth[None])),
        float(within.mean()),
    )


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, along the last dimension; 0 where one of the two does not vary."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    size = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.where(size > 0, (a * b).sum(-1) / size.where(size > 0, 1.0), 0.0)


def methods(epsilon: float = 1e-6) -> dict[str, Callable[[nn.Module], Method]]:
    """What the table compares."""

    def lrp(rule: Any) -> Callable[[nn.Module], Method]:
        return lambda model: seqlrp.LRP(model, epsilon=epsilon, gate_rule=rule)

    return {
        **{f"LRP-{rule}": lrp(rule) for rule in GATE_RULES},
        "gradient x input": GradientXInput,
        "occlusion": Occlusion,
    }


def networks(kind: str, cell: str) -> list[Counter]:
    """The one network by hand, or three that were trained."""
    if kind == "by hand":
        return [by_hand(cell)]
    return [trained(cell, gates_only=kind == "gates only", seed=seed) for seed in range(3)]


def main() -> None:
    argparse.ArgumentParser(description="LRP on networks that count with their gates.").parse_args()
    torch.set_num_threads(1)
    print("share: relevance that reaches tokens, 1 is right; correlation with what each token")
    print("contributes, over all tokens and within a sequence: median over networks (lowest)")
    for kind in KINDS:
        for cell in CELLS:
            models, data = networks(kind, cell), drawn(40, seed=2)
            print(f"\n{kind}, {cell}: {len(models)} networks")
            print(f"{'':18}{'share':>20}{'correlation':>18}{'within':>18}")
            for name, method in methods().items():
                found = torch.tensor([agreement(method(model), data) for model in models])
                middle, lowest = found.median(0).values.tolist(), found.min(0).values.tolist()
                print(f"{name:18}{middle[0]:10.3g} ({lowest[0]:7.2g})", end="")
                print("".join(f"{middle[k]:9.3f} ({lowest[k]:6.3f})" for k in (1, 2)))


if __name__ == "__main__":
    main()
