"""The four training stages, in the order in which they are run."""

from tryon.stages.base import Recipe, Stage, StepResult
from tryon.stages.guidance import GUIDANCE, PUBLISHED, Guidance
from tryon.stages.student import StudentStage, StudentWarp
from tryon.stages.tutor import TutorStage, TutorWarp

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (TutorWarp, TutorStage, StudentWarp, StudentStage)}

__all__ = ["GUIDANCE", "PUBLISHED", "STAGES", "Guidance", "Recipe", "Stage", "StepResult"]
