"""The stabiliser of LRP on many classifiers: absolute, and relative to the mean |z| of a row.

Small classifiers are trained on sentences and news, and each is explained with every ε, by
gradient × input and by occlusion, in texts that it has not seen:

- area, comprehensiveness, sufficiency: words are taken out in the order of their relevance for the
  predicted class (`seqlrp.evaluate`);
- agreement: with what is known of words. In the treebank, Spearman's ρ with the sentiment that
  people gave each word, for the most positive class against the most negative one; in the language
  and where a word was planted, the AUROC of the words that decide, for the class they speak for.

Printed: a table by classifier for each measure; by how much each method falls short of the best
absolute ε of a classifier, as mean and worst over classifiers; the difference of two of them with
its 95 % interval (bootstrap over pairs); and what this rule, fixed before measuring, chooses:

    Of the relative ε whose mean shortfall of the area, over all classifiers, is within 0.2 points
    of the smallest, the one with the smallest worst shortfall. It takes the place of the default
    only if its worst shortfall is smaller by 0.5 points or more, if its mean difference of the
    area has a 95 % interval above 0 (bootstrap over texts within classifiers), and if its worst
    shortfall of comprehensiveness is not larger by more than 0.5 points.

    python tests/benchmarks/epsilon.py DATA --out FOLDER [--only NAME ...]

DATA holds the folders sst (train.txt, dev.txt, test.txt: trees), sentences (rt-polarity.all,
subj.all, custrev.all: a label and a text a line) and newsgroups (train.csv, test.csv: columns text
and label). FOLDER keeps what is finished, and an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

import seqlrp
from benchmarks.newsgroups_epi import ConvolutionalClassifier, FirstWords
from benchmarks.sst import by_spaces, phrases, read_trees, sentences
from seqlrp.errors import SeqlrpError
from seqlrp.evaluation.metrics.agreement import auroc, tokens_inside, value_agreement
from seqlrp.evaluation.statistics import compare
from seqlrp.explanations.record import Explanation
from seqlrp.models.optimisation import Documents, Schedule, optimise
from seqlrp.text.corpora import Corpus
from seqlrp.truth import Annotated, planted, sentiment_language
from seqlrp.writing import written_whole

ABSOLUTE = (0.0, 1e-4, 1e-3, 5e-3, 1e-2, 1e-1)
RELATIVE = (0.5, 1, 2, 3, 5, 10)  # %
METHODS: dict[str, Any] = {
    **{f"{value:g}": {"method": "lrp", "epsilon": value} for value in ABSOLUTE},
    **{f"{value:g}%": {"method": "lrp", "epsilon": f"{value:g}%"} for value in RELATIVE},
    "gradient × input": "gradient_x_input",
    "occlusion": "occlusion",
}
MEASURES = ("area", "comprehensiveness", "sufficiency", "agreement")
_NAMES = {"area": "abpc", "comprehensiveness": "comprehensiveness", "sufficiency": "sufficiency"}
PHRASES = 10_000  # that a classifier of the treebank is trained on: most are short

Values = dict[str, dict[str, npt.NDArray[np.float64]]]  # measure, method: a value for each text
Agreement = Callable[[seqlrp.TextClassifier, Any], npt.NDArray[np.float64]]


class Case(NamedTuple):
    """Texts to train on, texts to explain, and how relevance agrees with what is known of them."""

    train: Corpus
    test: Corpus
    options: Mapping[str, Any]
    agreement: Agreement | None = None


# Cases


class Sizes(NamedTuple):
    """How many texts a classifier is trained on, how many are explained, and the seed."""

    trained: int
    explained: int
    seed: int

    def parts(self, train: Corpus, test: Corpus) -> tuple[Corpus, Corpus]:
        """So many texts of both, drawn at random."""
        return _drawn(train, self.trained, self.seed), _drawn(test, self.explained, self.seed)


def labelled_lines(path: Path, names: tuple[str, ...], sizes: Sizes) -> tuple[Corpus, Corpus]:
    """Lines of a label and a text: what to train on, and others."""
    lines = path.read_text(encoding="latin-1").split("\n")
    rows = [line.split(" ", 1) for line in lines if len(line.split()) > 1]
    labels = np.array([int(label) for label, _ in rows], np.int64)
    whole = Corpus(path.stem, [text.strip() for _, text in rows], labels, names)
    return sizes.parts(*whole.split(0.2, sizes.seed))


def treebank(folder: Path, sizes: Sizes, *, classes: int, **options: Any) -> Case:
    """SST with five classes, or with the two that are left without neutral texts."""
    trees = {part: read_trees(folder / f"{part}.txt") for part in ("train", "test")}
    train, test = phrases(trees["train"], "SST phrases"), trees["test"]
    if classes == 2:
        train = _two_classes(train)
        test = [tree for tree in test if tree.phrases[0].label != 2]
    corpus = sentences(test, "SST test")
    corpus = _two_classes(corpus) if classes == 2 else corpus
    drawn = np.random.default_rng(sizes.seed).permutation(len(corpus))[: sizes.explained]
    values = [tree.values(words=True) for tree in (test[k] for k in drawn)]
    asked = (corpus.label_names[-1], corpus.label_names[0])
    ρ = partial(_sentiment_agreement, corpus.part(drawn).texts, values, asked)
    return Case(
        _drawn(train, PHRASES, sizes.seed),
        corpus.part(drawn),
        {"tokenizer": by_spaces, **options},
        ρ,
    )


def _two_classes(corpus: Corpus) -> Corpus:
    kept = np.flatnonzero(corpus.labels != 2)
    part = corpus.part(kept)
    return Corpus(part.name, part.texts, (part.labels > 2).astype(np.int64), ("no", "yes"))


def _sentiment_agreement(
    texts: Sequence[str],
    values: Sequence[Any],
    asked: tuple[str, str],
    classifier: seqlrp.TextClassifier,
    method: Any,
) -> npt.NDArray[np.float64]:
    found = _explained(classifier, texts, method, asked)
    table = value_agreement(found, values)
    return table[table["metric"] == "spearman"]["value"].to_numpy(np.float64)


def lines(path: Path, sizes: Sizes, *, names: tuple[str, str], **options: Any) -> Case:
    """Sentences of a file, as they are."""
    train, test = labelled_lines(path, names, sizes)
    return Case(train, test, {"tokenizer": by_spaces, **options})


def with_planted(path: Path, sizes: Sizes, *, names: tuple[str, str], **options: Any) -> Case:
    """The same with a word planted in half of the texts of one class, and in all that are asked."""
    train, test = labelled_lines(path, names, sizes)
    marked = planted(test, "qzx", None, 1.0, sizes.seed)
    asked = partial(_span_agreement, marked, names[1], None)
    hans = planted(train, "qzx", names[1], 0.5, sizes.seed).corpus
    return Case(hans, marked.corpus, {"tokenizer": by_spaces, **options}, asked)


def language(sizes: Sizes, **options: Any) -> Case:
    """Sentences of a grammar, of which it is known which words decide."""
    seed = sizes.seed
    train, test = sentiment_language(sizes.trained, seed + 1, reported=0.3).split(0.2, seed)
    test = test.part(np.arange(min(sizes.explained, len(test))))
    return Case(
        train.corpus, test.corpus, options, partial(_span_agreement, test, "label", "sentiment")
    )


def _span_agreement(
    marked: Annotated, target: str, kind: str | None, classifier: seqlrp.TextClassifier, method: Any
) -> npt.NDArray[np.float64]:
    texts = marked.corpus if target == "label" else marked.corpus.texts
    found = _explained(classifier, texts, method, target)
    rationales = marked.rationales(*([kind] if kind else []))
    return np.array(
        [
            auroc(e.relevance, tokens_inside(e.offsets, r))
            for e, r in zip(found, rationales, strict=True)
        ]
    )


def _explained(
    classifier: seqlrp.TextClassifier, texts: Any, method: Any, target: Any
) -> list[Explanation]:
    options = dict(method) if isinstance(method, dict) else {"method": method}
    name = options.pop("method")
    return list(seqlrp.explain(classifier, texts, name, target=target, progress=False, **options))


def newsgroups(
    folder: Path, sizes: Sizes, *, groups: tuple[str, ...], words: int, **options: Any
) -> Case:
    """Some of the twenty groups, the first words of each text."""
    parts = []
    for part, most in (("train", sizes.trained), ("test", sizes.explained)):
        whole = seqlrp.load_corpus(folder / f"{part}.csv", on_unanswerable="skip")
        assert whole.labels is not None
        places = np.array([groups.index(n) if n in groups else -1 for n in whole.label_names])
        own = places[whole.labels]
        kept = np.random.default_rng(sizes.seed).permutation(np.flatnonzero(own >= 0))[:most]
        texts = [whole.texts[k] for k in kept]
        parts.append(Corpus(part, texts, own[kept], groups))
    return Case(*parts, {"tokenizer": FirstWords(words), "min_count": 2, **options})


def _drawn(corpus: Corpus, texts: int, seed: int) -> Corpus:
    return corpus.part(np.random.default_rng(seed).permutation(len(corpus))[:texts])


REVIEWS, SUBJECTIVE = ("negative", "positive"), ("subjective", "objective")
GROUPS = {
    4: ("comp.graphics", "rec.autos", "sci.med", "talk.politics.guns"),
    6: (
        "comp.sys.mac.hardware", "misc.forsale", "rec.sport.baseball", "sci.crypt",
        "soc.religion.christian", "talk.politics.mideast",
    ),
}  # fmt: skip


def cases(data: Path, sizes: Sizes) -> dict[str, Callable[[], Case]]:
    """Every classifier, by a short name."""
    trees, folder, news = data / "sst", data / "sentences", data / "newsgroups"
    reviews, opinions, customers = (
        folder / f"{name}.all" for name in ("rt-polarity", "subj", "custrev")
    )
    one: dict[str, Any] = {"bidirectional": False}
    made: dict[str, Callable[..., Case]] = {
        "SST-5, bi-LSTM": partial(treebank, trees, classes=5),
        "SST-2, bi-GRU, 2 layers": partial(
            treebank, trees, classes=2, cell="gru", layers=2, pooling="max"
        ),
        "SST-2, LSTM": partial(treebank, trees, classes=2, pooling="last", **one),
        "subjectivity, LSTM, 2 layers": partial(
            lines, opinions, names=SUBJECTIVE, layers=2, pooling="last", **one
        ),
        "subjectivity, CNN": partial(lines, opinions, names=SUBJECTIVE, network="cnn"),
        "movie sentences, GRU": partial(
            lines, reviews, names=REVIEWS, cell="gru", pooling="mean", **one
        ),
        "movie sentences, CNN": partial(lines, reviews, names=REVIEWS, network="cnn"),
        "customers, bi-LSTM": partial(lines, customers, names=REVIEWS, pooling="max"),
        "planted, bi-LSTM, 2 layers": partial(with_planted, reviews, names=REVIEWS, layers=2),
        "planted, GRU": partial(
            with_planted, customers, names=REVIEWS, cell="gru", pooling="last", **one
        ),
        "language, bi-LSTM": partial(language, hidden=40),
        "language, GRU": partial(language, cell="gru", pooling="last", hidden=40, **one),
        "4 newsgroups, bi-GRU": partial(newsgroups, news, groups=GROUPS[4], words=100, cell="gru"),
        "6 newsgroups, LSTM": partial(
            newsgroups, news, groups=GROUPS[6], words=100, pooling="mean", **one
        ),
    }
    return {name: partial(case, sizes=sizes) for name, case in made.items()}


# Training and measuring


def trained(case: Case, seed: int, epochs: int) -> seqlrp.TextClassifier:
    """The classifier of a case."""
    options = dict(case.options)
    if options.pop("network", "") == "cnn":
        return _convolutional(case.train, options["tokenizer"], seed, epochs)
    classifier, _ = seqlrp.fit(
        case.train, seed=seed, device="cpu", epochs=epochs, **{"hidden": 64, **options}
    )
    return classifier


def _convolutional(train: Corpus, tokenizer: Any, seed: int, epochs: int) -> seqlrp.TextClassifier:
    tokens = [tokenizer(text).tokens for text in train.texts]
    vocabulary = seqlrp.Vocabulary.build(tokens)
    ids = [vocabulary.encode(words) for words in tokens]
    assert train.labels is not None
    documents = Documents(ids, [np.zeros(len(own), np.int32) for own in ids], train.labels)
    torch.manual_seed(seed)
    model = ConvolutionalClassifier(len(vocabulary), len(train.label_names), 50, 100)
    optimise(model, documents, None, Schedule(epochs=epochs, seed=seed))
    return seqlrp.TextClassifier(model, vocabulary, train.label_names, tokenizer)


def measured(case: Case, classifier: seqlrp.TextClassifier, removal: str) -> Values:
    """Every measure of every method, a value for each text."""
    report = seqlrp.evaluate(
        classifier, case.test, methods=METHODS, removal=removal,
        metrics=["aopc", "comprehensiveness", "sufficiency"],
    )  # fmt: skip
    table = report.table
    found: Values = {}
    for measure, name in _NAMES.items():
        rows = table[table["metric"] == name]
        rows = rows[rows["k"].isna() | (rows["k"] > 0)]
        by_text = rows.groupby(["method", "document"])["value"].mean()
        found[measure] = {m: by_text[m].sort_index().to_numpy(np.float64) for m in METHODS}
    if case.agreement is not None:
        found["agreement"] = {
            name: case.agreement(classifier, method) for name, method in METHODS.items()
        }
    return found


def finished(
    name: str, make: Callable[[], Case], options: argparse.Namespace
) -> tuple[float, Values]:
    """Accuracy and values of a classifier, from the folder or newly measured."""
    place = options.out / f"{name.replace(' ', '_').replace(',', '')}.json"
    if not place.exists():
        started = time.perf_counter()
        case = make()
        classifier = trained(case, options.seed, options.epochs)
        right = classifier.predict(case.test.texts, progress=False).predicted == case.test.labels
        taken = time.perf_counter() - started
        found = measured(case, classifier, options.removal)
        record = {
            "accuracy": float(right.mean()),
            "values": {m: {n: v.tolist() for n, v in by.items()} for m, by in found.items()},
        }
        with written_whole(place) as file:
            file.write_text(json.dumps(record), encoding="utf-8")
        print(
            f"{name}: {right.mean():.1%} of {len(right)} texts right, trained in {taken:.0f} s, "
            f"measured in {time.perf_counter() - started - taken:.0f} s.",
            flush=True,
        )
    record = json.loads(place.read_text(encoding="utf-8"))
    return record["accuracy"], {
        m: {n: np.array(v, np.float64) for n, v in by.items()} for m, by in record["values"].items()
    }


# Tables


def means(values: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, float]:
    """The mean of each method over texts."""
    return {method: float(np.nanmean(own)) for method, own in values.items()}


def shortfall(found: Mapping[str, float], measure: str) -> dict[str, float]:
    """What each method lacks of the best absolute ε, in % of it; of sufficiency, in points."""
    absolute = [found[f"{value:g}"] for value in ABSOLUTE]
    if measure == "sufficiency":
        return {method: 100 * (value - min(absolute)) for method, value in found.items()}
    best = max(absolute)
    return {method: 100 * (best - value) / best for method, value in found.items()}


def report(results: Mapping[str, tuple[float, Values]], rules: tuple[str, str]) -> None:
    """Print all tables."""
    width = max(map(len, results)) + 2
    head = f"{'':{width}}" + "".join(f"{name:>10.10}" for name in METHODS)
    falls: dict[str, list[dict[str, float]]] = {}
    for measure in MEASURES:
        chosen = {name: v[measure] for name, (_, v) in results.items() if measure in v}
        if not chosen:
            continue
        print(f"\n{measure}\n{head}")
        for name, values in chosen.items():
            found = means(values)
            print(f"{name:{width}}" + "".join(f"{found[m]:10.4f}" for m in METHODS))
            falls.setdefault(measure, []).append(shortfall(found, measure))
    print(f"\nshortfall against each classifier's best absolute ε, mean / worst\n{head}")
    for measure, rows in falls.items():
        unit = "points" if measure == "sufficiency" else "%"
        print(f"{f'{measure}, {unit}':{width}}" + "".join(
            f"{np.mean([r[m] for r in rows]):4.1f}/{max(r[m] for r in rows):5.1f}" for m in METHODS
        ))  # fmt: skip
    one, other = rules
    print(f"\n{one} minus {other}, in points, with 95 % intervals")
    print(f"{'':{width}}" + "".join(f"{measure:>24}" for measure in MEASURES))
    for name, (_, values) in results.items():
        cells = []
        for measure in MEASURES:
            if measure not in values:
                cells.append("")
                continue
            d = compare(values[measure][one], values[measure][other])
            cells.append(f"{100 * d.difference:.2f} [{100 * d.low:.2f}, {100 * d.high:.2f}]")
        print(f"{name:{width}}" + "".join(f"{cell:>24}" for cell in cells))


def finished_cases(
    arguments: Sequence[str] | None,
    description: str | None,
    finish: Callable[[str, Any, argparse.Namespace], Any],
    option: tuple[str, str, str],
) -> dict[str, Any] | None:
    """Read the options of a script over these classifiers, and finish those that are named.

    Args:
        arguments: those of the command line.
        description: of the script.
        finish: measures one classifier, by its name, what makes it, and the options.
        option: one that only this script has: its flag, default and help.

    Returns:
        the results by name; None where the data cannot be read, after a sentence on stderr.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of sst, sentences and newsgroups")
    parser.add_argument("--out", type=Path, required=True, help="folder of what is finished")
    parser.add_argument("--only", nargs="+", help="some of the classifiers, by name")
    parser.add_argument("--train", type=int, default=3000, help="texts (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=200, help="explained (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    flag, default, text = option
    parser.add_argument(flag, default=default, help=text)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = Sizes(options.train, options.texts, options.seed)
    try:
        return {
            name: finish(name, make, options)
            for name, make in cases(options.data, sizes).items()
            if not options.only or name in options.only
        }
    except SeqlrpError as error:
        print(error, file=sys.stderr)
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, and print."""
    option = ("--removal", "zero", "as in `evaluate` (%(default)s)")
    results = finished_cases(arguments, __doc__, finished, option)
    if results is None:
        return 2
    report(results, ("5%", "0.005"))
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
