"""What was measured of every model, by seed and pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tryon.experiments.settings import TUTOR, Settings
from tryon.experiments.statistics import Array, Difference, paired_difference

KINDS = ("unpaired", "paired")
Scores = Mapping[str, Any]
"""Of a model by kind of pairs: what `Evaluation` holds."""


def tutor_at(level: float) -> str:
    """Name of the tutor that is shown parsing of a noise level."""
    return f"{TUTOR}, noise {level:g}"


def model_names(settings: Settings) -> list[str]:
    """The tutor at each noise level, and the students."""
    return [*map(tutor_at, settings.noise_levels), *(variant.name for variant in settings.variants)]


@dataclass(frozen=True)
class Results:
    """Scores of an experiment.

    Attributes:
        settings: of it.
        scores: of each of `model_names`, by seed.
    """

    settings: Settings
    scores: Mapping[str, Sequence[Scores]]

    def values(self, model: str, kind: str, measure: str) -> Array:
        """Seeds x pairs; NaN where a pair has no such truth."""
        return np.array(
            [[pair[measure] for pair in scores[kind]["pairs"]] for scores in self.scores[model]], dtype=np.float64
        )

    def means(self, model: str, kind: str, measure: str) -> Array:
        """The mean over pairs for each seed."""
        return np.asarray(np.nanmean(self.values(model, kind, measure), axis=1))

    def difference(self, model: str, reference: str, kind: str, measure: str) -> Difference:
        """How much more a model scores than another."""
        scores, others = (self.values(name, kind, measure) for name in (model, reference))
        return paired_difference(scores, others, self.settings.resamples)

    def pairs(self, kind: str) -> list[tuple[str, str]]:
        """(person, garment) by their ids."""
        first = next(iter(self.scores.values()))[0]
        return [(pair["person"], pair["garment"]) for pair in first[kind]["pairs"]]
