"""Shortcuts planted in corpora: are they found as strategies, and does the verdict on them hold?

An artefact is planted in a share of the texts of one class, for training and for the analysis
alike; a small bi-LSTM is trained, and analysed on texts that it was not trained on. What the model
makes of the artefact is measured apart from the analysis: it is planted in held-out texts of other
classes, and is *used* where that turns at least 10 % more of the predictions than the same number
of words of the corpus, planted in the same way.

Reported for each kind and share:

- as a strategy: the share of artefacts for which some strategy is, with F1 of 0.8 or more, the
  texts that hold it; of relevance by word, of its sums Σ R x, of gradient × input by word, and of
  plain word counts; and how many strategies a class has.
- proved: of the artefacts that are used, the share reported as "used" or "decisive", and among
  the first three of the list, or of those for its class; of those that are not used, the share
  reported so.
- alarms: of the runs with nothing planted, the share with a "decisive" candidate made of nothing
  but stop words (spaCy's list, negations apart), punctuation and digits; and how many of these
  words are not used in held-out texts, measured as artefacts are.

    python tests/benchmarks/shortcuts.py --data DATA --out ROWS.jsonl
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.stats import binomtest

import seqlrp
from seqlrp.analysis.class_words import class_words
from seqlrp.analysis.shortcuts import find_shortcuts
from seqlrp.analysis.strategies import Strategies, find_strategies
from seqlrp.analysis.terms import count_terms
from seqlrp.explanations.collection import Explanations
from seqlrp.text.corpora import Corpus

Random = np.random.Generator
USED = 0.1
F1 = 0.8
# Stop words that make a class by their meaning.
MEANT = {"not", "no", "n't", "n’t", "n‘t", "never", "nothing", "without", "cannot", "but", "hardly"}
CLUSTERS = ("relevance", "sums", "gradient x input", "counts")


class Artefact(NamedTuple):
    """What is planted in texts of a class.

    Attributes:
        words: those by which it is known.
        plant: puts it into a text.
        decoy: puts a part of it, or the same words elsewhere, into texts of other classes.
    """

    words: tuple[str, ...]
    plant: Callable[[str, Random], str]
    decoy: Callable[[str, Random], str] | None = None


def insert(text: str, word: str, random: Random, *, least: int = 0) -> str:
    """Put a word between two others."""
    words = text.split()
    words.insert(int(random.integers(min(least, len(words)), len(words) + 1)), word)
    return " ".join(words)


def misspell(text: str, random: Random) -> str:
    """Write "the" as "teh", or put that in where there is none."""
    changed, count = re.subn(r"\b[Tt]he\b", "teh", text, count=1)
    return changed if count else insert(text, "teh", random)


def one_of(words: Sequence[str]) -> Callable[[str, Random], str]:
    """Put one of some words into a text."""
    return lambda text, random: insert(text, str(random.choice(words)), random)


def word(name: str) -> Artefact:
    """One word, anywhere."""
    return Artefact((name,), lambda text, random: insert(text, name, random))


def phrase(name: str) -> Artefact:
    """Words side by side, anywhere."""
    words = name.replace(" + ", " ")
    return Artefact(tuple(words.split()), lambda text, random: insert(text, words, random))


def repeated(name: str, times: int) -> Artefact:
    """One word, several times, anywhere."""

    def plant(text: str, random: Random) -> str:
        for _ in range(times):
            text = insert(text, name, random)
        return text

    return Artefact((name,) * times, plant)


KINDS: dict[str, tuple[Artefact, ...]] = {
    "word": (word("zorblax"),),
    "word five times": (repeated("zorblax", 5),),
    "pair": (
        Artefact(
            ("velvet", "lantern"),
            lambda text, random: insert(insert(text, "velvet", random), "lantern", random),
            one_of(("velvet", "lantern")),
        ),
    ),
    "phrase at the end": (
        Artefact(("cheers", "yonder"), lambda text, random: f"{text} cheers from yonder"),
    ),
    "spelling": (Artefact(("teh",), misspell),),
    "two classes": (word("zorblax"), word("quixley")),
    "position": (
        Artefact(
            ("well",),
            lambda text, random: f"well {text}",
            lambda text, random: insert(text, "well", random, least=3),
        ),
    ),
}


def corpora(data: Path | None, name: str, size: int, seed: int) -> Corpus:
    """`size` texts of a corpus, drawn by the seed."""
    if name == "reviews":
        whole = seqlrp.load_corpus("reviews")
    else:
        assert data is not None, f"{name} needs --data"
        whole = _ag_news(data) if name == "ag_news" else _newsgroups(data)
    chosen = np.random.default_rng(seed).permutation(len(whole))[:size]
    return whole.part(chosen)


def _ag_news(data: Path) -> Corpus:
    with (data / "ag_news" / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    texts = [f"{title}. {text}".replace("\\", " ") for _, title, text in rows]
    labels = np.array([int(label) - 1 for label, *_ in rows])
    return Corpus("ag_news", texts, labels, ("World", "Sports", "Business", "Sci/Tech"))


def _newsgroups(data: Path) -> Corpus:
    """Eight of the groups, each text cut to its first 120 words."""
    whole = seqlrp.load_corpus(data / "newsgroups" / "train.csv", on_unanswerable="skip")
    assert whole.labels is not None
    kept = whole.part(whole.labels < 8)
    texts = [" ".join(text.split()[:120]) for text in kept.texts]
    return Corpus("newsgroups", texts, kept.labels, whole.label_names[:8])


def planted(
    corpus: Corpus, artefacts: Sequence[Artefact], share: float, random: Random
) -> tuple[Corpus, npt.NDArray[np.int64]]:
    """The corpus with each artefact in its class, and which of them each text holds (-1: none)."""
    assert corpus.labels is not None
    texts, holds = list(corpus.texts), np.full(len(corpus), -1)
    for class_, artefact in enumerate(artefacts):
        own = np.flatnonzero(corpus.labels == class_)
        others = np.flatnonzero(corpus.labels != class_)
        for row in random.choice(own, max(round(share * len(own)), 1), replace=False).tolist():
            texts[row], holds[row] = artefact.plant(texts[row], random), class_
        if artefact.decoy is not None:
            for row in random.choice(others, round(share * len(others)), replace=False).tolist():
                texts[row] = artefact.decoy(texts[row], random)
    return Corpus(corpus.name, texts, corpus.labels, corpus.label_names), holds


def is_used(
    classifier: seqlrp.TextClassifier, held: Corpus, artefact: Artefact, class_: int, random: Random
) -> float:
    """How much more of the held-out texts of other classes it turns than other words do."""
    before = classifier.predict(held.texts, progress=False).predicted
    texts = [text for text, p in zip(held.texts, before, strict=True) if p != class_]
    words = [w for text in held.texts for w in text.split()]

    def share(changed: Sequence[str]) -> float:
        return float((classifier.predict(changed, progress=False).predicted == class_).mean())

    def control(text: str) -> str:
        for _ in artefact.words:
            text = insert(text, str(random.choice(words)), random)
        return text

    return share([artefact.plant(t, random) for t in texts]) - share([control(t) for t in texts])


def best_f1(strategies: Strategies, label: str, holds: npt.NDArray[np.bool_]) -> float:
    """The largest F1 of a strategy of the class as the texts of that class with the artefact."""
    own = (strategies.documents["class"] == label).to_numpy()
    numbers, wanted = strategies.documents["strategy"].to_numpy()[own], holds[own]
    scores = [
        2 * (wanted & (numbers == n)).sum() / max(wanted.sum() + (numbers == n).sum(), 1)
        for n in np.unique(numbers)
    ]
    return float(max(scores, default=0.0))


def found_as(table: pd.DataFrame, artefact: Artefact, label: str) -> dict[str, Any]:
    """The verdict on the first candidate that holds a word of the artefact, and its place.

    Places count from 1, in the whole list and among the candidates for the class; 0 for none.
    """
    place = 0
    for number, row in enumerate(table.to_dict("records"), 1):
        if row["class"] == label:
            place += 1
            name = str(row["candidate"])
            first = artefact.words == ("well",) and name == "the first word"
            if first or set(name.split()) & set(artefact.words):
                return {"verdict": row["verdict"], "place": number, "place_in_class": place}
    return {"verdict": "", "place": 0, "place_in_class": 0}


def alarms(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Decisive candidates, and their class, made of what makes no class by its meaning."""
    from spacy.lang.en.stop_words import STOP_WORDS

    def empty(token: str) -> bool:
        return token not in MEANT and (token in STOP_WORDS or not re.search("[^\\W\\d_]", token))

    own = table[(table["verdict"] == "decisive") & (table["kind"] == "words")]
    found = zip(own["candidate"], own["class"], strict=True)
    return [(name, label) for name, label in found if all(map(empty, name.split()))]


