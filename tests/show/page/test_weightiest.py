"""The words that weighed most over all texts of a page."""

from __future__ import annotations

from samples.explanations import explanation
from samples.pages import Page

from seqlrp.show.page import render
from seqlrp.show.page.weightiest import FEWEST


def texts(count=FEWEST, **changes):
    """Texts of which every other one has a shortcut."""
    return [
        explanation(
            f"review{n} great" if n % 2 else "Great dull !", ledger={}, target=1, predicted=1,
            relevance=[0.1, 2.0] if n % 2 else [1.0, -3.0, 5.0], **changes,
        )
        for n in range(count)
    ]  # fmt: skip


def words(items):
    html = render(items, page=True)
    _, found, rest = html.partition('<section class="weightiest">')
    return Page(f"<p></p>{rest.partition('</section>')[0]}").text if found else None


def test_words_for_an_answer_with_the_texts_that_hold_them():
    found = words(texts())
    assert found["dt"] == ["positive"]
    assert found["dd"] == [
        f"great ({FEWEST} of {FEWEST})"
    ]  # no mark, no word against, none that is in one


def test_texts_with_another_answer_hold_the_word_too():
    others = [
        explanation("great bore", relevance=[-1.0, 3.0], ledger={}, target=0, predicted=0)
        for _ in range(2)
    ]
    found = words([*texts(), *others])
    assert found["dt"] == ["negative", "positive"]
    assert found["dd"] == ["bore (2 of 2)", f"great ({FEWEST} of {FEWEST + 2})"]


def test_few_texts_other_questions_and_mixed_methods_have_no_such_list():
    assert words(texts(FEWEST - 1)) is None
    others = [explanation(target=0, predicted=1, ledger={}) for _ in range(FEWEST)]
    assert words(others) is None
    assert words([*texts(), *texts(1, method="occlusion")]) is None


def test_words_are_text():
    items = [explanation("<b>x good", relevance=[9.0, 1.0], ledger={}) for _ in range(FEWEST)]
    assert "<b>x" not in render(items, page=True).split('class="weightiest"')[1].split("nav")[0]
