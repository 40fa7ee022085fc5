"""Sanity checks: an explanation must depend on what the model has learnt (Adebayo et al. 2018).

Two tests whose right outcome is known. With weights made random, layer by layer from the output
down, relevance must become another one. So it must for a model that was trained on shuffled labels.
A method whose relevance stays shows the text, not the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from seqlrp.attributing import encoded_texts
from seqlrp.batching import BatchTokens
from seqlrp.errors import CorpusError, InputError, ModelError, OptionError, near
from seqlrp.evaluation.cascade import Cascade
from seqlrp.evaluation.correlation import spearman
from seqlrp.evaluation.twin import Twin, copied
from seqlrp.explain import BATCH_TOKENS, chosen_method, explain
from seqlrp.explanation import Explanation
from seqlrp.methods import Method
from seqlrp.text.corpora import Corpus
from seqlrp.training import fit as train_as_usual

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.text_classifier import TextClassifier
    from seqlrp.training import Trained


def layers_from_output(classifier: TextClassifier, text: str) -> list[str]:
    """The names of the modules that hold weights, the one nearest to the output first.

    The order is that in which they finish when the model reads a text, turned round; a module that
    is not called itself comes with the one that holds it. "" is the model, where it holds weights
    of its own.

    Raises:
        ModelError: the model holds no weights.
    """
    model = copied(classifier.model)  # because of the hooks
    names = {module: name for name, module in model.named_modules()}
    finished: dict[str, int] = {}

    def note(module: nn.Module, *_: Any) -> None:
        finished.setdefault(names[module], len(finished))

    with ExitStack() as stack:
        for module in names:
            stack.callback(module.register_forward_hook(note).remove)
        replace(classifier, model=model).scores(encoded_texts(classifier, [text]))

    def place(name: str) -> int:
        while name and name not in finished:
            name = name.rpartition(".")[0]
        return finished.get(name, len(finished))

    holding = [n for m, n in names.items() if next(m.parameters(recurse=False), None) is not None]
    if not holding:
        raise ModelError("The model holds no weights that could be made random.")
    return sorted(holding, key=place, reverse=True)


def randomise(module: nn.Module, random: torch.Generator) -> None:
    """Replace the weights that a module holds itself by normal numbers of the same size, in place.

    Each tensor keeps its root mean square, so that scores stay in the range they had. The row of an
    embedding that stands for padding stays.
    """
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            if not parameter.is_floating_point():
                continue
            size = parameter.double().square().mean().sqrt()
            drawn = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            drawn = drawn.to(parameter.device) * size
            padding = getattr(module, "padding_idx", None)
            if padding is not None and isinstance(module, nn.Embedding | nn.EmbeddingBag):
                drawn[padding] = parameter[padding].double()
            parameter.copy_(drawn)


def cascading_randomisation(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus,
    method: str | Method = "lrp",
    *,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> Cascade:
    """Make weights random, layer by layer from the output down, and compare relevance with before.

    The class that is explained stays the one that the untouched model predicts. All changes are
    made on a copy.

    Args:
        classifier: what is tested; it stays as it is.
        texts: strings, or a `Corpus`.
        method: a name in `seqlrp.METHODS`, or an object with `attribution`.
        layers: names of modules that hold weights, in the order in which they become random; by
            default all, see `layers_from_output`.
        seed: of the random weights.
        batch_tokens: the most tokens in a batch.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method.

    Returns:
        a `Cascade`: `table` has every row, `plot` the curve.

    Raises:
        OptionError: a layer that is no module with weights.
        ModelError: the model cannot be copied or explained.
    """
    import pandas as pd

    texts = list(texts.texts if isinstance(texts, Corpus) else texts)
    documents = encoded_texts(classifier, texts)
    if not documents:
        raise InputError("Got no text; the check needs some to explain.")
    chosen = chosen_method(classifier, method, options)
    twin = Twin.of(classifier, chosen)
    modules = dict(twin.model.named_modules())
    names = layers_from_output(classifier, texts[0]) if layers is None else list(layers)
    for name in names:
        if name not in modules or next(modules[name].parameters(recurse=False), None) is None:
            known = layers_from_output(classifier, texts[0])
            raise OptionError(f"{name!r} is no module that holds weights. {near(name, known)}")
    before = list(explain(classifier, texts, chosen, batch_tokens=batch_tokens, progress=False))
    random = torch.Generator().manual_seed(seed)
    done: set[nn.Parameter] = set()
    rows = list(_compared(before, before, "", 0))
    shown = None if progress is None else not progress
    for k, name in enumerate(tqdm(names, desc="randomising", unit="layer", disable=shown), 1):
        own = set(modules[name].parameters(recurse=False))
        if not own <= done:  # weights that are shared with a layer above are random already
            randomise(modules[name], random)
        done |= own
        after = twin.explain(documents, before, batch_tokens)
        rows += _compared(before, after, name, k)
    table = pd.DataFrame(rows, columns=["document", "method", "metric", "layer", "k", "value"])
    return Cascade(table, chosen.name, tuple(names), seed)


class RandomisedLabels(NamedTuple):
    """What came of a training on shuffled labels.

    `table` has rows `document`, `method`, `metric` and `value`, as that of a `Cascade`;
    `classifier` is the one trained on shuffled labels, and `accuracy` the share of them that it
    has learnt: where that is no better than chance it has learnt nothing, and the test says less.
    """

    table: pd.DataFrame
    classifier: TextClassifier
    accuracy: float


def randomised_labels(
    classifier: TextClassifier,
    train: Corpus,
    texts: Iterable[str] | Corpus,
    fit: Callable[[Corpus], TextClassifier | Trained] | None = None,
    method: str = "lrp",
    *,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> RandomisedLabels:
    """Train once more on shuffled labels, and compare the relevance of both classifiers.

    Args:
        classifier: trained on the labels as they are.
        train: what it was trained on.
        texts: strings, or a `Corpus`, to explain, for the class that `classifier` predicts.
        fit: trains a classifier on a corpus as `classifier` was; by default `seqlrp.fit` with
            nothing held out, because nothing of shuffled labels can be generalised.
        method: a name in `seqlrp.METHODS`.
        seed: of the shuffling.
        batch_tokens: the most tokens in a batch.
        progress: show bars; None shows them where stderr is a terminal.
        options: passed to the method.

    Raises:
        CorpusError: `train` has no labels.
        InputError: the new classifier splits a text in other words.
    """
    import pandas as pd

    if train.labels is None:
        raise CorpusError(f"The corpus {train.name} has no labels, expected one a text.")
    texts = list(texts.texts if isinstance(texts, Corpus) else texts)
    shuffled = replace(train, labels=np.random.default_rng(seed).permutation(train.labels))
    trained: Any
    if fit is None:
        trained = train_as_usual(shuffled, validation_fraction=0, progress=progress)
    else:
        trained = fit(shuffled)
    other: TextClassifier = getattr(trained, "classifier", trained)
    if other.labels != classifier.labels:
        raise InputError(
            f"The classifier of the shuffled labels has the classes {other.labels!r}, expected "
            f"{classifier.labels!r}."
        )
    before = explain(
        classifier, texts, method, batch_tokens=batch_tokens, progress=progress, **options
    )
    after = explain(
        other,
        texts,
        method,
        "label",
        labels=[e.predicted for e in before],
        batch_tokens=batch_tokens,
        progress=progress,
        **options,
    )
    found = other.predict(shuffled.texts, progress=progress).predicted
    table = pd.DataFrame(
        [(*row[:3], row[5]) for row in _compared(before, after, "", 0)],
        columns=["document", "method", "metric", "value"],
    )
    return RandomisedLabels(table, other, float((found == shuffled.labels).mean()))


def _compared(
    before: Iterable[Explanation], after: Iterable[Explanation], layer: str, k: int
) -> Iterable[tuple[int, str, str, str, int, float]]:
    for number, (e, other) in enumerate(zip(before, after, strict=True)):
        if e.tokens != other.tokens:
            raise InputError(f"Text {number} has other words for the two classifiers.")
        one, two = e.relevance, other.relevance
        yield number, e.method, "spearman", layer, k, spearman(one, two)
        yield number, e.method, "spearman_absolute", layer, k, spearman(np.abs(one), np.abs(two))
