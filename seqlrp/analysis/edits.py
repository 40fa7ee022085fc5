"""Edits of a tokenised text: tokens taken out, put in, or put in another order.

They act on tokens and ids, not on characters, so that they work for every tokenizer, and what is
put in is read by the model exactly as it was where it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seqlrp.text.encoded import EncodedText

Integers = npt.NDArray[np.int64]


class Run(NamedTuple):
    """Neighbouring tokens with their ids, and how the vocabulary spells them."""

    ids: Integers
    tokens: tuple[str, ...]
    spelled: tuple[str, ...]


def run_of(document: EncodedText, start: int, end: int) -> Run:
    """The tokens `start` to `end` (exclusive) of a text."""
    source = document.source
    return Run(document.ids[start:end], source.tokens[start:end], source.spelled[start:end])


def joined(runs: Sequence[Run]) -> Run:
    """Runs one after the other, as one."""
    return Run(
        np.concatenate([np.zeros(0, np.int64), *(run.ids for run in runs)]),
        tuple(token for run in runs for token in run.tokens),
        tuple(token for run in runs for token in run.spelled),
    )


def written_tokens(document: EncodedText) -> Integers:
    """The places of the tokens that stand in the text; `[CLS]` and its like do not."""
    offsets = document.source.offsets
    return np.flatnonzero(offsets[:, 1] > offsets[:, 0]).astype(np.int64)


def with_runs(document: EncodedText, gaps: Sequence[int], runs: Sequence[Run]) -> EncodedText:
    """Put each run in before the token number `gap` (T puts it at the end).

    A run becomes part of the sentence of the token before it. Nothing is put before `[CLS]` or
    after `[SEP]`: gaps are brought inside the written text.
    """
    written = written_tokens(document)
    low, high = (int(written[0]), int(written[-1]) + 1) if len(written) else (0, len(document))
    source, length = document.source, len(document)
    order = sorted(range(len(runs)), key=lambda k: (gaps[k], -k))  # the last of a gap first
    put = joined([runs[k] for k in order])
    sizes = [len(runs[k].ids) for k in order]
    at = np.repeat([min(max(gaps[k], low), high) for k in order], sizes).astype(np.int64)
    # Which of the tokens of the text, and after these of those put in, stands where.
    places = np.insert(np.arange(length), at, np.arange(length, length + len(at)))
    ends = np.concatenate([[0], source.offsets[:, 1]])[at].astype(np.int32)
    first = source.sentences[:1] if length else np.zeros(1, np.int32)
    sentences = np.concatenate([first, source.sentences])[at]
    changed = replace(
        source,
        tokens=_picked(source.tokens, put.tokens, places),
        offsets=np.concatenate([source.offsets, np.stack([ends, ends], axis=1)])[places],
        sentences=np.concatenate([source.sentences, sentences])[places],
        pieces=None if source.pieces is None else _picked(source.spelled, put.spelled, places),
    )
    return EncodedText(np.concatenate([document.ids, put.ids])[places], changed)


def _picked(own: Sequence[str], put: Sequence[str], places: Integers) -> tuple[str, ...]:
    both = [*own, *put]
    return tuple([both[k] for k in places.tolist()])


def arranged(document: EncodedText, order: Integers) -> EncodedText:
    """The tokens in another order, some dropped or repeated; sentences are renumbered."""
    source = document.source
    sentences = source.sentences[order]
    numbered = np.concatenate([[0], np.cumsum(np.diff(sentences) != 0)])[: len(order)]
    tokens = [source.tokens[k] for k in order.tolist()]
    pieces = None if source.pieces is None else tuple(source.pieces[k] for k in order.tolist())
    changed = replace(
        source,
        tokens=tuple(tokens),
        offsets=source.offsets[order],
        sentences=numbered.astype(np.int32),
        pieces=pieces,
    )
    return EncodedText(document.ids[order], changed)
