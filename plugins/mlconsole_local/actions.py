"""Actions of the local plugin: replaying recorded events as real traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlconsole.core.models import Json
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, NotFound, Unavailable
from mlconsole.plugin.roles import Action, Parameter
from mlconsole_local.gateway import Gateway
from mlconsole_local.replay import read_events
from mlconsole_local.replays import Replays, ReplayStatus
from mlconsole_local.state import locked

_ENDPOINT = Parameter("endpoint", "whose traffic")


@dataclass(frozen=True)
class _LocalAction:
    name: str
    summary: str
    parameters: Sequence[Parameter]
    does: Callable[[Mapping[str, str]], Mapping[str, Json]]
    safe: bool = True

    def run(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        """Do it, with the defaults filled in."""
        known = {parameter.name for parameter in self.parameters}
        unknown = sorted(set(parameters) - known)
        if unknown:
            raise InvalidRequest(f"{self.name} has no parameter {unknown[0]}.", next=f"It has {', '.join(sorted(known))}.")
        filled = {parameter.name: parameter.default for parameter in self.parameters} | dict(parameters)
        missing = sorted(name for name, value in filled.items() if value is None)
        if missing:
            raise InvalidRequest(f"{self.name} needs {', '.join(missing)}.")
        return self.does({name: str(value) for name, value in filled.items()})


class LocalActions:
    """See `plugin.roles.Actions`."""

    def __init__(self, context: Context) -> None:
        self._root = context.state
        self._workspace = context.root
        self._gateway = Gateway(context.state)
        self._replays = Replays(context.state)

    def actions(self) -> Sequence[Action]:
        """Starting, stopping and counting replayed traffic."""
        events = Parameter("events", "a file of JSON lines: {id, inputs}")
        rate = Parameter("rate", "requests a second", "50")
        slices = Parameter("slices", "slice keys and the inputs they are read from: language=language,…", "")
        return [
            _LocalAction("traffic-start", "replay recorded events as requests", (_ENDPOINT, events, rate, slices), self._start),
            _LocalAction("traffic-stop", "stop replaying", (_ENDPOINT,), self._stop),
            _LocalAction("traffic-status", "how much was sent, and how much failed", (_ENDPOINT,), self._status),
        ]

    def _start(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        info = self._gateway.info()
        if info is None or not info.ready:
            raise Unavailable("The gateway is not up.", next="mlconsole local up")
        endpoint = parameters["endpoint"]
        if not any(routing.endpoint == endpoint for routing in self._gateway.desired()):
            raise NotFound(f'There is no endpoint "{endpoint}" behind this gateway.', next="mlconsole endpoints list")
        try:
            rate = float(parameters["rate"])
        except ValueError:
            raise InvalidRequest(f'"{parameters["rate"]}" is no number of requests a second.') from None
        slices = _slices(parameters["slices"])
        events = self._workspace / Path(parameters["events"])
        _check_events(events, slices)
        with locked(self._root):
            return _told(self._replays.ensure(endpoint, events, info.url, rate=rate, slices=slices))

    def _stop(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        with locked(self._root):
            self._replays.stop(parameters["endpoint"])
        return self._status(parameters)

    def _status(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        found = self._replays.status(parameters["endpoint"])
        if found is None:
            raise NotFound(f"No traffic is replayed to {parameters['endpoint']}.", next="Start it: traffic-start.")
        return _told(found)


def _slices(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    for key, equals, name in pairs:
        if not key.strip() or not equals or not name.strip():
            raise InvalidRequest(f'"{text}" does not name slices.', next="Write KEY=INPUT, several with commas: language=language.")
    return {key.strip(): name.strip() for key, _, name in pairs}


def _check_events(events: Path, slices: Mapping[str, str]) -> None:
    """What can't be replayed is said at once, and not in the log of a process that ended a moment later."""
    try:
        read_events(events, slices)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    except OSError as error:
        raise InvalidRequest(f"The events at {events} can't be read: {error.strerror}.") from None


def _told(status: ReplayStatus) -> Mapping[str, Json]:
    return {
        "endpoint": status.endpoint,
        "pid": status.pid,
        "rate": status.rate,
        "sent": status.sent,
        "failed": status.failed,
        "late": status.late,
        "by_status": dict(status.by_status),
        "last_error": status.last_error,
    }
