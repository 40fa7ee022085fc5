"""The command `check`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import show
from seqlrp.cli.input_texts import read_texts
from seqlrp.cli.parsing import load_classifier, lrp_options, target_or_pair
from seqlrp.explaining.skipped import MAX_WORDS

FirstOption = Annotated[int, typer.Option(metavar="N", help="Look at so many texts.")]
VariantsOption = Annotated[
    int, typer.Option(metavar="N", help="Read so many texts with one word replaced; 0: none.")
]
MethodOption = Annotated[
    str, typer.Option(metavar="NAME", help="lrp, or chosen where LRP was chosen.")
]
TargetOption = Annotated[
    str, typer.Option(metavar="CLASS", help="predicted, label, or the name of a class.")
]


def check(
    model: shared.ModelArgument,
    corpus: shared.TextsArgument = None,
    text: shared.TextOption = None,
    first: FirstOption = 20,
    target: TargetOption = "predicted",
    against: shared.AgainstOption = None,
    method: MethodOption = "lrp",
    epsilon: shared.EpsilonOption = None,
    gate_rule: shared.GateRuleOption = None,
    text_column: shared.TextColumn = None,
    label_column: shared.LabelColumn = None,
    split: shared.SplitOption = None,
    on_unanswerable: shared.OnUnanswerableOption = shared.OnUnanswerable.error,
    max_words: shared.MaxWordsOption = MAX_WORDS,
    variants: VariantsOption = 100,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
) -> None:
    """Say whether LRP's explanations of a model can be believed, and what takes its scores.

    Without a corpus or a text, a few English sentences about films are looked at.
    """
    from seqlrp.explaining.check import SENTENCES
    from seqlrp.explaining.check import check as check_texts

    classifier = load_classifier(model, device, factory)
    if corpus is None and not text:
        print("No text given: looking at sentences of seqlrp's own.", file=sys.stderr)
        text = list(SENTENCES)
    texts = read_texts(
        classifier, corpus, text or (), text_column=text_column, label_column=label_column,
        split=split, labelled="label" in (target, against),
        on_unanswerable=on_unanswerable.value,
    )  # fmt: skip
    report = check_texts(
        classifier, texts.texts, target_or_pair(target, against), labels=texts.labels, first=first,
        on_unanswerable=on_unanswerable.value, max_words=max_words, method=method,
        variants=variants,
        **lrp_options(epsilon, gate_rule),
    )  # fmt: skip
    show(report.summary())
