"""`python -m tryon_kernels`: what runs where, and the reason for each thing that is missing."""

from tryon_kernels.backends import report

print(report())
