"""A run of a model in which its LSTM is recorded: what it read, and what the scores make of it.

Up to the LSTM, each row is followed to the one word that it was made of; from there on, the laws
of relevance with ε = 0 say how much of a score one unit of each output carries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, RefusedFunctionError, TrainingModeError
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.functions import full_name, spelled
from seqlrp.lrp.options import Options
from seqlrp.lrp.propagate import Propagation
from seqlrp.lrp.recurrent import Weights

_OTHERS = frozenset(
    ("gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
)


@dataclass
class Recorded:
    """One call of `torch.lstm`: S sequences of up to L steps, N rows.

    Attributes:
        x: the rows, `[N, D]`.
        row: the row of each step, int64 `[L, S]`; 0 where there is none.
        word: which element of the ids each step is, int64 `[L, S]`; -1 where it is none.
        lengths: of each sequence, int64 `[S]`.
        documents: whose each sequence is, int64 `[S]`.
        h0, c0: initial states `[layers · directions, S, ·]`.
        weights: by layer and direction.
        directions: one or two.
        leaves: outputs `[N, ·]` and final states h, c, in the graph of γ.
    """

    x: Tensor
    row: Tensor
    word: Tensor
    lengths: Tensor
    documents: Tensor
    h0: Tensor
    c0: Tensor
    weights: list[Weights]
    directions: int
    leaves: tuple[Tensor, Tensor, Tensor]


class RecordingRun(Propagation):
    """LRP with ε = 0 from the outputs of the LSTM on, which are its leaves.

    Args:
        model: whose modules are named in errors.
        count: the number of documents.
        what: the name of the method, for errors.
    """

    def __init__(self, model: nn.Module, count: int, what: str) -> None:
        super().__init__(model, Options(0.0), count, account=True)
        self.recorded: list[Recorded] = []
        self._documents = count
        self._what = what

    @property
    def follows_documents(self) -> bool:
        """Always: words are followed as documents are, up to the LSTM."""
        return True

    def owner(self, origin: Tensor) -> Tensor | None:
        """The word of each vector, numbered after the documents, `[..., 1]`."""
        return torch.where(origin >= 0, origin + self._documents, NOBODY).unsqueeze(-1)

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """As `Propagation.call`, but an LSTM is recorded and any other recurrence refused."""
        name = spelled(function)
        packed = len(args) > 3 and isinstance(args[3], (list, tuple))
        if name in _OTHERS:
            raise RefusedFunctionError(
                f"{self._what} has equations for nn.LSTM only, but {self.place_in_words()} calls "
                f"{full_name(function)}; take another method, 'lrp' say."
            )
        if name == "lstm":
            states = args[2 if packed else 1]
            if any(self.known(state) is not None for state in states):
                self._refuse_series("starts from states that depend on the words")
            if self.known(args[0]) is not None:
                return self._lstm(function, args, packed)
        return super().call(function, args, kwargs)

    def _lstm(self, function: Callable[..., Any], args: Any, packed: bool) -> tuple[Tensor, ...]:
        if packed:
            data, sizes, states, flat, biased, layers, dropout, training, both = args
            first = False
        else:
            data, states, flat, biased, layers, dropout, training, both, first = args
        if training and dropout > 0 and layers > 1:
            raise TrainingModeError(
                f"Dropout between layers is on in {self.place_in_words()}; call model.eval() first."
            )
        mark = self.known(data)
        assert mark is not None
        words = self._word_of_each(data)
        x = self.signal(data, mark, "The LSTM").detach()
        if packed:
            steps = torch.arange(len(sizes)).unsqueeze(1)
            column = torch.arange(int(sizes[0]))
            exists = (column < sizes.unsqueeze(1)).to(x.device)
            row = ((sizes.cumsum(0) - sizes)[steps] + column).to(x.device)
        else:
            x, words = (t.transpose(0, 1) if first else t for t in (x, words))
            shape = x.shape[:2]
            exists = torch.ones(shape, dtype=torch.bool, device=x.device)
            row = torch.arange(len(exists) * shape[1], device=x.device).reshape(shape)
            x, words = x.reshape(-1, x.shape[-1]), words.reshape(-1)
        row = row.masked_fill(~exists, 0)
        word = words[row].masked_fill(~exists, NOBODY)
        documents = self._owners(word)
        with torch.no_grad():
            out, *finals = function(*(self.raw(args[0]), *args[1:]))
        rows = out.transpose(0, 1) if first else out
        leaf = rows.reshape(len(x), -1).detach().requires_grad_()
        leaves = (leaf, *(final.detach().requires_grad_() for final in finals))
        each = len(flat) // (layers * (2 if both else 1))
        weights = []
        for start in range(0, len(flat), each):
            own = [self.raw(w) for w in flat[start : start + each]]
            biases = own[2:4] if biased else [None, None]
            weights.append(Weights(own[0], own[1], *biases, *own[4 if biased else 2 :]))
        h0, c0 = (self.raw(state) for state in states)
        self.recorded.append(
            Recorded(
                x, row, word, exists.sum(0), documents, h0, c0, weights, 2 if both else 1, leaves
            )
        )
        whose = documents.expand(exists.shape)
        made = leaf.clone()
        if packed:
            owners = documents.new_full((len(x),), NOBODY)
            owners[row[exists]] = whose[exists]
            made = self.mark(made, documents=owners.unsqueeze(-1))
        else:
            made = made.reshape(*exists.shape, -1)
            owners = whose.unsqueeze(-1)
            if first:
                made, owners = made.transpose(0, 1).contiguous(), owners.transpose(0, 1)
            made = self.mark(made.clone(), documents=owners)
        return made, *(
            self.mark(final.clone(), documents=documents.view(1, -1, 1)) for final in leaves[1:]
        )

    def _word_of_each(self, data: Tensor) -> Tensor:
        """Which element of the ids each row is made of, int64 as the rows; -1: of none."""
        numbers = self.numbers(data)
        assert numbers is not None
        highest = numbers.amax(-1)
        if bool(((numbers != highest.unsqueeze(-1)) & (numbers != NOBODY)).any()):
            refuse_meeting(self._what)
        if bool(((highest >= 0) & (highest < self._documents)).any()):
            self._refuse_series("reads what another one has made")
        return torch.where(highest >= 0, highest - self._documents, NOBODY)

    def _owners(self, word: Tensor) -> Tensor:
        """The document of each sequence."""
        each = torch.Size(self.ids_shape).numel() // self._documents
        owner = torch.where(word >= 0, word.div(each, rounding_mode="floor"), NOBODY)
        highest = owner.amax(0)
        if bool(((owner != highest) & (owner != NOBODY)).any()):
            raise ModelError(
                f"A sequence that the LSTM in {self.place_in_words()} reads holds words of several "
                f"documents; explain documents one at a time."
            )
        return highest

    def _refuse_series(self, why: str) -> NoReturn:
        raise RefusedFunctionError(
            f"An LSTM in {self.place_in_words()} {why}, and {self._what} is defined where it reads "
            f"words; layers of one nn.LSTM may lie on each other. Take another method, 'lrp' say."
        )


def refuse_meeting(what: str) -> NoReturn:
    """Refuse a model in which words meet elsewhere than in an LSTM."""
    raise RefusedFunctionError(
        f"Words meet elsewhere than in the LSTM (before it, or on a way around it), where {what} "
        f"is not defined; take another method, 'lrp' say."
    )
