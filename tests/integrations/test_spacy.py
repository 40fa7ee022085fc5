"""A component of a spaCy pipeline: by name, in batches, through disk and bytes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import WORDS, small_classifier, some_texts
from spacy import displacy
from spacy.tokens import Doc, DocBin

import seqlrp
from seqlrp.errors import OptionError, SavedFileError, TargetError, TextError
from seqlrp.integrations import spacy as component
from seqlrp.models.classifier import TextClassifier

PROJECT = Path(seqlrp.__file__).parents[1] / "pyproject.toml"


@spacy.registry.misc("seqlrp_tests.words.v1")  # type: ignore[untyped-decorator]
def make_words() -> TextClassifier:
    """A classifier that splits at white space, so that "film." is one token."""
    return small_classifier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    small = small_classifier()
    path = tmp_path_factory.mktemp("spacy") / "model"
    seqlrp.save(TextClassifier(small.model, small.vocabulary, small.labels), path)
    return str(path)


def pipeline(**config: Any) -> Any:
    nlp = spacy.blank("en")
    nlp.add_pipe("seqlrp", config=config)
    return nlp


TEXT = "A good film.\n\n Not dull , but very bright!"


def test_tokens_spans_and_documents_know_their_relevance(folder: str) -> None:
    classifier = seqlrp.load(folder)
    doc = pipeline(model=folder)(TEXT)
    (expected,) = seqlrp.explain(classifier, [TEXT])
    assert any(token.is_space for token in doc)
    words = [token for token in doc if not token.is_space]
    assert tuple(token.text for token in words) == expected.tokens
    found = [token._.relevance for token in words]
    np.testing.assert_allclose(found, expected.relevance, rtol=1e-6)
    assert [token._.relevance for token in doc if token.is_space] == [0.0]
    np.testing.assert_allclose(doc[1:4]._.relevance, expected.relevance[1:4].sum(), rtol=1e-6)
    assert doc[2:2]._.relevance == 0
    np.testing.assert_allclose(doc._.relevance.sum(), expected.relevance.sum(), rtol=1e-5)
    held = doc._.explanation
    assert held.tokens == expected.tokens
    assert held.ledger == expected.ledger
    assert held.parameters == expected.parameters
    np.testing.assert_array_equal(held.relevance, expected.relevance)
    chances = classifier.predict_proba([TEXT])[0]
    np.testing.assert_allclose([doc.cats["negative"], doc.cats["positive"]], chances, rtol=1e-6)


def test_pipe_gives_what_single_documents_give_in_their_order(folder: str) -> None:
    nlp = pipeline(model=folder, target="positive", options={"epsilon": 0.01}, batch_tokens=40)
    texts = [*some_texts(9), "", "  \n ", *some_texts(4, seed=1)]
    docs = list(nlp.pipe(iter(texts), batch_size=4))
    assert [doc.text for doc in docs] == texts
    for doc in docs:
        if not doc.text.strip():
            assert doc._.explanation is None
            assert doc._.relevance is None
            assert [token._.relevance for token in doc] == [None] * len(doc)
            assert doc[:]._.relevance is None
            assert doc.cats == {}
            continue
        alone = nlp(doc.text)
        np.testing.assert_allclose(doc._.relevance, alone._.relevance, rtol=1e-4, atol=1e-6)
        assert doc._.explanation.target == 1
        assert doc._.explanation.parameters["epsilon"] == 0.01


def test_a_classifier_with_other_tokens_shares_by_characters() -> None:
    nlp = pipeline(model={"@misc": "seqlrp_tests.words.v1"}, target=["positive", "negative"])
    text = "a good film.  not dull, but"
    doc = nlp(text)
    explanation = doc._.explanation
    assert explanation.against_label == "negative"
    assert explanation.tokens == ("a", "good", "film.", "not", "dull,", "but")
    relevance = dict(zip(explanation.tokens, explanation.relevance.tolist(), strict=True))
    found = {token.text: token._.relevance for token in doc}
    assert found["film"] == pytest.approx(relevance["film."] * 4 / 5)
    assert found["."] == pytest.approx(relevance["film."] / 5)
    assert found[","] == pytest.approx(relevance["dull,"] / 5)
    assert found["but"] == pytest.approx(relevance["but"])
    assert doc._.relevance.sum() == pytest.approx(explanation.relevance.sum(dtype=np.float64))


def test_a_saved_pipeline_takes_the_classifier_along(folder: str, tmp_path: Path) -> None:
    here = tmp_path / "model"
    shutil.copytree(folder, here)
    nlp = pipeline(model=str(here), target="positive")
    expected = [token._.relevance for token in nlp(TEXT)]
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(here)
    loaded = spacy.load(tmp_path / "pipeline")
    assert [token._.relevance for token in loaded(TEXT)] == pytest.approx(expected)
    with pytest.raises(SavedFileError, match=r"no classifier in .*model"):
        pipeline(model=str(here))(TEXT)
    made = pipeline(model={"@misc": "seqlrp_tests.words.v1"})
    made.to_disk(tmp_path / "made")
    assert not list((tmp_path / "made").rglob("weights*"))
    assert spacy.load(tmp_path / "made")(TEXT)._.explanation is not None


def test_displacy_shows_the_strongest_words(folder: str) -> None:
    doc = pipeline(model=folder, target="positive")(TEXT)
    spans = list(doc.spans["seqlrp"])
    largest = max(abs(token._.relevance) for token in doc)
    strong = [token.i for token in doc if abs(token._.relevance) >= 0.1 * largest]
    assert [span.start for span in spans] == strong
    for span in spans:
        assert span.label_ == ("positive" if span._.relevance > 0 else "not positive")
    shown = displacy.render(doc, style="span", options={"spans_key": "seqlrp"}, jupyter=False)
    assert "positive" in shown


def test_tokens_that_are_merged_later_have_the_sum(folder: str) -> None:
    doc = pipeline(model=folder)("a good film, not dull")
    before = [token._.relevance for token in doc]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    assert doc[1]._.relevance == pytest.approx(before[1] + before[2])
    assert doc[2]._.relevance == before[3]


def covering(widths: list[tuple[int, int]]) -> Any:
    """Places from gaps and lengths."""
    places, end = [], 0
    for gap, width in widths:
        places.append((end + gap, end + gap + width))
        end += gap + width
    return np.array(places, dtype=np.int32).reshape(-1, 2)


@given(
    tokens=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=8),
    places=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=8),
    seed=st.integers(0, 99),
)
def test_shares_agree_with_counting_characters(
    tokens: list[tuple[int, int]], places: list[tuple[int, int]], seed: int
) -> None:
    offsets, wanted = covering(tokens), covering(places)
    relevance = np.random.default_rng(seed).normal(size=len(offsets)).astype(np.float32)
    expected = np.zeros(len(wanted))
    lost = 0.0
    for value, (start, end) in zip(relevance.tolist(), offsets.tolist(), strict=True):
        inside = [sum(a <= c < b for c in range(start, end)) for a, b in wanted.tolist()]
        for k, count in enumerate(inside):
            expected[k] += value * count / sum(inside) if count else 0.0
        lost += 0.0 if sum(inside) else value
    found = component.shared(relevance, offsets, wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert found.sum() + lost == pytest.approx(relevance.sum(dtype=np.float64), abs=1e-9)


def test_what_was_found_goes_through_bytes(folder: str) -> None:
    nlp = pipeline(model=folder)
    doc = nlp(TEXT)
    (again,) = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    for copy in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), again):
        assert [t._.relevance for t in copy] == [t._.relevance for t in doc]
        assert copy._.explanation.ledger == doc._.explanation.ledger
        assert copy._.explanation.labels == doc._.explanation.labels
        np.testing.assert_array_equal(copy._.explanation.relevance, doc._.explanation.relevance)


def test_a_pipeline_on_disk_keeps_its_options(folder: str, tmp_path: Path) -> None:
    nlp = pipeline(model=folder, target="negative", method="gradient_x_input")
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    doc = again(TEXT)
    assert doc._.explanation.method == "gradient_x_input"
    assert doc._.explanation.target_label == "negative"
    assert [t._.relevance for t in doc] == [t._.relevance for t in nlp(TEXT)]
    assert again.config["components"]["seqlrp"]["model"] == folder


def test_several_labels_at_a_time(folder: str) -> None:
    doc = pipeline(model=folder, multilabel=True)(TEXT)
    scores = doc._.explanation.scores.astype(np.float64)
    np.testing.assert_allclose(list(doc.cats.values()), 1 / (1 + np.exp(-scores)), rtol=1e-6)


def test_what_is_wrong_is_said_when_the_component_is_added(folder: str) -> None:
    with pytest.raises(TargetError, match="Unknown label 'neutral'"):
        pipeline(model=folder, target="neutral")
    with pytest.raises(OptionError, match="a token has one number"):
        pipeline(model=folder, target="all")
    with pytest.raises(OptionError, match="method='lpr'"):
        pipeline(model=folder, method="lpr")
    with pytest.raises(OptionError, match="takes no option 'eps'"):
        pipeline(model=folder, options={"eps": 1})


def test_documents_of_which_nothing_can_be_asked_stay_as_they_are(folder: str) -> None:
    classifier = seqlrp.load(folder)
    texts = ["", *some_texts(5)]
    for label in classifier.labels:
        nlp = pipeline(model=folder, target=[label, "predicted"])
        for doc in nlp.pipe(texts):
            same = (
                not doc.text
                or classifier.labels[seqlrp.explain(classifier, [doc.text])[0].predicted] == label
            )
            assert (doc._.explanation is None) == same
            assert (doc.cats == {}) == same


def test_errors_go_to_the_handler_of_the_pipeline() -> None:
    def strange(text: str) -> Any:
        raise TextError("strange")

    small = small_classifier()
    classifier = TextClassifier(small.model, small.vocabulary, small.labels, strange)
    nlp = spacy.blank("en")
    pipe = component.RelevancePipe(nlp, classifier)
    doc = nlp.make_doc("strange")
    with pytest.raises(TextError, match="strange"):
        pipe(doc)
    seen: list[Any] = []
    pipe.set_error_handler(lambda name, proc, docs, error: seen.append((name, docs, error)))
    assert list(pipe.pipe([doc])) == [doc]
    assert [(name, docs) for name, docs, _ in seen] == [("seqlrp", [doc])]


def test_the_entry_point_names_what_is_there() -> None:
    entry = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["spacy_factories"]
    found = EntryPoint("seqlrp", entry["seqlrp"], "spacy_factories").load()
    assert found is component.make_relevance_pipe


def test_spacy_finds_the_component_without_an_import(folder: str, tmp_path: Path) -> None:
    """As it does where the package is installed with this entry point."""
    entry = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["spacy_factories"]
    info = tmp_path / "installed-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[spacy_factories]\nseqlrp = {entry['seqlrp']}\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(PROJECT.parent)!r}]\n"
        "import spacy; nlp = spacy.blank('en')\n"
        f"nlp.add_pipe('seqlrp', config={{'model': {folder!r}}})\n"
        f"print(nlp({WORDS[1]!r})[0]._.relevance != 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_a_folder_that_needs_its_owners_function(tmp_path: Path) -> None:
    seqlrp.save(small_classifier(), tmp_path / "own", factory=lambda _, __: small_classifier())
    with pytest.raises(OptionError, match=r"registered by spacy\.registry\.misc") as refused:
        pipeline(model=str(tmp_path / "own"))
    assert "--factory" not in str(refused.value)
