"""What setup.py does to compile the kernels.

Kernels that cannot be compiled are left out, and `_build.json` beside the libraries says why.
"""
