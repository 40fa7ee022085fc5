"""What the page asks besides explanations: curves of deletion, and fewest words to remove."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqlrp.evaluation.removal import Removal
from seqlrp.explaining.targets import PREDICTED
from seqlrp.explanations.record import Explanation
from seqlrp.serve.live_model import Answer, LiveModel
from seqlrp.show.page.units import Units, words_and_sentences

ORDERS = 10  # random orders, of which the curve of chance is the mean

Tokens = list[int]
Scores = npt.NDArray[np.float32]


async def scores_without(
    model: LiveModel, text: str, removed: Sequence[Sequence[int]], removal: Removal
) -> Scores:
    """Score variants of a text that lack some of its tokens: `[V, C]`."""
    return await asyncio.wrap_future(model.scores(text, removed, removal))


async def explanation(
    model: LiveModel, text: str, method: str, target: str, against: str | None
) -> Answer:
    """Explain a text for a class, or for one class rather than another."""
    return await asyncio.wrap_future(model.explanation(text, method, target, against))


def tokens_of(units: Units, explanation: Explanation) -> list[Tokens]:
    """The tokens of each unit, by their places in the text."""
    owner = np.searchsorted(units.spans[:, 0], explanation.offsets[:, 0], side="right") - 1
    found: list[Tokens] = [[] for _ in range(len(units))]
    for token, (unit, (start, end)) in enumerate(
        zip(owner.tolist(), explanation.offsets.tolist(), strict=True)
    ):
        if unit >= 0 and start < end and start < units.spans[unit, 1]:
            found[unit].append(token)
    return found


async def deletion_curves(
    model: LiveModel,
    text: str,
    methods: Sequence[str],
    target: str,
    against: str | None,
    removal: Removal,
    most: int,
) -> tuple[str, dict[str, list[float]], Scores | None]:
    """Remove the most relevant words one after the other; follow the probability of the class.

    Returns:
        the class; for each method the probabilities after 0, 1, 2, … words, where "chance" is the
        mean over random orders; and the scores `[C]` of the text without any word, None where it
        has none.
    """
    answers = await asyncio.gather(*(explanation(model, text, m, target, against) for m in methods))
    found = [answer.explanation for answer in answers]
    words, _ = words_and_sentences(found[0])
    tokens = tokens_of(words, found[0])
    count = min(most, len(tokens) - (removal == "delete"))
    orders = [np.argsort(-words_and_sentences(e)[0].values, kind="stable") for e in found]
    random = np.random.default_rng(0)
    orders += [random.permutation(len(tokens)) for _ in range(ORDERS)]
    removed = [
        [token for word in order[:n].tolist() for token in tokens[word]]
        for order in orders
        for n in range(count + 1)
    ]
    if removal != "delete":
        removed.append(list(range(len(found[0].tokens))))
    scores = await scores_without(model, text, removed, removal)
    empty = None if removal == "delete" else scores[-1]
    chosen = found[0].target
    assert isinstance(chosen, int)
    scored = scores[: len(orders) * (count + 1)]
    values = model.probabilities(scored)[:, chosen].reshape(len(orders), count + 1)
    curves = {m: row.tolist() for m, row in zip(methods, values, strict=False)}
    curves["chance"] = values[len(methods) :].mean(axis=0).tolist()
    return model.classifier.labels[chosen], curves, empty


async def fewest_words(
    model: LiveModel, text: str, removal: Removal, most: int
) -> tuple[list[int], Explanation, Scores, Scores]:
    """Remove the word that lowers the predicted class most, again and again until it changes.

    A greedy search: there may be a smaller set.

    Returns:
        the words by number, the explanation that they are words of, and the scores `[C]` with and
        without them.
    """
    whole = (await explanation(model, text, "lrp", PREDICTED, None)).explanation
    words, _ = words_and_sentences(whole)
    tokens = tokens_of(words, whole)
    before = (await scores_without(model, text, [[]], removal))[0]
    predicted = int(before.argmax())
    gone: list[int] = []
    after = before
    while len(gone) < min(most, len(tokens) - 1) and after.argmax() == predicted:
        left = [word for word in range(len(tokens)) if word not in gone]
        removed = [[t for w in (*gone, word) for t in tokens[w]] for word in left]
        scores = await scores_without(model, text, removed, removal)
        best = int(model.probabilities(scores)[:, predicted].argmin())
        gone.append(left[best])
        after = scores[best]
    return gone, whole, before, after
