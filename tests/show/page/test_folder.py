from __future__ import annotations

import re
import tracemalloc
import weakref

import numpy as np
import pytest
from samples.explanations import EVERY, HOSTILE, explanation
from samples.pages import Page, shown

import seqlrp.show.page.folder
from seqlrp.cli import main
from seqlrp.errors import OptionError, WriteError
from seqlrp.explanations.collection import Explanations
from seqlrp.show.page import render, save_pages

MOST = 2_000_000  # bytes of a page


def some(count, words=20):
    rng = np.random.default_rng(0)
    for number in range(count):
        text = " ".join(rng.choice(["a", "dull", "film", "of", "wonder"], size=words))
        relevance = rng.laplace(size=words)
        yield explanation(text, relevance=relevance, id=f"r/{number}", label=number % 2)


def read(folder):
    return {path.name: Page(path.read_text()) for path in sorted(folder.iterdir())}


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(seqlrp.show.page.folder, "PAGE", 40_000)


def test_a_folder_holds_every_text_once_and_the_index_leads_there(tmp_path, small_pages):
    index = save_pages(some(100), tmp_path / "out", title="Reviews")
    assert index == tmp_path / "out" / "index.html"
    pages = read(tmp_path / "out")
    for page in pages.values():
        page.assert_nothing_unexpected()
    names = [f"page-{n}.html" for n in range(1, len(pages))]
    assert len(names) > 3
    assert set(pages) == {"index.html", *names}
    texts = [text for name in names for text in pages[name].text["text"]]
    assert texts == [e.text for e in some(100)]
    links = [a["href"] for tag, a in pages["index.html"].tags if tag == "a"]
    assert len(links) == 102  # the surest right and wrong answers; all are equally sure
    assert set(links[:2]) <= set(links[2:])
    del links[:2]
    for number, link in enumerate(links, 1):
        name, anchor = link.split("#")
        assert anchor == f"d{number}"
        assert ("article", {"id": anchor, "aria-labelledby": f"{anchor}-heading"}) in pages[
            name
        ].tags
    assert "right on 50 of 100 texts (50\u00a0%)" in pages["index.html"].text["p"][0]
    assert [a["data-i"] for tag, a in pages["index.html"].tags if tag == "li"][:2] == ["r/0", "r/1"]


@pytest.mark.parametrize("shown", [None, False, True])
def test_a_bar_is_shown_where_it_is_asked_for(tmp_path, capsys, shown):
    for docs in (list(some(3)), some(3)):
        save_pages(docs, tmp_path / "out", progress=shown)
        out, err = capsys.readouterr()
        assert out == ""
        assert bool(err) is (shown is True)  # None: standard error is no terminal here
        assert ("text/s" in err) is (shown is True)


def test_every_page_of_a_folder_says_what_the_colours_mean(tmp_path, small_pages):
    save_pages(some(60), tmp_path / "out")
    for page in read(tmp_path / "out").values():
        assert "Words on this colour speak for the answer" in page.text["header"][0]


def test_pages_lead_to_each_other(tmp_path, small_pages):
    save_pages(some(60), tmp_path / "out")
    pages = read(tmp_path / "out")
    last = len(pages) - 1
    for number in range(1, last + 1):
        turns = {a["rel"]: a["href"] for tag, a in pages[f"page-{number}.html"].tags if "rel" in a}
        expected = {"prev": f"page-{number - 1}.html", "next": f"page-{number + 1}.html"}
        if number == 1:
            del expected["prev"]
        if number == last:
            del expected["next"]
        assert turns == expected


def test_a_long_index_has_several_pages(tmp_path, small_pages):
    save_pages(some(400, words=3), tmp_path / "out")
    pages = read(tmp_path / "out")
    indices = sorted(
        (name for name in pages if name.startswith("index")), key=lambda name: (len(name), name)
    )
    assert len(indices) > 1
    links = [
        a["href"] for i in indices for tag, a in pages[i].tags if tag == "a" and "#" in a["href"]
    ]
    assert [link.split("#")[1] for link in links[2:]] == [f"d{n}" for n in range(1, 401)]
    assert {"href": "index-2.html", "rel": "next"} in [a for _, a in pages["index.html"].tags]
    others = [
        a["href"] for tag, a in pages["index.html"].tags if tag == "a" and "#" not in a["href"]
    ]
    assert others[: len(indices)] == indices  # any of them is one step away
    assert {"href": "index.html", "rel": "prev"} in [a for _, a in pages["index-2.html"].tags]
    assert not [name for name in pages if name.startswith("part")]


