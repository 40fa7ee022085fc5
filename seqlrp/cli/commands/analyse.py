"""The command `analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import LIMIT_PASSED, print_path, say, show
from seqlrp.cli.input_texts import load_explained, read_corpus
from seqlrp.cli.parsing import load_classifier, parse_batch_tokens, parse_method_options

if TYPE_CHECKING:
    from seqlrp.explanations.collection import Explanations
    from seqlrp.text.corpora import Corpus

OutOption = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the page and tables.")]
CandidateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="WORDS",
        help="A word or phrase to try besides, 'a + b' for two together; repeatable.",
    ),
]
ShortcutsOption = Annotated[
    bool, typer.Option("--shortcuts/--no-shortcuts", help="Try candidates by intervention.")
]
FailOnShortcutOption = Annotated[
    bool, typer.Option("--fail-on-shortcut", help="End with status 3 if a candidate is decisive.")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORDS",
        help="A candidate that may be decisive, as it makes a class by its meaning; repeatable.",
    ),
]


def analyse(
    model: shared.ModelArgument,
    corpus: shared.CorpusArgument,
    out: OutOption,
    method: shared.MethodOption = "lrp",
    option: shared.MethodOptions = None,
    candidate: CandidateOption = None,
    shortcuts: ShortcutsOption = True,
    fail_on_shortcut: FailOnShortcutOption = False,
    allow: AllowOption = None,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
    batch_tokens: shared.BatchTokensOption = "8192",
    seed: shared.SeedOption = 0,
) -> None:
    """Find what a model looks at over a whole corpus, and prove which words it needs.

    CORPUS may be a folder that `explain --out FOLDER` wrote: its texts are not explained again.

    What is finished is kept in the folder: the same command goes on after an interruption.
    """
    from seqlrp.analysis.scikit import scikit

    scikit("neighbors")  # what is missing is said before anything else is loaded
    from seqlrp.analysis.analyse import analyse as analyse_corpus
    from seqlrp.analysis.corpus_analysis import PAGE

    options = parse_method_options(method, None, None, option)
    classifier = load_classifier(model, device, factory)
    texts: Corpus | Explanations | None = load_explained(
        corpus, text_column=text_column, label_column=label_column, split=split
    )
    if texts is None:
        texts = read_corpus(
            corpus, text=text_column, label=label_column, split=split,
            label_names=classifier.labels, on_unanswerable=on_unanswerable.value,
        )  # fmt: skip
    try:
        analysis = analyse_corpus(
            classifier, texts, method=method, candidates=candidate or (), shortcuts=shortcuts,
            out=out, batch_tokens=parse_batch_tokens(batch_tokens), seed=seed, **options,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"what is finished is kept in {out}; the same command goes on from there.")
        raise
    analysis.save(out)
    show(analysis.summary())
    show()
    print_path(out / PAGE)
    found = analysis.decisive(allow or ())
    if fail_on_shortcut and len(found):
        names = ", ".join(repr(name) for name in found["candidate"])
        say(f"decisive: {names}. Name those that make a class by their meaning by --allow.")
        raise typer.Exit(LIMIT_PASSED)
