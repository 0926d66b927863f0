"""The C library's memory: training asks for the same large blocks in every step, and for some that stay."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# Of glibc's malloc.h: where the heap's end is returned, and from which size, and how many, blocks have a mapping of
# their own, which a free returns.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
NEVER, NONE, MANY = -1, 0, 1 << 16
LARGE = 1 << 20  # set, or glibc raises it to the largest that was freed


def return_freed_memory() -> bool:
    """Let glibc return what is free, and from now on large blocks as they are freed, unless a hole of the heap fits.

    For the time in which what stays is made: laid among blocks that come and go it would leave holes between them, that
    no larger block fits into.

    Returns:
        Whether it does: False on other C libraries, where nothing is changed.
    """
    if (library := _glibc()) is None:
        return False
    library.malloc_trim(0)
    options = ((M_MMAP_THRESHOLD, LARGE), (M_MMAP_MAX, MANY), (M_TRIM_THRESHOLD, LARGE))
    return all(library.mallopt(*option) for option in options)


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is asked for next, whose pages would have to be zeroed anew.

    Returns:
        Whether it does: False on other C libraries, where nothing is changed.
    """
    if (library := _glibc()) is None:
        return False
    return all(library.mallopt(*option) for option in ((M_MMAP_MAX, NONE), (M_TRIM_THRESHOLD, NEVER)))


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
