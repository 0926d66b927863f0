"""Parser-free virtual try-on: training by distillation, and inference."""

from tryon.errors import InputError
from tryon.inference import TryOn

__all__ = ["InputError", "TryOn"]
