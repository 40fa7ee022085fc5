"""A browser, and pages of explanations opened in it."""

from __future__ import annotations

import pytest
from samples.browser import Browser

from seqlrp.explanations.collection import Explanations


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page of explanations; at the end nothing was reported and nothing was loaded."""
    opened = []

    def visit(items, *, width=1200, dark=False, script=True, **options):
        path = tmp_path / f"{len(opened)}.html"
        Explanations(items).save_html(path, **options)
        opened.append(path.as_uri())
        browser.open(path, width=width, dark=dark, script=script)
        assert browser.requests() == [path.as_uri()]
        return browser

    yield visit
    assert browser.complaints() == []
    assert set(browser.requests()) <= set(opened)
