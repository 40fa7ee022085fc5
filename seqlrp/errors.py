"""What can go wrong, a sentence each: every error of seqlrp is a `SeqlrpError`.

Two branches: `InputError` is about what was handed in (text, ids, targets, files), `ModelError`
about the model that is to be explained. Each message says what was got, what was expected and
what to do. The command line prints the sentence and exits with status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SeqlrpError(Exception):
    """The root: catch this to catch everything that seqlrp raises on purpose."""


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


class TrainingModeError(ModelError):
    """The model is in training mode, where dropout changes the answer from call to call."""


class NonFiniteError(ModelError):
    """A weight, a score or a relevance is NaN or infinite."""


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


class LeftOutWarning(UserWarning):
    """Some texts were left out, as the caller asked, for nothing could be asked of them."""


class PaddingWarning(UserWarning):
    """The model lets padding take part in its answer."""


class VocabularyWarning(UserWarning):
    """The vocabulary has fewer tokens than the model's embedding has rows."""


class AccountWarning(UserWarning):
    """By a method's own account its relevance leaves out much of what it should explain."""


class FontWarning(UserWarning):
    """A picture cannot show some characters, for no font has them."""


class ImbalanceWarning(UserWarning):
    """Some classes of a training corpus are much rarer than others."""


def near(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names nearest to `name`, or all of them when few are."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if matches:
        return f"Did you mean {' or '.join(map(repr, matches))}?"
    shown = ", ".join(map(repr, known[:10])) + (", …" if len(known) > 10 else "")
    return f"Known: {shown}."
