"""Medians of contenders that take turns, so that a noisy moment meets all of them."""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS = 5
LEAST_CALLS = 3
MOST_CALLS = 200  # of one contender: enough for a median
SLOW = 0.1  # seconds from which on a first call counts, because it hardly matters how it finds the caches
SETTLING = 0.005  # seconds at the start of a turn that do not count, at least a call

_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True)
class Timing:
    """Median of some calls, in seconds."""

    seconds: float
    calls: int


Clock = Callable[[Callable[[], object]], float]  # runs a call and says how many seconds it took


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) * 1e-9


def time_in_turns(
    contenders: dict[str, Callable[[], object]], budget: float, clock: Clock = seconds
) -> dict[str, Timing]:
    """Time functions in turns for about `budget` seconds in all, at least one call each, or a few where they are quick.

    A contender's turn is several calls where the budget allows; the first ones are then not counted, because they find
    the caches as the contender before left them. Its last written lines must leave before others can stay, so that this
    wears off over several calls: `SETTLING`.
    """
    share = budget / len(contenders)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    wanted = {}
    for name, call in contenders.items():
        estimate = clock(call)
        if estimate >= SLOW:
            times[name].append(estimate)
        else:
            estimate = min(estimate, clock(call))
        least = 1 if estimate >= SLOW else LEAST_CALLS
        wanted[name] = round(min(max(share / estimate, least), MOST_CALLS)) - len(times[name])
    for turn in range(ROUNDS):
        for name, call in contenders.items():
            calls = len(range(turn, wanted[name], ROUNDS))
            if calls > 1:
                settle(call, clock)
            times[name] += [clock(call) for _ in range(calls)]
    return {name: Timing(median(taken), len(taken)) for name, taken in times.items()}


def settle(call: Callable[[], object], clock: Clock) -> None:
    """Call until the caches are this call's own."""
    spent = clock(call)
    while spent < SETTLING:
        spent += clock(call)


def page_faults(call: Callable[[], object]) -> int | None:
    """Page faults of a call that finds no memory it can use again; None where the C library cannot be told so."""
    if not give_memory_back():
        return None
    before = minor_faults()
    call()
    return minor_faults() - before


def give_memory_back() -> bool:
    """Return all free memory to the system, so that what is allocated next is new; False where that cannot be asked."""
    if not hasattr(_LIBC, "malloc_trim"):
        return False
    _LIBC.malloc_trim(0)
    return True


def minor_faults() -> int:
    """Page faults of this process so far that needed no disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
