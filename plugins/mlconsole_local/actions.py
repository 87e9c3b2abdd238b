"""Actions of the local plugin: recorded events as real traffic, a companion service filled again, and what drills break on purpose."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlconsole.core.models import Json
from mlconsole.core.text import did_you_mean
from mlconsole.core.traffic import Traffic
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, NotFound, Refused, Unavailable
from mlconsole.plugin.roles import Action, Parameter
from mlconsole_local import processes
from mlconsole_local.gateway import Gateway
from mlconsole_local.lifecycle import ensure_service
from mlconsole_local.replay import Filter, read_events
from mlconsole_local.replays import Replays, ReplayStatus
from mlconsole_local.services import Services
from mlconsole_local.state import Layout, locked

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
        self._configured: Mapping[str, Any] = context.options["services"]
        self._gateway = Gateway(context.state)
        self._replays = Replays(context.state)
        self._services = Services(context.state)
        self._layout = Layout(context.state)

    def actions(self) -> Sequence[Action]:
        """Replayed traffic; filling a companion service again; and for drills, what breaks things on purpose."""
        traffic = (
            _ENDPOINT,
            Parameter("events", "a file of JSON lines: {id, inputs}; else those that were replayed last", ""),
            Parameter("rate", "requests a second; else as it was last, 50 at first", ""),
            Parameter("slices", "slice keys and the inputs they are read from: language=language,…; else as they were last", ""),
            Parameter("without", "events that are left out while the others go on at their rate: language=de,…", ""),
            Parameter("only", "events that alone are sent, at the rate they had among all: language=pl,…", ""),
        )
        service = Parameter("service", "the companion service")
        variant = Parameter("variant", "whose server; else that of the variant with the most traffic", "")
        return [
            _LocalAction("traffic-start", "replay recorded events as requests", traffic, self._start),
            _LocalAction("traffic-stop", "stop replaying", (_ENDPOINT,), self._stop),
            _LocalAction("traffic-status", "how much was sent, and how much failed", (_ENDPOINT,), self._status),
            _LocalAction("service-load", "fill a companion Redis again from its file", (service,), self._load),
            _LocalAction("service-empty", "for drills: throw away all that a companion Redis holds", (service,), self._empty, safe=False),
            _LocalAction("server-kill", "for drills: kill one variant's server", (_ENDPOINT, variant), self._kill, safe=False),
        ]

    def _start(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        info = self._gateway.info()
        if info is None or not info.ready:
            raise Unavailable("The gateway is not up.", next="mlconsole local up")
        endpoint = parameters["endpoint"]
        self._traffic(endpoint)
        before = self._replays.source(endpoint)
        if not parameters["events"] and before is None:
            raise InvalidRequest("traffic-start needs events: nothing was replayed before.")
        events = self._workspace / parameters["events"] if parameters["events"] or before is None else before.events
        rate = _rate(parameters["rate"]) if parameters["rate"] else before.rate if before else 50.0
        slices = dict(_pairs(parameters["slices"], "slices", "KEY=INPUT")) if parameters["slices"] else before.slices if before else {}
        left_out = Filter(*(_pairs(parameters[name], "events", "KEY=VALUE") for name in ("without", "only")))
        _check_events(events, slices, left_out)
        with locked(self._root):
            return _told(self._replays.ensure(endpoint, events, info.url, rate=rate, slices=slices, left_out=left_out))

    def _stop(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        with locked(self._root):
            self._replays.stop(parameters["endpoint"], off=True)
        return self._status(parameters)

    def _status(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        found = self._replays.status(parameters["endpoint"])
        if found is None:
            raise NotFound(f"No traffic is replayed to {parameters['endpoint']}.", next="Start it: traffic-start.")
        return _told(found)

    def _load(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        name = self._service(parameters)
        began = time.monotonic()
        with locked(self._root):
            before = self._keys(name)
            found = ensure_service(self._services, self._workspace, name, self._configured[name], again=True)
        milliseconds = round(1000 * (time.monotonic() - began))
        return {"service": name, "keys": found.keys, "before": before, "wanted": found.wanted, "milliseconds": milliseconds}

    def _empty(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        name = self._service(parameters)
        with locked(self._root):
            before = self._services.empty(name)
        return {"service": name, "keys": self._keys(name), "before": before}

    def _kill(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        endpoint = parameters["endpoint"]
        variant = parameters["variant"]
        if not variant:
            split = self._traffic(endpoint).split
            variant = max(split, key=lambda name: split[name])
        with locked(self._root):
            process = processes.find(self._layout.variant(endpoint, variant))
            if process is None:
                raise NotFound(f"No server of {variant} runs behind {endpoint}.", next=f"mlconsole endpoints show {endpoint}")
            processes.send(process, signal.SIGKILL)
            processes.wait_gone(process, 5.0)
        return {"endpoint": endpoint, "variant": variant, "pid": process.pid, "back": "mlconsole local up"}

    def _traffic(self, endpoint: str) -> Traffic:
        found = next((routing for routing in self._gateway.desired() if routing.endpoint == endpoint), None)
        if found is None:
            raise NotFound(f'There is no endpoint "{endpoint}" behind this gateway.', next="mlconsole endpoints list")
        if found.traffic is None:
            raise Refused(
                f"Nobody splits the requests of {endpoint} here: applications choose a variant and ask for it by name. Nothing was done.",
                next="Ask as they do: header x-mlconsole-variant.",
            )
        return found.traffic

    def _service(self, parameters: Mapping[str, str]) -> str:
        name = parameters["service"]
        if name not in self._configured:
            raise NotFound(f'There is no service "{name}" here. {did_you_mean(name, self._configured)}')
        return name

    def _keys(self, name: str) -> int | None:
        """How many it holds; None where it does not answer, or never ran."""
        try:
            return self._services.describe(name).keys
        except NotFound:
            return None


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidRequest(f'"{text}" is no number of requests a second.') from None


def _pairs(text: str, what: str, form: str) -> tuple[tuple[str, str], ...]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    for key, equals, value in pairs:
        if not key.strip() or not equals or not value.strip():
            raise InvalidRequest(f'"{text}" does not name {what}.', next=f"Write {form}, several with commas: language=de.")
    return tuple((key.strip(), value.strip()) for key, _, value in pairs)


def _check_events(events: Path, slices: Mapping[str, str], left_out: Filter) -> None:
    """What can't be replayed is said at once, and not in the log of a process that ended a moment later."""
    try:
        found = read_events(events, slices)
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    except OSError as error:
        raise InvalidRequest(f"The events at {events} can't be read: {error.strerror}.") from None
    for key, value in (*left_out.without, *left_out.only):
        if not any(event.labels.get(key) == value for event in found):
            known = {event.labels[key] for event in found if key in event.labels}
            raise InvalidRequest(f"No event has {key}={value}. {did_you_mean(value, known)} Nothing was changed.")
    if not any(left_out.passes(event) for event in found):
        raise InvalidRequest("That leaves no event to send. Nothing was changed.", next="To send nothing: traffic-stop.")


def _told(status: ReplayStatus) -> Mapping[str, Json]:
    return {
        "endpoint": status.endpoint,
        "pid": status.pid,
        "rate": status.rate,
        "without": ",".join(f"{key}={value}" for key, value in status.left_out.without),
        "only": ",".join(f"{key}={value}" for key, value in status.left_out.only),
        "sent": status.sent,
        "failed": status.failed,
        "late": status.late,
        "by_status": dict(status.by_status),
        "last_error": status.last_error,
    }
