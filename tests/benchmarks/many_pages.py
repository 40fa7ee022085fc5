"""How much memory it takes to render, and to sum up, a folder of very many explanations.

`python tests/benchmarks/many_pages.py --texts 1000000` writes shards of made-up explanations of
short texts, makes pages of them, and sums up their words. It prints the memory that the process
held after each tenth of the texts, in MB; it should not grow with them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.files import explanation_writer
from seqlrp.explanations.parts import MANIFEST, part_path
from seqlrp.explanations.record import Explanation
from seqlrp.explanations.summaries import summarise
from seqlrp.show.page import save_pages

SHARD = 4096
WORDS = np.array([f"word{k}" for k in range(5000)], object)
LABELS = ("negative", "positive")


def made_up(count: int, seed: int = 0) -> Iterator[Explanation]:
    """Explanations of 5 to 15 random words, frequent ones first as in Zipf's law."""
    drawn = np.random.default_rng(seed)
    for number in range(count):
        length = int(drawn.integers(5, 16))
        words = tuple(WORDS[np.minimum(drawn.zipf(1.3, length) - 1, len(WORDS) - 1)])
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        starts = ends - [len(word) for word in words]
        predicted = int(drawn.integers(2))
        scores = drawn.normal(size=2).astype(np.float32)
        scores[predicted] = scores.max() + 1
        yield Explanation(
            text=" ".join(words), tokens=words, offsets=np.stack([starts, ends], 1).astype("int32"),
            relevance=drawn.normal(size=length).astype(np.float32), target=predicted,
            predicted=predicted, label=int(drawn.integers(2)), scores=scores, labels=LABELS,
            method="lrp", id=str(number),
        )  # fmt: skip


def write_folder(folder: Path, count: int) -> Path:
    """Write made-up explanations as a finished folder of shards."""
    folder.mkdir()
    made, shards = made_up(count), -(-count // SHARD)
    for shard in range(shards):
        with explanation_writer(part_path(folder, shard)) as writer:
            for _ in range(min(SHARD, count - shard * SHARD)):
                writer.append(next(made))
    (folder / MANIFEST).write_text(json.dumps({"shards": [[]] * shards}))
    return folder


def held() -> float:
    """The memory that this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def watched(explanations: Explanations, what: str) -> Iterator[Explanation]:
    """Pass explanations on, and print the memory after each tenth of them."""
    every, begun = max(len(explanations) // 10, 1), time.process_time()
    for number, explanation in enumerate(explanations, 1):
        yield explanation
        if not number % every:
            took = time.process_time() - begun
            print(f"{what}: {number:,} texts, {held():.0f} MB, {took:.0f} s", flush=True)


def sum_up(explanations: Iterable[Explanation]) -> None:
    """Sum up the words."""
    print(f"{len(summarise(explanations)):,} rows, {held():.0f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where made-up explanations are, or are put")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "explained"
        if not folder.exists():
            write_folder(folder, options.texts)
        explanations = Explanations.load(folder)
        print(f"{len(explanations):,} texts are written, {held():.0f} MB", flush=True)
        pages = Path(temporary) / "pages"
        save_pages(watched(explanations, "pages"), pages, progress=False)
        sizes = sorted(file.stat().st_size for file in pages.iterdir())
        print(f"{len(sizes):,} pages, the largest {sizes[-1] / 1e6:.1f} MB; {held():.0f} MB")
        sum_up(watched(explanations, "summary"))


if __name__ == "__main__":
    main()
