"""Deleting words: what is removed, and what the classifier then says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from samples.classifiers import WORDS, small_classifier, some_texts
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import NoEmbeddingError, OptionError
from seqlrp.evaluation.removal import Removal, Remover, scores_without
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.encoded import EncodedText


@pytest.mark.parametrize("hierarchical", [False, True])
@examples(10)
@given(st.integers(0, 1000), st.integers(1, 200))
@example(0, 5)  # the words of the vocabulary in several batches, the last one smaller
def test_removal_does_what_it_says(hierarchical: bool, seed: int, batch_tokens: int) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    drawn = np.random.default_rng(seed)
    documents = list(classifier.encode([t for t in some_texts(12, seed) if len(t.split()) > 2]))
    removed = [drawn.choice(len(d), drawn.integers(0, len(d)), replace=False) for d in documents]
    found = {
        removal: scores_without(classifier, documents, removed, removal, batch_tokens=batch_tokens)
        for removal in ("zero", "delete", "unk", "mask")
    }
    model = classifier.model
    for k, (document, gone) in enumerate(zip(documents, removed, strict=True)):
        shorter = classifier.scores([document.without(gone)]).numpy()
        np.testing.assert_allclose(found["delete"][k], shorter[0], atol=1e-5)
        ids, words = classifier.collate([document])
        flat = ids[words]
        flat[gone] = 1
        unknown = ids.masked_scatter(words, flat)
        np.testing.assert_allclose(found["unk"][k], model(unknown).detach()[0], atol=1e-5)
        # a hook on the embedding, where the package runs a mode
        kept = torch.ones(int(words.sum()), 1)
        kept[gone] = 0
        mask = torch.zeros(*ids.shape, 1)
        mask[words] = kept

        mean = model.embedding.weight.detach()[2:].mean(0)

        def zero(module, inputs, output, mask=mask):  # type: ignore[no-untyped-def]
            return output * mask

        def hide(module, inputs, output, mask=mask, mean=mean):  # type: ignore[no-untyped-def]
            return torch.where(mask == 0, mean, output)  # padding too, which is not read

        if not hierarchical:
            for removal, hook in (("zero", zero), ("mask", hide)):
                with model.embedding.register_forward_hook(hook):
                    hooked = model(ids).detach()[0]
                np.testing.assert_allclose(found[removal][k], hooked, atol=1e-5)


def test_nothing_removed_is_the_text_itself(classifier: TextClassifier) -> None:
    texts = some_texts(9)
    documents = list(classifier.encode(texts))
    nothing = [np.zeros(0, np.int64)] * len(documents)
    for removal in ("zero", "delete", "unk", "mask"):
        scores = scores_without(classifier, documents, nothing, removal)
        np.testing.assert_allclose(scores, classifier.predict(texts).scores, atol=1e-6)
    with pytest.raises(OptionError, match="Did you mean 'zero'"):
        scores_without(classifier, documents, nothing, "zeros")


class TwoTables(nn.Module):
    """Reads two embeddings of every word, in two steps."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.one, self.two = nn.Embedding(size, 3), nn.Embedding(size, 2)
        self.head = nn.Linear(5, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = torch.cat([self.one(ids), self.two(ids)], dim=-1)
        scores: torch.Tensor = self.head(vectors.sum(1))
        return scores


@examples(10)
@given(st.integers(1, 40))
def test_a_mask_is_the_mean_of_each_table(batch_tokens: int) -> None:
    vocabulary = seqlrp.Vocabulary.build([WORDS])
    torch.manual_seed(0)
    model = TwoTables(len(vocabulary)).double().eval()
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), str.split)
    remover = Remover(classifier, "mask", batch_tokens)
    means = [table.weight.detach()[2:].mean(0) for table in (model.one, model.two)]
    for found, expected in zip(remover.mean_vectors, means, strict=True):
        torch.testing.assert_close(found, expected)
    (document,) = classifier.encode(["a good film"])
    (scores,) = remover.scores([document], [np.array([1])])
    ids = torch.from_numpy(document.ids)
    rows = [torch.stack([t.weight.detach()[i] for i in ids]) for t in (model.one, model.two)]
    for table, mean in zip(rows, means, strict=True):
        table[1] = mean
    expected = model.head(torch.cat(rows, dim=-1).sum(0)).detach()
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert [remover.max_removed(3), Remover(classifier, "delete").max_removed(3)] == [3, 2]


def test_where_there_is_no_embedding_there_is_no_mean() -> None:
    class Counts(nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.stack([(ids == 2).sum(1), (ids == 3).sum(1)], dim=1).double()

    vocabulary = seqlrp.Vocabulary.build([WORDS])
    classifier = TextClassifier(Counts().eval(), vocabulary, ("no", "yes"), str.split)
    (document,) = classifier.encode(["a good film"])
    with pytest.raises(NoEmbeddingError, match="use removal='delete' or 'unk'"):
        scores_without(classifier, [document], [np.array([1])], "mask")
    assert scores_without(classifier, [document], [np.array([1])], "unk").shape == (1, 2)


@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("removal", ["zero", "mask"])
def test_what_stands_for_a_word_could_be_an_embedding_of_its_own(
    hierarchical: bool, removal: Removal
) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    texts = [f"{t.rstrip('.')}. {t}" for t in some_texts(12, 1)]  # two sentences
    encoded = classifier.encode(texts)
    documents = [EncodedText(np.where(e.ids == 1, 2, e.ids), e.source) for e in encoded]
    drawn = np.random.default_rng(0)
    removed = [drawn.choice(len(d), 1 + len(d) // 3, replace=False) for d in documents]
    found = scores_without(classifier, documents, removed, removal)
    table = classifier.model.embedding.weight.data
    table[1] = table[2:].mean(0) if removal == "mask" else 0  # the unknown word, in no text
    expected = scores_without(classifier, documents, removed, "unk")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - classifier.scores(documents).numpy()).max() > 1e-3
