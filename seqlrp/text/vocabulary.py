"""`Vocabulary`: the tokens that a model knows, and their ids."""

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

from seqlrp.errors import SavedFileError, VocabularyError, check_number, near
from seqlrp.writing import read_file, written_whole

_SPECIALS = ("<pad>", "<unk>")
_FORMAT = "seqlrp vocabulary"
_VERSIONS = (1, 2)  # 2 says where padding and the unknown word are


@dataclass(frozen=True, repr=False, init=False)
class Vocabulary:
    """Tokens and their ids: `tokens[id]`, where id 0 is `<pad>` and id 1 is `<unk>`.

    Where a model has other special tokens, `pad` and `unk` name them by id or by spelling. Special
    tokens are no words: a token of a text that is spelled `<pad>` or `<unk>` is an unknown word.

    Args:
        tokens: the token of each id.
        lowercase: look tokens up in lower case.
        pad: the token that fills up the shorter texts of a batch.
        unk: the token that stands for unknown words; None where the model has none, so that an
            unknown word is an error.

    Raises:
        VocabularyError: the specials are missing, a token is there twice or could never be found.
    """

    tokens: tuple[str, ...]
    lowercase: bool
    pad: int
    unk: int | None
    _ids: dict[str, int] = field(compare=False)

    # Where `build` puts them.
    PAD: ClassVar[int] = 0
    UNK: ClassVar[int] = 1

    def __init__(
        self,
        tokens: Iterable[str],
        lowercase: bool = True,
        pad: int | str = PAD,
        unk: int | str | None = UNK,
    ) -> None:
        if isinstance(tokens, Mapping):
            raise VocabularyError(
                "Got a mapping of tokens to ids; expected the tokens in the order of their ids: "
                "Vocabulary(sorted(ids, key=ids.get))."
            )
        tokens = tuple(tokens)
        if (pad, unk) == (self.PAD, self.UNK) and tokens[: len(_SPECIALS)] != _SPECIALS:
            raise VocabularyError(
                f"Got a vocabulary that begins with {tokens[:2]}, expected {_SPECIALS}: "
                "id 0 is the padding and id 1 is the unknown word. Where they are others, say so: "
                "Vocabulary(tokens, pad='[PAD]', unk='[UNK]')."
            )
        pad_id = _special(tokens, pad, "pad")
        unk_id = None if unk is None else _special(tokens, unk, "unk")
        if pad_id == unk_id:
            raise VocabularyError(
                f"Got id {pad_id} for the padding and for the unknown word, which a model could "
                "not tell apart; pass unk=None where it has no unknown word."
            )
        specials = {pad_id, unk_id}
        _check(tokens, lowercase, specials)
        ids = {token: id_ for id_, token in enumerate(tokens) if id_ not in specials}
        values = {"tokens": tokens, "lowercase": lowercase, "pad": pad_id, "unk": unk_id}
        for name, value in {**values, "_ids": ids}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def build(
        cls,
        documents: Iterable[Sequence[str]],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        lowercase: bool = True,
    ) -> Vocabulary:
        """Collect the words of tokenised documents, the most frequent first, then by spelling.

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
            if value is not None:
                check_number(name, value, least=1, whole=True)
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
        """Give the id of each token, int64 `[T]`; unknown tokens get that of `unk`.

        Raises:
            VocabularyError: an unknown token, where the vocabulary has no `unk`.
        """
        known, unknown = self._ids, self.unk
        tokens = _sequence(tokens)
        if self.lowercase:  # most are known as they are written; id 0 is only looked up twice
            ids = [known.get(token) or known.get(token.lower(), unknown) for token in tokens]
        else:
            ids = [known.get(token, unknown) for token in tokens]
        if unknown is None and None in ids:
            raise VocabularyError(
                f"Got the token {tokens[ids.index(None)]!r}, which is not in the vocabulary, and "
                "there is no unknown word to put in its place; give unk=, or a tokenizer that "
                "leaves such tokens out."
            )
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
        """The SHA-256 of the content, in hex: equal for equal vocabularies."""
        held: list[Any] = [self.lowercase, self.tokens]
        if self._version > 1:
            held += [self.pad, self.unk]
        content = json.dumps(held, ensure_ascii=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    @property
    def _version(self) -> int:
        """The file format: 1 where the special tokens are the usual ones, 2 where it names them."""
        return 1 if self.tokens[:2] == _SPECIALS and (self.pad, self.unk) == (0, 1) else 2

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON.

        Raises:
            WriteError: the file could not be written.
        """
        record = {
            "format": _FORMAT,
            "version": self._version,
            "fingerprint": self.fingerprint,
            "lowercase": self.lowercase,
            "tokens": self.tokens,
        }
        if self._version > 1:
            record |= {"pad": self.pad, "unk": self.unk}
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
            vocabulary = cls(record["tokens"], record["lowercase"], **_specials(record))
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


def _special(tokens: tuple[str, ...], special: int | str, name: str) -> int:
    """The id of a special token that is given by its id or by its spelling."""
    if isinstance(special, str):
        if special not in tokens:
            raise VocabularyError(
                f"Got {name}={special!r}, which is not in the vocabulary. {near(special, tokens)}"
            )
        return tokens.index(special)
    wrong = isinstance(special, bool) or not isinstance(special, int | np.integer)
    if wrong or not 0 <= special < len(tokens):
        raise VocabularyError(
            f"Got {name}={special!r}, expected an id from 0 to {len(tokens) - 1}, or a token."
        )
    return int(special)


def _check(tokens: tuple[str, ...], lowercase: bool, specials: set[int | None]) -> None:
    seen: dict[str, int] = {}
    for id_, token in enumerate(tokens):
        if not isinstance(token, str):
            raise VocabularyError(f"Got the token {token!r} as id {id_}, expected a str.")
        if token in seen:
            raise VocabularyError(
                f"Got the token {token!r} as id {seen[token]} and as id {id_}, expected it once."
            )
        if lowercase and id_ not in specials and token != token.lower():
            raise VocabularyError(
                f"Got the token {token!r} as id {id_}, which is never found in lower case; "
                "pass lowercase=False or give its lower case."
            )
        seen[token] = id_


def _specials(record: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens of a record, as arguments of the constructor."""
    if record["version"] == 1:
        return {}
    tokens = record["tokens"]
    found: dict[str, Any] = {"unk": None}
    for name in ("pad", "unk"):
        id_ = record.get(name)
        if id_ is not None or name == "pad":
            known = type(id_) is int and 0 <= id_ < len(tokens)
            found[name] = tokens[id_] if known else id_
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(read_file(path))
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
    if record.get("version") not in _VERSIONS:
        raise SavedFileError(
            f"{path} has the format version {record.get('version')!r}, expected {_VERSIONS[-1]} "
            "or less; "
            "read it with the version of seqlrp that wrote it."
        )
    kinds = {"lowercase": bool, "tokens": list, "fingerprint": str}
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            raise SavedFileError(f"{path} is damaged: {name!r} is missing or no {kind.__name__}.")
    return record
