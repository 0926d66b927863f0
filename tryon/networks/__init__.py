"""The networks: one definition of each serves tutor and student, training and inference."""

from tryon.networks.blocks import SIZE_MULTIPLE
from tryon.networks.flow import AppearanceFlow, FlowLevel
from tryon.networks.generator import Generator, compose
from tryon.networks.warp import WarpNetwork

__all__ = ["SIZE_MULTIPLE", "AppearanceFlow", "FlowLevel", "Generator", "WarpNetwork", "compose"]
