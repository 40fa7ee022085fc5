"""Small classifiers of many kinds, with texts to train on and others to explain.

The benchmarks of ε and of the choice of a method measure on them. Sentences, news, whole reviews
and the texts of a grammar; LSTMs and GRUs of one or two directions and layers, CNNs, and a layer
made of arrays as Keras has them (a hard sigmoid in its gates), in one direction.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from oracles import keras as keras_arrays
from torch import Tensor, nn

import seqlrp
from benchmarks.newsgroups_epi import ConvolutionalClassifier, FirstWords
from benchmarks.sst import by_spaces, phrases, read_trees, sentences
from seqlrp.errors import SeqlrpError
from seqlrp.evaluation.metrics.agreement import auroc, tokens_inside, value_agreement
from seqlrp.explanations.record import Explanation
from seqlrp.integrations import keras
from seqlrp.models.optimisation import Documents, Schedule, optimise
from seqlrp.text.corpora import Corpus
from seqlrp.truth import Annotated, planted, sentiment_language

PHRASES = 10_000  # that a classifier of the treebank is trained on: most are short
GLOVE = "glove-6b-50d"

Agreement = Callable[[seqlrp.TextClassifier, Any], npt.NDArray[np.float64]]


class Case(NamedTuple):
    """Texts to train on, texts to explain, and how relevance agrees with what is known of them."""

    train: Corpus
    test: Corpus
    options: Mapping[str, Any]
    agreement: Agreement | None = None


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


def packaged(name: str, sizes: Sizes, *, most: int | None = None, **options: Any) -> Case:
    """A corpus that `load_corpus` knows by name; of long texts, `most` are explained."""
    if most is not None:
        sizes = sizes._replace(explained=min(most, sizes.explained))
    return Case(*sizes.parts(*seqlrp.load_corpus(name).split(0.2, sizes.seed)), options)


def news(path: Path, sizes: Sizes, **options: Any) -> Case:
    """AG News: rows of class, title and description."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    texts = [f"{title}. {text}" for _, title, text in rows]
    labels = np.array([int(row[0]) - 1 for row in rows], np.int64)
    whole = Corpus(path.stem, texts, labels, ("World", "Sports", "Business", "Sci/Tech"))
    return Case(*sizes.parts(*whole.split(0.2, sizes.seed)), options)


def _drawn(corpus: Corpus, texts: int, seed: int) -> Corpus:
    return corpus.part(np.random.default_rng(seed).permutation(len(corpus))[:texts])


REVIEWS, SUBJECTIVE = ("negative", "positive"), ("subjective", "objective")
GROUPS = {
    4: ("comp.graphics", "rec.autos", "sci.med", "talk.politics.guns"),
    6: (
        "comp.sys.mac.hardware", "misc.forsale", "rec.sport.baseball", "sci.crypt",
        "soc.religion.christian", "talk.politics.mideast",
    ),
    20: (
        "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
        "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos",
        "rec.motorcycles", "rec.sport.baseball", "rec.sport.hockey", "sci.crypt",
        "sci.electronics", "sci.med", "sci.space", "soc.religion.christian",
        "talk.politics.guns", "talk.politics.mideast", "talk.politics.misc",
        "talk.religion.misc",
    ),
}  # fmt: skip


def cases(data: Path, sizes: Sizes) -> dict[str, Callable[[], Case]]:
    """Every classifier, by a short name."""
    trees, folder, groups = data / "sst", data / "sentences", data / "newsgroups"
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
        "4 newsgroups, bi-GRU": partial(
            newsgroups, groups, groups=GROUPS[4], words=100, cell="gru"
        ),
        "6 newsgroups, LSTM": partial(
            newsgroups, groups, groups=GROUPS[6], words=100, pooling="mean", **one
        ),
        "20 newsgroups, bi-LSTM": partial(newsgroups, groups, groups=GROUPS[20], words=100),
        "AG News, bi-LSTM": partial(news, data / "ag_news" / "test.csv", vectors=GLOVE),
        "reviews, bi-LSTM": partial(packaged, "reviews", vectors=GLOVE),
        "long reviews, bi-LSTM": partial(packaged, "imdb", most=60, vectors=GLOVE, max_length=150),
        "movie sentences, Keras LSTM": partial(lines, reviews, names=REVIEWS, network="keras"),
    }
    return {name: partial(case, sizes=sizes) for name, case in made.items()}


class KerasClassifier(nn.Module):
    """An LSTM made of arrays as Keras has them, its maximum over the text, a linear layer.

    The gates have the hard sigmoid of Keras up to 2.2; the first weights are those of Keras:
    Glorot's for the inputs, orthogonal ones for the states, 1 for the bias of the forget gate.
    """

    layout = "words"

    def __init__(self, vocabulary_size: int, classes: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.arguments = {"classes": classes}
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=0)
        kernel = nn.init.xavier_uniform_(torch.empty(embedding, 4 * hidden)).numpy()
        recurrent = nn.init.orthogonal_(torch.empty(hidden, 4 * hidden)).numpy()
        arrays = [kernel, recurrent, np.repeat(np.float32([0, 1, 0, 0]), hidden)]
        inputs = np.random.default_rng(0).normal(size=(2, 5, embedding)).astype(np.float32)
        states = keras_arrays.lstm(arrays, inputs, gate=keras_arrays.hard_sigmoid)
        self.recurrence = keras.lstm(
            arrays, inputs=inputs, outputs=states, recurrent_activation="hard_sigmoid"
        )
        self.head = nn.Linear(hidden, classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores `[B, C]` of ids `[B, T]`."""
        states, _ = self.recurrence(self.embedding(ids))
        return self.head(states.masked_fill((ids == 0).unsqueeze(2), -torch.inf).amax(1))


NETWORKS = {
    "cnn": partial(ConvolutionalClassifier, embedding=50, filters=100),
    "keras": partial(KerasClassifier, embedding=50, hidden=64),
}


def trained(case: Case, seed: int, epochs: int) -> seqlrp.TextClassifier:
    """The classifier of a case."""
    options = dict(case.options)
    if "network" in options:
        return _of_network(NETWORKS[options["network"]], case, seed, epochs)
    classifier, _ = seqlrp.fit(
        case.train, seed=seed, device="cpu", epochs=epochs, **{"hidden": 64, **options}
    )
    return classifier


def _of_network(
    network: Callable[[int, int], nn.Module], case: Case, seed: int, epochs: int
) -> seqlrp.TextClassifier:
    train, tokenizer = case.train, case.options["tokenizer"]
    tokens = [tokenizer(text).tokens for text in train.texts]
    vocabulary = seqlrp.Vocabulary.build(tokens)
    ids = [vocabulary.encode(words) for words in tokens]
    assert train.labels is not None
    documents = Documents(ids, [np.zeros(len(own), np.int32) for own in ids], train.labels)
    torch.manual_seed(seed)
    model = network(len(vocabulary), len(train.label_names))
    optimise(model, documents, None, Schedule(epochs=epochs, seed=seed))
    return seqlrp.TextClassifier(model, vocabulary, train.label_names, tokenizer)


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
