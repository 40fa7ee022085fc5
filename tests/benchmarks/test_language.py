"""Methods on texts of which it is known what decides: LRP finds it, chance does not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.language import (
    ARTEFACT,
    Trained,
    main,
    of_artefact,
    of_hybrids,
    of_negations,
    of_words,
    trained,
)
from benchmarks.language import with_artefact as planted_in
from seqlrp.evaluation.sanity import cascading_randomisation, randomised_labels
from seqlrp.truth import sentiment_language


def test_even_a_little_training_shows_where_the_opinions_are() -> None:
    options = {"hidden": 20, "epochs": 5, "learning_rate": 0.01}
    run = trained(2000, reported=0.0, word_dropout=0.0, dropout=0.2, **options)
    assert run.accuracy > 0.8
    lrp, random = (of_words(run, method, negated=False) for method in ("lrp", "random"))
    assert lrp.auroc > 0.9 > 0.6 > random.auroc > 0.4
    assert lrp.pointing > 0.8 > 0.2 > random.pointing


# With a training of its own: half a minute


@pytest.fixture(scope="module")
def run() -> Trained:
    return trained(5000)


@pytest.mark.slow
def test_the_language_can_be_learnt(run: Trained) -> None:
    assert run.accuracy > 0.97


@pytest.mark.slow
def test_lrp_points_at_the_opinions_that_count(run: Trained) -> None:
    found = {m: of_words(run, m, negated=False) for m in ("lrp", "sensitivity", "random")}
    assert found["lrp"].auroc > 0.97
    assert found["lrp"].pointing > 0.95
    assert found["lrp"].precision > found["sensitivity"].precision + 0.1
    assert 0.4 < found["random"].auroc < 0.6
    assert found["random"].pointing == pytest.approx(found["random"].marked, abs=0.05)


@pytest.mark.slow
def test_with_a_negation_less_is_found(run: Trained) -> None:
    """The opinion and its negation: LRP names one of them, occlusion both more often."""
    plain, lrp, occlusion, random = (
        of_words(run, "lrp", negated=False),
        *(of_words(run, m, negated=True) for m in ("lrp", "occlusion", "random")),
    )
    assert random.auroc + 0.1 < lrp.auroc < plain.auroc - 0.1
    assert lrp.auroc < occlusion.auroc
    assert lrp.pointing > 0.7
    signs = of_negations(run, "lrp")
    assert signs.negation > 0.5
    assert of_negations(run, "random").opinion == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_lrp_tells_the_sentences_of_a_hybrid_apart(run: Trained) -> None:
    hits, chance, games = of_hybrids(run, "lrp")
    assert games == 200
    assert chance == pytest.approx(0.5, abs=0.01)
    assert hits > 0.8
    assert of_hybrids(run, "random")[0] == pytest.approx(chance, abs=0.12)


@pytest.mark.slow
def test_lrp_shows_the_artefact_that_a_classifier_trusts(run: Trained) -> None:
    hans = planted_in(run, 5000)
    assert ARTEFACT in hans.test.corpus.texts[0]
    assert hans.accuracy < 0.7  # everything with the artefact is "positive" to it
    lrp, random = (of_artefact(hans, method) for method in ("lrp", "random"))
    assert lrp.auroc > 0.95
    assert lrp.pointing > 0.9 > 0.2 > random.pointing


@pytest.mark.slow
def test_relevance_depends_on_what_was_learnt(run: Trained) -> None:
    part = run.test.part(range(100)).corpus
    table = cascading_randomisation(run.classifier, part, progress=False).table
    means = table[table["metric"] == "spearman"].groupby("k")["value"].mean()
    assert means[0] == pytest.approx(1)
    assert abs(means.iloc[-1]) < 0.3
    train, _ = sentiment_language(5000, 1, reported=0.3).split(0.2, 0)
    found = randomised_labels(run.classifier, train.corpus, part, progress=False)
    values = found.table[found.table["metric"] == "spearman"]["value"]
    assert abs(np.mean(values)) < 0.4


@pytest.mark.slow
def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--sentences", "400"])
    printed = capsys.readouterr().out
    assert printed.count("\nlrp ") == 5
    assert "unseen sentences classified rightly" in printed
