"""Reads the texts to be explained: options, a folder of documents, a corpus, standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from seqlrp.cli.application import say
from seqlrp.errors import CorpusError, OptionError

if TYPE_CHECKING:
    from seqlrp.explanations.collection import Explanations
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.corpora import Corpus

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class InputTexts:
    """Texts, which can be read once, with what is known of each.

    Attributes:
        texts: a list, or a stream of unknown length.
        labels: the true classes by name, where they are known.
        names: what the user calls the texts, where they have names.
        numbers: which row or line each is, from 0, where some may have been left out.
        typed: whether a person is typing the texts in, and waits for an answer to each.
    """

    texts: Iterable[str]
    labels: Sequence[str] | None = None
    names: Sequence[str] | None = None
    numbers: Iterable[int] | None = None
    typed: bool = False

    def first(self, count: int | None) -> InputTexts:
        """The first `count` texts, or all where it is None."""
        if count is None:
            return self
        texts = self.texts
        return InputTexts(
            texts[:count] if isinstance(texts, Sequence) else islice(texts, count),
            None if self.labels is None else self.labels[:count],
            None if self.names is None else self.names[:count],
            None if self.numbers is None else islice(self.numbers, count),
            self.typed,
        )


def read_corpus(name: str | Path, **options: Any) -> Corpus:
    """Load a corpus by `load_corpus`, and say on stderr how it was read if not the usual way."""
    from seqlrp.text.corpora import load_corpus

    found = load_corpus(name, **options)
    for remark in found.remarks:
        say(remark)
    return found


def load_explained(folder: str, **columns: str | None) -> Explanations | None:
    """The explanations of a folder that `explain --out FOLDER` wrote; None of anything else.

    Args:
        folder: what the user names as a corpus.
        columns: options that do not go with it, by their names.

    Raises:
        OptionError: one of these was typed.
        SavedFileError: the folder is not finished.
    """
    from seqlrp.explanations.collection import Explanations
    from seqlrp.explanations.parts import holds_parts

    if not holds_parts(folder):
        return None
    for name in (name for name, value in columns.items() if value is not None):
        flag = "--" + name.replace("_", "-")
        raise OptionError(f"{flag} does not go with {folder}, which holds explanations.")
    return Explanations.load(folder)


def read_texts(
    classifier: TextClassifier,
    corpus: str | None,
    texts: Sequence[str],
    *,
    text_column: str | None,
    label_column: str | None,
    split: str | None,
    labelled: bool,
    on_unanswerable: Literal["raise", "skip"] = "raise",
) -> InputTexts:
    """Read texts that were typed, or the corpus that was named.

    Args:
        classifier: what the texts are for; it knows the labels.
        corpus: a corpus, a folder of .txt files, or "-" for standard input, a text on each line.
        texts: texts, where there is no corpus; "-" is all of standard input.
        text_column: which column of the corpus holds the texts.
        label_column: which column of the corpus holds the labels.
        split: which part of the corpus.
        labelled: whether the labels of the corpus are wanted.
        on_unanswerable: what becomes of rows without a text.

    Raises:
        OptionError: both were given, or neither; or a text that was typed is blank.
        CorpusError: the corpus cannot be read.
        LabelError: it has labels that the classifier does not know.
    """
    from seqlrp.explaining.questions import label_names

    if (corpus is None) == (not texts):
        raise OptionError(
            "Name the texts: either CORPUS ('-' for standard input, a text on each line) or "
            "--text, and not both."
        )
    if corpus is None:
        typed_texts = with_standard_input(texts, sys.stdin)
        for text in typed_texts if on_unanswerable == "raise" else ():
            if not text.strip():
                raise OptionError(option="text", got=text, expected="a text with a word in it")
        return InputTexts(typed_texts)
    if corpus == STANDARD_INPUT:
        if (
            sys.stdin is not None and sys.stdin.isatty()
        ):  # who types sees which text an answer is of
            typed_lines = numbered_lines(_lenient(sys.stdin), report=False)
            return InputTexts((text for _, text in typed_lines), typed=True)
        numbered, again = tee(numbered_lines(_lenient(sys.stdin)))
        return InputTexts((text for _, text in numbered), numbers=(number for number, _ in again))
    path = Path(corpus)
    if documents := _document_files(path):
        names = [file.name for file in documents]
        return InputTexts([_read_document(file) for file in documents], names=names)
    load = partial(
        read_corpus, corpus, text=text_column, label=label_column, split=split,
        on_unanswerable=on_unanswerable,
    )  # fmt: skip
    if not labelled:
        found = load(labelled=False)
        return InputTexts(found.texts, numbers=_numbers(found))
    found = load(label_names=classifier.labels)
    return InputTexts(found.texts, label_names(found), numbers=_numbers(found))


def _numbers(corpus: Corpus) -> list[int] | None:
    return None if corpus.numbers is None else corpus.numbers.tolist()


def _document_files(folder: Path) -> list[Path]:
    """The .txt files of a folder that holds nothing else; otherwise none."""
    if not folder.is_dir():
        return []
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    texts = all(entry.suffix == ".txt" and entry.is_file() for entry in entries)
    return entries if texts else []


def _read_document(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"Could not read {path}, expected a text in UTF-8: {error}.") from error
    if not text.strip():
        raise CorpusError(f"The text {path} is empty; take it out.")
    return text


def with_standard_input(texts: Iterable[str], stream: TextIO | None) -> list[str]:
    """The texts, with "-" replaced by the whole stream as one text.

    The last line break is dropped, because `echo` adds it. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        OptionError: nothing came, or "-" stands there twice.
    """
    found = list(texts)
    if STANDARD_INPUT not in found:
        return found
    if found.count(STANDARD_INPUT) > 1:
        raise OptionError("Standard input, '-', can be read once, got it twice.")
    text = "".join(map(_clean, _lenient(stream))).removesuffix("\n").removeprefix("\ufeff")
    if not text:
        raise OptionError("Nothing came from standard input, expected a text; is a pipe empty?")
    found[found.index(STANDARD_INPUT)] = text
    return found


def numbered_lines(stream: Iterable[str], *, report: bool = True) -> Iterator[tuple[int, str]]:
    """The lines of a stream with their numbers, from 0; blank lines are left out.

    Args:
        stream: the lines.
        report: print at the end how many were left out.

    Raises:
        OptionError: there was no line that is not blank.
    """
    from seqlrp.text.tables import SHOWN, left_out

    some, blank, first = False, 0, list[int]()
    for number, line in enumerate(map(_clean, stream)):
        text = (line if number else line.removeprefix("\ufeff")).rstrip("\r\n")
        if text.strip():
            some = True
            yield number, text
        else:
            blank += 1
            first = [*first, number][:SHOWN]
    if report and some and blank:
        say(left_out("Standard input", "line", blank, first))
    if not some:
        raise OptionError("Nothing came from standard input, expected texts; is a pipe empty?")


def _lenient(stream: TextIO | None) -> Iterable[str]:
    """The lines of a stream, with bytes that cannot be decoded replaced; none if it is closed."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return () if stream is None else stream


def _clean(line: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", line)
