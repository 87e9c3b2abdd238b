"""Looking at SageMaker with few calls: one list for all endpoints, and a description of those only that changed or are being changed.

A list tells of each endpoint when it was last modified, and its status. What was described at that moment is still so; endpoint configs and
models never change. So a first look at N endpoints costs ⌈N/100⌉ lists and a description of each endpoint, config and distinct model, a
later one ⌈N/100⌉ lists and what changed. Three rules keep that from ever telling something stale of a change of ours:

- what is in flight is always described directly,
- what we changed is described directly for `_WATCHED` seconds, for AWS may say *InService* for a moment after it took an order,
- a list serves each endpoint once, and is thrown away when we change anything.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from mlconsole.plugin.errors import BackendError, NotFound
from mlconsole_aws.clients import Clients
from mlconsole_aws.once import Once

_SHARED = 5.0
"""Seconds for which a list serves those whom it has not served yet."""
_WATCHED = 60.0
_SCALED = 300.0
"""Seconds for which it is remembered who is scaled by itself: asked for all at once, and seldom."""

IN_FLIGHT = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})

Described = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """One SageMaker endpoint, joined: as described, its config, the config it is on its way to (empty: none), their models by name."""

    endpoint: Described
    config: Described
    pending: Described
    models: Mapping[str, Described]

    @property
    def name(self) -> str:
        """How SageMaker calls it."""
        return str(self.endpoint["EndpointName"])

    @property
    def arn(self) -> str:
        """Its address for tags."""
        return str(self.endpoint["EndpointArn"])

    @property
    def status(self) -> str:
        """As SageMaker says it: InService, Updating, …"""
        return str(self.endpoint["EndpointStatus"])


@dataclass
class _Listing:
    """A list that was made, or is being made: name → status and time of the last modification."""

    began: float
    found: Future[Mapping[str, tuple[str, float]]] = field(default_factory=Future)
    served: set[str] = field(default_factory=set)


class Looks:
    """What is known of the endpoints of an account; shared by all roles that use the same clients, and by all threads."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._changed: dict[str, float] = {}
        """Endpoint → when we changed it last."""
        self._listing: _Listing | None = None
        self._configs: Once[str, Described] = Once()
        self._models: Once[str, Described] = Once()
        self._scaled: tuple[float, Mapping[str, str]] | None = None
        self._scaling = threading.Lock()

    def listed(self, who: str | None = None) -> Mapping[str, tuple[str, float]]:
        """All endpoints: name → status and when it was modified. For `who` one that was made a moment ago will do, unless it has served
        that one already; for nobody in particular it is made now."""
        now = self._clients.clock.elapsed()
        with self._lock:
            listing = self._listing
            mine = listing is None or who is None or who in listing.served or now - listing.began > _SHARED
            if listing is None or mine:
                listing = self._listing = _Listing(now)
            if who is not None:
                listing.served.add(who)
        if mine:
            try:
                listing.found.set_result(self._list())
            except BaseException as error:
                with self._lock:
                    if self._listing is listing:
                        self._listing = None
                listing.found.set_exception(error)
                raise
        return listing.found.result()

    def seen(self, name: str) -> Seen | None:
        """An endpoint as it is; None: there is none."""
        known = self._known(name)
        if known is None or self.recently_changed(name):
            return self.fresh(name)
        listed = self.listed(name).get(name)
        return known if listed == _moment(known.endpoint) else self.fresh(name)

    def seen_in(self, name: str, listed: Mapping[str, tuple[str, float]]) -> Seen | None:
        """The same, by a list that is there already."""
        known = self._known(name)
        if known is None or self.recently_changed(name) or listed.get(name) != _moment(known.endpoint):
            return self.fresh(name)
        return known

    def fresh(self, name: str) -> Seen | None:
        """An endpoint as SageMaker describes it now."""
        try:
            endpoint = self._clients.call("sagemaker", "describe_endpoint", EndpointName=name)
        except NotFound:
            with self._lock:
                self._seen.pop(name, None)
            return None
        known = self._seen.get(name)
        settled = endpoint["EndpointStatus"] not in IN_FLIGHT
        if known is not None and settled and _moment(known.endpoint) != _moment(endpoint):
            # A config or model that nobody here named may have been made anew under its old name.
            for config in (known.config, known.pending):
                self._configs.drop(str(config.get("EndpointConfigName", "")))
            for model in known.models:
                self._models.drop(model)
        config = self._config(str(endpoint.get("EndpointConfigName", "")))
        going = str((endpoint.get("PendingDeploymentSummary") or {}).get("EndpointConfigName", ""))
        pending = self._config(going) if going and going != config.get("EndpointConfigName") else {}
        used = [str(one["ModelName"]) for one in (*declared(config), *declared(pending)) if one.get("ModelName")]
        models = {model: found for model in dict.fromkeys(used) if (found := self._model(model)) is not None}
        seen = Seen(endpoint, config, pending, models)
        with self._lock:
            self._seen[name] = seen
        return seen

    def changed(self, name: str) -> None:
        """We changed, or tried to change, that endpoint: what was known of it counts for nothing."""
        with self._lock:
            self._seen.pop(name, None)
            self._changed[name] = self._clients.clock.elapsed()
            self._listing = None

    def recently_changed(self, name: str | None = None, *, within: float = _WATCHED) -> tuple[str, ...]:
        """Those that we changed a moment ago: that one, or any."""
        now = self._clients.clock.elapsed()
        with self._lock:
            return tuple(one for one, at in self._changed.items() if name in (None, one) and now - at < within)

    def scaled(self) -> Mapping[str, str]:
        """`endpoint/NAME/variant/VARIANT` → how many instances it is scaled between; empty where nobody may ask."""
        with self._scaling:
            now = self._clients.clock.elapsed()
            if self._scaled is None or now - self._scaled[0] > _SCALED:
                try:
                    targets = list(
                        self._clients.pages(
                            "application-autoscaling", "describe_scalable_targets", "ScalableTargets", ServiceNamespace="sagemaker"
                        )
                    )
                except BackendError:
                    targets = []
                told = {str(one["ResourceId"]): f"{one.get('MinCapacity')} to {one.get('MaxCapacity')}" for one in targets}
                self._scaled = now, told
            return self._scaled[1]

    def _known(self, name: str) -> Seen | None:
        """What was described, unless that was something in flight."""
        with self._lock:
            known = self._seen.get(name)
        return None if known is None or known.status in IN_FLIGHT else known

    def _list(self) -> dict[str, tuple[str, float]]:
        found = self._clients.pages("sagemaker", "list_endpoints", "Endpoints", MaxResults=100)
        return {str(one["EndpointName"]): _moment(one) for one in found}

    def _config(self, name: str) -> Described:
        if not name:
            return {}
        try:
            return self._configs.get(name, lambda: self._clients.call("sagemaker", "describe_endpoint_config", EndpointConfigName=name))
        except NotFound:
            return {}  # somebody deleted it; the endpoint goes on serving

    def _model(self, name: str) -> Described | None:
        try:
            return self._models.get(name, lambda: self._clients.call("sagemaker", "describe_model", ModelName=name))
        except NotFound:
            return None


_looks: dict[Clients, Looks] = {}
_making = threading.Lock()


def looks_of(clients: Clients) -> Looks:
    """The looks of these clients."""
    with _making:
        if clients not in _looks:
            _looks[clients] = Looks(clients)
        return _looks[clients]


def declared(config: Described) -> list[Described]:
    """All variants of an endpoint config, the shadow last."""
    return [*(config.get("ProductionVariants") or ()), *(config.get("ShadowProductionVariants") or ())]


def _moment(described: Described) -> tuple[str, float]:
    return str(described["EndpointStatus"]), round(described["LastModifiedTime"].timestamp(), 3)
