"""What a text is compared with: a vector that says nothing in the place of every word.

A method that compares splits the difference of two scores over the words, and accounts for it:

    score(text) = Σ tokens + score(baseline) + what the method fails to account for

The first two are entries of the ledger, the last is its `residual`.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError, VocabularyError, near
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.inputs import Table
from seqlrp.lrp.ledger import AGAINST_BASELINE, Entry, Ledger
from seqlrp.methods.copies import BATCH_TOKENS, CopiesExplainer
from seqlrp.methods.explainer import Forward, GradientMode

NAMED = ("zero", "mean", "pad")
OneBaseline = str | int | Tensor
Given = OneBaseline | list[OneBaseline] | tuple[OneBaseline, ...]


class Baseline:
    """A baseline as the user names it.

    Args:
        given: `"zero"`; `"mean"`, the mean row of the embedding table that reads the ids; `"pad"`,
            the row of its `padding_idx`; the id of a word, say of the unknown one (1 in a
            `seqlrp.Vocabulary`); vectors `[D]`, or `[B, T, D]` of shape of the words, where 1 in
            place of B serves every document. A list holds one for each embedding table, in the
            order in which the model first reads them.

    Raises:
        OptionError: it is none of these.
    """

    def __init__(self, given: Given = "zero") -> None:
        self.given = list(given) if isinstance(given, (list, tuple)) else [given]
        for one in self.given:
            if isinstance(one, str) and one not in NAMED:
                raise OptionError(
                    f"There is no baseline {one!r}. {near(one, NAMED)} A word is given by its id: "
                    f"1 is the unknown one in a seqlrp.Vocabulary."
                )
            vectors = isinstance(one, Tensor) and one.dtype.is_floating_point and one.ndim > 0
            number = isinstance(one, int) and not isinstance(one, bool)
            if not (vectors or number or isinstance(one, str)):
                what = f"of dtype {one.dtype}" if isinstance(one, Tensor) else repr(one)
                raise OptionError(
                    f"Got a baseline {what} of type {type(one).__name__}; expected 'zero', 'mean', "
                    f"'pad', the id of a word, or vectors [D] or [B, T, D] of floats."
                )

    @property
    def as_json(self) -> Any:
        """For the record: names and ids as they are, vectors by shape and checksum."""
        shown = [_described(one) if isinstance(one, Tensor) else one for one in self.given]
        return shown[0] if len(shown) == 1 else shown

    def of_table(self, table: Table | None) -> OneBaseline:
        """What was given for an embedding table, or for vectors handed in (None)."""
        number = 0 if table is None else table.number
        if len(self.given) > 1 and number >= len(self.given):
            raise OptionError(
                f"Got {len(self.given)} baselines, but the model reads more embedding tables than "
                f"that; give one for each."
            )
        return self.given[number if len(self.given) > 1 else 0]


def _described(vectors: Tensor) -> str:
    content = vectors.detach().cpu().contiguous().numpy().tobytes()
    return f"vectors {list(vectors.shape)}, crc32 {zlib.crc32(content):08x}"


class Blend(GradientMode):
    """Runs copies of documents between their baseline and what they are: x̃ + w (x − x̃).

    Args:
        baseline: gives x̃.
        weights: w of each word, `[N, *shape of one document's ids]`: 0 is the baseline, 1 the word
            itself, to the last digit. It must be 1 on padding.
        rows: which document each of the N copies is of, int64 `[N]`.
        documents: how many documents there are.

    Attributes:
        words: x at each reading, `[..., D]`.
        origins: x̃ at each reading, broadcastable to x.
    """

    def __init__(self, baseline: Baseline, weights: Tensor, rows: Tensor, documents: int) -> None:
        super().__init__()
        self.baseline, self.rows, self.documents = baseline, rows, documents
        self.weights = weights.reshape(-1)
        self.words: list[Tensor] = []
        self.origins: list[Tensor] = []
        self._means: dict[int, Tensor] = {}  # of the rows of each table

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, on the way between the baseline and the vectors."""
        vectors = vectors.detach()
        start = self.start(vectors, origin)
        weight = self.weights.to(vectors)[origin].masked_fill(origin == NOBODY, 1)
        self.words.append(vectors)
        self.origins.append(start)
        between = torch.lerp(start.expand(vectors.shape), vectors, weight.unsqueeze(-1))
        return super().read(between, origin)

    def start(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """x̃ of a reading, broadcastable to its vectors."""
        given = self.baseline.of_table(self.table)
        if isinstance(given, Tensor):
            return self._handed_in(given.detach().to(vectors), vectors, origin)
        if given == "zero":
            return vectors.new_zeros(vectors.shape[-1])
        if self.table is None:
            raise OptionError(
                f"Got the baseline {given!r} for vectors, which come from no embedding table; "
                f"take 'zero', or hand the vector itself in."
            )
        rows, number = self.table.rows, self.table.number
        if given == "mean":
            if number not in self._means:
                self._means[number] = rows.mean(0)
            return self._means[number]
        if given == "pad":
            if self.table.padding_idx is None:
                raise OptionError(
                    "Got the baseline 'pad', but the embedding has no padding_idx; give the id of "
                    "the word instead."
                )
            given = self.table.padding_idx
        if not 0 <= int(given) < len(rows):
            raise VocabularyError(
                f"Got the word {given} as baseline; the embedding has {len(rows)} words, 0 to "
                f"{len(rows) - 1}."
            )
        return rows[int(given)]

    def _handed_in(self, given: Tensor, vectors: Tensor, origin: Tensor) -> Tensor:
        width, document = vectors.shape[-1], self.ids_shape[1:]
        if tuple(given.shape) == (width,):
            return given
        if given.shape[1:] == document and width == 1:  # features [B, D]
            given = given.unsqueeze(-1)
        if len(given) not in (1, self.documents) or given.shape[1:] != (*document, width):
            raise OptionError(
                f"Got a baseline of shape {list(given.shape)}; expected [{width}], or "
                f"{[self.documents, *document, width]}, a vector for each word (one document "
                f"serves all)."
            )
        each = torch.Size(document).numel()
        place = origin.clamp(min=0)
        row = self.rows[place // each] if len(given) > 1 else torch.zeros_like(place)
        return given.reshape(len(given), each, width)[row, place % each]


class BaselineExplainer(CopiesExplainer):
    """A method that compares a text with a baseline; `attribution`'s ledger accounts for it.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        baseline: what stands for no word, see `Baseline`. Padding stays as it is.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: there is no such baseline.
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        baseline: Given = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        super().__init__(model, batch_tokens=batch_tokens, output=output)
        self.baseline = Baseline(baseline)

    @property
    def parameters(self) -> dict[str, Any]:
        """The baseline; how many copies run at a time does not matter."""
        return {"baseline": self.baseline.as_json}

    def blend(self, run: Forward, weights: Tensor, rows: Tensor) -> Blend:
        """A mode for copies of documents `rows` `[N]` whose words count by `weights`.

        `weights` is `[N]`, one for all words of a copy, or `[N, *document]`, one for each.
        """
        weights = weights.reshape(*weights.shape, *[1] * (run.padding.ndim - weights.ndim))
        weights = torch.where(run.padding[rows], torch.ones_like(weights), weights)
        return Blend(self.baseline, weights, rows, len(run.padding))

    def blended_scores(
        self, run: Forward, inputs: Tensor, additional: Any, weights: Tensor, rows: Tensor
    ) -> Tensor:
        """What is explained of copies, `[C or 1, N]`, without a graph; see `blend`."""

        def work(batch: Tensor) -> tuple[Tensor]:
            mode = self.blend(run, weights[batch], rows[batch])
            scores = self.answers(mode, inputs, additional, rows[batch])
            wide = torch.promote_types(scores.dtype, torch.float32)
            return (run.chosen(scores.to(wide), rows[batch]).T,)

        (found,) = self.in_order(run.padding, len(rows), work)
        return found.T

    def baseline_scores(self, run: Forward, inputs: Tensor, additional: Any) -> Tensor:
        """What is explained where every word is the baseline, `[C or 1, B]`."""
        rows = torch.arange(len(run.padding), device=run.padding.device)
        weights = torch.zeros(len(rows), dtype=run.scores.dtype, device=rows.device)
        return self.blended_scores(run, inputs, additional, weights, rows)


def account(run: Forward, relevance: Tensor, baseline: Tensor) -> Ledger:
    """Where the score went: the words and the baseline; the ledger's `residual` is the rest.

    Args:
        run: the documents.
        relevance: of their words, `[C or 1, *ids]`, 0 on padding.
        baseline: what is explained, at the baseline, `[C or 1, B]`.
    """
    with torch.no_grad():
        tokens = relevance.flatten(2).sum(2, dtype=torch.float64)
        start = torch.stack([start.to(torch.float64, copy=True) for start in run.starts])
        amounts = (tokens, baseline.detach().to(torch.float64, copy=True))
    entries = tuple(
        Entry(kind, "", "", run.shaped(amount))
        for kind, amount in zip(AGAINST_BASELINE, amounts, strict=True)
    )
    return Ledger(run.shaped(start), entries, AGAINST_BASELINE)
