"""Experiments on drawn people, whose truth is known."""

from tryon.experiments.distillation import ExperimentResult, run_distillation
from tryon.experiments.settings import FULL, QUICK, VARIANTS, Settings, Variant

__all__ = ["FULL", "QUICK", "VARIANTS", "ExperimentResult", "Settings", "Variant", "run_distillation"]
