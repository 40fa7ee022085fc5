"""The method of explanation that was chosen for a classifier: a file in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqlrp.errors import SavedFileError
from seqlrp.writing import read_file, written_whole

CHOICE = "choice.json"

_FORMAT = "seqlrp choice"
_VERSION = 1


def write_choice(
    folder: Path, fingerprint: str, method: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    """Write the file.

    Args:
        folder: the folder of the classifier.
        fingerprint: of the classifier that the method was chosen for.
        method: its name as `"method"`, and its options; JSON values.
        report: how it was chosen, JSON values.

    Raises:
        WriteError: the file system refused; what was there before is unchanged.
    """
    record = {
        "format": _FORMAT,
        "version": _VERSION,
        "fingerprint": fingerprint,
        "method": dict(method),
        "report": dict(report),
    }
    with written_whole(folder / CHOICE) as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", "ascii")


def read_choice(folder: Path, fingerprint: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read method and report; None without a file, or if it is of another classifier.

    Raises:
        SavedFileError: the file is damaged or of another version.
    """
    path = folder / CHOICE
    if not path.exists():
        return None
    advice = "Delete it, or run `seqlrp choose` again."
    try:
        record = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise SavedFileError(f"Could not read {path}: {error}.", advice) from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise SavedFileError(f"{path} was not written by seqlrp.", advice)
    if record.get("version") != _VERSION:
        raise SavedFileError(
            f"{path} has the format version {record.get('version')!r}, expected {_VERSION}.", advice
        )
    method, report = record.get("method"), record.get("report")
    if not isinstance(method, dict) or not isinstance(method.get("method"), str):
        raise SavedFileError(f"{path} names no method.", advice)
    if record.get("fingerprint") != fingerprint:
        return None
    return method, report if isinstance(report, dict) else {}
