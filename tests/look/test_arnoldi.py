"""Arnoldi's method on matrices whose eigenvalues are known."""

from __future__ import annotations

import pytest
import torch

from gankit.look.arnoldi import leading

PAIR = torch.tensor([[-3.0, 4.0], [-4.0, -3.0]])  # -3 ± 4i


def hidden(*blocks: torch.Tensor) -> torch.Tensor:
    """A matrix [P, P] in another basis than that in which it has these blocks."""
    matrix = torch.block_diag(*blocks).double()
    torch.manual_seed(0)
    basis = torch.randn(len(matrix), len(matrix), dtype=torch.float64) + 5 * torch.eye(len(matrix))
    return torch.linalg.solve(basis, matrix @ basis)


def test_the_leading_values_are_found_long_before_the_matrix_is_known() -> None:
    matrix = hidden(torch.tensor([[8.0]]), PAIR, torch.tensor([[-2.0]]), 0.5 * torch.diag(torch.rand(300)))
    asked = 0

    def product(vector: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += 1
        return matrix @ vector

    found = leading(product, matrix[0], count=4, most=200, share=1e-8)
    assert asked <= 60
    assert [value.settled() for value in found] == [True] * 4
    assert [abs(value.value) for value in found] == pytest.approx([8, 5, 5, 2], abs=1e-6)
    assert sorted((value.value.real, abs(value.value.imag)) for value in found) == [
        pytest.approx(expected, abs=1e-6) for expected in [(-3.0, 4.0), (-3.0, 4.0), (-2.0, 0.0), (8.0, 0.0)]
    ]


def test_too_few_products_are_told() -> None:
    matrix = hidden(torch.diag(torch.linspace(1, 1.1, 100)))
    found = leading(lambda vector: matrix @ vector, matrix[0], count=5, most=10)
    assert len(found) == 5
    assert not all(value.settled() for value in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_closed_space_ends_the_search(dtype: torch.dtype) -> None:
    """Of rank two: a third product says nothing new."""
    matrix = torch.zeros(50, 50, dtype=dtype)
    matrix[:2, :2] = PAIR
    found = leading(lambda vector: matrix @ vector, matrix[0], count=20, most=100)
    assert len(found) <= 4
    assert [abs(value.value) for value in found[:2]] == pytest.approx([5, 5], rel=1e-5)
    assert max((abs(value.value) for value in found[2:]), default=0) < 1e-3


def test_products_that_are_not_finite_are_an_error() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        leading(lambda vector: vector * torch.nan, torch.zeros(5), count=2, most=5)