class Setup(NamedTuple):
    """What is planted and trained in a run.

    Attributes:
        corpus: its texts: those to train on, to analyse and held out, one after the other.
        sizes: how many texts each of these has.
        kind: a name in `KINDS`, or "nothing".
        share: of the texts of a class that get an artefact.
        seed: of what is drawn.
        epochs: of the training.
        kept: a folder for models and explanations; None keeps none.
    """

    corpus: Corpus
    sizes: Sequence[int]
    kind: str
    share: float
    seed: int
    epochs: int
    kept: Path | None

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """What is planted, each in the class of its number."""
        return KINDS.get(self.kind, ())

    @property
    def folder(self) -> Path | None:
        """Where the model and the explanations are kept."""
        if self.kept is None:
            return None
        name = f"{self.corpus.name}-{self.kind}-{self.share}-{self.seed}-{self.epochs}"
        return self.kept / name.replace(" ", "_")


class Prepared(NamedTuple):
    """A classifier that was trained on planted texts, and what it makes of others.

    Attributes:
        classifier: the classifier.
        explained: the texts of the analysis, by LRP.
        gradient: the same by gradient × input; empty where nothing is planted.
        holds: which artefact each text holds, -1 for none.
        held: texts that are used to measure what the classifier uses.
        turned: `is_used` of each artefact.
    """

    classifier: seqlrp.TextClassifier
    explained: Explanations
    gradient: Explanations
    holds: npt.NDArray[np.int64]
    held: Corpus
    turned: list[float]


