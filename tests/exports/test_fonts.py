"""Fonts are chosen by what they cover, and what none covers is said to be missing."""

from __future__ import annotations

import pytest

from seqlrp.errors import OptionError
from seqlrp.exports import fonts
from seqlrp.exports.fonts import REPLACEMENT, fonts_for


def test_the_font_of_matplotlib_is_enough_for_many_scripts():
    found = fonts_for("naïve Ελλάδα мир שלום هذا \ufffd")
    assert found.families == ("DejaVu Sans",)
    assert found.missing == {}


def test_another_font_is_found_where_the_first_has_no_glyph():
    script = "\U0001d49c"  # script capital A, which comes with matplotlib in STIX alone
    found = fonts_for("a" + script)
    assert found.families[0] == "DejaVu Sans"
    assert len(found.families) == 2
    assert found.drawable(script) == script


def test_what_no_font_has_is_replaced(monkeypatch):
    monkeypatch.setattr(fonts, "_covering", lambda character: None)
    monkeypatch.setattr(fonts, "_has", lambda family, character: character in "a\ufffd")
    found = fonts_for("日a\u200d\ufe0f👍")
    assert found.drawable("日a👍\u200d\ufe0f") == f"{REPLACEMENT}a{REPLACEMENT}"
    assert found.families == ("DejaVu Sans",)


def test_a_font_of_the_readers_choice_comes_first():
    assert fonts_for("a", first="STIXGeneral").families == ("STIXGeneral", "DejaVu Sans")
    with pytest.raises(OptionError, match=r"no font 'DejaVu Sand'.*'DejaVu Sans'"):
        fonts_for("a", first="DejaVu Sand")


def test_a_font_whose_file_is_gone_is_passed_over(monkeypatch):
    def gone(path):
        raise FileNotFoundError(path)

    fonts._font.cache_clear()
    monkeypatch.setattr(fonts.ft2font, "FT2Font", gone)
    assert fonts._font("STIXGeneral") is None
    fonts._font.cache_clear()
