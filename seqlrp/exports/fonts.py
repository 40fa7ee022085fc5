"""Fonts by coverage: of those that matplotlib knows, the ones that can draw a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from matplotlib import font_manager, ft2font
from matplotlib.textpath import text_to_path

from seqlrp.errors import OptionError, near

REPLACEMENT = "\ufffd"
_FIRST = "DejaVu Sans"  # comes with matplotlib
# Fonts of mathematics, whose character maps are their own, and one that draws boxes for anything.
_UNFIT = ("cm", "STIXSize", "STIXNonUnicode", "Last Resort")
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
        family = _covering(character)
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


@cache
def _covering(character: str) -> str | None:
    return next((family for family in _families() if _has(family, character)), None)


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
def _families() -> tuple[str, ...]:
    """All families with an upright face of normal weight, those without serifs first."""
    names = {
        entry.name
        for entry in font_manager.fontManager.ttflist
        if (entry.style, entry.stretch) == ("normal", "normal")
        and entry.weight in (400, "normal", "regular")
        and not entry.name.startswith(_UNFIT)
    }
    return tuple(sorted(names, key=lambda name: ("Sans" not in name, name)))
