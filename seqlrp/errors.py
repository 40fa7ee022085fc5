"""The exceptions and warnings of seqlrp, with fields that say what went wrong.

Every exception is a `SeqlrpError`. `InputError` is about what was handed in (texts, ids, targets,
files), `ModelError` about the model that is to be explained. A message says what was got, what was
expected and what to do; the command line prints it, with its own names of the options, and exits
with status 2.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable


class _Fields(BaseException):
    """A message in two parts, problem and advice, and the facts behind it: see `SeqlrpError`."""

    problem: str = ""
    advice: str = ""
    option: str | None = None
    got: object = None
    expected: str | None = None
    known: tuple[object, ...] = ()
    text: int | None = None
    function: str | None = None
    module: str | None = None
    code: str | None = None

    def __init__(self, problem: str = "", advice: str = "", **fields: object) -> None:
        for name, value in {"problem": problem, "advice": advice, **fields}.items():
            if name not in _Fields.__annotations__:
                raise TypeError(f"{type(self).__name__} has no field {name!r}.")
            setattr(self, name, value)
        if not problem and self.option is not None:
            problem = self.problem_with(f"{self.option}={self.got!r:.80}")
        super().__init__(printable(" ".join(filter(None, (problem, advice)))))

    def problem_with(self, assignment: str) -> str:
        """The problem of an option, which `assignment` names with its value."""
        return f"Got {assignment}" + (f"; expected {self.expected}." if self.expected else ".")


class SeqlrpError(_Fields, Exception):
    """The root of all exceptions that seqlrp raises on purpose.

    The message is for people: the problem, then the advice. Programs decide by the class and by
    the fields, all of which are optional.

    Attributes:
        problem: what is wrong. Where it is empty, the message begins "Got option=got; expected
            expected.".
        advice: what to do, for those who call seqlrp from Python.
        option: the name of the argument or option that is at fault.
        got: its value.
        expected: what it should have been, as the end of a sentence.
        known: the values that are allowed, where they can be listed.
        text: the number of the text that is at fault, counted from 0.
        function: the full name of the torch function that is at fault.
        module: the dotted name of the module that called it.
        code: which of several problems of one class this is, a name that does not change.
    """


class SeqlrpWarning(_Fields, UserWarning):
    """The root of all warnings of seqlrp, with the fields of `SeqlrpError`."""


# What was handed in


class InputError(SeqlrpError, ValueError):
    """Something handed in is not what was expected."""


class TextError(InputError):
    """A text that cannot be explained, e.g. one without a single token."""


class IdsError(InputError):
    """Token ids of a wrong dtype or shape, or a row that holds nothing but padding."""


class VocabularyError(InputError):
    """Ids outside the vocabulary, or a vocabulary that does not belong to the weights."""


class TargetError(InputError):
    """A target class that is out of range, negative, misspelt or ambiguous."""


class LabelError(InputError):
    """A true label that the classifier has never seen."""


class CorpusError(InputError):
    """A corpus that is not there, is empty or lacks a column."""


class OptionError(InputError):
    """An option with a value that is not one of those allowed."""


class SavedFileError(InputError):
    """A file or folder that was not written by seqlrp, is truncated, or does not fit together."""


class VectorsError(InputError):
    """Pretrained word vectors that cannot be read or do not fit."""


class WeightsError(InputError):
    """Arrays of another framework that make no layer, or one that answers otherwise than it did."""


# The model


class ModelError(SeqlrpError):
    """A model that cannot be explained as it is."""


class RefusedFunctionError(ModelError):
    """The model calls a torch function for which no law of relevance is known."""


class UnfollowedWordsError(ModelError):
    """A value depends on the words in a way that is not followed, and would pass for a constant."""


class LedgerError(ModelError):
    """The ledger of a call does not add up to the score, so some relevance was lost on the way."""


class TrainingModeError(ModelError):
    """The model is in training mode, where dropout changes the answer from call to call."""


class NonFiniteError(ModelError):
    """A weight, a score or a relevance is NaN or infinite."""


class NonFiniteInputError(NonFiniteError, InputError):
    """Vectors that were handed in are NaN or infinite."""


class MixedDocumentsError(ModelError):
    """The model mixes the documents of a batch, so that no score belongs to one document."""


class ScriptedModelError(ModelError):
    """A TorchScript or compiled module, into which a torch function mode cannot see."""


class OutputError(ModelError):
    """The model returns something that is no float tensor of scores `[B, C]`."""


class ProbabilityError(OutputError):
    """The model returns probabilities, where relevance needs the scores before them."""


class NoEmbeddingError(ModelError):
    """The scores do not depend on any embedding of the ids."""


# The machine


class MissingPackageError(SeqlrpError, ImportError):
    """An optional package is needed and not installed."""


class WriteError(SeqlrpError, OSError):
    """A file could not be written; what was there before is still there."""


class FailedTextError(TextError):
    """A text at which a worker fails, in a run that such a text ends."""


class ShardError(SeqlrpError):
    """A shard cannot be explained, and no single text of it is at fault; or workers keep dying."""


class FolderInUseError(SeqlrpError):
    """Another run is writing to a folder."""


class LeftOutWarning(SeqlrpWarning):
    """Some texts were left out, as the caller asked, for nothing could be asked of them."""


class GuessedEncodingWarning(SeqlrpWarning):
    """A file is not in UTF-8, and was read in an encoding that may be another."""


class PaddingWarning(SeqlrpWarning):
    """The model lets padding take part in its answer."""


class UnverifiedWarning(SeqlrpWarning):
    """A model could not be run a second time to verify that its constants are constants."""


class SecondTextWarning(SeqlrpWarning):
    """The model looks up a second text, whose words are not explained."""


class WordFeaturesWarning(SeqlrpWarning):
    """What a model takes after its ids is computed from the words, and is not explained."""


class VocabularyWarning(SeqlrpWarning):
    """The vocabulary has fewer tokens than the model's embedding has rows."""


