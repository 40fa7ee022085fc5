"""Pictures and PDF hold the words in their colours, whatever the words are."""

from __future__ import annotations

import re
import struct

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from samples.examples import examples
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.errors import FontWarning, OptionError, WriteError
from seqlrp.explanations.collection import Explanations
from seqlrp.show.colours import LIGHT

FOR, AGAINST = (bytes.fromhex(c[1:]) for c in (LIGHT.deepest_for, LIGHT.deepest_against))
MATHEMATICS = ("$x_1$ costs $\\frac{", "$ $$ \\alpha", "100 % \\$ $a$")


def pixels(path) -> np.ndarray:
    return np.rint(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint8)


def amount(picture: np.ndarray, colour: bytes) -> int:
    return int((picture == np.frombuffer(colour, np.uint8)).all(-1).sum())


def size(path) -> tuple[int, int]:
    return struct.unpack(">II", path.read_bytes()[16:24])


def pages(path) -> int:
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


def test_a_picture_has_the_colours_of_its_words(tmp_path):
    for name, relevance in {"for": [1.0, 0.0], "against": [-1.0, 0.0], "none": [0.0, 0.0]}.items():
        explanation("wonderful film", relevance=relevance).save_png(tmp_path / f"{name}.png")
    counts = {
        name: [amount(pixels(tmp_path / f"{name}.png"), colour) for colour in (FOR, AGAINST)]
        for name in ("for", "against", "none")
    }
    legend = counts["for"][1]
    assert legend > 100
    assert counts["for"][0] > 5 * legend
    assert counts["against"][1] > 3 * counts["against"][0] > 0
    assert counts["none"] == [0, 0]
    assert size(tmp_path / "for.png")[0] == 975  # 6.5 inches of 150 dots


def test_the_same_explanation_gives_the_same_file(tmp_path):
    e = explanation()
    for kind in ("png", "pdf"):
        for name in ("a", "b"):
            getattr(e, f"save_{kind}")(tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_options(tmp_path):
    path = tmp_path / "a.png"
    explanation().save_png(path, dpi=72, width=4)
    assert size(path)[0] == 288
    narrow = size(path)[1]
    explanation().save_png(path, dpi=72, width=2)
    assert size(path)[1] > narrow
    weak = Explanations([explanation("a", relevance=[9.0]), explanation("bbbb", relevance=[-1.0])])
    weak.save_png(path, dpi=72)
    own = amount(pixels(path), AGAINST)
    weak.save_png(path, dpi=72, scale="corpus")
    assert amount(pixels(path), AGAINST) < own
    for options, sentence in (
        ({"dpi": 0}, "Got dpi=0; expected a finite number, at least 36, at most 1200"),
        ({"width": 1000}, "Got width=1000; expected a finite number, at least 2, at most 40"),
        ({"dpi": float("nan")}, "Got dpi=nan"),
        ({"scale": "x"}, "scale='x'"),
        ({"font": "no such font"}, "Got font='no such font'"),
    ):
        with pytest.raises(OptionError, match=sentence):
            explanation().save_png(path, **options)


def test_several_are_one_picture_and_many_pages(tmp_path):
    one, three = Explanations([explanation()]), Explanations([explanation()] * 3)
    one.save_png(tmp_path / "1.png", dpi=72)
    three.save_png(tmp_path / "3.png", dpi=72)
    assert size(tmp_path / "3.png")[1] > 2.5 * size(tmp_path / "1.png")[1]
    three.save_pdf(tmp_path / "3.pdf")
    assert pages(tmp_path / "3.pdf") == 3
    assert (tmp_path / "3.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("words", [500, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_long_document(tmp_path, words):
    long = explanation("word " * words, relevance=np.sin(np.arange(words)))
    long.save_pdf(tmp_path / "a.pdf")
    assert pages(tmp_path / "a.pdf") == -(-words // 600)
    long.save_png(tmp_path / "a.png", dpi=50)
    assert size(tmp_path / "a.png")[1] > words * 0.75


def test_too_much_for_one_picture(tmp_path):
    many = Explanations([explanation("a\n" * 1000)])
    with pytest.raises(OptionError, match=r"would be [3-9]\d,\d{3} pixels high, expected 32,000"):
        many.save_png(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_nothing_to_show(tmp_path):
    Explanations().save_png(tmp_path / "a.png")
    assert amount(pixels(tmp_path / "a.png"), b"\xff\xff\xff") > 1000
    with pytest.raises(OptionError, match="a PDF needs a page"):
        Explanations().save_pdf(tmp_path / "a.pdf")
    explanation("").save_pdf(tmp_path / "a.pdf")
    explanation(" \n ").save_png(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::seqlrp.errors.FontWarning")
def test_hostile_text(tmp_path):
    """Other warnings are errors here: a missing glyph or a mathematical formula would be one."""
    items = Explanations(
        explanation(text, id=text, labels=(text, text + "!"), method=text)
        for text in HOSTILE + MATHEMATICS
    )
    items.save_png(tmp_path / "a.png", dpi=40)
    items.save_pdf(tmp_path / "a.pdf")
    assert pages(tmp_path / "a.pdf") == len(items)


@pytest.mark.filterwarnings("ignore::seqlrp.errors.FontWarning")
@given(explanations())
@examples(15)
def test_any_explanation_can_be_drawn(tmp_path_factory, e):
    path = tmp_path_factory.mktemp("any") / "a.png"
    e.save_png(path, dpi=36)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_every_class(tmp_path):
    every = explanation("a b", relevance=[[1, 2], [-3, 4]], target="all", ledger={})
    every.save_png(tmp_path / "a.png")
    every.for_target(1).save_png(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "a.png" / "file").touch()
    with pytest.raises(WriteError, match=r"Could not write .*a\.png"):
        explanation().save_png(tmp_path / "a.png")


def test_what_no_font_has_is_told_to_the_caller(tmp_path):
    e = explanation("fine \U0010fffd")
    for save, name in ((e.save_png, "a.png"), (e.save_pdf, "a.pdf")):
        with pytest.warns(FontWarning, match=r"1 character of the text \(U\+10FFFD") as caught:
            save(tmp_path / name)
        assert [warning.filename for warning in caught] == [__file__]


def test_words_end_where_their_colour_ends(tmp_path):
    """No letter reaches into the gap behind its word, whatever the resolution."""
    words = explanation("Announces Announces", relevance=[1.0, 0.0])
    for dpi in (100, 150, 190):
        words.save_png(tmp_path / "a.png", dpi=dpi, width=4)
        picture = pixels(tmp_path / "a.png")
        of_word = (picture == np.frombuffer(FOR, np.uint8)).all(-1)
        of_word[:, -picture.shape[1] // 2 :] = False  # the legend
        rows = np.flatnonzero(of_word.sum(1) > 20)
        rows = rows[rows < rows[0] + 0.2 * dpi]
        end = np.flatnonzero(of_word[rows].any(0))[-1]
        gap = picture[rows][:, end + 2 : end + 2 + round(0.02 * dpi)]
        assert (gap > 200).all()