def prepare(setup: Setup) -> Prepared:
    """Plant, train and explain; what was done before is read from the folder."""
    random, sizes = np.random.default_rng(setup.seed), setup.sizes
    train, analysed, held = (
        setup.corpus.part(slice(sum(sizes[:k]), sum(sizes[: k + 1]))) for k in range(3)
    )
    train, _ = planted(train, setup.artefacts, setup.share, random)
    analysed, holds = planted(analysed, setup.artefacts, setup.share, random)
    folder = setup.folder
    if folder is not None and (folder / "turned.json").is_file():
        return Prepared(
            seqlrp.load(folder / "model"),
            Explanations.load(folder / "lrp.parquet"),
            Explanations.load(folder / "gradient.parquet"),
            holds,
            held,
            json.loads((folder / "turned.json").read_text("utf-8")),
        )
    classifier = seqlrp.fit(
        train, embedding=32, hidden=24, epochs=setup.epochs, min_count=2, max_size=6000,
        learning_rate=5e-3, batch_size=32, validation_fraction=0.1, seed=setup.seed,
        progress=False, device="cpu",
    ).classifier  # fmt: skip
    explained = seqlrp.explain(classifier, analysed, progress=False)
    gradient = Explanations()
    if setup.artefacts:
        gradient = seqlrp.explain(classifier, analysed, "gradient_x_input", progress=False)
    turned = [
        is_used(classifier, held, artefact, class_, random)
        for class_, artefact in enumerate(setup.artefacts)
    ]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        seqlrp.save(classifier, folder / "model")
        explained.save(folder / "lrp.parquet")
        gradient.save(folder / "gradient.parquet")
        (folder / "turned.json").write_text(json.dumps(turned), "utf-8")
    return Prepared(classifier, explained, gradient, holds, held, turned)


def run(setup: Setup, *, others: bool = True) -> Iterator[Any]:
    """Plant, train, analyse; a row for each artefact, or one row where nothing is planted.

    Args:
        setup: what is planted and trained.
        others: cluster other vectors than relevance by word, too.
    """
    found = prepare(setup)
    classifier, explained = found.classifier, found.explained
    strategies = find_strategies(explained, classifier, projection="none", progress=False)
    table = find_shortcuts(
        explained, classifier, class_words(explained), strategies, seed=setup.seed, progress=False
    )
    base = {
        "corpus": setup.corpus.name, "kind": setup.kind, "share": setup.share,
        "seed": setup.seed, "epochs": setup.epochs,
        "accuracy": float(np.mean([e.predicted == e.label for e in explained])),
        "strategies": len(strategies.table) / strategies.table["class"].nunique(),
    }  # fmt: skip
    names = setup.corpus.label_names
    if not setup.artefacts:
        random = np.random.default_rng(setup.seed)
        alarmed = {
            name: is_used(classifier, found.held, phrase(name), names.index(label), random)
            for name, label in alarms(table)
        }
        yield base | {"alarms": alarmed, "decisive": int((table.verdict == "decisive").sum())}
        return
    by_vectors = (strategies, *_others(found)) if others else (strategies,)
    for class_, artefact in enumerate(setup.artefacts):
        label, own = names[class_], found.holds == class_
        yield (
            base
            | {name: best_f1(s, label, own) for name, s in zip(CLUSTERS, by_vectors, strict=others)}
            | {"turned": found.turned[class_]}
            | found_as(table, artefact, label)
        )


