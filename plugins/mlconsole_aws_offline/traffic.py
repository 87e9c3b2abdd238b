"""Recorded events as real traffic: an application for each endpoint, started, found again, told and stopped; and the actions for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlconsole.core.models import Json
from mlconsole.plugin import Context
from mlconsole.plugin.errors import InvalidRequest, NotFound, Unavailable
from mlconsole.plugin.roles import Action, Parameter, Part
from mlconsole_aws_offline import kept

_SPEC, _STATUS = "spec.json", "status.json"


class Traffics:
    """The applications of one environment. What changes something is called holding `kept.locked(state)`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options
        self._root = context.root
        self._folder = context.state / "traffic"

    def start(self, endpoint: str, events: str, rate: float, key: str, document: str) -> None:
        """Ask about the events of a file; exactly that running already is left alone."""
        folder = self._folder / endpoint
        spec = {"events": events, "rate": rate, "key": key, "document": document}
        if _read(folder / _SPEC) == spec and kept.find(folder) is not None:
            return
        kept.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        kept.write_json(folder / _SPEC, spec)
        self._run(endpoint, spec)

    def again(self) -> None:
        """Those that nobody switched off."""
        for endpoint in self.endpoints():
            spec = _read(self._folder / endpoint / _SPEC)
            if spec is not None and not spec.get("off"):
                self._run(endpoint, spec)

    def stop(self, endpoint: str) -> None:
        """End one, and leave it off."""
        folder = self._folder / endpoint
        kept.stop(folder)
        spec = _read(folder / _SPEC)
        if spec is not None:
            kept.write_json(folder / _SPEC, {**spec, "off": True})

    def stop_all(self) -> None:
        """End all of them; they go on with the next `up`."""
        for endpoint in self.endpoints():
            kept.stop(self._folder / endpoint)

    def spec(self, endpoint: str) -> Mapping[str, Any] | None:
        """What one asks about, or asked about last."""
        return _read(self._folder / endpoint / _SPEC)

    def status(self, endpoint: str) -> Mapping[str, Json] | None:
        """How one is, or was when it ended."""
        folder = self._folder / endpoint
        if _read(folder / _SPEC) is None:
            return None
        return {"endpoint": endpoint, **(_read(folder / _STATUS) or {"sent": 0, "failed": 0}), "pid": kept.find(folder)}

    def endpoints(self) -> Sequence[str]:
        """Whose there are."""
        return sorted(path.name for path in self._folder.glob("*") if path.is_dir())

    def parts(self) -> list[Part]:
        """What runs, and what should."""
        parts = []
        for endpoint in self.endpoints():
            spec, pid = self.spec(endpoint) or {}, kept.find(self._folder / endpoint)
            if pid is not None:
                parts.append(Part(f"traffic {endpoint}", "running", f"pid {pid}, {spec.get('rate', 0):g} a second", healthy=True))
            elif not spec.get("off"):
                why = kept.last_line(self._folder / endpoint)
                parts.append(Part(f"traffic {endpoint}", "stopped", why, healthy=False))
        return parts

    def _run(self, endpoint: str, spec: Mapping[str, Any]) -> None:
        said, folder = self._options, self._folder / endpoint
        arguments = ["--events", str(self._root / spec["events"]), "--model", endpoint, "--key", spec["key"], "--names", said["names"]]
        arguments += ["--rate", str(spec["rate"]), "--config-file", str((self._root / said["config_file"]).resolve())]
        arguments += ["--profile", said["profile"], "--application", said["application"], "--environment", said["environments"][0]]
        arguments += ["--document", spec["document"], "--poll", str(said["poll"]), "--status", str((folder / _STATUS).resolve())]
        if said["metrics"]:
            arguments += ["--metrics", said["metrics"]]
        kept.start(folder, "mlconsole_aws_offline.application", arguments)


@dataclass(frozen=True)
class _Action:
    name: str
    summary: str
    parameters: Sequence[Parameter]
    does: Callable[[Mapping[str, str]], Mapping[str, Json]]
    safe: bool = True

    def run(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        """Do it, with the defaults filled in."""
        filled = {parameter.name: parameter.default for parameter in self.parameters}
        unknown = sorted(set(parameters) - set(filled))
        if unknown:
            raise InvalidRequest(f"{self.name} has no parameter {unknown[0]}.", next=f"It has {', '.join(sorted(filled))}.")
        filled |= dict(parameters)
        missing = sorted(name for name, value in filled.items() if value is None)
        if missing:
            raise InvalidRequest(f"{self.name} needs {', '.join(missing)}.")
        return self.does({name: str(value) for name, value in filled.items()})


class OfflineActions:
    """See `plugin.roles.Actions`: the same three that the local plugin has, for applications that ask SageMaker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._traffics = Traffics(context)

    def actions(self) -> Sequence[Action]:
        """Replayed traffic."""
        endpoint = Parameter("endpoint", "whose traffic")
        traffic = (
            endpoint,
            Parameter("events", "a file of JSON lines: {id, inputs}; else those that were replayed last", ""),
            Parameter("rate", "requests a second; else as it was last, 20 at first", ""),
            Parameter("slices", "the input by which entries go: language=language; else as it was last", ""),
        )
        return [
            _Action("traffic-start", "replay recorded events, as an application that reads AppConfig", traffic, self._start),
            _Action("traffic-stop", "stop replaying", (endpoint,), self._stop),
            _Action("traffic-status", "how much was sent, and how much failed", (endpoint,), self._status),
        ]

    def _start(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        endpoint = parameters["endpoint"]
        if not (self._context.root / str(self._context.options["config_file"])).exists():
            raise Unavailable("The AWS servers are not up.", next="mlconsole local up")
        before = self._traffics.spec(endpoint) or {}
        events = parameters["events"] or before.get("events")
        if not events or not Path(self._context.root / events).is_file():
            what = f"There are no events at {events} to replay." if events else f"Which events are replayed to {endpoint}?"
            raise InvalidRequest(what, next="Name a file of the workspace: --param events=events/replay.jsonl")
        try:
            rate = float(parameters["rate"] or before.get("rate", 20.0))
        except ValueError:
            raise InvalidRequest(f'"{parameters["rate"]}" is no number of requests a second.') from None
        if not 0 < rate <= 200:
            raise InvalidRequest(f"{rate:g} requests a second can't be sent: more than 0 and at most 200 are wanted.")
        key = parameters["slices"].partition(",")[0].partition("=")[2] or before.get("key", "")
        document = next(iter(self._context.options["profiles"]), "")
        if not document or not self._context.options["application"]:
            raise InvalidRequest("The options of aws-offline name no application and profile that it could read.")
        with kept.locked(self._context.state):
            self._traffics.start(endpoint, str(events), rate, key, document)
        return self._status(parameters)

    def _stop(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        with kept.locked(self._context.state):
            self._traffics.stop(parameters["endpoint"])
        return self._status(parameters)

    def _status(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        found = self._traffics.status(parameters["endpoint"])
        if found is None:
            raise NotFound(f"No traffic is replayed to {parameters['endpoint']}.", next="Start it: traffic-start.")
        return found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None
