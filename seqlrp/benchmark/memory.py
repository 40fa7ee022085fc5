"""How much memory LRP takes at its peak.

On the CPU torch does not say. There, a process of its own looks at the largest size that the
kernel saw, after setting that mark back to what was there before.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from seqlrp.benchmark.cells import LONGER, Cell, Measurement
from seqlrp.benchmark.contenders import classifier, random_ids
from seqlrp.lrp import LRP

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_WARM = 10  # tokens: what is loaded and allocated for any text does not count


def memory_growth(cell: Cell) -> list[Measurement]:
    """The peaks, in bytes beyond what was there before, for texts of a cell and for longer ones."""
    longer = replace(cell, length=LONGER * cell.length)
    return [_measured(cell, cell, "memory"), _measured(cell, longer, "memory_longer")]


def _measured(cell: Cell, wanted: Cell, name: str) -> Measurement:
    if cell.device != "cpu":
        return Measurement(cell, name, (float(_peak_on_cuda(wanted)),))
    if not _RESET.exists():
        return Measurement(cell, name, (), "only Linux tells the peak memory of a process")
    code = f"from {__name__} import print_peak; print_peak()"
    command = [sys.executable, "-c", code, json.dumps(asdict(wanted))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Measurement(cell, name, (), f"memory could not be measured: {reason}")
    return Measurement(cell, name, (float(done.stdout),))


def _peak_on_cuda(cell: Cell) -> int:
    lrp = LRP(classifier(cell))
    lrp.attribute(random_ids(cell, _WARM), target=0)
    ids = random_ids(cell, cell.length)
    torch.cuda.synchronize(cell.device)
    torch.cuda.reset_peak_memory_stats(cell.device)
    before = torch.cuda.memory_allocated(cell.device)
    lrp.attribute(ids, target=0)
    torch.cuda.synchronize(cell.device)
    return torch.cuda.max_memory_allocated(cell.device) - before


def print_peak() -> None:
    """Print the peak of this process, for the cell that its argument describes."""
    cell = Cell(**json.loads(sys.argv[1]))
    torch.set_num_threads(cell.threads)
    lrp = LRP(classifier(cell))
    lrp.attribute(random_ids(cell, _WARM), target=0)
    ids = random_ids(cell, cell.length)
    _RESET.write_text("5")  # sets the largest size back to the present one
    before = _size("VmRSS")
    lrp.attribute(ids, target=0)
    print(_size("VmHWM") - before)


def _size(field: str) -> int:
    """A line of the process's status, in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"no {field} in {_STATUS}"
    return 1024 * int(found[1])
