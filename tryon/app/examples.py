"""Drawn people and garments to try the page with: made when it starts, no photos."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tryon.data.images import Size
from tryon.data.synthetic import draw_sample, photograph, render
from tryon.data.synthetic.writer import TEST

SEED = 0
PEOPLE = (3, 5, 9, 2)  # of the seed's test people, some who show their bodies; garments of others
GARMENTS = (11, 13, 7, 4)


def draw_examples(folder: Path, size: Size) -> tuple[list[Path], list[Path]]:
    """Draw people and garments that they do not wear as PNG files; returns their paths."""
    people: list[Path] = []
    garments: list[Path] = []
    for index in (*PEOPLE, *GARMENTS):
        sample = draw_sample(SEED, TEST, index)
        product = photograph(sample.garment, *size)
        worn = index in PEOPLE
        path = folder / f"{'person' if worn else 'garment'} {index}.png"
        picture = render(sample.person, sample.garment, product).photo if worn else product.photo
        Image.fromarray(picture).save(path)
        (people if worn else garments).append(path)
    return people, garments
