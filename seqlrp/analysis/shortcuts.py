"""Shortcuts ("Clever Hans"), proved by intervention: does the model need what it looks at?

That a word stands in a cluster, or has much relevance, does not say that predictions rest on it.
Each candidate is taken out of texts and put into others, against control words, and gets a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import false_discovery_control
from tqdm import tqdm

from seqlrp.analysis.candidates import Candidate, find_candidates, given_candidates
from seqlrp.analysis.indexed_texts import UNLABELLED, Floats, IndexedTexts
from seqlrp.analysis.interventions import Effect, Proof, intervene
from seqlrp.analysis.suspicion import Likeness, least_share, lift, suspicion
from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import check_number
from seqlrp.explaining.explain import BATCH_TOKENS

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.analysis.strategies import Strategies
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

DECISIVE, USED, UNUSED = "decisive", "used", "unused"
VERDICTS = {
    DECISIVE: "used and decisive",
    USED: "used",
    UNUSED: "present but not used",
}
LEVEL = 0.05  # of p, corrected over all candidates
# A candidate is decisive where it turns so many more of the predictions than control words do,
ALONE = 0.25
# and where at least this share of the texts with it is of its class, by the lower end of the 95 %
# interval. Above it stand artefacts and a few words of a topic; function words do not come so high
# in corpora of any size (`docs/explanation/results.md`).
EXCLUSIVE = 0.75
MOST_TEXTS = 100  # texts of an intervention

COLUMNS = {
    "candidate": "str", "kind": "str", "source": "str", "class": "str", "verdict": "str",
    "removed": "float64", "inserted": "float64", "control": "float64", "p": "float64",
    "removed_control": "float64", "removed_excess": "float64", "removed_low": "float64",
    "removed_high": "float64", "removed_change": "float64", "removed_texts": "int64",
    "inserted_control": "float64", "inserted_excess": "float64", "inserted_low": "float64",
    "inserted_high": "float64", "inserted_change": "float64", "inserted_texts": "int64",
    "documents": "int64", "exclusive": "float64", "exclusive_low": "float64",
    "likeness": "float64", "alone": "float64", "accuracy_with": "float64",
    "accuracy_without": "float64",
}  # fmt: skip


def find_shortcuts(
    explanations: Sequence[Explanation],
    classifier: TextClassifier,
    class_words: pd.DataFrame,
    strategies: Strategies | None = None,
    *,
    candidates: Iterable[str] = (),
    most: int = MOST_TEXTS,
    seed: int = 0,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    known: Callable[[str], Proof | None] = lambda key: None,
    note: Callable[[str, Proof], None] = lambda key, proof: None,
) -> pd.DataFrame:
    """Try what each class may rest on, by taking it out of texts and putting it into others.

    Candidates are the most distinctive words of each strategy, with the phrase that they stand in
    and as a pair where they stand together; the strongest words of each class; the first or last
    word and the length, where relevance or counts point to them; and those that are given.

    Each is **removed** from texts that are predicted as its class, and **inserted** into texts that
    are predicted otherwise, where and as often as it stands in a text that is drawn from those that
    have it. The same texts are changed by a **control**: in the same text the words that are
    nearest in frequency and place are removed, and words of the corpus of that frequency and usual
    place are inserted. If the controls flip as many predictions, the word is not used, however
    clean its cluster is.

    Args:
        explanations: of the texts, as `seqlrp.explain` gives them.
        classifier: the classifier that they explain.
        class_words: the table of `seqlrp.analysis.class_words.class_words`.
        strategies: what `find_strategies` found; None leaves their words out.
        candidates: words and phrases to try besides; `"a + b"` for two that are tried together.
        most: the most texts of an intervention.
        seed: of the texts and controls that are drawn.
        batch_tokens: the most tokens in a batch, padding included.
        progress: show a bar; None shows one where standard error is a terminal.
        known: gives the proof of a candidate that was tried before, by its key.
        note: is told each new proof.

    Returns:
        One row a candidate, decisive ones first. Within a verdict they are ordered by what speaks
        for an artefact: the share of predictions that they surely turn beyond their control (the
        larger `low`), times the log odds of `exclusive_low` less those of the class among all texts
        (not below 0), over the square of `likeness` (not below 1). Those that share a word with one
        before them, of the same class, come after the others. The columns are

        - candidate, kind ("words", "position" or "length"), source, class.
        - verdict: "used", where p is below 0.05 and, in one intervention, it turns more predictions
            than its control (the interval of the difference is above 0); "decisive", where the
            difference is 0.25 or more as well, and `exclusive_low` is 0.75 or more, and the share
            of the class among all texts or more, or missing;
            otherwise "unused".
        - removed: the share of predictions of the class that are lost when it is taken out.
        - inserted: the share of other predictions that become the class when it is put in.
        - control: the larger of the shares that controls turn, in the two interventions.
        - p: twice the smaller of the p values of both interventions (Wilcoxon's signed-rank test of
            the probability of the class, candidate against control), corrected over all candidates
            by Benjamini and Hochberg (1995).
        - removed_control, removed_excess (removed less its control), removed_low, removed_high (its
            95 % interval), removed_change (of the probability, beyond the control), removed_texts;
            and the same for inserted.
        - documents: how many texts hold it.
        - exclusive: the share of these that are of the class; exclusive_low is the lower end of its
            95 % interval (Wilson 1927). Both are missing where there is no such text.
        - likeness: how many times as alike the texts of the class with it are, by their other
            words (the mean cosine of two of them, of tf · idf), as any two texts of the class.
            About 1 for an artefact that stands anywhere, and more for a word of a subject; missing
            where fewer than three texts hold it.
        - alone: the share of those tried that are right with it and wrong without it.
        - accuracy_with, accuracy_without: on the texts that hold it and on the others.

        Classes are true ones where they are known, otherwise predicted ones; accuracies and `alone`
        are missing where no true class is known.

    Raises:
        OptionError: a candidate is no word.
        InputError: explanations of another classifier.
    """
    check_number("most", most, least=2, whole=True)
    texts = IndexedTexts(explanations, classifier)
    tried = given_candidates(texts, candidates)
    names = {(c.name, c.class_) for c in tried}
    likeness = Likeness(texts)
    found = find_candidates(texts, likeness, explanations, class_words, strategies)
    tried += [c for c in found if (c.name, c.class_) not in names]
    proofs = []
    hidden = None if progress is None else not progress
    for candidate in tqdm(tried, desc="interventions", unit="candidate", disable=hidden):
        key = f"{candidate.kind}\0{candidate.class_}\0{candidate.name}\0{most}"
        proof = known(key)
        if proof is None:
            proof = intervene(candidate, texts, most=most, seed=seed, batch_tokens=batch_tokens)
            note(key, proof)
        proofs.append(proof)
    return _table(texts, likeness, tried, proofs)


def _table(
    texts: IndexedTexts,
    likeness: Likeness,
    candidates: Sequence[Candidate],
    proofs: Sequence[Proof],
) -> pd.DataFrame:
    import pandas as pd

    raw = [min(1.0, 2 * min(proof.removed.p, proof.inserted.p)) for proof in proofs]
    corrected = false_discovery_control(raw) if raw else np.zeros(0)
    sizes = np.bincount(texts.classes[texts.classes >= 0], minlength=len(texts.classifier.labels))
    shares = sizes[[c.class_ for c in candidates]] / max(int(sizes.sum()), 1)
    rows = [
        _row(likeness, texts, candidate, proof, float(p), float(share))
        for candidate, proof, p, share in zip(candidates, proofs, corrected, shares, strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    return table.iloc[_order(table, shares)].reset_index(drop=True)


def _order(table: pd.DataFrame, shares: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """The rows by verdict, then by suspicion; `shares` of the class, see `find_shortcuts`."""
    rank = table["verdict"].map({DECISIVE: 0, USED: 1, UNUSED: 2}).to_numpy(np.int64)
    surely = table[["removed_low", "inserted_low"]].max(axis=1).fillna(-1).to_numpy()
    lifts = lift(table["exclusive_low"].fillna(EXCLUSIVE), shares)
    suspicious = suspicion(np.maximum(surely, 0), lifts, table["likeness"])
    order = np.lexsort((np.arange(len(table)), -surely, -suspicious, rank))
    again = np.zeros(len(table), np.int64)  # whether a row shares a word with one before it
    seen: set[tuple[str, str]] = set()
    for k in order.tolist():
        words = {(table["class"].iloc[k], word) for word in table["candidate"].iloc[k].split()}
        if table["kind"].iloc[k] == "words":
            again[k] = not seen.isdisjoint(words)
            seen |= words - {(table["class"].iloc[k], "+")}
    return order[np.lexsort((again[order], rank[order]))]


def _row(
    likeness: Likeness,
    texts: IndexedTexts,
    candidate: Candidate,
    proof: Proof,
    p: float,
    of_class: float,
) -> dict[str, Any]:
    """The row of a candidate, whose class has the share `of_class` of all texts."""
    held = texts.holding(candidate.phrases)
    right = np.where(texts.true == UNLABELLED, np.nan, texts.true == texts.predicted)
    rest = np.setdiff1d(np.arange(len(texts)), held)
    removed, inserted = proof.removed, proof.inserted
    share = float((texts.classes[held] == candidate.class_).mean()) if len(held) else np.nan
    low = float(least_share(share, len(held)))
    controls = [e.control for e in (removed, inserted) if e.texts]
    row: dict[str, Any] = {
        "candidate": candidate.name,
        "kind": candidate.kind,
        "source": candidate.source,
        "class": texts.classifier.labels[candidate.class_],
        "verdict": verdict(removed, inserted, p, low, of_class),
        "removed": removed.flips,
        "inserted": inserted.flips,
        "control": max(controls, default=np.nan),
        "p": p,
        "documents": len(held),
        "exclusive": share,
        "exclusive_low": low,
        "likeness": likeness.of(candidate.phrases, candidate.class_),
        "alone": proof.alone,
        "accuracy_with": _mean(right[held]),
        "accuracy_without": _mean(right[rest]) if candidate.kind == "words" else np.nan,
    }
    for name, effect in (("removed", removed), ("inserted", inserted)):
        row |= {
            f"{name}_control": effect.control,
            f"{name}_excess": effect.excess,
            f"{name}_low": effect.low,
            f"{name}_high": effect.high,
            f"{name}_change": effect.change,
            f"{name}_texts": effect.texts,
        }
    return row


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def verdict(
    removed: Effect, inserted: Effect, p: float, exclusive_low: float, of_class: float = 0.0
) -> str:
    """The verdict on a candidate, given its corrected p value; see `find_shortcuts`.

    Its class must nearly alone hold it, and more so than it holds any text: where 90 % of the texts
    are of the class, so are 90 % of those with any word.
    """
    sure = [e.excess for e in (removed, inserted) if e.texts and e.low > 0]
    if p >= LEVEL or not sure:
        return UNUSED
    exclusive = not exclusive_low < max(EXCLUSIVE, of_class)
    return DECISIVE if max(sure) >= ALONE and exclusive else USED
