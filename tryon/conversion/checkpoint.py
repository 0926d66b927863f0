"""A pair of published checkpoints to a model folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError

from tryon.card import write_card
from tryon.conversion.published import convert_state_dict, published_role
from tryon.conversion.state_dict import read_state_dict
from tryon.data.labels import VITON
from tryon.errors import InputError
from tryon.weights import NO_LABELS, ModelRecord, save_model

PUBLISHED_SIZE = (256, 192)


def convert_checkpoints(warp: Path, generator: Path, out: Path) -> ModelRecord:
    """Make a model folder of a published warping network and the generator trained with it.

    Args:
        warp: published file of the warping network; it decides between tutor and student.
        generator: published file of the generator.
        out: model folder to make; it may exist if it is empty. It appears whole or not at all.

    Returns:
        The folder's record.

    Raises:
        InputError: a file is missing, damaged or not what it should be, or the folder cannot be made; the message
            names the file and the first keys that do not fit.
    """
    _check_empty(out)
    warp_state = read_state_dict(warp)
    role = published_role(warp_state, str(warp))
    states = {
        "warp": convert_state_dict(warp_state, f"{role}_warp", f"{warp}, as a {role}'s warping network"),
        "generator": convert_state_dict(
            read_state_dict(generator), f"{role}_generator", f"{generator}, as a {role}'s generator"
        ),
    }
    record = published_record(role)
    with torch.device("meta"):
        model = record.build()
    for name, state in states.items():
        model.get_submodule(name).load_state_dict(state, assign=True)
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".part") as scratch:
            save_model(Path(scratch) / out.name, model, record)
            write_card(Path(scratch) / out.name)
            (Path(scratch) / out.name).replace(out)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{out}: cannot be written ({error})") from error
    return record


def published_record(role: str) -> ModelRecord:
    """What is known of a published model, which was trained on VITON."""
    is_tutor = role == "tutor"
    return ModelRecord(
        role=role,
        width=1.0,
        size=PUBLISHED_SIZE,
        densepose=is_tutor,
        generator=True,
        label_scheme=VITON.name if is_tutor else NO_LABELS,
        perceptual="published",
        stage=role,
        step=0,
    )


def _check_empty(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: already there and not an empty folder, wanted a new or empty one")
