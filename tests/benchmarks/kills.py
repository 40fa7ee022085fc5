"""Kills runs over many shards at random moments, and says whether any folder differs in the end.

`PYTHONPATH=tests:. python tests/benchmarks/kills.py --moments 100` kills the main process and a
worker in turn, with SIGKILL, goes on, and compares all files with those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

from samples.kills import Kills
from samples.sharded import RAISES, save_classifier, write_texts


def main() -> None:
    """Kill, go on, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--texts", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn, happened, wrong = random.Random(options.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        saved = save_classifier(Path(folder) / "model")
        source = Path(folder) / "a.jsonl"
        write_texts(source, options.texts, {options.texts // 2: RAISES})
        kills = Kills(saved, source, Path(folder))
        print(f"undisturbed: {kills.lasts:.1f} s, {len(kills.calm)} files", flush=True)
        for moment in range(options.moments):
            try:
                happened[kills.at(drawn, ("main", "worker")[moment % 2])] += 1
            except AssertionError as error:
                wrong += 1
                print(f"moment {moment}: {error}", flush=True)
            if moment % 10 == 9:
                print(f"{moment + 1} moments: {dict(happened)}, {wrong} wrong", flush=True)
    print(f"{sum(happened.values())} folders are right, {wrong} wrong: {dict(happened)}")


if __name__ == "__main__":
    main()
