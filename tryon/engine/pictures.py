"""Contact sheets: rows of images under column titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tryon.data.images import tensor_to_image

_MARGIN = 4
_TITLE_HEIGHT = 18
_SHOWN_HEIGHT = 192  # smaller pictures are enlarged to about this, by whole pixels
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)


def contact_sheet(columns: Mapping[str, Sequence[Image.Image]]) -> Image.Image:
    """Lay equally many images of one size a column side by side, under the columns' titles."""
    first = next(iter(columns.values()))
    scale = max(1, round(_SHOWN_HEIGHT / first[0].height))
    width, height = first[0].width * scale, first[0].height * scale
    sheet_size = (
        len(columns) * (width + _MARGIN) + _MARGIN,
        len(first) * (height + _MARGIN) + _MARGIN + _TITLE_HEIGHT,
    )
    sheet = Image.new("RGB", sheet_size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for column, (title, images) in enumerate(columns.items()):
        left = _MARGIN + column * (width + _MARGIN)
        draw.text((left, 2), title, fill=_INK, font=font)
        for row, image in enumerate(images):
            shown = image.resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(shown, (left, _TITLE_HEIGHT + row * (height + _MARGIN)))
    return sheet


def batch_sheet(columns: Mapping[str, Tensor], rows: int) -> Image.Image:
    """A contact sheet of the first ``rows`` of every batch of images (N x 3 x H x W in [-1, 1])."""
    return contact_sheet(
        {title: [tensor_to_image(image) for image in batch[:rows]] for title, batch in columns.items()}
    )
