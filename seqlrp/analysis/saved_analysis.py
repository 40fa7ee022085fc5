"""Frames of an analysis on disk: one Parquet file each, and a description in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.errors import SavedFileError

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = "analysis.json"
_VERSION = 2


def write_frames(folder: Path, frames: Mapping[str, pd.DataFrame], about: dict[str, Any]) -> None:
    """Write `NAME.parquet` for each frame, and `analysis.json`, into a folder that is there."""
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    written = json.dumps(
        {"version": _VERSION, "frames": list(frames), **about}, indent=1, ensure_ascii=False
    )
    (folder / DESCRIPTION).write_text(written + "\n", "utf-8", newline="\n")


def read_frames(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read what `write_frames` wrote.

    Raises:
        SavedFileError: it is not there, of another version, or damaged.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        about = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        version, names = about.pop("version"), about.pop("frames")
        if version != _VERSION:
            raise SavedFileError(
                f"{folder} is of version {version!r}, expected {_VERSION}; analyse again."
            )
        frames = {
            name: _with_lists(pd.read_parquet(folder / f"{Path(name).name}.parquet"))
            for name in names
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        if isinstance(error, SavedFileError):
            raise
        raise SavedFileError(
            f"{folder} was not written by an analysis, or is damaged; analyse again."
        ) from error
    return frames, about


def _with_lists(frame: pd.DataFrame) -> pd.DataFrame:
    """Lists come back as arrays; text columns as they were."""
    for column in ("words", "prototypes"):
        if column in frame:
            frame[column] = [list(values) for values in frame[column]]
    return frame
