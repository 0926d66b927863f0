"""Mutants of the triton kernels."""

from __future__ import annotations

from tests.mutants.mutant import Mutant


MUTANTS = ()
