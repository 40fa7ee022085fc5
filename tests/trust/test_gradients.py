"""Gradients refuse what LRP refuses after its second run, and no model that has a right answer."""

from __future__ import annotations

import warnings

import pytest
from trust.judge import Case, random_model
from trust.models import CASES

import seqlrp
from seqlrp.errors import UnfollowedWordsError
from seqlrp.methods import GradientXInput


def refused(method: type, case: Case) -> bool:
    """Whether a method refuses a model because words go where it does not follow."""
    options = {k: v for k, v in case.options.items() if k == "output"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            method(random_model(case), **options).attribute(case.ids.clone(), 0, case.args or None)
    except UnfollowedWordsError:
        return True
    except Exception:
        return False
    return False


@pytest.mark.slow
def test_gradients_refuse_what_lrp_refuses_after_its_second_run() -> None:
    """But for an autograd function of the model's own, whose gradient is what its author wrote."""
    cases = [case for case in CASES if refused(seqlrp.LRP, case)]
    assert len(cases) >= 8
    answered = [case.name for case in cases if not refused(GradientXInput, case)]
    assert answered == ["StraightThrough"]


@pytest.mark.slow
def test_no_right_model_is_refused_for_its_gradient() -> None:
    cases = [case for case in CASES if case.truth is not None]
    assert [str(case) for case in cases if refused(GradientXInput, case)] == []
