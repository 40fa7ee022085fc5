"""Computations that leave torch's sight: NumPy, lists, threads, casts, custom functions, scripts.

Most of them keep the numbers as they are, so that the truth is plain; where it is None, what is
lost on the way would count, and the model must be refused.
"""

from __future__ import annotations

import copy
import functools
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from trust.judge import (
    CLASSES,
    HIDDEN,
    WIDTH,
    Classifier,
    gate,
    model,
    product,
    relu,
    tanh,
)


class Traveller(Classifier):
    """A GRU-like step over mean vectors: two maps, a gate and a head."""

    def __init__(self):
        super().__init__()
        self.gates, self.dense = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN)

    def hidden(self, x):
        return torch.sigmoid(self.gates(x)) * torch.tanh(self.dense(x))

    def travel(self, h):
        return h

    def forward(self, ids):
        return self.head(self.travel(self.hidden(self.embedding(ids))).sum(1))

    def true_hidden(self, words):
        x = words.vectors(self.embedding)
        return gate(self.gates(x)) * tanh(self.dense(x))

    def truth(self, words):
        return self.head(self.true_hidden(words).sum(1))


# What keeps the value


@model
class Detached(Traveller):
    def travel(self, h):
        return h.detach()


@model
class Data(Traveller):
    def travel(self, h):
        return h.data


@model
class DataChanged(Traveller):
    def travel(self, h):
        h.data.mul_(2)
        return h + 0

    def truth(self, words):
        return self.head(2 * self.true_hidden(words).sum(1))


@model
class DataOfAClone(Traveller):
    def travel(self, h):
        h = h.clone()
        h.data[:, 0] = 0.0
        return h

    def truth(self, words):
        return self.head(self.true_hidden(words)[:, 1:].sum(1))


@model
class RequiresGrad(Traveller):
    def travel(self, h):
        return h.detach().requires_grad_()


@model
class NoGrad(Traveller):
    def travel(self, h):
        with torch.no_grad():
            return h * 1.0


@model
class NoGradForward(Traveller):
    @torch.no_grad()
    def forward(self, ids):
        return super().forward(ids)


@model
class InferenceForward(Traveller):
    @torch.inference_mode()
    def forward(self, ids):
        return super().forward(ids)


@model
class SetGradEnabled(Traveller):
    def forward(self, ids):
        with torch.set_grad_enabled(self.training):
            return super().forward(ids)


@model
class Widened(Traveller):
    def travel(self, h):
        return h.double().to(h.dtype).type_as(h).type(torch.float64)


@model
class ThroughComplex(Traveller):
    def travel(self, h):
        return torch.complex(h, torch.zeros_like(h)).real


@model
class ThroughNumpy(Traveller):
    truth = None

    def travel(self, h):
        return torch.from_numpy(h.detach().numpy().copy())


@model
class TermThroughNumpy(Traveller):
    truth = None

    def travel(self, h):
        return h + torch.from_numpy(np.tanh(h.detach().numpy()))


@model
class TermThroughList(Traveller):
    truth = None

    def travel(self, h):
        return h + torch.tensor(h.tolist(), dtype=h.dtype)


@model
class WeightThroughNumpy(Traveller):
    truth = None

    def travel(self, h):
        return h * torch.from_numpy(np.exp(h.detach().numpy()))


@model
class TermThroughItem(Traveller):
    truth = None

    def travel(self, h):
        return h + torch.tensor([[row.sum().item()] for row in h], dtype=h.dtype)[:, None]


@model
class TermThroughIntegers(Traveller):
    truth = None

    def travel(self, h):
        return h + (h * 10).long().to(h.dtype)


@model
class TermThroughBits(Traveller):
    truth = None

    def travel(self, h):
        return h + h.view(torch.int64).bitwise_and(-(2**20)).view(torch.float64)


@model
class TermThroughBuffer(Traveller):
    truth = None

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(1))

    def travel(self, h):
        self.kept = h.detach().clone()
        return h + torch.from_numpy(self.kept.numpy())


@model
class KeptInAnAttribute(Traveller):
    def travel(self, h):
        self.last = h
        return self.last.flip(1)


