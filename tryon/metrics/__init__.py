"""How near a result is to the truth."""

from tryon.metrics.evaluation import (
    MEASURES,
    Evaluation,
    PairScore,
    dress_pair,
    evaluate,
    true_photo,
    write_evaluation,
)
from tryon.metrics.measures import (
    colour_error,
    flow_end_point_error,
    mask_overlap,
    peak_signal_to_noise_ratio,
    structural_similarity,
)

__all__ = [
    "MEASURES",
    "Evaluation",
    "PairScore",
    "colour_error",
    "dress_pair",
    "evaluate",
    "flow_end_point_error",
    "mask_overlap",
    "peak_signal_to_noise_ratio",
    "structural_similarity",
    "true_photo",
    "write_evaluation",
]
