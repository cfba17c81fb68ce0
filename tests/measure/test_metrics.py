"""Metrics against values computed by others, and the traps of torchmetrics one by one.

Traps that need no test, because nothing here can reach them:
- integer `feature=64 … 2048` (which needs torch-fidelity, resizes with antialias since 1.8 and unpickles weights): every
  metric gets a module, and the resize of a space is part of the protocol;
- `normalize=True` rescaling what custom networks get: it is never passed (InceptionScore would turn logits to bytes);
- states that `state_dict()` does not hold: states are never stored, features are (test_evaluator.py);
- `reset_real_features`: metrics are built afresh for every evaluation;
- `FeatureShare` and its repeated forwards: features are extracted once (test_evaluator.py counts);
- MPS without float64: metrics never leave the CPU (test_states_stay_on_the_cpu).
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gankit.errors import InputError
from gankit.measure.features.extract import flaw
from gankit.measure.metrics.distances import FrechetDistance, InceptionScore, KernelDistance, Precomputed
from gankit.measure.metrics.duplicates import NearDuplicates, nearest, spacing
from gankit.measure.metrics.neighbours import DensityCoverage, PrecisionRecall, radii
from gankit.modality import Images

thumbnails = Images().thumbnails

# RandomState(7) normals; FID by pytorch-ignite 0.5.5, KID by torch-fidelity's mmd2 (5e211a9, adapted there from the
# authors' MMD-GAN), precision to coverage by prdc 0.2: each computed once on exactly these numbers.
X = torch.tensor(
    [[1.691, -0.466, 0.033], [0.408, -0.789, 0.002], [-0.001, -1.755, 1.018], [0.6, -0.625, -0.172], [0.505, -0.261, -0.243], [-1.453, 0.555, 0.124], [0.274, -1.527, 1.651], [0.154, -0.387, 2.029], [-0.045, -1.451, -0.405], [-2.288, 1.049, -0.416], [-0.743, 1.072, -1.651], [0.535, -2.064, -0.662]],
    dtype=torch.float64,
)  # fmt: skip
Y = torch.tensor(
    [[-0.063, 2.07, 2.313], [0.636, 1.573, 0.756], [1.354, 0.298, -0.467], [-0.542, 1.206, 2.698], [1.116, 0.48, 2.43], [1.09, 0.981, 1.102], [0.794, 0.652, -0.248], [1.301, 0.824, 1.854], [0.605, -0.625, 0.82], [2.26, 0.593, 0.188], [-0.055, 0.06, 0.66], [-0.044, 2.098, 0.674]],
    dtype=torch.float64,
)  # fmt: skip
IGNITE_FID = 3.937663748675578
TORCH_FIDELITY_MMD2 = 6.9085889407947345
PRDC = {
    1: (0.08333333333333333, 0.08333333333333333, 0.08333333333333333, 0.08333333333333333),
    2: (0.5, 0.6666666666666666, 0.3333333333333333, 0.3333333333333333),
    3: (0.8333333333333334, 0.6666666666666666, 0.5555555555555556, 0.8333333333333334),
    5: (0.9166666666666666, 0.75, 0.6, 0.8333333333333334),
}


def told(metric: torch.nn.Module, real: Tensor, fake: Tensor) -> torch.nn.Module:
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric


def frechet_by_eigh(a: Tensor, b: Tensor) -> float:
    """The definition in float64, by symmetric square roots."""
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)


def normals(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- FID ---------------------------------------------------------------------------------------------------------------


def test_fid_is_that_of_another_package() -> None:
    assert float(told(FrechetDistance(3), X, Y).compute()) == pytest.approx(IGNITE_FID, rel=1e-9)


def test_fid_of_gaussians_has_a_closed_form() -> None:
    """N(0, 1) and N(1, 9): (0 - 1)^2 + (1 - 3)^2 = 5, for samples brought to exactly these moments."""
    z = normals(400, 1, 0)
    z = (z - z.mean()) / z.std()
    assert float(told(FrechetDistance(1), z, 3 * z + 1).compute()) == pytest.approx(5, abs=1e-9)


@pytest.mark.parametrize(("n", "dim"), [(300, 16), (40, 128)])
def test_fid_agrees_with_a_float64_reference_also_below_full_rank(n: int, dim: int) -> None:
    a, b = normals(n, dim, 1), 1.2 * normals(n, dim, 2) + 0.1
    # Singular covariances leave eigenvalues of 1e-16, whose roots of 1e-8 add up: 6e-6 was the most ever seen.
    assert float(told(FrechetDistance(dim), a, b).compute()) == pytest.approx(frechet_by_eigh(a, b), abs=1e-5)


@pytest.mark.parametrize("n", [300, 20])
def test_equal_sets_have_fid_zero_and_never_less(n: int) -> None:
    a = normals(n, 64, 3)
    assert 0 <= float(told(FrechetDistance(64), a, a).compute()) < 1e-5


def test_results_are_float64_whatever_comes_in() -> None:
    """torchmetrics casts to the type of the features: bf16 features would give a bf16 FID."""
    a, b = normals(200, 4, 4).bfloat16(), normals(200, 4, 5).bfloat16() + 1
    value = told(FrechetDistance(4), a, b).compute()
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(frechet_by_eigh(a.double(), b.double()), abs=1e-8)


def test_no_trial_run_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `num_features` torchmetrics sends an image through the network to learn the dimension."""

    def forward(self: Precomputed, features: Tensor) -> Tensor:
        raise AssertionError("called while the metric was built")

    monkeypatch.setattr(Precomputed, "forward", forward)
    FrechetDistance(128)
    KernelDistance(128, standardise=True)
    InceptionScore()


