"""The report of a check: which share of the scores each kind of step takes, and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.engine.ledger import Entry, Ledger
from seqlrp.errors import check_choice
from seqlrp.explaining.unread import UncreditedWord, UnreadWord
from seqlrp.explanations.ledger_names import LEDGER_NAMES
from seqlrp.show.visible import one_line
from seqlrp.show.wording import agreeing, counted

if TYPE_CHECKING:
    import pandas as pd

LEAST_FOR_WORDS = 0.5  # the report warns if the words have a smaller share of the relevance
MOST_UNKNOWN = 0.2  # the report warns if a larger share of the words is unknown
# The report points to `seqlrp analyse` where one word is the strongest in so many texts of a class,
# and in this share of them.
LEAST_TEXTS, DOMINATING = 3, 0.4
CANCELLING = 3.0  # words and another kind cancel where both are more than so many times the score
_FIRST_PLACES = 5  # in a notebook
_WIDTH = 96  # characters of a line

CONTRAST = (
    " Read gradient_x_input beside it, or ask why one class rather than another, a pair as target: "
    "what speaks for both alike cancels there, which may be little."
)
BESIDE = " Read gradient_x_input beside it."  # where a pair is compared already
TESTED = "On other words they had the same values: they are the model's, not the text's."
# For each kind of ledger entry: where its relevance goes, and what to do about it.
KINDS = {
    "padding": (
        "goes to padding",
        "Pad as the model was trained: TextClassifier(…, pad_to=…, pad_side=…, truncate=…) if that "
        "was to a fixed length; otherwise pack the sequences, or take texts one at a time.",
    ),
    "bias": ("stays in biases", f"Biases are the model's, not the text's.{CONTRAST}"),
    "stabiliser": ("is lost to the stabiliser", "Take another rule for this layer."),
    "initial state": (
        "stays in initial states",
        f"The model has an answer before it reads a word.{CONTRAST}",
    ),
    "constant": ("stays in constants", f"{TESTED}{CONTRAST}"),
    "gate": (
        "ends in gates",
        "Gates pass nothing on here: take gate_rule='all', or another method such as "
        "gradient_x_input.",
    ),
    "zero input": (
        "is due to inputs of exactly 0",
        "The rules w², flat and z^B give to such inputs: take another rule for this layer.",
    ),
    "refused": (
        "ends in functions without a rule",
        "Take another method such as gradient_x_input.",
    ),
}


@dataclass(frozen=True, eq=False, repr=False)
class CheckReport:
    """Where the scores of N documents went.

    Shares are robust where amounts cancel: the share of a kind of ledger entry is Σ|its amount|
    over documents, divided by the same sum over all kinds. The share of a place in the model is
    Σ|its amount| divided by that same sum, so that places which cancel each other have more
    together than their kind.

    Attributes:
        ledger: the amounts by kind, operation and module, float64 `[N]` each; its `score` is what
            relevance starts from.
        parameters: the options of LRP.
        rounding: the share of its absolute amounts by which the ledger of a document may differ
            from the score.
        compared: whether one class was explained rather than another.
        tokens: how many tokens the documents have.
        unknown: how often each token occurs that the vocabulary does not know, the most frequent
            first.
        reads_padding: whether padding takes part in the model's answers.
        pad_to: the fixed length to which texts are padded, None where there is none.
        tried: where the stabiliser took most of what did not reach the words, the share of the
            words with smaller values of epsilon, the largest first.
        strongest: of each document, the class that was explained and the word that speaks most for
            it.
        unread: the words that have relevance although the model does not read them.
        read_tried: how many words with relevance were replaced to see whether the model reads them.
        uncredited: the words that have no relevance, and with which the scores change.
        without_tried: how many words without relevance were replaced to see that.
        unverified: why the model was not run on other words to verify its constants; "" where it
            was, for every batch of these texts.
    """

    ledger: Ledger
    parameters: Mapping[str, Any]
    rounding: float = 1e-3
    compared: bool = False
    tokens: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)
    reads_padding: bool = False
    pad_to: int | None = None
    tried: Mapping[float | str, float] = field(default_factory=dict)
    strongest: Sequence[tuple[str, str]] = ()
    unread: Sequence[UnreadWord] = ()
    read_tried: int = 0
    uncredited: Sequence[UncreditedWord] = ()
    without_tried: int = 0
    unverified: str = ""

    def __len__(self) -> int:
        return len(self.ledger.score)

    def __repr__(self) -> str:
        return f"CheckReport({self._documents}, {_percent(self.words)} to the words)"

    @property
    def _documents(self) -> str:
        return counted(len(self), "document")

    @property
    def unknown_share(self) -> float:
        """The share of tokens that the vocabulary does not know; NaN where there is none at all."""
        return sum(self.unknown.values()) / self.tokens if self.tokens else float("nan")

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """The share of each kind whose amounts are not all 0, the largest first.

        `"tokens"` is always among them. Shares are NaN where all amounts are 0.
        """
        sizes = {kind: _size(amounts) for kind, amounts in self.ledger.totals.items()}
        whole = self._whole
        order = sorted(sizes, key=lambda kind: -sizes[kind])
        return {
            kind: sizes[kind] / whole if whole else float("nan")
            for kind in order
            if sizes[kind] or kind == "tokens"
        }

    @property
    def _whole(self) -> float:
        """The sum of all absolute amounts, by which shares are divided."""
        return sum(_size(amounts) for amounts in self.ledger.totals.values())

    @property
    def words(self) -> float:
        """The share that reaches the words."""
        return self.shares["tokens"]

    @cached_property
    def places(self) -> tuple[Entry, ...]:
        """The entries whose amounts are not all 0, without the words, the largest first."""
        taken = [e for e in self.ledger.entries if e.kind != "tokens" and _size(e.amount)]
        return tuple(sorted(taken, key=lambda entry: -_size(entry.amount)))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What to know before the words are read, a sentence or two each."""
        # Amounts that cancel count in full on both sides: their shares alone say little.
        found = (
            self._credits_unread(),
            self._changes_without_credit(),
            self._constants_may_be_words(),
            self._many_unknown(),
            self._cancels() or self._little_reaches(),
            self._padding_takes_part(),
            self._does_not_add_up(),
            self._one_word_dominates(),
        )
        return tuple(warning for warning in found if warning is not None)

    def verdict(self) -> str:
        """Say whether the explanations can be believed, what takes the score, and what to do.

        A finding a line: the answer first, the warnings in the middle, the next step last.
        """
        answer, step = self._answer()
        return "\n".join(filter(None, [answer, self._takers(), *self.warnings, step]))

    def trust(self, method: str) -> str:
        """Say whether the words that a method names can be believed; empty for any but LRP."""
        return self._answer()[0] if method == "lrp" else ""

    def _answer(self) -> tuple[str, str]:
        """Whether the explanations can be believed, and what to do next."""
        asked = f"Can LRP's explanations of this model be believed, judging by {self._documents}? "
        if not _size(self.ledger.score):
            return asked + "There is nothing to explain.", "Next: take other texts."
        if self._credits_unread() or self._does_not_add_up():
            return (
                f"{asked}No: the relevance is wrong, as is said below.",
                "Next: take a method that only asks the model again, such as occlusion.",
            )
        if self._many_unknown() or self._cancels() or self._little_reaches():
            return (
                f"{asked}With care: every score is accounted for, but what is said below comes "
                "first.",
                "Next: mend what is named above, and check again.",
            )
        return (
            f"{asked}Yes, as far as the account shows: every score is accounted for, and the words "
            "have a share that can be read.",
            "Next: `seqlrp evaluate` takes the named words out and asks the model again. Only that "
            "shows whether its answers rest on them.",
        )

    def _takers(self) -> str:
        """What takes the score, the largest first."""
        known = [(LEDGER_NAMES[kind], share) for kind, share in self.shares.items()]
        shown = [f"{name} {share:.0%}" for name, share in known if share >= 0.01]
        rest = "; everything else less than 1%" if len(shown) < len(known) else ""
        return f"What takes the score: {', '.join(shown)}{rest}." if shown else ""

    def _credits_unread(self) -> str | None:
        if not self.unread:
            return None
        return (
            f"{len(self.unread)} of {self.read_tried} words that were tried have relevance, but "
            f"the model does not read them: {_places(self.unread)}. Nothing that it "
            f"computes changes with another word there. It overwrites or moves ids in a way that "
            f"is not followed; do not trust the relevance, and please report the model."
        )

    def _changes_without_credit(self) -> str | None:
        if not self.uncredited:
            return None
        return (
            f"{len(self.uncredited)} of {self.without_tried} words without relevance that were "
            f"tried change the scores, whichever word takes their place: "
            f"{_places(self.uncredited)}. That is as it should be where a maximum or a rectifier "
            f"leaves the word out; otherwise the model asks for that word in a way that is not "
            f"followed."
        )

    def _constants_may_be_words(self) -> str | None:
        if not self.unverified or not self.shares.get("constant", 0) >= 0.01:
            return None
        return (
            f"Whether the {_percent(self.shares['constant'])} that stays in constants depends on "
            f"the words was not tested ({self.unverified}): it may be the words', in a way that is "
            f"not followed."
        )

    def _many_unknown(self) -> str | None:
        if not self.unknown_share > MOST_UNKNOWN:
            return None
        shown = ", ".join(map(ascii, list(self.unknown)[:5]))
        return (
            f"{_percent(self.unknown_share)} of the words are unknown to the vocabulary, such as "
            f"{shown}: the model reads the same unknown word for all of them. Likely causes: the "
            "tokenizer is not the one that the model was trained with; words are looked up in "
            "another case (Vocabulary(…, lowercase=…)); the vocabulary is another one; or the "
            "texts are of another language or field."
        )

    def _little_reaches(self) -> str | None:
        kind = self._largest_other
        if kind is None or not self.words < LEAST_FOR_WORDS:
            return None
        place = next(entry for entry in self.places if entry.kind == kind)
        return (
            f"Only {_percent(self.words)} of the relevance reaches the words; most of the rest, "
            f"{_percent(self.shares[kind])}, {KINDS[kind][0]}, above all at '{_name(place)}'. "
            f"{self._advice(kind)}"
        )

    @property
    def stabiliser_is_largest(self) -> bool:
        """Whether little reaches the words, and the stabiliser takes most of the rest."""
        little = self._largest_other == "stabiliser" and self.words < LEAST_FOR_WORDS
        return little and bool(self._epsilon)

    @property
    def _epsilon(self) -> float | str:
        """The option of LRP; 0 where it absorbs nothing."""
        epsilon: float | str = self.parameters.get("epsilon", 0)
        return epsilon

    def _padding_takes_part(self) -> str | None:
        share = self.shares.get("padding", 0.0)
        if not self.reads_padding or (self.pad_to is not None and not share):
            return None
        if self._largest_other == "padding" and self.words < LEAST_FOR_WORDS:
            return None  # it is said already
        if self.pad_to is not None:
            return (
                f"{_percent(share)} of the relevance goes to padding: texts are padded to "
                f"{self.pad_to} words, as the model was trained, and it reads the padding, too."
            )
        return (
            f"Padding takes part in the model's answer, which may depend on how a batch is padded; "
            f"{_percent(share)} of the relevance goes to it. {KINDS['padding'][1]}"
        )

    def _cancels(self) -> str | None:
        score, words = _size(self.ledger.score), _size(self.ledger.total("tokens"))
        kind = self._largest_other
        if kind is None or not score:
            return None
        other = _size(self.ledger.total(kind))
        if not min(words, other) > CANCELLING * score:
            return None
        rule = self.parameters.get("gate_rule", "all")
        advice = self._advice(kind)
        if rule != "all":
            advice = (
                f"The gate rule {rule!r} sends relevance through gates, where it may grow without "
                f"bound: take gate_rule='all', or a larger epsilon."
            )
        return (
            f"The words get {words / score:.3g} times the score, while {other / score:.3g} times "
            f"the score {KINDS[kind][0]}: they cancel, and the words alone do not say how high "
            f"the score is. {advice}"
        )

    def _one_word_dominates(self) -> str | None:
        texts = Counter(label for label, _ in self.strongest)
        words = Counter((label, word.lower()) for label, word in self.strongest)
        dominating = [
            f"{one_line(word)!r} for {one_line(label)!r} (the strongest word in {count} of "
            f"{texts[label]} texts)"
            for (label, word), count in words.most_common()
            if count >= max(LEAST_TEXTS, DOMINATING * texts[label])
        ]
        if not dominating:
            return None
        return (
            f"One word dominates a class: {', '.join(dominating)}. Whether the class rests on it, "
            "as on a shortcut, is what `seqlrp analyse` finds out, over a whole corpus."
        )

    @property
    def _largest_other(self) -> str | None:
        return next((kind for kind in self.shares if kind != "tokens"), None)

    def _advice(self, kind: str) -> str:
        if kind == "stabiliser" and self._epsilon:
            shown = _shown(self._epsilon)
            return f"Take a smaller epsilon; it is {shown}, and 0 absorbs nothing.{self._tried}"
        if kind == "padding" and self.pad_to is not None:
            return f"Texts are padded to {self.pad_to} words, and the model reads the padding, too."
        if kind == "constant" and self.unverified:
            return KINDS[kind][1].replace(TESTED, "").replace(CONTRAST, self._contrast).lstrip()
        return KINDS[kind][1].replace(CONTRAST, self._contrast)

    @property
    def _contrast(self) -> str:
        return BESIDE if self.compared else CONTRAST

    @property
    def _tried(self) -> str:
        if not self.tried:
            return ""
        best = max(self.tried, key=lambda epsilon: self.tried[epsilon])
        if self.tried[best] <= self.words:
            least = _shown(list(self.tried)[-1])
            return f" Down to {least}, tried on these texts, no more reaches the words."
        return (
            f" Tried on these texts: with epsilon={_shown(best)}, {_percent(self.tried[best])} of "
            "the relevance reaches the words."
        )

    def _does_not_add_up(self) -> str | None:
        missed = self.ledger.residual.abs()
        allowed = self.rounding * torch.stack([t.abs() for t in self.ledger.totals.values()]).sum(0)
        wrong = ~(missed <= allowed)  # NaN is wrong too
        if not bool(wrong.any()):
            return None
        return (
            f"The account does not close: in {int(wrong.sum())} of {len(self)} documents what the "
            f"entries miss is more than rounding, up to {float(missed.max()):.3g} where the "
            f"score is {float(self.ledger.score[int(missed.argmax())]):.3g}. Do not trust the "
            f"relevance: take a larger epsilon or a simpler gate rule, or run the model in "
            f"float64, and report it if it stays."
        )

    def _repr_html_(self) -> str:
        from seqlrp.show.page.elements import element

        said = (element("p", line) for line in self.verdict().splitlines())
        tables = [self.to_pandas("kind"), self.to_pandas("place").head(_FIRST_PLACES)]
        return "".join([*said, *(_as_html(table) for table in tables if len(table))])

    def to_pandas(self, by: str = "place") -> pd.DataFrame:
        """Make a table with one row for each place in the model, each kind, or each document.

        Columns by "place": kind, module, operation, mean_size, share. By "kind": kind, mean,
        mean_size, share. By "document": document, score, every kind, residual. Amounts are raw,
        in units of the score; `mean_size` is the mean of absolute values.

        Raises:
            OptionError: another `by`.
        """
        import pandas as pd

        check_choice("by", by, ("place", "kind", "document"))
        totals = self.ledger.totals
        if by == "document":
            columns = {"document": range(len(self)), "score": self.ledger.score.numpy()}
            amounts = {kind: amounts.numpy() for kind, amounts in totals.items()}
            return pd.DataFrame({**columns, **amounts, "residual": self.ledger.residual.numpy()})
        if by == "kind":
            kinds = [
                (kind, float(totals[kind].mean()), _mean_size(totals[kind]), share)
                for kind, share in self.shares.items()
            ]
            return pd.DataFrame(kinds, columns=["kind", "mean", "mean_size", "share"])
        places = [
            (e.kind, e.module, e.operation, _mean_size(e.amount), _size(e.amount) / self._whole)
            for e in self.places
        ]
        return pd.DataFrame(places, columns=["kind", "module", "operation", "mean_size", "share"])

    def summary(self, rows: int = 12) -> str:
        """Summarise in text: the verdict, a table of kinds, and one of at most `rows` places.

        Args:
            rows: of the places in the model that take most.
        """
        options = ", ".join(f"{key} {value}" for key, value in self.parameters.items())
        lines = [line for found in self.verdict().splitlines() for line in wrap(found, _WIDTH)]
        lines += ["", f"Where the scores of {self._documents} went (LRP: {options})", ""]
        lines += [*self._kinds_in_text(), *self._places_in_text(rows)]
        lines += [
            "",
            "Size: without the sign. Share: the sum of sizes over documents, of the same sum over",
            "all kinds; layers that cancel each other have more together than their kind.",
        ]
        if self.read_tried:
            lines.append(
                f"{self.read_tried} words were tried; {len(self.unread) or 'none'} of them "
                f"{agreeing(len(self.unread), 'has', 'have')} relevance that the model does not "
                f"read."
            )
        verified = f"no ({self.unverified})" if self.unverified else "yes"
        lines.append(f"Verified by runs on other words: {verified}.")
        if self.tokens:
            lines.append(f"Words unknown to the vocabulary: {_percent(self.unknown_share)}.")
        return "\n".join(lines)

    def _kinds_in_text(self) -> list[str]:
        """A row for each kind, the score first."""
        rows = [("what relevance starts from", self.ledger.score, "")]
        rows += [
            (LEDGER_NAMES[kind], self.ledger.total(kind), _percent(share))
            for kind, share in self.shares.items()
        ]
        width = max(len(name) for name, _, _ in rows) + 2
        return [
            f"{'':{width}}{'mean':>12}{'mean size':>12}{'share':>8}",
            *(
                f"{name:{width}}{float(amount.mean()):+12.4g}{_mean_size(amount):12.4g}{share:>8}"
                for name, amount, share in rows
            ),
        ]

    def _places_in_text(self, rows: int) -> list[str]:
        """A row for each of the places that take most."""
        if not self.places:
            return []
        shown = [(_name(e), LEDGER_NAMES[e.kind], e.amount) for e in self.places[:rows]]
        names, kinds = (max(len(row[k]) for row in shown) + 2 for k in (0, 1))
        more = len(self.places) - rows
        return [
            "",
            f"{'By layer, without the words':{names + kinds}}{'mean size':>12}{'share':>8}",
            *(
                f"{name:{names}}{kind:{kinds}}{_mean_size(amount):12.4g}"
                f"{_percent(_size(amount) / self._whole):>8}"
                for name, kind, amount in shown
            ),
            *([f"… and {more} smaller ones"] if more > 0 else []),
        ]


