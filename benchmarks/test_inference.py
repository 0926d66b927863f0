"""A picture dressed beside the published form, networks of full width; and the time at the size of today's photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from statistics import median
from time import perf_counter

import torch

from benchmarks.plain.copies import copy_network
from benchmarks.plain.networks import Generator, WarpNetwork
from benchmarks.plain.people import STUDENT_CONDITION, STUDENT_INPUT, dress, student_input, warp
from tryon.data.sample import Garment, Person
from tryon.models import Student
from tryon.networks.frozen import freeze
from tryon.precision import LOWERED, autocast, multiplies_bfloat16

SIZE, LARGE = (256, 192), (1024, 768)
ROUNDS = 9
Form = Callable[[Person, Garment], torch.Tensor]
LEAST = {"fp32": 1.0, "bf16": 2.0}  # times as fast
FAR = {"fp32": 1e-3, "bf16": 0.02}  # mean difference of pictures in [-1, 1]


def pair(size: tuple[int, int]) -> tuple[Person, Garment]:
    """One drawn person and garment."""
    generator = torch.Generator().manual_seed(0)
    photo, garment = (torch.rand(1, 3, *size, generator=generator) * 2 - 1 for _ in range(2))
    return Person(photo, None, None, None), Garment(garment, torch.ones(1, 1, *size))


class Plain:
    """The published form of a student, with stock operations."""

    def __init__(self, ours: Student) -> None:
        assert ours.generator is not None
        self.warp = copy_network(ours.warp, WarpNetwork(STUDENT_CONDITION, 1.0), "student_warp").eval()
        self.generator = copy_network(ours.generator, Generator(STUDENT_INPUT, 1.0), "student_generator").eval()

    def __call__(self, person: Person, garment: Garment) -> torch.Tensor:
        """The picture."""
        warped = warp(self.warp, garment, person.photo)
        return dress(self.generator, student_input(person.photo, warped), warped, None).image


class Frozen:
    """As `TryOn` has it."""

    def __init__(self, ours: Student, precision: str) -> None:
        self.model, self.precision = deepcopy(ours), precision
        freeze(self.model, LOWERED[precision])

    def __call__(self, person: Person, garment: Garment) -> torch.Tensor:
        """The picture."""
        with autocast(self.precision, "cpu"):
            return self.model(person, garment).image


def seconds(forms: Mapping[str, Form], inputs: tuple[Person, Garment], rounds: int) -> dict[str, float]:
    """Medians, measured in turns after a first call."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(1 + rounds):
        for name, form in forms.items():
            start = perf_counter()
            form(*inputs)
            taken[name].append(perf_counter() - start)
    return {name: median(times[1:]) for name, times in taken.items()}


@torch.inference_mode()
def test_a_picture_is_the_published_one_and_quicker() -> None:
    """Pictures are compared before times."""
    torch.manual_seed(0)
    student = Student(width=1.0, generator=True).eval()
    precisions = [name for name in LEAST if name == "fp32" or multiplies_bfloat16()]
    forms: dict[str, Plain | Frozen] = {"plain": Plain(student)}
    forms |= {name: Frozen(student, name) for name in precisions}
    inputs = pair(SIZE)
    expected = forms["plain"](*inputs)
    for name in precisions:
        assert (forms[name](*inputs) - expected).abs().mean() <= FAR[name]
    taken = seconds(forms, inputs, ROUNDS)
    large = seconds({precisions[-1]: forms[precisions[-1]]}, pair(LARGE), 1)
    for name, value in taken.items():
        print(f"{SIZE[0]} x {SIZE[1]}, {name}: {value * 1e3:.0f} ms, {taken['plain'] / value:.1f} x as fast")
    for name, value in large.items():
        print(f"{LARGE[0]} x {LARGE[1]}, {name}: {value:.1f} s")
    for name in precisions:
        assert taken["plain"] / taken[name] >= LEAST[name]
