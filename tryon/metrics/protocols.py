"""How a picture and its true photo are brought to one size: ours, and those of three published evaluations.

Facts of the published ones, from the files that each names: which of the two is resized, to what size and by which
filter. None of them crops. The filters are Pillow's, which average over the pixels that they shrink (antialiasing).
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from tryon.data.images import Size, format_size
from tryon.errors import InputError

JPEG_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Protocol:
    """A way to compare pictures with true photos.

    Attributes:
        name: as on the command line.
        source: the public file that does so.
        resizes: what is resized to what, in words.
        filter: of resizing.
        at: "truth" (the truth's size), "picture" (the picture's), "height" (the picture's height, each in its own
            proportions) or a fixed (height, width).
        rewrites: whether a truth that is resized is written in its file's own format before it is compared; of a JPEG
            file, at Pillow's own quality (75).
        ssim_border: whether SSIM counts the border (`similarity_map`), as torchmetrics does from 1.4.2 on.
        lpips: network of its LPIPS; None where it has none of its own.
        psnr_of: pictures whose squared errors are averaged before the logarithm.
        kid_factor: what its tables multiply KID by.
    """

    name: str
    source: str
    resizes: str
    filter: Image.Resampling
    at: str | Size
    rewrites: bool = False
    ssim_border: bool = False
    lpips: str | None = None
    psnr_of: int = 1
    kid_factor: int = 1

    def pair(self, picture: Image.Image, truth: Image.Image, truth_path: Path) -> tuple[Image.Image, Image.Image]:
        """Picture and truth at the size at which they are compared.

        Raises:
            InputError: they do not come to one size.
        """
        truth = self.photo(truth, truth_path, (picture.height, picture.width))
        if not isinstance(self.at, str):
            picture, truth = (self._resized(image, self.at) for image in (picture, truth))
        elif self.at == "truth":
            picture = self._resized(picture, (truth.height, truth.width))
        if picture.size != truth.size:
            found, wanted = (format_size((image.height, image.width)) for image in (picture, truth))
            raise InputError(
                f"{truth_path}: protocol {self.name} makes it {wanted}, wanted {found}, the size of its picture:"
                " one of the same proportions"
            )
        return picture, truth

    def photo(self, photo: Image.Image, path: Path, picture_size: Size) -> Image.Image:
        """A photo, read from ``path``, as FID and KID see it beside pictures of this size."""
        height, width = picture_size
        if self.at == "height" and photo.height != height:
            return self._rewritten(self._resized(photo, (height, photo.width * height // photo.height)), path)
        if self.at == "picture" and photo.size != (width, height):
            return self._rewritten(self._resized(photo, picture_size), path)
        return photo

    def conditions(self) -> dict[str, object]:
        """What a report says of it."""
        return {
            "name": self.name,
            "source": self.source,
            "resizes": self.resizes,
            "filter": f"Pillow {self.filter.name.lower()}",
            "crops": "nothing",
            "ssim_border": "mirrored" if self.ssim_border else "left out",
            "lpips_network": self.lpips,
            "psnr_of": self.psnr_of,
            "kid_factor": self.kid_factor,
        }

    def _resized(self, image: Image.Image, size: Size) -> Image.Image:
        height, width = size
        return image if image.size == (width, height) else image.resize((width, height), self.filter)

    def _rewritten(self, photo: Image.Image, path: Path) -> Image.Image:
        if not self.rewrites or path.suffix.lower() not in JPEG_SUFFIXES:
            return photo
        file = BytesIO()
        photo.save(file, "JPEG")
        return Image.open(file).convert("RGB")


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="own",
            source="this project",
            resizes="the picture to the truth's size",
            filter=Image.Resampling.BICUBIC,
            at="truth",
        ),
        Protocol(
            name="catvton",
            source="github.com/Zheng-Chong/CatVTON, eval.py",
            resizes="the truth to the picture's height in its own proportions; JPEG files are written anew",
            filter=Image.Resampling.LANCZOS,
            at="height",
            rewrites=True,
            ssim_border=True,
            lpips="squeeze",
            kid_factor=1000,
        ),
        Protocol(
            name="leffa",
            source="github.com/franciszzj/VtonEval, eval.py",
            resizes="the truth to the picture's height and width; JPEG files are written anew",
            filter=Image.Resampling.LANCZOS,
            at="picture",
            rewrites=True,
            ssim_border=True,
            lpips="squeeze",
            psnr_of=16,
            kid_factor=1000,
        ),
        Protocol(
            name="ladi",
            source="github.com/miccunifi/ladi-vton, src/utils/val_metrics.py",
            resizes="picture and truth to 512x384; for FID and KID neither",
            filter=Image.Resampling.BILINEAR,
            at=(512, 384),
            lpips="alex",
        ),
    )
}
