from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.folder import TryOnFolder, read_pairs
from tryon.metrics import true_photo

_OPERATORS: list[torch.library.Library] = []  # they last as long as their library


@pytest.fixture(scope="session")
def torchvision_models():
    """torchvision's networks, which need none of its compiled operators.

    torch for CPUs lies beside a torchvision for GPUs where their own index cannot be reached. It cannot load its
    operators then and fails at its first word of them, unless they are there by name.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchvision is not installed: make extras")
    try:
        import torchvision
    except RuntimeError:
        text = Path(spec.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8")
        _OPERATORS.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in sorted(set(re.findall(r'register_fake\("torchvision::(\w+)"', text))):
            _OPERATORS[0].define(f"{name}(Tensor none) -> Tensor")
        for name in [name for name in sys.modules if name.partition(".")[0] in ("torchvision", "torchmetrics")]:
            del sys.modules[name]
        import torchvision
    return torchvision.models


class Features(torch.nn.Module):
    """What the published Inception file has, in small: `layers` from N x 3 x 299 x 299 to N x C x 1 x 1."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, channels, kernel_size=9, stride=8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of seeded random weights in the published file's format."""
    path = tmp_path_factory.mktemp("inception") / "inception.pt"
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are newer formats
        torch.manual_seed(0)
        torch.jit.script(Features().eval()).save(str(path))
    return path


@pytest.fixture
def folder(drawn_data: Path) -> TryOnFolder:
    return TryOnFolder(drawn_data, "test")


@pytest.fixture
def pairs(drawn_data: Path) -> list[tuple[str, str]]:
    return read_pairs(drawn_data / "test_pairs_unpaired.txt")


@pytest.fixture
def made(folder: TryOnFolder, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], Image.Image]:
    """A picture of each pair: the truth with noise, of another strength for each."""
    rng = np.random.default_rng(0)
    pictures = {}
    for number, pair in enumerate(pairs, start=1):
        levels = np.asarray(true_photo(folder, *pair), dtype=int)
        noisy = levels + rng.integers(-10 * number, 10 * number, levels.shape)
        pictures[pair] = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return pictures
