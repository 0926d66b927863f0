"""The ops on a GPU: checks, memory and the order of launches, for whichever kernels are used."""

from tryon_kernels.gpu.correlation import (
    correlation,
    correlation_backward,
    warp_correlation,
    warp_correlation_backward,
)
from tryon_kernels.gpu.distance import feature_distance, feature_distance_backward
from tryon_kernels.gpu.sampling import grid_sample, grid_sample_backward, warp, warp_backward

__all__ = [
    "correlation",
    "correlation_backward",
    "feature_distance",
    "feature_distance_backward",
    "grid_sample",
    "grid_sample_backward",
    "warp",
    "warp_backward",
    "warp_correlation",
    "warp_correlation_backward",
]
