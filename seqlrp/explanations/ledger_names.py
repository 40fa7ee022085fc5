"""Names of the entries of a ledger for somebody who has not read the paper."""

from __future__ import annotations

LEDGER_NAMES = {
    "tokens": "the words",
    "padding": "padding",
    "bias": "constants of the model (biases)",
    "stabiliser": "lost to the stabiliser ε",
    "initial state": "the initial state",
    "constant": "other constants",
    "gate": "gates that pass nothing on",
    "zero input": "inputs that are exactly 0",
    "refused": "functions without a rule",
    "baseline": "the score of the baseline",
}
