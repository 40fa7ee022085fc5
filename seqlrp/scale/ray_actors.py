"""Workers that are actors of a Ray cluster, which may be on many machines.

What is sent through Ray is a few numbers a shard: texts are read, and parts written, where the
actor runs. So the sources and the folder must be what every machine sees. Actors that find no free
cores or GPU wait for them, and Ray's autoscaler adds machines for them where it may.

An actor that dies, alone or with its machine, is replaced by the scheduler, so Ray restarts none.
Where the whole cluster is lost, the run ends, and the same call goes on with another cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from seqlrp.errors import MissingPackageError, ShardError
from seqlrp.scale.engine import Answer, answer_to
from seqlrp.scale.worker import Job, Task, Worker


class RayActors:
    """Actors with a core each, or a GPU and a core.

    Args:
        job: what workers do.
        device: "cpu", or "cuda" for a GPU each; "auto" takes GPUs where the cluster has any.
        address: of the cluster; None takes the one that this process is in, or else starts one on
            this machine, which ends with the run.
        workers: how many there are at most; None takes as many as the cluster has room for.

    Raises:
        MissingPackageError: Ray is not installed.
        ShardError: there is no such cluster.
    """

    def __init__(
        self, job: Job, device: str, address: str | None, workers: int | None = None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingPackageError(
                "Ray is not installed; install it by: pip install 'seqlrp[ray]'"
            ) from error
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address, log_to_driver=False, include_dashboard=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ShardError(f"There is no Ray cluster at {address}: {error}") from error
        room = ray.cluster_resources()
        cuda = device == "cuda" or (device == "auto" and room.get("GPU", 0) > 0)
        self.workers = workers or max(int(room.get("GPU" if cuda else "CPU", 0)), 1)
        self._device = "cuda" if cuda else "cpu"
        self._make = ray.remote(num_cpus=1, num_gpus=int(cuda), max_restarts=0)(_Actor)
        self._job = job
        self._actors: dict[int, Any] = {}
        self._asked: dict[Any, int] = {}  # answers that are to come, and from which worker

    def start(self, worker: int) -> None:
        """Start a worker by its number, which may take the place of one that died."""
        with self._connected():
            actor = self._make.remote(self._job, self._device)
            self._actors[worker] = actor
            self._asked[actor.begin.remote()] = worker

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a worker that has answered."""
        with self._connected():
            self._asked[self._actors[worker].do.remote(task)] = worker

    def wait(self, seconds: float) -> Iterator[tuple[int, Answer]]:
        """Return the answers of workers as soon as there is one, or none after `seconds`."""
        with self._connected():
            ready, _ = self._ray.wait(list(self._asked), timeout=seconds)
        for answer in ready:
            worker = self._asked.pop(answer)
            try:
                found: Answer = self._ray.get(answer)
            except self._ray.exceptions.RayError as error:
                found = Answer(died=_how_it_ended(error))
            if found.died is not None:
                self._ray.kill(self._actors.pop(worker))
            yield worker, found

    def stop(self) -> None:
        """End all workers, and the cluster where it was started for them."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Turn what Ray raises where it is lost itself, and not an actor, into an error of ours."""
        try:
            yield
        except self._ray.exceptions.RayError as error:
            raise ShardError(
                f"The Ray cluster is lost: {_how_it_ended(error)}",
                "Finished shards are kept; the same call goes on from there.",
            ) from error


class _Actor:
    """A worker within its process."""

    def __init__(self, job: Job, device: str) -> None:
        self._job, self._device = job, device
        self._worker: Worker | None = None

    def begin(self) -> Answer:
        return answer_to(self._load)

    def do(self, task: Task) -> Answer:
        worker = self._worker
        assert worker is not None, "begin comes first"
        return answer_to(lambda: worker.do(task))

    def _load(self) -> None:
        import torch

        torch.set_num_threads(1)
        self._worker = Worker(self._job, self._device)


def _how_it_ended(error: Exception) -> str:
    """What Ray says, but for the lines that only number things."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith("\t")]
    return " ".join([type(error).__name__ + ":", *lines])
