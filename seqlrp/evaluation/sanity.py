"""Sanity checks: explanations must depend on what the model has learnt (Adebayo et al. 2018).

Relevance must change when the weights are randomised, layer by layer from the output, and when the
model is trained on shuffled labels. If the relevance of a method stays the same, it depends on the
text and not on the model.
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

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import CorpusError, InputError, ModelError, OptionError, near
from seqlrp.evaluation.cascade import Cascade
from seqlrp.evaluation.correlation import spearman
from seqlrp.evaluation.twin import Twin, deep_copy
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, explain
from seqlrp.explaining.questions import QuestionStream
from seqlrp.explanations.record import Explanation
from seqlrp.methods import Method
from seqlrp.models.training import fit as train_as_usual
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier
    from seqlrp.models.training import Trained
    from seqlrp.text.encoded import EncodedText


def layers_from_output(classifier: TextClassifier, text: str) -> list[str]:
    """Return the names of the modules that have weights, from the output to the input.

    It is the reverse of the order in which the modules finish when the model reads a text. A module
    that is not called itself takes the place of its parent. The name of the model itself is "".

    Raises:
        ModelError: the model has no weights.
    """
    model = deep_copy(classifier.model)  # hooks are added to it
    names = {module: name for name, module in model.named_modules()}
    finished: dict[str, int] = {}

    def note(module: nn.Module, *_: Any) -> None:
        finished.setdefault(names[module], len(finished))

    with ExitStack() as stack:
        for module in names:
            stack.callback(module.register_forward_hook(note).remove)
        replace(classifier, model=model).scores(_documents(classifier, [text]))

    def place(name: str) -> int:
        while name and name not in finished:
            name = name.rpartition(".")[0]
        return finished.get(name, len(finished))

    holding = [n for m, n in names.items() if next(m.parameters(recurse=False), None) is not None]
    if not holding:
        raise ModelError("The model holds no weights that could be made random.")
    return sorted(holding, key=place, reverse=True)


def _documents(classifier: TextClassifier, texts: Iterable[str]) -> list[EncodedText]:
    return [question.document for question in QuestionStream(classifier, texts)]


def randomise(module: nn.Module, random: torch.Generator) -> None:
    """Replace a module's own weights by normal random numbers, in place.

    Each tensor keeps its root mean square, so that the scores keep their range. The padding row of
    an embedding is not changed.
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
    """Randomise weights layer by layer from the output, and compare relevance with the original.

    The class that is explained is always the one that the original model predicts. All changes are
    made in a copy.

    Args:
        classifier: the classifier, which is not changed.
        texts: strings, or a `Corpus`.
        method: a name in `seqlrp.METHODS`, or an object with `attribution`.
        layers: names of modules that have weights, in the order in which they are randomised; by
            default all, see `layers_from_output`.
        seed: the seed of the random weights.
        batch_tokens: the largest number of tokens in a batch, padding included.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method.

    Returns:
        a `Cascade`, with all values in `table` and the method `plot`.

    Raises:
        OptionError: a layer is not a module with weights.
        ModelError: the model cannot be copied or explained.
    """
    import pandas as pd

    texts = list(texts.texts if isinstance(texts, Corpus) else texts)
    documents = _documents(classifier, texts)
    if not documents:
        raise InputError("Got no text; the check needs some to explain.")
    chosen = chosen_method(classifier, method, options)
    twin = Twin.of(classifier, chosen)
    modules = dict(twin.model.named_modules())
    names = layers_from_output(classifier, texts[0]) if layers is None else list(layers)
    for name in names:
        if name not in modules or next(modules[name].parameters(recurse=False), None) is None:
            known = layers_from_output(classifier, texts[0])
            raise OptionError(
                f"{name!r} is no module that holds weights. {near(name, known)}",
                option="layers",
                got=name,
                known=tuple(known),
            )
    before = list(explain(classifier, texts, chosen, batch_tokens=batch_tokens, progress=False))
    random = torch.Generator().manual_seed(seed)
    done: set[nn.Parameter] = set()
    rows = list(_correlations(before, before, "", 0))
    shown = None if progress is None else not progress
    for k, name in enumerate(tqdm(names, desc="randomising", unit="layer", disable=shown), 1):
        own = set(modules[name].parameters(recurse=False))
        if not own <= done:  # weights that are shared with a layer above are random already
            randomise(modules[name], random)
        done |= own
        after = twin.explain(documents, before, batch_tokens)
        rows += _correlations(before, after, name, k)
    table = pd.DataFrame(rows, columns=["document", "method", "metric", "layer", "k", "value"])
    return Cascade(table, chosen.name, tuple(names), seed)


class RandomisedLabels(NamedTuple):
    """The result of `randomised_labels`.

    Attributes:
        table: rows `document`, `method`, `metric` and `value`, as in the table of a `Cascade`.
        classifier: the classifier trained on shuffled labels.
        accuracy: its accuracy on the shuffled labels; if it is no better than chance, the
            classifier has learnt nothing, and the test says less.
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
        classifier: the classifier trained on the true labels.
        train: its training corpus.
        texts: strings, or a `Corpus`, which are explained for the class that `classifier` predicts.
        fit: trains a classifier on a corpus in the same way; by default `seqlrp.fit` without
            held-out texts, because shuffled labels do not generalise.
        method: a name in `seqlrp.METHODS`.
        seed: the seed of the shuffling.
        batch_tokens: the largest number of tokens in a batch, padding included.
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
        [(*row[:3], row[5]) for row in _correlations(before, after, "", 0)],
        columns=["document", "method", "metric", "value"],
    )
    return RandomisedLabels(table, other, float((found == shuffled.labels).mean()))


def _correlations(
    before: Iterable[Explanation], after: Iterable[Explanation], layer: str, k: int
) -> Iterable[tuple[int, str, str, str, int, float]]:
    for number, (e, other) in enumerate(zip(before, after, strict=True)):
        if e.tokens != other.tokens:
            raise InputError(f"Text {number} has other words for the two classifiers.")
        one, two = e.relevance, other.relevance
        yield number, e.method, "spearman", layer, k, spearman(one, two)
        yield number, e.method, "spearman_absolute", layer, k, spearman(np.abs(one), np.abs(two))
