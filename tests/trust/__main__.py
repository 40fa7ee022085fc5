"""Print the verdict on every model: `PYTHONPATH=tests python -m trust [part of a name]`."""

from __future__ import annotations

import sys
from collections import Counter

from trust.judge import judge
from trust.models import CASES


def main() -> None:
    """Judge the models whose names contain the first argument, and list what is not right."""
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    verdicts = {case: judge(case) for case in CASES if part in str(case)}
    for case, verdict in sorted(verdicts.items(), key=lambda pair: pair[1].kind):
        if verdict.kind != "right":
            print(f"{verdict.kind:8} {case}: {verdict.message}")
    counts = Counter(verdict.kind for verdict in verdicts.values())
    needless = sum(v.kind == "refused" and c.truth is not None for c, v in verdicts.items())
    print(dict(counts), "of", len(verdicts), f"({needless} of the refused have a truth)")


if __name__ == "__main__":
    main()
