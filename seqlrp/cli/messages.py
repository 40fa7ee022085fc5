"""Messages of errors and warnings in the terms of the command line: flags, and its own advice."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from seqlrp.errors import SeqlrpError, SeqlrpWarning

# Where the advice for callers from Python is of no use here: by the code of the error, an option or
# argument that the command must have, and the advice that is given instead.
ADVICE = {
    "labels_missing": (
        "label_column",
        "Take a corpus with a column of labels (--label-column).",
    ),
    "target_labels_missing": (
        "target",
        "Take a corpus with a column of labels (--label-column), or --target predicted.",
    ),
    "row_without_label": (
        "no_labels",
        "Take such rows out, or leave the labels out by --no-labels.",
    ),
    "row_without_text": (
        "on_unanswerable",
        "Take such rows out, or leave them out by --on-unanswerable skip.",
    ),
    "ragged_rows": ("on_unanswerable", "Or leave such rows out by --on-unanswerable skip."),
    "unanswerable": ("on_unanswerable", "Leave such texts out by --on-unanswerable skip."),
    "unknown_label": ("no_labels", "{advice} Or leave the labels out by --no-labels."),
    "unknown_text_column": ("text_column", "Name one of them by --text-column."),
    "unknown_label_column": ("label_column", "Name one of them by --label-column."),
    "several_splits": ("split", "Choose one by --split."),
    "no_model_folder": ("model", "Give a folder that `seqlrp train` or seqlrp.save wrote."),
    "factory_missing": ("factory", "Name it by --factory module:build."),
    "no_explanations_file": ("explanations", "Give a file that `seqlrp explain --out` wrote."),
    "text_failed": ("on_error", "Set such texts aside by --on-error skip."),
    "imbalanced_classes": (
        "class_weights",
        "Pass --class-weights balanced, so that the smaller is learnt too.",
    ),
}


def command_line_message(error: SeqlrpError | SeqlrpWarning, options: Mapping[str, str]) -> str:
    """The message of an error or a warning as the command line prints it.

    Args:
        error: what was raised or warned of.
        options: what the options and arguments of the command that runs are called when they are
            typed, by their names in Python.
    """
    if not (error.problem or error.advice or error.option):
        return str(error)
    needed, advice = ADVICE.get(error.code or "", ("", ""))
    flag = options.get(error.option or "", "")
    problem = error.problem
    if needed in options:
        advice = advice.format(advice=error.advice).strip()
    else:
        advice = error.advice
        if flag.startswith("--"):
            problem = f"{flag}: {problem}" if problem else ""
    if not problem:
        name = f"{flag} {_typed(error.got)}" if flag else f"{error.option}={error.got!r:.80}"
        problem = error.problem_with(name)
    counted = "" if error.text is None else "Texts are counted from 0."
    return " ".join(filter(None, (problem, advice, counted)))


def ascii_safe(text: str) -> str:
    """Text for a terminal: control characters, line breaks and bidirectional marks are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _typed(value: object) -> str:
    """A value as it is typed behind a flag; several values are separated by commas."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return shlex.quote(ascii_safe(text[:80]))
