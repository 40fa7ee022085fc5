"""Baselines: neutral vectors in place of every word, with which a text is compared.

A method with a baseline divides the difference of two scores among the words:

    score(text) = Σ tokens + score(baseline) + residual

The first two are entries of the ledger, the last is its `residual`, which the method misses.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.explainer import Forward
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.engine.inputs import EmbeddingTable, Reading
from seqlrp.engine.ledger import AGAINST_BASELINE, Entry, Ledger
from seqlrp.errors import OptionError, VocabularyError, near
from seqlrp.methods.copies import BATCH_TOKENS, CopiesExplainer

NAMED = ("zero", "mean", "pad")
OneBaseline = str | int | Tensor
AnyBaseline = OneBaseline | list[OneBaseline] | tuple[OneBaseline, ...]


class Baseline:
    """A baseline, as specified by the user.

    Args:
        baseline: `"zero"`; `"mean"`, the mean row of the embedding table that reads the ids;
            `"pad"`, the row of its `padding_idx`; the id of a word, such as the unknown one (1 in a
            `seqlrp.Vocabulary`); vectors `[D]`, or `[B, T, D]` shaped as the words, or
            `[1, T, D]` for all documents. A list has one baseline for each embedding table, in
            the order in which the model first reads them.

    Raises:
        OptionError: the baseline is none of these.
    """

    def __init__(self, baseline: AnyBaseline = "zero") -> None:
        self.each = list(baseline) if isinstance(baseline, (list, tuple)) else [baseline]
        for one in self.each:
            vectors = isinstance(one, Tensor) and one.dtype.is_floating_point and one.ndim > 0
            number = isinstance(one, int) and not isinstance(one, bool)
            if isinstance(one, str) and one not in NAMED:
                raise OptionError(
                    f"Got baseline={one!r}. {near(one, NAMED)} A word is given by its id: 1 is the "
                    f"unknown one in a seqlrp.Vocabulary.",
                    option="baseline",
                    got=one,
                    known=NAMED,
                )
            if not (vectors or number or isinstance(one, str)):
                what = f"of dtype {one.dtype}" if isinstance(one, Tensor) else repr(one)
                raise OptionError(
                    f"Got a baseline {what} of type {type(one).__name__}; expected 'zero', 'mean', "
                    f"'pad', the id of a word, or vectors [D] or [B, T, D] of floats.",
                    option="baseline",
                    got=one,
                )

    @property
    def as_json(self) -> Any:
        """Return a JSON value: names and ids unchanged, vectors by shape and checksum."""
        shown = [_describe(one) if isinstance(one, Tensor) else one for one in self.each]
        return shown[0] if len(shown) == 1 else shown

    def of_table(self, table: EmbeddingTable | None) -> OneBaseline:
        """Return the baseline for an embedding table, or for input vectors (None)."""
        number = 0 if table is None else table.number
        if len(self.each) > 1 and number >= len(self.each):
            raise OptionError(
                f"Got {len(self.each)} baselines, but the model reads more embedding tables than "
                f"that; give one for each.",
                option="baseline",
            )
        return self.each[number if len(self.each) > 1 else 0]


def _describe(vectors: Tensor) -> str:
    content = vectors.detach().cpu().contiguous().numpy().tobytes()
    return f"vectors {list(vectors.shape)}, crc32 {zlib.crc32(content):08x}"


class BaselineVectors:
    """Finds the baseline x̃ of the vectors that one run of a model reads.

    Args:
        baseline: the baseline of every word.
        rows: the document of each of the N rows of the run, int64 `[N]`.
        documents: the number of documents.
    """

    def __init__(self, baseline: Baseline, rows: Tensor, documents: int) -> None:
        self.baseline, self.rows, self.documents = baseline, rows, documents
        self._means: dict[int, Tensor] = {}  # the mean row of each table

    def find(self, reading: Reading, ids_shape: tuple[int, ...]) -> Tensor:
        """Return x̃ of a reading of ids, broadcastable to its vectors `[..., D]`.

        Raises:
            OptionError, VocabularyError: the model has no such baseline.
        """
        vectors, origin, table = reading
        baseline = self.baseline.of_table(table)
        if isinstance(baseline, Tensor):
            return self._select(baseline.detach().to(vectors), vectors, origin, ids_shape[1:])
        if baseline == "zero":
            return vectors.new_zeros(vectors.shape[-1])
        if table is None:
            raise OptionError(
                f"Got the baseline {baseline!r} for vectors, which come from no embedding table; "
                f"take 'zero', or hand the vector itself in.",
                option="baseline",
                got=baseline,
            )
        if baseline == "mean":
            if table.number not in self._means:
                self._means[table.number] = table.rows.mean(0)
            return self._means[table.number]
        if baseline == "pad":
            if table.padding_idx is None:
                raise OptionError(
                    "Got the baseline 'pad', but the embedding has no padding_idx; give the id of "
                    "the word instead.",
                    option="baseline",
                    got="pad",
                )
            baseline = table.padding_idx
        if not 0 <= int(baseline) < len(table.rows):
            raise VocabularyError(
                f"Got the word {baseline} as baseline; the embedding has {len(table.rows)} words, "
                f"0 to {len(table.rows) - 1}.",
                option="baseline",
                got=baseline,
            )
        return table.rows[int(baseline)]

    def _select(
        self, baseline: Tensor, vectors: Tensor, origin: Tensor, document: tuple[int, ...]
    ) -> Tensor:
        """Select rows of baseline vectors `[D]` or `[B, *document, D]` for each of `vectors`."""
        width = vectors.shape[-1]
        if tuple(baseline.shape) == (width,):
            return baseline
        if baseline.shape[1:] == document and width == 1:  # features [B, D]
            baseline = baseline.unsqueeze(-1)
        if len(baseline) not in (1, self.documents) or baseline.shape[1:] != (*document, width):
            raise OptionError(
                f"Got a baseline of shape {list(baseline.shape)}; expected [{width}], or "
                f"{[self.documents, *document, width]}, a vector for each word (one document "
                f"serves all).",
                option="baseline",
            )
        each = torch.Size(document).numel()
        place = origin.clamp(min=0)
        row = self.rows[place // each] if len(baseline) > 1 else torch.zeros_like(place)
        return baseline.reshape(len(baseline), each, width)[row, place % each]


class Blend(GradientMode):
    """Runs copies of documents with vectors between baseline and words: x̃ + w (x − x̃).

    Args:
        baseline: the baseline x̃.
        weights: w of each word, `[N, *shape of one document's ids]`: 0 is the baseline, 1 exactly
            the word. It must be 1 on padding.
        rows: the document of each of the N copies, int64 `[N]`.
        documents: the number of documents.

    Attributes:
        words: x at each reading, `[..., D]`.
        origins: x̃ at each reading, broadcastable to x.
    """

    def __init__(self, baseline: Baseline, weights: Tensor, rows: Tensor, documents: int) -> None:
        super().__init__()
        self.weights = weights.reshape(-1)
        self.words: list[Tensor] = []
        self.origins: list[Tensor] = []
        self._baselines = BaselineVectors(baseline, rows, documents)

    def read(self, reading: Reading) -> Tensor:
        """Make leaves of vectors between the baseline and the words."""
        vectors, origin = reading.vectors.detach(), reading.origin
        start = self._baselines.find(reading, self.ids_shape)
        weight = self.weights.to(vectors)[origin].masked_fill(origin == NOBODY, 1)
        self.words.append(vectors)
        self.origins.append(start)
        between = torch.lerp(start.expand(vectors.shape), vectors, weight.unsqueeze(-1))
        return super().read(reading._replace(vectors=between))


class BaselineExplainer(CopiesExplainer):
    """Base class of methods that compare a text with a baseline, and account for the difference.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its scores must not depend on the padding of a
            batch.
        baseline: the vectors of absent words, see `Baseline`. Padding stays unchanged.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: there is no such baseline.
        ModelError: the model cannot be run as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        baseline: AnyBaseline = "zero",
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
        verify: bool | None = None,
    ) -> None:
        super().__init__(model, batch_tokens=batch_tokens, output=output, verify=verify)
        self.baseline = Baseline(baseline)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the baseline; the batch size does not change the result."""
        return {"baseline": self.baseline.as_json}

    def make_blend(self, run: Forward, weights: Tensor, rows: Tensor) -> Blend:
        """Create a mode for copies of documents `rows` `[N]`, blended by `weights`.

        `weights` is `[N]`, one for all words of a copy, or `[N, *document]`, one for each word.
        """
        weights = weights.reshape(*weights.shape, *[1] * (run.padding.ndim - weights.ndim))
        weights = torch.where(run.padding[rows], torch.ones_like(weights), weights)
        return Blend(self.baseline, weights, rows, len(run.padding))

    def score_blends(
        self, run: Forward, inputs: Tensor, additional: Any, weights: Tensor, rows: Tensor
    ) -> Tensor:
        """Return the target scores of copies, `[C or 1, N]`, without a graph; see `make_blend`."""

        def work(batch: Tensor) -> tuple[Tensor]:
            mode = self.make_blend(run, weights[batch], rows[batch])
            scores = self.score_copies(mode, inputs, additional, rows[batch])
            wide = torch.promote_types(scores.dtype, torch.float32)
            return (run.select(scores.to(wide), rows[batch]).T,)

        (found,) = self.map_copies(run.padding, len(rows), work)
        return found.T

    def score_baseline(self, run: Forward, inputs: Tensor, additional: Any) -> Tensor:
        """Return the target scores of the baseline, `[C or 1, B]`."""
        rows = torch.arange(len(run.padding), device=run.padding.device)
        weights = torch.zeros(len(rows), dtype=run.scores.dtype, device=rows.device)
        return self.score_blends(run, inputs, additional, weights, rows)


def baseline_ledger(run: Forward, relevance: Tensor, baseline: Tensor) -> Ledger:
    """Return the ledger of words and baseline; its `residual` is the rest of the score.

    Args:
        run: the forward pass of the documents.
        relevance: the relevance of their words, `[C or 1, *ids]`, 0 on padding.
        baseline: the target scores at the baseline, `[C or 1, B]`.
    """
    with torch.no_grad():
        tokens = relevance.flatten(2).sum(2, dtype=torch.float64)
        start = torch.stack([start.to(torch.float64, copy=True) for start in run.starts])
        amounts = (tokens, baseline.detach().to(torch.float64, copy=True))
    entries = tuple(
        Entry(kind, "", "", run.by_document(amount))
        for kind, amount in zip(AGAINST_BASELINE, amounts, strict=True)
    )
    return Ledger(run.by_document(start), entries, AGAINST_BASELINE)
