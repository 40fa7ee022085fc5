r"""Highlighted documents as LaTeX: escaped text, two macros, the package xcolor."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from seqlrp.explanations.record import Explanation
from seqlrp.show.coloured_text import ColouredText, coloured_texts
from seqlrp.show.colours import LIGHT, SHADES

# Every character with a meaning for TeX, and those that fonts join with their neighbours (-- to a
# dash, ?` to an inverted question mark) or that babel makes active for some languages (").
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "-": "{-}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    ",": "{,}",
    "\u00a0": r"\nobreakspace{}",
}
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPES)) + "]")
_SPACE = re.compile(r"[^\S\u00a0]+")  # where a line can be broken
_WORD_OR_SPACE = re.compile(r"[^\S\u00a0]+|[\S\u00a0]+")
_LONGEST_BOX = 24  # characters; a box of colour cannot be broken at the end of a line
_LONGEST_LINE = 96  # of the file, roughly: TeX reads by lines

# \providecommand: a document can hold many snippets.
_MACROS = rf"""% Highlighted text by seqlrp; the preamble needs \usepackage{{xcolor}}. Text beyond
% Latin wants XeLaTeX or LuaLaTeX and a font that has it.
\definecolor{{seqlrpfor}}{{HTML}}{{{LIGHT.deepest_for[1:].upper()}}}%
\definecolor{{seqlrpagainst}}{{HTML}}{{{LIGHT.deepest_against[1:].upper()}}}%
\providecommand\seqlrpfor[2]{{{{\fboxsep=0pt\colorbox{{seqlrpfor!#1}}{{\strut #2}}}}}}%
\providecommand\seqlrpagainst[2]{{%
{{\fboxsep=0pt\colorbox{{seqlrpagainst!#1}}{{\strut\underline{{#2}}}}}}}}%
"""


def to_latex(
    explanations: Iterable[Explanation], *, scale: str = "document", standalone: bool = False
) -> str:
    r"""The explanations as LaTeX that shows their words in boxes of colour.

    Words for the class that is explained are red; words against it are blue and underlined. The
    snippet defines its macros itself and can be read with `\input`; it needs xcolor. Ends of line
    are paragraphs, other white space is one space; what cannot be seen is written as its number.

    Args:
        explanations: what is shown, in this order.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        standalone: a whole document instead of a snippet.

    Raises:
        OptionError: another scale.
    """
    body = _MACROS + "".join(map(_document, coloured_texts(explanations, scale)))
    if not standalone:
        return body
    return (
        "\\documentclass{article}\n\\usepackage{iftex}\n\\ifpdftex\\usepackage[T1]{fontenc}"
        "\\else\\usepackage{fontspec}\\fi\n\\usepackage{xcolor}\n\\begin{document}\n"
        f"{body}\\end{{document}}\n"
    )


def escape(text: str) -> str:
    """The text as LaTeX that prints it; nothing in it can be a command, a comment or mathematics.

    Control characters are for `seqlrp.show.visible.visible`.
    """
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _document(shown: ColouredText) -> str:
    heading, *rest = shown.heading()
    low, high = map(escape, shown.legend())
    against, for_ = _coloured(low, -SHADES), _coloured(high, SHADES)
    return "".join(
        [
            "\\par\\begingroup\\parindent=0pt\\relax\n",
            f"\\textbf{{{escape(heading)}}}\\par\n",
            *(f"{escape(line)}\\par\n" for line in rest),
            f"\\medskip\n{_text(shown)}\\par\\medskip\n" if shown.explanation.text else "",
            f"{{\\footnotesize {against} \\quad {for_}\\par}}\n" if shown.largest else "",
            "\\endgroup\\bigskip\n",
        ]
    )


def _text(shown: ColouredText) -> str:
    written: list[str] = []
    width = 0
    for part in _parts(shown):
        if part == " " and width > _LONGEST_LINE:
            part = "\n"
        width = 0 if part.endswith("\n") else width + len(part)
        written.append(part)
    return "".join(written)


def _parts(shown: ColouredText) -> Iterator[str]:
    r"""Words, single spaces, \par for ends of line; no space follows another or a \par."""
    after_space = True
    for text, level in shown.pieces():
        for part in _WORD_OR_SPACE.findall(text):
            if not _SPACE.fullmatch(part):
                boxes = (_coloured(escape(chunk), level) for chunk in _chunks(part))
                yield "\\allowbreak\n".join(boxes)
            elif "\n" in part:
                yield "\\par\\medskip\n" if part.count("\n") > 1 else "\\par\n"
            elif not after_space:
                yield " "
            after_space = _SPACE.fullmatch(part) is not None


def _chunks(word: str) -> Iterator[str]:
    """The word in parts short enough for a line; none begins with a mark or after a joiner."""
    start = 0
    for end in range(1, len(word)):
        if end - start >= _LONGEST_BOX and not _belongs(word[end - 1], word[end]):
            yield word[start:end]
            start = end
    yield word[start:]


def _belongs(before: str, after: str) -> bool:
    return "\u200d" in (before, after) or unicodedata.category(after)[0] == "M"


def _coloured(latex: str, level: int) -> str:
    if not level:
        return latex
    macro = "seqlrpfor" if level > 0 else "seqlrpagainst"
    return f"\\{macro}{{{abs(level) * 100 // SHADES}}}{{{latex}}}"
