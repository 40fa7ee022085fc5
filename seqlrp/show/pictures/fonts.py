"""Fonts by coverage: finds those, of all that Matplotlib knows, that can draw a text."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager, ft2font
from matplotlib.textpath import text_to_path

from seqlrp.errors import FontWarning, check_choice
from seqlrp.show.wording import counted

REPLACEMENT = "\ufffd"
_FIRST = "DejaVu Sans"  # comes with Matplotlib
# Fonts of mathematics, whose character maps are their own, and one that draws boxes for anything.
_UNFIT = ("cm", "STIXSize", "STIXNonUnicode", "Last Resort")
_NAMED = 8  # characters that a warning names
# Joiners and variation selectors: where no font has them, nothing is missing.
_INVISIBLE = frozenset("\u200c\u200d") | {chr(c) for c in range(0xFE00, 0xFE10)}


@dataclass(frozen=True)
class Fonts:
    """The font families for a text.

    Attributes:
        families: their names, in the order in which Matplotlib tries them.
        missing: the code points that none of them has, with what is drawn instead.
    """

    families: tuple[str, ...]
    missing: dict[int, str]

    def drawable(self, text: str) -> str:
        """The text with U+FFFD for every character that no font has."""
        return text.translate(self.missing)

    def warn_missing(self, *, stacklevel: int) -> None:
        """Warn once of all characters that are drawn as U+FFFD."""
        replaced = sorted(code for code, stand_in in self.missing.items() if stand_in)
        if not replaced:
            return
        shown = " ".join(
            chr(code) if chr(code).isprintable() else f"U+{code:04X}" for code in replaced[:_NAMED]
        )
        more = " …" if len(replaced) > _NAMED else ""
        scripts = ", ".join(dict.fromkeys(map(_script, replaced)))
        characters = counted(len(replaced), "character")
        warnings.warn(
            f"No font that matplotlib can draw has {characters} of the text ({shown}{more}: "
            f"{scripts}); a {REPLACEMENT} stands for each. The page of save_html shows them. For a "
            "picture, install a font that has them as outlines (emoji in colour are none), or "
            "name its file: matplotlib.font_manager.fontManager.addfont('font.ttf'); it is then "
            "found by itself.",
            FontWarning,
            stacklevel=stacklevel + 1,
        )

    def measure(self, size: float) -> Callable[[str], float]:
        """A function that gives the width of a text in letters of this size, in points."""
        font = font_manager.FontProperties(family=list(self.families), size=size)

        @cache
        def width(text: str) -> float:
            return float(text_to_path.get_text_width_height_descent(text, font, False)[0])

        return width


def fonts_for(text: str, first: str | None = None) -> Fonts:
    """The font families with which Matplotlib finds a glyph for every character, where one exists.

    Args:
        text: all that is to be drawn.
        first: a family to be tried before DejaVu Sans.

    Raises:
        OptionError: Matplotlib knows no family called `first`.
    """
    if first is not None:
        check_choice("font", first, sorted({e.name for e in font_manager.fontManager.ttflist}))
    families = dict.fromkeys(filter(None, (first, _FIRST)))
    missing: dict[int, str] = {}
    for character in sorted({*text, REPLACEMENT}):
        if any(_has(family, character) for family in families):
            continue
        family = _covering(character, _count())
        if family is None:
            _look_for_new_fonts()
            family = _covering(character, _count())
        if family is None:
            missing[ord(character)] = "" if character in _INVISIBLE else REPLACEMENT
        else:
            families[family] = None
    return Fonts(tuple(families), missing)


def _script(code: int) -> str:
    """The script of a letter: the first word of its name in Unicode."""
    if unicodedata.category(chr(code))[0] not in "LMN":
        return "emoji or signs"
    first = unicodedata.name(chr(code), "unnamed").split()[0].split("-")[0]
    return first if first == "CJK" else first.capitalize()


def _count() -> int:
    """How many font faces Matplotlib knows: with more of them, cached answers no longer hold."""
    return len(font_manager.fontManager.ttflist)


@cache
def _look_for_new_fonts() -> None:
    """Tell Matplotlib of fonts that were installed after it had stored its list of them."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        # Some files are broken, others have no outlines.
        with suppress(OSError, RuntimeError, ValueError, KeyError):
            font_manager.fontManager.addfont(path)


@cache
def _covering(character: str, faces: int) -> str | None:
    return next((family for family in _families(faces) if _has(family, character)), None)


def _has(family: str, character: str) -> bool:
    font = _font(family)
    return font is not None and font.get_char_index(ord(character)) != 0


@cache
def _font(family: str) -> ft2font.FT2Font | None:
    """The font that Matplotlib uses for a family; None where it is gone or has no outlines."""
    try:
        path = font_manager.findfont(
            font_manager.FontProperties(family=[family]), fallback_to_default=False
        )
        font = ft2font.FT2Font(path)
    except (OSError, RuntimeError, ValueError):
        return None
    return font if font.scalable else None


@cache
def _families(faces: int) -> tuple[str, ...]:
    """All families with an upright face of normal weight, those without serifs first."""
    names = {
        entry.name
        for entry in font_manager.fontManager.ttflist
        if (entry.style, entry.stretch) == ("normal", "normal")
        and entry.weight in (400, "normal", "regular")
        and not entry.name.startswith(_UNFIT)
    }
    return tuple(sorted(names, key=lambda name: ("Sans" not in name, name)))
