"""Word deletion on the Stanford Sentiment Treebank, five classes, as published.

After Arras et al. (2017), "Explaining recurrent neural network predictions in sentiment analysis",
with a network like theirs (of Li et al. 2016): bidirectional LSTM of 60 hidden units, output layer
without bias, trained on phrases; 46.3 % of the test sentences right. Test sentences of ten words or
more (1,849 of 2,210) lose up to five words, by setting their embeddings to zero.

And more than published, because the treebank knows the sentiment of every word and phrase: the rank
correlation of relevance for "very positive" rather than "very negative" with it.

    python tests/benchmarks/sst.py PATH_TO_TREES [--epochs 5] [--vectors glove-6b-50d]

PATH_TO_TREES holds train.txt, dev.txt and test.txt, one tree a line, such as
(3 (2 It) (4 (2 's) (4 (3 lovely) (2 .)))), with a label from 0 to 4 on every word and phrase.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import seqlrp
from seqlrp.errors import CorpusError, SeqlrpError
from seqlrp.evaluation.correlation import spearman
from seqlrp.evaluation.metrics.agreement import span_relevance, value_agreement
from seqlrp.text import Corpus, TokenizedText, located

LABELS = ("very negative", "negative", "neutral", "positive", "very positive")
METHODS = ("lrp", "gradient_x_input", "sensitivity", "random")
CONTRAST = ("very positive", "very negative")
_PIECE = re.compile(r"(\(|\)|[^\s()]+)", re.ASCII)
_BRACKETS = {"-LRB-": "(", "-RRB-": ")"}


class Phrase(NamedTuple):
    """Words `start` to `end` (exclusive) of a sentence, and the label that people gave them."""

    start: int
    end: int
    label: int


class Sentence(NamedTuple):
    """A tree: its words, and its phrases, the first of which is the whole sentence."""

    words: tuple[str, ...]
    phrases: tuple[Phrase, ...]

    @property
    def text(self) -> str:
        """Words with a space between them."""
        return " ".join(self.words)

    def values(self, *, words: bool) -> list[tuple[int, int, float]]:
        """Spans in characters with their sentiment from -2 to 2: of words, or of longer phrases."""
        ends = np.cumsum([len(word) + 1 for word in self.words]) - 1
        return [
            (int(ends[p.start]) - len(self.words[p.start]), int(ends[p.end - 1]), p.label - 2.0)
            for p in self.phrases[1:]
            if (p.end - p.start == 1) == words
        ]


class _Open(NamedTuple):
    """A phrase whose closing bracket is still to come."""

    number: int
    first: int
    label: int


def tree(line: str) -> Sentence:
    """Read one tree.

    Raises:
        ValueError: it says what is wrong, and at which column.
    """
    words: list[str] = []
    found: list[Phrase | None] = []
    opened: list[_Open] = []
    pieces = [(piece.start(1) + 1, piece[1]) for piece in _PIECE.finditer(line)]
    whole = False
    k = 0
    while k < len(pieces):
        column, piece = pieces[k]
        # A word closes its phrase at once, so what is open holds phrases, or nothing yet.
        after = [text for _, text in pieces[k + 1 : k + 4]]
        if whole or (not opened and piece != "("):
            raise ValueError(f"{piece!r} at column {column} stands outside the tree")
        if piece == "(":
            if after[:1] not in (["0"], ["1"], ["2"], ["3"], ["4"]):
                raise ValueError(f"column {column} opens a phrase without a label from 0 to 4")
            opened.append(_Open(len(found), len(words), int(after[0])))
            found.append(None)
            k += 1
            if after[1:2] not in ([], ["("], [")"]):
                if after[2:] not in ([], [")"]):
                    raise ValueError(f"the word {after[1]!r} after column {column} is not alone")
                words.append(_BRACKETS.get(after[1], re.sub(r"\\([/*])", r"\1", after[1])))
                k += 1
        elif piece == ")":
            phrase = opened.pop()
            if phrase.first == len(words):
                raise ValueError(f"the phrase that ends at column {column} holds no word")
            found[phrase.number] = Phrase(phrase.first, len(words), phrase.label)
            whole = not opened
        else:
            raise ValueError(f"the word {piece!r} at column {column} has no label of its own")
        k += 1
    if not whole:
        raise ValueError("the line ends before its tree")
    return Sentence(tuple(words), tuple(phrase for phrase in found if phrase is not None))


def read_trees(path: Path) -> list[Sentence]:
    """Read a file of trees, one a line.

    Raises:
        CorpusError: the file is not there or not UTF-8, is empty, or has a line that is no tree; it
            says which.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"Could not read the trees {path}: {error}.") from error
    if lines and not lines[-1]:
        lines.pop()  # the last line ends with a line break
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(tree(line))
        except ValueError as error:
            raise CorpusError(f"Line {number} of {path} is no tree: {error}.") from error
    if not found:
        raise CorpusError(f"{path} is empty: it holds no tree.")
    return found


