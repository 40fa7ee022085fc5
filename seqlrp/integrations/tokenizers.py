"""Fast tokenizers of Hugging Face: sub-words with their places in the text, and the same ids."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.errors import OptionError, VocabularyError
from seqlrp.text.tokens import TokenizedText, checked_text
from seqlrp.text.vocabulary import Vocabulary

_PADS = ("[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|endoftext|>")


class FastTokenizer:
    """Splits texts with a `tokenizers.Tokenizer` or a fast tokenizer of `transformers`.

    >>> fast = FastTokenizer(tokenizer)  # doctest: +SKIP
    >>> TextClassifier(model, fast.vocabulary(), labels, fast)  # doctest: +SKIP

    A sub-word has the characters that it stands for; what stands for none, such as `[CLS]`, has an
    empty place and its own name, and gets its share of relevance as every input of the model does.
    Where several share a character (the bytes of an emoji), the last of them has it. Truncation
    holds as it is set on the tokenizer; its padding is left out.

    Args:
        tokenizer: anything with `encode`, `get_vocab`, `id_to_token` and `to_str` of
            `tokenizers.Tokenizer`, or with such a thing as its `backend_tokenizer`.
        special_tokens: whether it puts in its special tokens, as it does for single texts; the
            model must have been trained so.

    Raises:
        OptionError: the tokenizer is no fast one.
    """

    def __init__(self, tokenizer: Any, *, special_tokens: bool = True) -> None:
        self._specials = {
            name: getattr(tokenizer, f"{name}_token", None) for name in ("pad", "unk")
        }
        fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not all(hasattr(fast, n) for n in ("encode", "get_vocab", "id_to_token", "to_str")):
            raise OptionError(
                f"Got a tokenizer of type {type(tokenizer).__name__}, which does not say where its "
                "tokens stand; expected a tokenizers.Tokenizer or a fast tokenizer of transformers "
                "(AutoTokenizer.from_pretrained(..., use_fast=True))."
            )
        self.tokenizer = fast
        self.special_tokens = special_tokens

    def __call__(self, text: str) -> TokenizedText:
        """Split one text; all of it is one sentence.

        Raises:
            TextError: `text` is no string.
        """
        text = checked_text(text)
        found = self.tokenizer.encode(text, add_special_tokens=self.special_tokens)
        kept = [k for k, word in enumerate(found.attention_mask) if word]
        pieces = tuple(self.tokenizer.id_to_token(found.ids[k]) for k in kept)
        spans = _one_after_the_other(text, [found.offsets[k] for k in kept])
        tokens = tuple(
            text[start:end] or piece
            for (start, end), piece in zip(spans.tolist(), pieces, strict=True)
        )
        return TokenizedText(text, tokens, spans, np.zeros(len(tokens), np.int32), pieces)

    def vocabulary(self, pad: int | str | None = None, unk: int | str | None = None) -> Vocabulary:
        """Make the vocabulary with the ids of this tokenizer.

        Args:
            pad: what fills up shorter texts, by id or as it is spelled; by default what the
                tokenizer itself names, or one of the usual names.
            unk: what stands for the unknown; by default what the tokenizer names, if anything.

        Raises:
            VocabularyError: there is no such token, or nothing that could fill up texts.
        """
        ids: dict[str, int] = self.tokenizer.get_vocab()
        tokens = [f"<no token {id_}>" for id_ in range(max(ids.values()) + 1)]
        for token, id_ in ids.items():
            tokens[id_] = token
        if unk is None:
            model = json.loads(self.tokenizer.to_str())["model"]
            named = self._specials["unk"] or model.get("unk_token")
            unk = model.get("unk_id") if named is None else named
        if pad is None:
            padding = getattr(self.tokenizer, "padding", None) or {}
            pad = self._specials["pad"] or padding.get("pad_token")
            pad = next((name for name in _PADS if name in ids), None) if pad is None else pad
        if pad is None:
            raise VocabularyError(
                "The tokenizer names no token that fills up shorter texts; say which the model was "
                "trained with: vocabulary(pad=...), by id or as it is spelled."
            )
        # By their names, so that what is at 0 and 1 may be called anything.
        pad, unk = (tokens[s] if isinstance(s, int) else s for s in (pad, unk))
        return Vocabulary(tokens, lowercase=False, pad=pad, unk=unk)

    def __repr__(self) -> str:
        return f"FastTokenizer({type(self.tokenizer).__name__})"


def _one_after_the_other(text: str, offsets: list[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """Places in order, none over another, without the white space before a word: int32 `[T, 2]`."""
    spans = []
    done = 0
    for start, end in offsets:
        if start >= end:  # nowhere: [CLS], or the space that a tokenizer puts before a text
            start = end = done
        while start < end - 1 and text[start].isspace():
            start += 1
        done = max(done, end)
        spans.append([start, end])
    following = len(text)
    for span in reversed(spans):
        span[1] = min(span[1], following)
        span[0] = following = min(span)
    return np.array(spans, dtype=np.int32).reshape(-1, 2)
