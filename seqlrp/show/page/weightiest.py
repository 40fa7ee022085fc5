"""The words that spoke most for each answer, added up over all texts of a page."""

from __future__ import annotations

from seqlrp.show.page.document import Sides, name
from seqlrp.show.page.elements import Html, element

FEWEST = 30  # texts; what fewer say together can be seen
_CLASSES = 8  # more are no overview
_WORDS = 8  # of a class
_TEXTS = 2  # that hold a word, at least
_KNOWN = 100_000  # words of a class; those that come later are rare


class WeightiestWords:
    """Sums of relevance by word and predicted class, found in a stream of texts.

    Texts of which another class is explained than the predicted one are not counted.
    """

    def __init__(self) -> None:
        self._texts = 0
        self._alike = True
        self._method: str | None = None
        self._sums: dict[str, dict[str, tuple[float, int]]] = {}  # relevance, texts

    def add(self, sides: Sides) -> None:
        """Count one text by its first side."""
        view, shown = sides[0][0], sides[0][0].shown
        self._alike &= self._method in (None, shown.method)
        self._method = shown.method
        if not self._alike or shown.against is not None or shown.target != shown.predicted:
            return
        self._texts += 1
        sums = self._sums.setdefault(shown.predicted_label, {})
        found: dict[str, float] = {}
        for number, value in enumerate(view.word_values.tolist()):
            word = view.word(number).lower()
            if any(character.isalnum() for character in word):
                found[word] = found.get(word, 0.0) + value
        for word, value in found.items():
            if word in sums or len(sums) < _KNOWN:
                total, texts = sums.get(word, (0.0, 0))
                sums[word] = total + value, texts + 1

    def section(self) -> Html | None:
        """The words of each class; None where there are few texts or many classes."""
        if not self._alike or self._texts < FEWEST or len(self._sums) > _CLASSES:
            return None
        facts = [
            fact
            for label, sums in sorted(self._sums.items())
            if (words := _strongest(sums))
            for fact in (
                element("dt", name(label)),
                element("dd", *(self._entry(word, texts) for word, texts in words)),
            )
        ]
        if not facts:
            return None
        return element(
            "section",
            element("h2", "Words that weighed most for each answer"),
            element(
                "p",
                "Added up over all texts; in brackets, how many of the texts that hold the word "
                "have that answer. A word that has nothing to do with the question is worth a "
                "look: the model may rest on a coincidence. seqlrp analyse finds out, by taking "
                "the word out and by putting it into other texts.",
                class_="quiet",
            ),
            element("dl", *facts, class_="about"),
            class_="weightiest",
        )

    def _entry(self, word: str, texts: int) -> Html:
        holding = sum(sums[word][1] for sums in self._sums.values() if word in sums)
        share = element("span", f" ({texts:,} of {holding:,})", class_="quiet")
        return element("span", element("bdi", word), share)


def _strongest(sums: dict[str, tuple[float, int]]) -> list[tuple[str, int]]:
    often = [(total, word, texts) for word, (total, texts) in sums.items() if texts >= _TEXTS]
    order = sorted((entry for entry in often if entry[0] > 0), key=lambda e: (-e[0], e[1]))
    return [(word, texts) for _, word, texts in order[:_WORDS]]
