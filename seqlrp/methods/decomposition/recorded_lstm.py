"""A run that records the input of a model's LSTM and the relevance of its outputs.

Above the LSTM, the laws of relevance with ε = 0 give the relevance per unit of each output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.functions import Call
from seqlrp.engine.recurrent_calls import RecurrentCall, Steps, Weights, parse_layer
from seqlrp.errors import ModelError
from seqlrp.lrp import Options, Propagation, Stabiliser


@dataclass
class Recorded:
    """One call of `torch.lstm`: S sequences of up to L steps, N rows.

    Attributes:
        x: the rows, `[N, D]`.
        row: the row of each step, int64 `[L, S]`; 0 where there is none.
        word: the element of the ids of each step, int64 `[L, S]`; -1 where there is none.
        lengths: the length of each sequence, int64 `[S]`.
        documents: the document of each sequence, int64 `[S]`.
        h0, c0: initial states `[layers · directions, S, ·]`.
        weights: the weights by layer and direction.
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


def _record(run: RecordingRun, call: Call) -> tuple[Tensor, ...]:
    """Run an LSTM unchanged and make its outputs leaves."""
    return run.record(call)


class RecordingRun(Propagation):
    """LRP with ε = 0 from the scores down to the outputs of the LSTM, which are its leaves.

    The table of laws is that of LRP except for the LSTM.

    Args:
        model: the model; errors name its modules.
        count: the number of documents.
        words: for each call of an LSTM the word of each row that it reads, see `WordRun`.
    """

    table = Propagation.table.with_laws({}, {"lstm": _record})

    def __init__(self, model: nn.Module, count: int, words: Iterable[Tensor]) -> None:
        super().__init__(model, Options(Stabiliser(0.0)), count, account=True)
        self.recorded: list[Recorded] = []
        self._documents = count
        self._words = iter(words)

    def record(self, call: Call) -> tuple[Tensor, ...]:
        """Run an LSTM unchanged, record its input, and make its outputs leaves."""
        given = parse_layer(call.name, call.args)
        words = next(self._words)
        x = self.signal(given.data, self.require_mark(given.data), "The LSTM").detach()
        if not given.packed:
            x, words = (t.transpose(0, 1) if given.batch_first else t for t in (x, words))
            x, words = x.reshape(-1, x.shape[-1]), words.reshape(-1)
        row, exists = _rows(given.steps(), x.device)
        word = words[row].masked_fill(~exists, NOBODY)
        documents = self._document_of_each(word)
        with torch.no_grad():
            out, *finals = call.function(*(self.raw(call.args[0]), *call.args[1:]))
        rows = out.transpose(0, 1) if given.batch_first else out
        leaf = rows.reshape(len(x), -1).detach().requires_grad_()
        h, c = (final.detach().requires_grad_() for final in finals)
        h0, c0 = (self.raw(state) for state in given.states)
        weights = given.all_weights(self.raw)
        self.recorded.append(
            Recorded(
                x, row, word, exists.sum(0), documents, h0, c0, weights, given.directions,
                (leaf, h, c),
            )
        )  # fmt: skip
        last = documents.view(1, -1, 1)
        finals = [self.mark(final.clone(), documents=last) for final in (h, c)]
        return self._mark_rows(given, leaf, row, exists, documents), *finals

    def _mark_rows(
        self, given: RecurrentCall, leaf: Tensor, row: Tensor, exists: Tensor, documents: Tensor
    ) -> Tensor:
        """Return the rows `[N, ·]` in the LSTM's output layout, marked with their documents."""
        made, owners = leaf.clone(), documents.expand(exists.shape)
        if given.packed:
            of_rows = documents.new_full((len(leaf),), NOBODY)
            of_rows[row[exists]] = owners[exists]
            return self.mark(made, documents=of_rows.unsqueeze(-1))
        made, owners = made.reshape(*exists.shape, -1), owners.unsqueeze(-1)
        if given.batch_first:
            made, owners = made.transpose(0, 1).contiguous(), owners.transpose(0, 1)
        return self.mark(made.clone(), documents=owners)

    def _document_of_each(self, word: Tensor) -> Tensor:
        """Return the document of each sequence."""
        each = torch.Size(self.ids_shape).numel() // self._documents
        owner = torch.where(word >= 0, word.div(each, rounding_mode="floor"), NOBODY)
        highest = owner.amax(0)
        if bool(((owner != highest) & (owner != NOBODY)).any()):
            raise ModelError(
                f"A sequence that the LSTM in {self.describe_place()} reads holds words of several "
                f"documents; explain documents one at a time."
            )
        return highest


def _rows(steps: Steps, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row of each step, int64 `[L, S]`, 0 if there is none, and a mask of rows."""
    sizes = torch.tensor(steps.sizes)
    column = torch.arange(steps.sizes[0])
    exists = column < sizes.unsqueeze(1)
    row = (sizes.cumsum(0) - sizes).unsqueeze(1) + column
    return row.masked_fill(~exists, 0).to(device), exists.to(device)
