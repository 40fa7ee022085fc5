"""What a check found: who takes how much of the scores, and what is worth knowing about that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.errors import OptionError, near
from seqlrp.lrp.ledger import Entry, Ledger
from seqlrp.page.tables import PLAIN_WORDS

if TYPE_CHECKING:
    import pandas as pd

LITTLE = 0.5  # a share of the words below this is worth a warning
UNKNOWN = 0.2  # a share of unknown words above this is worth a warning
MANY = 3.0  # words and another kind are said to cancel where both are so many times the score

CONTRAST = (
    " Read gradient_x_input beside it, or ask why one class rather than another, a pair as target: "
    "what speaks for both alike cancels there, which may be little."
)
BESIDE = " Read gradient_x_input beside it."  # where a pair is compared already
# What becomes of the relevance that a kind takes, and what can be done about it.
KINDS = {
    "padding": ("goes to padding", "Pack the sequences, or take texts one at a time."),
    "bias": ("stays in biases", f"Biases are the model's, not the text's.{CONTRAST}"),
    "stabiliser": ("is lost to the stabiliser", "Take another rule for this layer."),
    "initial state": (
        "stays in initial states",
        f"The model has an answer before it reads a word.{CONTRAST}",
    ),
    "constant": ("stays in constants", f"They are the model's, not the text's.{CONTRAST}"),
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

    Shares are robust where amounts cancel: the share of a kind is Σ|its amount| over documents,
    divided by the same sum over all kinds. The share of a place is Σ|its amount| divided by that
    same sum, so that places which cancel each other have more together than their kind.

    Attributes:
        ledger: every entry by kind, operation and module, float64 `[N]` each; its `score` is what
            relevance starts from.
        parameters: the options of LRP.
        rounding: how much of its absolute amounts the account of a document may miss.
        compared: whether one class was explained rather than another.
        tokens: how many tokens the documents have.
        unknown: how often each of those stands there that the vocabulary does not know, the most
            frequent first.
    """

    ledger: Ledger
    parameters: Mapping[str, Any]
    rounding: float = 1e-3
    compared: bool = False
    tokens: int = 0
    unknown: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ledger.score)

    def __repr__(self) -> str:
        return f"CheckReport({self._documents}, {_percent(self.words)} to the words)"

    @property
    def _documents(self) -> str:
        return "1 document" if len(self) == 1 else f"{len(self):,} documents"

    @property
    def unknown_share(self) -> float:
        """The share of tokens that the vocabulary does not know; NaN where there is none at all."""
        return sum(self.unknown.values()) / self.tokens if self.tokens else float("nan")

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """The share of each kind that takes anything, largest first; NaN where nothing is shared.

        `"tokens"` is always among them.
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
        """What every share is a share of."""
        return sum(_size(amounts) for amounts in self.ledger.totals.values())

    @property
    def words(self) -> float:
        """The share that reaches the words."""
        return self.shares["tokens"]

    @cached_property
    def places(self) -> tuple[Entry, ...]:
        """The entries that take anything, but for the words themselves, largest first."""
        taken = [e for e in self.ledger.entries if e.kind != "tokens" and _size(e.amount)]
        return tuple(sorted(taken, key=lambda entry: -_size(entry.amount)))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is worth knowing before the words are read, a sentence or two each."""
        # What cancels counts in full on both sides, so that a share of it says little by itself.
        found = (
            self._many_unknown(),
            self._cancels() or self._little_reaches(),
            self._does_not_close(),
        )
        return tuple(warning for warning in found if warning is not None)

    def _many_unknown(self) -> str | None:
        if not self.unknown_share > UNKNOWN:
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
        if kind is None or not self.words < LITTLE:
            return None
        place = next(entry for entry in self.places if entry.kind == kind)
        return (
            f"Only {_percent(self.words)} of the relevance reaches the words; most of the rest, "
            f"{_percent(self.shares[kind])}, {KINDS[kind][0]}, above all at '{_name(place)}'. "
            f"{self._advice(kind)}"
        )

    def _cancels(self) -> str | None:
        score, words = _size(self.ledger.score), _size(self.ledger.total("tokens"))
        kind = self._largest_other
        if kind is None or not score:
            return None
        other = _size(self.ledger.total(kind))
        if not min(words, other) > MANY * score:
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

    @property
    def _largest_other(self) -> str | None:
        return next((kind for kind in self.shares if kind != "tokens"), None)

    def _advice(self, kind: str) -> str:
        epsilon = float(self.parameters.get("epsilon", 0))
        if kind == "stabiliser" and epsilon:
            return f"Take a smaller epsilon; it is {epsilon:g}, and 0 absorbs nothing."
        return KINDS[kind][1].replace(CONTRAST, BESIDE if self.compared else CONTRAST)

    def _does_not_close(self) -> str | None:
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

    def to_pandas(self, by: str = "place") -> pd.DataFrame:
        """A table with one row a place in the model, a kind, or a document.

        Columns by "place": kind, module, operation, mean_size, share. By "kind": kind, mean,
        mean_size, share. By "document": document, score, every kind, residual. Amounts are raw,
        in units of the score; `mean_size` is the mean of absolute values.

        Raises:
            OptionError: another `by`.
        """
        import pandas as pd

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
        if by != "place":
            known = ("place", "kind", "document")
            raise OptionError(f"by={by!r} is not one of those allowed. {near(by, known)}")
        places = [
            (e.kind, e.module, e.operation, _mean_size(e.amount), _size(e.amount) / self._whole)
            for e in self.places
        ]
        return pd.DataFrame(places, columns=["kind", "module", "operation", "mean_size", "share"])

    def summary(self, rows: int = 12) -> str:
        """Who takes how much, in plain words: a table of kinds, and one of at most `rows` places.

        The warnings are not in it.
        """
        options = ", ".join(f"{key} {value}" for key, value in self.parameters.items())
        start = self.ledger.score
        kinds = [("what relevance starts from", float(start.mean()), _mean_size(start), "")]
        for kind, share in self.shares.items():
            amount = self.ledger.total(kind)
            kinds.append(
                (PLAIN_WORDS[kind], float(amount.mean()), _mean_size(amount), _percent(share))
            )
        lines = [f"Where the scores of {self._documents} went (LRP: {options})", ""]
        lines.append(f"{'':28}{'mean':>12}{'mean size':>12}{'share':>8}")
        lines += [
            f"{name:28}{mean:+12.4g}{size:12.4g}{share:>8}" for name, mean, size, share in kinds
        ]
        places = self.to_pandas().head(rows)
        if len(places):
            names = [_name(entry) for entry in self.places[:rows]]
            width = max(map(len, names)) + 2
            lines += [
                "",
                f"{'By layer, without the words':{width + 26}}{'mean size':>12}{'share':>8}",
            ]
            lines += [
                f"{name:{width}}{PLAIN_WORDS[entry.kind]:26}{size:12.4g}{_percent(share):>8}"
                for name, entry, size, share in zip(
                    names, self.places, places["mean_size"], places["share"], strict=False
                )
            ]
        if len(self.places) > rows:
            lines.append(f"… and {len(self.places) - rows} smaller ones")
        lines += [
            "",
            "Size: without the sign. Share: the sum of sizes over documents, of the same sum over",
            "all kinds; layers that cancel each other have more together than their kind.",
        ]
        if self.tokens:
            lines.append(f"Words unknown to the vocabulary: {_percent(self.unknown_share)}.")
        return "\n".join(lines)


def _size(amounts: Tensor) -> float:
    return float(amounts.abs().sum())


def _mean_size(amounts: Tensor) -> float:
    return float(amounts.abs().mean())


def _percent(share: float) -> str:
    return "–" if share != share else f"{share:.0%}"


def _name(entry: Entry) -> str:
    return f"{entry.module or 'the model itself'}: {entry.operation}"
