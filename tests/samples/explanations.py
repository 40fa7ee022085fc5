"""Explanations for the tests: one small and fixed, and any at all for hypothesis."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
from hypothesis import strategies as st

from seqlrp.explanations.record import Explanation

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'><svg onload=document.title='owned'>",
    "</style></title></textarea><style>*{display:none}</style>",
    "<!-- --> ]]> <![CDATA[ &amp; &lt;b&gt; &#0; {{7*7}} ${x}",
    "\u202eoverride never closed \u2067isolate neither",
    "NUL \x00 ESC \x1b[31m DEL \x7f C1 \x9b NEL \x85 FF \x0c BOM \ufeff FFFE \ufffe",
    "tab\there\nline\r\nCRLF\rCR  two   three \u2028 separator \u00a0 nbsp ",
    "هذا الفيلم رائع ולא משעמם",
    "👍🏽 👩‍👩‍👧‍👦 🇫🇷 e\u0301 日本語",
    "javascript:document.title='owned'",
)


# Fields of an explanation of every class, for the text of `explanation()`.
EVERY = {
    "target": "all",
    "relevance": np.arange(16.0).reshape(2, 8) - 7,
    "ledger": {"tokens": (-28.0, 36.0), "bias": 0.5},
}


def explanation(text: str = "not a dull film , not at all", **changes: Any) -> Explanation:
    """An explanation whose words are those between white space; any field can be replaced."""
    spans = [match.span() for match in re.finditer(r"\S+", text)]
    words = len(spans)
    relevance = np.linspace(-1, 1.5, words) if words else np.zeros(0)
    fields = {
        "text": text,
        "tokens": tuple(text[start:end] for start, end in spans),
        "offsets": np.array(spans, dtype=np.int32).reshape(-1, 2),
        "relevance": relevance,
        "target": 1,
        "predicted": 1,
        "label": 0,
        "scores": np.array([-0.5, 2.25]),
        "labels": ("negative", "positive"),
        "method": "lrp",
        "parameters": {"epsilon": 0.001, "rules": {"dense": ["epsilon", None, True]}},
        "ledger": {"tokens": float(relevance.sum()), "bias": 2.25 - float(relevance.sum())},
        "id": "reviews/1",
    }
    return Explanation(**fields | changes)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    """Any explanation: any text, cut anywhere into tokens, some of which stand nowhere."""
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    spans = [span for span in itertools.pairwise(cuts) if draw(st.booleans())]
    nowhere = st.sampled_from([place for place in cuts if not any(a < place < b for a, b in spans)])
    if spans:
        spans = sorted(spans + [(place, place) for place in draw(st.lists(nowhere, max_size=3))])
    labels = draw(st.lists(texts, min_size=1, max_size=4))
    classes = st.integers(0, len(labels) - 1)
    target = draw(classes | st.just("all"))
    every = target == "all"
    others = [None] if every else [None, *(c for c in range(len(labels)) if c != target)]
    count = len(labels) * len(spans) if every else len(spans)
    relevance = np.array(draw(st.lists(numbers, min_size=count, max_size=count)), np.float32)
    floats = st.floats(-1e38, 1e38)
    chances = st.lists(st.floats(0, 1), min_size=len(labels), max_size=len(labels))
    per_class = st.lists(floats, min_size=len(labels), max_size=len(labels)).map(tuple)
    places = st.lists(st.integers(0, 4), min_size=len(spans), max_size=len(spans)).map(sorted)
    return Explanation(
        text=text,
        tokens=tuple(text[start:end] or "[CLS]" for start, end in spans),
        offsets=np.array(spans, np.int32).reshape(-1, 2),
        sentences=draw(st.none() | places.map(lambda given: np.array(given, np.int32))),
        relevance=relevance.reshape(len(labels), -1) if every else relevance,
        target=target,
        against=draw(st.sampled_from(others)),
        predicted=draw(classes),
        label=draw(st.none() | classes),
        scores=draw(st.lists(numbers, min_size=len(labels), max_size=len(labels))),
        probabilities=draw(st.none() | chances),
        labels=labels,
        method=draw(texts),
        parameters=draw(st.dictionaries(texts, json_values, max_size=3)),
        ledger=draw(st.dictionaries(texts, floats | per_class if every else floats, max_size=3)),
        id=draw(st.none() | texts),
    )


def assert_same(one: Explanation, other: Explanation) -> None:
    """Two explanations are equal in every field, bit for bit."""
    for field in dataclasses.fields(Explanation):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
            assert ours.tobytes() == theirs.tobytes(), field.name
        else:
            # repr tells 1 from 1.0 and True, and -0.0 from 0.0
            assert repr(ours) == repr(theirs), field.name
