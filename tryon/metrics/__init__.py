"""How near a result is to the truth."""

from tryon.metrics.evaluation import Evaluation, dress_pair, evaluate, true_photo, write_evaluation
from tryon.metrics.measures import flow_end_point_error, structural_similarity

__all__ = [
    "Evaluation",
    "dress_pair",
    "evaluate",
    "flow_end_point_error",
    "structural_similarity",
    "true_photo",
    "write_evaluation",
]
