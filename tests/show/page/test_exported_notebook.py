"""A notebook that was run and exported by nbconvert, opened as whoever gets it by mail opens it."""

from __future__ import annotations

import importlib.util

import pytest
from samples.browser_pages import NEEDS_BROWSER

PACKAGES = ("nbformat", "nbclient", "nbconvert", "ipykernel")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]

pytestmark = [
    *NEEDS_BROWSER,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

CELLS = ["""
import numpy as np
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation

def explained(number):
    words = "a wonderful film about nothing at all in particular".split()
    places = np.cumsum([0] + [len(word) + 1 for word in words])
    offsets = [(place, place + len(word)) for place, word in zip(places, words)]
    return Explanation(
        text=" ".join(words), tokens=tuple(words), offsets=np.array(offsets, np.int32),
        sentences=None, relevance=np.array([0, 3, 1, 0, -2, 0, 0.5, 0, 0], np.float32),
        target=1, against=None, predicted=1, label=number % 2,
        scores=np.array([-1.5, 2.5], np.float32), probabilities=np.array([0.1, 0.9], np.float32),
        labels=("uncomplimentary", "complimentary"), method="lrp", parameters={"epsilon": 0.01},
        ledger={"tokens": 2.5}, id=f"review {number}", unread=0,
    )
explained(0)
""", "Explanations(explained(number) for number in range(3))"]  # fmt: skip

# What a theme or a company's template may say of every element.
HOSTILE = """<style>
a { float: left; display: block; width: 12px; } table { table-layout: fixed; width: 90px; }
span { display: block; font-size: 30px; } td, th { width: 4px; max-width: 4px; }
u { text-decoration: underline !important; } p { position: absolute; top: 0; }
* { word-break: break-all; letter-spacing: 0.2em; line-height: 0.6; }
</style></head>"""

ROOTS = "[...document.querySelectorAll('.seqlrp-output')].map(output => output.shadowRoot)"
# Names whose letters stand one below the other, and neighbours in a row that overlap.
LAYOUT = f"""
(() => {{
  const seen = {{ outputs: 0, words: 0, tall: [], overprinted: [], underlined: [] }};
  for (const root of {ROOTS}) {{
    seen.outputs++;
    root.querySelectorAll('details').forEach(d => {{ d.open = true; }});
    const lines = e => {{
      const tops = [...e.getClientRects()].map(b => Math.round(b.top));
      const range = document.createRange();
      range.selectNodeContents(e);
      return new Set([...range.getClientRects()].map(b => Math.round(b.top / 4))).size;
    }};
    for (const label of root.querySelectorAll('th bdi, b bdi, .text u')) {{
      if (lines(label) > 1) seen.tall.push(label.textContent);
    }}
    const boxes = [...root.querySelectorAll('.text u, th, td, h2, .verdict, .legend > span')]
      .map(e => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width && b.height);
    boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {{
      if (one.contains(other) || other.contains(one)) return;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 3) seen.overprinted.push([one.textContent, other.textContent]);
    }}));
    for (const word of root.querySelectorAll('.text u')) {{
      seen.words++;
      const line = getComputedStyle(word).textDecorationLine;
      if (!word.className && line !== 'none') seen.underlined.push(word.textContent);
    }}
  }}
  return seen;
}})()
"""


@pytest.fixture(scope="module")
def exported() -> str:
    """The HTML that nbconvert makes of a notebook that was run."""
    import asyncio

    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        NotebookClient(book, timeout=300).execute()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(book)
    return str(html)


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("hostile", [False, True])
def test_an_exported_notebook_can_be_read(browser, tmp_path, exported, width, hostile):
    page = tmp_path / "notebook.html"
    page.write_text(exported.replace("</head>", HOSTILE, 1) if hostile else exported)
    browser.open(page, width=width)
    seen = browser.run(LAYOUT)
    assert seen["outputs"] == 2
    assert seen["words"] == 36
    assert {k: seen[k] for k in ("tall", "overprinted", "underlined")} == {
        "tall": [], "overprinted": [], "underlined": [],
    }  # fmt: skip