def test_states_stay_on_the_cpu() -> None:
    metric = told(FrechetDistance(3), X, Y)
    assert {value.device.type for value in metric.metric_state.values()} == {"cpu"}


# -- KID and IS --------------------------------------------------------------------------------------------------------


def test_kid_is_that_of_another_package() -> None:
    from torchmetrics.image.kid import poly_mmd

    assert float(poly_mmd(X, Y)) == pytest.approx(TORCH_FIDELITY_MMD2, rel=1e-12)
    mean, spread = told(KernelDistance(3, standardise=False), X, Y).compute()
    # Subsets of 6 of the 12: an unbiased estimate of the same number.
    assert float(mean) == pytest.approx(TORCH_FIDELITY_MMD2, abs=4 * float(spread) / 10)
    assert float(spread) > 0


def test_kid_needs_no_thousand_samples_and_is_repeatable() -> None:
    """torchmetrics' subset size of 1,000 raises for fewer, and its subsets come from the global stream."""
    a, b = normals(60, 8, 6), normals(80, 8, 7) + 0.2
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = told(KernelDistance(8, standardise=True), a, b).compute()
    torch.manual_seed(2)
    second = told(KernelDistance(8, standardise=True), a, b).compute()
    assert first == second
    torch.manual_seed(1)
    assert torch.equal(before, torch.get_rng_state())


def test_standardised_kid_does_not_depend_on_the_unit_of_the_features() -> None:
    a, b = normals(60, 8, 6), normals(60, 8, 7) + 0.2
    one = told(KernelDistance(8, standardise=True), a, b).compute()[0]
    thousand = told(KernelDistance(8, standardise=True), 1000 * a, 1000 * b).compute()[0]
    moved = told(KernelDistance(8, standardise=True), a + 50, b + 50).compute()[0]
    assert float(one) == pytest.approx(float(thousand), rel=1e-9)
    assert float(one) == pytest.approx(float(moved), rel=1e-9)
    assert float(told(KernelDistance(8, standardise=False), 1000 * a, 1000 * b).compute()[0]) > 1e6


def test_inception_score_by_hand() -> None:
    """Two sure classes in equal parts: exp(log 2) = 2; the same class always, or no certainty at all: 1."""
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]]).repeat(500, 1)
    assert float(told(InceptionScore(), sure, sure).compute()[0]) == pytest.approx(
        2, abs=2e-2
    )  # splits of 100 are not exactly half and half
    assert float(told(InceptionScore(), sure, sure[:1].expand(1000, 2)).compute()[0]) == pytest.approx(1, abs=1e-9)
    assert float(told(InceptionScore(), sure, torch.zeros(1000, 2)).compute()[0]) == pytest.approx(1, abs=1e-9)


def test_inception_score_takes_logits_as_they_are() -> None:
    """p = (3/4, 1/4) and (1/4, 3/4) in equal parts: exp(3/4 ln 3/2 + 1/4 ln 1/2) = 1.1397; as bytes it would be 1."""
    logits = torch.tensor([[0.75, 0.25], [0.25, 0.75]]).log().repeat(5000, 1)
    assert float(told(InceptionScore(), logits, logits).compute()[0]) == pytest.approx(1.139754, abs=1e-3)


# -- precision, recall, density, coverage ------------------------------------------------------------------------------


