"""Runs on a cluster of Ray, of which an actor or a machine is killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import seqlrp.scale
from samples.kills import Moments, check_folder, children, runs, wait_until
from samples.sharded import contents, failing_classifier
from seqlrp.models.classifier import TextClassifier
from seqlrp.scale.log import LOG

TESTS = Path(__file__).parents[1]
# Ray gives its workers a low priority, with which they starve where other programs run, and takes
# half a minute to believe that a machine is gone. A process that starts slowly is not given up.
_SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path]),
    "RAY_worker_niceness": "0",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_RUN = """
import sys
import seqlrp.scale
from samples import sharded

model, source, out, size, workers, factory = sys.argv[1:]
seqlrp.scale.explain(
    model, source, out, engine="ray", address="local", workers=int(workers), shard_size=int(size),
    factory=getattr(sharded, factory), progress=False,
)
"""


class RayCluster:
    """A head without cores, in which this process is, and two machines of two cores each."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._machines: list[Any] = []
        self.complete()
        ray.init(self._cluster.address, log_to_driver=False)

    def complete(self) -> None:
        """Add machines in the place of those that were killed."""
        self._machines = [m for m in self._machines if runs(_raylet(m))]
        while len(self._machines) < 2:
            self._machines.append(self._cluster.add_node(num_cpus=2))

    def machines(self) -> list[int]:
        """The processes that stand for the machines with actors; all on them end with them."""
        return [m for m in map(_raylet, self._machines) if _actors(m)]

    def actors(self) -> list[int]:
        """The processes in which actors run."""
        return [actor for machine in self._machines for actor in _actors(_raylet(machine))]

    def shutdown(self) -> None:
        """End all of it."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def _raylet(machine: Any) -> int:
    (found,) = machine.all_processes["raylet"]
    return int(found.process.pid)


def _actors(machine: int) -> list[int]:
    return [p for p in children(machine) if _title(p).startswith(b"ray::_Actor")]


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Start a cluster for a while."""
    with mock.patch.dict(os.environ, _SETTINGS):
        os.environ.pop("RAY_ADDRESS", None)
        cluster = RayCluster()
        try:
            yield cluster
        finally:
            cluster.shutdown()


class RayKills:
    """Explains a source on Ray again and again, and kills what it runs on at some moment.

    Args:
        cluster: where actors run.
        saved: the folder of `samples.sharded.save_classifier`.
        source: the texts.
        folder: where runs write; a subfolder each.
        size: documents in a shard.
        workers: how many actors there are.
        kills: how many actors, or machines, are killed in a run.
        factory: `failing_classifier`, or `slow_classifier`, with which a run lasts so long that all
            of them can be.
    """

    def __init__(
        self,
        cluster: RayCluster,
        saved: Path,
        source: Path,
        folder: Path,
        *,
        size: int = 10,
        workers: int = 2,
        kills: int = 1,
        factory: Callable[..., TextClassifier] = failing_classifier,
    ) -> None:
        self._cluster, self._saved, self.source, self.folder = cluster, saved, source, folder
        self._size, self._workers, self._kills, self._factory = size, workers, kills, factory
        self._count = 0
        begun = time.time()
        self._explain(folder / "calm-ray")
        self.lasts = time.time() - begun
        self.calm = contents(folder / "calm-ray")
        self._moments = Moments(folder / "calm-ray" / LOG, begun)

    def at(self, drawn: random.Random, victim: str) -> int:
        """Kill at moments that are drawn, go on if the run does not, and check the folder.

        Args:
            drawn: draws the moments.
            victim: an "actor"; a "node", a machine with actors, whose work others take over; or
                the "cluster", a new one of this machine with all of its processes.

        Returns:
            how many of the moments came before the end.
        """
        self._count += 1
        out = self.folder / f"ray-{self._count}"
        came = self._cluster_at(drawn, out) if victim == "cluster" else self._at(drawn, victim, out)
        check_folder(out, self.calm)
        return came

    def _at(self, drawn: random.Random, victim: str, out: Path) -> int:
        self._cluster.complete()
        moments = sorted(self._moments.draw(drawn) for _ in range(self._kills))
        killed = 0
        with ThreadPoolExecutor(1) as pool:  # for Ray starts machines from the main thread only
            running = pool.submit(self._explain, out)  # goes on by itself
            for moment in moments:
                wait_until(moment, out / LOG, lambda: not running.done())
                cluster, found = self._cluster, []
                while not found and not running.done():  # all may have been killed just now
                    time.sleep(0.01)
                    found = cluster.actors() if victim == "actor" else cluster.machines()
                if found:
                    chosen = drawn.choice(found)
                    os.kill(chosen, signal.SIGKILL)
                    killed += 1
                    if victim == "node":
                        _wait_for_the_end([chosen])
                        cluster.complete()
            running.result()
        return killed

    def _cluster_at(self, drawn: random.Random, out: Path) -> int:
        factory = self._factory.__name__
        arguments = (self._saved, self.source, out, self._size, self._workers, factory)
        driver = subprocess.Popen([sys.executable, "-c", _RUN, *map(str, arguments)])
        # By its second line all of Ray runs, whose start is not seen in the log.
        moment = self._moments.draw(drawn, least=2)
        wait_until(moment, out / LOG, lambda: driver.poll() is None)
        cluster = [p for p in _descendants(driver.pid) if runs(p)]
        for process in cluster:
            os.kill(process, signal.SIGKILL)
        status = driver.wait(600)
        _wait_for_the_end(cluster)
        if status:
            self._explain(out)
        return int(status != 0)

    def _explain(self, out: Path) -> None:
        seqlrp.scale.explain(
            self._saved, self.source, out, engine="ray", workers=self._workers,
            shard_size=self._size, factory=self._factory, progress=False,
        )  # fmt: skip


def _wait_for_the_end(processes: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(map(runs, processes)):
        assert time.monotonic() < deadline, "killed processes go on"
        time.sleep(0.05)


def _title(process: int) -> bytes:
    """The command line of a process, or the title that it gave itself."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _descendants(process: int) -> list[int]:
    return [d for child in children(process) for d in (child, *_descendants(child))]
