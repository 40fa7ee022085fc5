"""The plan of a run: what is explained how, and which documents each shard holds.

It is written once, as `_manifest.json`, before the first shard, and binds a folder to a model, a
method with its options and the content of the sources.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlrp.errors import OptionError, SavedFileError
from seqlrp.explanations.parts import MANIFEST
from seqlrp.scale.bars import BYTES, Bar
from seqlrp.scale.source import Piece, Place, SourceFile, cut, find_files
from seqlrp.writing import written_whole

_FORMAT, _VERSION = "seqlrp shards", 1


@dataclass(frozen=True)
class Shard:
    """Consecutive documents of the sources.

    Attributes:
        number: which shard it is, from 0.
        first: the number of its first document, counted over all sources from 0.
        pieces: where its documents stand.
    """

    number: int
    first: int
    pieces: tuple[Piece, ...]

    @property
    def documents(self) -> int:
        """How many documents it holds."""
        return sum(piece.documents for piece in self.pieces)


@dataclass(frozen=True)
class Plan:
    """All shards of a run, and what they are bound to.

    Attributes:
        made: fingerprint of the model, method, options: JSON values.
        size: documents a shard.
        files: the files of the sources.
        shards: in the order of the sources.
    """

    made: Mapping[str, Any]
    size: int
    files: tuple[SourceFile, ...]
    shards: tuple[Shard, ...]

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return self.shards[-1].first + self.shards[-1].documents

    def place(self, number: int) -> Place:
        """The file of a document, and its row in it."""
        first, rows = 0, Counter[int]()
        for piece in (piece for shard in self.shards for piece in shard.pieces):
            if first <= number < first + piece.documents:
                return Place(self.files[piece.file].url, rows[piece.file] + number - first)
            rows[piece.file] += piece.documents
            first += piece.documents
        raise OptionError(option="number", got=number, expected=f"0 to {self.documents - 1}")

    def save(self, folder: Path) -> None:
        """Write `_manifest.json`, whole or not at all.

        Raises:
            WriteError: the file system refused.
        """
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "made": self.made,
            "size": self.size,
            "documents": self.documents,
            "files": self.files,
            "shards": [shard.pieces for shard in self.shards],
        }
        with written_whole(folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps(content, allow_nan=False), "ascii")

    @classmethod
    def load(cls, folder: Path) -> Plan | None:
        """Read the plan of a folder; None where it has none.

        Raises:
            SavedFileError: it is damaged, or of another version of seqlrp.
        """
        path = folder / MANIFEST
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text("ascii"))
            if (content["format"], content["version"]) != (_FORMAT, _VERSION):
                raise SavedFileError(
                    f"{path} is {content['format']} {content['version']}, expected {_FORMAT} "
                    f"{_VERSION}; use the seqlrp that wrote it."
                )
            # Plans of before say nothing of delimiters: they have the usual ones.
            fields = [[*f[:5], tuple(f[5]), *f[6:]] for f in content["files"]]
            files = [SourceFile(*each) for each in fields]
            pieces = [[Piece(*piece) for piece in shard] for shard in content["shards"]]
            return cls(content["made"], content["size"], tuple(files), _numbered(pieces))
        except (ValueError, KeyError, TypeError, OSError) as error:
            if isinstance(error, SavedFileError):
                raise
            raise SavedFileError(f"{path} is damaged or no plan of shards: {error}") from error


def make_plan(
    sources: Sequence[str], made: Mapping[str, Any], size: int, shown: bool | None = False
) -> Plan:
    """Find the files of the sources, read each once, and cut them into shards.

    Args:
        sources: paths, folders, globs, URLs.
        made: what the plan is bound to besides them.
        size: documents in a shard.
        shown: whether it shows how far it is; see `Bar`.

    Raises:
        CorpusError: no such file, or one that is broken or cannot be read in pieces.
    """
    files, pieces = _cut(find_files(sources), size, shown)
    return Plan(made, size, tuple(files), _numbered(pieces))


def _cut(
    files: Sequence[SourceFile], size: int, shown: bool | None
) -> tuple[list[SourceFile], list[list[Piece]]]:
    with Bar("reading the source", sum(file.size for file in files), BYTES, shown) as bar:
        return cut(files, size, bar.add)


def check_same(
    plan: Plan,
    sources: Sequence[str],
    made: Mapping[str, Any],
    size: int | None,
    shown: bool | None = False,
) -> None:
    """Check that a folder's plan is of this model, these options and sources as they are now.

    The size of its shards is checked where one is given.

    Files of the same size and version (a tag or the time of change) count as unchanged; others, and
    those of which no version is known, are read again.

    Raises:
        OptionError: something differs; `option` says what.
    """
    given = json.loads(json.dumps({**made, "shard_size": size or plan.size}))
    for name, before in {**plan.made, "shard_size": plan.size}.items():
        if given.get(name) != before:
            raise OptionError(
                f"The folder was begun with {name} {before!r:.80}, and now it is "
                f"{given.get(name)!r:.80}.",
                "Take the same as before, or another folder.",
                option=name,
                got=given.get(name),
                code="folder_of_another_run",
            )
    found = find_files(sources)
    same = [file._replace(digest="", header=(), delimiter="") for file in plan.files]
    known = found == same and all(file.modified for file in found)
    other = None if known else _difference(plan.files, found)
    if not known and other is None:
        other = _difference(plan.files, _cut(found, plan.size, shown)[0])
    if other is not None:
        raise OptionError(
            f"The sources are not those with which the folder was begun: {other}.",
            "Take the same files as before, or another folder.",
            option="source",
            code="folder_of_another_run",
        )


def _difference(before: Sequence[SourceFile], now: Sequence[SourceFile]) -> str | None:
    """What is other with files, but for their times; hashes count where both are known."""
    old, new = [file.url for file in before], [file.url for file in now]
    for names, others, what in ((old, new, "no longer among them"), (new, old, "new among them")):
        alone = sorted(set(names).difference(others))
        if alone:
            return f"{alone[0]} is {what}" + (f", and {len(alone) - 1:,} more" * (len(alone) > 1))
    if old != new:
        return "their order is another one"
    for file, other in zip(before, now, strict=True):
        if not other.digest:  # it was found, and not read yet
            other = other._replace(digest=file.digest, header=file.header, delimiter=file.delimiter)
        if other._replace(modified=file.modified) != file:
            return f"{file.url} has changed"
    return None


def _numbered(pieces: Sequence[Sequence[Piece]]) -> tuple[Shard, ...]:
    shards, first = [], 0
    for number, held in enumerate(pieces):
        shards.append(Shard(number, first, tuple(held)))
        first += shards[-1].documents
    return tuple(shards)
