"""Does harm to runs over many shards at random moments, and says whether any folder differs.

    PYTHONPATH=tests:. python tests/benchmarks/kills.py --moments 100
    PYTHONPATH=tests:. python tests/benchmarks/kills.py --moments 20 --victims actor node cluster

kills the main process and a worker with SIGKILL, fills the disk (as root, who can mount one), or
makes the folder read-only; with Ray actors, or one of two machines, several in a run, or the whole
cluster. Each time it goes on, and compares all files with those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from samples.kills import Kills
from samples.ray_kills import RayKills, ray_cluster
from samples.sharded import RAISES, save_classifier, slow_classifier, write_texts

LOCAL = ("main", "worker", "full", "read-only")
RAY = ("actor", "node", "cluster")


def do_harm(kills: Kills | RayKills, victim: str, moments: int, seed: int) -> None:
    """Do harm at so many moments that came before the end of the run."""
    drawn, came, tried, wrong = random.Random(f"{victim} {seed}"), 0, 0, 0
    begun = time.monotonic()
    while came < moments:
        tried += 1
        try:
            came += kills.at(drawn, victim)
        except AssertionError as error:
            came, wrong = came + 1, wrong + 1
            print(f"{victim}, run {tried}: {error}", flush=True)
        if tried % 10 == 0 or came > tried:
            print(f"{victim}: {came} moments, {wrong} wrong", flush=True)
    took = time.monotonic() - begun
    print(f"{victim}: {came} moments in {tried} runs, {wrong} folders wrong, {took:.0f} s")


def main() -> None:
    """Do harm, go on, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--victims", nargs="+", choices=LOCAL + RAY, default=LOCAL)
    parser.add_argument("--texts", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=5, help="of actors or machines in a run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        saved, source = save_classifier(folder / "model"), folder / "a.jsonl"
        write_texts(source, options.texts, {options.texts // 2: RAISES})
        local = [victim for victim in options.victims if victim in LOCAL]
        if local:  # first, for it forks
            kills = Kills(saved, source, folder)
            print(f"undisturbed: {kills.lasts:.1f} s, {len(kills.calm)} files", flush=True)
            for victim in local:
                do_harm(kills, victim, options.moments, options.seed)
        if len(local) < len(options.victims):
            cluster = stack.enter_context(ray_cluster())
            on_ray = RayKills(
                cluster, saved, source, folder, workers=4, kills=options.kills,
                factory=slow_classifier,
            )  # fmt: skip
            print(f"undisturbed on Ray: {on_ray.lasts:.1f} s", flush=True)
            for victim in (victim for victim in options.victims if victim in RAY):
                do_harm(on_ray, victim, options.moments, options.seed)


if __name__ == "__main__":
    main()
