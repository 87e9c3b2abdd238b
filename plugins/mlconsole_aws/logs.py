"""What a variant's containers wrote, from CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Sequence

from mlconsole.plugin.errors import NotFound
from mlconsole_aws.clients import Clients

_STREAMS = 5
"""Instances whose logs are read: those that wrote last."""


def tail(clients: Clients, native: str, variant: str, lines: int) -> Sequence[str]:
    """The last lines of all instances of a production variant, oldest first; nothing where nothing was written yet."""
    if lines <= 0:
        return ()
    group = f"/aws/sagemaker/Endpoints/{native}"
    try:
        streams = list(
            clients.pages(
                "logs", "describe_log_streams", "logStreams", token="nextToken", logGroupName=group, logStreamNamePrefix=f"{variant}/"
            )
        )
    except NotFound:
        return ()
    newest = sorted(streams, key=lambda one: int(one.get("lastEventTimestamp") or one.get("creationTime") or 0))[-_STREAMS:]
    found: list[tuple[int, int, str]] = []
    for number, stream in enumerate(newest):
        events = clients.call(
            "logs",
            "get_log_events",
            logGroupName=group,
            logStreamName=stream["logStreamName"],
            limit=min(lines, 10_000),
            startFromHead=False,
        )
        found += [
            (int(one.get("timestamp") or 0), number, str(one.get("message") or "").rstrip("\n")) for one in events.get("events") or ()
        ]
    found.sort(key=lambda one: one[:2])
    return tuple(message for _, _, message in found[-lines:])
