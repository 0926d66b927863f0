"""Small runs on drawn people, of which demo and experiments are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.images import Size, open_image
from tryon.data.synthetic import synthesize
from tryon.engine import has_checkpoint
from tryon.metrics import dress_pair, true_photo
from tryon.models import TryOnModel
from tryon.precision import multiplies_bfloat16
from tryon.progress import Progress

DRAWING_PROCESSES = 2


def draw_people(out: Path, train: int, test: int, size: Size, seed: int, parsing_noise: float) -> None:
    """`synthesize` with progress, unless the folder is there: it is so only once it is whole."""
    if out.exists():
        return
    with Progress("synthesize", train + test, "people") as progress:
        synthesize(
            out,
            train=train,
            test=test,
            size=size,
            seed=seed,
            parsing_noise=parsing_noise,
            progress=progress.update,
            processes=DRAWING_PROCESSES,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread, which would wait for the core of who reads the data."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def small_config(stage: str, data: Path, out: Path, settle_norms: int, **options: Any) -> TrainConfig:
    """A stage's configuration with what makes little training go far, which goes on where it was stopped.

    Norms are settled of the models that dress people; others go on learning in the next stage.
    """
    return TrainConfig(
        data=data,
        out=out,
        settle_norms=0 if stage.endswith("warp") else settle_norms,
        keep_background=True,
        copy_mask=True,
        precision="bf16" if multiplies_bfloat16() else "fp32",
        resume=has_checkpoint(out / stage),
        **options,
    )


def dressed_columns(
    models: Mapping[str, tuple[TryOnModel, TryOnFolder]], pairs: list[tuple[str, str]]
) -> dict[str, list[Image.Image]]:
    """Columns of a contact sheet: person, garment, what each model makes of its folder's pairs, the truth."""
    _, folder = next(iter(models.values()))
    return {
        "person": [open_image(folder.photo_path(person), "RGB") for person, _ in pairs],
        "garment": [open_image(folder.garment_path(garment), "RGB") for _, garment in pairs],
        **{title: [dress_pair(model, of, *pair)[0] for pair in pairs] for title, (model, of) in models.items()},
        "truth": [true_photo(folder, *pair) for pair in pairs],
    }
