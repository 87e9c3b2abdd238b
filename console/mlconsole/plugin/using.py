"""What asking a backend takes: how often it was asked, how often it throttled, and about what a day of that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Usage:
    """What a backend was asked today (UTC) by all processes of this workspace on this host."""

    backend: str
    calls: Mapping[str, int] = field(default_factory=dict)
    """`sagemaker:DescribeEndpoint` → requests, repeated ones too."""
    throttled: Mapping[str, int] = field(default_factory=dict)
    """The same, of those that the backend threw back because it was asked too often."""
    dollars_a_day: float | None = None
    """About what asking as it was asked today costs in a day, as far as it has a price; None: nobody can say."""
    priced: str = ""
    """What that is made of: `4 200 metrics so far`."""


@runtime_checkable
class Using(Protocol):
    """A role, mostly the one called `account`, that counts what is asked."""

    def usage(self) -> Usage:
        """What was asked today; no call to the backend."""
        ...
