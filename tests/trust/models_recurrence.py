"""Recurrences written by hand: cells, and loops over the words, combined.

A cell has `start(x)`, its states before the first word, `step(x, states)`, which returns the states
after a word, the hidden state first, and `truth`, the same step with constant gates.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trust.judge import (
    CASES,
    HIDDEN,
    WIDTH,
    Case,
    Classifier,
    Words,
    gate,
    product,
    relu,
    signal,
    tanh,
)

States = tuple[Tensor, ...]


class Cell(nn.Module):
    number_of_states = 1

    def start(self, x: Tensor) -> States:
        return tuple(x.new_zeros(len(x), HIDDEN) for _ in range(self.number_of_states))


class ChunkedLSTM(Cell):
    """One map for the four gates, as in torch."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 4 * HIDDEN)
        self.h = nn.Linear(HIDDEN, 4 * HIDDEN, bias=False)

    def step(self, x, states):
        h, c = states
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def truth(self, x, states):
        h, c = states
        z = self.x(x) + self.h(h)
        i, f, g, o = (z[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
        c = gate(f) * c + gate(i) * tanh(g)
        return gate(o) * tanh(c), c


class SeparateLSTM(Cell):
    """A map of the concatenation for each gate, as in textbooks."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.forget, self.input, self.output, self.candidate = (
            nn.Linear(WIDTH + HIDDEN, HIDDEN) for _ in range(4)
        )

    def step(self, x, states):
        h, c = states
        xh = torch.cat([x, h], dim=-1)
        f = self.forget(xh).sigmoid()
        c = c * f + self.candidate(xh).tanh() * self.input(xh).sigmoid()
        return c.tanh().mul(self.output(xh).sigmoid()), c

    def truth(self, x, states):
        h, c = states
        z = torch.cat([x, h], 1)
        c = gate(self.forget(z)) * c + gate(self.input(z)) * tanh(self.candidate(z))
        return gate(self.output(z)) * tanh(c), c


class PeepholeLSTM(Cell):
    """Gates that also look at the cell."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 4 * HIDDEN)
        self.h = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.peep = nn.Parameter(torch.randn(3, HIDDEN))

    def step(self, x, states):
        h, c = states
        z = self.x(x) + self.h(h)
        zi, zf, zg, zo = z.split(HIDDEN, dim=1)
        i = torch.sigmoid(zi + self.peep[0] * c)
        f = torch.sigmoid(zf + self.peep[1] * c)
        c = f * c + i * torch.tanh(zg)
        o = torch.sigmoid(zo + self.peep[2] * c)
        return o * torch.tanh(c), c

    def truth(self, x, states):
        h, c = states
        zi, zf, zg, zo = (self.x(x) + self.h(h)).chunk(4, 1)
        i, f = gate(zi + self.peep[0] * c), gate(zf + self.peep[1] * c)
        c = f * c + i * tanh(zg)
        return gate(zo + self.peep[2] * c) * tanh(c), c


class CoupledLSTM(Cell):
    """The input gate is what the forget gate leaves."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 3 * HIDDEN)
        self.h = nn.Linear(HIDDEN, 3 * HIDDEN)

    def step(self, x, states):
        h, c = states
        f, g, o = torch.tensor_split(self.x(x) + self.h(h), 3, dim=1)
        f = f.sigmoid()
        c = torch.lerp(g.tanh(), c, f)
        return torch.sigmoid(o) * c, c

    def truth(self, x, states):
        h, c = states
        f, g, o = (self.x(x) + self.h(h)).chunk(3, 1)
        c = gate(f) * c + (1 - gate(f)) * tanh(g)
        return gate(o) * c, c


class InPlaceLSTM(Cell):
    """Gates computed in place, as in code written to save memory."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.all = nn.Linear(WIDTH + HIDDEN, 4 * HIDDEN)

    def step(self, x, states):
        h, c = states
        gates = self.all(torch.cat((x, h), 1))
        i, f, o, g = gates.unsafe_chunk(4, 1)
        i = i.sigmoid_()
        f = f.sigmoid_()
        o = o.sigmoid_()
        g = g.tanh_()
        c = c.mul(f).addcmul_(i, g)
        return o.mul(torch.tanh(c)), c

    def truth(self, x, states):
        h, c = states
        i, f, o, g = self.all(torch.cat((x, h), 1)).chunk(4, 1)
        c = gate(f) * c + gate(i) * tanh(g)
        return gate(o) * tanh(c), c


class GRUAfter(Cell):
    """The reset gate acts after the map, as in torch."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 3 * HIDDEN)
        self.h = nn.Linear(HIDDEN, 3 * HIDDEN)

    def step(self, x, states):
        (h,) = states
        xr, xz, xn = self.x(x).chunk(3, -1)
        hr, hz, hn = self.h(h).chunk(3, -1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return ((1 - z) * n + z * h,)

    def truth(self, x, states):
        (h,) = states
        xr, xz, xn = self.x(x).chunk(3, 1)
        hr, hz, hn = self.h(h).chunk(3, 1)
        z = gate(xz + hz)
        return ((1 - z) * tanh(xn + gate(xr + hr) * hn) + z * h,)


class GRUBefore(Cell):
    """The reset gate acts on the state, as in the paper of Cho."""

    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(WIDTH + HIDDEN, 2 * HIDDEN)
        self.new = nn.Linear(WIDTH + HIDDEN, HIDDEN)

    def step(self, x, states):
        (h,) = states
        r, z = torch.sigmoid(self.gates(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.new(torch.cat([x, r * h], 1)))
        return (h + z * (n - h),)

    def truth(self, x, states):
        (h,) = states
        rz = gate(self.gates(torch.cat([x, h], 1)))
        r, z = rz[:, :HIDDEN], rz[:, HIDDEN:]
        n = tanh(self.new(torch.cat([x, r * h], 1)))
        return (h + z * (n - h),)


class MinimalGated(Cell):
    """One gate for all."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(WIDTH + HIDDEN, HIDDEN)
        self.n = nn.Linear(WIDTH + HIDDEN, HIDDEN)

    def step(self, x, states):
        (h,) = states
        f = torch.sigmoid(self.f(torch.hstack([x, h])))
        n = torch.tanh(self.n(torch.hstack([x, f * h])))
        return (torch.addcmul((1 - f) * h, f, n),)

    def truth(self, x, states):
        (h,) = states
        f = gate(self.f(torch.cat([x, h], 1)))
        return ((1 - f) * h + f * tanh(self.n(torch.cat([x, f * h], 1))),)


class Elman(Cell):
    """tanh(W x + U h)."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(WIDTH, HIDDEN))
        self.U = nn.Parameter(torch.randn(HIDDEN, HIDDEN))
        self.b = nn.Parameter(torch.randn(HIDDEN))

    def step(self, x, states):
        return (torch.tanh(x @ self.W + states[0] @ self.U + self.b),)

    def truth(self, x, states):
        return (tanh(x @ self.W + states[0] @ self.U + self.b),)


class Rectified(Cell):
    """relu(W x + U h), by addmm."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(WIDTH, HIDDEN))
        self.U = nn.Parameter(torch.randn(HIDDEN, HIDDEN))
        self.b = nn.Parameter(torch.randn(HIDDEN))

    def step(self, x, states):
        return (F.relu(torch.addmm(torch.addmm(self.b, x, self.W), states[0], self.U)),)

    def truth(self, x, states):
        return (relu(x @ self.W + states[0] @ self.U + self.b),)


class Independent(Cell):
    """IndRNN: every unit sees itself only."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, HIDDEN)
        self.u = nn.Parameter(torch.randn(HIDDEN))

    def step(self, x, states):
        return (F.relu(self.x(x) + self.u * states[0]),)

    def truth(self, x, states):
        return (relu(self.x(x) + self.u * states[0]),)


class Leaky(Cell):
    """An integrator with a constant leak."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def step(self, x, states):
        (h,) = states
        return (0.7 * h + 0.3 * torch.tanh(self.x(x) + self.h(h)),)

    def truth(self, x, states):
        (h,) = states
        return (0.7 * h + 0.3 * tanh(self.x(x) + self.h(h)),)


class LearnedLeak(Cell):
    """A leak that is the sigmoid of a parameter."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.leak = nn.Parameter(torch.zeros(HIDDEN))

    def step(self, x, states):
        (h,) = states
        a = self.leak.sigmoid()
        return (a * h + (1 - a) * self.x(x).add(self.h(h)).tanh(),)

    def truth(self, x, states):
        (h,) = states
        a = gate(self.leak)
        return (a * h + (1 - a) * tanh(self.x(x) + self.h(h)),)


class Simple(Cell):
    """SRU: gates of the word alone, and a highway from the word."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.W = nn.Linear(WIDTH, 4 * HIDDEN)

    def step(self, x, states):
        _, c = states
        candidate, f, r, skip = self.W(x).chunk(4, 1)
        f, r = torch.sigmoid(f), torch.sigmoid(r)
        c = f * c + (1 - f) * candidate
        return r * torch.tanh(c) + (1 - r) * skip, c

    def truth(self, x, states):
        _, c = states
        candidate, f, r, skip = self.W(x).chunk(4, 1)
        f, r = gate(f), gate(r)
        c = f * c + (1 - f) * candidate
        return r * tanh(c) + (1 - r) * skip, c


class MinGRU(Cell):
    """minGRU in its sequential form."""

    def __init__(self):
        super().__init__()
        self.z, self.n = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN)

    def step(self, x, states):
        z = torch.sigmoid(self.z(x))
        return ((1 - z) * states[0] + z * self.n(x),)

    def truth(self, x, states):
        z = gate(self.z(x))
        return ((1 - z) * states[0] + z * self.n(x),)


class MinLSTM(Cell):
    """minLSTM: gates that are normalised to add up to one."""

    def __init__(self):
        super().__init__()
        self.f, self.i, self.n = (nn.Linear(WIDTH, HIDDEN) for _ in range(3))

    def step(self, x, states):
        f, i = torch.sigmoid(self.f(x)), torch.sigmoid(self.i(x))
        return (f / (f + i) * states[0] + i / (f + i) * self.n(x),)

    def truth(self, x, states):
        f, i = gate(self.f(x)), gate(self.i(x))
        return (f / (f + i) * states[0] + i / (f + i) * self.n(x),)


class Multiplicative(Cell):
    """An RNN whose word and state are multiplied: two signals."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.m = nn.Linear(HIDDEN, HIDDEN)
        self.skip = nn.Linear(WIDTH, HIDDEN)

    def step(self, x, states):
        m = self.x(x) * self.h(states[0])
        return (torch.tanh(self.skip(x) + self.m(m)),)

    def truth(self, x, states):
        (h,) = states
        # before the first word h is a constant, and so the other factor takes all
        m = product(self.x(x), self.h(h)) if h.requires_grad else self.x(x) * self.h(h)
        return (tanh(self.skip(x) + self.m(m)),)


class Residual(Cell):
    """h plus a change."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def step(self, x, states):
        (h,) = states
        h = h + 0.1 * torch.tanh(self.x(x) + self.h(h))
        return (h,)

    def truth(self, x, states):
        (h,) = states
        return (h + 0.1 * tanh(self.x(x) + self.h(h)),)


class Antisymmetric(Cell):
    """The recurrent weights are made antisymmetric in each step."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, HIDDEN)
        self.A = nn.Parameter(torch.randn(HIDDEN, HIDDEN))

    def step(self, x, states):
        (h,) = states
        A = self.A - self.A.t() - 0.1 * torch.eye(HIDDEN, dtype=x.dtype)
        return (h + 0.5 * torch.tanh(F.linear(h, A) + self.x(x)),)

    def truth(self, x, states):
        (h,) = states
        A = (self.A - self.A.t()).detach() - 0.1 * torch.eye(HIDDEN, dtype=torch.float64)
        return (h + 0.5 * tanh(h @ A.t() + self.x(x)),)


class NormalisedGRU(Cell):
    """Layer norm of the pre-activations."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.h = nn.Linear(HIDDEN, 2 * HIDDEN, bias=False)
        self.norm = nn.LayerNorm(2 * HIDDEN)

    def step(self, x, states):
        (h,) = states
        z, n = self.norm(self.x(x) + self.h(h)).chunk(2, 1)
        z = torch.sigmoid(z)
        return (z * h + (1 - z) * torch.tanh(n),)

    def truth(self, x, states):
        (h,) = states
        a = self.x(x) + self.h(h)
        centred = a - a.mean(1, keepdim=True)
        scale = (a.var(1, unbiased=False, keepdim=True) + self.norm.eps).rsqrt().detach()
        a = centred * scale * self.norm.weight + self.norm.bias
        z = gate(a[:, :HIDDEN])
        return (z * h + (1 - z) * tanh(a[:, HIDDEN:]),)


class ExponentialGates(Cell):
    """Gates spelt out as 1 / (1 + exp(-z))."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.all = nn.Linear(WIDTH + HIDDEN, 3 * HIDDEN)

    def step(self, x, states):
        h, c = states
        f, g, o = self.all(torch.cat([x, h], 1)).chunk(3, 1)
        f, o = 1 / (1 + torch.exp(-f)), 1.0 / (1.0 + (-o).exp())
        c = f * c + (1 - f) * g.tanh()
        return o * c.tanh(), c

    def truth(self, x, states):
        h, c = states
        f, g, o = self.all(torch.cat([x, h], 1)).chunk(3, 1)
        c = gate(f) * c + (1 - gate(f)) * tanh(g)
        return gate(o) * tanh(c), c


class HardGates(Cell):
    """Keras' old default, by F.hardsigmoid."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.all = nn.Linear(WIDTH + HIDDEN, 3 * HIDDEN)

    def step(self, x, states):
        h, c = states
        f, g, o = self.all(torch.cat([x, h], 1)).chunk(3, 1)
        c = F.hardsigmoid(f) * c + g.tanh()
        return F.hardsigmoid(o) * c.tanh(), c

    def truth(self, x, states):
        h, c = states
        f, g, o = self.all(torch.cat([x, h], 1)).chunk(3, 1)
        c = F.hardsigmoid(f).detach() * c + tanh(g)
        return F.hardsigmoid(o).detach() * tanh(c), c


class HighwayState(Cell):
    """Two small steps for each word, each with a transform gate."""

    def __init__(self):
        super().__init__()
        self.x = nn.Linear(WIDTH, 2 * HIDDEN)
        self.deep = nn.ModuleList(nn.Linear(HIDDEN, 2 * HIDDEN) for _ in range(2))

    def step(self, x, states):
        (s,) = states
        for depth, layer in enumerate(self.deep):
            z = layer(s) + self.x(x) if depth == 0 else layer(s)
            h, t = z.chunk(2, 1)
            t = torch.sigmoid(t)
            s = torch.tanh(h) * t + s * (1 - t)
        return (s,)

    def truth(self, x, states):
        (s,) = states
        for depth, layer in enumerate(self.deep):
            z = layer(s) + self.x(x) if depth == 0 else layer(s)
            t = gate(z[:, HIDDEN:])
            s = tanh(z[:, :HIDDEN]) * t + s * (1 - t)
        return (s,)


class Zoneout(Cell):
    """The expectation of zoneout, as in evaluation."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, HIDDEN)

    def step(self, x, states):
        (h,) = states
        return (0.9 * self.cell(x, h) + 0.1 * h,)

    def truth(self, x, states):
        (h,) = states
        return (0.9 * gru_step(self.cell, x, h) + 0.1 * h,)


def gru_step(cell: nn.GRUCell, x: Tensor, h: Tensor) -> Tensor:
    """The step of torch's GRU, by the laws."""
    xr, xz, xn = (x @ cell.weight_ih.t() + cell.bias_ih).chunk(3, 1)
    hr, hz, hn = (h @ cell.weight_hh.t() + cell.bias_hh).chunk(3, 1)
    z = gate(xz + hz)
    return (1 - z) * tanh(xn + gate(xr + hr) * hn) + z * h


class TorchGRUCell(Cell):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(WIDTH, HIDDEN)

    def step(self, x, states):
        return (self.cell(x, states[0]),)

    def truth(self, x, states):
        return (gru_step(self.cell, x, states[0]),)


class TorchLSTMCell(Cell):
    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, HIDDEN)

    def step(self, x, states):
        return self.cell(x, states)

    def truth(self, x, states):
        h, c = states
        cell = self.cell
        z = x @ cell.weight_ih.t() + cell.bias_ih + h @ cell.weight_hh.t() + cell.bias_hh
        i, f, g, o = z.chunk(4, 1)
        c = gate(f) * c + gate(i) * tanh(g)
        return gate(o) * tanh(c), c


