"""Which id stands for which token."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from seqlrp.errors import OptionError, SavedFileError, VocabularyError
from seqlrp.writing import written_whole

_SPECIALS = ("<pad>", "<unk>")
_FORMAT = "seqlrp vocabulary"
_VERSION = 1


@dataclass(frozen=True, repr=False)
class Vocabulary:
    """Tokens and their ids: `tokens[id]`, where id 0 is `<pad>` and id 1 is `<unk>`.

    The two specials are no words: a token of a text that is spelled `<pad>` or `<unk>` is an
    unknown word, id 1. With `lowercase`, tokens are looked up in lower case.

    Raises:
        VocabularyError: the specials are missing, a token is there twice or could never be found.
    """

    tokens: tuple[str, ...]
    lowercase: bool = True
    _ids: dict[str, int] = field(init=False, compare=False)

    PAD: ClassVar[int] = 0
    UNK: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if isinstance(self.tokens, Mapping):
            raise VocabularyError(
                "Got a mapping of tokens to ids; expected the tokens in the order of their ids: "
                "Vocabulary(sorted(ids, key=ids.get))."
            )
        object.__setattr__(self, "tokens", tuple(self.tokens))
        _check(self.tokens, self.lowercase)
        ids = {token: id_ for id_, token in enumerate(self.tokens) if id_ >= len(_SPECIALS)}
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(
        cls,
        documents: Iterable[Sequence[str]],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        lowercase: bool = True,
    ) -> Vocabulary:
        """Collect the words of tokenised documents, the most frequent first, ties alphabetical.

        Args:
            documents: the tokens of each document.
            min_count: rarer words are left out.
            max_size: the most words to keep; the two specials come on top.
            lowercase: count and look up words in lower case.

        Raises:
            OptionError: `min_count` or `max_size` is below 1.
            VocabularyError: not a single word is left.
        """
        for name, value in (("min_count", min_count), ("max_size", max_size)):
            if value is not None and value < 1:
                raise OptionError(f"Got {name}={value}, expected 1 or more.")
        counts = Counter(chain.from_iterable(map(_sequence, documents)))
        if lowercase:
            lowered: Counter[str] = Counter()
            for token, count in counts.items():
                lowered[token.lower()] += count
            counts = lowered
        for special in _SPECIALS:
            counts.pop(special, None)
        words = [word for word, count in counts.items() if count >= min_count]
        if not words:
            raise VocabularyError(
                f"Got documents with no word that is there {min_count} times or more; "
                "give more documents or a smaller min_count."
            )
        words.sort(key=lambda word: (-counts[word], word))
        return cls((*_SPECIALS, *words[:max_size]), lowercase)

    def encode(self, tokens: Sequence[str]) -> npt.NDArray[np.int64]:
        """Give the id of each token, int64 `[T]`; unknown tokens get 1."""
        known, unknown = self._ids, self.UNK
        if self.lowercase:
            ids = [known.get(token.lower(), unknown) for token in _sequence(tokens)]
        else:
            ids = [known.get(token, unknown) for token in _sequence(tokens)]
        return np.array(ids, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        """Whether `token` is a known word; the specials are none."""
        if not isinstance(token, str):
            return False
        return (token.lower() if self.lowercase else token) in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, lowercase={self.lowercase})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the vocabulary holds, in hex: equal where it is equal."""
        content = json.dumps([self.lowercase, self.tokens], ensure_ascii=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON.

        Raises:
            WriteError: the file could not be written.
        """
        record = {
            "format": _FORMAT,
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "lowercase": self.lowercase,
            "tokens": self.tokens,
        }
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=True, indent=0), "ascii")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            SavedFileError: there is no such file, it was not written by `save`, or it was changed.
        """
        record = _read(Path(path))
        try:
            vocabulary = cls(record["tokens"], record["lowercase"])
        except VocabularyError as error:
            raise SavedFileError(f"{path} does not fit together: {error}") from error
        if vocabulary.fingerprint != record["fingerprint"]:
            raise SavedFileError(
                f"{path} was changed after it was written: its content does not give the "
                "fingerprint that is in it; the ids of a model would mean other words."
            )
        return vocabulary


def _sequence(tokens: Sequence[str]) -> Sequence[str]:
    if isinstance(tokens, str):
        raise VocabularyError(
            f"Got the str {tokens[:40]!r}, expected a sequence of tokens; split the text first."
        )
    return tokens


def _check(tokens: tuple[str, ...], lowercase: bool) -> None:
    if tokens[: len(_SPECIALS)] != _SPECIALS:
        raise VocabularyError(
            f"Got a vocabulary that begins with {tokens[:2]}, expected {_SPECIALS}: "
            "id 0 is the padding and id 1 is the unknown word."
        )
    seen: dict[str, int] = {}
    for id_, token in enumerate(tokens):
        if not isinstance(token, str):
            raise VocabularyError(f"Got the token {token!r} as id {id_}, expected a str.")
        if token in seen:
            raise VocabularyError(
                f"Got the token {token!r} as id {seen[token]} and as id {id_}, expected it once."
            )
        if lowercase and token != token.lower():
            raise VocabularyError(
                f"Got the token {token!r} as id {id_}, which is never found in lower case; "
                "pass lowercase=False or give its lower case."
            )
        seen[token] = id_


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise SavedFileError(
            f"Could not read the vocabulary {path}: {error.strerror or error}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SavedFileError(
            f"{path} is no vocabulary, or only part of one: it is not valid JSON ({error})."
        ) from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise SavedFileError(
            f'{path} was not written by Vocabulary.save: it lacks "format": "{_FORMAT}".'
        )
    if record.get("version") != _VERSION:
        raise SavedFileError(
            f"{path} has the format version {record.get('version')!r}, expected {_VERSION}; "
            "read it with the version of seqlrp that wrote it."
        )
    kinds = {"lowercase": bool, "tokens": list, "fingerprint": str}
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise SavedFileError(f"{path} is damaged: {name!r} is missing or no {kind.__name__}.")
    return record
