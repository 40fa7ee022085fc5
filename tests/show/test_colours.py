from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.show.colours import PALETTES, SHADES, Palette, levels, rules, shade_class

MODES = [
    pytest.param(palette, id=f"{name} {mode}")
    for name, modes in PALETTES.items()
    for mode, palette in zip(("light", "dark"), modes, strict=True)
]

# Machado, Oliveira, Fernandes 2009, table 1, severity 1.0: of linear red, green and blue.
BLIND = {
    "everybody": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
# IEC 61966-2-1: linear sRGB to CIE XYZ, with white D65.
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # fmt: skip


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    light, dark = sorted([float(XYZ[1] @ linear(c)) for c in (one, other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b*."""
    t = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, eyes: str) -> float:
    """ΔE of CIE 1976 as these eyes see the colours; 2.3 can just be noticed."""
    return float(np.linalg.norm(lab(BLIND[eyes] @ linear(one)) - lab(BLIND[eyes] @ linear(other))))


def test_the_instruments_are_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=1e-3)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # Red and green of one lightness are far apart, but for those who cannot tell them.
    assert distance("#c00000", "#008000", "everybody") > 100
    assert distance("#bf6a00", "#7f8f00", "deuteranopia") < 20
    for matrix in BLIND.values():  # grey stays grey
        assert matrix.sum(1) == pytest.approx([1, 1, 1], abs=1e-5)


@pytest.mark.parametrize("palette", MODES)
def test_text_can_be_read_on_every_shade(palette: Palette):
    for level in range(-SHADES, SHADES + 1):
        assert contrast(palette.ink, palette.shade(level)) >= 4.5, level
    assert contrast(palette.quiet, palette.paper) >= 4.5
    assert contrast(palette.deepest_for, palette.deepest_against) < 1.15  # equally strong
    shades = [contrast(palette.shade(level), palette.paper) for level in range(SHADES + 1)]
    assert shades == sorted(set(shades)), "a deeper shade stands out more"
    assert contrast(palette.underline(-SHADES), palette.shade(-SHADES)) >= 4.5


@pytest.mark.parametrize("eyes", BLIND)
@pytest.mark.parametrize("palette", MODES)
def test_for_and_against_stay_apart_for_the_colour_blind(palette: Palette, eyes: str):
    for level in range(1, SHADES + 1):
        apart = distance(palette.shade(level), palette.shade(-level), eyes)
        assert apart >= 2 * level, level


def test_rules_mix_what_python_mixes():
    text = rules(PALETTES)
    for level in range(1, SHADES + 1):
        assert f".seqlrp .f{level}{{--k:{5 * level}%;--c:var(--for)}}" in text
        assert f".seqlrp .a{level}{{--k:{5 * level}%;--c:var(--against)}}" in text
    before, dark = text.split("@media screen and (prefers-color-scheme: dark)")
    for name, modes in PALETTES.items():
        for part, palette in zip((before, dark), modes, strict=True):
            own = part.split(f".seqlrp.{name}{{")[1].split("}")[0]
            assert f"--for:{palette.deepest_for};--against:{palette.deepest_against}" in own
            assert f"--paper:{palette.paper};--ink:{palette.ink};" in own
    alone = rules(["pink-green"])
    assert "pink-green" in alone
    assert "red-blue" not in alone


@given(st.lists(st.floats(-100, 100, width=32), min_size=1), st.floats(0, 100), st.floats(0, 1))
def test_levels_are_centred_at_zero_and_symmetric(relevance, more, threshold):
    relevance = np.array(relevance, np.float32)
    largest = float(abs(relevance).max()) + more
    found = levels(relevance, largest, threshold)
    assert abs(found).max() <= SHADES
    assert (levels(-relevance, largest, threshold) == -found).all()
    assert (found * relevance >= 0).all()
    assert (found[relevance == 0] == 0).all()
    assert (found[abs(relevance) < 0.999 * threshold * largest] == 0).all()
    order = np.argsort(relevance)
    assert (np.diff(found[order]) >= 0).all()


def test_levels_of_the_largest_of_nothing_and_of_very_small_values():
    some = np.array([5, -5, 2.5, 0.1], np.float32)
    assert levels(some, 5.0).tolist() == [20, -20, 10, 0]
    assert levels(some, 5.0, 0.5).tolist() == [20, -20, 10, 0]
    assert levels(some, 5.0, 0.6).tolist() == [20, -20, 0, 0]
    assert levels(np.zeros(3, np.float32), 0.0).tolist() == [0, 0, 0]
    tiny = np.array([1e-45, -1e-45], np.float32)
    assert levels(tiny, float(tiny[0])).tolist() == [SHADES, -SHADES]
    huge = np.array([3e38, -3e38], np.float32)
    assert levels(huge, float(huge[0])).tolist() == [SHADES, -SHADES]


def test_classes_of_shades():
    assert [shade_class(level) for level in (-20, -1, 0, 1, 20)] == ["a20", "a1", None, "f1", "f20"]
