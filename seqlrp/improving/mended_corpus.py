"""Edits shortcuts in a corpus: removed, made unknown words, or spread over all classes alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seqlrp.improving.labelled_texts import Integers, LabelledTexts, Mask
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import EncodedText

EDITS = ("swap", "delete", "unknown")
SHARE = 0.5  # of the texts of each class that hold a shortcut after a swap


def mended(
    texts: LabelledTexts,
    shortcuts: Sequence[Shortcut],
    edit: str,
    *,
    share: float = SHARE,
    random: np.random.Generator,
) -> LabelledTexts:
    """Take shortcuts out of texts, or their meaning out of them.

    Args:
        texts: those that are changed.
        shortcuts: one after the other.
        edit: "delete" takes their words out; "unknown" puts the unknown word in their place; "swap"
            adds copies (counterfactual augmentation, Kaushik et al. 2020): each text that holds
            the shortcut also without it, and others also with it, so that it says nothing of the
            class.
        share: of the texts of each class that hold a shortcut after a swap.
        random: draws the copies.
    """
    for shortcut in shortcuts:
        located = Located(shortcut, texts)
        if edit == "swap":
            texts = _swapped(located, share, random)
        elif edit == "unknown":
            texts = texts.edited([_unknown(located, k) for k in range(len(texts))])
        else:
            documents = [located.taken_out(k) for k in range(len(texts))]
            kept = texts.part(np.array([d is not None for d in documents], bool))
            texts = kept.edited([d for d in documents if d is not None])
    return texts


def _swapped(located: Located, share: float, random: np.random.Generator) -> LabelledTexts:
    """The texts, then copies of those that hold the shortcut without it, and of others with it."""
    texts, holders = located.texts, located.holders
    removed = {int(k): located.taken_out(int(k)) for k in holders}
    without = np.array([k for k, d in removed.items() if d is not None], np.int64)
    copies = texts.part(without).edited([d for d in removed.values() if d is not None])
    chosen = _others(texts, located.held, share, random)
    others = texts.part(chosen)
    return texts.joined(copies).joined(others.edited(located.put_in(others.documents, random)))


def _others(
    texts: LabelledTexts, held: Mask, share: float, random: np.random.Generator
) -> Integers:
    """Texts of each class to put the shortcut into, so that the same share of each holds it."""
    drawn = [np.zeros(0, np.int64)]
    for class_ in np.unique(texts.labels).tolist():
        own = texts.labels == class_
        rest = np.flatnonzero(own & ~held)
        count = round(share * int(own.sum())) - int((own & held).sum())
        drawn.append(random.choice(rest, min(max(count, 0), len(rest)), replace=False))
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _unknown(located: Located, k: int) -> EncodedText:
    """A text with the unknown word in place of the shortcut."""
    document, mark = located.texts.documents[k], located.mark(k)
    vocabulary = located.texts.classifier.vocabulary
    assert vocabulary.unk is not None
    word, source = vocabulary.tokens[vocabulary.unk], document.source
    changed = replace(source, tokens=_replaced(source.tokens, mark, word))
    if source.pieces is not None:
        changed = replace(changed, pieces=_replaced(source.pieces, mark, word))
    return EncodedText(np.where(mark, vocabulary.unk, document.ids), changed)


def _replaced(tokens: tuple[str, ...], mark: Mask, word: str) -> tuple[str, ...]:
    return tuple(word if m else token for token, m in zip(tokens, mark, strict=True))


def written(corpus: Corpus, texts: LabelledTexts) -> Corpus:
    """The mended texts as a corpus.

    Args:
        corpus: the one that the texts are of.
        texts: what was made of them; `rows` says of which text each was made.
    """
    tokenised = LabelledTexts.read(texts.classifier, corpus, np.arange(len(corpus)))
    before = dict(zip(tokenised.rows.tolist(), tokenised.documents, strict=True))
    lines = [
        written_text(before[row], document)
        for row, document in zip(texts.rows.tolist(), texts.documents, strict=True)
    ]
    numbers = texts.rows if corpus.numbers is None else corpus.numbers[texts.rows]
    names = texts.classifier.labels
    return Corpus(f"{corpus.name}, mended", lines, texts.labels, names, numbers)


def written_text(before: EncodedText, after: EncodedText) -> str:
    """The text of edited tokens.

    What is no token stays as it was; a token that went takes the space after it along, and words
    that were put in stand between spaces.
    """
    text, offsets = before.source.text, after.source.offsets.tolist()
    kept = {(start, end) for start, end in offsets if end > start}
    stays = np.ones(len(text), bool)
    for start, end in before.source.offsets.tolist():
        if end > start and (start, end) not in kept:
            stays[start : end + (text[end : end + 1] == " ")] = False

    def between(start: int, end: int) -> str:
        return "".join(text[k] for k in range(start, end) if stays[k])

    written, place = "", 0
    for token, (start, end) in zip(after.source.tokens, offsets, strict=True):
        written += between(place, start)
        if end > start:
            written += token
        else:
            written += token if not written or written[-1].isspace() else f" {token}"
            written += "" if text[start : start + 1].isspace() else " "
        place = max(place, end)
    return (written + between(place, len(text))).strip()
