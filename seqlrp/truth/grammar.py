"""A grammar that generates sentences with an opinion, and the role of each word.

A sentence has one or two clauses with an opinion each, and neutral words around them. A negation
inverts the opinion of its clause. Where "but" joins two clauses, their opinions disagree, and the
second one decides the label. On request, the opinion of another person is reported, which does not
decide the label. Counting positive and negative words is therefore not enough to find the label.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

Word = tuple[str, str]  # as written, and its role

OPPOSITE = {"negative": "positive", "positive": "negative"}

LONGEST = 30  # tokens in a sentence
MOST = 1_000_000  # sentences; more exist, but finding new ones gets slow

ADJECTIVES = {
    "positive": """good great wonderful excellent lovely brilliant charming delightful splendid
        superb terrific fantastic marvellous impressive enjoyable pleasant fine memorable
        outstanding exquisite admirable refreshing engaging satisfying beautiful fabulous
        magnificent amazing inspiring thoughtful elegant gorgeous captivating rewarding clever
        stunning convincing likeable polished inventive""",
    "negative": """bad awful terrible dreadful horrible poor dull boring disappointing mediocre
        tedious lousy bland clumsy ugly annoying irritating unpleasant forgettable hopeless
        pathetic dismal abysmal appalling atrocious shoddy sloppy tiresome dreary miserable
        ghastly careless pointless dire insipid stale unconvincing muddled lifeless crude""",
}

# The effect of a thing on a person: past tense and base form.
EFFECTS = {
    "positive": """delighted/delight charmed/charm impressed/impress amused/amuse thrilled/thrill
        moved/move enchanted/enchant pleased/please inspired/inspire dazzled/dazzle""",
    "negative": """bored/bore annoyed/annoy disappointed/disappoint irritated/irritate
        disgusted/disgust frustrated/frustrate tired/tire offended/offend dismayed/dismay
        appalled/appal""",
}

# The feeling of a person about a thing: past tense and base form.
FEELINGS = {
    "positive": """loved/love liked/like enjoyed/enjoy admired/admire adored/adore
        cherished/cherish praised/praise recommended/recommend""",
    "negative": """hated/hate disliked/dislike regretted/regret loathed/loathe despised/despise
        resented/resent deplored/deplore detested/detest""",
}

NEGATIONS = "not n't never hardly scarcely"
INTENSIFIERS = """very really truly quite rather so utterly thoroughly remarkably surprisingly
    extremely exceptionally"""
# Without "utterly" and the like: "not utterly awful" may still be awful.
NEGATED_INTENSIFIERS = "very really particularly especially"
ADVERBS = "really truly thoroughly deeply clearly certainly simply"

THINGS = {
    "film": """plot acting dialogue soundtrack ending opening cast camera lighting editing pacing
        script costumes/ effects/ songs/ scenes/""",
    "novel": """story prose narrator preface epilogue translation cover setting style structure
        characters/ chapters/ letters/ illustrations/""",
    "restaurant": """soup service bread menu wine terrace kitchen coffee dessert salad cheese music
        waiters/ noodles/ tables/ sauces/""",
    "hotel": """room breakfast view lobby garden pool balcony bathroom lift location sauna carpet
        beds/ towels/ windows/ corridors/""",
}
KINDS = {
    "film": "film movie documentary thriller comedy western sequel",
    "novel": "novel book memoir biography anthology paperback",
    "restaurant": "restaurant café bistro tavern canteen diner",
    "hotel": "hotel hostel lodge guesthouse resort inn",
}
PEOPLE = (
    *("i", "we", "my brother", "my sister", "her uncle", "his neighbour", "our guide"),
    *("the critics", "the students", "both friends", "the reporter", "my colleagues"),
    *("the tourists", "their teacher", "most visitors", "the audience"),
)
VICTIMS = ("us", "me", "everyone", "them", "her", "him", "the whole family", "the group")

FIRST_NAMES = """Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Leo Marta Nils Olga
    Pablo"""
LAST_NAMES = """Almeida Berger Castro Dupont Eriksen Fischer Garcia Hansen Ivanov Jansen Kowalski
    Larsen Moreau Novak Okafor Petrov"""
PLACES = """Lisbon Oslo Vienna Cairo Dublin Kyoto Lima Prague Toronto Nairobi Geneva Athens Boston
    Jakarta Warsaw Bristol"""
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = "January February April June July September October November"
SEASONS = "spring summer autumn winter"
NUMBERS = "two three four five six seven eight nine ten twelve twenty thirty"
COLOURS = "red blue green yellow grey brown white purple"

OPENERS = (
    "on {day} evening",
    "last {season}",
    "in {month}",
    "during a journey to {place}",
    "after {number} days in {place}",
    "according to the programme",
    "near the station in {place}",
    "at the request of {first} {last}",
    "{number} years ago",
    "before the train to {place} left",
)
ORIGINS = (
    "by {first} {last}",
    "from {place}",
    "near the harbour",
    "of the {kind} in {place}",
    "that {first} mentioned on {day}",
    "in the {season} edition",
    "between the library and the river",
    "with the {colour} sign",
    "described in the {month} issue",
)
TAILS = (
    "when {first} and {first} came along",
    "as it rained in {place}",
    "while the bus waited outside",
    "and it lasted {number} hours",
    "as {last} wrote in a letter",
    "and the tickets cost {number} euros",
    "while {first} was on the telephone",
    "as the lamps were {colour}",
    "and we walked home along the canal",
    "with {number} people at the next table",
)


# Opinions of another person, which do not decide the label.
REPORTS_BEFORE = (
    "unlike {first} {last} , who called it {opinion}",
    "{first} {last} , the owner , had promised something {opinion}",
)
REPORTS_AFTER = (
    "while {first} {last} called it {opinion}",
    "though {first} had expected something {opinion}",
    "which {last} , of all people , thought {opinion}",
)


class Grammar:
    """Draws sentences, the same ones for the same seed.

    Args:
        seed: the seed of the random choices.
        reported: the share of sentences that report the opinion of another person, which does not
            depend on the label.
    """

    def __init__(self, seed: int, reported: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._reported = reported
        self._topic = ""

    def sentence(self) -> tuple[list[Word], str]:
        """Draw the words of one sentence, and its label."""
        label = self._one_of(("negative", "positive"))
        self._topic = self._one_of(tuple(THINGS))
        words = self._clause(label)
        if self._chance(0.25):
            overruled = [
                (word, role if role == "neutral" else f"overruled-{role}")
                for word, role in self._clause(OPPOSITE[label])
            ]
            words = [*overruled, (",", "neutral"), ("but", "contrast"), *words]
        elif self._chance(0.3):
            words = [*words, *_neutral("and"), *self._clause(label)]
        if self._chance(0.5):
            words = [*self._distractor(OPENERS), *_neutral(","), *words]
        if self._chance(0.5):
            words = [*words, *_neutral(","), *self._distractor(TAILS)]
        if self._reported and self._chance(self._reported):
            words = self._with_report(words)
        return [*words, *_neutral(".")], label

    # Clauses with one opinion, which a negation inverts

    def _clause(self, label: str) -> list[Word]:
        negated = self._chance(0.25)
        sign = OPPOSITE[label] if negated else label
        forms = (self._quality, self._quality, self._kind, self._effect, self._feeling)
        return self._one_of(forms)(sign, negated)

    def _quality(self, sign: str, negated: bool) -> list[Word]:
        """The soup was not very good."""
        thing, verb = self._thing()
        was = [*_neutral(verb), *self._negation(negated)]
        return [*thing, *was, *self._degree(negated), self._opinion(ADJECTIVES, sign)]

    def _kind(self, sign: str, negated: bool) -> list[Word]:
        """It was not a very good film."""
        was = [*_neutral("it was"), *self._negation(negated)]
        described = [*self._degree(negated), self._opinion(ADJECTIVES, sign)]
        article = "an" if described[0][0][0] in "aeiou" else "a"
        return [*was, *_neutral(article), *described, *_neutral(self._word(KINDS[self._topic]))]

    def _effect(self, sign: str, negated: bool) -> list[Word]:
        """The soup did n't delight us."""
        thing, _ = self._thing()
        return [*thing, *self._verb(EFFECTS, sign, negated), *_neutral(self._one_of(VICTIMS))]

    def _feeling(self, sign: str, negated: bool) -> list[Word]:
        """My brother never liked the soup."""
        thing, _ = self._thing()
        return [*_neutral(self._one_of(PEOPLE)), *self._verb(FEELINGS, sign, negated), *thing]

    def _with_report(self, words: list[Word]) -> list[Word]:
        """While Anna Berger called it good."""
        sign = self._one_of(("negative", "positive"))
        before = self._chance(0.5)
        report = [
            (self._word(ADJECTIVES[sign]), f"reported-{sign}")
            if word == "OPINION"
            else (word, role)
            for word, role in self._distractor(REPORTS_BEFORE if before else REPORTS_AFTER)
        ]
        return [*report, *_neutral(","), *words] if before else [*words, *_neutral(","), *report]

    # Parts of clauses

    def _thing(self) -> tuple[list[Word], str]:
        """A noun with its distractors, and its form of "to be"."""
        noun = self._word(THINGS[self._topic])
        words = _neutral(f"the {noun.removesuffix('/')}")
        if self._chance(0.3):
            words += self._distractor(ORIGINS)
        return words, "were" if noun.endswith("/") else "was"

    def _verb(self, verbs: dict[str, str], sign: str, negated: bool) -> list[Word]:
        past, base = self._word(verbs[sign]).split("/")
        if not negated:
            return [*self._degree(negated, ADVERBS), (past, sign)]
        negation = self._negation(negated)
        if negation[0][0] in ("not", "n't"):
            return [*_neutral("did"), *negation, (base, sign)]
        return [*negation, (past, sign)]

    def _opinion(self, words: dict[str, str], sign: str) -> Word:
        return self._word(words[sign]), sign

    def _negation(self, negated: bool) -> list[Word]:
        return [(self._word(NEGATIONS), "negation")] if negated else []

    def _degree(self, negated: bool, degrees: str = INTENSIFIERS) -> list[Word]:
        if not self._chance(0.3):
            return []
        return [(self._word(NEGATED_INTENSIFIERS if negated else degrees), "intensifier")]

    def _distractor(self, templates: Sequence[str]) -> list[Word]:
        slots = {
            "first": FIRST_NAMES,
            "last": LAST_NAMES,
            "place": PLACES,
            "day": DAYS,
            "month": MONTHS,
            "season": SEASONS,
            "number": NUMBERS,
            "colour": COLOURS,
            "kind": KINDS[self._topic],
            "opinion": "OPINION",
        }
        template = self._one_of(templates)
        return _neutral(re.sub(r"{(\w+)}", lambda slot: self._word(slots[slot[1]]), template))

    # Random choices use `random()` alone, the only method that is stable across versions of Python

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _one_of(self, items: Sequence[T]) -> T:
        return items[int(self._random.random() * len(items))]

    def _word(self, words: str) -> str:
        return self._one_of(words.split())


def generate(seed: int, size: int, reported: float = 0.0) -> Iterator[tuple[str, str, str]]:
    """Generate `size` different sentences: text, label and roles, one role a token."""
    grammar = Grammar(seed, reported)
    seen: set[str] = set()
    while len(seen) < size:
        words, label = grammar.sentence()
        text = " ".join(word for word, _ in words)
        if text not in seen and len(words) <= LONGEST:
            seen.add(text)
            yield text, label, " ".join(role for _, role in words)


def _neutral(text: str) -> list[Word]:
    return [(word, "neutral") for word in text.split()]
