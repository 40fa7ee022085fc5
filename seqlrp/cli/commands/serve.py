"""The command `serve`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from seqlrp.cli import options as shared
from seqlrp.cli.application import say, show
from seqlrp.cli.parsing import load_classifier

EXAMPLES = 1000  # texts of a corpus that are held

Model2Argument = Annotated[
    Path | None, typer.Argument(metavar="MODEL2", help="A model shown beside it.")
]
CorpusOption = Annotated[
    str | None, typer.Option(metavar="CORPUS", help="Texts that the page can take up.")
]
HostOption = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Any but this machine's own asks for a token.")
]
PortOption = Annotated[
    int, typer.Option(metavar="N", min=0, max=65535, help="0 takes one that is free.")
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME:PORT", help="Another name of this server; repeatable."),
]
TokenOption = Annotated[str | None, typer.Option(metavar="TOKEN", help="What callers must send.")]
MaxWordsOption = Annotated[int, typer.Option(metavar="N", min=1, help="Tokens of one text.")]
TimeoutOption = Annotated[
    float, typer.Option(metavar="S", min=0.1, help="Seconds until a request is given up.")
]


def serve(
    model: shared.ModelArgument,
    model2: Model2Argument = None,
    corpus: CorpusOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 0,
    allow_host: AllowHostOption = None,
    token: TokenOption = None,
    max_words: MaxWordsOption = 5000,
    timeout: TimeoutOption = 30.0,
    text_column: shared.TextColumn = None,
    split: shared.SplitOption = None,
    device: shared.DeviceOption = shared.Device.auto,
    factory: shared.FactoryOption = None,
) -> None:
    """Try sentences on a live page: strike words, switch classes, compare two models."""
    from seqlrp.serve import Limits
    from seqlrp.serve import serve as run_server

    classifiers = [load_classifier(path, device, factory) for path in (model, model2) if path]
    examples = [] if corpus is None else _examples(classifiers[0], corpus, text_column, split)

    def ready(address: str) -> None:
        show(address)
        say("Press Ctrl-C to stop.")

    names = [path.name or str(path) for path in (model, model2) if path]
    if len(set(names)) < len(names):
        names = [str(model), f"{model2} (second)"]
    run_server(
        *classifiers,
        names=names,
        about=[_about(path) for path in (model, model2) if path],
        examples=examples,
        host=host,
        port=port,
        allowed_hosts=allow_host or (),
        token=token,
        limits=Limits(words=max_words, seconds=timeout),
        ready=ready,
    )


def _about(folder: Path) -> str:
    """Which folder a model is from, and when it was saved."""
    saved = datetime.fromtimestamp(max(f.stat().st_mtime for f in folder.iterdir()))
    return f"{'/'.join(folder.resolve().parts[-2:])}, saved {saved.day} {saved:%B %Y}"


def _examples(
    classifier: Any, corpus: str, text_column: str | None, split: str | None
) -> list[str]:
    """Texts of a corpus, from all parts of it where it is held as a whole."""
    from seqlrp.cli.input_texts import read_texts

    given = read_texts(
        classifier, corpus, (), text_column=text_column, label_column=None, split=split,
        labelled=False, on_unanswerable="skip",
    )  # fmt: skip
    texts = given.texts
    if isinstance(texts, Sequence):
        texts = texts[:: max(len(texts) // EXAMPLES, 1)]
    return [text for text in islice(texts, EXAMPLES) if text.strip()]
