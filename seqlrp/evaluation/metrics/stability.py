"""Max-sensitivity: how much relevance changes when the words' vectors change a little.

Yeh et al. 2019 (sec. 4): max ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ over inputs y in a ball of radius r around x,
estimated from random points of the ball.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, check_number
from seqlrp.evaluation.documents import ExplainedDocuments
from seqlrp.evaluation.metrics.metric import Measured, Metric, Need, Quantity
from seqlrp.evaluation.twin import Twin

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

# How many words have a vector of their own at a time.
_ROWS = 20_000


def relative_change(
    changed: npt.NDArray[np.floating], relevance: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ `[S]` of relevance `[S, T]` and `[T]`; NaN where Φ(x) is 0."""
    wide = relevance.astype(np.float64)
    size = np.linalg.norm(wide)
    found: npt.NDArray[np.float64] = np.linalg.norm(changed.astype(np.float64) - wide, axis=1)
    return found / size if size else np.full(len(found), np.nan)


class MaxSensitivity(Metric):
    """The largest relative change of the predicted class's relevance under small noise.

    The noise of each word is drawn uniformly from a ball whose radius is `radius` times the norm of
    the word's vector. It is added in a copy of the model in which every word of a text has a row of
    its own in the embedding, so that every method can be used unchanged.

    Args:
        radius: the radius of the noise as a share of the vector's norm.
        samples: how many points are drawn from the ball.

    Raises:
        OptionError: `radius` is not above 0, or `samples` is not a whole number of at least 1.
    """

    name = "max_sensitivity"
    needs: ClassVar[frozenset[Need]] = frozenset({"explainer"})
    quantities: Mapping[str, Quantity] = {
        "max_sensitivity": Quantity(
            "max-sensitivity",
            "lower",
            "The largest relative change of relevance when the words' vectors are moved a little "
            "(Yeh et al. 2019).",
        )
    }

    def __init__(self, radius: float = 0.02, samples: int = 10) -> None:
        super().__init__()
        check_number("radius", radius, above=0)
        check_number("samples", samples, least=1, whole=True)
        self.radius = float(radius)
        self.samples = samples

    @property
    def parameters(self) -> dict[str, Any]:
        """The radius and the number of samples."""
        return {"radius": self.radius, "samples": self.samples}

    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute the max-sensitivity of every document.

        Raises:
            ModelError: the model cannot be copied, or uses ids other than to look up embeddings.
        """
        assert data.explainer is not None
        twin = Twin.of(data.classifier, data.explainer)
        embedding = _EmbeddingRows(twin.classifier)
        values = np.full(len(data.documents), np.nan)
        chunk: list[int] = []
        for n, document in enumerate(data.documents):
            chunk.append(n)
            size = sum(len(data.documents[k]) for k in chunk) * (self.samples + 1)
            if size + len(document) > _ROWS or n == len(data.documents) - 1:
                values[chunk] = self._largest_changes(data, twin, embedding, chunk)
                chunk = []
        yield Measured("max_sensitivity", values)

    def _largest_changes(
        self, data: ExplainedDocuments, twin: Twin, embedding: _EmbeddingRows, chunk: Sequence[int]
    ) -> list[float]:
        documents, originals = [], []
        embedding.clear()
        for n in chunk:
            random = np.random.default_rng([data.seed, data.numbers[n]])
            for sample in range(self.samples + 1):  # the first has no noise
                radius = self.radius if sample else 0.0
                documents.append(embedding.with_noise(data.documents[n], radius, random))
                originals.append(data.explanations[n])
        embedding.assign()
        found = twin.explain(documents, originals, data.batch_tokens)
        values, each = [], self.samples + 1
        for first in range(0, len(found), each):
            _check_scores(found[first].scores, originals[first].scores)
            changed = np.stack([e.relevance for e in found[first + 1 : first + each]])
            values.append(float(relative_change(changed, originals[first].relevance).max()))
        return values


class _EmbeddingRows:
    """The embeddings of a copied model, to which rows for the words of single texts are added."""

    def __init__(self, classifier: TextClassifier) -> None:
        size = len(classifier.vocabulary)
        # An embedding with fewer rows holds positions or the like. A larger embedding of positions
        # gets rows that nothing looks up, which does no harm.
        self.modules = [
            module
            for module in classifier.model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.num_embeddings >= size
        ]
        if not self.modules:
            raise ModelError(
                "The model has no nn.Embedding of the vocabulary to add noise to; leave "
                "'max_sensitivity' out."
            )
        self.tables = [module.weight.detach() for module in self.modules]
        self.first = max(len(table) for table in self.tables)
        self.clear()

    def clear(self) -> None:
        """Remove the added rows."""
        self.added: list[list[Tensor]] = [[] for _ in self.tables]
        self.rows = 0

    def with_noise(
        self, document: EncodedText, radius: float, random: np.random.Generator
    ) -> EncodedText:
        """Add a noisy row for each word, and return the document with the ids of these rows."""
        for table, added in zip(self.tables, self.added, strict=True):
            vectors = table[torch.from_numpy(document.ids).to(table.device)]
            noise = torch.from_numpy(points_in_ball(len(vectors), vectors.shape[1], random)).to(
                vectors
            )
            added.append(vectors + radius * vectors.norm(dim=1, keepdim=True) * noise)
        first = self.first + self.rows
        self.rows += len(document)
        return replace(document, ids=np.arange(first, first + len(document)))

    def assign(self) -> None:
        """Assign the weights with the added rows to the modules."""
        for module, table, added in zip(self.modules, self.tables, self.added, strict=True):
            between = table.new_zeros(self.first - len(table), table.shape[1])
            weight = torch.cat([table, between, *added])
            module.weight = nn.Parameter(weight, requires_grad=False)
            module.num_embeddings = len(weight)


def points_in_ball(count: int, size: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw points uniformly from the unit ball in `size` dimensions: `[count, size]`."""
    directions = random.standard_normal((count, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found: npt.NDArray[np.float64] = directions * random.random((count, 1)) ** (1 / size)
    return found


def _check_scores(found: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> None:
    if not np.allclose(found, scores, rtol=1e-3, atol=1e-4):
        raise ModelError(
            "The scores change when words get other ids with the same vectors, so the model uses "
            "ids other than to look up embeddings; leave 'max_sensitivity' out."
        )
