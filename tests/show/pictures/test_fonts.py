"""Fonts are chosen by what they cover, and what none covers is said to be missing."""

from __future__ import annotations

import pytest

from seqlrp.errors import FontWarning, OptionError
from seqlrp.show.pictures import fonts
from seqlrp.show.pictures.fonts import REPLACEMENT, fonts_for


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
    monkeypatch.setattr(fonts, "_covering", lambda character, faces: None)
    monkeypatch.setattr(fonts, "_has", lambda family, character: character in "a\ufffd")
    found = fonts_for("日a\u200d\ufe0f👍")
    assert found.drawable("日a👍\u200d\ufe0f") == f"{REPLACEMENT}a{REPLACEMENT}"
    assert found.families == ("DejaVu Sans",)


def test_a_font_of_the_readers_choice_comes_first():
    assert fonts_for("a", first="STIXGeneral").families == ("STIXGeneral", "DejaVu Sans")
    with pytest.raises(OptionError, match=r"Got font='DejaVu Sand'.*'DejaVu Sans'"):
        fonts_for("a", first="DejaVu Sand")


def test_a_font_whose_file_is_gone_is_passed_over(monkeypatch):
    def gone(path):
        raise FileNotFoundError(path)

    fonts._font.cache_clear()
    monkeypatch.setattr(fonts.ft2font, "FT2Font", gone)
    assert fonts._font("STIXGeneral") is None
    fonts._font.cache_clear()


def test_a_font_installed_after_matplotlib_s_list_was_made_is_found(monkeypatch):
    monkeypatch.setattr(fonts.font_manager, "fontManager", fonts.font_manager.FontManager())
    script = "\U0001d49c"  # in STIX alone of the fonts that come with matplotlib
    manager = fonts.font_manager.fontManager
    stix = [entry for entry in manager.ttflist if entry.name == "STIXGeneral"]
    dejavu = [entry for entry in manager.ttflist if entry.name == "DejaVu Sans"]
    monkeypatch.setattr(manager, "ttflist", dejavu)
    monkeypatch.setattr(
        fonts.font_manager, "findSystemFonts", lambda: [*(e.fname for e in stix), __file__]
    )
    fonts._look_for_new_fonts.cache_clear()
    fonts._font.cache_clear()
    assert fonts_for(script).families == ("DejaVu Sans", "STIXGeneral")
    fonts._font.cache_clear()


def test_what_is_missing_is_said_once(recwarn):
    fonts.Fonts((), {ord("\u200d"): ""}).warn_missing(stacklevel=1)
    assert not recwarn
    missing = dict.fromkeys(map(ord, "日本한👍\ue000"), REPLACEMENT)
    fonts.Fonts((), missing).warn_missing(stacklevel=1)
    [warned] = recwarn
    assert warned.category is FontWarning
    said = str(warned.message)
    assert "5 characters of the text (日 本 한 U+E000 👍: CJK, Hangul, emoji or signs)" in said
    assert "save_html" in said
    assert "addfont" in said
    assert warned.filename == __file__
