"""`explain`: explains any number of documents into a folder, by many workers, and goes on there."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import (
    FolderInUseError,
    OptionError,
    SeqlrpWarning,
    WriteError,
    check_choice,
    check_number,
)
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method
from seqlrp.explaining.skipped import MAX_WORDS, OnUnanswerable, caller_level
from seqlrp.explaining.targets import Target, checked_target
from seqlrp.models.devices import resolve_device
from seqlrp.models.fingerprint import fingerprint
from seqlrp.models.saving import load
from seqlrp.scale.log import Log, is_whole, read_finished
from seqlrp.scale.plan import Plan, check_same, make_plan
from seqlrp.scale.progress import Progress
from seqlrp.scale.scheduler import Scheduler
from seqlrp.scale.shard_texts import ColumnNames
from seqlrp.scale.source import read_rows
from seqlrp.scale.status import Status, status, write_failed
from seqlrp.scale.worker import Finished, Job, OnError
from seqlrp.text.corpora import label_column, text_column
from seqlrp.text.tables import Table
from seqlrp.writing import restore

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.scale.engine import Engine

SHARD_SIZE = 4096  # documents
LOCK = ".lock"
ENGINES = ("processes", "ray")
EngineName = Literal["processes", "ray"]


def explain(
    classifier: TextClassifier | str | os.PathLike[str],
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    method: str = "lrp",
    target: Target = "predicted",
    *,
    engine: EngineName = "processes",
    workers: int | None = None,
    address: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    labelled: bool = True,
    shard_size: int = SHARD_SIZE,
    on_error: OnError = "skip",
    on_unanswerable: OnUnanswerable = "raise",
    batch_tokens: BatchTokens = BATCH_TOKENS,
    max_words: int = MAX_WORDS,
    device: str = "auto",
    factory: Callable[..., TextClassifier] | None = None,
    metrics: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Status:
    """Explain the texts of any number of files into a folder, by many workers.

    The documents are cut into shards by their position. Each shard is explained by a worker into a
    Parquet file of its own, which is there whole or not at all. The same call goes on where an
    earlier one ended, however it ended, and the folder is the same as if it had not. A text at
    which a worker dies, or that raises, is set aside in `_failed.parquet`.

    Args:
        classifier: a folder that `seqlrp.save` wrote, or a classifier that can be pickled.
        source: a path, glob or URL of CSV, TSV, JSON lines, Parquet or text files, a folder of
            such, or a list of these.
        out: the folder, which all workers must see; `Explanations.load` reads it.
        method: a name in `seqlrp.METHODS`.
        target: which class is explained, or which rather than which; see `seqlrp.explain`.
        engine: `"processes"` of this machine, or `"ray"`.
        workers: how many; by default one for each core, or for each GPU. For Ray the most actors.
        address: of a Ray cluster; by default the one that is running here, or a new one.
        text_column: the column of the texts; by default text, sentence, review, content, document.
        label_column: the column of the labels; by default label, labels, class, category or
            sentiment, where there is one.
        id_column: the column of `Explanation.id`; by default the number of the document, from 0,
            over all files.
        labelled: False leaves the labels out.
        shard_size: documents in a shard.
        on_error: whether a text that fails is set aside (`"skip"`) or ends the run (`"raise"`).
        on_unanswerable: `"skip"` leaves texts without a word, or with more than `max_words`, out;
            with `"raise"` they are texts that fail.
        batch_tokens: the most tokens in a batch, padding included; with `"auto"` the last bits of
            relevance depend on the machine.
        max_words: see `on_unanswerable`.
        device: "auto", "cpu" or "cuda"; on CUDA each worker has a GPU.
        factory: the function that builds a model of your own; see `seqlrp.load`.
        metrics: a file for Prometheus, written every 15 seconds.
        progress: False shows nothing; None shows a bar on a terminal, and a line a minute where
            standard error is none.
        options: of the method, e.g. `epsilon=0.01`.

    Returns:
        How many documents were explained, left out and set aside.

    Raises:
        FolderInUseError: another run is writing to the folder.
        OptionError: an option is not allowed, or the folder was begun with another one.
        CorpusError: there is no such source, or it is broken.
        FailedTextError: a text fails, and `on_error` is "raise".
        ShardError: workers die, and no text is at fault.
        WriteError: the file system refused; what is finished is kept.
    """
    _check_options(engine, on_error, on_unanswerable, shard_size)
    count, folder = _count_workers(workers, device, engine), Path(out)
    given = [source] if isinstance(source, str | os.PathLike) else source
    loaded = _loaded(classifier, factory)
    made = _method_of(loaded, method, options) | {
        "target": target,
        "columns": [text_column, label_column, id_column, labelled],
        "on_unanswerable": on_unanswerable,
        "batch_tokens": batch_tokens,
        "max_words": max_words,
    }
    with _locked(folder):
        restore(folder)
        plan = _plan(folder, [os.fspath(path) for path in given], made, shard_size)
        names = _columns(plan, text_column, label_column, id_column, labelled=labelled)
        checked_target(loaded, target, labelled=names.label is not None, per_text=False)
        job = Job(
            os.fspath(classifier) if isinstance(classifier, str | os.PathLike) else loaded,
            factory, made["model"], folder.resolve(), plan.files, names, method, options, target,
            on_unanswerable == "skip", on_error, batch_tokens, max_words,
        )  # fmt: skip
        counted = Progress(plan, count, None if metrics is None else Path(metrics), progress)
        make = partial(_engine, engine, job, count, device, address)
        _run(make, folder, plan, count, on_error, counted)
    return status(folder)


def _check_options(engine: str, on_error: str, on_unanswerable: str, shard_size: object) -> None:
    check_choice("engine", engine, ENGINES)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("on_unanswerable", on_unanswerable, ("raise", "skip"))
    check_number("shard_size", shard_size, least=1, whole=True)


def _method_of(
    classifier: TextClassifier, method: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a plan is bound to of the program, the model and the method, JSON values."""
    chosen = chosen_method(classifier, method, dict(options))
    return {
        "seqlrp": importlib.metadata.version("seqlrp"),
        "model": fingerprint(classifier, {}, ()).hexdigest(),
        "method": chosen.name,
        "parameters": dict(chosen.parameters),
    }