def by_spaces(text: str) -> TokenizedText:
    """The words of a tree, which are separated by single spaces."""
    return located(text, text.split(" "))


def sentences(trees: Sequence[Sentence], name: str) -> Corpus:
    """Whole sentences and their labels."""
    labels = np.array([tree.phrases[0].label for tree in trees], np.int64)
    return Corpus(name, [tree.text for tree in trees], labels, LABELS)


def phrases(trees: Sequence[Sentence], name: str) -> Corpus:
    """Every phrase and word once with each label that it has; whole sentences among them."""
    found = dict.fromkeys(
        (" ".join(tree.words[p.start : p.end]), p.label) for tree in trees for p in tree.phrases
    )
    labels = np.array([label for _, label in found], np.int64)
    return Corpus(name, [text for text, _ in found], labels, LABELS)


def trained(
    train: Sequence[Sentence], dev: Sequence[Sentence], options: argparse.Namespace
) -> seqlrp.TextClassifier:
    """A network as published, trained on phrases, stopped by the sentences of `dev`."""
    sizes = {} if options.vectors else {"embedding": 60}
    classifier, report = seqlrp.fit(
        phrases(train, "SST phrases"),
        sentences(dev, "SST dev"),
        tokenizer=by_spaces,
        vectors=options.vectors,
        hidden=60,
        pooling="last",
        head_bias=False,
        epochs=options.epochs,
        patience=options.epochs,
        label_smoothing=0.0,
        dropout=0.3,
        word_dropout=0.05,
        batch_size=64,
        seed=options.seed,
        device="cpu",
        **sizes,
    )
    print(report.sentence())
    return classifier


def gold_agreement(
    classifier: seqlrp.TextClassifier, test: Sequence[Sentence], method: str
) -> list[float]:
    """Spearman's ρ with the sentiment of words and of phrases: in a sentence, and over all."""
    explanations = seqlrp.explain(classifier, [tree.text for tree in test], method, target=CONTRAST)
    found = []
    for words in (True, False):
        values = [tree.values(words=words) for tree in test]
        table = value_agreement(explanations, values)
        each = table[table["metric"] == "spearman"]["value"].mean()
        relevance = np.concatenate(
            [
                span_relevance(e.relevance, e.offsets, [(a, b) for a, b, _ in spans])
                for e, spans in zip(explanations, values, strict=True)
            ]
        )
        gold = np.array([value for spans in values for _, _, value in spans])
        found += [float(each), spearman(relevance, gold)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, delete words, compare with people; print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", type=Path, help="folder of train.txt, dev.txt and test.txt")
    parser.add_argument("--epochs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--vectors", help="pretrained word vectors, e.g. glove-6b-50d")
    parser.add_argument("--min-words", type=int, default=10, help="(default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        _report(options)
    except SeqlrpError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _report(options: argparse.Namespace) -> None:
    train, dev, test = (
        read_trees(options.trees / f"{part}.txt") for part in ("train", "dev", "test")
    )
    classifier = trained(train, dev, options)
    whole = sentences(test, "SST test")
    right = classifier.predict(whole.texts).predicted == whole.labels
    print(f"{right.mean():.1%} of {len(test):,} test sentences right (published: 46.3 %).")
    report = seqlrp.evaluate(
        classifier,
        whole,
        methods=METHODS,
        metrics=["word_deletion"],
        ks=range(6),
        removal="zero",
        min_words=options.min_words,
    )
    curves = report.curves("deletion_accuracy")
    count = len(test) - int(report.made["left_out"])
    print(f"\nAccuracy in % of {count:,} sentences of {options.min_words} words or more without k")
    print("words: those classified rightly, most relevant first; the others, least relevant first.")
    for direction, table in curves.groupby("direction"):
        head = f"{direction} ({table['documents'].max():,})"
        print(f"\n{head:22}" + "".join(f"{k:8}" for k in range(6)))
        for method in METHODS:
            values = table[table["method"] == method].sort_values("k")["value"]
            print(f"{method:22}" + "".join(f"{100 * value:8.1f}" for value in values))
    print("\nSteeper than a random order, in points (mean over k; 95 % interval)")
    for row in report.advantage().itertuples():
        if row.metric == "deletion_accuracy":
            print(
                f"{row.direction:6} {row.method:18} {100 * row.difference:6.1f} "
                f"({100 * row.low:.1f} to {100 * row.high:.1f})"
            )
    print("\nSpearman's correlation with people's sentiment, for very positive - very negative")
    print(f"{'':22}{'words':>12}{'all words':>12}{'phrases':>12}{'all phrases':>12}")
    for method in METHODS:
        found = gold_agreement(classifier, test, method)
        print(f"{method:22}" + "".join(f"{value:12.3f}" for value in found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
