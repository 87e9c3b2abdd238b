"""Faults that are played before or after a call, whichever service it is for: seeded, so that a run can be had again."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from typing import Any

KNOWN = (
    "throttle",
    "http_500",
    "expired",
    "denied",
    "timeout_after_effect",
    "hang_seconds",
    "delay_seconds",
    "services",
    "operations",
    "times",
    "seed",
)


class Faults:
    """What goes wrong on the way. Everything is off until it is set; each `set` says all anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set({})

    def set(self, settings: Mapping[str, Any]) -> None:
        """Take the settings that are faults (`KNOWN`), and forget those before."""
        with self._lock:
            self._throttle = _share(settings.get("throttle", 0.0))
            self._broken = _share(settings.get("http_500", 0.0))
            self._silent = _share(settings.get("timeout_after_effect", 0.0))
            self._expired = bool(settings.get("expired", False))
            self._denied = bool(settings.get("denied", False))
            self.hang = float(settings.get("hang_seconds", 0.0))
            self.delay = float(settings.get("delay_seconds", 0.0))
            self._services = tuple(settings.get("services", ()))
            self._operations = tuple(settings.get("operations", ()))
            self._left = int(settings.get("times", -1))
            self._random = random.Random(settings.get("seed", 0))

    def before(self, service: str, operation: str) -> tuple[int, str, str] | None:
        """A refusal (status, code, message) in place of the call; None: it goes on."""
        with self._lock:
            if not self._concerns(service, operation):
                return None
            if self._expired and self._take():
                return (
                    403 if service in ("sts", "iam", "s3") else 400,
                    "ExpiredTokenException",
                    "The security token included in the request is expired",
                )
            if self._denied and self._take():
                text = f"User: arn:aws:iam::123456789012:user/offline is not authorized to perform: {service}:{operation}"
                return 400 if service == "sagemaker" else 403, "AccessDeniedException", text
            if self._random.random() < self._throttle and self._take():
                return 400, "ThrottlingException", "Rate exceeded"
            if self._random.random() < self._broken and self._take():
                return 500, "InternalFailure", "The request processing has failed because of an unknown error"
            return None

    def silent_after(self, service: str, operation: str, changes: bool) -> bool:
        """Whether this call's effect happens and its answer never arrives."""
        with self._lock:
            return changes and self._concerns(service, operation) and self._random.random() < self._silent and self._take()

    def _concerns(self, service: str, operation: str) -> bool:
        return (not self._services or service in self._services) and (not self._operations or operation in self._operations)

    def _take(self) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        return True


def _share(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"a share between 0 and 1 is wanted, not {value}")
    return number
