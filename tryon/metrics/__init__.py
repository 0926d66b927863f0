"""How near a result is to the truth."""

from tryon.metrics.comparison import Comparison, pairs_hash
from tryon.metrics.distributions import frechet_distance, kernel_distance
from tryon.metrics.evaluation import (
    MEASURES,
    Evaluation,
    PairScore,
    check_pairs,
    dress_pair,
    evaluate,
    true_photo,
    true_photo_path,
    write_evaluation,
)
from tryon.metrics.measures import (
    colour_error,
    flow_end_point_error,
    mask_overlap,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from tryon.metrics.networks import LPIPS_NETWORKS, Distance, Inception, dists, lpips
from tryon.metrics.pictures import picture_paths
from tryon.metrics.protocols import PROTOCOLS, Protocol
from tryon.metrics.regions import RegionFiles, changing_region, keep_outside
from tryon.metrics.report import model_source, printed, report

__all__ = [
    "LPIPS_NETWORKS",
    "MEASURES",
    "PROTOCOLS",
    "Comparison",
    "Distance",
    "Evaluation",
    "Inception",
    "PairScore",
    "Protocol",
    "RegionFiles",
    "changing_region",
    "check_pairs",
    "colour_error",
    "dists",
    "dress_pair",
    "evaluate",
    "flow_end_point_error",
    "frechet_distance",
    "keep_outside",
    "kernel_distance",
    "lpips",
    "mask_overlap",
    "model_source",
    "pairs_hash",
    "peak_signal_to_noise_ratio",
    "picture_paths",
    "printed",
    "report",
    "structural_similarity",
    "true_photo",
    "true_photo_path",
    "write_evaluation",
]
