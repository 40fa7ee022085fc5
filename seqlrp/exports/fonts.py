"""Fonts by coverage: of those that matplotlib knows, the ones that can draw a text."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager, ft2font
from matplotlib.textpath import text_to_path

from seqlrp.errors import FontWarning, OptionError, near

REPLACEMENT = "\ufffd"
_FIRST = "DejaVu Sans"  # comes with matplotlib
# Fonts of mathematics, whose character maps are their own, and one that draws boxes for anything.
_UNFIT = ("cm", "STIXSize", "STIXNonUnicode", "Last Resort")
_SHOWN = 8  # characters that a warning names
# Joiners and variation selectors: where no font has them, nothing is missing.
_INVISIBLE = frozenset("\u200c\u200d") | {chr(c) for c in range(0xFE00, 0xFE10)}


@dataclass(frozen=True)
class Fonts:
    """Families to be tried in turn, and what no font has, mapped to what stands in for it."""

    families: tuple[str, ...]
    missing: dict[int, str]

    def drawable(self, text: str) -> str:
        """The text with U+FFFD for every character that no font has."""
        return text.translate(self.missing)

    def tell_missing(self, *, stacklevel: int) -> None:
        """Warn of what stands as U+FFFD, once for all of it."""
        replaced = sorted(code for code, stand_in in self.missing.items() if stand_in)
        if not replaced:
            return
        shown = " ".join(map(_written, replaced[:_SHOWN]))
        more = " …" if len(replaced) > _SHOWN else ""
        kinds = ", ".join(dict.fromkeys(map(_kind, replaced)))
        characters = "1 character" if len(replaced) == 1 else f"{len(replaced):,} characters"
        warnings.warn(
            f"No font that matplotlib can draw has {characters} of the text ({shown}{more}: "
            f"{kinds}); a {REPLACEMENT} stands for each. The page of save_html shows them. For a "
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
    """The fonts that draw a text, so that matplotlib finds every glyph.

    Args:
        text: all that is to be drawn.
        first: a family to be tried before DejaVu Sans.

    Raises:
        OptionError: matplotlib knows no family called `first`.
    """
    given = () if first is None else (_known(first),)
    families = dict.fromkeys((*given, _FIRST))
    missing: dict[int, str] = {}
    for character in sorted({*text, REPLACEMENT}):
        if any(_has(family, character) for family in families):
            continue
        family = _covering(character, _known_faces())
        if family is None:
            _look_for_new_fonts()
            family = _covering(character, _known_faces())
        if family is None:
            missing[ord(character)] = "" if character in _INVISIBLE else REPLACEMENT
        else:
            families[family] = None
    return Fonts(tuple(families), missing)


def _known(family: str) -> str:
    names = sorted({entry.name for entry in font_manager.fontManager.ttflist})
    if family not in names:
        raise OptionError(f"matplotlib knows no font {family!r}. {near(family, names)}")
    return family


def _written(code: int) -> str:
    return chr(code) if chr(code).isprintable() else f"U+{code:04X}"


def _kind(code: int) -> str:
    """The script of a letter, by the first word of its name in Unicode."""
    if unicodedata.category(chr(code))[0] not in "LMN":
        return "emoji or signs"
    first = unicodedata.name(chr(code), "unnamed").split()[0].split("-")[0]
    return first if first == "CJK" else first.capitalize()


def _known_faces() -> int:
    """How many faces matplotlib knows: what was found is looked for again when it knows more."""
    return len(font_manager.fontManager.ttflist)


@cache
def _look_for_new_fonts() -> None:
    """Make fonts known that were installed after matplotlib had listed those of the system.

    It keeps its list from one process to the next, and makes another only when asked for a family
    that is not in it.
    """
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
    """The file that matplotlib takes for a family; None where it is gone or has no outlines."""
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
