"""The matrix product of the compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is an optional package")

SHAPES = [(1, 1), (3, 3), (16, 5), (17, 5), (50, 7), (64, 20), (80, 33)]


@pytest.fixture(scope="module")
def product() -> Any:
    from seqlrp.lrp.recurrent.kernels import product

    return product


def numbers(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("outputs", "depth"), [*SHAPES, (64, 64), (32, 6)])
@pytest.mark.parametrize("order", ["rows", "some rows", "some columns", "transposed"])
def test_panels_hold_the_weight_and_zeros(
    product: Any, outputs: int, depth: int, order: str
) -> None:
    weight = {
        "rows": numbers(outputs, depth),
        "some rows": numbers(outputs + 3, depth)[2:-1],
        "some columns": numbers(outputs, depth + 3)[:, 2:-1],
        "transposed": numbers(depth, outputs).T,
    }[order]
    panels = product.pack(weight)
    missing = len(panels) * product.LANES - outputs
    assert 0 <= missing < product.LANES
    whole = np.concatenate([weight, np.zeros((missing, depth), np.float32)])
    found = panels.transpose(0, 2, 1).reshape(-1, depth)
    assert np.array_equal(found, whole)


@pytest.mark.parametrize(("outputs", "depth"), SHAPES)
@pytest.mark.parametrize("rows", [*range(1, 15), 48])
def test_each_row_is_the_product_alone(product: Any, outputs: int, depth: int, rows: int) -> None:
    weight, a, start = numbers(outputs, depth), numbers(rows, depth), numbers(rows, outputs)
    panels, found = product.pack(weight), np.full((rows, outputs + 2), np.nan, np.float32)
    product.multiply(start, a, panels, found[:, 1:-1])
    exact = start.astype(float) + a.astype(float) @ weight.T.astype(float)
    np.testing.assert_allclose(found[:, 1:-1], exact, rtol=1e-5, atol=1e-5)
    assert np.isnan(found[:, [0, -1]]).all()
    alone = np.empty((1, outputs), np.float32)
    for row in range(rows):
        product.multiply(start[row : row + 1], a[row : row + 1], panels, alone)
        assert np.array_equal(alone[0], found[row, 1:-1])
    product.multiply(start, a, panels, start)  # in place
    assert np.array_equal(start, found[:, 1:-1])


def test_one_start_for_all_rows_and_a_transposed_weight(product: Any) -> None:
    weight, a, start = numbers(7, 21), numbers(9, 7), numbers(1, 21)
    found = np.empty((9, 21), np.float32)
    product.multiply(start, a, product.pack(weight.T), found)
    np.testing.assert_allclose(found, start + a @ weight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [*range(1, 15), 48])
def test_two_panels_at_once_are_those_one_by_one(product: Any, rows: int) -> None:
    # A processor without AVX-512 takes two at once for one row and for two rows only.
    weight, a, start = numbers(32, 20), numbers(rows, 20), numbers(rows, 32)
    panels, found, expected = product.pack(weight), np.zeros((rows, 32), np.float32), start.copy()

    def run(width: int, out: Any, first: int) -> None:
        product._all_rows(
            width, panels[first:].ctypes.data, 20, a.ctypes.data, a.strides[0],
            start[:, 16 * first :].ctypes.data, start.strides[0],
            out[:, 16 * first :].ctypes.data, out.strides[0], rows,
        )  # fmt: skip

    run(2, found, 0)
    for panel in (0, 1):
        run(1, expected, panel)
    assert np.array_equal(found, expected)
    np.testing.assert_allclose(found, start + a @ weight.T, rtol=1e-5, atol=1e-5)
