"""The explanatory power of document vectors on 20 newsgroups, for a CNN and a bidirectional LSTM.

After Arras et al. (2017), "What is relevant in a text document?" (PLoS ONE 12(8)): the vectors of a
text's words are added up, weighted by relevance, sensitivity, tf-idf or not at all, and a text's
class is told from its nearest neighbours. Published order: relevance by element highest, then
relevance, above tf-idf and uniform weights.

Each network is trained twice: on the twenty groups, and on the seven topics they belong to (comp,
rec, sci, talk, …). Relevance for the predicted class can hardly help knowing that class. So the
second network is asked for what it was never told: whether the neighbours of a text, among those
that it answers with the same topic, are of the same group. That table is not circular.

    python tests/benchmarks/newsgroups_epi.py PATH [--train 6000] [--texts 2000] [--words 120]

PATH holds train.csv and test.csv with columns text and label, where labels are names such as
comp.graphics.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.analysis.explanatory_power import explanatory_power
from seqlrp.errors import SeqlrpError
from seqlrp.models.optimisation import Documents, Schedule, optimise
from seqlrp.text.corpora import Corpus

KINDS = ("elementwise", "relevance", "sensitivity", "tfidf", "uniform")


class ConvolutionalClassifier(nn.Module):
    """A CNN over words: filters of two words, their maximum over the text, a linear layer."""

    layout = "words"

    def __init__(self, vocabulary_size: int, classes: int, embedding: int, filters: int) -> None:
        super().__init__()
        self.arguments = {"classes": classes}
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=0)
        self.filters = nn.Conv1d(embedding, filters, 2, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(filters, classes, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores `[B, C]` of ids `[B, T]`."""
        vectors = self.embedding(ids).transpose(1, 2)
        found = self.filters(vectors)[:, :, :-1]  # windows that end with a word, not with padding
        found = found.masked_fill((ids == 0).unsqueeze(1), -torch.inf)
        return self.head(self.dropout(torch.relu(found.amax(2))))


class FirstWords:
    """Splits texts by white space and keeps the first words."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, text: str) -> list[str]:
        return text.split()[: self.most]


def topic(group: str) -> str:
    """The topic of a group: comp, rec, sci, talk, misc, alt or soc."""
    return group.partition(".")[0]


def by_topic(corpus: Corpus) -> Corpus:
    """The same texts, labelled by topic."""
    names = tuple(sorted({topic(name) for name in corpus.label_names}))
    topics = [names.index(topic(name)) for name in corpus.label_names]
    return replace(corpus, labels=np.array(topics)[corpus.labels], label_names=names)


def trained(network: str, train: Corpus, options: argparse.Namespace) -> seqlrp.TextClassifier:
    """A classifier of the texts of `train`."""
    tokenizer = FirstWords(options.words)
    common = {
        "epochs": options.epochs,
        "patience": options.epochs,
        "class_weights": "balanced",
        "seed": options.seed,
    }
    if network == "bi-LSTM":
        classifier, _ = seqlrp.fit(
            train, tokenizer=tokenizer, min_count=3, embedding=options.embedding, hidden=64,
            pooling="max", validation_fraction=0, **common,
        )  # fmt: skip
        return classifier
    tokens = [tokenizer(text) for text in train.texts]
    vocabulary = seqlrp.Vocabulary.build(tokens, min_count=3, max_size=30_000)
    ids = [vocabulary.encode(words) for words in tokens]
    kept = [k for k, own in enumerate(ids) if len(own)]
    sentences = [np.zeros(len(ids[k]), np.int32) for k in kept]
    documents = Documents([ids[k] for k in kept], sentences, train.labels[kept])
    torch.manual_seed(options.seed)
    model = ConvolutionalClassifier(len(vocabulary), len(train.label_names), options.embedding, 200)
    optimise(model, documents, None, Schedule(**common))
    return seqlrp.TextClassifier(model, vocabulary, train.label_names, tokenizer)


def power_within(
    vectors: npt.NDArray[np.float32], predicted: npt.NDArray, groups: npt.NDArray
) -> tuple[float, float, float]:
    """The power to tell groups within each predicted topic, weighted by texts; with its interval.

    Topics of a single group have nothing to tell. The interval adds up the variances of the topics.
    """
    found, weights = [], []
    for class_ in np.unique(predicted):
        rows = np.flatnonzero(predicted == class_)
        if len(rows) >= 20 and len(np.unique(groups[rows])) > 1:
            found.append(explanatory_power(vectors[rows], groups[rows]))
            weights.append(len(rows))
    share = np.array(weights) / sum(weights)
    value = float(share @ [power.value for power in found])
    below = float(np.sqrt(((share * [p.value - p.low for p in found]) ** 2).sum()))
    above = float(np.sqrt(((share * [p.high - p.value for p in found]) ** 2).sum()))
    return value, value - below, value + above


def report(options: argparse.Namespace) -> None:
    """Train, explain, and print both tables."""
    train = seqlrp.load_corpus(options.path / "train.csv", on_unanswerable="skip")
    test = seqlrp.load_corpus(
        options.path / "test.csv", label_names=train.label_names, on_unanswerable="skip"
    )
    drawn = np.random.default_rng(options.seed)
    if options.train < len(train):
        train = train.part(np.sort(drawn.permutation(len(train))[: options.train]))
    if options.texts < len(test):
        test = test.part(np.sort(drawn.permutation(len(test))[: options.texts]))
    groups = np.array(test.label_names)[test.labels]
    rows, begun = [], time.perf_counter()
    for network in ("CNN", "bi-LSTM"):
        for question in ("groups", "topics"):
            started = time.perf_counter()
            corpus, asked = (train, test) if question == "groups" else map(by_topic, (train, test))
            classifier = trained(network, corpus, options)
            seconds = time.perf_counter() - started
            found = seqlrp.explain(classifier, asked, progress=False, on_unanswerable="skip")
            answered = np.array([e.predicted for e in found])
            right = np.mean([e.predicted == e.label for e in found])
            print(
                f"{network}, {len(corpus.label_names)} {question}: {right:.1%} of {len(found):,} "
                f"test texts right, trained in {seconds:.0f} s.",
                flush=True,
            )
            own = groups[[int(e.id) for e in found]] if found[0].id else groups
            for kind in KINDS:
                vectors = seqlrp.document_vectors(found, classifier, kind, progress=False)
                power = explanatory_power(vectors, answered)
                rows.append((network, question, kind, power.value, power.low, power.high))
                if question == "topics":
                    rows.append((network, "within", kind, *power_within(vectors, answered, own)))
    titles = {
        "groups": "The predicted one of 20 groups (as published)",
        "topics": "The predicted one of 7 topics",
        "within": "The true group within a predicted topic, by the network that knows topics only",
    }
    for question, title in titles.items():
        print(f"\n{title}\n{'':16}" + "".join(f"{network:>26}" for network in ("CNN", "bi-LSTM")))
        for kind in KINDS:
            cells = [row[3:] for row in rows if row[1:3] == (question, kind)]
            texts = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in cells]
            print(f"{kind:16}" + "".join(f"{text:>26}" for text in texts))
    print(f"\n{time.perf_counter() - begun:.0f} s in all.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the whole comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="folder of train.csv and test.csv")
    parser.add_argument("--train", type=int, default=6000, help="training texts (%(default)s)")
    parser.add_argument("--texts", type=int, default=2000, help="test texts (%(default)s)")
    parser.add_argument("--words", type=int, default=120, help="first words read (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="(%(default)s)")
    parser.add_argument("--embedding", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    try:
        report(parser.parse_args(arguments))
    except SeqlrpError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
