"""Max-sensitivity: how much an explanation changes where the words' vectors hardly do.

Yeh et al. 2019 (sec. 4): max ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ over inputs y in a ball of radius r around x,
the maximum being taken over random points of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, OptionError
from seqlrp.evaluation.metric import Measured, Metric, Need, Quantity
from seqlrp.evaluation.twin import Twin

if TYPE_CHECKING:
    import numpy.typing as npt

    from seqlrp.evaluation.explained import Explained
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

# Words that get a vector of their own at a time.
_ROWS = 20_000


def relative_change(
    changed: npt.NDArray[np.floating], relevance: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ of relevance `[S, T]` and `[T]`: `[S]`; NaN where Φ(x) is 0."""
    wide = relevance.astype(np.float64)
    size = np.linalg.norm(wide)
    found: npt.NDArray[np.float64] = np.linalg.norm(changed.astype(np.float64) - wide, axis=1)
    return found / size if size else np.full(len(found), np.nan)


class MaxSensitivity(Metric):
    """The largest relative change of the predicted class's relevance under small noise.

    The noise of each word is drawn uniformly from a ball of `radius` times the length of its
    vector. It is put into a copy of the model in which every word of a text has a row of its own in
    the embedding, so any method is explained with it as it is.

    Args:
        radius: of the noise, as a share of a vector's length.
        samples: how many points of the ball are tried.

    Raises:
        OptionError: a radius of 0 or less, or `samples` below 1.
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
        if not 0 < radius < float("inf"):
            raise OptionError(f"Got radius={radius!r}, expected a number above 0.")
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise OptionError(f"Got samples={samples!r}, expected a whole number from 1 on.")
        self.radius = float(radius)
        self.samples = samples

    @property
    def parameters(self) -> dict[str, Any]:
        """The radius, and how many points are tried."""
        return {"radius": self.radius, "samples": self.samples}

    def measure(self, explained: Explained) -> Iterable[Measured]:
        """The figure of every document.

        Raises:
            ModelError: the model cannot be copied, or looks at ids other than by its embedding.
        """
        assert explained.explainer is not None
        twin = Twin.of(explained.classifier, explained.explainer)
        embedding = _Rows(twin.classifier)
        values = np.full(len(explained.documents), np.nan)
        chunk: list[int] = []
        for n, document in enumerate(explained.documents):
            chunk.append(n)
            size = sum(len(explained.documents[k]) for k in chunk) * (self.samples + 1)
            if size + len(document) > _ROWS or n == len(explained.documents) - 1:
                values[chunk] = self._measured(explained, twin, embedding, chunk)
                chunk = []
        yield Measured("max_sensitivity", values)

    def _measured(
        self, explained: Explained, twin: Twin, embedding: _Rows, chunk: Sequence[int]
    ) -> list[float]:
        documents, like = [], []
        embedding.clear()
        for n in chunk:
            random = np.random.default_rng([explained.seed, explained.numbers[n]])
            for sample in range(self.samples + 1):  # the first without noise
                radius = self.radius if sample else 0.0
                documents.append(embedding.with_noise(explained.documents[n], radius, random))
                like.append(explained.explanations[n])
        embedding.put()
        found = twin.explain(documents, like, explained.batch_tokens)
        values, each = [], self.samples + 1
        for first in range(0, len(found), each):
            _check_same(found[first].scores, like[first].scores)
            changed = np.stack([e.relevance for e in found[first + 1 : first + each]])
            values.append(float(relative_change(changed, like[first].relevance).max()))
        return values


class _Rows:
    """The embeddings of a copied model, with rows added for single words of single texts."""

    def __init__(self, classifier: TextClassifier) -> None:
        size = len(classifier.vocabulary)
        # One of fewer rows is of positions or the like; one of more that is, too, is not harmed.
        self.modules = [
            module
            for module in classifier.model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.num_embeddings >= size
        ]
        if not self.modules:
            raise ModelError(
                "The model has no nn.Embedding of the vocabulary, to whose vectors noise could be "
                "added; leave 'max_sensitivity' out."
            )
        self.tables = [module.weight.detach() for module in self.modules]
        self.first = max(len(table) for table in self.tables)
        self.clear()

    def clear(self) -> None:
        """Forget the rows added."""
        self.added: list[list[Tensor]] = [[] for _ in self.tables]
        self.rows = 0

    def with_noise(
        self, document: EncodedText, radius: float, random: np.random.Generator
    ) -> EncodedText:
        """The document with an id of its own for each word, whose rows are noisy."""
        for table, added in zip(self.tables, self.added, strict=True):
            vectors = table[torch.from_numpy(document.ids).to(table.device)]
            noise = torch.from_numpy(in_ball(len(vectors), vectors.shape[1], random)).to(vectors)
            added.append(vectors + radius * vectors.norm(dim=1, keepdim=True) * noise)
        first = self.first + self.rows
        self.rows += len(document)
        return replace(document, ids=np.arange(first, first + len(document)))

    def put(self) -> None:
        """Give the modules the rows added."""
        for module, table, added in zip(self.modules, self.tables, self.added, strict=True):
            between = table.new_zeros(self.first - len(table), table.shape[1])
            weight = torch.cat([table, between, *added])
            module.weight = nn.Parameter(weight, requires_grad=False)
            module.num_embeddings = len(weight)


def in_ball(count: int, size: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Points drawn uniformly from the ball of radius 1 in `size` dimensions: `[count, size]`."""
    directions = random.standard_normal((count, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found: npt.NDArray[np.float64] = directions * random.random((count, 1)) ** (1 / size)
    return found


def _check_same(found: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> None:
    if not np.allclose(found, scores, rtol=1e-3, atol=1e-4):
        raise ModelError(
            "The model's answer changes when its words get other ids with the same vectors, so it "
            "looks at ids other than by its embedding; leave 'max_sensitivity' out."
        )
