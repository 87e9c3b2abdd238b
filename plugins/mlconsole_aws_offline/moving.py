"""Changes over time: an endpoint is brought up to now whenever somebody looks at it, so nothing has to tick."""

from __future__ import annotations

import math
from collections.abc import Callable

from mlconsole_aws_offline.records import Endpoint, Fleet, Json, Move, Phase
from mlconsole_aws_offline.state import State

_LOOK_AGAIN = 0.2
"""Seconds between two looks at guardrail alarms."""

_NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a different ML "
    "instance type or after some time."
)
_FAILED = "The endpoint could not be brought up, as the offline servers were asked to play."


class Moving:
    """Starts moves, and carries them through."""

    def __init__(self, state: State, firing: Callable[[tuple[str, ...]], str | None], ready: Callable[[str, Fleet], str | None]) -> None:
        """`firing`: the first of these alarms that is in ALARM. `ready`: why a fleet can't come up; None: it can."""
        self._state = state
        self._firing = firing
        self._ready = ready

    def create(self, endpoint: Endpoint, fleet: Fleet) -> None:
        """A new endpoint's first fleet."""
        now, fault = self._state.now(), self._state.fault(endpoint.name)
        why = self._ready(endpoint.name, fleet) or {"failed": _FAILED, "no_capacity": _NO_CAPACITY}.get(fault or "")
        until = math.inf if fault == "stuck" else now + self._state.settings.updating_seconds

        def end() -> None:
            if why:
                endpoint.status, endpoint.reason = "Failed", why
            else:
                endpoint.fleet, endpoint.status = fleet, "InService"

        endpoint.status = "Creating"
        endpoint.move = Move("create", [Phase("Creating", until)], end, coming=fleet, began=now)

    def update(self, endpoint: Endpoint, fleet: Fleet, deployment: Json | None) -> None:
        """A new fleet in place of the one that answers."""
        now, fault = self._state.now(), self._state.fault(endpoint.name)
        seconds = self._state.settings.updating_seconds
        why = self._ready(endpoint.name, fleet)
        phases = [Phase("Updating", math.inf if fault == "stuck" else now + seconds)]
        if fault != "stuck" and not why and fault is None:
            phases += self._traffic(deployment or {}, phases[-1].until)

        def arrive() -> None:
            endpoint.fleet, endpoint.config, endpoint.status, endpoint.reason = fleet, fleet.config, "InService", ""

        def return_(reason: str, status: str = "InService") -> None:
            endpoint.status, endpoint.reason = status, reason

        def back(reason: str) -> None:
            move = endpoint.move
            if move is not None:
                move.phases = [Phase("RollingBack", self._state.now() + seconds / 2)]
                move.end = lambda: return_(reason)
                move.alarms = ()

        end: Callable[[], None] = arrive
        if why or fault in ("silent_rollback", "no_capacity", "update_rollback_failed", "failed"):
            phases.append(Phase("RollingBack", phases[-1].until + seconds / 2))
            status = {"update_rollback_failed": "UpdateRollbackFailed", "failed": "Failed"}.get(fault or "", "InService")
            # A silent one gives no reason at all: only the config's name tells.
            reason = why or {"silent_rollback": "", "no_capacity": _NO_CAPACITY}.get(fault or "", _FAILED)
            end = lambda: return_(reason, status)  # noqa: E731 - one of several ends, named alike
        endpoint.reason = ""
        endpoint.deployment = deployment or endpoint.deployment
        alarms = tuple(str(one["AlarmName"]) for one in ((deployment or {}).get("AutoRollbackConfiguration") or {}).get("Alarms") or ())
        self._begin(endpoint, Move("update", phases, end, coming=fleet, began=now, alarms=alarms, back=back))

    def _traffic(self, deployment: Json, start: float) -> list[Phase]:
        """The waits of a guarded swap, scaled: the canary's or each linear step's, and the time before the old fleet ends."""
        policy = deployment.get("BlueGreenUpdatePolicy") or {}
        routing = policy.get("TrafficRoutingConfiguration") or {}
        scale, kind = self._state.settings.scale, routing.get("Type", "ALL_AT_ONCE")
        wait = float(routing.get("WaitIntervalInSeconds", 0)) * scale
        shares: list[float] = []
        if kind != "ALL_AT_ONCE":
            size = routing["CanarySize" if kind == "CANARY" else "LinearStepSize"]
            shares = [_share(size, 1)] if kind == "CANARY" else _steps(_share(size, 1))
        phases, at = [], start
        for share in [*shares, 1.0]:
            at += wait
            phases.append(Phase("Updating", at, share))
        phases.append(Phase("Updating", at + float(policy.get("TerminationWaitInSeconds", 0)) * scale, 1.0))
        return phases

    def weights(self, endpoint: Endpoint) -> None:
        """Weights and counts move to what is wanted."""
        settings, fault, now = self._state.settings, self._state.fault(endpoint.name), self._state.now()
        seconds = settings.updating_seconds if settings.weights_seconds is None else settings.weights_seconds
        fleet = endpoint.fleet
        assert fleet is not None
        before = [(one, one.weight, one.count) for one in fleet.variants()]

        def arrive() -> None:
            for one in fleet.variants():
                one.weight, one.count = one.wanted_weight, one.wanted_count
            endpoint.status, endpoint.reason = "InService", ""

        def return_() -> None:
            for one, weight, count in before:
                one.weight = one.wanted_weight = weight
                one.count = one.wanted_count = count
            endpoint.status = {"update_rollback_failed": "UpdateRollbackFailed", "failed": "Failed"}.get(fault or "", "InService")
            endpoint.reason = {"silent_rollback": "", "no_capacity": _NO_CAPACITY}.get(fault or "", _FAILED)

        phases = [Phase("Updating", math.inf if fault == "stuck" else now + seconds)]
        if fault not in (None, "stuck"):
            phases.append(Phase("RollingBack", phases[-1].until + seconds / 2))
        endpoint.reason = ""
        self._begin(endpoint, Move("weights", phases, arrive if fault in (None, "stuck") else return_, began=now))

    def delete(self, endpoint: Endpoint) -> None:
        """Away with it."""
        now = self._state.now()

        def end() -> None:
            self._state.endpoints.pop(endpoint.name, None)

        self._begin(endpoint, Move("delete", [Phase("Deleting", now + self._state.settings.deleting_seconds)], end, began=now))

    def _begin(self, endpoint: Endpoint, move: Move) -> None:
        endpoint.move, endpoint.status = move, move.phases[0].status
        # Two moments in one millisecond would look like no change at all.
        endpoint.modified = max(move.began, endpoint.modified + 0.001)

    def advance(self, endpoint: Endpoint) -> None:
        """Bring an endpoint up to now."""
        now = self._state.now()
        while (move := endpoint.move) is not None:
            if move.alarms and now - move.looked > _LOOK_AGAIN:
                move.looked = now
                alarm = self._firing(move.alarms)
                if alarm is not None and move.back is not None:
                    move.back(f"One or more configured alarms went into alarm state: {alarm}. The endpoint was rolled back.")
            if move.phases[0].until > now:
                endpoint.status = move.phases[0].status
                return
            ended = move.phases.pop(0).until
            endpoint.modified = max(ended, endpoint.modified + 0.001)
            if not move.phases:
                endpoint.move = None
                move.end()

    def all(self) -> None:
        """All endpoints up to now."""
        for endpoint in list(self._state.endpoints.values()):
            self.advance(endpoint)


def _share(size: Json, whole: int) -> float:
    """A capacity size as a part of the fleet; of instances at least one of all."""
    return float(size["Value"]) / 100 if size["Type"] == "CAPACITY_PERCENT" else min(1.0, float(size["Value"]) / max(1, whole))


def _steps(step: float) -> list[float]:
    steps, share = [], step
    while share < 0.999:
        steps.append(share)
        share += step
    return steps
