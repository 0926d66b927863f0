"""The ops that PyTorch knows this package's kernels by; importing this defines them."""

from tryon_kernels.ops import correlation, feature_distance, flops, grid_sample, warp, warp_correlation

__all__ = ["correlation", "feature_distance", "flops", "grid_sample", "warp", "warp_correlation"]