class TorchRNNCell(Cell):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(WIDTH, HIDDEN, nonlinearity="relu")

    def step(self, x, states):
        return (self.cell(x, states[0]),)

    def truth(self, x, states):
        cell = self.cell
        z = x @ cell.weight_ih.t() + cell.bias_ih + states[0] @ cell.weight_hh.t() + cell.bias_hh
        return (relu(z),)


class FunctionalLSTM(Cell):
    """torch.lstm_cell with parameters of its own."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4 * HIDDEN, WIDTH))
        self.u = nn.Parameter(torch.randn(4 * HIDDEN, HIDDEN))
        self.b = nn.Parameter(torch.randn(4 * HIDDEN))

    def step(self, x, states):
        return torch.lstm_cell(x, states, self.w, self.u, self.b, torch.zeros_like(self.b))

    def truth(self, x, states):
        h, c = states
        i, f, g, o = (x @ self.w.t() + h @ self.u.t() + self.b).chunk(4, 1)
        c = gate(f) * c + gate(i) * tanh(g)
        return gate(o) * tanh(c), c


class Einsum(Cell):
    """An LSTM whose gates are an axis of one einsum."""

    number_of_states = 2

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, WIDTH, HIDDEN))
        self.u = nn.Parameter(torch.randn(4, HIDDEN, HIDDEN))
        self.b = nn.Parameter(torch.randn(4, HIDDEN))

    def step(self, x, states):
        h, c = states
        z = torch.einsum("bi,gih->gbh", x, self.w) + torch.einsum("bi,gih->gbh", h, self.u)
        i, f, g, o = z + self.b[:, None]
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def truth(self, x, states):
        h, c = states
        i, f, g, o = (x @ self.w[k] + h @ self.u[k] + self.b[k] for k in range(4))
        c = gate(f) * c + gate(i) * tanh(g)
        return gate(o) * tanh(c), c


class Softsign(Cell):
    """softsign for tanh and a scaled tanh, as in early code."""

    def __init__(self):
        super().__init__()
        self.x, self.h = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def step(self, x, states):
        return (1.7159 * torch.tanh(F.softsign(self.x(x) + self.h(states[0])) * 2 / 3),)

    def truth(self, x, states):
        z = self.x(x) + self.h(states[0])
        return (1.7159 * tanh(signal(F.softsign, z) * (2 / 3)),)


# Loops: what the features are, first as people write it, then once more by the plainest loop


def true_states(cell: Cell, x: Tensor) -> list[States]:
    states, all_states = cell.start(x), []
    for t in range(x.shape[1]):
        states = cell.truth(x[:, t], states)
        all_states.append(states)
    return all_states


def true_last(cell, x, lengths):
    return true_states(cell, x)[-1][0]


def true_mean(cell, x, lengths):
    return sum(states[0] for states in true_states(cell, x)) / x.shape[1]


def true_at_length(cell, x, lengths):
    h = torch.stack([states[0] for states in true_states(cell, x)])
    return h[lengths - 1, torch.arange(len(x))]


def true_largest(cell, x, lengths):
    h = torch.stack([states[0] for states in true_states(cell, x)], 1)
    at = h.detach().argmax(1)
    return h.gather(1, at[:, None])[:, 0]


def true_backwards(cell, x, lengths):
    return true_last(cell, x.flip(1), lengths)


def true_both(cell, x, lengths):
    return true_last(cell, x, lengths) + true_backwards(cell, x, lengths)


Loop = Callable[[Cell, Tensor, Tensor], Tensor]
LOOPS: dict[Loop, Loop] = {}


def loop(truth: Loop) -> Callable[[Loop], Loop]:
    def register(written: Loop) -> Loop:
        LOOPS[written] = truth
        return written

    return register


@loop(true_last)
def last(cell, x, lengths):
    states = cell.start(x)
    for t in range(x.size(1)):
        states = cell.step(x[:, t, :], states)
    return states[0]


@loop(true_mean)
def stacked(cell, x, lengths):
    states, outputs = cell.start(x), []
    for x_t in x.unbind(dim=1):
        states = cell.step(x_t, states)
        outputs.append(states[0])
    return torch.stack(outputs, dim=1).mean(dim=1)


@loop(true_mean)
def written_into_zeros(cell, x, lengths):
    out = torch.zeros(x.shape[0], x.shape[1], HIDDEN, dtype=x.dtype)
    states = cell.start(x)
    for t in range(x.shape[1]):
        states = cell.step(x[:, t], states)
        out[:, t] = states[0]
    return out.mean(1)


@loop(true_mean)
def written_into_empty(cell, x, lengths):
    out = x.new_empty(x.shape[1], x.shape[0], HIDDEN)
    states = cell.start(x)
    for t, x_t in enumerate(x.transpose(0, 1)):
        states = cell.step(x_t, states)
        out[t].copy_(states[0])
    return out.sum(0) / len(out)


@loop(true_mean)
def grown_by_cat(cell, x, lengths):
    out = torch.empty(x.shape[0], 0, HIDDEN, dtype=x.dtype)
    states = cell.start(x)
    for t in range(x.shape[1]):
        states = cell.step(x[:, t], states)
        out = torch.cat([out, states[0].unsqueeze(1)], 1)
    return out.mean(1)


@loop(true_mean)
def summed_on_the_way(cell, x, lengths):
    states, total = cell.start(x), 0
    for t in range(x.shape[1]):
        states = cell.step(x.select(1, t), states)
        total += states[0]
    return total / x.shape[1]


@loop(true_at_length)
def gathered_at_length(cell, x, lengths):
    states, outputs = cell.start(x), []
    for piece in x.split(1, dim=1):
        states = cell.step(piece.squeeze(1), states)
        outputs.append(states[0])
    h = torch.stack(outputs, 1)
    at = (lengths - 1).view(-1, 1, 1).expand(-1, 1, h.size(2))
    return h.gather(1, at).squeeze(1)


@loop(true_at_length)
def frozen_by_where(cell, x, lengths):
    states = cell.start(x)
    for t in range(x.shape[1]):
        new = cell.step(x[:, t], states)
        live = (t < lengths).unsqueeze(1)
        states = tuple(torch.where(live, n, s) for n, s in zip(new, states, strict=True))
    return states[0]


@loop(true_at_length)
def frozen_by_mask(cell, x, lengths):
    mask = (torch.arange(x.shape[1]) < lengths[:, None]).to(x.dtype)
    states = cell.start(x)
    for t in range(x.shape[1]):
        m = mask[:, t : t + 1]
        new = cell.step(x[:, t], states)
        states = tuple(m * n + (1 - m) * s for n, s in zip(new, states, strict=True))
    return states[0]


@loop(true_at_length)
def shrinking_batch(cell, x, lengths):
    """Lengths are sorted here; finished texts are set aside."""
    states, finished = cell.start(x), []
    for t in range(x.shape[1]):
        n = int((lengths > t).sum())
        if n < len(states[0]):
            finished.append(states[0][n:])
            states = tuple(s[:n] for s in states)
        states = cell.step(x[:n, t], states)
    finished.append(states[0])
    return torch.cat(finished[::-1])


@loop(true_at_length)
def rows_written_back(cell, x, lengths):
    states = cell.start(x)
    for t in range(x.shape[1]):
        n = int((lengths > t).sum())
        new = cell.step(x[:n, t], tuple(s[:n] for s in states))
        states = tuple(s.clone() for s in states)
        for s, value in zip(states, new, strict=True):
            s[0:n] = value
    return states[0]


@loop(true_at_length)
def one_text_at_a_time(cell, x, lengths):
    rows = []
    for b, n in enumerate(lengths.tolist()):
        states = cell.start(x[b : b + 1])
        for t in range(n):
            states = cell.step(x[b, t][None], states)
        rows.append(states[0][0])
    return torch.stack(rows)


@loop(true_largest)
def largest(cell, x, lengths):
    states, best = cell.start(x), None
    for t in range(x.shape[1]):
        states = cell.step(x[:, t], states)
        best = states[0] if best is None else torch.maximum(best, states[0])
    return best


@loop(true_largest)
def largest_of_cat(cell, x, lengths):
    states, outputs = cell.start(x), []
    for t in range(x.shape[1]):
        states = cell.step(x[:, t], states)
        outputs += [states[0][:, :, None]]
    return F.max_pool1d(torch.cat(outputs, 2), len(outputs)).squeeze(2)


@loop(true_backwards)
def backwards(cell, x, lengths):
    states = cell.start(x)
    for t in reversed(range(x.shape[1])):
        states = cell.step(x[:, t], states)
    return states[0]


@loop(true_both)
def both_directions(cell, x, lengths):
    forward, backward = cell.start(x), cell.start(x)
    for t in range(x.shape[1]):
        forward = cell.step(x[:, t], forward)
        backward = cell.step(x[:, -1 - t], backward)
    return forward[0] + backward[0]


@loop(true_last)
def recursive(cell, x, lengths):
    def after(t):
        return cell.start(x) if t < 0 else cell.step(x[:, t], after(t - 1))

    return after(x.shape[1] - 1)[0]


@loop(true_mean)
def named_states(cell, x, lengths):
    kind = namedtuple("kind", [f"s{k}" for k in range(cell.number_of_states)])
    memory = {"state": kind(*cell.start(x)), "trace": []}
    while len(memory["trace"]) < x.shape[1]:
        memory["state"] = kind(*cell.step(x[:, len(memory["trace"])], memory["state"]))
        memory["trace"].append(memory["state"].s0)
    return torch.mean(torch.stack(memory["trace"]), dim=0)


class Recurrent(Classifier):
    """Embedding, a cell in a loop, a head."""

    def __init__(self, cell: type[Cell], written: Loop) -> None:
        super().__init__()
        self.cell = cell()
        self.written = written

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        return self.head(self.written(self.cell, self.embedding(ids), lengths))

    def truth(self, words: Words) -> Tensor:
        x, lengths = words.vectors(self.embedding), (words.ids != 0).sum(1)
        return self.head(LOOPS[self.written](self.cell, x, lengths))


CELLS = Cell.__subclasses__()


def register() -> None:
    """Every cell in three loops, so that every loop is around several cells."""
    loops = list(LOOPS)
    for k, cell in enumerate(CELLS):
        for written in {loops[(k + step) % len(loops)]: None for step in (0, 7, 12)}:

            def build(cell: type[Cell] = cell, written: Loop = written) -> Recurrent:
                return Recurrent(cell, written)

            CASES.append(
                Case("recurrence", f"{cell.__name__}-{written.__name__}", build, Recurrent.truth)
            )


register()
