"""The findings of an analysis in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.shortcuts import ALONE, DECISIVE, UNUSED, USED
from seqlrp.show.method_titles import method_title
from seqlrp.show.numbers import percent
from seqlrp.show.visible import one_line
from seqlrp.show.wording import agreeing, counted

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults

NAMED = 8  # candidates or words in a sentence
CLASSES = 50  # of which something is said
_WORDS = 3  # in the name of a strategy
# By the kind of a candidate: put in, taken out, and what it is compared with.
_SAID = {
    "words": (
        "put into {n} other texts, it turns {share} of them into {class_}",
        "without it, {share} of {n} predictions of {class_} are lost",
        "control words",
    ),
    "position": (
        "taken from texts of {class_} and put into {n} others, it turns {share} of them into "
        "{class_}",
        "without it, {share} of {n} predictions of {class_} are lost",
        "another word of the text",
    ),
    "length": (
        "brought to the length of {class_}, {share} of {n} other texts turn into it",
        "brought to the length of the others, {share} of {n} predictions of {class_} are lost",
        "as much of other words",
    ),
}
_SOURCES = {
    "given": "It was named by whoever asked",
    "class words": "It is among the strongest words of the class",
    "words of any subject": "It speaks for the class, which nearly alone holds it, and its texts "
    "have little else in common",
    "positions": "Relevance there is far above the average",
    "lengths": "Texts of the class are nearly all longer, or shorter, than the others",
}


def summary(analysis: AnalysisResults) -> str:
    """The verdict, the words of each class, and how many strategies it has."""
    lines = [overview(analysis), "", conclusion(analysis)]
    lines += [f"- {finding(row)}" for row in _of(analysis, DECISIVE)[:NAMED]]
    lines += [*filter(None, [meaning(analysis)]), *remarks(analysis), ""]
    shown = largest_classes(analysis)
    lines += [class_sentence(analysis, label) for label in shown]
    if left := analysis.documents["class"].nunique() - len(shown):
        lines.append(f"And {counted(left, 'smaller class', 'smaller classes')}.")
    return "\n".join(lines)


def largest_classes(analysis: AnalysisResults) -> list[str]:
    """The classes with most texts, at most 50, in their order."""
    present = set(analysis.documents["class"].value_counts().index[:CLASSES])
    return [label for label in analysis.labels if label in present]


def overview(analysis: AnalysisResults) -> str:
    """How many texts were explained, by which method, and how many the classifier got right."""
    held = analysis.explanations
    known = [e for e in held if e.label is not None]
    right = sum(e.label == e.predicted for e in known)
    accuracy = f", of which {percent(right / len(known))} are predicted rightly" if known else ""
    drawn = ""
    if analysis.assigned is not None:
        drawn = f", drawn from {len(analysis.assigned):,}, all of which are assigned to strategies"
    return (
        f"{counted(len(held), 'text')} of {one_line(str(analysis.made['corpus']))}, explained by "
        f"{method_title(str(analysis.made['method']))}{accuracy}{drawn}."
    )


def conclusion(analysis: AnalysisResults) -> str:
    """The verdict in one sentence."""
    tried, found = len(analysis.shortcuts), _of(analysis, DECISIVE)
    if not tried:
        return "No shortcut was looked for: no candidate was tried by intervention."
    if not found:
        return f"No shortcut was found: none of {counted(tried, 'candidate')} is decisive."
    are = agreeing(len(found))
    first = f", the first {NAMED} of which are" if len(found) > NAMED else ""
    return f"{len(found)} of {counted(tried, 'candidate')} {are} used and decisive{first}:"


def meaning(analysis: AnalysisResults) -> str | None:
    """What the verdict means; None where nothing was tried."""
    if not len(analysis.shortcuts):
        return None
    said = (
        f"A candidate is decisive if it turns at least {percent(ALONE)} more of the predictions "
        "than control does (words of the same frequency, in the same places), and nearly all texts "
        "that hold it are of its class."
    )
    if _of(analysis, DECISIVE):
        more = (
            "It may be what the class is about, or a shortcut: only who knows the classes can tell."
        )
    else:
        more = (
            "What stands in none of these texts is not found: analyse texts of the training, too."
        )
    return f"{said} {more}"


def remarks(analysis: AnalysisResults) -> list[str]:
    """What else the interventions found, in a few sentences."""
    found = []
    if used := _of(analysis, USED):
        found.append(f"Used, but not decisive: {_named(used)}.")
    if unused := _of(analysis, UNUSED):
        found.append(
            "Present but not used (not shown to turn more predictions than control words): "
            f"{_named(unused)}."
        )
    return found


def finding(row: Mapping[Any, Any]) -> str:
    """A candidate and its class, what it does, and how many texts hold it."""
    return f"{subject(row)}: {outcome(row)}"


def subject(row: Mapping[Any, Any]) -> str:
    """A candidate and its class."""
    return f"{quoted(row)} for {one_line(row['class'])}"


def outcome(row: Mapping[Any, Any]) -> str:
    """What a candidate does, and how many texts hold it."""
    class_, parts = one_line(row["class"]), []
    put, taken, beside = _SAID[row["kind"]]
    for name, said in (("inserted", put), ("removed", taken)):
        if n := row[f"{name}_texts"]:
            told = said.format(n=f"{n:,}", share=percent(row[name]), class_=class_)
            parts.append(f"{told} ({beside}: {percent(row[f'{name}_control'])})")
    said = "; ".join(parts) or "there was no text to try it on"
    return " ".join([f"{said}.", *_holders(row)])


def evidence(row: Mapping[Any, Any]) -> str:
    """Where a candidate comes from, which texts hold it, and what rests on it."""
    source = str(row["source"])
    told = [f"{_SOURCES.get(source, f'It tells {source} from the rest of its class')}."]
    told += _holders(row)
    if not np.isnan(row["likeness"]):
        told.append(
            f"By their other words, the texts with it are {max(row['likeness'], 0):.1f} times as "
            "alike as any of the class; a word of a subject has more, an artefact about 1."
        )
    if not np.isnan(row["alone"]) and row["alone"] > 0:
        told.append(
            f"{percent(row['alone'])} of the texts it was taken out of are right with it and wrong "
            "without it."
        )
    if not np.isnan(row["accuracy_without"]) and not np.isnan(row["accuracy_with"]):
        told.append(
            f"{percent(row['accuracy_with'])} of the texts with it are predicted rightly, and "
            f"{percent(row['accuracy_without'])} of the others."
        )
    told.append(f"Against control, the change of the probability of the class has p {_p(row)}.")
    return " ".join(told)


def _holders(row: Mapping[Any, Any]) -> list[str]:
    if not row["documents"] or np.isnan(row["exclusive"]):
        return []
    stands = f"It stands in {counted(row['documents'], 'text')}"
    if row["documents"] == 1:
        return [f"{stands}."]
    return [f"{stands}, {percent(row['exclusive'])} of them of the class."]


def _p(row: Mapping[Any, Any]) -> str:
    if row["p"] < 0.001:
        return "< 0.001"
    return f"= {row['p']:.1g}" if row["p"] < 0.1 else f"= {row['p']:.1f}"


def class_sentence(analysis: AnalysisResults, label: str) -> str:
    """The strongest words of a class, and its strategies."""
    words = analysis.class_words
    strongest = words[(words["class"] == label) & (words["low"] > 0)]["word"].head(NAMED)
    named = ", ".join(one_line(word) for word in strongest) or "no word in particular"
    table = analysis.strategies[analysis.strategies["class"] == label]
    size = int(table["size"].sum())
    groups = agreeing(len(table), "one strategy", f"{len(table)} strategies")
    return f"{one_line(label)} ({counted(size, 'text')}, {groups}) rests on: {named}."


def strategy_names(analysis: AnalysisResults) -> dict[tuple[str, int], str]:
    """What each strategy is called, by class and number: the words that tell it from the others."""
    table = analysis.strategies
    names = {}
    for row in table[["class", "strategy", "share", "words", "stability"]].itertuples(index=False):
        class_, number, share, words, stability = row
        name = ", ".join(f"“{one_line(str(word))}”" for word in words[:_WORDS])
        if share == 1:
            name = "all texts"
        elif np.isnan(stability):
            name = "the rest"
        names[class_, int(number)] = name or f"no word in particular ({number})"
    return names


def _of(analysis: AnalysisResults, verdict: str) -> list[Mapping[str, Any]]:
    table = analysis.shortcuts
    rows: list[Mapping[str, Any]] = table[table["verdict"] == verdict].to_dict("records")  # type: ignore[assignment]
    return rows


def _named(rows: list[Mapping[str, Any]]) -> str:
    more = f", and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    names = [f"{quoted(row)} ({one_line(row['class'])})" for row in rows[:NAMED]]
    return ", ".join(names) + more


def quoted(row: Mapping[Any, Any]) -> str:
    """The name of a candidate; words in quotation marks, those tried together with an "and"."""
    name = one_line(str(row["candidate"]))
    if row["kind"] != "words":
        return name
    parts = name.split(" + ")
    said = " and ".join(f"“{part}”" for part in parts)
    return f"{said} together" if len(parts) > 1 else said
