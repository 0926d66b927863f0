"""What a mutant is: one small change of the code that some test must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change, and the tests that must fail with it.

    Attributes:
        file: relative to the repository.
        old: text that occurs in it exactly once.
        new: what takes its place.
        tests: arguments of pytest, as in a shell.
        isa: of the CPU kernels, the instruction set that is compiled anew and tested.
    """

    file: str
    old: str
    new: str
    tests: str
    isa: str = "avx2"

    def mutated(self, text: str) -> str:
        """The file's text with the change; ValueError where the table no longer fits it."""
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"{self.file}: found {count} times, expected once: {self.old!r}")
        if self.new == self.old:
            raise ValueError(f"{self.file}: nothing changes: {self.old!r}")
        return text.replace(self.old, self.new)
