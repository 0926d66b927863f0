"""What a table says of a difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tryon.experiments.results import Results, tutor_at
from tryon.experiments.settings import FULL, VARIANTS
from tryon.experiments.tables import COLUMNS, tables
from tryon.metrics import MEASURES

IMITATE, TEACHER = VARIANTS[:2]


def of_pairs(**values: list[float]) -> dict:
    """Scores of some pairs, 1 in every measure that is not given."""
    count = len(next(iter(values.values())))
    pairs = [
        {"person": str(i), "garment": str(i)} | {name: values.get(name, [1.0] * count)[i] for name in MEASURES}
        for i in range(count)
    ]
    return {kind: {"pairs": pairs} for kind in ("unpaired", "paired")}


@pytest.fixture
def table() -> str:
    settings = replace(FULL, seeds=(0,), noise_levels=(0.0, 0.4), variants=(IMITATE, TEACHER), resamples=100)
    scores = {
        tutor_at(0): [of_pairs(ssim=[0.5, 0.6, 0.7])],
        tutor_at(0.4): [of_pairs(ssim=[0.5, 0.6, 0.7])],
        IMITATE.name: [of_pairs(ssim=[0.4, 0.5, 0.6], skin_error=[0.5, 0.5, 0.5])],
        TEACHER.name: [of_pairs(ssim=[0.7, 0.8, 0.9], end_point_error=[2.0, 2.0, 2.0], psnr=[0.0, 1.0, 2.0])],
    }
    return tables(Results(settings, scores), "a machine", "random")


def rows(table: str, heading: str) -> dict[str, dict[str, str]]:
    """Cells of a table by row and column."""
    text = table.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in lines}


def test_every_measure_has_a_column() -> None:
    assert tuple(measure for measure, *_ in COLUMNS) == MEASURES


def test_what_is_surely_better_is_bold_what_is_surely_worse_slanted_and_all_else_plain(table: str) -> None:
    found = rows(table, "Another's garment: difference from tutor, noise 0.4")
    assert found["teacher"]["SSIM"] == "**+0.200** (+0.200 to +0.200)"  # more is better
    assert found["imitate"]["SSIM"] == "*-0.100* (-0.100 to -0.100)"
    assert found["teacher"]["flow error, pixels"] == "*+1.00* (+1.00 to +1.00)"  # less is better
    assert found["imitate"]["skin, grey levels"] == "**-0.50** (-0.50 to -0.50)"
    assert found["teacher"]["PSNR, dB"].startswith("+0.00 (-")


def test_a_student_is_not_compared_with_itself(table: str) -> None:
    assert rows(table, "Another's garment: difference from imitate").keys() == {"teacher"}


def test_the_summary_counts_what_is_sure(table: str) -> None:
    found = rows(table, "In short")
    assert found["teacher"]["better and worse than tutor, noise 0.4"] == "1 and 1 of 7"
    assert found["imitate"]["better and worse than tutor, noise 0"] == "1 and 1 of 7"
    assert found["imitate"]["better and worse than imitate"] == ""
