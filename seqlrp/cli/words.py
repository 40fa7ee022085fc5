"""Explanations in plain words, for a pipe or a file: the verdict, the words, the account."""

from __future__ import annotations

from seqlrp.cli.application import ascii_safe
from seqlrp.explanation import ALL, Explanation

_WORDS = 5  # of either sign


def in_words(explanation: Explanation) -> str:
    """The answer, the words with most relevance of either sign, and where the score went."""
    e = explanation
    if e.target == ALL:
        e = e.for_target(e.predicted)
    strongest = sorted((*e.top(_WORDS), *e.top(_WORDS, sign=-1)), key=lambda word: -abs(word[2]))
    words = [
        f"  {relevance:+9.4f}  {ascii_safe(token)}  [{position}]"
        for position, token, relevance in strongest
    ]
    account = [f"  {amount:+9.4f}  = all {kind}" for kind, amount in e.ledger.items() if amount]
    return "\n".join([_verdict(e), *words, *account])


def _verdict(e: Explanation) -> str:
    """One line: the text's name, the answer and how sure it is, the question, the text."""
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
