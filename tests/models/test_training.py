"""From labelled texts to a classifier: learnt, repeatable, counted, and refused with a reason."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from samples.classifiers import split_words

from seqlrp.errors import CorpusError, ImbalanceWarning, LabelError, NonFiniteError, OptionError
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier
from seqlrp.models.optimisation import Epoch
from seqlrp.models.training import Trained, TrainingReport, fit
from seqlrp.text.corpora import Corpus
from seqlrp.text.tokens import TokenizedText

GOOD, BAD = ("good", "bright", "fine"), ("bad", "dull", "poor")
FILLERS = ("a", "film", "plot.", "story", "very", "the", "quite", "of", "and.")


def reviews(counts: tuple[int, ...] = (40, 40), seed: int = 0) -> Corpus:
    """Fillers around a word that gives the class away; from the third class on, only fillers."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for label, count in enumerate(counts):
        for _ in range(count):
            words = list(random.choice(FILLERS, random.integers(2, 7)))
            if label < 2:
                words.insert(random.integers(len(words)), str(random.choice((BAD, GOOD)[label])))
            texts.append(" ".join(words))
            labels.append(label)
    names = ("negative", "positive", "neutral")[: len(counts)]
    return Corpus("reviews", texts, np.array(labels, dtype=np.int64), names)


def trained(corpus: Corpus | None = None, *args: Any, **options: Any) -> Trained:
    small = {"embedding": 8, "hidden": 8, "epochs": 6, "batch_size": 8, "learning_rate": 0.03}
    return fit(
        reviews() if corpus is None else corpus,
        *args,
        **{"tokenizer": split_words, "device": "cpu", "dropout": 0.1, **small, **options},
    )


@pytest.mark.parametrize(
    ("layout", "kind"), [("words", RecurrentClassifier), ("sentences", HierarchicalClassifier)]
)
def test_it_learns_what_gives_the_class_away(layout: Any, kind: type) -> None:
    classifier, report = trained(layout=layout)
    assert type(classifier.model) is kind
    assert classifier.layout == layout
    assert classifier.labels == ("negative", "positive")
    fresh = reviews(seed=1)
    predicted = classifier.predict(fresh.texts).predicted
    assert (predicted == fresh.labels).mean() > 0.9
    assert report.class_counts == {"negative": 36, "positive": 36}  # a tenth is held out
    assert report.vocabulary_size == len(classifier.vocabulary)
    assert report.vectors_found is None
    assert report.seconds >= sum(epoch.seconds for epoch in report.epochs)


def test_a_seed_gives_the_same_weights_bit_for_bit() -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        torch.rand(seed + 1)  # the state of the caller's generator must not matter
        return list(trained(seed=seed, epochs=2).classifier.model.state_dict().values())

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(first, other, strict=True)
    )


def test_the_callers_random_numbers_go_on_as_before() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    trained(epochs=1)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()


def test_an_interrupt_goes_through_and_restores_the_random_numbers() -> None:
    calls = iter(range(10_000))

    def interrupt(*_: Any) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt

    before = torch.get_rng_state()
    hook = torch.nn.modules.module.register_module_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained()
    finally:
        hook.remove()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_validation_corpus_is_used_whole() -> None:
    _, report = trained(reviews(), reviews((5, 5), seed=1))
    assert report.class_counts == {"negative": 40, "positive": 40}
    assert report.epochs[0].validation_accuracy in np.arange(11) / 10


def test_without_validation_all_epochs_are_taken() -> None:
    _, report = trained(validation_fraction=0, epochs=3)
    assert len(report.epochs) == report.best_epoch == 3
    assert report.class_counts == {"negative": 40, "positive": 40}


def test_texts_without_a_token_are_left_out_and_counted() -> None:
    corpus = reviews()
    assert corpus.labels is not None
    texts = ["", "  ", *corpus.texts]
    labels = np.concatenate([[0, 0], corpus.labels])
    _, report = trained(Corpus("gaps", texts, labels, corpus.label_names), validation_fraction=0)
    assert report.skipped == 2
    assert report.class_counts == {"negative": 40, "positive": 40}


