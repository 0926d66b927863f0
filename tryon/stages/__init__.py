"""The four training stages, in the order in which they are run."""

from tryon.stages.base import Recipe, Stage, StepResult
from tryon.stages.guidance import GUIDANCE, OF_FAKES, PUBLISHED, Guidance
from tryon.stages.student import StudentStage, StudentWarp
from tryon.stages.tutor import TutorStage, TutorWarp

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (TutorWarp, TutorStage, StudentWarp, StudentStage)}

OF_STUDENT = (StudentWarp.name, StudentStage.name)

__all__ = [
    "GUIDANCE",
    "OF_FAKES",
    "OF_STUDENT",
    "PUBLISHED",
    "STAGES",
    "Guidance",
    "Recipe",
    "Stage",
    "StepResult",
    "StudentStage",
    "StudentWarp",
    "TutorStage",
]