def _as_html(table: pd.DataFrame) -> str:
    """A table as a notebook shows it, in the words and digits of the summary."""
    named = table.assign(kind=table["kind"].map(LEDGER_NAMES), share=table["share"].map(_percent))
    sizes = {name: "{:.4g}".format for name in ("mean", "mean_size") if name in named}
    return str(named.to_html(index=False, formatters=sizes))


def smaller_epsilons(epsilon: float | str) -> list[float | str]:
    """The values of epsilon that are tried where one takes too much, the largest first."""
    size = float(epsilon.rstrip("%")) if isinstance(epsilon, str) else epsilon
    sizes = [float(f"{size / 10**power:.1e}") for power in range(1, 7)]
    return [f"{size:g}%" if isinstance(epsilon, str) else size for size in sizes]


def _shown(epsilon: float | str) -> str:
    return epsilon if isinstance(epsilon, str) else f"{epsilon:g}"


def _size(amounts: Tensor) -> float:
    return float(amounts.abs().sum())


def _mean_size(amounts: Tensor) -> float:
    return float(amounts.abs().mean())


def _percent(share: float) -> str:
    return "–" if share != share else f"{share:.0%}"


def _places(words: Sequence[UnreadWord | UncreditedWord]) -> str:
    """The first few words, and where they stand."""
    return ", ".join(f"{one_line(w.word)!r} in text {w.document}" for w in words[:5])


def _name(entry: Entry) -> str:
    return f"{entry.module or 'the model itself'}: {entry.operation}"
