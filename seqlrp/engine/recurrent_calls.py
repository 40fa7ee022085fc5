"""The arguments of `torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu` and of their cells, parsed once.

PyTorch calls a whole recurrent layer as one function with positional arguments, in one order for
padded and another for packed sequences. `RecurrentCall` names them, and describes their layout as
rows: `N` rows, first the step 0 of all `B` sequences, longest first, then step 1 of those
that have one, and so on. That is the layout of `PackedSequence`; a padded tensor `[T, B, D]` is the
special case in which every step has `B` rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError

LayerKind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
LAYERS: tuple[LayerKind, ...] = ("lstm", "gru", "rnn_tanh", "rnn_relu")
GATES: dict[str, int] = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


class Steps(NamedTuple):
    """The batch size at each step t, as `PackedSequence.batch_sizes`; the first is `B`."""

    sizes: tuple[int, ...]

    def rows(self, reverse: bool) -> Iterator[slice]:
        """Iterate over the rows of each step, in the order in which this direction reads them."""
        start, slices = 0, []
        for size in self.sizes:
            slices.append(slice(start, start + size))
            start += size
        return iter(slices[::-1] if reverse else slices)

    def before(self, reverse: bool, device: torch.device) -> Tensor:
        """Return index `[N]` of each row's predecessor in `cat([initial state [B], rows [N]])`."""
        sizes = torch.tensor(self.sizes)
        rows = torch.arange(int(sizes.sum()))
        batch = self.sizes[0]
        step = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        sequence = rows - (sizes.cumsum(0) - sizes)[step]
        if reverse:
            following = torch.cat([sizes[1:], sizes.new_zeros(1)])[step]
            index = torch.where(sequence < following, rows + sizes[step] + batch, sequence)
        else:
            preceding = torch.cat([sizes.new_zeros(1), sizes[:-1]])[step]
            index = torch.where(step > 0, rows - preceding + batch, sequence)
        return index.to(device)


class Weights(NamedTuple):
    """The weights of one direction of one layer; rows i,f,g,o (LSTM) or r,z,n (GRU)."""

    ih: Tensor  # [4H, D], [3H, D] or [H, D]
    hh: Tensor  # [4H, P], [3H, H] or [H, H]
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    hr: Tensor | None = None  # [P, H], the projection of an LSTM with proj_size

    def signal(self, gates: int) -> Weights:
        """Return the rows of the only signal among the gates: g (LSTM) or n (GRU)."""
        return Weights(*(None if w is None else w.chunk(gates)[2] for w in self[:4]))  # type: ignore[arg-type]


class RecurrentCall(NamedTuple):
    """One call of a recurrent layer, of any depth and one or two directions.

    Attributes:
        kind: which layer it is.
        data: `[T, B, D]`, `[B, T, D]` where `batch_first`, or the rows `[N, D]` of a packed batch.
        batch_sizes: the number of sequences with each step, int64 `[T]`; None for padded data.
        states: the initial states, h or h and c, `[layers · directions, B, ·]` each.
        flat: the weights of all layers and directions, one after the other.
        biased: whether the weights include biases.
        layers: the number of stacked layers.
        dropout: the probability of dropout between layers.
        training: whether that dropout is on.
        directions: one or two.
        batch_first: whether the batch is the first dimension of padded data.
    """

    kind: LayerKind
    data: Tensor
    batch_sizes: Tensor | None
    states: tuple[Tensor, ...]
    flat: Sequence[Tensor]
    biased: bool
    layers: int
    dropout: float
    training: bool
    directions: int
    batch_first: bool

    @property
    def packed(self) -> bool:
        """Whether the data are the rows of a packed batch."""
        return self.batch_sizes is not None

    @property
    def positional(self) -> tuple[Any, ...]:
        """The arguments in the order in which PyTorch takes them."""
        state = self.states if self.kind == "lstm" else self.states[0]
        options = (self.flat, self.biased, self.layers, self.dropout, self.training)
        if self.batch_sizes is not None:
            return (self.data, self.batch_sizes, state, *options, self.directions == 2)
        return (self.data, state, *options, self.directions == 2, self.batch_first)

    def steps(self) -> Steps:
        """Return the number of rows of each step."""
        if self.batch_sizes is not None:
            return Steps(tuple(self.batch_sizes.tolist()))
        first, second = self.data.shape[:2]
        batch, length = (first, second) if self.batch_first else (second, first)
        return Steps((batch,) * length)

    def weights(self, index: int, change: Callable[[Tensor], Tensor]) -> Weights:
        """Return the weights at `layer * directions + direction`, with `change` applied to each."""
        each = len(self.flat) // (self.layers * self.directions)
        own = [change(w) for w in self.flat[index * each : (index + 1) * each]]
        biases = own[2:4] if self.biased else [None, None]
        return Weights(own[0], own[1], *biases, *own[4 if self.biased else 2 :])

    def all_weights(self, change: Callable[[Tensor], Tensor]) -> list[Weights]:
        """Return the weights of all layers and directions, with `change` applied to each."""
        return [self.weights(k, change) for k in range(self.layers * self.directions)]

    def check_dropout(self, describe_place: Callable[[], str]) -> None:
        """Refuse dropout between layers in training mode; `describe_place` names the module.

        Raises:
            TrainingModeError: the output would change from call to call.
        """
        if self.training and self.dropout > 0 and self.layers > 1:
            raise TrainingModeError(
                f"Dropout between layers is on in {describe_place()}, so the answer changes from "
                f"call to call; call model.eval() first."
            )


class CellCall(NamedTuple):
    """One call of a recurrent cell: a layer of one step; `data` and `states` are `[B, ·]`."""

    kind: LayerKind
    data: Tensor
    states: tuple[Tensor, ...]
    flat: tuple[Tensor | None, ...]

    def weights(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """Return the weights of the cell, with `change` applied to each."""
        own: list[Any] = [None if w is None else change(w) for w in self.flat]
        return Weights(*own)

    def steps(self) -> Steps:
        """Return one step, with one row for each sequence."""
        return Steps((len(self.data),))


def parse_layer(kind: str, args: Sequence[Any]) -> RecurrentCall:
    """Parse the arguments of `torch.lstm`, `gru`, `rnn_tanh` or `rnn_relu`, padded or packed."""
    if isinstance(
        args[3], (list, tuple)
    ):  # the weights, which for padded data come one position earlier
        data, sizes, state, flat, biased, layers, dropout, training, both = args
        batch_first = False
    else:
        data, state, flat, biased, layers, dropout, training, both, batch_first = args
        sizes = None
    states = tuple(state) if isinstance(state, (tuple, list)) else (state,)
    return RecurrentCall(
        cast(LayerKind, kind), data, sizes, states, flat, biased, layers, dropout, training,
        2 if both else 1, batch_first,
    )  # fmt: skip


def parse_cell(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CellCall:
    """Parse the arguments of `torch.lstm_cell` and other cells, by position or by name."""
    names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    state = given["hx"]
    states = tuple(state) if isinstance(state, (tuple, list)) else (state,)
    flat = tuple(given.get(name) for name in names[2:])
    kind = cast(LayerKind, name.removesuffix("_cell"))
    return CellCall(kind, given["input"], states, flat)
