"""Runs on a cluster of Ray, of which an actor or a machine is killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import seqlrp.scale
from samples.kills import Moments, check_folder, children, runs
from samples.sharded import contents, failing_classifier
from seqlrp.scale.log import LOG

TESTS = Path(__file__).parents[1]
# Ray gives its workers a low priority, with which they starve where other programs run, and takes
# half a minute to believe that a machine is gone.
_SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path]),
    "RAY_worker_niceness": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_RUN = """
import sys
import seqlrp.scale
from samples.sharded import failing_classifier

model, source, out, size = sys.argv[1:]
seqlrp.scale.explain(
    model, source, out, engine="ray", address="local", workers=2, shard_size=int(size),
    factory=failing_classifier, progress=False,
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
    """

    def __init__(
        self, cluster: RayCluster, saved: Path, source: Path, folder: Path, size: int = 10
    ) -> None:
        self._cluster, self._saved, self.source, self.folder = cluster, saved, source, folder
        self._size, self._count = size, 0
        begun = time.time()
        self._explain(folder / "calm-ray")
        self.lasts = time.time() - begun
        self.calm = contents(folder / "calm-ray")
        self._moments = Moments(folder / "calm-ray" / LOG, begun)

    def at(self, drawn: random.Random, victim: str) -> bool:
        """Kill at a moment that is drawn, go on if the run does not, and check the folder.

        Args:
            drawn: draws the moment.
            victim: an "actor"; a "node", a machine with actors, whose work others take over; or
                the "cluster", a new one of this machine with all of its processes.

        Returns:
            whether the moment came before the end.
        """
        self._count += 1
        out = self.folder / f"ray-{self._count}"
        came = self._cluster_at(drawn, out) if victim == "cluster" else self._at(drawn, victim, out)
        check_folder(out, self.calm)
        return came

    def _at(self, drawn: random.Random, victim: str, out: Path) -> bool:
        self._cluster.complete()
        killed: list[int] = []
        ended = threading.Event()

        def kill() -> None:
            self._moments.wait(drawn, out / LOG, lambda: not ended.is_set())
            cluster = self._cluster
            found = cluster.actors() if victim == "actor" else cluster.machines()
            if found and not ended.is_set():
                killed.append(drawn.choice(found))
                os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            self._explain(out)  # goes on by itself
        finally:
            ended.set()
            killer.join()
        return bool(killed)

    def _cluster_at(self, drawn: random.Random, out: Path) -> bool:
        arguments = map(str, (self._saved, self.source, out, self._size))
        driver = subprocess.Popen([sys.executable, "-c", _RUN, *arguments])
        # By its second line all of Ray runs, whose start is not seen in the log.
        self._moments.wait(drawn, out / LOG, lambda: driver.poll() is None, least=2)
        cluster = [p for p in _descendants(driver.pid) if runs(p)]
        for process in cluster:
            os.kill(process, signal.SIGKILL)
        status = driver.wait(600)
        deadline = time.monotonic() + 60
        while any(map(runs, cluster)):
            assert time.monotonic() < deadline, "processes outlive the cluster"
            time.sleep(0.05)
        if status:
            self._explain(out)
        return bool(status)

    def _explain(self, out: Path) -> None:
        seqlrp.scale.explain(
            self._saved, self.source, out, engine="ray", workers=2, shard_size=self._size,
            factory=failing_classifier, progress=False,
        )  # fmt: skip


def _title(process: int) -> bytes:
    """The command line of a process, or the title that it gave itself."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _descendants(process: int) -> list[int]:
    return [d for child in children(process) for d in (child, *_descendants(child))]