def test_a_stream_is_read_one_at_a_time(tmp_path):
    alive = weakref.WeakSet()
    most = 0

    def stream():
        nonlocal most
        for e in some(30):
            alive.add(e)
            most = max(most, len(alive))
            yield e

    save_pages(stream(), tmp_path / "out")
    assert most <= 4 + 3  # and those that the index shows first


def test_one_text_is_an_index_and_a_page_and_none_is_an_index(tmp_path):
    Explanations([explanation()]).save_pages(tmp_path / "one")
    assert set(read(tmp_path / "one")) == {"index.html", "page-1.html"}
    links = [a["href"] for tag, a in read(tmp_path / "one")["index.html"].tags if tag == "a"]
    assert links == ["page-1.html#d1"]
    save_pages([], tmp_path / "none")
    assert set(read(tmp_path / "none")) == {"index.html"}


def test_options_are_those_of_render(tmp_path):
    items = [explanation(f"{k} times", relevance=[1.0, k]) for k in range(1, 5)]
    others = [explanation(e.text, relevance=-e.relevance, method="x") for e in items]
    options = {"scale": "corpus", "palette": "pink-green", "by": "token", "threshold": 0.1}
    save_pages(items, tmp_path / "out", compare=others, options=options, title="T")
    page = (tmp_path / "out" / "page-1.html").read_text()
    whole = render(items, compare=others, title="T", page=True, **options)
    articles = re.compile(r"<main.*</main>", re.DOTALL)
    assert articles.search(page)[0] == articles.search(whole)[0]
    assert 'class="seqlrp pink-green"' in page
    every = [explanation(**EVERY)]
    save_pages(every, tmp_path / "every", scale="corpus")
    assert 'id="target"' in (tmp_path / "every" / "page-1.html").read_text()
    with pytest.raises(OptionError, match="palette='x'"):
        save_pages(items, tmp_path / "never", palette="x")
    assert not (tmp_path / "never").exists()


def test_the_scale_of_a_corpus_needs_a_second_reading(tmp_path):
    with pytest.raises(OptionError, match="can be read only once; give a list"):
        save_pages(some(3), tmp_path / "out", scale="corpus")
    assert not (tmp_path / "out").exists()


def test_a_folder_is_replaced_only_where_it_holds_pages(tmp_path):
    out = tmp_path / "out"
    save_pages(some(3), out)
    before = (out / "index.html").read_text()
    save_pages(some(4), out)
    assert (out / "index.html").read_text() != before
    (out / "thesis.tex").touch()
    with pytest.raises(OptionError, match=r"holds 'thesis.tex', and would be replaced"):
        save_pages(some(3), out)
    assert (out / "thesis.tex").exists()


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    def broken():
        yield from some(3)
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        save_pages(broken(), out)
    assert not list(tmp_path.iterdir())
    save_pages(some(2), out)
    before = (out / "index.html").read_text()
    with pytest.raises(KeyboardInterrupt):
        save_pages(broken(), out)
    assert (out / "index.html").read_text() == before
    (tmp_path / "file").touch()
    with pytest.raises(WriteError):
        save_pages(some(2), tmp_path / "file" / "out")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_in_a_folder(text, tmp_path):
    e = explanation(f"dull {text} film", labels=(text, text), method=text, id=text)
    save_pages([e, e], tmp_path / "out", title=text)
    for page in read(tmp_path / "out").values():
        page.assert_nothing_unexpected()
        assert page.text["h1"] == [shown(text)]
        ids = [a["data-i"] for tag, a in page.tags if tag == "li"]
        assert ids == [shown(text[:80])] * 2


def test_render_on_the_command_line_writes_a_file_or_a_folder(tmp_path, capsys, monkeypatch):
    saved = tmp_path / "r.jsonl"
    Explanations(some(8)).save(saved)
    for out in (tmp_path / "pages", tmp_path / "page.html"):
        arguments = ["seqlrp", "render", saved, "--out", out, "--first", "3", "--title", "<T>"]
        monkeypatch.setattr("sys.argv", list(map(str, arguments)))
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        out_said, err = capsys.readouterr()
        assert out_said.split() == [str(out)]
        assert ("first 3 texts" in err) == (out.suffix == ".html")
    assert len(read(tmp_path / "pages")["page-1.html"].text["text"]) == 3  # as was asked for


@pytest.mark.slow
def test_five_thousand_reviews(tmp_path):
    save_pages(some(5000, 250), tmp_path / "out")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert max(sizes.values()) < MOST
    assert "index-2.html" not in sizes
    assert sum(sizes.values()) > 50_000_000


@pytest.mark.slow
def test_memory_is_that_of_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(seqlrp.show.page.folder, "PAGE", 200_000)
    tracemalloc.start()
    save_pages(some(400, 250), tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) > 2 * peak
