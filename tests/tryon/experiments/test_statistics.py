"""Intervals and paired differences, against cases that can be counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tryon.experiments.statistics import bootstrap_interval, paired_difference

RESAMPLES = 4000


def test_equal_values_leave_no_doubt() -> None:
    assert bootstrap_interval(np.full(7, 0.5), RESAMPLES) == (0.5, 0.5)


def test_the_mean_of_two_values_is_either_of_them_a_quarter_of_the_time() -> None:
    # More than 2.5 % at either end, so the interval reaches from one to the other.
    assert bootstrap_interval(np.array([1.0, 3.0]), RESAMPLES) == (1, 3)


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(2, 1, 400)
    error = values.std() / math.sqrt(len(values))
    low, high = bootstrap_interval(values, RESAMPLES)
    # A quantile of R draws has deviation sqrt(p (1 - p) / R) over the density, that of the normal at 1.96: 0.0584.
    deviation = math.sqrt(0.025 * 0.975 / RESAMPLES) / 0.0584 * error
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=4 * deviation)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=4 * deviation)


def test_the_same_values_have_the_same_interval() -> None:
    values = np.arange(9.0)
    assert bootstrap_interval(values, 100) == bootstrap_interval(values, 100)


def test_a_constant_difference_is_sure_whatever_people_and_seeds_score() -> None:
    scores = np.random.default_rng(1).normal(size=(3, 5))
    difference = paired_difference(scores + 0.25, scores, RESAMPLES)
    assert difference.mean == pytest.approx(0.25)
    assert difference.low == pytest.approx(0.25)
    assert difference.high == pytest.approx(0.25)
    assert difference.is_sure


def test_seeds_are_replicates_and_people_are_drawn() -> None:
    # Seeds that differ by +-1 for everybody cancel; people do not differ, so the interval has no width.
    scores = np.array([[1.0] * 4, [-1.0] * 4])
    difference = paired_difference(scores, np.zeros((2, 4)), RESAMPLES)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert difference.of_seeds == (1, -1)
    assert not difference.is_sure


def test_who_has_no_truth_does_not_count() -> None:
    scores = np.array([[1.0, math.nan, 3.0]])
    assert paired_difference(scores, np.zeros((1, 3)), RESAMPLES).mean == 2