class AccountWarning(SeqlrpWarning):
    """By a method's own account its relevance leaves out much of what it should explain."""


class KernelWarning(SeqlrpWarning):
    """A GPU kernel cannot be used on a device, or compiled loops cannot be kept on disk."""


class NotTrainedWarning(SeqlrpWarning):
    """An estimator was fitted that holds a trained classifier, and nothing was learnt."""


class FontWarning(SeqlrpWarning):
    """A picture cannot show some characters, for no font has them."""


class ImbalanceWarning(SeqlrpWarning):
    """Some classes of a training corpus are much rarer than others."""


def printable(text: str) -> str:
    """Text for a terminal: control and formatting characters are escaped, but for ends of line.

    Names of columns, tensors and files come from others, and could move the cursor or write over
    what stands there.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\xa0" else ascii(c)[1:-1] for c in text)


def near(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names nearest to `name`, or all of them when few are."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if matches:
        return f"Did you mean {' or '.join(map(repr, matches))}?"
    shown = ", ".join(map(repr, known[:10])) + (", …" if len(known) > 10 else "")
    return f"Known: {shown}."


def check_choice(option: str, got: object, known: Iterable[object]) -> None:
    """Check that an option has one of the values that are allowed.

    Raises:
        OptionError: it has another one; the message names the nearest values.
    """
    known = tuple(known)
    try:
        allowed = got in known
    except (TypeError, ValueError):  # an array, say, which compares element by element
        allowed = False
    if not allowed:
        raise OptionError(
            advice=near(str(got), map(str, known)), option=option, got=got, known=known
        )


def check_number(
    option: str,
    got: object,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    whole: bool = False,
) -> None:
    """Check that an option is a finite number within bounds.

    Args:
        option: its name.
        got: its value; truth values are no numbers.
        least: the least value that is allowed.
        most: the greatest value that is allowed.
        above: a bound that is not itself allowed.
        below: a bound that is not itself allowed.
        whole: whether it must be a whole number.

    Raises:
        OptionError: it is no number, not finite, not whole or out of bounds.
    """
    try:
        if isinstance(got, bool | str):
            raise TypeError
        number = operator.index(got) if whole else float(got)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    inside = least <= number <= most and above < number < below and math.isfinite(number)
    if inside:
        return
    kind = "a whole number" if whole else "a finite number"
    bounds = [
        *([f"at least {least:g}"] if least > -math.inf else []),
        *([f"above {above:g}"] if above > -math.inf else []),
        *([f"at most {most:g}"] if most < math.inf else []),
        *([f"below {below:g}"] if below < math.inf else []),
    ]
    raise OptionError(option=option, got=got, expected=", ".join([kind, *bounds]))