@model
class KeptAsAState(Traveller):
    """A running state that is detached, as between parts of a long text."""

    def travel(self, h):
        state = torch.zeros_like(h[:, 0])
        for t in range(h.shape[1]):
            self.state = (0.5 * state + h[:, t]).detach()
            state = self.state
        return state[:, None]

    def truth(self, words):
        h, state = self.true_hidden(words), 0
        for t in range(6):
            state = 0.5 * state + h[:, t]
        return self.head(state)


@model
class CopiedOnTheWay(Traveller):
    def travel(self, h):
        return copy.copy(h)


@model
class DeepCopied(Traveller):
    def travel(self, h):
        return copy.deepcopy(h.detach())


@model
class ClonedIds(Traveller):
    def forward(self, ids):
        self.seen = ids.clone()
        return super().forward(copy.deepcopy(ids))


@model
class CachedHidden(Traveller):
    """A cache by the text, as for long documents."""

    def __init__(self):
        super().__init__()
        self.cache = {}

    def forward(self, ids):
        key = tuple(ids.flatten().tolist())
        if key not in self.cache:
            self.cache[key] = self.hidden(self.embedding(ids)).detach()
        return self.head(self.cache[key].sum(1))


# Threads


@model
class WorkInAThread(Traveller):
    def travel(self, h):
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.relu(h) * 1.0))
        thread.start()
        thread.join()
        return found[0]

    def truth(self, words):
        return self.head(relu(self.true_hidden(words)).sum(1))


@model
class WorkInAPool(Traveller):
    def travel(self, h):
        with ThreadPoolExecutor(2) as pool:
            return torch.stack(list(pool.map(torch.tanh, h.unbind(1))), 1)

    def truth(self, words):
        return self.head(tanh(self.true_hidden(words)).sum(1))


@model
class TermInAThread(Traveller):
    truth = None

    def travel(self, h):
        def work(h=h):
            with torch.no_grad():
                return torch.relu(h) * 1.0

        with ThreadPoolExecutor(1) as pool:
            return h + pool.submit(work).result()


@model
class LookUpInAThread(Traveller):
    def forward(self, ids):
        with ThreadPoolExecutor(1) as pool:
            x = pool.submit(self.embedding, ids).result()
        return self.head(self.hidden(x).sum(1))


# Custom functions


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class Reversal(torch.autograd.Function):
    """Gradient reversal: the identity, with another gradient."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Step(torch.autograd.Function):
    """A straight-through step."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * 2
        ctx.mark_non_differentiable(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        return None


@model
class CustomSquare(Traveller):
    def travel(self, h):
        return Square.apply(h)

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head((h * h.detach()).sum(1))


@model
class GradientReversal(Traveller):
    def travel(self, h):
        return Reversal.apply(h)


@model
class StraightThrough(Traveller):
    truth = None

    def travel(self, h):
        return h + Step.apply(h)


@model
class StraightThroughByDetach(Traveller):
    """hard + soft − soft.detach(): a sum of three."""

    truth = None

    def travel(self, h):
        return (h > 0).double() + h - h.detach()


@model
class NotDifferentiable(Traveller):
    truth = None

    def travel(self, h):
        return h + Marked.apply(h)


@model
class CustomGate(Traveller):
    """A step that weighs a signal is a question, a gate in spirit."""

    def travel(self, h):
        return h * Step.apply(h.flip(1))

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head((h * (h.flip(1) > 0)).sum(1))


@model
class Checkpointed(Traveller):
    def travel(self, h):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(torch.tanh, h, use_reentrant=False)

    def truth(self, words):
        return self.head(tanh(self.true_hidden(words)).sum(1))


# Parametrisations and hooks


@model
class WeightNorm(Traveller):
    def __init__(self):
        super().__init__()
        parametrizations.weight_norm(self.dense)


@model
class SpectralNorm(Traveller):
    def __init__(self):
        super().__init__()
        parametrizations.spectral_norm(self.dense)


@model
class Orthogonal(Traveller):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(WIDTH, WIDTH)
        parametrizations.orthogonal(self.dense)
        self.gates, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)


class Symmetric(nn.Module):
    def forward(self, w):
        return w.triu() + w.triu(1).mT


