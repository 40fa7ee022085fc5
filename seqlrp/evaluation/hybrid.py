"""The pointing game on hybrid documents: does the most relevant word come from the right piece?

Poerner et al. 2018 (sec. 3.1) join sentences of several classes to one document and explain each
class in it. The word of the highest relevance has to stand in a sentence of that class. Nobody has
to mark anything for that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from seqlrp.errors import InputError, LabelError
from seqlrp.evaluation.agreement import pointing, tokens_inside
from seqlrp.explanation import Explanation
from seqlrp.truth import Annotated

if TYPE_CHECKING:
    import pandas as pd


def hybrid_pointing(explanations: Iterable[Explanation], documents: Annotated) -> pd.DataFrame:
    """Play the pointing game with every class that a hybrid document has pieces of.

    Args:
        explanations: of `documents.corpus`, in order, with `target="all"`.
        documents: as `seqlrp.truth.hybrid_documents` makes them.

    Returns:
        a row for each document and class in it: `document`, `method`, `metric`
        ("hybrid_pointing"), `target` (the class), `value` (1 hit, 0 miss, between them the share of
        hits among equally relevant words), and `chance`, the share of words that stand in pieces of
        that class, which is what a random order gives.

    Raises:
        InputError: other texts than those explained.
        LabelError: a piece of a class that the classifier does not have.
        TargetError: an explanation of one class alone.
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
                    f"Document {number} has a piece of the class {name!r}, which the classifier "
                    f"does not have; it has {', '.join(e.labels)}."
                )
            inside = tokens_inside(e.offsets, [(s.start, s.end) for s in spans if s.kind == name])
            relevance = e.for_target(name).relevance
            hit, chance = pointing(relevance, inside), float(inside.mean())
            rows.append((number, e.method, "hybrid_pointing", name, hit, chance))
    return pd.DataFrame(rows, columns=["document", "method", "metric", "target", "value", "chance"])
