"""The interface of engines: places where workers run, each with one task at a time."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from seqlrp.errors import SeqlrpError, ShardError
from seqlrp.scale.worker import Finished, Task


class Answer(NamedTuple):
    """The answer of a worker to a task, or after its start; all fields None mean success.

    Attributes:
        finished: the shard that is written.
        error: what stands in the way of the whole run, or of the texts that were tried.
        died: why the worker cannot go on.
    """

    finished: Finished | None = None
    error: SeqlrpError | None = None
    died: str | None = None


class Engine(Protocol):
    """Starts workers, gives them tasks, and collects their answers.

    Attributes:
        workers: how many there may be at a time.
    """

    workers: int

    def start(self, worker: int) -> None:
        """Start a worker by its number, which may take the place of one that died."""

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a worker that has answered."""

    def wait(self, seconds: float) -> Iterable[tuple[int, Answer]]:
        """Return the answers of workers as soon as there is one, or none after `seconds`."""

    def stop(self) -> None:
        """End all workers."""


def answer_to(do: Callable[[], Finished | None]) -> Answer:
    """Call a function within a worker, and turn an exception into an answer."""
    try:
        return Answer(do())
    except SeqlrpError as error:
        return Answer(error=_portable(error))
    except Exception as error:  # memory, a GPU, the network: another worker may do it
        return Answer(died=f"{type(error).__name__}: {error}")


def _portable(error: SeqlrpError) -> SeqlrpError:
    """An error that can be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # one of its fields is something that cannot be sent
        return ShardError(str(error))
