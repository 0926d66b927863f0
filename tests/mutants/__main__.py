"""Make one small change of the code after the other, and see that a test notices each: `python -m tests.mutants`.

Changes are made in a copy of the repository, build/mutants. The tests of each area run on the code as it is first. The
exit code is 1 where a mutant survives, where one cannot be built, and where the table does not fit the code any more.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

from tests.mutants.mutant import Mutant
from tests.mutants.tree import FAILED, ROOT, BrokenError, Tree

# How each area is built and tested: see `Tree`.
AREAS = {
    **dict.fromkeys(("eager", "ops", "losses", "networks", "stages", "passes", "pictures"), "python"),
    **dict.fromkeys(("experiments", "metrics"), "python"),
    **{"triton": "triton", "cpu": "cpu", "cuda": "cuda"},
}


def mutants_of(area: str) -> tuple[Mutant, ...]:
    """The area's table."""
    table: tuple[Mutant, ...] = importlib.import_module(f"tests.mutants.{area}").MUTANTS
    return table


def misfits(areas: Sequence[str]) -> list[str]:
    """What of the tables does not fit the code any more."""
    found = []
    for area in areas:
        for mutant in mutants_of(area):
            try:
                mutant.mutated((ROOT / mutant.file).read_text())
            except (ValueError, OSError) as error:
                found.append(f"{area}: {error}")
    return found


def check_unchanged(tree: Tree, area: str, mutants: Sequence[Mutant]) -> None:
    """Build the code as it is, and see that all tests which are to notice a change pass."""
    kind = AREAS[area]
    tree.build("cuda" if kind == "cuda" else "cpu")
    for tests, isa in dict.fromkeys((mutant.tests, mutant.isa) for mutant in mutants):
        outcome = tree.test(kind, tests, isa)
        if outcome.code == FAILED:
            raise BrokenError(f"the code as it is fails pytest {tests}: {outcome.what}")


def try_mutant(tree: Tree, area: str, mutant: Mutant) -> tuple[bool, str]:
    """Whether a test noticed the change, and which."""
    kind = AREAS[area]
    with tree.changed(mutant):
        tree.build(kind, mutant.isa)
        outcome = tree.test(kind, mutant.tests, mutant.isa)
    return outcome.code == FAILED, outcome.what


def line(area: str, number: int, mutant: Mutant, verdict: str, seconds: float) -> str:
    change = " ".join(f"{mutant.old} -> {mutant.new}".split())
    return f"| {area} {number} | {mutant.file} | `{change}` | {verdict} | {seconds:.0f} s |"


def run(tree: Tree, area: str, numbers: Sequence[int]) -> int:
    """Try these mutants of an area; how many were not noticed."""
    numbered = [(number, mutants_of(area)[number - 1]) for number in numbers]
    try:
        check_unchanged(tree, area, [mutant for _, mutant in numbered])
    except BrokenError as error:
        print(f"{area}: {error}", flush=True)
        return len(numbered)
    missed = 0
    for number, mutant in numbered:
        start = time.perf_counter()
        try:
            noticed, by = try_mutant(tree, area, mutant)
            verdict = by if noticed else f"SURVIVES pytest {mutant.tests}"
        except BrokenError as error:
            noticed, verdict = False, f"BROKEN: {error}"
        missed += not noticed
        print(line(area, number, mutant, verdict, time.perf_counter() - start), flush=True)
    return missed


def chosen(texts: Sequence[str]) -> dict[str, list[int]]:
    """Numbers of mutants by area, from AREA or AREA:NUMBER; all of them from nothing."""
    found: dict[str, list[int]] = {}
    for text in texts or AREAS:
        area, _, number = text.partition(":")
        if area not in AREAS:
            raise ValueError(f'got "{area}", expected one of {", ".join(AREAS)}')
        count = len(mutants_of(area))
        if number and not (number.isdecimal() and 1 <= int(number) <= count):
            raise ValueError(f'{area}: got "{number}", expected a number from 1 to {count}')
        found.setdefault(area, []).extend([int(number)] if number else range(1, count + 1))
    return found


def main() -> int:
    """Try the mutants asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n\n")[0])
    parser.add_argument("mutants", nargs="*", metavar="AREA[:NUMBER]", help=f"AREA is one of {', '.join(AREAS)}")
    try:
        numbers = chosen(parser.parse_args().mutants)
    except ValueError as error:
        parser.error(str(error))
    wrong = misfits(list(numbers))
    if wrong:
        print("The table does not fit the code:", *wrong, sep="\n")
        return 1
    tree, start = Tree(ROOT / "build/mutants"), time.perf_counter()
    tree.copy()
    tree.build("cpu")
    print("| mutant | file | change | noticed by | time |", "| --- | --- | --- | --- | --- |", sep="\n", flush=True)
    missed = sum(run(tree, area, of_area) for area, of_area in numbers.items())
    count = sum(map(len, numbers.values()))
    print(f"{count - missed} of {count} noticed in {(time.perf_counter() - start) / 60:.0f} minutes")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
