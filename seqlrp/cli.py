"""The command line: thin calls of the functions that Python users call.

Results go to stdout or into files, messages to stderr. What the user got wrong ends with status 2
and a sentence that says what to do.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from seqlrp.errors import OptionError, SeqlrpError

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation
    from seqlrp.text.corpora import Corpus
    from seqlrp.text_classifier import TextClassifier

app = typer.Typer(
    name="seqlrp",
    help="Explain LSTM and GRU text classifiers by layer-wise relevance propagation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Device(StrEnum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class GateRule(StrEnum):
    """How a gate and a signal share relevance."""

    all = "all"
    prop = "prop"
    abs = "abs"
    half = "half"


class Pooled(StrEnum):
    """What becomes of the states of the network that is timed."""

    max = "max"
    last = "last"


class RemovalOption(StrEnum):
    """What becomes of a deleted word."""

    zero = "zero"
    delete = "delete"
    unk = "unk"


CorpusArgument = Annotated[
    str,
    typer.Argument(
        help="A CSV, JSON lines or Parquet file, a folder CLASS/*.txt, 'reviews', 'imdb', "
        "'generated', or a data set of the hub."
    ),
]
ModelArgument = Annotated[Path, typer.Argument(help="A folder that `seqlrp train` wrote.")]
TextColumn = Annotated[str | None, typer.Option("--text-column", help="Column of the texts.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Column of the labels.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Which part of the corpus.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the model runs.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
MethodOption = Annotated[str, typer.Option(help="How to explain: lrp, gradient_x_input, …")]
EpsilonOption = Annotated[float | None, typer.Option(help="LRP's stabiliser ε ≥ 0.")]
GateRuleOption = Annotated[
    GateRule | None, typer.Option(help="LRP: what a gate gets of its product; all: the signal all.")
]
TextOption = Annotated[list[str] | None, typer.Option("--text", help="A text; repeatable.")]
SizesOption = Annotated[str | None, typer.Option(help="Numbers, separated by commas.")]
AgainstOption = Annotated[
    str | None,
    typer.Option(help="Why the target rather than this: predicted, label, or a class's name."),
]


@app.command()
def demo(
    corpus: Annotated[str, typer.Option(help="reviews, imdb, generated, or any corpus.")] = (
        "reviews"
    ),
    out: Annotated[Path, typer.Option(help="Folder for everything.")] = Path("seqlrp-demo"),
    vectors: Annotated[
        str,
        typer.Option(help="Pretrained word vectors: auto (if installed), none, a name or a file."),
    ] = "auto",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train on a corpus, explain its hold-out, delete words, and leave a page to look at."""
    from seqlrp.demo import run_demo

    run_demo(corpus, out, vectors=vectors, device=device.value, seed=seed)


