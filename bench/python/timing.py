"""How long a call takes."""

from __future__ import annotations

import time


#: Calls before a rival is timed, and seconds after which there are enough of them.
WARM_CALLS, WARM = 8, 20e-3


def warm_up(call) -> None:
    """Calls that are not timed: the first ones pay for new pages of their results, and for what the
    rival before has left in the caches."""
    start = time.perf_counter()
    for _ in range(WARM_CALLS):
        call()
        if time.perf_counter() - start >= WARM:
            return


def per_call(call, budget: float) -> float:
    """Microseconds of a call."""
    count = 1
    while True:
        start = time.perf_counter()
        for _ in range(count):
            call()
        took = time.perf_counter() - start
        if took >= budget or count >= 20_000:
            return took / count * 1e6
        count = max(count + 1, min(count * 10, int(count * budget / max(took, 1e-9)) + 1))