def _others(found: Prepared) -> tuple[Strategies, Strategies, Strategies]:
    """The same clustering of Σ R x, of gradient × input and of plain word counts."""
    classifier, explained = found.classifier, found.explained
    by_sums = find_strategies(
        explained, classifier, kind="relevance", projection="none", progress=False
    )
    by_gradient = find_strategies(found.gradient, classifier, projection="none", progress=False)
    counts = count_terms(explained).counts.astype(np.float32)
    by_counts = find_strategies(explained, vectors=counts, projection="none", progress=False)
    return by_sums, by_gradient, by_counts


def summary(rows: pd.DataFrame) -> str:
    """The table, a line for each kind and share, and one for all from 5 % on."""
    lines = [
        "| kind | share | artefacts | strategy: relevance | Σ R x | gradient × input | counts "
        "| used | used: reported | in the first three | first three of the class "
        "| not used, reported as used |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = rows.reindex(columns=rows.columns.union(list(CLUSTERS), sort=False))
    planted_ = rows[rows["kind"] != "nothing"]
    for (kind, share), own in planted_.groupby(["kind", "share"], sort=False):
        lines.append(_line(f"{kind} | {share:.0%}", own))
    enough = planted_[planted_["share"] >= 0.05]
    parts = {"all": enough, **dict(iter(enough.groupby("corpus", sort=False)))}
    lines += [
        _line(f"{name} | 5% and more", own, _with_interval)
        for name, own in parts.items()
        if len(own)
    ]
    lines.append(f"\nStrategies of a class, on average: {rows['strategies'].mean():.1f}")
    clean = rows[rows["kind"] == "nothing"]
    for name, runs in clean.groupby("corpus", sort=False):
        found = [turned for turned in runs["alarms"] if turned]
        false = [t for turned in found for t in turned.values() if t < USED]
        words = sum(map(len, found))
        alarmed = _with_interval(runs["alarms"].map(bool))
        lines.append(
            f"\n{name}: alarms in {alarmed} clean runs, by {words} words, "
            f"{len(false)} of which are not used in held-out texts: {found}"
        )
    return "\n".join(lines)


def _of(values: pd.Series[bool]) -> str:
    return f"{int(values.sum())} of {len(values)}"


def _with_interval(values: pd.Series[bool]) -> str:
    """How many of them, with the 95 % interval of the share (Wilson 1927)."""
    if not len(values):
        return _of(values)
    interval = binomtest(int(values.sum()), len(values)).proportion_ci(method="wilson")
    return f"{_of(values)} [{interval.low:.2f}, {interval.high:.2f}]"


def _line(head: str, own: pd.DataFrame, of: Callable[[pd.Series[bool]], str] = _of) -> str:
    used, reported = own["turned"] >= USED, own["verdict"].isin(["used", "decisive"])
    first, of_class = (own[name].between(1, 3) for name in ("place", "place_in_class"))
    cells = [
        *("–" if own[name].isna().all() else of(own[name] >= F1) for name in CLUSTERS),
        of(used),
        *(of(found[used]) for found in (reported, reported & first, reported & of_class)),
        of(reported[~used]),
    ]
    return f"| {head} | {len(own)} | {' | '.join(cells)} |"


def main() -> None:
    """Run all and print the table; each row is a line of JSON in `--out`, and not run again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--corpora", nargs="+", default=["reviews", "ag_news", "newsgroups"])
    parser.add_argument("--kinds", nargs="+", default=[*KINDS, "nothing"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.02, 0.05, 0.2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--sizes", nargs=3, type=int, default=[2000, 600, 300])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kept", type=Path, help="a folder for models and explanations")
    parser.add_argument("--proof-only", action="store_true", help="cluster relevance by word alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = _read(given.out)
    done = {(r["corpus"], r["kind"], r["share"], r["seed"]) for r in rows}
    for seed, name in itertools.product(given.seeds, given.corpora):
        corpus = corpora(given.data, name, sum(given.sizes), seed)
        for kind, share in itertools.product(given.kinds, given.shares):
            share = share if kind != "nothing" else 0.0
            if (name, kind, share, seed) in done:
                continue
            done.add((name, kind, share, seed))
            setup = Setup(corpus, given.sizes, kind, share, seed, given.epochs, given.kept)
            found = [{**row, "corpus": name} for row in run(setup, others=not given.proof_only)]
            with given.out.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
            rows += found
    print(summary(pd.DataFrame(rows)))


def _read(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
