"""Ours, on top of ministack's AppConfig: listings come in pages, versions and deployments the newest first, as the real service gives them.

ministack cuts a listing off after 50 entries, oldest first, and gives no token: what is newest could not be seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_MOST = 50
_LISTED = re.compile(r"/applications(/[^/]+/(environments|configurationprofiles)(/[^/]+/(hostedconfigurationversions|deployments))?)?")
_STRATEGIES = frozenset({"/deploymentstrategies", "/deployementstrategies"})
_NUMBERS = ("VersionNumber", "DeploymentNumber")

Reply = tuple[int, dict[str, str], bytes]


def is_listing(method: str, path: str) -> bool:
    """Whether a request lists something."""
    return method == "GET" and (path in _STRATEGIES or _LISTED.fullmatch(path) is not None)


def everything(query: Mapping[str, Any]) -> dict[str, Any]:
    """The same listing, not cut off."""
    return {**query, "max_results": "1000000"}


def paged(service: Any, path: str, reply: Reply, query: Mapping[str, Any]) -> Reply:
    """One page of a whole listing."""
    status, headers, body = reply
    if status != 200:
        return reply
    items = json.loads(body)["Items"]
    number = next((one for one in _NUMBERS if items and one in items[0]), None)
    if number is not None:
        items.sort(key=lambda one: -int(one[number]))
    if number == "DeploymentNumber":
        _, _, application, _, environment, _ = path.split("/")
        for one in items:
            record = service._deployments[f"{application}/{environment}/{one[number]}"]
            one["ConfigurationProfileId"] = record["ConfigurationProfileId"]
    begin, most = int(_first(query, "next_token") or 0), int(_first(query, "max_results") or _MOST)
    end = begin + min(most, _MOST)
    page = {"Items": items[begin:end], **({"NextToken": str(end)} if end < len(items) else {})}
    return status, headers, json.dumps(page).encode()


def _first(query: Mapping[str, Any], name: str) -> str:
    value = query.get(name) or ""
    return str(value[0] if isinstance(value, list) else value)
