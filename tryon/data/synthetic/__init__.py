"""Drawn people and garments with exact truth: parsing, DensePose, keypoints, flow, any person in any garment."""

from .garments import Garment, draw_garment
from .noise import corrupt_parsing
from .parts import Label
from .person import Person, draw_person
from .scene import Product, Rendering, photograph, render
from .writer import draw_sample, synthesize

__all__ = [
    "Garment",
    "Label",
    "Person",
    "Product",
    "Rendering",
    "corrupt_parsing",
    "draw_garment",
    "draw_person",
    "draw_sample",
    "photograph",
    "render",
    "synthesize",
]