def _run(
    make_engine: Callable[[], Engine],
    folder: Path,
    plan: Plan,
    workers: int,
    on_error: OnError,
    counted: Progress,
) -> None:
    """Explain the shards of a plan that are not finished."""
    finished = _whole(folder, read_finished(folder), workers)
    for found in finished.values():
        counted.add(found, before=True)
    todo = [shard for shard in plan.shards if shard.number not in finished]
    log = Log(folder)
    warned: set[str] = set()

    def note(found: Finished) -> None:
        counted.add(found)
        for kind, message in found.warnings.items():
            if kind not in warned:
                warnings.warn(f"Shard {found.shard}: {message}", SeqlrpWarning, caller_level())
            warned.add(kind)

    try:
        log.note("began", shards=len(todo), finished=len(finished), workers=workers)
        if todo:
            scheduler = Scheduler(make_engine(), workers, log, on_error, note, counted.tick)
            scheduler.run(todo)
        log.note("ended", shards=len(plan.shards))
    finally:
        counted.close()
        log.close()
        restore(folder)
        write_failed(folder, plan)


def _whole(folder: Path, finished: dict[int, Finished], workers: int) -> dict[int, Finished]:
    """Those finished shards whose files are as they were written."""
    with ThreadPoolExecutor(workers) as pool:
        whole = pool.map(partial(is_whole, folder), finished.values())
        return {f.shard: f for f, is_good in zip(finished.values(), whole, strict=True) if is_good}


def _plan(folder: Path, sources: Sequence[str], made: dict[str, Any], size: int) -> Plan:
    plan = Plan.load(folder)
    if plan is not None:
        check_same(plan, sources, made, size)
        return plan
    others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK)
    if others:
        raise OptionError(
            f"{folder} holds something else: {', '.join(others[:5])}; expected an empty folder, or "
            "one that was begun by the same call.",
            option="out",
            got=folder,
        )
    plan = make_plan(sources, made, size)
    plan.save(folder)
    return plan


def _columns(
    plan: Plan, text: str | None, label: str | None, id_: str | None, *, labelled: bool
) -> ColumnNames:
    """The columns that were asked for, or have usual names in the first file."""
    file = plan.files[0]
    names = list(file.header)
    if not names:
        rows, _ = read_rows(plan.files, plan.shards[0].pieces[:1])
        names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    table = Table(file.url, dict.fromkeys(names, ()))
    if id_ is not None and id_ not in names:
        raise OptionError(option="id_column", got=id_, known=tuple(names),
                          expected=f"a column of {file.url}: {', '.join(names)}")  # fmt: skip
    return ColumnNames(
        text_column(table, text), label_column(table, label) if labelled else None, id_
    )


def _engine(name: str, job: Job, workers: int, device: str, address: str | None) -> Engine:
    if name == "processes":
        from seqlrp.scale.processes import Processes

        return Processes(job, workers, resolve_device(device).type)
    from seqlrp.scale.ray_actors import RayActors

    return RayActors(job, device, address)


def _count_workers(workers: int | None, device: str, engine: str) -> int:
    if workers is not None:
        check_number("workers", workers, least=1, whole=True)
        return workers
    if engine == "processes" and resolve_device(device).type == "cuda":
        import torch

        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0))


def _loaded(
    classifier: TextClassifier | str | os.PathLike[str], factory: Callable[..., Any] | None
) -> TextClassifier:
    if isinstance(classifier, str | os.PathLike):
        return load(Path(classifier), factory=factory)
    try:
        pickle.dumps(classifier)
    except Exception as error:
        raise OptionError(
            f"The classifier cannot be sent to other processes ({error}).",
            "Save it by seqlrp.save, and give its folder, with factory= for a model of your own.",
            option="classifier",
        ) from error
    return classifier


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for as long as this process lives."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(
            f"Another run is writing to {folder}.", "Wait until it has ended, or end it."
        ) from error
    except OSError as error:
        raise WriteError(f"Could not write to {folder}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()
