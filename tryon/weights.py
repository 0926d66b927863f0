"""Model folders: ``model.json`` says what the model is, safetensors files hold its parameters.

A folder is self-contained: everything needed to build the networks and to feed them as they were trained is in
``model.json``. Nothing is ever initialised at random in place of a missing file.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from tryon.data.images import Size
from tryon.errors import InputError
from tryon.files import whole_file
from tryon.models import Student, TryOnModel, Tutor

RECORD_FILE = "model.json"
FORMAT = 1
ALIGNMENT = "align_corners=True"
"""What the networks compute. Weights of the other alignment would run just as well, with worse results."""

NO_LABELS = "none"
"""Label scheme of a model from elsewhere that sees no parsing."""

_LATER = ("keep_background", "copy_mask")  # what models recorded before there were such options do without
_KEYS_SHOWN = 3


@dataclass(frozen=True)
class ModelRecord:
    """What a model folder holds.

    Attributes:
        role: "tutor" or "student".
        width: channel scale of the networks.
        size: (height, width) of the training images.
        densepose: whether the tutor's condition has DensePose channels (False for a student).
        generator: whether there is a generator beside the warp network.
        label_scheme: parsing scheme of the training data, or `NO_LABELS`.
        perceptual: where the perceptual loss's features came from.
        stage: the stage that trained it.
        step: training step of these weights; 0 where they were converted from published ones.
        keep_background: whether the tutor's generator sees the background that stays (False for a student).
        copy_mask: whether the generator has a copy mask.
        alignment: how sampling maps are normalised.
        format: version of this record.
    """

    role: str
    width: float
    size: Size
    densepose: bool
    generator: bool
    label_scheme: str
    perceptual: str
    stage: str
    step: int
    keep_background: bool = False
    copy_mask: bool = False
    alignment: str = ALIGNMENT
    format: int = FORMAT

    def build(self) -> TryOnModel:
        """Networks of this shape, parameters not yet loaded."""
        if self.role == "tutor":
            return Tutor(
                width=self.width,
                densepose=self.densepose,
                generator=self.generator,
                copy_mask=self.copy_mask,
                keep_background=self.keep_background,
            )
        return Student(width=self.width, generator=self.generator, copy_mask=self.copy_mask)


def save_model(folder: Path, model: TryOnModel, record: ModelRecord) -> None:
    """Write a model folder. Each file appears whole or not at all; the record comes last, and tells their step."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in _networks(model).items():
        state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
        with whole_file(folder / f"{name}.safetensors") as file:
            file.write(save(state))
    write_json(folder / RECORD_FILE, asdict(record))


def copy_model(folder: Path, out: Path) -> None:
    """Copy the files of a model, and nothing else, to another folder, so that each appears whole or not at all.

    Raises:
        InputError: a file of the model is missing; nothing is written.
        OSError: one cannot be written.
    """
    names = ["warp.safetensors", *(["generator.safetensors"] if read_record(folder).generator else []), RECORD_FILE]
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such weights file")
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() == folder.resolve():
        return
    for name in names:
        with (folder / name).open("rb") as source, whole_file(out / name) as file:
            shutil.copyfileobj(source, file)


def load_model(folder: Path, role: str | None = None) -> tuple[TryOnModel, ModelRecord]:
    """Read a model folder.

    Args:
        folder: written by `save_model`.
        role: the role it must have, if that matters.

    Raises:
        InputError: a file is missing, damaged, or does not fit; the message names it.
    """
    record = read_record(folder)
    if role is not None and record.role != role:
        raise InputError(f"{folder}: found a {record.role}, wanted a {role}")
    model = record.build()
    for name, network in _networks(model).items():
        path = folder / f"{name}.safetensors"
        try:
            state = load_file(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such weights file") from None
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: cannot be read as safetensors ({error})") from None
        load_state(network, state, path)
    return model, record


def read_record(folder: Path) -> ModelRecord:
    """Read and check ``model.json``."""
    path = folder / RECORD_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        missing = [field.name for field in fields(ModelRecord) if field.name not in (*values, *_LATER)]
        if missing:  # a default must not stand in for what nobody recorded, above all for the alignment
            raise InputError(f"{path}: found no {', '.join(missing)}, wanted the whole record of a model")
        values["size"] = tuple(values["size"])
        record = ModelRecord(**values)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, wanted the record of a trained model") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a model record ({error!r})") from None
    if record.format != FORMAT:
        raise InputError(f"{path}: found format {record.format}, wanted {FORMAT}")
    if record.role not in ("tutor", "student"):
        raise InputError(f"{path}: found role {record.role!r}, wanted tutor or student")
    if record.alignment != ALIGNMENT:
        raise InputError(f"{path}: found alignment {record.alignment!r}, wanted {ALIGNMENT}")
    return record


def load_state(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load parameters that must fit exactly; otherwise InputError names the first keys that do not."""
    own = network.state_dict()
    problems = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "misshapen": [
            f"{key} (found {tuple(state[key].shape)}, wanted {tuple(own[key].shape)})"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    found = [f"{len(keys)} {kind}: {', '.join(keys[:_KEYS_SHOWN])}" for kind, keys in problems.items() if keys]
    if found:
        raise InputError(f"{path}: parameters do not fit the network; {'; '.join(found)}")
    network.load_state_dict(state)


def write_json(path: Path, values: object) -> None:
    """Write JSON so that the file appears whole or not at all."""
    with whole_file(path) as file:
        file.write((json.dumps(values, indent=2, default=str) + "\n").encode())


def _networks(model: TryOnModel) -> dict[str, nn.Module]:
    networks: dict[str, nn.Module] = {"warp": model.warp}
    if model.generator is not None:
        networks["generator"] = model.generator
    return networks
