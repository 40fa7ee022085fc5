"""Where each element of a tensor that a model computed from ids comes from.

Every such tensor carries an *origin*, an integer for each element: the number of the word (an
element of the ids that went in) that the element depends on, or one of three others:

    NOBODY   no word: a constant that the model wrote there
    SEVERAL  it depends on several words, as a sum of ids does
    UNKNOWN  it depends on words in a way that is not followed

Functions that move ids move the origin; those that compute with single ids keep it. Only an id of
one word or of nobody can be looked up; the others are refused by name.

An *answer* is a tensor derived from ids that is no id itself (`ids != 0`, `ids.argmax(1)`,
`idf[ids]`), or derived from answers: a weight, a mask or a position. Like a gate, it is a
constant in a product, and relevance does not pass through it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.functions import Call, Kind, full_name, names_of_kind
from seqlrp.engine.moves import MOVING, move_numbers, moved_values
from seqlrp.engine.nests import tensors_among, tensors_in

SEVERAL, UNKNOWN = -2, -3

# New tensors of the shape of the ids, without their values.
FRESH = frozenset(
    (
        "zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full",
        "new_empty", "empty",
    )
)  # fmt: skip
# Functions that use the shape or dtype of their second argument, and not its values.
_SHAPE_OF_SECOND = frozenset(("expand_as", "view_as", "reshape_as", "type_as", "to"))
# Each element of the result depends on the elements at its place.
_ELEMENTWISE = names_of_kind(
    Kind.SUM, Kind.PRODUCT, Kind.QUOTIENT, Kind.NEGATION, Kind.CLAMP, Kind.INTEGER, Kind.LARGER,
    Kind.ACTIVATION, Kind.POWER, Kind.SAME,
) | frozenset(["eq", "ne", "lt", "le", "gt", "ge", "greater", "less"])  # fmt: skip
_ALIASES = names_of_kind(Kind.SAME)
_COPYING = names_of_kind(Kind.CAST) | {"int", "long"}  # unless they return their argument
# A table is searched for each element: the places of the elements and of the table.
_SEARCHES = {"bucketize": (0, 1), "searchsorted": (1, 0)}
_OF_SEVERAL = frozenset((Kind.REDUCTION, Kind.RUNNING_SUM, Kind.EXTREME, Kind.PRODUCT_OVER))
_QUESTIONS = frozenset(("sign", "isin"))


class Provenance(NamedTuple):
    """Where the elements of a tensor come from.

    Attributes:
        origin: int64, broadcastable to the tensor.
        answer: whether it answers a question about ids, and holds none.
        made_by: the function that combined several words, or is not followed; "" if none did.
        random: the function that drew random numbers in it; "" if none did.
        of_signals: whether it also answers a question about signals.
    """

    origin: Tensor
    answer: bool = False
    made_by: str = ""
    random: str = ""
    of_signals: bool = False

    @property
    def single(self) -> bool:
        """Whether each element comes from one word or from none."""
        return bool((self.origin >= NOBODY).all())

    @property
    def weighs(self) -> bool:
        """Whether it is a mask or a weight of each word, where it is a factor of a signal."""
        return self.answer or self.single

    @property
    def asks_for_words(self) -> bool:
        """Whether it answers a question about ids alone."""
        return self.answer and not self.of_signals and not self.random


Known = Callable[[Any], Provenance | None]


def derive(call: Call, kind: Kind | None, result: Any, known: Known) -> list[Provenance | None]:
    """Return the provenance of each tensor of a result; None for what does not depend on ids.

    `known` gives the provenance of an argument, or None.
    """
    results = tensors_in(result)
    by_shape = call.name in _SHAPE_OF_SECOND and known(call.args[0]) is None
    of_numbers = call.name == "new_tensor" and not tensors_in(call.args[1:])
    if call.name in FRESH or by_shape or of_numbers:
        return [None] * len(results)
    given = [p for t in tensors_among(call.args, call.kwargs) if (p := known(t)) is not None]
    # The first function that combined words is to blame, and not one that moved them before.
    made_by = next((p.made_by for p in given if p.made_by and not (p.answer or p.single)), "")
    only_answers = all(p.answer for p in given)
    found = [] if call.name == "setitem" else _origins(call, kind, results, known)
    if call.name == "setitem":
        results, found = [call.args[0]], [_moved(call, known)[0]]
    random = next((p.random for p in given if p.random), "")
    of_signals = any(p.of_signals for p in given)
    own = full_name(call.function)
    provenances: list[Provenance | None] = []
    for k, tensor in enumerate(results):
        origin = found[k] if k < len(found) else None
        answer = only_answers or _answers(call, kind, tensor, k)
        if origin is None:
            several = answer or kind in _OF_SEVERAL
            origin = _everywhere(SEVERAL if several else UNKNOWN, tensor)
        origin = origin.to(tensor.device)  # lengths are sorted on the CPU
        provenances.append(Provenance(origin, answer, made_by or own, random, of_signals))
    return provenances


def _answers(call: Call, kind: Kind | None, tensor: Tensor, place: int) -> bool:
    """Return whether a result computed from ids holds an answer to a question about them."""
    if tensor.dtype == torch.bool or call.name in _QUESTIONS:
        return True
    if kind is Kind.ANSWER:
        return call.name != "new_tensor"
    if kind in (Kind.ORDER, Kind.EXTREME) and place == 1:  # the positions of the values
        return True
    if kind is Kind.CLAMP:  # ids.clamp(max=1) is a mask
        bounds = [b for b in (*call.args[1:], *call.kwargs.values()) if isinstance(b, (int, float))]
        return bool(bounds) and max(bounds) <= 1
    return kind is Kind.COUNT


def _origins(
    call: Call, kind: Kind | None, results: list[Tensor], known: Known
) -> list[Tensor | None]:
    """Return the origins of the elements of each result, None where they are not followed."""
    if call.name in MOVING or call.name in ("new_tensor", "copy", "fill", "zero"):
        return list(_moved(call, known))
    if kind in (Kind.ORDER, Kind.EXTREME):
        return _chosen(call, kind, results, known)
    if call.name in _SEARCHES:
        return _searched(call, known)
    if kind is Kind.CLAMP and _to_one_number(call):
        return [_everywhere(NOBODY, results[0])]
    if call.name in _ELEMENTWISE and len(results) == 1:
        return [_combined(call, results[0], known)]
    return []


def _chosen(call: Call, kind: Kind, results: list[Tensor], known: Known) -> list[Tensor | None]:
    """Return the origins of the elements that a sort or an extreme along a dimension takes."""
    own = known(call.args[0])
    if own is None or len(tensors_among(call.args, call.kwargs)) != 1:
        return []
    place = 2 if call.name == "topk" else 1
    dim = call.argument(place, "dim", -1 if kind is Kind.ORDER else None)
    if not isinstance(dim, int):
        return []
    ids, kept = call.args[0], results[0].ndim == call.args[0].ndim
    if len(results) == 2:
        at = results[1] if kept else results[1].unsqueeze(dim)
    else:
        at = (torch.argmax if call.name == "amax" else torch.argmin)(ids, dim, keepdim=True)
    origin = own.origin.expand(ids.shape).gather(dim, at)
    return [origin if kept else origin.squeeze(dim), None]


def _searched(call: Call, known: Known) -> list[Tensor | None]:
    """Return the origins of the places of ids in a table of constants."""
    if len(call.args) < 2:
        return []
    ids, table = (call.args[k] for k in _SEARCHES[call.name])
    own = known(ids)
    if own is None or known(table) is not None:
        return []
    return [own.origin.expand(ids.shape).clone()]


def _to_one_number(call: Call) -> bool:
    """Return whether a clamp leaves one number everywhere, whatever the ids are."""
    low, high = call.argument(1, "min"), call.argument(2, "max")
    numbers = isinstance(low, (int, float)) and isinstance(high, (int, float))
    return numbers and call.name in ("clamp", "clip") and low >= high


def _moved(call: Call, known: Known) -> list[Tensor | None]:
    """Return the origins that a function moves along with the values."""
    if call.name in ("fill", "zero"):
        return [_everywhere(NOBODY, call.args[0])]
    if call.name in ("copy", "new_tensor"):
        source = known(call.args[1]) if len(call.args) > 1 else None
        shape = call.args[0].shape if call.name == "copy" else tensors_in(call.args[1])[0].shape
        origin = _everywhere(NOBODY, call.args[0]) if source is None else source.origin
        return [origin.expand(shape).clone()]
    moved = moved_values(call)
    if all(known(value) is None for value in moved):
        chosen = call.name in ("where", "masked_fill", "setitem")
        return [None if not chosen else _everywhere(NOBODY, call.args[0])]

    def number(value: Tensor) -> Tensor | None:
        own = known(value) if any(value is m for m in moved) else None
        return None if own is None else own.origin.expand(value.shape)

    numbers = move_numbers(call, number)
    if call.name in _COPYING:
        numbers = [n.clone() for n in numbers]
    if call.name in ("where", "masked_fill", "setitem"):
        return [_where_words_decide(call, numbers[0], number, known)]
    return list(numbers)


def _where_words_decide(call: Call, origin: Tensor, number: Any, known: Known) -> Tensor:
    """A constant that replaces a word by a question about that word alone comes from the word.

    `ids.masked_fill(ids > limit, UNKNOWN)` is a function of each id; where padding or a position
    decides, the word that stood there is overwritten, and nobody's constant remains.
    """
    if call.name == "where":
        condition, *sides = call.args[:3]
    else:
        base, condition, value = call.args[:3]
        sides = [value, base]
    asked = known(condition) if isinstance(condition, Tensor) else None
    if asked is None or condition.dtype != torch.bool or asked.origin.ndim == 0:
        return origin
    if condition.ndim != origin.ndim:
        return origin
    numbers = [
        n if isinstance(s, Tensor) and (n := number(s)) is not None else asked.origin.new_tensor(-1)
        for s in sides
    ]
    if any(n.ndim not in (0, origin.ndim) for n in numbers):
        return origin
    replaced = torch.where(condition, numbers[1], numbers[0])
    by_itself = (origin == NOBODY) & (asked.origin == replaced)
    return torch.where(by_itself, asked.origin, origin)


def _combined(call: Call, result: Tensor, known: Known) -> Tensor | None:
    """Return the origins of an elementwise result: of one word, or of several."""
    operands = [(t, known(t)) for t in tensors_among(call.args, call.kwargs)]
    ids = [p.origin for _, p in operands if p is not None and not p.answer]
    numbers = ids or [p.origin for _, p in operands if p is not None]
    if len(numbers) == 1 and numbers[0].shape == result.shape:
        alias = call.name in _ALIASES or not ids  # it has the memory of its operand
        total = numbers[0] if alias else numbers[0].clone()
    elif any(n.ndim == 0 for n in numbers) and not ids:
        return None
    else:
        total = numbers[0].expand(result.shape)
        for other in numbers[1:]:
            differ = (total != other) & (total != NOBODY) & (other != NOBODY)
            total = torch.where(total == NOBODY, other, total).masked_fill(differ, SEVERAL)
    if ids and call.name in ("mul", "bitwise_and"):
        for operand in call.args[:2]:
            total = _blanked(total, operand, known)
    return total


def _blanked(origin: Tensor, factor: Any, known: Known) -> Tensor:
    """Return the origins after a product: a factor of 0 that another has decided leaves nobody."""
    own = known(factor) if isinstance(factor, Tensor) else None
    if own is not None and not own.answer:
        return origin
    zero = torch.as_tensor(factor, device=origin.device) == 0
    if own is not None:
        zero = zero & (own.origin != origin)
    return origin.masked_fill(zero, NOBODY)


def _everywhere(number: int, like: Tensor) -> Tensor:
    return torch.full((), number, dtype=torch.int64, device=like.device)
