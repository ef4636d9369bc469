"""How long a call takes."""

from __future__ import annotations

import time


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
