"""The matrix product of the compiled loops, in float32.

Products with the few rows of one step are too small for a library, which spends its time on the
call and on copying weights into the order in which its inner loop reads them. Here the weights are
copied once, into panels of `LANES` outputs, `[P, K, LANES]`, and a tile of a few rows and panels is
computed in the registers of a core. Each element of the result is one sum in the order of its K
terms: it depends neither on the other rows nor on how rows are split among threads.
"""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from seqlrp.lrp.recurrent.kernels.machine_code import exact

Matrix = NDArray[np.float32]
Panels = NDArray[np.float32]

LANES = 16  # two vectors of AVX2, one of AVX-512, four of NEON
_NUMBER, _VECTOR = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES)
_BYTES = 4 * LANES


def _at(builder: ir.IRBuilder, kind: Any, base: Any, by: Any, row: int, offset: Any) -> Any:
    """Return the pointer to `kind` at the address `base + row · by + offset`."""
    place = builder.add(builder.add(base, builder.mul(by, by.type(row))), offset)
    return builder.inttoptr(place, kind.as_pointer())


def _spread(builder: ir.IRBuilder, number: Any) -> Any:
    """Return a vector of equal numbers."""
    none, indices = _VECTOR(ir.Undefined), ir.VectorType(ir.IntType(32), LANES)
    lane = builder.insert_element(none, number, ir.IntType(32)(0))
    return builder.shuffle_vector(lane, none, indices([0] * LANES))


def _add_tile(builder: ir.IRBuilder, rows: int, panels: int, *arguments: Any) -> None:
    """Write the machine code of a tile of so many rows and panels; see `_tile`."""
    w, w_by, depth, a, a_by, start, start_by, out, out_by = arguments
    places = list(product(range(rows), range(panels)))
    add_product = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    columns = [depth.type(panel * _BYTES) for panel in range(panels)]
    sums = []
    for row, panel in places:
        first = _at(builder, _VECTOR, start, start_by, row, columns[panel])
        sums.append(cgutils.alloca_once_value(builder, builder.load(first, align=4)))
    with cgutils.for_range(builder, depth) as loop:
        skip = builder.mul(loop.index, depth.type(_BYTES))
        weights = [
            builder.load(_at(builder, _VECTOR, w, w_by, panel, skip), align=4)
            for panel in range(panels)
        ]
        skip = builder.mul(loop.index, depth.type(4))
        signals = [
            _spread(builder, builder.load(_at(builder, _NUMBER, a, a_by, row, skip)))
            for row in range(rows)
        ]
        for total, (row, panel) in zip(sums, places, strict=True):
            terms = [signals[row], weights[panel], builder.load(total)]
            builder.store(builder.call(add_product, terms), total)
    for total, (row, panel) in zip(sums, places, strict=True):
        to = _at(builder, _VECTOR, out, out_by, row, columns[panel])
        builder.store(builder.load(total), to, align=4)


# Enough sums to hide how long an addition takes, and no more than the registers of a core hold.
# AVX-512 has 32 of them, each as wide as a panel, so that tiles of two panels have room, which load
# less for each multiplication; AVX2 and NEON have as much room as six rows of one panel take.
WIDE = bool(get_host_cpu_features().get("avx512f", False))
_MOST_ROWS, _MOST_PANELS = 6, 2


def _tile_function(module: ir.Module, rows: int, panels: int, arguments: Any) -> Any:
    """Return the function of a tile, which is one of its own: inlined, its loop lacks registers."""
    name = f"seqlrp_tile_{rows}x{panels}"
    if name in module.globals:
        return module.globals[name]
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    _add_tile(builder, rows, panels, *function.args)
    builder.ret_void()
    return function


