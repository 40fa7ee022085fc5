"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seqlrp.cli.options import Device, DeviceOption, SeedOption
from seqlrp.cli.parsing import folder_entries
from seqlrp.errors import WriteError


def demo(
    corpus: Annotated[
        str, typer.Option(metavar="CORPUS", help="reviews, imdb, generated, or any corpus.")
    ] = ("reviews"),
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for everything.")] = Path(
        "seqlrp-demo"
    ),
    vectors: Annotated[
        str,
        typer.Option(
            metavar="VECTORS",
            help="Pretrained word vectors: glove-6b-50d, a text file as of GloVe or word2vec, "
            "none, or auto: glove-6b-50d where it is installed.",
        ),
    ] = "auto",
    device: DeviceOption = Device.auto,
    seed: SeedOption = 0,
) -> None:
    """Train on a corpus, explain its hold-out, delete words, and leave a page to look at."""
    from seqlrp.cli.demonstration import FILES, run_demo

    present = folder_entries(out)
    if (replaced := sorted(present & FILES)) and "held-out.csv" not in present:
        raise WriteError(
            f"{out} holds {replaced[0]!r}, which would be replaced, and was not made by "
            "`seqlrp demo`; name another folder by --out."
        )
    run_demo(corpus, out, vectors=vectors, device=device.value, seed=seed)
