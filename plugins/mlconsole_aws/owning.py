"""Whose an endpoint is, and who may still change it: tags on it, read before each change.

A tag is no compare-and-set: SageMaker has none, and no idempotency token. So a driver that lost its lease is stopped here in all but the
one moment between reading the tag and the call.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mlconsole.plugin.errors import Conflict, Refused
from mlconsole.plugin.roles import Order
from mlconsole_aws import marks
from mlconsole_aws.clients import Clients

_FENCE_COUNTS = 3600.0
"""Seconds for which a token on an endpoint counts. A registry that was lost and begun anew counts from one again: it must not be locked out
for ever, and no lease is as old."""


class Owning:
    """Reads and writes those tags."""

    def __init__(self, clients: Clients, registry: str) -> None:
        self._clients, self._registry = clients, registry
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}

    def check_fence(self, endpoint: str, order: Order) -> None:
        """Refuse a driver that this process has seen a newer one than.

        Raises:
            Conflict: it is not the newest.
        """
        with self._lock:
            newest = self._newest.get(endpoint, 0)
            if order.fence < newest:
                raise Conflict(f"Somebody else has taken over the change of {endpoint} meanwhile. Nothing was changed.")
            self._newest[endpoint] = order.fence

    def take(self, native: str, arn: str, order: Order, tags: Mapping[str, str]) -> None:
        """See that the endpoint is ours, or nobody's, and write on it that we change it now, to which release.

        Raises:
            Refused: another registry changes it.
            Conflict: a newer driver does.
        """
        there = marks.tags_of(self._clients.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn))
        owner = there.get(marks.REGISTRY, "")
        if owner and owner != self._registry:
            raise Refused(
                f"{native} is changed from {owner}, this is {self._registry}. Nothing was changed.",
                next=f"Change it from there; or take the tag {marks.REGISTRY} off it, if nobody does any more.",
            )
        now = int(self._clients.clock.now().timestamp())
        token, _, at = there.get(marks.FENCE, "").partition("@")
        if token.isdecimal() and at.isdecimal() and int(token) > order.fence and now - int(at) < _FENCE_COUNTS:
            raise Conflict(f"Somebody else has taken over the change of {native} meanwhile. Nothing was changed.")
        wanted = {key: marks.taggable(value) for key, value in self.tags(order, tags).items()}
        if any(there.get(key) != value for key, value in wanted.items() if key != marks.FENCE) or token != str(order.fence):
            self._clients.call("sagemaker", "add_tags", change=True, ResourceArn=arn, Tags=marks.as_tags(wanted))

    def tags(self, order: Order, more: Mapping[str, str]) -> dict[str, str]:
        """What stands on an endpoint that we change."""
        now = int(self._clients.clock.now().timestamp())
        return {marks.REGISTRY: self._registry, marks.RELEASE: order.release, marks.FENCE: f"{order.fence}@{now}", **more}
