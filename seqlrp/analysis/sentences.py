"""The findings of an analysis in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.shortcuts import DECISIVE, UNUSED, USED
from seqlrp.show.numbers import percent
from seqlrp.show.visible import one_line

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults

NAMED = 8  # candidates or words in a sentence
CLASSES = 50  # of which something is said
MEANING = (
    "A word that decides may be what the class is about, or a shortcut; that takes a reader who "
    "knows the classes."
)


def summary(analysis: AnalysisResults) -> str:
    """The verdict, the words of each class, and how many strategies it has."""
    lines = [overview(analysis), "", conclusion(analysis)]
    lines += [f"- {finding(row)}" for row in _of(analysis, DECISIVE)[:NAMED]]
    lines += [*remarks(analysis), ""]
    shown = largest_classes(analysis)
    lines += [class_sentence(analysis, label) for label in shown]
    if left := analysis.documents["class"].nunique() - len(shown):
        lines.append(f"And {_count(left, 'smaller class', 'smaller classes')}.")
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
        f"{_count(len(held), 'text')} of {one_line(str(analysis.made['corpus']))} explained by "
        f"{analysis.made['method']}{accuracy}{drawn}."
    )


def conclusion(analysis: AnalysisResults) -> str:
    """The verdict in one sentence."""
    tried, found = len(analysis.shortcuts), _of(analysis, DECISIVE)
    if not tried:
        return "No candidate for a shortcut was tried by intervention."
    if not found:
        return (
            f"None of {_count(tried, 'candidate')} is decisive: none that its class nearly alone "
            "holds turns a quarter more of the predictions than control words do. An artefact that "
            "stands in none of these texts is not found: look at texts of the training, too."
        )
    if len(found) == 1:
        return f"One candidate of {tried} is used and decisive:"
    first = f"; the first {NAMED}" if len(found) > NAMED else ""
    return f"{len(found)} candidates of {tried} are used and decisive{first}:"


def remarks(analysis: AnalysisResults) -> list[str]:
    """What else the interventions found, in a few sentences."""
    found = []
    if _of(analysis, DECISIVE):
        found.append(MEANING)
    if used := _of(analysis, USED):
        found.append(f"Used, but not decisive: {_named(used)}.")
    if unused := _of(analysis, UNUSED):
        found.append(
            "Present but not used (not shown to turn more predictions than control words): "
            f"{_named(unused)}."
        )
    return found


def finding(row: Mapping[Any, Any]) -> str:
    """What a candidate does, in one sentence."""
    class_ = one_line(row["class"])
    parts = []
    if row["inserted_texts"]:
        parts.append(
            f"put into other texts, it turns {percent(row['inserted'])} of them into {class_} "
            f"(control words {percent(row['inserted_control'])})"
        )
    if row["removed_texts"]:
        parts.append(
            f"taken out of texts predicted as {class_}, it loses {percent(row['removed'])} of them "
            f"({percent(row['removed_control'])})"
        )
    return f"{quoted(row)} for {class_}: {'; '.join(parts)}."


def evidence(row: Mapping[Any, Any]) -> str:
    """Where a candidate comes from, on what it was tried, and what rests on it."""
    told = (
        f"From {row['source']}; put into {_count(row['inserted_texts'], 'text')}, taken out of "
        f"{row['removed_texts']:,}; p = {row['p']:.2g} for the probability of the class."
    )
    if row["documents"] and not np.isnan(row["exclusive"]):
        told += (
            f" It stands in {_count(row['documents'], 'text')}, {percent(row['exclusive'])} of "
            f"them of the class."
        )
    if not np.isnan(row["alone"]) and row["alone"] > 0:
        told += f" {percent(row['alone'])} of the texts with it are right by it alone."
    if not np.isnan(row["accuracy_without"]) and not np.isnan(row["accuracy_with"]):
        told += (
            f" Accuracy is {percent(row['accuracy_with'])} on the texts with it and "
            f"{percent(row['accuracy_without'])} on the others."
        )
    return told


def class_sentence(analysis: AnalysisResults, label: str) -> str:
    """The strongest words of a class, and its strategies."""
    words = analysis.class_words
    strongest = words[(words["class"] == label) & (words["low"] > 0)]["word"].head(NAMED)
    named = ", ".join(one_line(word) for word in strongest) or "no word in particular"
    table = analysis.strategies[analysis.strategies["class"] == label]
    size = int(table["size"].sum())
    groups = "one strategy" if len(table) == 1 else f"{len(table)} strategies"
    return f"{one_line(label)} ({_count(size, 'text')}, {groups}) rests on: {named}."


def _of(analysis: AnalysisResults, verdict: str) -> list[Mapping[str, Any]]:
    table = analysis.shortcuts
    rows: list[Mapping[str, Any]] = table[table["verdict"] == verdict].to_dict("records")  # type: ignore[assignment]
    return rows


def _named(rows: list[Mapping[str, Any]]) -> str:
    more = f", and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    names = [f"{quoted(row)} ({one_line(row['class'])})" for row in rows[:NAMED]]
    return ", ".join(names) + more


def quoted(row: Mapping[Any, Any]) -> str:
    """The name of a candidate, in quotation marks where it is words."""
    name = one_line(str(row["candidate"]))
    return f"“{name}”" if row["kind"] == "words" else name


def _count(number: int, noun: str, several: str = "") -> str:
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
