"""The pages: their examples run, and what code can say is what code says."""

from __future__ import annotations

import dataclasses
import pkgutil
import re
import runpy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import keras as keras_oracle
from samples.classifiers import small_classifier

import seqlrp
import seqlrp.integrations.spacy  # as its entry point does where this version is installed
from seqlrp import evaluation, plots, rules
from seqlrp.engine.ledger import KINDS
from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.options import _CHOICES, DEFAULT_EPSILON, GATE_RULES
from seqlrp.lrp.table import as_markdown
from seqlrp.methods import METHODS

# Examples with these run where they are installed, as the tests of these modules do.
OPTIONAL = {"sklearn", "tokenizers"}

DOCS = Path(__file__).parents[1] / "docs"
README = Path(__file__).parents[1] / "README.md"
SITE = README.parent / "mkdocs.yml"
WITHOUT_EXAMPLES = {"architecture", "at-scale", "command-line", "results", "speed"}
PAGES = sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[str]:
    """The Python examples of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


def ran(page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """What the examples of a page leave behind, run one after the other as in a notebook."""
    for number, block in enumerate(blocks(page)):
        needed = set(re.findall(r"^(?:from|import) (\w+)", block, re.M))
        if any(find_spec(package) is None for package in needed & OPTIONAL):
            continue
        exec(compile(block, f"{page.name}, example {number}", "exec"), names)
    return names


def test_the_site_has_every_page() -> None:
    listed = re.findall(r"[-:] (\S+\.md)$", SITE.read_text("utf-8"), re.M)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_the_reference_has_every_public_name() -> None:
    pages = (DOCS / "reference").glob("*.md")
    listed = {
        name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.M)
    }
    public = {f"seqlrp.{name}" for name in seqlrp.__all__} - {"seqlrp.METHODS", "seqlrp.METRICS"}
    assert public <= listed
    public = {f"seqlrp.evaluation.{name}" for name in evaluation.__all__}
    public -= {"seqlrp.evaluation.METRICS", "seqlrp.evaluation.EvaluationReport"}
    assert public - {"seqlrp.evaluation.evaluate"} <= listed
    assert {f"seqlrp.show.plots.{name}" for name in plots.__all__ if name.islower()} - {
        f"seqlrp.show.plots.{name}" for name in ("method_colour", "method_marker", "method_name")
    } <= listed
    for metric in seqlrp.METRICS.values():
        assert f"seqlrp.evaluation.{metric.__name__}" in listed
    for name, method in METHODS.items():
        if name != "lrp":
            assert f"seqlrp.methods.{method.__name__}" in listed
    for name in listed:
        assert pkgutil.resolve_name(name).__doc__


@cache
def stand_in() -> seqlrp.TextClassifier:
    """A classifier with random weights that gives both answers on the corpus of the examples."""
    small = small_classifier(head_bias=True)
    small = dataclasses.replace(small, tokenizer=seqlrp.SpacyTokenizer("en"))
    found = seqlrp.explain(small, seqlrp.load_corpus("generated").part(slice(150)))
    margins = [float(e.scores[1] - e.scores[0]) for e in found]
    small.model.head.bias.data[0] += float(np.median(margins))
    return small


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seqlrp.save(stand_in(), "seqlrp-demo/model")
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    weights = keras_oracle.random_weights(blocks=4, biases=1)
    np.savez("keras.npz", *weights, inputs=x, outputs=keras_oracle.lstm(weights, x))
    ran(page, {"__name__": "__main__"})
    assert blocks(page) or page.parent.name == "reference" or page.stem in WITHOUT_EXAMPLES


def test_every_block_of_the_readme_runs_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seqlrp.save(stand_in(), "seqlrp-demo/model")
    assert len(blocks(README)) >= 2
    for number, block in enumerate(blocks(README)):  # each by itself: nothing is left from others
        exec(compile(block, f"README.md, block {number}", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "r.html").exists()


CONTRIBUTING = README.with_name("CONTRIBUTING.md")


@pytest.mark.parametrize("page", [README, CONTRIBUTING, *PAGES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (page.parent / link).exists(), f"{page.name} links to {link}, which is not there"


def test_the_readme_counts_the_methods() -> None:
    count = {18: "eighteen", 19: "nineteen", 20: "twenty", 21: "twenty-one"}[len(METHODS)]
    assert f"[{count} methods]" in README.read_text()


def test_the_functions_are_those_of_the_table() -> None:
    text = (DOCS / "reference" / "functions.md").read_text("utf-8")
    assert text == as_markdown(), "python -m seqlrp.lrp.table > docs/reference/functions.md"


def test_the_table_prints_itself(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(seqlrp.lrp.table.__file__, run_name="__main__")
    assert capsys.readouterr().out.splitlines() == as_markdown().splitlines()


def test_every_rule_and_choice_is_on_the_page_of_laws() -> None:
    text = (DOCS / "explanation" / "laws.md").read_text("utf-8")
    names = [name for name in rules.__all__ if isinstance(getattr(rules, name), type)]
    for name in names:
        if getattr(rules, name) is not MapRule:
            assert re.search(rf"=?\W{name}\(", text), f"no line of laws.md asks for {name}"
    for name in rules.COMPOSITES:
        assert f'rules="{name}"' in text
    for name in GATE_RULES:
        assert f'`"{name}"`' in text
    for option in ("attention", "on_unknown", "start"):
        assert f'{option}="{_CHOICES[option][1]}"' in text
    for kind in KINDS:
        assert f"| `{kind}` |" in text


def test_the_page_of_limits_names_the_default_epsilon() -> None:
    text = (DOCS / "explanation" / "limits.md").read_text("utf-8")
    found = re.search(r'`epsilon="(\S+)"` \(`seqlrp.lrp.options.DEFAULT_EPSILON`', text)
    assert found
    assert found.group(1) == DEFAULT_EPSILON
