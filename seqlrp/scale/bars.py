"""How far a long job is: a bar on a terminal, or a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from tqdm import tqdm

_LINE, _FRAME = 60.0, 1.0  # seconds between two lines, or two looks of a bar
BYTES = "B"  # the unit of bytes, which are shown in MB


class Bar:
    """Shows how much is done, how fast, and how long the rest takes at the mean rate so far.

    Args:
        what: the job, such as "explaining".
        total: how much there is to do.
        unit: of what: "text", or `BYTES`.
        shown: False shows nothing; None shows a bar on a terminal and lines elsewhere.
        before: how much was done before.
    """

    def __init__(
        self, what: str, total: int, unit: str, shown: bool | None, before: int = 0
    ) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._before = self._done = before
        self._begun = self._line_at = self._frame_at = time.monotonic()
        self._note = ""
        terminal = sys.stderr.isatty()
        self._lines = shown is not False and not terminal
        self._bar = tqdm(
            total=total, initial=before, desc=what, unit=unit, unit_scale=unit == BYTES,
            smoothing=0, disable=shown is False or not terminal,
        )  # fmt: skip

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, amount: int) -> None:
        """Count what was done."""
        self._done += amount
        self._bar.update(amount)
        self.tick()

    def restart(self) -> None:
        """Measure time from now on; what was done before no longer counts for the rate."""
        self._begun, self._before = time.monotonic(), self._done
        self._bar.unpause()

    def note(self, note: str) -> None:
        """Show something else beside the numbers from now on."""
        self._note = note
        self._bar.set_postfix_str(note, refresh=False)

    def tick(self) -> None:
        """Show the time that has passed; without a terminal a line, if a minute has."""
        now = time.monotonic()
        if self._lines and now - self._line_at >= _LINE:
            self._line_at = now
            self._print()
        if now - self._frame_at >= _FRAME:
            self._frame_at = now
            self._bar.refresh()

    def close(self, *, last: bool = False) -> None:
        """End the bar; without a terminal show a last line if `last`, or if there was one."""
        self._bar.close()
        if self._lines and (last or self._line_at > self._begun):
            self._print()
        self._lines = False

    def line(self) -> str:
        """How far it is, as a sentence."""
        scale, unit = (1e6, "MB") if self._unit == BYTES else (1, f"{self._unit}s")
        rate = (self._done - self._before) / max(time.monotonic() - self._begun, 1e-9)
        share = 100 * self._done / max(self._total, 1)
        found = (
            f"{self._what}: {self._done / scale:,.0f} of {self._total / scale:,.0f} {unit} "
            f"({share:.1f} %), {rate / scale:,.0f} a second"
        )
        if rate and self._done < self._total:
            found += f", {timedelta(seconds=round((self._total - self._done) / rate))} left"
        return found + (f", {self._note}" if self._note else "")

    def _print(self) -> None:
        print(self.line(), file=sys.stderr, flush=True)
