"""Seeds of random streams."""

from __future__ import annotations

from gankit.base.seeds import derive_seed


def test_derived_seeds_are_stable_and_keep_types_and_parts_apart() -> None:
    assert derive_seed(0, "data", 0) == 5712977863368614637
    seeds = [derive_seed(*parts) for parts in [(1,), ("1",), ("ab", "c"), ("a", "bc"), ("abc",), (0, "data", 1)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