def _add_tiles(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
    rows, panels, *others = arguments
    end = builder.append_basic_block("end")
    size = builder.add(builder.mul(rows, rows.type(_MOST_PANELS)), panels)
    tiles = builder.switch(size, end)
    for r, p in product(range(1, _MOST_ROWS + 1), range(1, _MOST_PANELS + 1)):
        block = builder.append_basic_block(f"tile_{r}x{p}")
        tiles.add_case(rows.type(r * _MOST_PANELS + p), block)
        builder.position_at_end(block)
        builder.call(_tile_function(builder.module, r, p, others), others)
        builder.branch(end)
    builder.position_at_end(end)
    return context.get_dummy_value()


@intrinsic
def _tile(
    _: Any, rows: Any, panels: Any,
    w: Any, w_by: Any, k: Any, a: Any, a_by: Any, s: Any, s_by: Any, z: Any, z_by: Any,
) -> Any:  # fmt: skip
    """Compute the product for at most 6 rows and 2 panels.

    The other arguments are addresses: of panels, `a`, what the sums start from, and the result,
    each followed by the bytes from one row (or panel) to the next; and between them K.
    """
    return types.void(*[types.intp] * 11), _add_tiles


def _add_transpose(context: Any, builder: ir.IRBuilder, _: Any, arguments: Any) -> Any:
    w, w_by, panel = arguments
    four, zero = ir.VectorType(ir.FloatType(), 4), w.type(0)
    rows = [builder.load(_at(builder, four, w, w_by, row, zero), align=4) for row in range(4)]
    order = ir.VectorType(ir.IntType(32), 4)
    halves = order([0, 4, 1, 5]), order([2, 6, 3, 7])
    for _ in range(2):  # numbers of the rows 0 and 2, and of 1 and 3, take turns
        rows = [
            builder.shuffle_vector(rows[k // 2], rows[k // 2 + 2], halves[k % 2]) for k in range(4)
        ]
    for k, row in enumerate(rows):
        builder.store(row, _at(builder, four, panel, w.type(_BYTES), k, zero), align=4)
    return context.get_dummy_value()


@intrinsic
def _transpose(_: Any, w: Any, w_by: Any, panel: Any) -> Any:
    """Copy four by four numbers of a weight matrix into a panel; the arguments are addresses."""
    return types.void(*[types.intp] * 3), _add_transpose


@exact
def pack(weight: Matrix) -> Panels:
    """Copy a weight matrix `[M, K]` into panels; what is missing in the last one is 0."""
    outputs, depth = weight.shape
    panels = np.empty((-(-outputs // LANES), depth, LANES), np.float32)
    if outputs % LANES:
        panels[-1] = 0
    side_by_side = weight.strides[1] == weight.itemsize
    for p in range(len(panels)):
        first = p * LANES
        in_fours = depth - depth % 4 if side_by_side and first + LANES <= outputs else 0
        for k in range(0, in_fours, 4):
            w, panel = weight[first, k:].ctypes.data, panels[p, k].ctypes.data
            for lane in range(0, LANES, 4):
                _transpose(w + lane * weight.strides[0], weight.strides[0], panel + 4 * lane)
        for k in range(in_fours, depth):
            for lane in range(min(LANES, outputs - first)):
                panels[p, k, lane] = weight[first + lane, k]
    return panels


@exact
def _whole_panels(start: Matrix, a: Matrix, panels: Panels, out: Matrix, count: int) -> None:
    """Compute the first `count` panels of `multiply`."""
    rows, depth, p = len(out), panels.shape[1], 0
    s_by = start.strides[0] if len(start) > 1 else 0
    while p < count:
        w, column = panels.ctypes.data + p * depth * _BYTES, p * _BYTES
        s, z = start.ctypes.data + column, out.ctypes.data + column
        width = 2 if p + 1 < count and (WIDE or rows <= 2) else 1
        _all_rows(width, w, depth, a.ctypes.data, a.strides[0], s, s_by, z, out.strides[0], rows)
        p += width


@exact
def _all_rows(
    width: int, w: int, depth: int, a: int, a_by: int, s: int, s_by: int, z: int, z_by: int,
    rows: int,
) -> None:  # fmt: skip
    """Compute `width` panels of all rows; the other arguments are those of a tile."""
    row = 0
    while row < rows:
        left = rows - row
        height = 6 if left > 8 else 4 if left > 6 else left
        _tile(
            height, width, w, depth * _BYTES, depth,
            a + row * a_by, a_by, s + row * s_by, s_by, z + row * z_by, z_by,
        )  # fmt: skip
        row += height


@exact
def multiply(start: Matrix, a: Matrix, panels: Panels, out: Matrix) -> None:
    """out[b] = start[b] + weight · a[b] for the weight `[M, K]` that was packed.

    Args:
        start: `[B, M]` or, the same for all rows, `[1, M]`; it may be `out`.
        a: `[B, K]`.
        panels: of the weight.
        out: `[B, M]`, written; numbers of one row lie side by side, as everywhere here.
    """
    rows, outputs = out.shape
    whole = outputs // LANES
    _whole_panels(start, a, panels, out, whole)
    first = whole * LANES
    if first == outputs:
        return
    edge = np.zeros((rows, LANES), np.float32)
    for b in range(rows):
        for j in range(first, outputs):
            edge[b, j - first] = start[b if len(start) > 1 else 0, j]
    _whole_panels(edge, a, panels[whole:], edge, 1)
    for b in range(rows):
        for j in range(first, outputs):
            out[b, j] = edge[b, j - first]
