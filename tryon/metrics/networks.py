"""LPIPS, DISTS and Inception features: networks of public libraries, with weights from files alone.

The libraries would fetch weights while they build a network. Here they are given the file's instead, so that nothing
is ever downloaded.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.conversion import check_state_dict, read_state_dict
from tryon.data.images import image_to_tensor
from tryon.errors import InputError
from tryon.files import sha256_of

EXTRA = "tryon-kernels[metrics]"
INCEPTION_SIDE = 299  # pixels
SMALLEST_SIDE = 64  # pixels; of less, the deepest features have no pixel left
LPIPS_NETWORKS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""Names of torchvision's networks under those that LPIPS has for them."""

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")


@dataclass(frozen=True)
class Distance:
    """A distance of two RGB images of one size, 0 for equal ones; ``weights`` is the SHA-256 of its file."""

    name: str
    weights: str
    of: Callable[[Image.Image, Image.Image], float]

    def __call__(self, image: Image.Image, truth: Image.Image) -> float:
        """Raises InputError where the images are too small for it."""
        if min(image.size) < SMALLEST_SIDE:
            raise InputError(
                f"{self.name}: found pictures of {image.height}x{image.width}, wanted {SMALLEST_SIDE} pixels each way"
            )
        return self.of(image, truth)


def lpips(network: str, path: Path, device: str = "cpu") -> Distance:
    """LPIPS (Zhang et al. 2018, version 0.1) by torchmetrics, whose own the linear layers are.

    Args:
        network: one of `LPIPS_NETWORKS`.
        path: its ImageNet weights, as torchvision publishes them.
        device: as torch names it.

    Raises:
        InputError: a library is not installed, or the file is absent, damaged or not of this network.
    """
    check_named_hash(path)
    name = f"lpips_{network}"
    module = library("torchmetrics.image.lpip", name)
    metric = _built(
        name, LPIPS_NETWORKS[network], path, lambda: module.LearnedPerceptualImagePatchSimilarity(network)
    ).to(device)

    @torch.inference_mode()
    def of(image: Image.Image, truth: Image.Image) -> float:
        metric.reset()
        return float(metric(*(image_to_tensor(each)[None].to(device) for each in (image, truth))))

    return Distance(name, sha256_of(path), of)


def dists(path: Path, device: str = "cpu") -> Distance:
    """DISTS (Ding et al. 2020) by torchmetrics, whose own the weights of its terms are; ``path`` as LPIPS of VGG."""
    check_named_hash(path)
    module = library("torchmetrics.functional.image.dists", "dists")
    network = _built("dists", "vgg16", path, module.DISTSNetwork).to(device)

    @torch.inference_mode()
    def of(image: Image.Image, truth: Image.Image) -> float:
        return float(network(*((image_to_tensor(each)[None].to(device) + 1) / 2 for each in (image, truth))))

    return Distance("dists", sha256_of(path), of)


class Inception:
    """Features of the Inception network that FID and KID are defined by.

    Args:
        path: TorchScript file of the network (``inception-2015-12-05.pt``), whose ``layers`` take images in [-1, 1].
        device: as torch names it.

    Raises:
        InputError: the file is absent, damaged or no such network.
    """

    def __init__(self, path: Path, device: str = "cpu") -> None:
        check_named_hash(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that there are newer formats than the published file's
                self._layers = torch.jit.load(str(path), map_location=device).eval().layers
        except (RuntimeError, ValueError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"{path}: cannot be read as an Inception network ({reason}), wanted inception-2015-12-05.pt"
            ) from None
        self.weights = sha256_of(path)
        self._device = device

    @torch.inference_mode()
    def features(self, image: Image.Image) -> Tensor:
        """Features of an RGB image, float64 on the CPU.

        Resized to 299 x 299 by Pillow's bicubic filter without rounding to whole levels (Parmar et al. 2022,
        "clean-fid"), which all three published protocols use.
        """
        levels = np.stack([_resized(np.asarray(channel, dtype=np.float32)) for channel in image.split()])
        batch = torch.from_numpy(levels)[None].to(self._device)
        return self._layers((batch - 128) / 128).flatten().double().cpu()


def check_named_hash(path: Path) -> None:
    """Check a file that is named after its SHA-256, as torch.hub's are: ``name-<first digits>.pth``.

    Raises:
        InputError: the file is absent, or another than its name says.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, wanted weights")
    match = _HASH_IN_NAME.search(path.name)
    if match and not (found := sha256_of(path)).startswith(match[1]):
        raise InputError(
            f"{path}: found SHA-256 {found}, wanted {match[1]}... as its name says: it is damaged or another"
        )


def library(name: str, asked_by: str) -> ModuleType:
    """Import a module of an extra's package. Raises InputError that says how to get it."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError:
        wanted = (
            f"the torchvision for torch {torch.__version__}" if package == "torchvision" else f"pip install {EXTRA}"
        )
        raise InputError(f"{asked_by}: {package} is not installed, wanted {wanted}") from None
    except RuntimeError as error:
        raise InputError(
            f"{asked_by}: {package} cannot be imported ({str(error).splitlines()[0]}), wanted the torchvision for torch"
            f" {torch.__version__}, from where torch is from"
        ) from None


def _built(asked_by: str, network: str, path: Path, build: Callable[[], Any]) -> Any:
    """What ``build`` makes, the pretrained weights that it asks torchvision for being the file's."""
    models = library("torchvision.models", asked_by)
    state = read_state_dict(path)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in models.get_model(network).state_dict().items()}
    check_state_dict(state, shapes, str(path))
    with patch.object(models.get_model_weights(network), "get_state_dict", lambda *_, **__: state):
        return build()


def _resized(channel: np.ndarray) -> np.ndarray:
    side = INCEPTION_SIDE
    return np.asarray(Image.fromarray(channel).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 255)