@pytest.mark.parametrize("k", PRDC)
def test_prdc_is_that_of_its_package(k: int) -> None:
    scores = {**told(PrecisionRecall(k), X, Y).compute(), **told(DensityCoverage(k), X, Y).compute()}
    assert tuple(map(float, scores.values())) == pytest.approx(PRDC[k], abs=1e-12)


def test_radii_by_hand() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]], dtype=torch.float64)
    assert radii(points, 1).tolist() == [1, 1, 2, 4]
    assert radii(points, 2).tolist() == [3, 2, 3, 6]


def test_a_ball_is_open() -> None:
    """Samples exactly on the rim do not count: real points 0 and 1 with radius 1, samples at 2 and 5."""
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [5.0]])
    assert float(told(PrecisionRecall(1), real, fake).compute()["precision"]) == 0


def test_rows_in_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normals(70, 4, 8), normals(50, 4, 9)
    whole = {**told(PrecisionRecall(), a, b).compute(), **told(DensityCoverage(), a, b).compute()}
    monkeypatch.setattr("gankit.measure.metrics.neighbours.ROWS", 7)
    assert {**told(PrecisionRecall(), a, b).compute(), **told(DensityCoverage(), a, b).compute()} == whole


def test_too_few_samples_for_k_neighbours() -> None:
    with pytest.raises(InputError, match="needs more than 3 samples"):
        told(PrecisionRecall(3), X[:3], Y).compute()


# -- near-duplicates ---------------------------------------------------------------------------------------------------


def images(n: int, seed: int, channels: int = 1) -> Tensor:
    noise = torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(noise, scale_factor=4) * 255).to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_copies_are_found_also_changed_ones_and_ones_of_repeated_images(channels: int) -> None:
    train, fresh = images(200, 0, channels), images(50, 1, channels)
    train = torch.cat([train, train[:20]])  # a training set with exact duplicates in it
    noise = torch.randint(-10, 11, train[:50].shape, generator=torch.Generator().manual_seed(2))
    noisy = (train[:50].int() + noise).clamp(0, 255).to(torch.uint8)
    dim = (train[:50].float() * 0.5 + 20).to(torch.uint8)
    real = thumbnails(train)
    for samples, share in ((train[:50], 1.0), (noisy, 1.0), (dim, 1.0), (fresh, 0.0), (torch.cat([fresh, noisy]), 0.5)):
        assert float(told(NearDuplicates(), real, thumbnails(samples)).compute()) == share


def test_a_training_set_with_twins_still_has_copies() -> None:
    """Every image is there twice, once a little changed: the nearest neighbour says nothing about the scale."""
    train = images(200, 0)
    noise = torch.randint(-6, 7, train.shape, generator=torch.Generator().manual_seed(4))
    twins = (train.int() + noise).clamp(0, 255).to(torch.uint8)
    samples = (train[:50].int() + noise[50:100]).clamp(0, 255).to(torch.uint8)
    real = thumbnails(torch.cat([train, twins]))
    assert float(told(NearDuplicates(), real, thumbnails(samples)).compute()) == 1


def test_nearest_and_spacing_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gankit.measure.metrics.duplicates.COLUMNS", 2)
    points = torch.tensor([[0.0, 0], [100, 0], [0, 90], [0, 0]])
    distance, index = nearest(torch.tensor([[1.0, 0], [0, 80]]), points)
    assert (distance.tolist(), index.tolist()) == ([1, 10], [0, 2])
    assert spacing(points, points, 1).tolist() == [90, 100, 90, 90]
    assert spacing(points, points, 2).tolist() == [100, 100, 90, 100]
    assert spacing(points[:2], points[:2], 2).tolist() == [float("inf")] * 2


def test_images_of_one_grey_do_not_divide_by_zero() -> None:
    flat = torch.full((60, 1, 16, 16), 7, dtype=torch.uint8)
    assert float(told(NearDuplicates(), thumbnails(images(60, 3)), thumbnails(flat)).compute()) == 0


# -- guards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_found(bad: float) -> None:
    """One NaN in 128 dimensions kills the process in torchmetrics' FID (LAPACK, exit 139)."""
    features = torch.rand(60, 128)
    assert flaw(features) is None
    features[7, 3] = bad
    assert flaw(features) == "are not finite: 1 of 60"


def test_constant_features_are_found() -> None:
    assert flaw(torch.full((60, 4), 0.25)) == "are all the same: 60 times one point of the feature space"
