"""`analyse` from end to end: tables, sentences, files, plots, going on after an interruption."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from samples.explained import Bag
from samples.explanations import HOSTILE
from samples.planted import PLANTED, planted_classifier, planted_corpus

import seqlrp
from seqlrp.errors import InputError, OptionError, SavedFileError
from seqlrp.text.vocabulary import Vocabulary

pytest.importorskip("sklearn")

COLUMNS = {
    "documents": ["id", "class", "strategy", "outlier", "x", "y"],
    "strategies": ["class", "strategy", "size", "share", "accuracy", "words"],
    "class_words": ["class", "word", "mean", "low", "high", "documents"],
    "shortcuts": ["candidate", "class", "verdict", "removed", "inserted", "control", "p"],
}
FAST = {"projection": "spectral", "clusters": 2}


@pytest.fixture(scope="module")
def analysis() -> seqlrp.CorpusAnalysis:
    return seqlrp.analyse(planted_classifier(), planted_corpus(), strategies=FAST, progress=False)


def test_tables_have_their_columns(analysis: seqlrp.CorpusAnalysis) -> None:
    for name, columns in COLUMNS.items():
        assert set(columns) <= set(getattr(analysis, name).columns)
    assert len(analysis.documents) == 120


def test_the_planted_word_is_named(analysis: seqlrp.CorpusAnalysis) -> None:
    assert any(PLANTED in name for name in analysis.decisive()["candidate"])
    assert PLANTED in analysis.summary()
    assert analysis.decisive(analysis.decisive()["candidate"].str.upper()).empty


def test_a_saved_analysis_is_the_same_again(
    analysis: seqlrp.CorpusAnalysis, tmp_path: Path
) -> None:
    paths = analysis.save(tmp_path / "report")
    assert all(path.is_file() for path in paths)
    again = seqlrp.CorpusAnalysis.load(tmp_path / "report")
    for name in COLUMNS:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(analysis, name))
    assert again.summary() == analysis.summary()
    assert again.made == analysis.made
    analysis.save(tmp_path / "report")  # it may be replaced
    (tmp_path / "report" / "mine.txt").touch()
    with pytest.raises(OptionError, match=r"mine\.txt"):
        analysis.save(tmp_path / "report")


def test_what_is_no_analysis_is_not_loaded(analysis: seqlrp.CorpusAnalysis, tmp_path: Path) -> None:
    with pytest.raises(SavedFileError):
        seqlrp.CorpusAnalysis.load(tmp_path)
    analysis.save(tmp_path / "report")
    (tmp_path / "report" / "shortcuts.parquet").write_bytes(b"PAR1")
    with pytest.raises(SavedFileError):
        seqlrp.CorpusAnalysis.load(tmp_path / "report")


def test_new_texts_and_units_are_asked_of_an_analysis(
    analysis: seqlrp.CorpusAnalysis, tmp_path: Path
) -> None:
    new = seqlrp.explain(planted_classifier(), planted_corpus(40, seed=5), progress=False)
    found = analysis.assign(new)
    assert found["class"].tolist() == [e.labels[e.predicted] for e in new]
    assert not found["outlier"].all()
    units = analysis.units("embedding", progress=False)
    assert PLANTED in set(units.words["word"])
    analysis.save(tmp_path / "report")
    again = seqlrp.CorpusAnalysis.load(tmp_path / "report")
    for ask in (lambda: again.assign(new), lambda: again.units("embedding")):
        with pytest.raises(OptionError, match="classifier"):
            ask()
    pd.testing.assert_frame_equal(again.assign(new, planted_classifier()), found)


def test_plots_draw_into_the_axes_they_are_given(analysis: seqlrp.CorpusAnalysis) -> None:
    axes = analysis.plot_words()
    assert analysis.plot_words(ax=axes) is axes
    axes = analysis.plot_map()
    assert analysis.plot_map(ax=axes) is axes
    axes = analysis.plot_eigenvalues()
    assert analysis.plot_eigenvalues(ax=axes) is axes
    axes = analysis.plot_shortcuts()
    assert analysis.plot_shortcuts(ax=axes) is axes
    with pytest.raises(OptionError, match="neutral"):
        analysis.plot_words("neutral")


def test_it_goes_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, analysis: seqlrp.CorpusAnalysis
) -> None:
    from seqlrp.analysis import shortcuts

    calls = []
    intervene = shortcuts.intervene

    def interrupted(candidate, *rest, **options):  # type: ignore[no-untyped-def]
        calls.append((candidate.class_, candidate.name))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return intervene(candidate, *rest, **options)

    def ask() -> seqlrp.CorpusAnalysis:
        return seqlrp.analyse(
            planted_classifier(), planted_corpus(), strategies=FAST, out=tmp_path, progress=False
        )

    monkeypatch.setattr(shortcuts, "intervene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask()
    assert (tmp_path / "unfinished").is_dir()
    again = ask()
    assert not (tmp_path / "unfinished").exists()
    assert calls[2] == calls[3]
    assert len(calls) == len(set(calls)) + 1
    pd.testing.assert_frame_equal(again.shortcuts, analysis.shortcuts)
    pd.testing.assert_frame_equal(again.strategies, analysis.strategies)


LITTLE: dict[str, tuple[list[str], str]] = {
    "one text": (["good"], "positive (1 text, one strategy) rests on: no word in particular"),
    "two equal texts": (["good film", "good film"], "positive (2 texts, one strategy)"),
    "one class": (["good a", "bright film"] * 15, "positive (30 texts"),
    "no relevance": (["a film", "a plot", "but"] * 8, "(24 texts, one strategy) rests on: no word"),
    "a class with one text": (["good"] * 5 + ["bad"], "negative (1 text, one strategy)"),
    "texts of one word": (["good", "bad", "film"] * 10, "positive ("),
    "words that the model does not know": (["xyzzy plugh"] * 6, "(6 texts, one strategy)"),
}


@pytest.mark.parametrize("name", LITTLE)
def test_little_is_analysed_all_the_same(name: str, tmp_path: Path) -> None:
    texts, said = LITTLE[name]
    found = seqlrp.analyse(planted_classifier(), texts, progress=False)
    assert len(found.documents) == len(texts)
    assert said in found.summary()
    if name in ("one text", "no relevance", "words that the model does not know"):
        assert found.summary().splitlines()[2].startswith("No")
    assert "predicted rightly" not in found.summary()  # no true class is known
    assert found.strategies["accuracy"].isna().all()
    found.save(tmp_path / "report")
    again = seqlrp.CorpusAnalysis.load(tmp_path / "report")
    assert again.summary() == found.summary()
    found.plot_map()
    found.plot_shortcuts()


@pytest.mark.slow
def test_thousands_of_classes(tmp_path: Path) -> None:
    """Each of 200 texts has a class of its own, of 5,000."""
    names = tuple(f"w{k}" for k in range(5000))
    vocabulary = Vocabulary.build([names])
    model = Bag(len(vocabulary), len(names), size=2).eval()
    angle = torch.arange(5000) / 5000 * 2 * torch.pi
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    with torch.no_grad():
        model.head.weight.copy_(circle)
        model.embedding.weight[[vocabulary.tokens.index(name) for name in names]] = circle
    classifier = seqlrp.TextClassifier(model, vocabulary, names, str.split)
    texts = [f"{name} {name}" for name in names[::25]]
    found = seqlrp.analyse(classifier, texts, strategies=FAST, progress=False)
    assert found.documents["class"].tolist() == list(names[::25])
    assert found.shortcuts["class"].nunique() <= 50
    assert found.summary().endswith("And 150 smaller classes.")
    html = found.save_html(tmp_path / "page.html").read_text("utf-8")
    assert "The 50 largest of 200 classes." in html


def test_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no text"):
        seqlrp.analyse(planted_classifier(), [], progress=False)
    with pytest.raises(OptionError, match="corpus"):
        seqlrp.analyse(planted_classifier(), "good film", progress=False)


def test_hostile_text_is_shown_and_not_run(tmp_path: Path) -> None:
    texts = [f"good {text} film" for text in HOSTILE] * 3
    found = seqlrp.analyse(
        planted_classifier(), texts, candidates=["<script>"], strategies=FAST, progress=False
    )
    html = found.save_html(tmp_path / "page.html", title="<b>title").read_text("utf-8")
    assert "<script>document.title" not in html
    assert "<img src=x" not in html
    assert "<b>title" not in html
    assert "Content-Security-Policy" in html
    assert not any(ord(c) < 32 and c not in "\t\n" for c in html)
    assert found.save_html(tmp_path).name == "index.html"
