"""Finds the word that each row depends on which an LSTM reads.

A run that follows words in place of documents: two words that meet are refused there, as two
documents are in other runs.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from seqlrp.engine.documents import MIXED, NOBODY
from seqlrp.engine.functions import Call, Kind, full_name
from seqlrp.engine.marks import Mark
from seqlrp.engine.recurrent_calls import parse_layer
from seqlrp.errors import RefusedFunctionError
from seqlrp.lrp import Options, Propagation, Stabiliser


def _note_words(run: WordRun, call: Call) -> tuple[Tensor, ...]:
    """Run an LSTM unchanged, and note the words that it reads."""
    return run.note_words(call)


def _refuse_other(run: WordRun, call: Call) -> NoReturn:
    """Refuse other recurrences, for which the paper has no equations."""
    raise RefusedFunctionError(
        f"{run.what} has equations for nn.LSTM only, but {run.describe_place()} calls "
        f"{full_name(call.function)}; take another method, 'lrp' say."
    )


class WordRun(Propagation):
    """Follows each word up to the LSTMs, and beyond them what they have made as one more word.

    Args:
        model: the model; errors name its modules.
        count: the number of words, padding included.
        what: the name of the method, for errors.

    Attributes:
        words: for each call of an LSTM the word, an element of the ids, that each row of its input
            depends on, int64, shaped as the input without its last dimension; -1 for none.
    """

    table = Propagation.table.with_laws(
        {Kind.RECURRENCE: _refuse_other, Kind.CELL: _refuse_other}, {"lstm": _note_words}
    )

    def __init__(self, model: nn.Module, count: int, what: str) -> None:
        super().__init__(model, Options(Stabiliser(0.0)), count, account=False)
        self.words: list[Tensor] = []
        self.what = what
        self._made = count  # the number of what LSTMs have made

    @property
    def follows_documents(self) -> bool:
        """Always True: words are followed, even a single one."""
        return True

    def documents_of_ids(self, origin: Tensor) -> Tensor:
        """Return the word of each vector, `[..., 1]`."""
        return origin.unsqueeze(-1)

    def note_words(self, call: Call) -> tuple[Tensor, ...]:
        """Run an LSTM unchanged, and note the words that it reads."""
        given = parse_layer(call.name, call.args)
        given.check_dropout(self.describe_place)
        if any(self.known(state) is not None for state in given.states):
            self._refuse_series("starts from states that depend on the words")
        unknown = self.known(given.data) is None
        if unknown or any(self.known(weight) is not None for weight in given.flat):
            self.refuse(call.function, "weights that depend on the input")
        self.words.append(self._word_of_each(given.data))
        with torch.no_grad():
            results = call.function(*(self.raw(call.args[0]), *call.args[1:]))
        return tuple(self._mark_made(result) for result in results)

    def _mark_made(self, result: Tensor) -> Tensor:
        made = torch.full((1,) * result.ndim, self._made, device=result.device)
        return self.mark(self.end(result), documents=made)

    def _word_of_each(self, data: Tensor) -> Tensor:
        numbers = self.documents_of(data)
        assert numbers is not None
        highest = numbers.amax(-1)
        several = (numbers != highest.unsqueeze(-1)) & (numbers != NOBODY)
        if bool((several | (numbers == MIXED)).any()):
            refuse_meeting(self.what)
        if bool((highest == self._made).any()):
            self._refuse_series("reads what another one has made")
        return highest

    def check_documents(self, scores: Tensor, mark: Mark | None) -> None:
        """Refuse scores that depend on words other than through an LSTM."""
        found: Any = None if mark is None else mark.documents
        if self.words and found is not None and bool((found != self._made).any()):
            refuse_meeting(self.what)

    def _refuse_series(self, why: str) -> NoReturn:
        raise RefusedFunctionError(
            f"An LSTM in {self.describe_place()} {why}, and {self.what} is defined where it reads "
            f"words; layers of one nn.LSTM may lie on each other. Take another method, 'lrp' say."
        )


def refuse_meeting(what: str) -> NoReturn:
    """Refuse a model in which words interact outside of an LSTM."""
    raise RefusedFunctionError(
        f"Words meet elsewhere than in the LSTM (before it, or on a way around it), where {what} "
        f"is not defined; take another method, 'lrp' say."
    )
