"""Dressing the person of a video."""
