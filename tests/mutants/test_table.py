from __future__ import annotations

import shlex

import pytest

from tests.mutants.__main__ import AREAS, chosen, misfits, mutants_of
from tests.mutants.mutant import Mutant
from tests.mutants.tree import ROOT


@pytest.mark.parametrize("area", AREAS)
def test_every_mutant_changes_one_place_of_the_code_and_names_tests_that_are_there(area: str) -> None:
    assert misfits([area]) == []
    for mutant in mutants_of(area):
        assert (ROOT / shlex.split(mutant.tests)[0]).exists(), mutant


@pytest.mark.parametrize(("old", "count"), [("absent", 0), ("twice", 2)])
def test_a_text_that_does_not_occur_once_is_named(old: str, count: int) -> None:
    mutant = Mutant("code.py", old, "new", "tests")
    with pytest.raises(ValueError, match=f"code.py: found {count} times, expected once: '{old}'"):
        mutant.mutated("twice, twice and once")


def test_mutants_are_chosen_by_area_and_number() -> None:
    assert list(chosen([])) == list(AREAS)
    assert chosen(["losses:2", "eager:1", "losses:3"]) == {"losses": [2, 3], "eager": [1]}
    with pytest.raises(ValueError, match='got "nothing", expected one of eager'):
        chosen(["nothing"])
    with pytest.raises(ValueError, match='eager: got "0", expected a number from 1 to'):
        chosen(["eager:0"])
