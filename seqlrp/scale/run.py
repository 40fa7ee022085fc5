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
from seqlrp.scale.bars import BYTES, Bar
from seqlrp.scale.lock import LOCK, locked
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
    shard_size: int | None = None,
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
        workers: how many; by default one for each core, or for each GPU, of this machine, or for
            Ray of the cluster. Of actors of Ray it is the most.
        address: of a Ray cluster; by default the one that is running here, or a new one.
        text_column: the column of the texts; by default text, sentence, review, content, document.
        label_column: the column of the labels; by default label, labels, class, category or
            sentiment, where there is one.
        id_column: the column of `Explanation.id`; by default the number of the document, from 0,
            over all files.
        labelled: False leaves the labels out.
        shard_size: documents in a shard; by default as many as the folder was begun with, or 4,096.
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
    _check_options(engine, on_error, on_unanswerable, shard_size, workers)
    folder, loaded = Path(out), _loaded(classifier, factory)
    made = _method_of(loaded, method, options) | {
        "target": target,
        "columns": [text_column, label_column, id_column, labelled],
        "on_unanswerable": on_unanswerable,
        "batch_tokens": batch_tokens,
        "max_words": max_words,
    }
    with locked(folder):
        restore(folder)
        plan = _plan(folder, _paths(source), made, shard_size, progress)
        names = _columns(plan, text_column, label_column, id_column, labelled=labelled)
        checked_target(loaded, target, labelled=names.label is not None, per_text=False)
        job = Job(
            os.fspath(classifier) if isinstance(classifier, str | os.PathLike) else loaded,
            factory, made["model"], folder.resolve(), plan.files, names, method, options, target,
            on_unanswerable == "skip", on_error, batch_tokens, max_words,
        )  # fmt: skip
        finished = _whole(folder, read_finished(folder), progress)
        written = None if metrics is None else Path(metrics)
        counted = Progress(plan, finished.values(), written, progress)
        make = partial(_engine, engine, job, device, workers, address)
        _run(make, folder, plan, finished, counted, on_error)
    return status(folder)


def _paths(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    given = [source] if isinstance(source, str | os.PathLike) else source
    return [os.fspath(path) for path in given]


def _check_options(
    engine: str, on_error: str, on_unanswerable: str, shard_size: object, workers: object
) -> None:
    check_choice("engine", engine, ENGINES)
    check_choice("on_error", on_error, ("raise", "skip"))
    check_choice("on_unanswerable", on_unanswerable, ("raise", "skip"))
    for name, number in (("shard_size", shard_size), ("workers", workers)):
        if number is not None:
            check_number(name, number, least=1, whole=True)


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
    finished: Mapping[int, Finished],
    counted: Progress,
    on_error: OnError,
) -> None:
    """Explain the shards of a plan that are not finished."""
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
        if todo:
            scheduler = Scheduler(make_engine(), log, on_error, note, counted.tick)
            with _noted_end(log):
                scheduler.run(todo)
    finally:
        counted.close()
        log.close()
        restore(folder)
        write_failed(folder, plan)


@contextlib.contextmanager
def _noted_end(log: Log) -> Iterator[None]:
    """Write into the log how a run ended."""
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "it was interrupted." if interrupted else f"{type(error).__name__}: {error}"
        with contextlib.suppress(WriteError):  # which may be what stops it
            log.note("stopped", reason=reason)
        raise
    log.note("ended")


def _whole(
    folder: Path, finished: Mapping[int, Finished], shown: bool | None
) -> dict[int, Finished]:
    """Those finished shards whose files are as they were written."""
    if not finished:
        return {}
    size = sum(found.size for found in finished.values())
    whole = {}
    with (
        Bar("checking finished shards", size, BYTES, shown) as bar,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        checked = pool.map(partial(is_whole, folder), finished.values())
        for found, is_good in zip(finished.values(), checked, strict=True):
            bar.add(found.size)
            if is_good:
                whole[found.shard] = found
    return whole


def _plan(
    folder: Path,
    sources: Sequence[str],
    made: dict[str, Any],
    size: int | None,
    shown: bool | None,
) -> Plan:
    plan = Plan.load(folder)
    if plan is not None:
        check_same(plan, sources, made, size, shown)
        return plan
    others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK)
    if others:
        raise OptionError(
            f"{folder} holds something else: {', '.join(others[:5])}; expected an empty folder, or "
            "one that was begun by the same call.",
            option="out",
            got=folder,
        )
    plan = make_plan(sources, made, size or SHARD_SIZE, shown)
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


def _engine(name: str, job: Job, device: str, workers: int | None, address: str | None) -> Engine:
    if name == "processes":
        from seqlrp.scale.processes import Processes

        return Processes(job, resolve_device(device).type, workers)
    from seqlrp.scale.ray_actors import RayActors

    return RayActors(job, device, address, workers)


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
