"""Texts as a classifier holds them: what a tokenizer found, and the id of each token."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from seqlrp.errors import IdsError, TextError
from seqlrp.text.tokens import SpacyTokenizer, TokenizedText, checked_text, from_doc, located

if TYPE_CHECKING:
    from spacy.tokens import Doc

Tokenizer = Callable[[str], Union[TokenizedText, Sequence[str], "Doc"]]


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A tokenised text and the ids of its T tokens.

    Attributes:
        ids: int64 `[T]`.
        source: the tokens, and where they stand in the text.
    """

    ids: npt.NDArray[np.int64]
    source: TokenizedText

    def __post_init__(self) -> None:
        if self.ids.shape != (len(self.source.tokens),):
            raise IdsError(
                f"Got ids of the shape {self.ids.shape} for {len(self.source.tokens)} tokens, "
                "expected one id a token."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def without(self, positions: Sequence[int] | npt.NDArray[np.integer]) -> EncodedText:
        """Delete the tokens at these positions, so that the sequence gets shorter.

        The text itself stays, as do the places in it of the tokens that are left.

        Raises:
            IdsError: a position is not in 0 to T - 1.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        outside = (chosen < 0) | (chosen >= len(self))
        if outside.any():
            raise IdsError(
                f"Got the position {chosen[outside][0]}, expected 0 to {len(self) - 1} "
                f"for {len(self)} tokens."
            )
        kept = np.ones(len(self), dtype=bool)
        kept[chosen] = False
        return self._only(kept)

    def truncated(self, length: int, cut: str) -> EncodedText:
        """Cut the "head" or the "tail" off, so that at most `length` tokens are left.

        The text itself stays; `source.unread` says how many tokens went.
        """
        unread = len(self) - length
        if unread <= 0:
            return self
        kept = np.ones(len(self), dtype=bool)
        kept[slice(unread) if cut == "head" else slice(length, None)] = False
        short = self._only(kept)
        return replace(short, source=replace(short.source, unread=self.source.unread + unread))

    def _only(self, kept: npt.NDArray[np.bool_]) -> EncodedText:
        pieces = self.source.pieces
        source = replace(
            self.source,
            tokens=tuple(itertools.compress(self.source.tokens, kept)),
            offsets=self.source.offsets[kept],
            sentences=self.source.sentences[kept],
            pieces=pieces and tuple(itertools.compress(pieces, kept)),
        )
        return EncodedText(self.ids[kept], source)


def tokenised(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[TokenizedText]:
    """Split texts by any tokenizer, one after another; many at a time where it has a `pipe`.

    Raises:
        TextError: a text is no string, or the tokenizer returns something else than tokens.
    """
    pipe = getattr(tokenizer, "pipe", None)
    if pipe is None:
        return (_source(tokenizer(text), text) for text in texts)
    if isinstance(tokenizer, SpacyTokenizer):
        return tokenizer.pipe(texts)
    return map(_source, pipe(map(checked_text, texts)))


def _source(found: Any, text: str | None = None) -> TokenizedText:
    """What a tokenizer found in a text, whatever it is that it returns."""
    if isinstance(found, TokenizedText):
        return found
    if isinstance(found, list | tuple) and text is not None:
        return located(text, found)
    if hasattr(found, "has_annotation"):  # a document of spaCy's
        return from_doc(found)
    raise TextError(
        f"The tokenizer returned {type(found).__name__}, expected a list of tokens or a "
        f"TokenizedText. {fast_hint(found, 'input_ids')}".rstrip()
    )


def fast_hint(thing: Any, attribute: str) -> str:
    """What to do with a tokenizer of Hugging Face, if what it has says that it is one."""
    if not hasattr(thing, attribute):
        return ""
    return (
        "A fast tokenizer of Hugging Face is wrapped: "
        "seqlrp.integrations.tokenizers.FastTokenizer(tokenizer)."
    )
