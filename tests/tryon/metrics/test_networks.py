from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tryon.data.images import image_to_tensor
from tryon.errors import InputError
from tryon.metrics import LPIPS_NETWORKS, Inception, dists, lpips

LIBRARY = "lpips is not installed: make extras"


def noise(seed: int, width: int = 96, height: int = 80) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def test_inception_features_are_those_of_the_picture_at_299_pixels_unrounded(inception_file: Path) -> None:
    picture = noise(0)
    channels = [Image.fromarray(np.asarray(channel, dtype=np.float32)) for channel in picture.split()]
    resized = np.stack([np.asarray(each.resize((299, 299), Image.Resampling.BICUBIC)) for each in channels])
    assert (resized < 0).any()
    assert (resized > 255).any()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(str(inception_file))
        wanted = network(torch.from_numpy(resized.clip(0, 255))[None] / 128 - 1).flatten()
    features = Inception(inception_file).features(picture)
    assert features.dtype == torch.float64
    # The same level in [-1, 1] by another order of operations differs by a rounding of float32.
    torch.testing.assert_close(features, wanted.double(), rtol=1e-5, atol=1e-5)


def test_a_file_of_no_inception_network_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "inception.pt"
    with pytest.raises(InputError, match=r"inception.pt: no such file, wanted weights"):
        Inception(path)
    path.write_bytes(b"no network")
    with pytest.raises(InputError, match=r"cannot be read as an Inception network .*wanted inception-2015-12-05.pt$"):
        Inception(path)


def test_a_file_must_be_what_its_name_says(inception_file: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    for name, fits in ((f"inception-{digest[:8]}.pt", True), ("inception-0123abcd.pt", False)):
        path = tmp_path / name
        path.write_bytes(inception_file.read_bytes())
        if fits:
            assert Inception(path).weights == digest
        else:
            with pytest.raises(InputError, match=rf"found SHA-256 {digest}, wanted 0123abcd\.\.\. as its name says"):
                Inception(path)


@pytest.mark.parametrize("build", [lambda path: lpips("alex", path), dists])
def test_a_library_that_is_not_installed_is_one_line(build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.touch()
    for name in ("torchmetrics.image.lpip", "torchmetrics.functional.image.dists"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"torchmetrics is not installed, wanted pip install tryon-kernels\[metrics\]"):
        build(path)


@pytest.mark.extras
class TestFromAFileAlone:
    @pytest.fixture
    def weights(self, torchvision_models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Makes a file of seeded random weights of one of torchvision's networks; from then on, nothing is fetched."""
        pytest.importorskip("torchmetrics", reason="torchmetrics is not installed: make extras")

        def fetch(*_: object, **__: object) -> None:
            raise AssertionError("a download")

        for name in ("load_state_dict_from_url", "download_url_to_file"):
            monkeypatch.setattr(torch.hub, name, fetch)
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)

        def write(network: str) -> Path:
            path = tmp_path / f"{network}.pth"
            with torch.random.fork_rng():
                torch.manual_seed(0)
                torch.save(torchvision_models.get_model(network).state_dict(), path)
            return path

        return write

    @pytest.mark.parametrize("network", LPIPS_NETWORKS)
    def test_lpips_is_its_authors(self, network: str, weights) -> None:
        authors = pytest.importorskip("lpips", reason=LIBRARY)
        path = weights(LPIPS_NETWORKS[network])
        distance = lpips(network, path)
        reference = authors.LPIPS(net=network, pnet_rand=True, verbose=False)
        state, own = torch.load(path), reference.net.state_dict()
        reference.net.load_state_dict({key: state[f"features.{key.partition('.')[2]}"] for key in own})
        image, truth = noise(0), noise(1)
        with torch.inference_mode():
            wanted = reference(*(image_to_tensor(each)[None] for each in (image, truth))).item()
        # Both normalise by lengths of features, with 1e-8 under torchmetrics' root, 1e-10 beside the authors'.
        assert distance(image, truth) == pytest.approx(wanted, rel=1e-5)
        assert distance(image, image) == 0
        assert distance.weights == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_dists_is_its_formula(self, weights) -> None:
        path = weights("vgg16")
        image, truth = noise(0), noise(1)
        distance = dists(path)
        assert distance(image, truth) == pytest.approx(dists_by_formula(torch.load(path), image, truth), rel=1e-4)
        assert distance(image, image) == pytest.approx(0, abs=1e-6)

    def test_a_file_of_another_network_is_one_line(self, weights) -> None:
        path = weights("squeezenet1_1")
        with pytest.raises(InputError, match=rf"{path}: features.3.weight is missing, wanted with shape"):
            lpips("alex", path)

    def test_a_picture_too_small_is_one_line(self, weights) -> None:
        distance = lpips("squeeze", weights("squeezenet1_1"))
        with pytest.raises(InputError, match="lpips_squeeze: found pictures of 32x96, wanted 64 pixels each way"):
            distance(noise(0, height=32), noise(1, height=32))


def dists_by_formula(state: dict[str, torch.Tensor], image: Image.Image, truth: Image.Image) -> float:
    """Equations 5 to 7 of Ding et al. 2020 in float64, over the published weights of their terms."""
    package = Path(sys.modules["torchmetrics.functional.image.dists"].__file__).parent
    terms = torch.load(package / "dists_models" / "weights.pt")
    maps = zip(*(vgg_maps(state, image_to_tensor(each).double() / 2 + 0.5) for each in (image, truth)), strict=True)
    total, start = 0.0, 0
    for x, y in maps:
        count = x.shape[0]
        alpha, beta = (terms[name].double().flatten()[start : start + count] for name in ("alpha", "beta"))
        x, y = x.flatten(1), y.flatten(1)
        means, variances = (x.mean(1), y.mean(1)), (x.var(1, correction=0), y.var(1, correction=0))
        covariance = ((x - means[0][:, None]) * (y - means[1][:, None])).mean(1)
        texture = (2 * means[0] * means[1] + 1e-6) / (means[0] ** 2 + means[1] ** 2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (variances[0] + variances[1] + 1e-6)
        total += (alpha * texture + beta * structure).sum().item()
        start += count
    return 1 - total / (terms["alpha"].double().sum() + terms["beta"].double().sum()).item()


def vgg_maps(state: dict[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    """The image and the last map of each of VGG-16's five stages, with DISTS' blurred pooling between them."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((image - mean[:, None, None].double()) / deviation[:, None, None].double())[None]
    maps, position = [image], 0
    hanning = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    blur = hanning[:, None] * hanning
    for stage, convolutions in enumerate((2, 2, 3, 3, 3)):
        if stage:
            channels = x.shape[1]
            kernel = blur.expand(channels, 1, 3, 3)
            x = (torch.conv2d(x**2, kernel, stride=2, padding=1, groups=channels) + 1e-12).sqrt()
            position += 1
        for _ in range(convolutions):
            weight, bias = (state[f"features.{position}.{name}"].double() for name in ("weight", "bias"))
            x = torch.conv2d(x, weight, bias, padding=1).relu()
            position += 2
        maps.append(x[0])
    return maps
