"""What all of our SageMaker part shares: the records, the settings, one lock."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mlconsole_aws_offline.records import Endpoint, Json, Record
from mlconsole_aws_offline.replies import AwsError
from mlconsole_aws_offline.settings import Settings

DEFAULT_PAGE, GREATEST_PAGE = 10, 100


class State:
    """Records by name. Hold `lock` while you read or change them."""

    def __init__(self, account: str, region: str) -> None:
        self.account, self.region = account, region
        self.lock = threading.RLock()
        self.settings = Settings()
        self.random = random.Random(0)
        self.models: dict[str, Record] = {}
        self.configs: dict[str, Record] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.faults_left = -1

    def control(self, said: Mapping[str, Any]) -> None:
        """Take settings.

        Raises:
            ValueError: one of them is none.
        """
        made = Settings.of(said)
        with self.lock:
            self.settings, self.faults_left = made, made.fault_times
            self.random = random.Random(made.seed)

    def reset(self) -> None:
        """As new."""
        with self.lock:
            self.models, self.configs, self.endpoints = {}, {}, {}
            self.control({})

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def arn(self, kind: str, name: str) -> str:
        """`endpoint`, `endpoint-config`, `model`; the real ones have the name in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def fault(self, endpoint: str) -> str | None:
        """The fault that a change of this endpoint is to meet, taken once."""
        said = self.settings
        if said.fault is None or self.faults_left == 0 or (said.fault_endpoints and endpoint not in said.fault_endpoints):
            return None
        if self.random.random() >= said.fault_share:
            return None
        self.faults_left -= 1
        return said.fault

    def tagged(self, arn: str) -> Record | Endpoint | None:
        """Whose tags an ARN names; None: none of ours."""
        every: Iterable[Record | Endpoint] = [*self.models.values(), *self.configs.values(), *self.endpoints.values()]
        return next((one for one in every if one.arn == arn), None)


def moment(seconds: float) -> datetime:
    """A moment as the replies have it."""
    return datetime.fromtimestamp(seconds, UTC)


def tags_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a request."""
    return {str(one["Key"]): str(one["Value"]) for one in body.get("Tags") or ()}


def page(body: Mapping[str, Any], found: list[Any], key: str, told: Callable[[Any], Json], *, status: bool = False) -> Json:
    """A listing as all of SageMaker's are: filtered, sorted, ten at a time unless more are asked for.

    Raises:
        AwsError: a token that is none.
    """
    found = [one for one in found if _kept(one, body)]
    by = body.get("SortBy", "CreationTime")
    orders: dict[str, Callable[[Any], Any]] = {"Name": lambda one: one.name, "CreationTime": lambda one: (one.created, one.name)}
    if status:
        orders["Status"] = lambda one: (one.status, one.name)
    found.sort(key=orders[by], reverse=body.get("SortOrder", "Descending") == "Descending")
    token = body.get("NextToken") or "0"
    if not token.isdecimal():
        raise AwsError("ValidationException", f"Invalid pagination token: {token}")
    start, size = int(token), int(body.get("MaxResults") or DEFAULT_PAGE)
    more = start + size < len(found)
    return {key: [told(one) for one in found[start : start + size]], **({"NextToken": str(start + size)} if more else {})}


def _kept(one: Any, body: Mapping[str, Any]) -> bool:
    changed = getattr(one, "modified", one.created)
    return (
        str(body.get("NameContains", "")).lower() in one.name.lower()
        and (body.get("StatusEquals") in (None, getattr(one, "status", None)))
        and one.created < float(body.get("CreationTimeBefore", "inf"))
        and one.created > float(body.get("CreationTimeAfter", "-inf"))
        and changed < float(body.get("LastModifiedTimeBefore", "inf"))
        and changed > float(body.get("LastModifiedTimeAfter", "-inf"))
    )
