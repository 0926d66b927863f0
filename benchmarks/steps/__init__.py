"""Whole training steps: the published form beside ours, each in a process of its own, in turns."""
