"""Parser-free virtual try-on: training by distillation, and inference."""
