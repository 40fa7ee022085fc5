"""The base class of metrics, which measure explained documents and return a table of values.

As in torchmetrics, a metric holds state: `update` adds documents, `merge` adds the state of another
metric, and `compute` returns the same table however the corpus was divided. The state holds the
values of each document, so that intervals and paired comparisons can be computed from the table.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from seqlrp.errors import InputError, LabelError, OptionError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from seqlrp.evaluation.documents import ExplainedDocuments

COLUMNS = ("document", "method", "order", "metric", "direction", "k", "value")
KEY = ["metric", "direction", "method", "order", "document", "k"]  # identifies a row
WHOLE = "all"  # the direction of a quantity for which all documents are treated alike

Need = Literal["labels", "rationales", "explainer"]


@dataclass(frozen=True)
class Quantity:
    """Describes one quantity that a metric computes, for tables and plots.

    Attributes:
        title: a short title, for table headings and axis labels.
        better: `"higher"` or `"lower"`, `"neither"` where no value is better by itself, or
            `"by direction"`: lower for the direction `"right"`, higher for `"wrong"`.
        meaning: a sentence that explains it to a newcomer, with its source.
        k: the unit of k: `"words"` or `"%"`.
        headline: whether summaries show it; a curve is not shown where its area is.
    """

    title: str
    better: Literal["higher", "lower", "neither", "by direction"]
    meaning: str
    k: str = "words"
    headline: bool = True

    def sign(self, direction: str = WHOLE) -> int:
        """Return +1 where higher is better, -1 where lower is better, 0 where neither is."""
        if self.better == "by direction":
            return -1 if direction == "right" else 1
        return {"higher": 1, "lower": -1}.get(self.better, 0)


@dataclass(frozen=True, eq=False)
class Measured:
    """The values of one quantity for N documents, at K values of k.

    Attributes:
        metric: the name of the quantity, one of the metric's `quantities`.
        values: float `[N]` or `[N, K]`; NaN, never 0 or 1, where there is nothing to measure.
        ks: the K values of k, in the unit `Quantity.k`; None for values `[N]`.
        direction: the direction of each of the N documents, or one direction for all.
    """

    metric: str
    values: npt.NDArray[np.floating]
    ks: Sequence[float] | None = None
    direction: str | Sequence[str] = WHOLE


class Metric(ABC):
    """A measure of explanations; a subclass implements `measure`.

    Attributes:
        name: the name by which `seqlrp.evaluate` finds the metric.
        quantities: the quantities it computes, by their names in the column `metric`.
        needs: what it needs besides texts: `"labels"`, `"rationales"`, or `"explainer"` for a
            metric that explains texts again, which is impossible for attributions from outside.
    """

    name: ClassVar[str]
    quantities: Mapping[str, Quantity]
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self) -> None:
        self._frames: list[pd.DataFrame] = []

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that the values depend on, as JSON values; none by default."""
        return {}

    @abstractmethod
    def measure(self, data: ExplainedDocuments) -> Iterable[Measured]:
        """Compute the values of each document; means over documents are computed later."""

    def update(self, data: ExplainedDocuments) -> None:
        """Measure documents and add a row for each value to the state.

        Raises:
            LabelError: the metric needs true classes and some are not known.
            OptionError: it needs rationales, or a method that can explain again.
        """
        self.check(data)
        for measured in self.measure(data):
            self._frames.append(_rows(measured, data, self.quantities))

    def check(self, data: ExplainedDocuments) -> None:
        """Check that the documents have everything in `needs`.

        Raises:
            LabelError: the true class of a document is not known.
            OptionError: there are no rationales, or there is no method that can explain again.
        """
        if "labels" in self.needs and None in data.labels:
            raise LabelError(
                f"{self.name!r} needs the true class of each text.",
                "Pass labels=.",
                option="labels",
                code="labels_missing",
            )
        if "rationales" in self.needs and data.rationales is None:
            raise OptionError(
                f"{self.name!r} compares with the words that people marked; pass rationales=, one "
                f"array for each text, with one number for each word.",
                option="rationales",
            )
        if "explainer" in self.needs and data.explainer is None:
            raise OptionError(
                f"{self.name!r} explains the texts again, but {data.method!r} are "
                f"attributions from outside; leave one of the two out.",
                option="methods",
                got=data.method,
            )

    def compute(self) -> pd.DataFrame:
        """Return all rows so far, with the columns `COLUMNS`, sorted by `KEY`.

        Raises:
            InputError: a document was measured twice for one method and order.
        """
        import pandas as pd

        if not self._frames:
            return pd.DataFrame(columns=list(COLUMNS))
        table = pd.concat(self._frames, ignore_index=True)
        twice = table.duplicated(KEY)
        if twice.any():
            row = table[twice].iloc[0]
            raise InputError(
                f"Document {row['document']} was measured twice for method {row['method']!r}, "
                f"order {row['order']}; each document must have a number of its own.",
                text=int(row["document"]),
            )
        return table.sort_values(KEY, ignore_index=True)

    def merge(self, *others: Self) -> None:
        """Add the state of metrics of the same class with the same options.

        Raises:
            InputError: a metric is of another class or has other options.
        """
        for other in others:
            if type(other) is not type(self) or other.parameters != self.parameters:
                raise InputError(
                    f"Cannot merge {other.name!r} with {other.parameters} into {self.name!r} with "
                    f"{self.parameters}; merge metrics of one class with the same options."
                )
            self._frames.extend(other._frames)

    def reset(self) -> None:
        """Remove all rows."""
        self._frames = []

    def fresh(self) -> Self:
        """Return a metric of the same class and options, without rows."""
        metric = copy.copy(self)
        metric.reset()
        return metric


def _rows(
    measured: Measured, data: ExplainedDocuments, quantities: Mapping[str, Quantity]
) -> pd.DataFrame:
    import pandas as pd

    if measured.metric not in quantities:
        raise OptionError(f"{measured.metric!r} is no quantity of this metric: {list(quantities)}.")
    values = np.asarray(measured.values, np.float64)
    ks = np.array([np.nan] if measured.ks is None else measured.ks, np.float64)
    values = values.reshape(len(values), -1)
    expected = (len(data.documents), len(ks))
    if values.shape != expected:
        raise InputError(
            f"Got values of shape {list(values.shape)} for {measured.metric!r}; expected "
            f"{list(expected)}, one value for each document and k."
        )
    direction = measured.direction
    directions = [direction] * len(values) if isinstance(direction, str) else list(direction)
    return pd.DataFrame(
        {
            "document": np.repeat(np.asarray(data.numbers, np.int64), len(ks)),
            "method": data.method,
            "order": np.int64(data.order),
            "metric": measured.metric,
            "direction": np.repeat(np.array(directions, object), len(ks)),
            "k": np.tile(ks, len(values)),
            "value": values.ravel(),
        }
    )
