"""A ComfyUI node that dresses people: copy or link this folder into ComfyUI's ``custom_nodes``.

It needs nothing but this package in ComfyUI's Python (``pip install tryon-kernels``). Pictures are ComfyUI's: IMAGE is
B x H x W x 3 (or 4, with transparency) and MASK B x H x W, both float32 from 0 to 1.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon import InputError, TryOn
from tryon.cli.options import chosen_device
from tryon.weights import RECORD_FILE, read_record

_CHANNELS = (3, 4)


class TryOnNode:
    """Dresses each person of a batch in the garment of the same place; a batch of one serves all of the other."""

    CATEGORY = "image/try-on"
    DESCRIPTION = "Dresses people in photos with the garments of product photos, by a student that tryon has trained."
    FUNCTION = "dress"
    RETURN_TYPES = ("IMAGE", "IMAGE", "MASK")
    RETURN_NAMES = ("image", "warped_garment", "warped_mask")
    OUTPUT_TOOLTIPS = (
        "the person, dressed",
        "the garment as it lies on the person, on white",
        "where that garment is: 1",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        """What the node takes, as ComfyUI asks for it."""
        mask = "1 on the garment. Without one: the garment's transparency, else made from its plain background. "
        mask += "A mask of Load Image is 1 where a picture is transparent: invert it."
        return {
            "required": {
                "person": ("IMAGE", {"tooltip": "photos of people, in the middle and upright"}),
                "garment": ("IMAGE", {"tooltip": "product photos"}),
                "weights": ("STRING", {"default": "", "tooltip": "a model folder, such as RUN/student"}),
                "device": (["auto", "cpu", "cuda", "mps"], {"default": "auto"}),
            },
            "optional": {"mask": ("MASK", {"tooltip": mask})},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, weights: str) -> bool | str:
        """True, or what is wrong with the weights before anything runs."""
        try:
            read_record(Path(weights))
        except InputError as error:
            return f"weights: {error}"
        return True

    @classmethod
    def IS_CHANGED(cls, weights: str, **_: Any) -> int:
        """Changes with the weights, so that ComfyUI dresses again after a training."""
        return _written(weights)

    def dress(
        self, person: Tensor, garment: Tensor, weights: str, device: str = "auto", mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Dress a batch.

        Returns:
            Try-on images and warped garments, B x H x W x 3, and the warped garments' masks, B x H x W, of the people's
            size.

        Raises:
            InputError: a picture, a mask, a batch or the weights folder is not what it should be.
        """
        people, garments = _pictures(person, "person"), _pictures(garment, "garment")
        masks = [None] if mask is None else _masks(mask)
        count = max(len(people), len(garments))
        student = _student(weights, device, _written(weights))
        batches = (_repeated(people, count, "person"), _repeated(garments, count, "garment"))
        masks = _repeated(masks, count, "mask")
        dressed = [student.explain(*one) for one in zip(*batches, masks, strict=True)]
        white = Image.new("RGBA", dressed[0].warped.size, "white")
        return (
            _batch([one.image for one in dressed]),
            _batch([Image.alpha_composite(white, one.warped).convert("RGB") for one in dressed]),
            _batch([one.warped.getchannel("A") for one in dressed]),
        )


def _written(weights: str) -> int:
    """When a model folder was written: its record comes last."""
    try:
        return (Path(weights) / RECORD_FILE).stat().st_mtime_ns
    except OSError:
        raise InputError(f"weights: found no model in {weights!r}, wanted a folder such as RUN/student") from None


@lru_cache(maxsize=1)  # ComfyUI runs a node again and again; another model takes the memory of the last one
def _student(weights: str, device: str, written: int) -> TryOn:
    return TryOn.load(weights, chosen_device(None if device == "auto" else device))


def _pictures(batch: Tensor, name: str) -> list[Image.Image]:
    if batch.ndim != 4 or batch.shape[-1] not in _CHANNELS or 0 in batch.shape:
        raise InputError(f"{name}: found a tensor of {tuple(batch.shape)}, wanted B x H x W x 3 or 4")
    return [Image.fromarray(picture) for picture in _levels(batch, name)]


def _masks(batch: Tensor) -> list[Image.Image]:
    batch = batch[None] if batch.ndim == 2 else batch
    if batch.ndim != 3 or 0 in batch.shape:
        raise InputError(f"mask: found a tensor of {tuple(batch.shape)}, wanted B x H x W")
    return [Image.fromarray(mask) for mask in _levels(batch, "mask")]


def _levels(batch: Tensor, name: str) -> np.ndarray:
    if not batch.isfinite().all():
        raise InputError(f"{name}: found values that are not finite, wanted 0 to 1")
    return batch.detach().float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8).numpy()


def _batch(pictures: list[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])).div(255)


def _repeated(batch: list[Any], count: int, name: str) -> list[Any]:
    if len(batch) not in (1, count):
        raise InputError(f"{name}: found a batch of {len(batch)} beside one of {count}, wanted as many, or one")
    return batch * (count // len(batch))


NODE_CLASS_MAPPINGS: dict[str, type] = {"TryOn": TryOnNode}
NODE_DISPLAY_NAME_MAPPINGS = {"TryOn": "Try On (parser-free)"}
