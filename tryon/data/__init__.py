"""Data: VITON-style folders, their conditions, and drawn data sets with exact truth."""
