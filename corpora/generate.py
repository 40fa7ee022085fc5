"""Writes the corpus "generated": sentences whose sentiment follows from a grammar, word by word.

    python corpora/generate.py --seed 1 --size 3000 --out corpora/generated.csv

The same seed and size give the same bytes. Columns: text (tokens joined by spaces), label
(negative, positive), roles (one for each token, joined by spaces). The grammar is in
`seqlrp.truth.grammar`; `seqlrp.truth.sentiment_language` gives the same with its roles in Python.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the corpus."""
    from seqlrp.errors import WriteError
    from seqlrp.truth.grammar import MOST, generate
    from seqlrp.writing import written_whole

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=3000, help="sentences (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("generated.csv"))
    options = parser.parse_args(arguments)
    if not 1 <= options.size <= MOST:
        parser.error(f"--size: got {options.size}, expected 1 to {MOST:,}")
    try:
        with (
            written_whole(options.out) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as handle,
        ):
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(("text", "label", "roles"))
            writer.writerows(generate(options.seed, options.size))
    except WriteError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
