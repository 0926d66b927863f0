"""The C library's memory: training asks for the same large blocks in every step."""

from __future__ import annotations

import ctypes
import platform

# Of glibc's malloc.h: no block has a mapping of its own, which a free would return; the heap's end is never returned.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = -1


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is asked for next, whose pages would have to be zeroed anew.

    Returns:
        Whether it does: False on other C libraries, where nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, NEVER))
