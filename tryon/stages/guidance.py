"""What guides a student: real photos, its tutor, or both."""

from __future__ import annotations

from dataclasses import dataclass

from tryon.losses import DISTILLATION_TERMS


@dataclass(frozen=True)
class Guidance:
    """A way to teach a student.

    Attributes:
        distilled: terms of `distillation_loss` that it learns from.
        adjusted: whether only where the tutor warps better than the student; otherwise everywhere.
        imitates: whether it sees the photo and is to render the tutor's fake image, as parser-free try-on began,
            instead of the other way round. Then no real photo is a target.
    """

    distilled: tuple[str, ...]
    adjusted: bool = True
    imitates: bool = False


PUBLISHED = "full"
GUIDANCE = {
    "imitate": Guidance(("flow",), adjusted=False, imitates=True),
    "none": Guidance(()),
    "features": Guidance(("features",)),
    PUBLISHED: Guidance(DISTILLATION_TERMS),
    "always": Guidance(DISTILLATION_TERMS, adjusted=False),
}
"""By name, as on the command line and in run records."""

OF_FAKES = ("none", PUBLISHED, "always")
"""What fake pictures can give: they come without features, and what they show is no target."""
