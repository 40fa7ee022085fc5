"""Explanations for pages in a browser, and expressions that read what the browser shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from samples.browser import BROWSER
from samples.explanations import explanation

NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]

TEXTS = "[...document.querySelectorAll('article .text')].map(t => t.textContent)"
SHOWN = "[...document.querySelectorAll('article')].filter(a => !a.hidden).map(a => a.id)"
TIP = "(t => t.hidden ? null : t.textContent)(document.querySelector('.tip'))"


def classes(count=20, words=30, **changes):
    """Every class of a text explained."""
    rng = np.random.default_rng(count)
    text = "It was said. " + " ".join(f"word{i}" for i in range(words - 5)) + " The end."
    ledger = {"tokens": tuple(rng.normal(size=count)), "bias": tuple(rng.normal(size=count)),
              "gate": tuple([0.0] * (count - 1) + [1.0])}  # fmt: skip
    return explanation(text, **{
        "labels": [f"class {c}" for c in range(count)], "target": "all", "ledger": ledger,
        "relevance": rng.laplace(size=(count, words)) * 10.0 ** rng.integers(-4, 3, (count, 1)),
        "scores": rng.normal(size=count), "predicted": 1, "label": 0,
    } | changes)  # fmt: skip


def marks(browser, place=0):
    """What the marks of a text say: [text, class, value]."""
    return browser.run(
        f"[...document.querySelectorAll('article .pane')[{place}]"
        ".querySelectorAll('.text u, .text .s')]"
        ".map(m => [m.textContent, m.className, m.dataset.v])"
    )


def tables(browser):
    return browser.run(
        "[...document.querySelectorAll('.pane table tr, .pane caption, .legend')]"
        ".map(r => r.textContent)"
    )


def colours(text):
    """The numbers of a computed colour, 0 to 255."""
    numbers = [
        float(number) for number in re.findall(r"-?[\d.e-]+", text.removeprefix("color(srgb"))
    ]
    return np.array(numbers[:3]) * (255 if text.startswith("color") else 1)


def colours_of(code):
    return np.array(list(bytes.fromhex(code[1:])), float)


def reviews(count=120):
    words = ["wonderful", "dull", "long"]
    return [
        explanation(
            f"text {n} is {words[n % 3]}", id=f"name-{n}", label=n % 2, predicted=int(n % 5 == 0),
            scores=[0, n] if n % 5 == 0 else [n, 0], ledger={},
        )
        for n in range(count)
    ]  # fmt: skip
