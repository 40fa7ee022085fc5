"""What a document costs in shards: processor time, bytes, memory.

`python tests/benchmarks/scale.py MODEL SOURCE [--shards N]` explains shards of a file of texts in
this process, on one thread, and prints what it takes. Times are of the processor, so that other
programs on the machine change them little.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from seqlrp.models.fingerprint import fingerprint
from seqlrp.models.saving import load
from seqlrp.scale.plan import make_plan
from seqlrp.scale.shard_texts import ColumnNames
from seqlrp.scale.worker import Job, Worker, file_digest


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("source")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    size = Path(options.source).stat().st_size
    begun = time.process_time()
    plan = make_plan([options.source], {}, options.size)
    took = time.process_time() - begun
    print(f"plan: {took:.2f} s for {size / 1e6:.1f} MB, {size / 1e6 / took:.0f} MB/s")
    with tempfile.TemporaryDirectory() as folder:
        plan.save(Path(folder))
        manifest = (Path(folder) / "_manifest.json").stat().st_size
        print(f"manifest: {manifest} B for {len(plan.shards)} shards")
        job = Job(
            options.model, None, fingerprint(load(options.model), {}, ()).hexdigest(), Path(folder),
            plan.files, ColumnNames("text"), "lrp", {},
            "predicted", True, "skip", 8192, 200_000,
        )  # fmt: skip
        begun = time.process_time()
        worker = Worker(job, "cpu")
        print(f"load: {time.process_time() - begun:.2f} s")
        for shard in plan.shards[: options.shards]:
            begun = time.process_time()
            found = worker.explain(shard, {})
            took = time.process_time() - begun
            print(
                f"shard {shard.number}: {found.explained} texts, {found.words} words, {took:.2f} s",
                f"{found.explained / took:.0f} texts/s, {took / found.words * 1e6:.1f} s/M words",
                f"{found.size / found.words:.1f} B a word, peak {peak():.0f} MB",
                sep="; ",
            )
        path = Path(folder) / "part-000000.parquet"
        begun = time.process_time()
        for _ in range(20):
            file_digest(path)
        took = time.process_time() - begun
        print(f"hash: {20 * path.stat().st_size / 1e6 / took:.0f} MB/s")


if __name__ == "__main__":
    main()
