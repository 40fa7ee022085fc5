"""Explanations as tables: one row a word, or one row a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.explanations.record import Explanation

if TYPE_CHECKING:
    import pandas as pd

Part = tuple[int, int, Explanation]  # the document's number, a target class, its explanation


def by_word(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """One row a word and target class.

    Columns: document, id, position, token, start, end, relevance, target, target_label, against,
    against_label, predicted, predicted_label, label, label_name, method. `document` counts from 0;
    `against` is missing where a class is not compared with another.
    """
    import pandas as pd

    parts = _single(explanations)
    lengths = [len(part.tokens) for _, _, part in parts]
    offsets = np.concatenate([part.offsets for _, _, part in parts] or [np.empty((0, 2), np.int32)])
    relevance = [part.relevance for _, _, part in parts] or [np.empty(0, np.float32)]
    positions = [np.arange(n) for n in lengths] or [np.arange(0)]
    about = _about(parts)
    table = {name: column.repeat(lengths) for name, column in about.items()}
    frame = pd.DataFrame(table).reset_index(drop=True)
    frame.insert(2, "position", np.concatenate(positions))
    frame.insert(3, "token", pd.Series([t for _, _, part in parts for t in part.tokens], dtype=str))
    frame.insert(4, "start", offsets[:, 0])
    frame.insert(5, "end", offsets[:, 1])
    frame.insert(6, "relevance", np.concatenate(relevance))
    return frame


def by_document(explanations: Sequence[Explanation]) -> pd.DataFrame:
    """One row a document and target class.

    Columns: document, id, text, tokens (how many), score (of the target, or how much higher it is
    than that of `against`), probability (of the target, missing where it is not known), relevance
    (summed over the words), target, target_label, against, against_label, predicted,
    predicted_label, label, label_name, method, and one for every entry of the ledger, called
    "ledger: bias" and so on.
    """
    import pandas as pd

    parts = _single(explanations)
    frame = pd.DataFrame(_about(parts))
    frame.insert(2, "text", pd.Series([part.text for _, _, part in parts], dtype=str))
    frame.insert(3, "tokens", [len(part.tokens) for _, _, part in parts])
    frame.insert(4, "score", [part.score for _, _, part in parts])
    chances = [np.nan if part.probability is None else part.probability for _, _, part in parts]
    frame.insert(5, "probability", np.array(chances, dtype=np.float64))
    frame.insert(6, "relevance", [part.relevance.sum(dtype=np.float64) for _, _, part in parts])
    for name in dict.fromkeys(name for _, _, part in parts for name in part.ledger):
        entries = [part.ledger.get(name, np.nan) for _, _, part in parts]
        frame[f"ledger: {name}"] = np.array(entries, dtype=np.float64)
    return frame


def _single(explanations: Sequence[Explanation]) -> list[Part]:
    parts: list[Part] = []
    for number, explanation in enumerate(explanations):
        if isinstance(explanation.target, str):  # "all"
            classes = range(len(explanation.labels))
            parts += [(number, target, explanation.for_target(target)) for target in classes]
        else:
            parts.append((number, explanation.target, explanation))
    return parts


def _about(parts: Sequence[Part]) -> dict[str, pd.Series]:
    import pandas as pd

    columns = {
        "document": ("int64", [number for number, _, _ in parts]),
        "id": ("str", [part.id for _, _, part in parts]),
        "target": ("int64", [target for _, target, _ in parts]),
        "target_label": ("str", [part.target_label for _, _, part in parts]),
        "against": ("Int64", [part.against for _, _, part in parts]),
        "against_label": ("str", [part.against_label for _, _, part in parts]),
        "predicted": ("int64", [part.predicted for _, _, part in parts]),
        "predicted_label": ("str", [part.predicted_label for _, _, part in parts]),
        "label": ("Int64", [part.label for _, _, part in parts]),
        "label_name": ("str", [part.label_name for _, _, part in parts]),
        "method": ("str", [part.method for _, _, part in parts]),
    }
    return {name: pd.Series(values, dtype=dtype) for name, (dtype, values) in columns.items()}
