"""The published method written the plain way: torch's own operations, one after the other, in NCHW and any one dtype.

It shares no maths with `tryon`: what that trains is tested against this form and timed beside it. Layers carry the
names of the published checkpoints. Sampling maps are N x 2 x H x W, normalised with align_corners=True.
"""
