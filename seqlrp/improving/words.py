"""Removes words that no text needs from a vocabulary and from the embedding that reads them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from seqlrp.errors import VocabularyError
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.models.resizing import replace_weights
from seqlrp.text.encoded import EncodedText
from seqlrp.text.vocabulary import Vocabulary


def without_words(classifier: TextClassifier, documents: Iterable[EncodedText]) -> TextClassifier:
    """Give a copy of a classifier that knows only the words of some texts.

    Its scores of these texts are the same. All other words become the unknown word.

    Raises:
        VocabularyError: there is no unknown word; or the model reads ids by something else than
            one embedding of the size of the vocabulary.
    """
    vocabulary = classifier.vocabulary
    if vocabulary.unk is None:
        raise VocabularyError(
            "No word can be removed from a vocabulary without an unknown word, for texts with "
            "that word could not be read any more.",
            "Pass words='all'.",
            option="words",
        )
    used = {vocabulary.pad, vocabulary.unk}
    for document in documents:
        used.update(document.ids.tolist())
    kept = np.array(sorted(used), np.int64)
    smaller = Vocabulary(
        [vocabulary.tokens[id_] for id_ in kept],
        vocabulary.lowercase,
        int(np.searchsorted(kept, vocabulary.pad)),
        int(np.searchsorted(kept, vocabulary.unk)),
    )
    model = copy.deepcopy(classifier.model)
    size = len(vocabulary)
    embeddings = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.num_embeddings == size
    }
    if len(embeddings) != 1 or smaller.pad != vocabulary.pad:
        raise VocabularyError(
            f"The model has {len(embeddings)} embeddings of the {size} ids of the vocabulary; "
            "words can be removed where there is one, and padding has an id that stays.",
            "Pass words='all'.",
            option="words",
        )
    ((name, module),) = embeddings.items()
    rows = module.weight.detach()[torch.from_numpy(kept).to(module.weight.device)]
    replace_weights(model, {f"{name}.weight": rows})
    if isinstance(model, RecurrentClassifier):
        model.adopt_sizes()
    return replace(classifier, model=model, vocabulary=smaller)