@app.command()
def train(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    cell: Annotated[str, typer.Option(help="lstm or gru.")] = "lstm",
    pooling: Annotated[str, typer.Option(help="last, mean, max or attention.")] = "attention",
    hidden: Annotated[int, typer.Option(help="Hidden units in each direction.")] = 64,
    layers: Annotated[int, typer.Option(help="Recurrent layers.")] = 1,
    unidirectional: Annotated[bool, typer.Option(help="Read forwards only.")] = False,
    hierarchical: Annotated[bool, typer.Option(help="Words → sentences → document.")] = False,
    vectors: Annotated[str | None, typer.Option(help="Pretrained vectors: a name or file.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    language: Annotated[str, typer.Option(help="Language of the tokenizer.")] = "en",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train a classifier and save it as a folder."""
    from seqlrp.saving import save
    from seqlrp.text.corpora import load_corpus
    from seqlrp.text.tokens import SpacyTokenizer
    from seqlrp.training import fit
    from seqlrp.writing import check_writable

    check_writable(out.parent)
    found = load_corpus(corpus, text=text_column, label=label_column, split=split)
    options: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    trained = fit(
        found,
        layout="sentences" if hierarchical else "words",
        vectors=vectors,
        tokenizer=SpacyTokenizer(language),
        device=device.value,
        cell=cell,
        pooling=pooling,
        hidden=hidden,
        layers=layers,
        bidirectional=not unidirectional,
        seed=seed,
        **options,
    )
    save(trained.classifier, out, training=trained.report.to_json())
    print(out)
    print(trained.report.sentence(), file=sys.stderr)


@app.command()
def explain(
    model: ModelArgument,
    corpus: Annotated[
        str | None, typer.Argument(help="What to explain: a corpus as for `train`.")
    ] = None,
    text: TextOption = None,
    out: Annotated[
        Path | None, typer.Option(help="A .parquet or .jsonl file; without it, words on stdout.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    target: Annotated[
        str, typer.Option(help="predicted, label, all, or the name of a class.")
    ] = "predicted",
    against: AgainstOption = None,
    method: MethodOption = "lrp",
    epsilon: EpsilonOption = None,
    gate_rule: GateRuleOption = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Explain texts with a trained model: relevance of every word for the score of a class."""
    from seqlrp.explain import explain as explain_texts

    if (corpus is None) == (not text):
        raise OptionError("Say what to explain: either a corpus or --text, and not both.")
    classifier = _loaded(model, device)
    texts = text or _corpus(classifier, str(corpus), text_column, label_column, split)
    options = _lrp_options(epsilon, gate_rule)
    explanations = explain_texts(classifier, texts, method, _pair(target, against), **options)
    if out is not None:
        explanations.save(out)
        print(out)
    if html is not None:
        explanations.save_html(html)
        print(html)
    if out is None and html is None:
        for explanation in explanations:
            _print_words(explanation)


@app.command()
def evaluate(
    model: ModelArgument,
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")],
    methods: Annotated[str, typer.Option(help="Names, separated by commas.")] = (
        "lrp,gradient_x_input,sensitivity,random"
    ),
    ks: Annotated[str, typer.Option("--k", help="Numbers of deleted words.")] = "0,1,2,3,4,5",
    removal: Annotated[RemovalOption, typer.Option(help="What becomes of a word.")] = (
        RemovalOption.zero
    ),
    min_words: Annotated[int, typer.Option(help="Leave shorter texts out.")] = 10,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Delete the words that each method names, and see whether the answer changes."""
    from seqlrp.deletion import evaluate as delete_words

    counts = _numbers("--k", ks)
    classifier = _loaded(model, device)
    texts = _corpus(classifier, corpus, text_column, label_column, split)
    report = delete_words(
        classifier,
        texts,
        methods=[m.strip() for m in methods.split(",")],
        ks=counts,
        removal=removal.value,
        min_words=min_words,
        seed=seed,
    )
    for path in report.save(out):
        print(path)
    print(report.summary())


@app.command()
def check(
    model: ModelArgument,
    corpus: Annotated[
        str | None, typer.Argument(help="What to look at: a corpus as for `train`.")
    ] = None,
    text: TextOption = None,
    first: Annotated[int, typer.Option(help="Look at so many texts.")] = 20,
    target: Annotated[
        str, typer.Option(help="predicted, label, or the name of a class.")
    ] = "predicted",
    against: AgainstOption = None,
    epsilon: EpsilonOption = None,
    gate_rule: GateRuleOption = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    split: SplitOption = None,
    device: DeviceOption = Device.auto,
) -> None:
    """See where the scores go by LRP: how much reaches the words, and which layer takes the rest.

    Without a corpus or a text, a few English sentences about films are looked at.
    """
    from seqlrp.checking import SENTENCES
    from seqlrp.checking import check as check_texts

    if corpus is not None and text:
        raise OptionError("Say what to look at: either a corpus or --text, and not both.")
    classifier = _loaded(model, device)
    texts: Any = text or SENTENCES
    if corpus is not None:
        texts = _corpus(classifier, corpus, text_column, label_column, split)
    elif not text:
        print("No text given: looking at sentences of seqlrp's own.", file=sys.stderr)
    options = _lrp_options(epsilon, gate_rule)
    report = check_texts(classifier, texts, _pair(target, against), first=first, **options)
    print(report.summary())
    for warning in report.warnings:
        print(f"seqlrp: {warning}", file=sys.stderr)


@app.command()
def render(
    explanations: Annotated[Path, typer.Argument(help="A .parquet or .jsonl file.")],
    out: Annotated[Path, typer.Option(help="The .html file, or a folder for pages of all texts.")],
    first: Annotated[int, typer.Option(help="Show at most so many texts in a file.")] = 100,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Which words decided",
    scale: Annotated[str, typer.Option(help="Colours by document or by corpus.")] = "document",
) -> None:
    """Make a page of saved explanations, to look at and to send to people."""
    from seqlrp.explanation import Explanations

    found = Explanations.load(explanations)
    shown = found[:first] if out.suffix == ".html" else found
    (shown.save_html if out.suffix == ".html" else shown.save_pages)(out, title=title, scale=scale)
    if len(found) > len(shown):
        print(f"Shown: the first {first:,} of {len(found):,} texts.", file=sys.stderr)
    print(out)


@app.command()
def benchmark(
    quick: Annotated[bool, typer.Option("--quick", help="A small grid, under a minute.")] = False,
    threads: SizesOption = None,
    hidden: SizesOption = None,
    length: SizesOption = None,
    batch: SizesOption = None,
    seconds: Annotated[float | None, typer.Option(help="For a row; 1, quick 0.3.")] = None,
    limit: Annotated[float | None, typer.Option(help="A call, in seconds; 10, quick 1.")] = None,
    pooling: Annotated[Pooled, typer.Option(help="Over steps, or the last.")] = Pooled.max,
    packed: Annotated[bool, typer.Option("--packed", help="Pack texts of T/2 to T.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write JSON, with times.")] = None,
    device: DeviceOption = Device.cpu,
) -> None:
    """Time LRP against other methods side by side: ratios, on networks with random weights."""
    from seqlrp.benchmark import benchmark as timed
    from seqlrp.writing import check_writable

    if out is not None:
        check_writable(out.parent)
    lists = {"threads": threads, "hidden": hidden, "length": length, "batch": batch}
    options: dict[str, Any] = {
        name: _numbers(f"--{name}", given) for name, given in lists.items() if given is not None
    }
    options |= {"device": device.value, "pooling": pooling.value, "packed": packed}
    report = timed(**options, seconds=seconds, limit=limit, quick=quick)
    print(report.summary())
    if out is not None:
        report.save(out)
        print(out)
    if report.interrupted:
        raise typer.Exit(130)


def _print_words(explanation: Explanation) -> None:
    """The answer, the words with most relevance of either sign, and where the score went."""
    if explanation.target == "all":
        explanation = explanation.for_target(explanation.predicted)
    answer = f"{explanation.predicted_label}  (score {explanation.score:+.3f}"
    asked = f"for {explanation.target_label!r}"
    if explanation.against_label is not None:
        answer = f"{explanation.predicted_label}  (scores differ by {explanation.score:+.3f}"
        asked += f" rather than {explanation.against_label!r}"
    print(f"{answer} {asked})  {ascii_safe(explanation.text)}")
    strongest = sorted(
        (*explanation.top(5), *explanation.top(5, sign=-1)), key=lambda word: -abs(word[2])
    )
    for position, token, relevance in strongest:
        print(f"  {relevance:+9.4f}  {ascii_safe(token)}  [{position}]")
    for kind, amount in explanation.ledger.items():
        if amount:
            print(f"  {amount:+9.4f}  = all {kind}")


def ascii_safe(text: str) -> str:
    """Text for a terminal: control characters, line breaks and bidirectional marks are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def main() -> NoReturn:
    """Run the command line, and end with its exit status."""
    try:
        app()
    except SeqlrpError as error:
        print(f"seqlrp: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("seqlrp: interrupted; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _numbers(option: str, given: str) -> list[int]:
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise OptionError(f"Got {option} {given!r}; expected numbers such as 0,1,2,5.") from None


def _lrp_options(epsilon: float | None, gate_rule: GateRule | None) -> dict[str, Any]:
    """The options of LRP that were given; the rest is as it is by default."""
    given = {"epsilon": epsilon, "gate_rule": gate_rule and gate_rule.value}
    return {name: value for name, value in given.items() if value is not None}


def _pair(target: str, against: str | None) -> str | tuple[str, str]:
    return target if against is None else (target, against)


def _corpus(
    classifier: TextClassifier, corpus: str, text: str | None, label: str | None, split: str | None
) -> Corpus:
    from seqlrp.text.corpora import load_corpus

    return load_corpus(corpus, text=text, label=label, split=split, label_names=classifier.labels)


def _loaded(folder: Path, device: Device) -> TextClassifier:
    from seqlrp.saving import load

    return load(folder, device=device.value)