def test_rare_classes_are_named() -> None:
    with pytest.warns(ImbalanceWarning, match=r"'positive' has 54 texts and .* 'neutral' has 9"):
        _, report = trained(reviews((36, 60, 10)), epochs=1)
    assert report.class_counts == {"negative": 32, "positive": 54, "neutral": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(reviews((10, 50)), epochs=1, validation_fraction=0)


def test_balanced_classes_bring_the_rare_one_back() -> None:
    corpus = reviews((60, 4), seed=2)
    with pytest.warns(ImbalanceWarning):
        classifier, _ = trained(
            corpus, validation_fraction=0, class_weights="balanced", epochs=4, averaging=0.0
        )
    with pytest.warns(ImbalanceWarning):
        plain, _ = trained(corpus, validation_fraction=0, epochs=4, averaging=0.0)
    fresh = reviews((0, 30), seed=3).texts
    rare = [c.predict(fresh).predicted.sum() for c in (classifier, plain)]
    assert rare[0] > rare[1]


def test_words_are_those_of_the_training_texts() -> None:
    corpus = reviews()
    classifier, report = trained(corpus, min_count=2, max_size=5, epochs=1)
    assert report.vocabulary_size == len(classifier.vocabulary) == 7
    assert set(classifier.vocabulary.tokens[2:]) <= {*FILLERS, *GOOD, *BAD}
    upper, _ = trained(
        Corpus("upper", [t.upper() for t in corpus.texts], corpus.labels, corpus.label_names),
        lowercase=False,
        epochs=1,
    )
    assert "FILM" in upper.vocabulary
    assert "film" not in upper.vocabulary


def test_vectors_are_where_training_begins(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2 3\nbad -1 -2 -3\n")
    still = {"epochs": 1, "learning_rate": 1e-9, "weight_decay": 0.0}
    classifier, report = trained(vectors=path, **{**still, "embedding": 3})
    table = classifier.model.get_parameter("embedding.weight").detach()
    rows = classifier.vocabulary.encode(["good", "bad"])
    torch.testing.assert_close(table[rows], torch.tensor([[1.0, 2, 3], [-1, -2, -3]]))
    assert (table[0] == 0).all()
    assert report.vectors_found == 2
    assert report.options["vectors"] == str(path)
    with pytest.raises(OptionError, match="Got embedding=8 for vectors of 3 numbers"):
        trained(vectors=path)


def test_the_summary_names_classes_where_they_are_few() -> None:
    counts = {f"class {k}": k + 1 for k in range(1_200)}
    record = TrainingReport("c", counts, 0, 5, None, (Epoch(0.5, None, None, 1.0),), 1, 2.0, {})
    assert "(1,200 classes of 1 to 1,200) in 2 s" in record.sentence()
    few = replace(record, class_counts={"a": 3, "b": 4})
    assert "7 texts (a 3, b 4) in 2 s" in few.sentence()


def test_the_report_is_json() -> None:
    _, report = trained(epochs=2, class_weights=(1.0, 2.0))
    kept = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert kept["options"]["class_weights"] == [1.0, 2.0]
    assert kept["options"]["seed"] == 0
    assert kept["epochs"][0]["loss"] == report.epochs[0].loss
    assert kept["best_epoch"] == report.best_epoch


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learnin_rate": 1.0}, "Unknown option 'learnin_rate'. Did you mean 'learning_rate'"),
        ({"vocabulary_size": 3}, "Unknown option 'vocabulary_size'"),
        ({"layout": "word"}, "Got layout='word'. Did you mean 'words'"),
        ({"device": "gpu"}, "Got device='gpu'"),
        ({"epochs": 0}, "Got epochs=0"),
        ({"hidden": 0}, "Got hidden=0"),
        ({"validation_fraction": 1.5}, "fraction=1.5"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        trained(**options)


def test_corpora_without_labels_or_texts() -> None:
    corpus = reviews()
    with pytest.raises(CorpusError, match="reviews has no labels, expected one a text"):
        trained(Corpus("reviews", corpus.texts, None, corpus.label_names))
    with pytest.raises(CorpusError, match="The corpus none has no texts"):
        trained(Corpus("none", [], np.zeros(0, dtype=np.int64), ("a", "b")))


def test_one_class_is_none() -> None:
    with pytest.raises(CorpusError, match="are of one class; expected two"):
        trained(reviews((20, 0)), validation_fraction=0)


def test_validation_with_other_classes() -> None:
    corpus = reviews((5, 5))
    other = Corpus("other", corpus.texts, corpus.labels, ("positive", "negative"))
    with pytest.raises(LabelError, match=r"has the classes \('positive', 'negative'\), expected"):
        trained(reviews(), other)


def test_validation_without_a_token() -> None:
    blank = Corpus("blank", [" ", ""], np.array([0, 1]), ("negative", "positive"))
    with pytest.raises(CorpusError, match="validation corpus blank holds not a single token"):
        trained(reviews(), blank)


def test_a_learning_rate_that_is_too_high() -> None:
    with pytest.raises(NonFiniteError, match="use a smaller learning_rate"):
        trained(learning_rate=1e38, clip=1e38, epochs=6)


def test_a_tokenizer_of_ones_own() -> None:
    def halves(text: str) -> TokenizedText:
        return split_words(text.replace("film", "fi lm"))

    classifier, _ = trained(tokenizer=halves, epochs=1)
    assert classifier.tokenizer is halves
    assert "lm" in classifier.vocabulary


def test_a_spacy_pipeline_may_split_the_texts() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    classifier, _ = trained(tokenizer=nlp, epochs=1, layout="sentences")
    assert classifier.tokenizer is nlp
    assert "plot" in classifier.vocabulary  # which split_words has with its full stop
    (encoded,) = classifier.encode(["Good plot. Dull story."])
    assert encoded.source.sentences.tolist() == [0, 0, 0, 1, 1, 1]
    assert classifier.predict(["Good plot. Dull story."]).scores.shape == (1, 2)
