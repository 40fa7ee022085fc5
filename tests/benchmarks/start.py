"""How long seqlrp takes to start: imports, commands, and the first relevance of a process.

    python tests/benchmarks/start.py MODEL [--rounds 5]

Each number is the median over rounds, in which all take turns, each in a process of its own. What
is compiled once for an installation has been compiled before.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

_IMPORT = "import time; a = time.perf_counter(); import {}; print(time.perf_counter() - a)"
_FIRST = """
import time, seqlrp
classifier = seqlrp.load({model!r})
seconds = []
for text in ("a good film", "a bad film"):
    start = time.perf_counter()
    seqlrp.explain(classifier, [text] * 64, "lrp")
    seconds.append(time.perf_counter() - start)
print(seconds[0] - seconds[1])
"""


def printed(code: str) -> float:
    """Return the number that a process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def seconds(*arguments: str) -> float:
    """Return how long a command takes, from the start of its process to its end."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "seqlrp", *arguments]
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def measured(model: str, rounds: int) -> dict[str, float]:
    """Return the medians in seconds, by what was measured."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds + 1):  # the first may compile
        # Names of the package are loaded when they are asked for: LRP asks for most.
        own, torch = (printed(_IMPORT.format(name)) for name in ("seqlrp; seqlrp.LRP", "torch"))
        one = {
            "import seqlrp, with LRP - import torch": own - torch,
            "seqlrp --help": seconds("--help"),
            "seqlrp explain MODEL --text": seconds("explain", model, "--text", "a good film"),
            "first relevance - second": printed(_FIRST.format(model=model)),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description="How long seqlrp takes to start.")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for name, value in measured(arguments.model, arguments.rounds).items():
        print(f"{value:6.2f} s  {name}")


if __name__ == "__main__":
    main()
