"""CSV for spreadsheets: the words of explanations, whole files, no formulas."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from samples.explanations import explanation

from seqlrp.explanations.frames import by_word
from seqlrp.explanations.spreadsheets import HELD, spreadsheet_writer


@pytest.mark.parametrize("count", [0, 1, HELD, HELD + 3])
def test_it_has_the_words_of_all_explanations(tmp_path, count) -> None:
    given = [explanation(id=str(k)) for k in range(count)]
    with spreadsheet_writer(tmp_path / "r.csv") as writer:
        for each in given:
            writer.append(each)
    found = pd.read_csv(tmp_path / "r.csv", dtype={"id": str, "token": str})
    expected = by_word(given)
    assert list(found) == list(expected)
    assert found["document"].tolist() == expected["document"].tolist()
    assert found["token"].tolist() == expected["token"].tolist()
    values = found["relevance"].astype(float)
    np.testing.assert_allclose(values, expected["relevance"], rtol=1e-6)


def test_no_token_is_a_formula(tmp_path) -> None:
    with spreadsheet_writer(tmp_path / "r.csv") as writer:
        writer.append(explanation("=1+1 @sum plain"))
    assert pd.read_csv(tmp_path / "r.csv")["token"].tolist() == ["'=1+1", "'@sum", "plain"]


def test_an_error_leaves_what_was_there(tmp_path) -> None:
    (tmp_path / "r.csv").write_text("before")
    with pytest.raises(AttributeError), spreadsheet_writer(tmp_path / "r.csv") as writer:
        writer.append(None)
    assert os.listdir(tmp_path) == ["r.csv"]
    assert (tmp_path / "r.csv").read_text() == "before"
