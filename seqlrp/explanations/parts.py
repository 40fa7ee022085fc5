"""The files of a folder of explanations in numbered parts, as `seqlrp.scale` writes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from seqlrp.errors import SavedFileError

MANIFEST = "_manifest.json"  # readers of folders of Parquet pass over names with _ or . first


def part_path(folder: Path, number: int) -> Path:
    """The file of a part, from 0."""
    return folder / f"part-{number:06d}.parquet"


def holds_parts(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder was begun by `seqlrp explain --out FOLDER`."""
    return (Path(folder) / MANIFEST).is_file()


def part_paths(folder: str | os.PathLike[str]) -> list[Path]:
    """The files of all parts of a finished folder, in order.

    Raises:
        SavedFileError: it is no such folder, or a part is missing.
    """
    folder = Path(folder)
    count = len(read_manifest(folder)["shards"])
    paths = [part_path(folder, number) for number in range(count)]
    missing = sum(not path.is_file() for path in paths)
    if missing:
        raise SavedFileError(
            f"{folder} is not finished: {missing:,} of {count:,} parts are missing.",
            "Run the command that began it again; it goes on from there.",
            code="unfinished",
        )
    return paths


def read_manifest(folder: Path) -> dict[str, Any]:
    """The plan of a folder, JSON values: `shards`, and `made`, which says what explained them.

    Raises:
        SavedFileError: there is none, or it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text("ascii"))
        content["shards"] = list(content["shards"])
    except FileNotFoundError as error:
        raise SavedFileError(
            f"{folder} holds no {MANIFEST}.",
            "Give a folder that `seqlrp explain --out FOLDER` wrote.",
            code="no_explanations_file",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SavedFileError(f"{folder / MANIFEST} is damaged: {error}") from error
    return content
