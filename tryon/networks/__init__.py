"""The networks: one definition of each serves tutor and student, training and inference."""

from tryon.networks.flow import AppearanceFlow, FlowLevel
from tryon.networks.generator import Generator, compose
from tryon.networks.warp import WarpNetwork

__all__ = ["AppearanceFlow", "FlowLevel", "Generator", "WarpNetwork", "compose"]
