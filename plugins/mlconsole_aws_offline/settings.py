"""How our SageMaker part behaves: what `control` may say. Whatever is not said is as it is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from mlconsole_aws_offline import faults

FAULTS = ("silent_rollback", "update_rollback_failed", "stuck", "failed", "no_capacity")


@dataclass(frozen=True)
class Settings:
    """The settings; times in seconds."""

    updating_seconds: float = 0.3
    """How long Creating and Updating last."""
    weights_seconds: float | None = None
    """The same for UpdateEndpointWeightsAndCapacities; None: as `updating_seconds`."""
    deleting_seconds: float = 0.1
    scale: float = 0.01
    """Waits and bakes of a DeploymentConfig take so much of what they say."""
    fault: str | None = None
    """How updates of endpoints end: `silent_rollback` (InService with the old config), `no_capacity` (the same, of a sort that the service
    gives a reason for), `update_rollback_failed`, `stuck` (never), `failed`."""
    fault_share: float = 1.0
    fault_times: int = -1
    """So many updates meet it; -1: all."""
    fault_endpoints: tuple[str, ...] = ()
    """Which endpoints; none: all."""
    force: Mapping[str, str] = field(default_factory=dict)
    """Endpoint → a status that it has for as long as this is set (SystemUpdating, OutOfService, …)."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Instance type → so many in all; more is ResourceLimitExceeded."""
    check_data: bool = True
    """CreateModel refuses model data that do not lie in S3."""
    model_errors: Mapping[str, float] = field(default_factory=dict)
    """Variant → the share of its requests that its container answers with 500."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Variant → so much longer."""
    capture_seconds: float = 0.2
    """How long captured data are collected before they are a file."""
    capture_keep_seconds: float | None = None
    """Captured data are deleted when they are so old, as a bucket's own rule would; None: never. moto keeps all of it in memory."""
    metrics_seconds: float = 0.5
    """How often figures are handed to CloudWatch."""
    metrics_period: int = 60
    """Seconds that one figure is of: 60, or 10 as an endpoint with a MetricsConfig would have it."""
    warm: bool = False
    """Containers are started when an endpoint is made, not when the first request comes."""
    seed: int = 0

    @staticmethod
    def of(said: Mapping[str, Any]) -> Settings:
        """The settings that are said, defaults for the rest.

        Raises:
            ValueError: an unknown one, or a fault that is none.
        """
        known = {one.name for one in fields(Settings)}
        others = {*faults.KNOWN, "minute_seconds"}
        unknown = set(said) - known - others
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known | others))}")
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items() if name in known}
        made = replace(Settings(), **given)
        if made.fault is not None and made.fault not in FAULTS:
            raise ValueError(f"no such fault: {made.fault}; known: {', '.join(FAULTS)}")
        return made
