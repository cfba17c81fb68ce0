"""Eigenvalues of a matrix that is known by its products only (Arnoldi 1951)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gankit.base import progress
from gankit.machine import streams

EVERY = 10  # products after which it is seen whether the wanted values have settled
SETTLED = 1e-3  # largest residual of a settled eigenvalue, as a share of its modulus
ENDED = 10  # units of rounding: a product of which less than this is new closes the space


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue A x = λ x, as far as it is known: |A x - λ x| is `residual` for an x of length 1."""

    value: complex
    residual: float

    def settled(self, share: float = SETTLED) -> bool:
        """Whether the residual is at most this share of the modulus: more products would hardly change it."""
        return self.residual <= share * abs(self.value)


def leading(
    product: Callable[[Tensor], Tensor], like: Tensor, *, count: int, most: int, seed: int = 0, share: float = SETTLED
) -> list[Eigenvalue]:
    """At most `count` eigenvalues of largest modulus, the largest first, from at most `most` products A v.

    `like` [P] says the size, the dtype and the device. Vectors are orthogonalised twice. It stops when the wanted
    values have settled to `share`. A product that is not finite is a FloatingPointError.
    """
    most = min(most, len(like))
    start = torch.randn(len(like), generator=streams.generator(seed)).to(like)
    basis = torch.empty(most + 1, len(like), dtype=like.dtype, device=like.device)
    basis[0] = start / start.norm()
    hessenberg = torch.zeros(most + 1, most, dtype=torch.float64)
    ended = ENDED * torch.finfo(like.dtype).eps
    found: list[Eigenvalue] = []
    for column in range(most):
        new = product(basis[column])
        before = float(new.norm())
        for _ in range(2):
            shares = basis[: column + 1] @ new
            new = new - shares @ basis[: column + 1]
            hessenberg[: column + 1, column] += shares.double().cpu()
        length = float(new.norm())
        if not torch.isfinite(hessenberg[: column + 1, column]).all():
            raise FloatingPointError("a product with the Jacobian is not finite")
        hessenberg[column + 1, column] = length
        used, last = column + 1, length <= ended * before or column + 1 == most
        if last or (used > count and used % EVERY == 0):
            found = _ritz(hessenberg[:used, :used], 0.0 if length <= ended * before else length)[:count]
            last = last or all(value.settled(share) for value in found)
        progress.tell("products with the Jacobian", most if last else used, most)
        if last:
            break
        basis[column + 1] = new / length
    return found


def _ritz(square: Tensor, rest: float) -> list[Eigenvalue]:
    """Eigenvalues of the projection [m, m], the largest first; `rest` is the length of what lies outside of it."""
    values, vectors = torch.linalg.eig(square)
    residuals = rest * vectors[-1].abs() / vectors.norm(dim=0)
    order = values.abs().argsort(descending=True, stable=True)
    return [Eigenvalue(complex(values[i]), float(residuals[i])) for i in order.tolist()]
