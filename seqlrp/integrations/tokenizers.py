"""Fast tokenizers of Hugging Face: sub-words with their offsets in the text, and the same ids."""

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

    A token that stands for no character, such as `[CLS]`, has an empty span and its own name, and
    has relevance like every input of the model. Where several tokens share a character (the bytes
    of an emoji), it belongs to the last of them. The truncation of the tokenizer is kept; its
    padding is removed.

    Args:
        tokenizer: an object with the methods `encode`, `get_vocab`, `id_to_token` and `to_str` of
            `tokenizers.Tokenizer`, or with such an object as its `backend_tokenizer`.
        special_tokens: whether to add the special tokens for single texts, as in the training of
            the model.

    Raises:
        OptionError: the tokenizer is not a fast one.
    """

    def __init__(self, tokenizer: Any, *, special_tokens: bool = True) -> None:
        self._specials = {
            name: getattr(tokenizer, f"{name}_token", None) for name in ("pad", "unk")
        }
        fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not all(hasattr(fast, n) for n in ("encode", "get_vocab", "id_to_token", "to_str")):
            raise OptionError(
                f"Got a tokenizer of type {type(tokenizer).__name__}, which gives no offsets of "
                "its tokens; expected a tokenizers.Tokenizer or a fast tokenizer of transformers "
                "(AutoTokenizer.from_pretrained(..., use_fast=True)).",
                option="tokenizer",
                got=tokenizer,
            )
        self.tokenizer = fast
        self.special_tokens = special_tokens

    def __call__(self, text: str) -> TokenizedText:
        """Split one text, which counts as one sentence.

        Raises:
            TextError: `text` is not a string.
        """
        text = checked_text(text)
        encoding = self.tokenizer.encode(text, add_special_tokens=self.special_tokens)
        words = [k for k, is_word in enumerate(encoding.attention_mask) if is_word]
        pieces = tuple(self.tokenizer.id_to_token(encoding.ids[k]) for k in words)
        spans = _disjoint_spans(text, [encoding.offsets[k] for k in words])
        tokens = tuple(
            text[start:end] or piece
            for (start, end), piece in zip(spans.tolist(), pieces, strict=True)
        )
        sentences = np.zeros(len(tokens), np.int32)
        return TokenizedText(text, tokens, spans, sentences, pieces, splits_sentences=False)

    def vocabulary(self, pad: int | str | None = None, unk: int | str | None = None) -> Vocabulary:
        """Make a vocabulary with the ids of this tokenizer.

        Args:
            pad: the padding token or its id; by default that of the tokenizer, or a usual name.
            unk: the unknown token or its id; by default that of the tokenizer, if it has one.

        Raises:
            VocabularyError: there is no such token, or no padding token is known.
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
                "The tokenizer has no padding token; pass the one that the model was trained with: "
                "vocabulary(pad=...), a token or its id.",
                option="pad",
            )
        # By name, so that the tokens of the ids 0 and 1 may have any name.
        pad, unk = (tokens[s] if isinstance(s, int) else s for s in (pad, unk))
        return Vocabulary(tokens, lowercase=False, pad=pad, unk=unk)

    def __repr__(self) -> str:
        return f"FastTokenizer({type(self.tokenizer).__name__})"


def _disjoint_spans(text: str, offsets: list[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """Return spans in order, without overlaps and leading white space: int32 `[T, 2]`."""
    spans = []
    done = 0
    for start, end in offsets:
        if start >= end:  # [CLS], or the space that a tokenizer adds before a text
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
