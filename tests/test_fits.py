"""Fits: they give back the law that made the runs, and say so where they cannot."""

import math

import numpy as np
import pytest
from scipy.optimize import check_grad

from payattention import fits
from payattention.scaling_laws import BESIROGLU_2024, HOFFMANN_2022, AdditiveLaw

# Where Hoffmann et al.'s runs lie, and where the book's do
CHINCHILLA = {"parameters": (7e7, 1.6e10), "tokens": (5e9, 5e11)}
BOOK = {"parameters": (2e3, 2e5), "tokens": (8e4, 8e6)}
BOOKS_LAW = AdditiveLaw(E=2.0, A=53.0, B=78.0, alpha=0.56, beta=0.36)


def runs(law, region, count, *, noise=0.0, seed=0):
    generator = np.random.default_rng(seed)
    n, d = (
        np.exp(generator.uniform(*np.log(region[name]), count)) for name in ("parameters", "tokens")
    )
    loss = np.array([law.loss(a, b) for a, b in zip(n, d, strict=True)])
    return n, d, loss * np.exp(noise * generator.standard_normal(count))


@pytest.mark.parametrize(
    ("law", "region"),
    [(BESIROGLU_2024, CHINCHILLA), (HOFFMANN_2022, CHINCHILLA), (BOOKS_LAW, BOOK)],
)
def test_without_noise_the_constants_come_back(law, region):
    found = fits.additive(*runs(law, region, 61), starts=5)
    for name in ("E", "A", "B", "alpha", "beta"):
        assert getattr(found, name) == pytest.approx(getattr(law, name), rel=2e-3), name


def test_one_per_cent_of_noise_and_240_runs():
    exponents = np.array(
        [
            (found.alpha, found.beta)
            for seed in range(12)
            for found in [
                fits.additive(
                    *runs(BESIROGLU_2024, CHINCHILLA, 240, noise=0.01, seed=seed),
                    near=BESIROGLU_2024,
                )
            ]
        ]
    )
    # twelve estimates scatter; their median by a third of that
    assert np.median(exponents[:, 0]) == pytest.approx(BESIROGLU_2024.alpha, rel=0.04)
    assert np.median(exponents[:, 1]) == pytest.approx(BESIROGLU_2024.beta, rel=0.06)


def test_where_a_fit_starts_does_not_matter():
    table = runs(BESIROGLU_2024, CHINCHILLA, 240, noise=0.01)
    ends = [
        fits.objective(law, *table)
        for law in (
            fits.additive(*table, starts=3),
            fits.additive(*table, starts=20),
            fits.additive(*table, near=HOFFMANN_2022),
        )
    ]
    assert max(ends) / min(ends) - 1 < 1e-6
    assert max(ends) < fits.objective(BESIROGLU_2024, *table)


def test_a_run_that_went_wrong_does_not_draw_the_law_to_itself():
    n, d, loss = runs(BOOKS_LAW, BOOK, 60, noise=1e-4)
    loss[7] *= 1.5
    found = fits.additive(n, d, loss, starts=5)
    assert found.alpha == pytest.approx(BOOKS_LAW.alpha, rel=0.02)
    assert found.beta == pytest.approx(BOOKS_LAW.beta, rel=0.02)


def test_floor_can_be_left_out():
    n, d, loss = runs(AdditiveLaw(E=0.0, A=40.0, B=60.0, alpha=0.3, beta=0.25), BOOK, 40)
    found = fits.additive(n, d, loss, floor=False, starts=5)
    assert found.E == 0
    assert found.alpha == pytest.approx(0.3, rel=1e-3)
    assert found.beta == pytest.approx(0.25, rel=1e-3)


def test_power_law_with_a_floor_and_without():
    x = np.geomspace(1e3, 1e7, 9)
    found = fits.power_law(x, 1.5 + (2e4 / x) ** 0.4)
    assert (found.floor, found.scale, found.exponent) == pytest.approx((1.5, 2e4, 0.4), rel=1e-3)
    bare = fits.power_law(x, (2e4 / x) ** 0.076, floor=False)
    assert (bare.floor, bare.scale, bare.exponent) == pytest.approx((0, 2e4, 0.076), rel=1e-3)
    assert bare.at(2e4) == pytest.approx(1)


def test_huber_is_a_square_within_and_a_line_beyond():
    d = fits.DELTA
    assert fits.huber(np.array([d / 2, -d / 2])).tolist() == [d**2 / 8] * 2
    assert fits.huber(np.array([3 * d]))[0] == pytest.approx(d * 2.5 * d)


@pytest.mark.parametrize("floor", [True, False])
def test_gradient_is_that_of_the_objective(floor):
    n, d, loss = runs(BOOKS_LAW, BOOK, 23, noise=0.01)
    centred = np.array([np.log(x) - np.log(x).mean() for x in (n, d)])
    theta = np.array([*([0.5] if floor else []), -0.3, 0.2, 0.4, 0.3])

    def value(theta):
        return 1e6 * fits._objective(theta, centred, np.log(loss), floor=floor)[0]

    def gradient(theta):
        return 1e6 * fits._objective(theta, centred, np.log(loss), floor=floor)[1]

    size = np.linalg.norm(gradient(theta))
    assert check_grad(value, gradient, theta) < 1e-5 * size


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"loss": [1.0] * 5}, r"loss: got shape \(5,\); expected as many as parameters"),
        ({"tokens": [1.0] * 7 + [0.0]}, "tokens: got a number that is not positive"),
        ({"loss": [1.0] * 7 + [math.nan]}, "loss: got a number that is not positive"),
        ({"parameters": [5.0] * 8}, "an input is the same in all runs"),
    ],
)
def test_bad_input_is_named(changes, complaint):
    columns = {name: np.arange(1.0, 9) for name in ("parameters", "tokens", "loss")} | changes
    with pytest.raises(ValueError, match=complaint):
        fits.additive(**columns)


def test_too_few_runs_and_no_starts():
    with pytest.raises(ValueError, match="got 5 runs; expected at least 6"):
        fits.additive(*[np.arange(1.0, 6)] * 3)
    with pytest.raises(ValueError, match="x: got 3 runs; expected at least 4"):
        fits.power_law([1, 2, 3], [3, 2, 1])
    with pytest.raises(ValueError, match="starts: got 0"):
        fits.power_law([1, 2, 3, 4], [4, 3, 2, 1], starts=0)
