"""What a metric is: documents as a method explained them go in, a row for each figure comes out.

As in torchmetrics, a metric holds state: `update` takes a part of a corpus, `merge` takes what
another metric has seen, and `compute` gives the same for any parts in any order. The state is
what was measured of each document, so that intervals and paired comparisons can be computed later.
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

    from seqlrp.evaluation.explained import Explained

COLUMNS = ("document", "method", "order", "metric", "direction", "k", "value")
KEY = ["metric", "direction", "method", "order", "document", "k"]  # no two rows agree in these
WHOLE = "all"  # the direction of a figure for which all documents are treated alike

Need = Literal["labels", "rationales", "explainer"]


@dataclass(frozen=True)
class Quantity:
    """What is told to a reader about the figures of one name.

    Attributes:
        title: a few plain words, for a table's head and a figure's axis.
        better: `"higher"` or `"lower"`, `"neither"` where no value is better by itself, or
            `"by direction"`: lower for the direction `"right"`, higher for `"wrong"`.
        meaning: a sentence for somebody who has never heard of it, with its source.
        k: the unit of the places k: `"words"` or `"%"`.
        headline: whether it has a place in summaries; a curve whose area is there has none.
    """

    title: str
    better: Literal["higher", "lower", "neither", "by direction"]
    meaning: str
    k: str = "words"
    headline: bool = True

    def sign(self, direction: str = WHOLE) -> int:
        """+1 where higher is better, -1 where lower is, 0 where neither is."""
        if self.better == "by direction":
            return -1 if direction == "right" else 1
        return {"higher": 1, "lower": -1}.get(self.better, 0)


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of one name for N documents, at K places.

    Attributes:
        metric: the name, one of the metric's `quantities`.
        values: float `[N]` or `[N, K]`; NaN where there is nothing to measure, never 0 or 1.
        ks: the K places, in the unit that the `Quantity` says; None for values `[N]`.
        direction: for each of the N documents which way it was treated, or one for all.
    """

    metric: str
    values: npt.NDArray[np.floating]
    ks: Sequence[float] | None = None
    direction: str | Sequence[str] = WHOLE


class Metric(ABC):
    """Something that is measured of explained documents; a subclass says `measure`.

    Attributes:
        name: under which `seqlrp.evaluate` finds it.
        quantities: each name in the column `metric` of its rows, and what it means.
        needs: what must be there besides texts: `"labels"`, `"rationales"`, or `"explainer"` (it
            explains again, which attributions from outside cannot).
    """

    name: ClassVar[str]
    quantities: Mapping[str, Quantity]
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self) -> None:
        self._frames: list[pd.DataFrame] = []

    @property
    def parameters(self) -> dict[str, Any]:
        """The options that the figures depend on, JSON values; none here."""
        return {}

    @abstractmethod
    def measure(self, explained: Explained) -> Iterable[Measured]:
        """Figures of these documents alone; what is summed over documents comes later."""

    def update(self, explained: Explained) -> None:
        """Measure one part of a corpus, as one method explained it, and keep a row a figure.

        Raises:
            LabelError: the metric needs true classes and there are none.
            OptionError: it needs rationales, or a method that can explain again.
        """
        self.check(explained)
        for measured in self.measure(explained):
            self._frames.append(_rows(measured, explained, self.quantities))

    def check(self, explained: Explained) -> None:
        """Refuse documents that lack what the metric needs.

        Raises:
            LabelError, OptionError: it says what to pass.
        """
        if "labels" in self.needs and None in explained.labels:
            raise LabelError(f"{self.name!r} needs the true class of each text; pass labels=.")
        if "rationales" in self.needs and explained.rationales is None:
            raise OptionError(
                f"{self.name!r} compares with the words that people marked; pass rationales=, one "
                f"array of a number a word for each text."
            )
        if "explainer" in self.needs and explained.explainer is None:
            raise OptionError(
                f"{self.name!r} explains the texts again, but {explained.method!r} are "
                f"attributions from outside; leave one of the two out."
            )

    def compute(self) -> pd.DataFrame:
        """All rows so far, with the columns `COLUMNS`, in an order of their own.

        Raises:
            InputError: a document was measured twice in the same way.
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
                f"order {row['order']}; the parts of a corpus must have numbers of their own."
            )
        return table.sort_values(KEY, ignore_index=True)

    def merge(self, *others: Self) -> None:
        """Take over what metrics of the same kind and options have seen of other parts.

        Raises:
            InputError: another metric, or other options.
        """
        for other in others:
            if type(other) is not type(self) or other.parameters != self.parameters:
                raise InputError(
                    f"{self.name!r} with {self.parameters} cannot take over what {other.name!r} "
                    f"with {other.parameters} has seen; merge metrics of one kind."
                )
            self._frames.extend(other._frames)

    def reset(self) -> None:
        """Forget every document."""
        self._frames = []

    def fresh(self) -> Self:
        """The same metric, with the same options, which has seen nothing."""
        made = copy.copy(self)
        made.reset()
        return made


def _rows(
    measured: Measured, explained: Explained, quantities: Mapping[str, Quantity]
) -> pd.DataFrame:
    import pandas as pd

    if measured.metric not in quantities:
        raise OptionError(f"{measured.metric!r} is no quantity of this metric: {list(quantities)}.")
    values = np.asarray(measured.values, np.float64)
    ks = np.array([np.nan] if measured.ks is None else measured.ks, np.float64)
    values = values.reshape(len(values), -1)
    expected = (len(explained.documents), len(ks))
    if values.shape != expected:
        raise InputError(
            f"Got values of shape {list(values.shape)} for {measured.metric!r}; expected "
            f"{list(expected)}, one a document and place."
        )
    direction = measured.direction
    directions = [direction] * len(values) if isinstance(direction, str) else list(direction)
    each = len(ks)
    return pd.DataFrame(
        {
            "document": np.repeat(np.asarray(explained.numbers, np.int64), each),
            "method": explained.method,
            "order": np.int64(explained.order),
            "metric": measured.metric,
            "direction": np.repeat(np.array(directions, object), each),
            "k": np.tile(ks, len(values)),
            "value": values.ravel(),
        }
    )
