"""Paired differences, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE = 0.95
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Difference:
    """A mean difference of two models, person by person.

    Attributes:
        mean: over people and seeds.
        low: lower end of the interval that holds it with 95 % confidence.
        high: its upper end.
        of_seeds: the mean over people for each seed.
    """

    mean: float
    low: float
    high: float
    of_seeds: tuple[float, ...]

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def bootstrap_interval(values: Array, resamples: int) -> tuple[float, float]:
    """95 % interval of the mean of n values: the middle of the means of n values drawn from them with replacement.

    Efron's percentile interval; the draws have a fixed seed.
    """
    draws = np.random.default_rng(BOOTSTRAP_SEED).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_difference(scores: Array, reference: Array, resamples: int) -> Difference:
    """How much more one model scores than another with the same people.

    Seeds are replicates: a person counts by the mean over seeds, and the interval is over people. How the seeds differ
    it does not tell; `of_seeds` does.

    Args:
        scores: seeds x people; NaN where a person has no such score, which does not count.
        reference: of the other model, the same shape.
        resamples: of the bootstrap.
    """
    differences = scores - reference
    differences = differences[:, np.isfinite(differences).all(axis=0)]
    low, high = bootstrap_interval(differences.mean(axis=0), resamples)
    return Difference(float(differences.mean()), low, high, tuple(map(float, differences.mean(axis=1))))
