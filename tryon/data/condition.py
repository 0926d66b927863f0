"""What the tutor sees of a person: parsing, DensePose and pose as network channels. All tensors are batches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tryon.data.labels import DENSEPOSE_ARMS, DENSEPOSE_HANDS, DENSEPOSE_PARTS
from tryon.data.sample import Person

POSE_KEYPOINTS = 18
PARSING_CHANNELS = 2  # face, other clothes
KEYPOINT_RADIUS = 5  # pixels, at the published height below
BACKGROUND_MARGIN = 12  # pixels, at the same height: about as far as another garment reaches beyond this one
PUBLISHED_HEIGHT = 256


def condition_channels(*, densepose: bool) -> int:
    """Channels of the tutor's condition: 45 with DensePose, 20 without."""
    return PARSING_CHANNELS + POSE_KEYPOINTS + (DENSEPOSE_PARTS if densepose else 0)


def tutor_generator_channels(*, densepose: bool) -> int:
    """Input channels of the tutor's generator: preserved 3, warped garment 3, its mask 1, and with DensePose arms 1."""
    return 8 if densepose else 7


STUDENT_GENERATOR_CHANNELS = 7  # person 3, warped garment 3, its mask 1
STUDENT_CONDITION_CHANNELS = 3


def pose_maps(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Draw every keypoint as a filled square into a channel of its own.

    Args:
        keypoints: N x 18 x 3, x and y in pixels and presence.
        height: of the maps; the square's radius is 5 pixels at a height of 256 and scales with it.
        width: of the maps.

    Returns:
        N x 18 x height x width float32, channels_last: 1 in the square and -1 elsewhere.
    """
    radius = _pixels(KEYPOINT_RADIUS, height)
    x, y, present = keypoints.unbind(dim=2)

    def near(places: Tensor, count: int) -> Tensor:
        pixels = torch.arange(count, device=keypoints.device)[:, None]
        return ((pixels - places[:, None]).abs() <= radius).float()

    columns, rows = near(x, width) * (present > 0)[:, None], near(y, height)
    return (2 * columns[:, None] * rows[:, :, None] - 1).permute(0, 3, 1, 2)


def tutor_condition(person: Person) -> Tensor:
    """Condition of the tutor's warp network.

    Returns:
        N x C x H x W float32, channels_last: face and other clothes (0 or 1), one channel per DensePose part where the
        person has DensePose, 18 pose maps (-1 or 1). C is `condition_channels`.
    """
    regions, keypoints = person.regions, person.keypoints
    if regions is None or keypoints is None:
        raise ValueError("person: found no parsing or no pose, wanted both: the tutor is parser-based")
    parts = [regions.face, regions.other_clothes]
    if person.densepose is not None:
        one_hot = torch.eye(DENSEPOSE_PARTS, device=person.densepose.device)
        parts.append(F.embedding(person.densepose, one_hot).permute(0, 3, 1, 2))
    parts.append(pose_maps(keypoints, *person.photo.shape[-2:]))
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=3).permute(0, 3, 1, 2)


def _pixels(count: int, height: int) -> int:
    return max(1, round(count * height / PUBLISHED_HEIGHT))


def _parts_mask(densepose: Tensor, parts: tuple[int, ...]) -> Tensor:
    # Comparisons with plain numbers: a table of them would be copied from the host, which waits for the GPU.
    chosen = sum((densepose == part for part in parts), start=torch.zeros_like(densepose, dtype=torch.bool))
    return chosen.float().unsqueeze(1)


def preserved_region(person: Person, *, keep_background: bool = False) -> Tensor:
    """Pixels of the photo that stay: N x 3 x H x W, 0 (mid grey) elsewhere.

    Face, hair and other clothes; with DensePose also the hands: the parsing's arms where DensePose says hand. With
    `keep_background` also the `far_background`, whose colours then fill what is left.
    """
    if person.regions is None:
        raise ValueError("person: found no parsing, wanted one: the preserved region comes from it")
    mask = person.regions.face + person.regions.other_clothes
    if person.densepose is not None:
        mask = mask + person.regions.arms * _parts_mask(person.densepose, DENSEPOSE_HANDS)
    if not keep_background:
        return person.photo * mask
    background = far_background(person)
    return torch.where(mask > 0, person.photo, extended(person.photo, background))


def known_background(person: Person) -> Tensor:
    """Where there is no person: N x 1 x H x W, 0 or 1. With DensePose, only what both call background.

    Parsing alone calls necks so.
    """
    if person.regions is None:
        raise ValueError("person: found no parsing, wanted one: the background comes from it")
    background = person.regions.background
    return background if person.densepose is None else background * (person.densepose == 0).unsqueeze(1)


def far_background(person: Person) -> Tensor:
    """Known background that is not near the garment or the arms: N x 1 x H x W, 0 or 1.

    Near is 12 pixels at a height of 256, so that the rest tells little of the garment's outline.
    """
    background = known_background(person)
    assert person.regions is not None  # so there is a background
    changing = person.regions.garment + person.regions.arms
    if person.densepose is not None:
        changing = changing + _parts_mask(person.densepose, DENSEPOSE_ARMS)
    margin = _pixels(BACKGROUND_MARGIN, changing.shape[-2])
    near = _highest_near(_highest_near(changing, margin).mT, margin).mT
    return background * (near == 0)


def _highest_near(mask: Tensor, margin: int) -> Tensor:
    """The highest value within `margin` pixels of the same row: N x 1 x H x W to the same."""
    rows = F.max_pool1d(mask.flatten(0, 2), 2 * margin + 1, stride=1, padding=margin)
    return rows.view(mask.shape)


def extended(image: Tensor, known: Tensor) -> Tensor:
    """Fill what is unknown of an image with the colours around it, smoothly: "pull-push" over halved sizes.

    Args:
        image: N x C x H x W.
        known: N x 1 x H x W, 0 or 1. An image of which nothing is known becomes 0.
    """
    if known.shape[-2:] == (1, 1):
        return image * known
    weighted, weight = (F.avg_pool2d(part, 2, ceil_mode=True) for part in (image * known, known))
    coarser = extended(weighted / weight.clamp(min=1 / 8), (weight > 0).to(image.dtype))
    return torch.where(known > 0, image, F.interpolate(coarser, size=known.shape[-2:], mode="bilinear"))


def tutor_generator_input(
    person: Person,
    warped: Tensor,
    warped_mask: Tensor,
    region: Tensor | None = None,
    *,
    keep_background: bool = False,
) -> Tensor:
    """Input of the tutor's generator: preserved region, warped garment and mask, arms outside the garment.

    Args:
        person: with parsing; DensePose decides whether there is an arm channel.
        warped: N x 3 x H x W warped garment.
        warped_mask: N x 1 x H x W warped garment mask.
        region: N x 1 x H x W, what counts as the garment for the arms; by default the warped mask.
        keep_background: as in `preserved_region`.
    """
    parts = [preserved_region(person, keep_background=keep_background), warped, warped_mask]
    if person.densepose is not None:
        covered = warped_mask if region is None else region
        parts.append(_parts_mask(person.densepose, DENSEPOSE_ARMS) * (1 - covered))
    return torch.cat(parts, dim=1)


def student_generator_input(photo: Tensor, warped: Tensor, warped_mask: Tensor) -> Tensor:
    """Input of the student's generator, N x 7 x H x W: the person's photo, warped garment and mask."""
    return torch.cat([photo, warped, warped_mask], dim=1)
