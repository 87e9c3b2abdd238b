"""botocore's adaptive pace, with two bounds that it has not: nobody waits in it for longer than his call may take, and it never falls so
low that a console is blind. Beside it botocore's standard retries are the one layer that repeats anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LEAST = 5.0
"""Requests a second that one client may always send. botocore goes down to one in two seconds: 100 endpoints would take minutes."""

_LOOKS = 0.02


class TimeUp(Exception):
    """It would be sent too late: whoever asks has stopped waiting by then."""


def pace(client: Any, until: Callable[[], float]) -> None:
    """Let a client made with `retries.mode: standard` slow down where it is throttled, as `adaptive` does.

    Args:
        until: up to when the calling thread may wait (monotonic).
    """
    from botocore.retries import adaptive, bucket, standard, throttling

    class Bucket(bucket.TokenBucket):  # type: ignore[misc]
        def acquire(self, amount: float = 1, block: bool = True) -> bool:
            while True:
                try:
                    return bool(super().acquire(amount, block=False))
                except bucket.CapacityNotAvailableError:
                    if not block or time.monotonic() > until():
                        raise TimeUp from None
                    time.sleep(_LOOKS)

    clock = bucket.Clock()
    limiter = adaptive.ClientRateLimiter(
        rate_adjustor=throttling.CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
        rate_clocker=adaptive.RateClocker(clock),
        token_bucket=Bucket(max_rate=LEAST, clock=clock, min_rate=LEAST),
        throttling_detector=standard.ThrottlingErrorDetector(retry_event_adapter=standard.RetryEventAdapter()),
        clock=clock,
    )
    client.meta.events.register("before-send", limiter.on_sending_request)
    client.meta.events.register("needs-retry", limiter.on_receiving_response)