@model
class OwnParametrisation(Traveller):
    def __init__(self):
        super().__init__()
        self.square = nn.Linear(HIDDEN, HIDDEN)
        parametrize.register_parametrization(self.square, "weight", Symmetric())

    def travel(self, h):
        return self.square(h)

    def truth(self, words):
        w = self.square.parametrizations.weight.original
        w = w.triu() + w.triu(1).t()
        return self.head((self.true_hidden(words) @ w.t() + self.square.bias).sum(1))


@model
class WeightDropped(Traveller):
    """AWD: a weight that is computed anew in each call."""

    def __init__(self):
        super().__init__()
        raw = self.dense.weight
        del self.dense._parameters["weight"]
        self.dense.raw = nn.Parameter(raw.detach())

    def hidden(self, x):
        self.dense.weight = F.dropout(self.dense.raw, 0.5, self.training)
        return super().hidden(x)


@model
class ForwardHook(Traveller):
    def __init__(self):
        super().__init__()
        self.dense.register_forward_hook(lambda module, args, output: output.relu())

    def truth(self, words):
        x = words.vectors(self.embedding)
        d = relu(x @ self.dense.weight.t() + self.dense.bias)
        return self.head((gate(self.gates(x)) * tanh(d)).sum(1))


@model
class PreHook(Traveller):
    def __init__(self):
        super().__init__()
        self.head.register_forward_pre_hook(lambda module, args: (args[0] / 2,))

    def truth(self, words):
        h = self.true_hidden(words).sum(1) / 2
        return h @ self.head.weight.t() + self.head.bias


@model
class WrappedForward(Traveller):
    def __init__(self):
        super().__init__()
        plain = self.dense.forward
        self.dense.forward = functools.wraps(plain)(lambda x: plain(x) * 2)

    def truth(self, words):
        x = words.vectors(self.embedding)
        d = (x @ self.dense.weight.t() + self.dense.bias) * 2
        return self.head((gate(self.gates(x)) * tanh(d)).sum(1))


# Scripts and transforms


def step_to_script(h: torch.Tensor) -> torch.Tensor:
    return torch.tanh(h) * 2.0


