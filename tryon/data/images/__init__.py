"""Image files to pictures and tensors, and back. Sizes are (height, width)."""

from tryon.data.images.colours import as_seen, on_white, upright
from tryon.data.images.masks import as_mask, open_mask
from tryon.data.images.opening import MOST_PIXELS, SUFFIXES, may_be_transparent, open_image, read_image
from tryon.data.images.sizes import LARGEST_SIDE, Size, format_size, parse_size
from tryon.data.images.tensors import image_to_tensor, mask_to_tensor, resize, tensor_to_image

__all__ = [
    "LARGEST_SIDE",
    "MOST_PIXELS",
    "SUFFIXES",
    "Size",
    "as_mask",
    "as_seen",
    "format_size",
    "image_to_tensor",
    "mask_to_tensor",
    "may_be_transparent",
    "on_white",
    "open_image",
    "open_mask",
    "parse_size",
    "read_image",
    "resize",
    "tensor_to_image",
    "upright",
]
