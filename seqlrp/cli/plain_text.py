"""Explanations as plain text, for a pipe or a file: the answer, the words, the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqlrp.cli.messages import ascii_safe

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation

_WORDS = 5  # of either sign
_FEW = 3  # where every class has a line


def format_explanation(explanation: Explanation) -> str:
    """The answer, the words with the most relevance of either sign, and the ledger.

    An explanation of all classes shows the predicted one so, and then a line for every class.
    """
    from seqlrp.show.coloured_text import read_part

    if explanation.target == "all":
        shown = format_explanation(explanation.for_target(explanation.predicted))
        return "\n".join([shown, *format_classes(explanation)])
    e = explanation
    words = [
        f"  {relevance:+9.4f}  {ascii_safe(token)}  [{position}]"
        for position, token, relevance in _strongest(e, _WORDS)
    ]
    account = [
        f"  {amount:+9.4f}  = all {ascii_safe(kind)}" for kind, amount in e.ledger.items() if amount
    ]
    cut = [f"  {said}"] if (said := read_part(e)) is not None else []
    return "\n".join([_answer(e), *cut, *words, *account])


def format_classes(explanation: Explanation) -> list[str]:
    """A line for each class, the highest score first: its score and its strongest words."""
    lines = [f"  every class, and its {2 * _FEW} strongest words at most:"]
    order = sorted(range(len(explanation.labels)), key=lambda c: -explanation.scores[c])
    for e in map(explanation.for_target, order):
        words = "  ".join(f"{ascii_safe(word)} {r:+.3f}" for _, word, r in _strongest(e, _FEW))
        lines.append(f"  {ascii_safe(e.target_label)}, score {e.score:+.3f}:  {words}")
    return lines


def _strongest(e: Explanation, count: int) -> list[tuple[int, str, float]]:
    """The `count` strongest words of either sign: position, token, relevance."""
    return sorted((*e.top(count), *e.top(count, sign=-1)), key=lambda word: -abs(word[2]))


def _answer(e: Explanation) -> str:
    """One line: the id, the predicted class and its probability, what is explained, the text."""
    name = "" if e.id is None else f"{ascii_safe(e.id)}: "
    answer = ascii_safe(e.predicted_label)
    if e.probabilities is not None:
        answer += f", probability {e.probabilities[e.predicted]:.3f}"
    if e.label_name is not None:
        right = e.label == e.predicted
        answer += ", right" if right else f", wrong: it is {ascii_safe(e.label_name)}"
    question = f"score {e.score:+.3f} for {e.target_label!r}"
    if e.against_label is not None:
        question = (
            f"scores differ by {e.score:+.3f} for {e.target_label!r} rather than "
            f"{e.against_label!r}"
        )
    return f"{name}{answer}  ({question})  {ascii_safe(e.text)}"
