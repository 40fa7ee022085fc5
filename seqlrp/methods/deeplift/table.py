"""DeepLIFT's table: how multipliers pass through each kind of torch function.

Other functions are refused by name.
"""

from __future__ import annotations

from seqlrp.engine.decompositions import take_apart
from seqlrp.engine.dispatch import Law, Table
from seqlrp.engine.functions import Kind, names_of_kind
from seqlrp.methods.deeplift import choices, laws, recurrent, running, selecting, softmax
from seqlrp.methods.deeplift.pairs import PairedRun

_COMPOSED = softmax.check_parts(take_apart)

_BY_KIND: dict[Kind, Law[PairedRun]] = {
    **dict.fromkeys((Kind.MOVE, Kind.CAST), laws.move),
    Kind.ASSIGNMENT: laws.assign,
    Kind.COPY: laws.copy,
    Kind.SAME: laws.same,
    Kind.DROPOUT: laws.dropout,
    # Linear: multipliers are gradients.
    **dict.fromkeys((Kind.REDUCTION, Kind.RUNNING_SUM, Kind.DIAGONAL), laws.linear),
    Kind.AVERAGE_POOLING: laws.linear,
    Kind.SUM: laws.add,
    Kind.NEGATION: laws.negate,
    # Products: linear in each factor.
    **dict.fromkeys((Kind.LINEAR, Kind.CONVOLUTION, Kind.PRODUCT, Kind.EINSUM), laws.product),
    **dict.fromkeys((Kind.MATRIX_PRODUCT, Kind.TENSOR_PRODUCT), laws.product),
    Kind.ADDED_PRODUCT: laws.add_product,
    Kind.PRODUCT_OVER: laws.product_of_all,
    Kind.QUOTIENT: laws.divide,
    # Elementwise: Rescale or RevealCancel.
    **dict.fromkeys((Kind.ACTIVATION, Kind.GATE, Kind.SOFTPLUS, Kind.CLAMP), laws.elementwise),
    **dict.fromkeys((Kind.EXPONENTIAL, Kind.LOGARITHM, Kind.POWER), laws.elementwise),
    **dict.fromkeys((Kind.INVERSE, Kind.ELEMENTWISE), laws.elementwise),
    **dict.fromkeys((Kind.COMPOSED, Kind.NORMALISATION, Kind.SIZE, Kind.LOOKUP), _COMPOSED),
    Kind.EXTREME: selecting.extreme,
    Kind.LARGER: selecting.larger,
    Kind.MAX_POOLING: selecting.max_pool,
    Kind.ORDER: selecting.ordered,
    Kind.RECURRENCE: recurrent.sequence,
    Kind.CELL: recurrent.cell,
    **dict.fromkeys((Kind.QUESTION, Kind.ANSWER, Kind.COUNT), choices.ask),
}

# Exceptions, by name.
_BY_NAME: dict[str, Law[PairedRun]] = {
    "softmax": softmax.check_parts(softmax.softmax),
    "logsumexp": softmax.check_parts(softmax.log_sum_exp),
    "cumprod": running.product,
    "cummax": running.extreme,
    "cummin": running.extreme,
    "logcumsumexp": softmax.check_parts(running.log_sum_exp),
    "bilinear": laws.product,
    "lerp": laws.product,
    "interpolate": laws.interpolate,
}

TABLE: Table[PairedRun] = Table(_BY_KIND, _BY_NAME)
ASKED = frozenset((Kind.QUESTION, Kind.ANSWER, Kind.COUNT))  # no multiplier passes through


def ruled() -> tuple[str, ...]:
    """Return the names of the functions through which multipliers pass."""
    return tuple(sorted(set(TABLE.laws) - names_of_kind(*ASKED)))
