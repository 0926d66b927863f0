"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tryon.data.images import format_size
from tryon.errors import InputError
from tryon.experiments.results import KINDS, Results, model_names, tutor_at
from tryon.experiments.settings import IMITATE
from tryon.experiments.statistics import CONFIDENCE, Difference
from tryon.files import whole_file

BEGIN, END = "<!-- written by tryon experiment distillation -->", "<!-- end of the experiment -->"

# Measure, column title, digits, and whether more is better.
COLUMNS = (
    ("ssim", "SSIM", 3, True),
    ("psnr", "PSNR, dB", 2, True),
    ("perceptual", "perceptual distance", 4, False),
    ("end_point_error", "flow error, pixels", 2, False),
    ("mask_overlap", "garment IoU", 3, True),
    ("skin_error", "skin, grey levels", 2, False),
    ("kept_error", "what stays, grey levels", 2, False),
)
HEADINGS = {"unpaired": "Another's garment", "paired": "Their own garment"}


def tables(results: Results, machine: str, perceptual: str) -> str:
    """All tables.

    Args:
        results: of the experiment.
        machine: where it ran.
        perceptual: where the perceptual distance's features came from.
    """
    settings = results.settings
    levels = (settings.training_noise, settings.noise_levels[0], settings.noise_levels[-1])
    references = (*dict.fromkeys(tutor_at(level) for level in levels), IMITATE)
    parts = [_facts(results, machine, perceptual), "#### In short, another's garment", _verdicts(results, references)]
    for kind in KINDS:
        parts += [
            f"#### {HEADINGS[kind]}: mean over pairs and seeds (smallest and largest seed)",
            _means(results, kind),
        ]
        for reference in references:
            parts += [
                f"#### {HEADINGS[kind]}: difference from {reference}, with {CONFIDENCE:.0%} interval over people",
                _differences(results, reference, kind),
            ]
    return "\n\n".join(parts)


def write_into(document: Path, text: str) -> None:
    """Put the tables where a document has a place for them."""
    before, after = _around(document)
    with whole_file(document) as file:
        file.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}".encode())


def check_document(document: Path) -> None:
    """Raise InputError where a document has no place for tables."""
    _around(document)


def _around(document: Path) -> tuple[str, str]:
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{document}: cannot be read as text ({error})") from None
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise InputError(f"{document}: found no lines '{BEGIN}' and '{END}', wanted both, to write between them")
    return before, after


def _facts(results: Results, machine: str, perceptual: str) -> str:
    settings = results.settings
    steps = ", ".join(f"{count} of `{stage}`" for stage, count in settings.steps.items())
    return "\n".join(
        (
            f"- {settings.train_people} drawn people to train on, parsed at noise {settings.training_noise:g};"
            f" {settings.test_people} others to test with; {format_size(settings.size)}",
            f"- width {settings.width:g}, batch {settings.batch}, rate {settings.learning_rate:g}; steps: {steps}",
            f"- seeds {', '.join(map(str, settings.seeds))}; perceptual features: {perceptual}; {machine}",
        )
    )


def _verdicts(results: Results, references: Sequence[str]) -> str:
    """For each student, in how many measures it is better and worse than each reference for sure."""
    header = ("", *(f"better and worse than {reference}" for reference in references))
    rows = []
    for variant in results.settings.variants:
        cells = []
        for reference in references:
            signs = [
                _sign(results.difference(variant.name, reference, "unpaired", measure), more)
                for measure, _, _, more in COLUMNS
            ]
            same = variant.name == reference
            cells.append("" if same else f"{signs.count(1)} and {signs.count(-1)} of {len(signs)}")
        rows.append((variant.name, *cells))
    return _table(header, rows)


def _means(results: Results, kind: str) -> str:
    rows = []
    for model in model_names(results.settings):
        cells = []
        for measure, _, digits, _ in COLUMNS:
            means = results.means(model, kind, measure)
            spread = f" ({means.min():.{digits}f} to {means.max():.{digits}f})" if len(means) > 1 else ""
            cells.append(f"{means.mean():.{digits}f}{spread}")
        rows.append((model, *cells))
    return _table(("", *(title for _, title, _, _ in COLUMNS)), rows)


def _differences(results: Results, reference: str, kind: str) -> str:
    """Bold where the student is better for sure, slanted where it is worse."""
    rows = []
    for variant in results.settings.variants:
        if variant.name == reference:
            continue
        cells = []
        for measure, _, digits, more in COLUMNS:
            difference = results.difference(variant.name, reference, kind, measure)
            mark = {1: "**", 0: "", -1: "*"}[_sign(difference, more)]
            interval = f"({difference.low:+.{digits}f} to {difference.high:+.{digits}f})"
            cells.append(f"{mark}{difference.mean:+.{digits}f}{mark} {interval}")
        rows.append((variant.name, *cells))
    return _table(("", *(title for _, title, _, _ in COLUMNS)), rows)


def _sign(difference: Difference, more_is_better: bool) -> int:
    """1 for better, -1 for worse, 0 for unsure."""
    if not difference.is_sure:
        return 0
    return 1 if (difference.mean > 0) == more_is_better else -1


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
