"""Commands that are killed, interrupted or cut off in the middle of what they write.

Run as a program, with a `Fault` as JSON on standard input: what is imported is imported once, and
each moment is a fork. A kill does nothing more to the disk, so what it leaves at each moment is a
copy of the folder then, and one run has them all. Prints the number of moments, and the state of
the output after each: "old", "new", or what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "tempfile.mkdtemp")


@dataclass
class Fault:
    """What is run, and when it fails.

    Attributes:
        arguments: of `seqlrp`; the output is in `folder`.
        folder: where files are opened, renamed and removed; it is put back before each run.
        output: what is looked at, and how: "file", "folder", "model", "explanations", "evaluation".
        how: "kill" and "interrupt" at an event, "write" for a kill in the middle of a write,
            "copy" for the folder as a kill at an event leaves it.
        most: how many moments are tried, drawn by chance; 0 tries all.
    """

    arguments: list[str]
    folder: str
    output: str
    kind: str
    how: str
    most: int


def run_with_faults(fault: Fault) -> dict[str, Any]:
    """Run a command as often as there are moments at which it can fail."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        input=json.dumps(asdict(fault)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _state(output: Path, kind: str) -> Any:
    """What is in the output, comparable; raises where it is not whole."""
    if kind == "model":
        from seqlrp.models.saving import load

        weights = load(output).model.state_dict()
        return [value.tolist() for value in weights.values()]
    if kind == "explanations":
        from seqlrp.explanations.files import read_explanations

        return [(e.text, e.relevance.tolist()) for e in read_explanations(output)]
    if kind == "evaluation":
        from seqlrp.evaluation.report.report import EvaluationReport

        table = EvaluationReport.load(output).table
        return table.drop(columns="document").round(6).to_csv()
    if kind == "folder":
        return {
            str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(output.rglob("*"))
            if path.is_file()
        }
    return hashlib.sha256(output.read_bytes()).hexdigest()


def _child(fault: Fault, moment: int | None, counted: Path) -> None:
    """Run the command in this process, and end it; count the events where there is no moment."""
    from matplotlib.figure import Figure

    from seqlrp import writing
    from seqlrp.cli import app

    devnull = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(devnull, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # what hangs fails, on a busy machine, too
    signal.alarm(600)
    Figure.draw = lambda *_: None  # a picture that is written, of nothing
    events, copying = 0, False

    def happens() -> None:
        nonlocal events, copying
        if copying:
            return
        if fault.how == "copy":
            copying = True
            shutil.copytree(fault.folder, counted.with_name("moments") / str(events))
            copying = False
        events += 1
        if events - 1 == moment:
            os.kill(os.getpid(), signal.SIGINT if fault.how == "interrupt" else signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and any(fault.folder in str(argument) for argument in arguments):
            happens()

    def exchange(*paths: Path) -> bool:
        happens()
        done = exchanged(*paths)
        happens()
        return done

    if fault.how == "write" and moment is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (moment, moment))
    elif fault.how != "write":
        exchanged, writing._exchange = writing._exchange, exchange
        sys.addaudithook(hook)
    status = 0
    try:
        app(fault.arguments, prog_name="seqlrp")
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 1
    if moment is None:
        fault.folder = "nowhere\0"
        counted.write_text(str(events))
    os._exit(status)


def _run(fault: Fault, moment: int | None, counted: Path) -> int:
    process = os.fork()
    if not process:
        _child(fault, moment, counted)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _largest(folder: Path) -> int:
    return max(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Try all moments, or some; print what the output was after each."""
    fault = Fault(**json.load(sys.stdin))
    import seqlrp.evaluation
    import seqlrp.explaining.explain
    import seqlrp.models.training
    import seqlrp.show.page  # noqa: F401
    from seqlrp.writing import restore

    folder, output = Path(fault.folder), Path(fault.output)
    before, counted = folder.with_name("before"), folder.with_name("counted")
    shutil.copytree(folder, before)

    def again(moment: int | None) -> int:
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        return _run(fault, moment, counted)

    old = _state(output, fault.kind)
    status = again(None)
    assert status == 0, status
    new = _state(output, fault.kind)
    assert new != old
    moments = _largest(folder) if fault.how == "write" else int(counted.read_text())
    chosen = list(range(moments))
    if fault.how == "write":  # every byte would be many runs
        chosen = sorted({*range(0, moments, max(1, moments // 40)), moments - 1})
    if fault.most:
        chosen = sorted(random.Random(moments).sample(chosen, min(fault.most, len(chosen))))
    states: dict[int, str] = {}
    for moment in chosen:
        place, status = folder, -signal.SIGKILL
        if fault.how == "copy":
            place = folder.with_name("moments") / str(moment)
        else:
            status = again(moment)
        there = place / output.relative_to(folder)
        states[moment] = _judged(lambda there=there: _state(there, fault.kind), old, new, status)
        for inside in (place, *place.rglob("*/")):  # as the next command in them does
            restore(inside)
        left = [path.name for path in place.rglob("*.seqlrp-partial")]
        if left:
            states[moment] = f"left over: {left}"
    print(json.dumps({"moments": moments, "states": states}))


def _judged(state: Callable[[], Any], old: Any, new: Any, status: int) -> str:
    try:
        found = state()
    except Exception as error:
        return f"{type(error).__name__}: {error} (status {status})"
    if status not in (0, 130, -signal.SIGKILL, -signal.SIGXFSZ, -signal.SIGINT):
        return f"exit status {status}"
    return "old" if found == old else "new" if found == new else "neither old nor new"


if __name__ == "__main__":
    main()