def gate_to_script(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(a) * b


with warnings.catch_warnings():  # scripts are deprecated, and models still have them
    warnings.simplefilter("ignore")
    scripted_step, scripted_gate = map(torch.jit.script, (step_to_script, gate_to_script))


@model
class ScriptedFunction(Traveller):
    def travel(self, h):
        return scripted_step(h)

    def truth(self, words):
        return self.head((tanh(self.true_hidden(words)) * 2).sum(1))


@model
class ScriptedGate(Traveller):
    def hidden(self, x):
        return scripted_gate(self.gates(x), self.dense(x))

    def truth(self, words):
        x = words.vectors(self.embedding)
        return self.head((gate(self.gates(x)) * self.dense(x)).sum(1))


@model
class ScriptedInInference(Traveller):
    truth = None

    def travel(self, h):
        with torch.inference_mode():
            return h + scripted_step(h)


@model
class ScriptedTermWithoutGraph(Traveller):
    truth = None

    def travel(self, h):
        return h + scripted_step(h.detach()).clone()


@model
class VmappedStep(Traveller):
    def travel(self, h):
        return torch.vmap(torch.tanh)(h)

    def truth(self, words):
        return self.head(tanh(self.true_hidden(words)).sum(1))


@model
class FunctionalCall(Traveller):
    def travel(self, h):
        weights = {name: p * 2 for name, p in self.head.named_parameters()}
        return torch.func.functional_call(self.head, weights, (h,)) @ self.head.weight

    def truth(self, words):
        W, b = self.head.weight, self.head.bias
        h = self.true_hidden(words)
        return self.head(((h @ W.t() + b) * 2 @ W).sum(1))


@model
class InnerGradient(Traveller):
    """A gradient inside the model is a number that depends on the words."""

    truth = None

    def travel(self, h):
        with torch.enable_grad():
            z = h.detach().requires_grad_()
            (g,) = torch.autograd.grad(z.tanh().sum(), z)
        return h + g


@model
class SparseProduct(Traveller):
    def travel(self, h):
        adjacency = torch.eye(h.shape[1], dtype=h.dtype).roll(1, 0).to_sparse()
        return torch.stack([torch.sparse.mm(adjacency, row) for row in h]).relu()

    def truth(self, words):
        return self.head(relu(self.true_hidden(words)).sum(1))


# In place


@model
class InPlaceThroughViews(Traveller):
    def travel(self, h):
        h = h.clone()
        first, rest = h[:, 0], h[:, 1:]
        first.mul_(2)
        rest.relu_()
        return h

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head(2 * h[:, 0] + relu(h[:, 1:]).sum(1))


@model
class InPlaceInPooled(Traveller):
    """What pooling returns is a view of a tensor that nobody sees."""

    def travel(self, h):
        h = F.avg_pool1d(h.mT, 2, 1).mT
        h[:, 0] = h[:, -1]
        return h

    def truth(self, words):
        h = self.true_hidden(words)
        pairs = (h[:, 1:] + h[:, :-1]) / 2
        return self.head(pairs[:, 1:].sum(1) + pairs[:, -1])


@model
class InPlaceSumFromZero(Traveller):
    """A sum that starts with the number 0, and grows in place."""

    def travel(self, h):
        first, total = h[:, 0] * 2, 0
        total += first
        for t in range(1, h.shape[1]):
            total += h[:, t]
        return torch.stack([total, first], 1)

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head(4 * h[:, 0] + h[:, 1:].sum(1))


@model
class InPlaceSwap(Traveller):
    def travel(self, h):
        h = h.clone()
        h[:, 0], h[:, 1] = h[:, 1].clone(), h[:, 0].clone()
        return h.cumsum(1)

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head(h[:, [1, 0, 2, 3, 4, 5]].cumsum(1).sum(1))


@model
class InPlaceAccumulator(Traveller):
    def travel(self, h):
        total = h.new_zeros(h.shape[0], 1, h.shape[2])
        for t in range(h.shape[1]):
            total[:, 0].add_(h[:, t], alpha=1 / (t + 1))
        return total

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head(sum(h[:, t] / (t + 1) for t in range(6)))


@model
class InPlaceConstants(Traveller):
    def travel(self, h):
        h = h.clone()
        h[:, 3:] = 1.0
        h[0].zero_()
        return h

    def truth(self, words):
        h = self.true_hidden(words)
        scores = self.head(h[:, :3].sum(1) + 3)
        return torch.cat([self.head(h[:1].sum(1) * 0), scores[1:]])


@model
class InPlaceOut(Traveller):
    def travel(self, h):
        out = torch.empty_like(h)
        with torch.no_grad():
            torch.mul(h, 2.0, out=out)
        return out

    def truth(self, words):
        return self.head(2 * self.true_hidden(words).sum(1))


@model
class InPlaceProduct(Traveller):
    def travel(self, h):
        h = h + 0
        h *= h.flip(1)
        return h

    def truth(self, words):
        h = self.true_hidden(words)
        return self.head(product(h, h.flip(1)).sum(1))


@model
class SetStorage(Traveller):
    def travel(self, h):
        other = torch.empty(0, dtype=h.dtype)
        with torch.no_grad():
            other.set_(h.detach())
        return other


@model
class Resized(Traveller):
    def travel(self, h):
        with torch.no_grad():
            flat = h.detach().clone().resize_(h.shape[0], h.shape[1] * h.shape[2])
        return flat.view(h.shape)


@model
class Strided(Traveller):
    def travel(self, h):
        h = h.contiguous()
        return torch.as_strided(h, (h.shape[0], 3, h.shape[2]), (24, 8, 1))

    def truth(self, words):
        return self.head(self.true_hidden(words)[:, ::2].sum(1))


# Randomness


@model
class DropoutOff(Traveller):
    def travel(self, h):
        return F.dropout(h, 0.5, training=self.training)


@model
class UnusedNoise(Traveller):
    def travel(self, h):
        noise = torch.randn_like(h)
        return h + noise if self.training else h


@model
class SeededProjection(Traveller):
    truth = None

    def travel(self, h):
        return h @ torch.rand(HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(0)).double()
