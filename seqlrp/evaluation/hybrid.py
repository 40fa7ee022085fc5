"""The pointing game on hybrid documents: is the most relevant word in a text of the right class?

Poerner et al. 2018 (sec. 3.1) join sentences of several classes to one document and explain each
class in it. The word with the highest relevance should be in a sentence of that class. This needs
no rationales of people.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from seqlrp.errors import InputError, LabelError
from seqlrp.evaluation.metrics.agreement import pointing, tokens_inside
from seqlrp.explanations.record import Explanation
from seqlrp.truth import Annotated

if TYPE_CHECKING:
    import pandas as pd


def hybrid_pointing(explanations: Iterable[Explanation], documents: Annotated) -> pd.DataFrame:
    """Play the pointing game for every class that occurs in a hybrid document.

    Args:
        explanations: explanations of `documents.corpus`, in order, with `target="all"`.
        documents: hybrid documents from `seqlrp.truth.hybrid_documents`.

    Returns:
        a table with a row for each document and class in it: `document`, `method`, `metric`
        ("hybrid_pointing"), `target` (the class), `value` (1 for a hit, 0 for a miss, the share of
        hits where several words are most relevant), and `chance`, the share of words in texts of
        that class, which a random order gives.

    Raises:
        InputError: the explanations are of other texts.
        LabelError: a document has a text of a class that the classifier does not have.
        TargetError: an explanation is of a single class.
    """
    import pandas as pd

    explanations = list(explanations)
    if [e.text for e in explanations] != list(documents.corpus.texts):
        raise InputError("Got explanations of other texts; explain documents.corpus, in its order.")
    rows = []
    for number, (e, spans) in enumerate(zip(explanations, documents.spans, strict=True)):
        for name in sorted({span.kind for span in spans}):
            if name not in e.labels:
                raise LabelError(
                    f"Document {number} has a text of the class {name!r}, which the classifier "
                    f"does not have; it has {', '.join(e.labels)}.",
                    got=name,
                    known=e.labels,
                    text=number,
                )
            inside = tokens_inside(e.offsets, [(s.start, s.end) for s in spans if s.kind == name])
            relevance = e.for_target(name).relevance
            hit, chance = pointing(relevance, inside), float(inside.mean())
            rows.append((number, e.method, "hybrid_pointing", name, hit, chance))
    return pd.DataFrame(rows, columns=["document", "method", "metric", "target", "value", "chance"])
