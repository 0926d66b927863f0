"""Functions and modules with the names and arguments that published optical-flow code uses, on these kernels.

Nothing is imported here: `from tryon_kernels.compat import warping` imports the one that is asked for.
"""
