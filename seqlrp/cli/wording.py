"""Messages in the words of the command line: what Python calls an option is called by its flag."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What has no flag of the same name. A test holds that the package says each of these somewhere.
PHRASES = {
    "pass labels=, or target='predicted'": (
        "take a corpus with a column of labels (--label-column), or --target predicted"
    ),
    "pass labels=": "take a corpus with a column of labels (--label-column)",
    "a folder that seqlrp.save wrote": "a folder that `seqlrp train` or seqlrp.save wrote",
    "give it to seqlrp.load(folder, factory=…)": "name it by --factory module:build",
    "give one that Explanations.save wrote": "give one that `seqlrp explain --out` wrote",
    "set the option text to the column of the texts": "name the one of the texts by --text-column",
    "set split to one": "choose one by --split",
}
_UNLABELLED = "or leave out the column if no row is to have one"
_FREE = r"""(?<![\w'"./=-])"""
_VALUE = r"""'[^']*'|"[^"]*"|-?\w+(?:\.\w+)*|(?=[,;.\s)]|$)"""  # nothing, where it is not said
_COLUMN = re.compile(r"which the option (text|label) asks for")
_COUNTED = re.compile(r"^(Text|For text) (\d+)\b")


def spoken(message: str, flags: Mapping[str, str]) -> str:
    """A message of the package as the command line says it.

    `name=value` becomes `--name value`, and a name that can only be an option (it has an
    underscore) becomes its flag; what stands in quotes or is part of a path stays as it is. Texts
    are counted from 0, as their ids are, and the message says so; rows say that they are rows.

    Args:
        message: the sentence.
        flags: the flags of the command that runs, by the names that Python has for them.
    """
    for phrase, said in PHRASES.items():
        message = message.replace(phrase, said)
    if "no_labels" in flags:
        message = message.replace(_UNLABELLED, f"or leave the labels out by {flags['no_labels']}")
    message = _COLUMN.sub(r"which --\1-column asks for", message)
    message = _COUNTED.sub(r"\1 number \2 (counted from 0)", message)
    if not flags:
        return message
    names = "|".join(map(re.escape, flags))
    assigned = rf"{_FREE}({names})=({_VALUE})"
    named = rf"{_FREE}({names})(?![\w=/'\"]|\.\w)"
    message = re.sub(assigned, lambda found: _flag(flags[found[1]], found[2]), message)
    return re.sub(named, lambda found: flags[found[1]] if "_" in found[1] else found[1], message)


def _flag(flag: str, value: str) -> str:
    if value[:1] in ("'", '"') and not re.search(r"\s", value):
        value = value[1:-1]
    return f"{flag} {value}".rstrip()
