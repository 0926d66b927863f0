"""Mutants of the cuda kernels."""

from __future__ import annotations

from tests.mutants.mutant import Mutant


MUTANTS = ()
