"""Errors and warnings say a problem and an advice, and carry fields."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

from seqlrp import errors
from seqlrp.errors import (
    LeftOutWarning,
    MissingPackageError,
    OptionError,
    SeqlrpError,
    SeqlrpWarning,
    TextError,
    WriteError,
    check_choice,
    check_number,
)

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SeqlrpError | SeqlrpWarning)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_carries_fields(kind: type[SeqlrpError]) -> None:
    error = kind("It is so.", "Change it.", option="epsilon", got=-1, text=3, code="negative")
    assert str(error) == "It is so. Change it."
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(same) is kind
        assert str(same) == "It is so. Change it."
        assert (same.problem, same.advice) == ("It is so.", "Change it.")
        assert (same.option, same.got, same.text, same.code) == ("epsilon", -1, 3, "negative")
        assert (same.known, same.expected, same.function, same.module) == ((), None, None, None)
    with pytest.raises(TypeError, match="no field 'colour'"):
        kind("It is so.", colour="red")


def test_a_message_is_made_of_the_fields() -> None:
    assert str(OptionError(option="n", got="x" * 100)) == f"Got n='{'x' * 79}."
    assert str(OptionError(option="n", got=0, expected="1")) == "Got n=0; expected 1."
    assert str(OptionError(advice="Try 1.", option="n", got=0)) == "Got n=0. Try 1."
    assert str(TextError("Text 1 is empty.", text=1)) == "Text 1 is empty."
    assert isinstance(WriteError("x", text=1), OSError)
    assert isinstance(MissingPackageError("x"), ImportError)
    assert isinstance(LeftOutWarning("x"), UserWarning)


def test_choices() -> None:
    check_choice("rule", "all", ("all", "half"))
    check_choice("rule", None, (None, 1))
    for wrong in ("al", 3, [1], ...):
        with pytest.raises(OptionError, match="Got rule=") as caught:
            check_choice("rule", wrong, ("all", "half"))
        assert (caught.value.option, caught.value.known) == ("rule", ("all", "half"))
        assert caught.value.got is wrong


def test_numbers() -> None:
    check_number("n", 1, least=1, most=2, whole=True)
    check_number("n", 0.5, above=0, below=1)
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (0, {"least": 1, "whole": True}, "Got n=0; expected a whole number, at least 1."),
        (1.0, {"whole": True}, "Got n=1.0; expected a whole number."),
        (True, {}, "Got n=True; expected a finite number."),
        ("1", {}, "Got n='1'; expected a finite number."),
        (math.nan, {}, "Got n=nan; expected a finite number."),
        (math.inf, {"least": 0}, "Got n=inf; expected a finite number, at least 0."),
        (0, {"above": 0, "most": 1}, "Got n=0; expected a finite number, above 0, at most 1."),
        (1, {"least": 0, "below": 1}, "Got n=1; expected a finite number, at least 0, below 1."),
    ]
    for value, bounds, message in wrong:
        with pytest.raises(OptionError) as caught:
            check_number("n", value, **bounds)
        assert str(caught.value) == message
        assert caught.value.option == "n"
