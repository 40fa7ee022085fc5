"""A second run on other words: do values that the laws take for constants depend on the words?

A method sees which values it follows; it cannot see what a model computed elsewhere, through
NumPy or in another thread. So on the first call for a kind of input, copies of the model run again:

    plainly    on the same ids, unwatched: the scores must be those of the watched run
    changed    on three sets of other words with the same lengths and padding
    revealing  if the model asks for certain ids: on other words with these ids among them

A constant beside a signal that then has other values depends on the words in a way that is not
followed, and is refused by name. So are a mask that several words have decided and that chooses
among signals, a branch that is taken for other words only, and a constant that stands in the
places of certain words.

Two kinds of constants may depend on words: those that select by single words or by position (an
index, a mask that sets to 0 or excludes), and those that weigh a signal in a product and answer a
question about ids (`ids > 5`, `idf[ids]`) or are a number of one word each (`ids / 100`), see
`provenance.py`. Both are like gates, which are constants by definition.

The runs are of copies of the model that share its parameters; everything else is copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, NamedTuple, NoReturn, Protocol

import torch
from torch import Tensor, nn

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.functions import Call, Function, Kind, arrange, full_name
from seqlrp.engine.inputs import Reading
from seqlrp.engine.modules import tensors_of
from seqlrp.engine.moves import MOVING, fills, moved_values, with_signals_zero
from seqlrp.engine.nests import map_tensors, tensors_among, tensors_in
from seqlrp.engine.other_words import Frame, Shown, frame_of, other_vectors, other_words, own_words
from seqlrp.engine.plain_runs import NARROW, plain_output, scores_differ
from seqlrp.engine.provenance import FRESH, Provenance
from seqlrp.engine.twins import not_twinned, random_state, same_random_state, twin
from seqlrp.errors import ModelError, SeqlrpError, UnfollowedWordsError

# In these, an operand weighs the others.
_WEIGHING = frozenset(
    (
        Kind.PRODUCT, Kind.QUOTIENT, Kind.MATRIX_PRODUCT, Kind.EINSUM, Kind.TENSOR_PRODUCT,
        Kind.LINEAR, Kind.CONVOLUTION,
    )
)  # fmt: skip
# Most laws of these call simpler functions, which are seen by themselves.
_TAKEN_APART = frozenset((Kind.COMPOSED, Kind.ADDED_PRODUCT))
# With a mask, these put constants in the places of signals.
_PLACING = frozenset(("where", "masked_fill", "setitem", "index_put"))
_REPEATING = frozenset(("repeat", "tile", "repeat_interleave"))
_BY_MASK = _PLACING | {"getitem", "masked_select"}
_BOUNDS = {  # of a question about an id: the ids on both sides of the bound
    "gt": (0, 1), "greater": (0, 1), "le": (0, 1),
    "ge": (-1, 0), "lt": (-1, 0), "less": (-1, 0),
}  # fmt: skip
_MOST_ASKED = 16  # ids of a tensor with which ids are compared that are shown in a second run
_MOST_RUNS = 3  # of revealing runs, each of which shows as many ids as it has places
EXCLUDED = -1e4  # a constant that is no larger excludes from a softmax or a maximum


class _StopSecondRunError(SeqlrpError):
    """The second run cannot go on without changing the model; nobody tries the model again."""


class WatchedRun(Protocol):
    """A run of a model that records the constants beside signals."""

    constants: ConstantRecorder | None
    table_sizes: list[int]
    readings: list[Reading]
    renormalises: bool

    def again(self, model: nn.Module) -> WatchedRun:
        """Return a new run like this one, for another model."""

    def run(self, model: nn.Module, inputs: Tensor, additional: Any) -> Any:
        """Run the model on ids or vectors."""

    def place(self) -> str:
        """Return the dotted name of the module that is running now."""

    def is_signal(self, tensor: object) -> bool:
        """Return whether the run follows a tensor, which then is no constant."""

    def provenance_of(self, tensor: object) -> Provenance | None:
        """Return where the elements of a tensor come from, or None if it does not hold ids."""


class Constant(NamedTuple):
    """A constant that a law saw beside a signal.

    Attributes:
        function: the function that was called with it.
        module: the dotted name of the module that called it.
        value: a copy of the tensor, or a number; None for a step that met none.
        weighs: whether it answers a question about ids and weighs a signal in a product.
        decides: how it decides which signals are used, or which way the model takes; or "".
        counts: which elements of the value are compared, bool; None for all.
    """

    function: str
    module: str
    value: Any
    weighs: bool = False
    decides: str = ""
    counts: Tensor | None = None

    def alike(self, other: Constant) -> bool:
        """Return whether both were seen at the same step of a model."""
        shapes = (getattr(c.value, "shape", None) for c in (self, other))
        same = self.function == other.function and self.module == other.module
        return same and len(set(shapes)) == 1

    def differs(self, other: Constant) -> bool:
        """Return whether the values of both differ by more than rounding."""
        if not isinstance(self.value, Tensor):
            return bool(self.value != other.value) and not math.isnan(self.value)
        if not self.value.dtype.is_floating_point:
            return not torch.equal(self.value, other.value)
        one, two = self.value, other.value
        if self.counts is not None and other.counts is not None:
            both = self.counts & other.counts
            one, two = one[both], two[both]
        close = torch.isclose(one, two, 100 * torch.finfo(one.dtype).eps, 0.0, equal_nan=True)
        return not bool((close | _excludes(one, two) | _excludes(two, one)).all())


def _excludes(here: Tensor, there: Tensor) -> Tensor:
    """Return where a constant excludes from a softmax or a maximum, and the other one is 0."""
    return (here <= EXCLUDED) & (there == 0)


class ConstantRecorder:
    """Records the constants that the laws see in one run of a model.

    Attributes:
        seen: the constants, in order.
        steps: the functions that were called with a signal, in order.
        asked: ids that the model compares words with, such as that of the padding.
        asks_signals: whether values that are followed may decide which way the model goes.
        finished: whether the run went on to its end.
        second_text: the shape of an additional argument that an embedding looked up; or None.
        narrow: a dtype of two or three digits in which a part of the model runs, as under autocast.
        writes: whether the model writes into a parameter.
        second: whether this is a run on other words, which must not change the parameters.
    """

    def __init__(self, model: nn.Module, additional: Any = None, *, second: bool = False) -> None:
        self.second_text: list[int] | None = None
        self._additional = {
            t.untyped_storage().data_ptr()
            for t in tensors_in((additional,))
            if not t.dtype.is_floating_point and t.layout is torch.strided
        }
        self.seen: list[Constant] = []
        self.steps: list[str] = []
        self.asked: set[int] = {0}
        self.narrow: torch.dtype | None = None
        self.asks_signals = self.finished = self.writes = False
        self.second = second
        self._own = {
            t.untyped_storage().data_ptr(): t._version for t in tensors_of(model) if _has_memory(t)
        }

    def note(
        self,
        run: WatchedRun,
        function: Callable[..., Any],
        entry: Function | None,
        args: Any,
        kwargs: Any,
    ) -> None:
        """Note the constants among the arguments of a function that is called with a signal."""
        kind = None if entry is None else entry.kind
        call = arrange(function, entry, args, kwargs)
        self.steps.append(full_name(function))
        for tensor in tensors_among(args, kwargs):
            self._note_dtype(tensor)
        asks = kind in (None, Kind.ANSWER, Kind.COUNT, Kind.ORDER) and call.name not in FRESH
        self.asks_signals = self.asks_signals or asks
        masks = [(mask, run.provenance_of(mask)) for mask in _masks(call)]
        for mask, own in masks:
            if own is not None and own.asks_for_words and not own.single:
                self._see(run, function, mask.clone(), decides=_SELECTS)
        by_words = any(own is None or own.asks_for_words for _, own in masks)
        if call.name in _PLACING and by_words:
            if any(not isinstance(v, Tensor) or not run.is_signal(v) for v in _placed(call)):
                self._see(run, function, with_signals_zero(call, run.is_signal))
            return
        for value in _values(call, kind):
            if not isinstance(value, Tensor):
                self._see(run, function, value)
            elif not run.is_signal(value) and not self._is_own(value):
                own = run.provenance_of(value)
                weighs = own is not None and own.weighs and kind in (*_WEIGHING, *_TAKEN_APART)
                self._see(run, function, value.detach().clone(), weighs=weighs)

    def _note_dtype(self, tensor: Tensor) -> None:
        device = tensor.device.type
        if tensor.dtype in NARROW:
            self.narrow = tensor.dtype
        elif torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            self.narrow = torch.get_autocast_dtype(device)

    def _see(self, run: WatchedRun, function: Callable[..., Any], value: Any, **about: Any) -> None:
        self.seen.append(Constant(full_name(function), run.place(), value, **about))

    def note_reading(self, run: WatchedRun, vectors: Tensor, origin: Tensor) -> None:
        """Note the vectors `[..., D]` that were looked up by ids that come from no word."""
        nobody = origin == NOBODY
        if bool(nobody.any()):
            found = vectors.detach().clone()
            self.seen.append(Constant("embedding", run.place(), found, counts=nobody))

    def note_question(self, call: Call, ids: Callable[[Any], bool]) -> None:
        """Note which ids a model asks for; `ids` says whether a tensor holds ids."""
        for value in (*call.args, *call.kwargs.values()):
            if isinstance(value, int):
                self.asked.add(value)
                self.asked.update(_around(call.name, value))
            elif isinstance(value, Tensor) and not ids(value) and value.numel():
                numbers = value.reshape(-1)
                few = torch.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_ASKED)).long()
                if not value.dtype.is_floating_point and value.dtype != torch.bool:
                    self.asked.update(int(n) for n in numbers[few.to(value.device)].tolist())

    def note_lookup(self, ids: Tensor) -> None:
        """Note that an embedding looks up what may be an additional argument of the model."""
        if ids.layout is torch.strided and ids.untyped_storage().data_ptr() in self._additional:
            self.second_text = list(ids.shape)

    def note_branch(self, run: WatchedRun, function: Callable[..., Any], answer: Tensor) -> None:
        """Note which way a model takes, as in `if (ids == 5).any()`."""
        own = run.provenance_of(answer)
        truth = answer.dtype == torch.bool or function is Tensor.__bool__
        if own is not None and own.asks_for_words and answer.numel() == 1 and truth:
            outcome = bool(answer.item())
            self._see(run, function, outcome, decides=_BRANCHES)

    def _is_own(self, value: Tensor) -> bool:
        """Return whether a tensor is a parameter or buffer of the model, or a view, unchanged."""
        if not _has_memory(value):
            return value.layout is not torch.strided  # nothing compares sparse tensors
        return self._own.get(value.untyped_storage().data_ptr()) == value._version

    def check_write(self, target: Tensor) -> None:
        """Stop before the run on other words changes a parameter, which both models share."""
        owner = target if target._base is None else target._base
        if isinstance(owner, nn.Parameter):
            self.writes = True
            if self.second:
                raise _StopSecondRunError


def _has_memory(tensor: Tensor) -> bool:
    """Return whether a tensor has memory in which writes are counted."""
    return tensor.layout is torch.strided and not tensor.is_inference()


def _masks(call: Call) -> list[Tensor]:
    """Return the masks by which a function selects among values."""
    if call.name not in _BY_MASK:
        return []
    return [t for t in tensors_among(call.args, call.kwargs) if t.dtype == torch.bool]


def _placed(call: Call) -> list[Any]:
    """Return the values that a function puts together, but for a number of 0."""
    places = call.args[1:3] if call.name == "where" else (*call.args[:1], *call.args[2:3])
    values = [v for v in (*places, *call.kwargs.values()) if isinstance(v, (Tensor, int, float))]
    return [v for v in values if isinstance(v, Tensor) or v != 0]


def _around(name: str, bound: int) -> list[int]:
    """Return the ids on both sides of a bound; none if one side holds 0 alone."""
    below, above = (bound + step for step in _BOUNDS.get(name, (0, 0)))
    return [below, above] if below > 0 else []


def _values(call: Call, kind: Kind | None) -> list[Any]:
    """Return what a function computes with, without what only selects."""
    given = (*call.args, *call.kwargs.values())
    if call.name in _REPEATING:
        counts = (n for part in given[1:] for n in (part if isinstance(part, tuple) else (part,)))
        return [*moved_values(call), *(n for n in counts if isinstance(n, int))]
    if call.name in MOVING or kind in (Kind.ASSIGNMENT, Kind.COPY):
        return list(call.args[1:2]) if kind is Kind.COPY else [*moved_values(call), *fills(call)]
    tensors = tensors_among(call.args, call.kwargs)
    if kind not in (Kind.SUM, *_WEIGHING):  # tensors of integers are lengths here, and select
        tensors = [t for t in tensors if t.dtype.is_floating_point]
    return [*tensors, *(n for n in given if isinstance(n, (int, float)))]


_UNFOLLOWED = (
    "depends on the words in a way that is not followed (through NumPy or a list, another thread, "
    "a cast to integers, or arithmetic with ids): on other words it has other values. Relevance "
    "through it would be lost. Compute it with torch functions from what an embedding looked up, "
    "or pass verify=False to take it for a constant."
)
_SELECTS = "selects values by a question about several words"
_BRANCHES = "takes another way on other words"
_DECIDED = (
    "so that certain words decide what the model uses or adds, and get no relevance for it. Let "
    "what they add be a vector that an embedding looks up, or pass verify=False to leave their "
    "choice unexplained. (If the model asks for its padding, declare it: padding_idx= of the "
    "embedding, or a batch with padding in it.)"
)


def check_constants(first: ConstantRecorder, second: ConstantRecorder, *, asks: bool) -> None:
    """Refuse a model in which a constant of the first run has other values in the second.

    Where the runs take different ways, the rest is not compared. If nothing that torch computes can
    have decided that, Python code decided it by the words, and the model is refused, too.

    Args:
        first: what was seen in the first run.
        second: what was seen in the second run.
        asks: whether the model asks for ids of words, which may rightly decide where it goes on.

    Raises:
        UnfollowedWordsError: a constant depends on the words; it names module and function.
    """
    for one, other in zip(first.seen, second.seen, strict=False):
        if not one.alike(other):
            # A module that is called by another name than through its parent has none in the copy.
            places = {one.module, other.module} - {""}
            if one.function != other.function or len(places) > 1:
                _check_same_way(first, second, one, asks)
            return
        if not one.weighs and one.differs(other):
            _refuse(one)
    if len(first.seen) != len(second.seen):
        longer = max((first.seen, second.seen), key=len)
        _check_same_way(first, second, longer[min(len(first.seen), len(second.seen))], asks)
    for step, beside in zip_longest(first.steps, second.steps, fillvalue=""):
        if step != beside:
            return _check_same_way(first, second, Constant(step or beside, "", None), asks)


def _check_same_way(
    first: ConstantRecorder, second: ConstantRecorder, at: Constant, asks: bool
) -> None:
    """Refuse a model that uses other constants on other words, which it looks at in Python."""
    if second.finished and not (asks or first.asks_signals or second.asks_signals):
        _refuse(at._replace(decides="is called on some words only"))


def _refuse(found: Constant) -> NoReturn:
    where = f"module '{found.module}'" if found.module else "the model's own forward"
    where = "the model" if found.value is None else where
    value = "a number"
    if isinstance(found.value, Tensor):
        value = f"a tensor of shape {list(found.value.shape)}"
    what = f"{found.decides}, {_DECIDED}" if found.decides else f"got {value} that {_UNFOLLOWED}"
    raise UnfollowedWordsError(
        f"{found.function} in {where} {what}",
        function=found.function,
        module=found.module,
        code="words_decide" if found.decides else "words_in_a_constant",
    )


class SecondRun:
    """Runs a model again and compares; made before the first run.

    Args:
        model: the model.
        inputs: the ids or vectors.
        additional: what the model takes after its input.

    Attributes:
        missing: why there is no second run; "" if there is one.
        fails: whether that is because the model cannot be copied, or raises on other words.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, additional: Any) -> None:
        self.first = ConstantRecorder(model, additional)
        self.missing = not_twinned(model)
        self._inputs, self._additional = inputs, map_tensors(additional, Tensor.clone)
        if not self.missing:
            try:
                self._model = twin(model)
            except Exception as error:
                self.missing = f"the model cannot be copied ({type(error).__name__}: {error})"
        self.fails = bool(self.missing)
        self._random = random_state()

    def _plain_output(self) -> Any:
        """Return what a copy of the model returns if nothing watches it; None if it raises."""
        given = self._additional if isinstance(self._additional, tuple) else (self._additional,)
        arguments = () if self._additional is None else given
        with torch.enable_grad(), suppress(Exception):
            output = plain_output(self._model, self._inputs, arguments, self._random)
            return map_tensors(output, Tensor.detach)
        return None

    def check_scores(self, mode: WatchedRun, scores: Tensor, select: Callable[[Any], Any]) -> None:
        """Refuse a model with other scores than it has if nothing watches it.

        Args:
            mode: that of the first run.
            scores: those of the first run, `[B, C]`.
            select: returns the part of the model's output that holds the scores.

        Raises:
            ModelError: they differ by more than rounding.
        """
        if self.missing or self.first.writes or mode.renormalises:
            return  # a copy would write into the parameters that it shares
        output = self._plain_output()
        if output is None:
            return
        plain = select(output).reshape(scores.shape)
        if not scores_differ(plain, scores.detach(), self.first.narrow):
            return
        most, size = float((scores.detach() - plain).abs().max()), float(plain.abs().max())
        raise ModelError(
            f"The model returns other scores while its torch functions are watched: they differ "
            f"by up to {most:.3g}, where the largest is {size:.3g}. Either it computes in a way "
            f"that is not followed rightly (ids written by a pointer, say, or a function that "
            f"looks whether it is watched), or its scores change from call to call. Write that "
            f"step with plain torch functions.",
            code="other_scores_when_watched",
        )

    def compare(self, mode: WatchedRun, padding: Tensor) -> None:
        """Run copies of the model on other words, and compare; set `missing` if there are none.

        Args:
            mode: that of the first run.
            padding: bool, shaped as the ids, True on padding.

        Raises:
            UnfollowedWordsError: a constant depends on the words.
        """
        if self.missing:
            return
        if self._inputs.dtype.is_floating_point:
            vectors = other_vectors(self._inputs)
            failed, *_ = [self._compare_with(mode, other, asks=False) for other in vectors]
            if failed is not None:
                self._set_failed("vectors", failed)
            return
        tables = (reading.table for reading in mode.readings)
        declared = {t.padding_idx for t in tables if t is not None and t.padding_idx is not None}
        frame = frame_of(self._inputs, padding, self.first.asked, declared)
        asks, portions = bool(frame.shown), _portions(frame, self._inputs)
        others = other_words(self._inputs, padding, frame, mode.table_sizes, portions)
        failures = [self._compare_with(mode, other, asks=asks) for other in others]
        if not failures:
            self.missing = "there are no other words to put in"
        elif failures[0] is not None:  # it may know the words of these texts alone
            own = own_words(self._inputs, padding, frame)
            if own is None or self._compare_with(mode, own, asks=asks) is not None:
                self._set_failed("words", failures[0])

    def _set_failed(self, changed: str, error: Exception) -> None:
        self.missing = f"it raises on other {changed} ({type(error).__name__}: {error})"
        self.fails = True

    def _compare_with(self, mode: WatchedRun, other: Tensor, *, asks: bool) -> Exception | None:
        """Run a copy of the model on other words or vectors, and compare; return what it raised."""
        model = twin(self._model)
        again = mode.again(model)
        second = again.constants = ConstantRecorder(model, second=True)
        failed = None
        # These words may lead elsewhere; what was seen until then can be compared.
        with torch.enable_grad(), same_random_state():
            try:
                again.run(model, other, map_tensors(self._additional, Tensor.clone))
                second.finished = True
            except SeqlrpError:  # what these words lead to has no law
                pass
            except Exception as error:
                failed = error
        check_constants(self.first, second, asks=asks)
        return failed


def _portions(frame: Frame, ids: Tensor) -> Sequence[Shown]:
    """Return the ids that are shown in each of the revealing runs."""
    size = max(ids.numel() // 2, 1)
    starts = range(0, min(len(frame.shown), _MOST_RUNS * size), size)
    return [frame.shown[start : start + size] for start in starts]
