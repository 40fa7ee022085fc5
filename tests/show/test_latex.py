r"""LaTeX shows the text and runs none of it: every command in a file is one that seqlrp writes."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation
from seqlrp.show.latex import escape, to_latex
from seqlrp.show.visible import one_line, visible

ATTACKS = (
    r"\input{/etc/passwd} \write18{rm} \end{document}",
    r"^^5cinput ^^M % comment",
    "$x_1$ & # ~ {unbalanced } } \\",
    "a % b\n% c\n\n\n d \\\\[3cm] *",
    "-- --- ?` !` `` '' << >> ,, \"a \"= - ' `",
    "x" * 200 + " " + "日本" * 40 + " " + "กำลังกิน" * 20,
    "a\u00a0b \ue000",
)

# What stands in a snippet, read by rules that know nothing of how it was written.
CHARACTERS = {
    "textbackslash": "\\",
    "textasciicircum": "^",
    "textasciitilde": "~",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textquotesingle": "'",
    "textasciigrave": "`",
    "nobreakspace": "\u00a0",
}
COMMANDS = {
    "bigskip",
    "par",
    "medskip",
    "begingroup",
    "endgroup",
    "relax",
    "textbf",
    "footnotesize",
    "quad",
}
TOKEN = re.compile(
    r"\\symbol\{34\}|\\parindent=0pt|\\(?P<box>seqlrpfor|seqlrpagainst)\{\d+\}"
    r"|\\(?P<word>[a-zA-Z]+)|\\(?P<sign>[{}$&#_%])|(?P<open>\{)|(?P<close>\})|(?P<plain>[^\\{}])",
    re.DOTALL,
)


def read_back(latex: str) -> str:
    """The text that TeX would print; fails on anything that is not plain text or known."""
    out: list[str] = []
    depth = at = 0
    while at < len(latex):
        token = TOKEN.match(latex, at)
        assert token, f"a stray backslash at {latex[at : at + 20]!r}"
        at = token.end()
        if token["word"]:
            name = token["word"]
            if name in CHARACTERS:
                assert latex[at : at + 2] == "{}"
                at += 2
                out.append(CHARACTERS[name])
            elif name == "allowbreak":
                assert latex[at] == "\n"
                at += 1
            else:
                assert name in COMMANDS, f"the command {name} is none of ours"
                out.append("\n" if name == "par" else "")
                at += latex[at] == "\n"
        elif token["open"] or token["close"]:
            depth += 1 if token["open"] else -1
            assert depth >= 0
        elif token["plain"]:
            character = token["plain"]
            assert character not in '$&#_%^~"<>|', f"unescaped {character}"
            assert not (character < " " and character != "\n")
            assert latex[at - 1 : at + 1] not in {"--", "''", "``", ",,", "?`", "!`", "\n\n"}
            out.append(character)
        elif token["sign"]:
            out.append(token["sign"])
        elif token[0] == r"\symbol{34}":
            out.append('"')
    assert depth == 0
    return "".join(out)


def words(text: str) -> list[str]:
    """Words as `str.split` finds them, but for no-break spaces, which TeX prints."""
    return re.findall(r"(?:\u00a0|\S)+", text)


def body(latex: str) -> str:
    return latex[latex.index("\\par\\begingroup") :]


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
nasty = st.text("\\{}$&#_%^~<>|\"-'`,?!* \n\r\ta0\u00a0", max_size=60)


@given(anything | nasty | st.sampled_from(HOSTILE + ATTACKS))
@example("".join(ATTACKS))
def test_escaped_text_reads_back_as_itself(text):
    shown = visible(text).replace("\n", " ").replace("\t", " ")
    assert read_back(escape(shown)) == shown


@given(explanations() | st.builds(explanation, nasty | st.sampled_from(HOSTILE + ATTACKS)))
def test_a_snippet_holds_the_text_and_known_commands_only(e):
    read = " ".join(words(read_back(body(e.to_latex()))))
    assert " ".join(words(visible(e.text))) in read
    for label in (e.id or "", e.predicted_label, e.method):
        assert one_line(label) in read


def test_words_stand_in_boxes_of_their_level():
    e = explanation("so dull a film", relevance=[0.01, -1.0, 0.0, 0.5])
    assert "so \\seqlrpagainst{100}{dull} a \\seqlrpfor{50}{film}\\par\\medskip\n" in e.to_latex()
    sentence = explanation("so dull. Ok.", relevance=[1, 1, -2]).merged("sentence")
    assert "\\seqlrpfor{100}{so} \\seqlrpfor{100}{dull.} \\seqlrpagainst{100}{Ok.}" in (
        sentence.to_latex()
    )


def test_macros_are_defined_once_however_many_documents():
    both = Explanations([explanation(), explanation("a b")])
    latex = both.to_latex()
    assert latex.count("\\providecommand\\seqlrpfor") == 1
    assert latex.count("\\begingroup") == latex.count("\\endgroup") == 2
    assert latex == to_latex(both)
    assert "documentclass" not in latex
    assert both.to_latex(standalone=True).startswith("\\documentclass{article}\n")


def test_lines_of_the_file_are_short():
    text = "word " * 2000 + "x" * 5000
    latex = explanation(text).to_latex()
    assert max(map(len, latex.split("\n"))) < 400
    assert not re.search(r"\n[ \t]*\n", body(latex))  # TeX reads an empty line as \par


def test_it_is_saved(tmp_path):
    e = explanation(HOSTILE[8])
    e.save_latex(tmp_path / "a.tex", standalone=True)
    assert (tmp_path / "a.tex").read_text(encoding="utf-8") == e.to_latex(standalone=True)


def compiled(e: Explanations | Explanation, folder, engine: str) -> bytes:
    e.save_latex(folder / "a.tex", standalone=True)
    done = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "a.tex"],
        cwd=folder,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
    return (folder / "a.pdf").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_pdflatex_takes_every_character_of_ascii(tmp_path):
    every = "".join(map(chr, range(128)))
    texts = (every, " ".join(every), every[::-1], *ATTACKS[:5], "naïve café — “so”", "")
    items = Explanations(explanation(text, id=text) for text in texts)
    assert compiled(items, tmp_path, "pdflatex").startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("xelatex"), reason="needs xelatex")
def test_xelatex_takes_hostile_text(tmp_path):
    items = Explanations(explanation(text, id=text) for text in HOSTILE + ATTACKS)
    assert compiled(items, tmp_path, "xelatex").startswith(b"%PDF")
