"""Observations: the gateway's access log and the servers' prediction logs, joined by request id.

The gateway's line says what the consumer got; the server's line, what was predicted. A server writes its line before it answers, the
gateway after: so the gateway's log is read first, and whatever is in it has its server's line on disk already, if one was reached.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlconsole.plugin.errors import InvalidRequest
from mlconsole.plugin.roles import Observation, Page
from mlconsole_local.routing import SLICES
from mlconsole_local.state import ACCESS_LOG, PREDICTION_LOG, Layout
from mlconsole_local.tail import Batch, Line, Offsets, offsets_at, read

_GATEWAY = "gateway"
_MARGIN = 45.0
"""Seconds: lines are written when a request *ends*, so they are out of order by up to its longest duration."""
_GRACE = 10.0
"""Seconds after which a server's line without a gateway's stands alone: the gateway was killed before it wrote its own."""
_LATE = 300.0
_ORIGINAL_SOON = 1.0
"""Seconds within which the gateway has written the line of a request whose copy is known already (it writes every 0.2 s)."""
_SLACK = 0.05
"""Seconds. Both logs are in the order in which requests end, so what a line was made of was written before; this is for rounding only."""
_SERVER_LINES = 50_000
_HUNG_UP = 499

Key = tuple[str, str, str]
"""Endpoint, variant, request id."""


@dataclass
class _Cursor:
    """Where each log has been read to, and what of it still waits for its other half.

    `since`: nothing earlier is told. `waiting`: servers' lines without a gateway's yet. `alone`: told without their other half (key →
    until when that is remembered), so that a late one is not told again.
    """

    since: float = 0.0
    offsets: dict[str, Offsets] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    alone: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        body = {"schema": 1, "since": self.since, "offsets": self.offsets, "waiting": self.waiting, "alone": self.alone}
        return json.dumps(body, separators=(",", ":"))

    @staticmethod
    def of(text: str) -> _Cursor:
        try:
            body = json.loads(text)
            if body["schema"] != 1:
                raise ValueError("another schema")
            offsets = {str(log): {str(file): int(at) for file, at in files.items()} for log, files in body["offsets"].items()}
            return _Cursor(float(body["since"]), offsets, list(body["waiting"]), dict(body["alone"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest("That is no cursor of this plugin.", next="Start anew from a time.") from error


class PredictionReader:
    """Reads the observations of one environment. It only reads: any number of readers, each with its own cursor."""

    def __init__(self, root: Path) -> None:
        """`root` is the environment's state folder."""
        self._layout = Layout(root)

    def cursor_at(self, moment: datetime) -> str:
        """A cursor behind which every observation at or after `moment` lies."""
        since = moment.timestamp()
        logs = {_GATEWAY: self._layout.gateway / ACCESS_LOG, **{_name(log): log for log in self._server_logs()}}
        return _Cursor(since, {name: offsets_at(log, since - _MARGIN) for name, log in logs.items()}).text()

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        """The next observations, at most `limit` (and at least one request), each exactly once along the cursor.

        Raises:
            InvalidRequest: the cursor is none of ours.
        """
        state = _Cursor.of(cursor)
        limit = max(1, limit)
        # Copies that found no room: their turn is now, and they must not pile up in the cursor. Those that wait for their originals take no
        # room from the gateway's lines: read too slowly, the servers' logs would be rotated away before we get there.
        held_back = sum(bool(row.get("due")) for row in state.waiting)
        gateway = read(self._layout.gateway / ACCESS_LOG, state.offsets.get(_GATEWAY, {}), max(1, limit - held_back))
        horizon = float("inf") if gateway.at_end or not gateway.lines else max(_end(line.value) for line in gateway.lines) + _SLACK
        servers = {_name(log): read(log, state.offsets.get(_name(log), {}), _SERVER_LINES, horizon) for log in self._server_logs()}
        full = [batch.lines[-1].time for batch in servers.values() if len(batch.lines) >= _SERVER_LINES]
        if full:  # Some server's line may not have been reached yet: what the gateway says of later requests has to wait.
            horizon = min(horizon, *full)
            _cut(gateway, horizon - _SLACK)
        state.offsets = {_GATEWAY: gateway.offsets, **{name: batch.offsets for name, batch in servers.items()}}
        rows = [*state.waiting, *({**line.value, "log": name} for name, batch in servers.items() for line in batch.lines)]
        found, all_told = _join(state, gateway.lines, rows, limit, caught_up=gateway.at_end)
        at_end = gateway.at_end and not full and all_told
        return Page([observation for observation in found if observation.time.timestamp() >= state.since], state.text(), at_end)

    def _server_logs(self) -> list[Path]:
        folders = self._layout.variants.glob("*/*")
        return sorted(folder / PREDICTION_LOG for folder in folders if folder.is_dir())


def _join(
    state: _Cursor, lines: Iterable[Line], rows: Iterable[dict[str, Any]], limit: int, *, caught_up: bool
) -> tuple[list[Observation], bool]:
    """Pair lines with rows, and tell what is complete, and whether all of that fitted; `state.waiting` and `state.alone` are brought up to
    date. Every line is told; copies, and rows that stand alone, as far as there is room.
    """
    now = time.time()
    found: list[Observation] = []
    copies: list[dict[str, Any]] = []
    by_key: dict[Key, list[dict[str, Any]]] = {}
    for row in rows:
        endpoint, variant = row["log"].split("/")
        if row.get("shadow"):
            copies.append(row)
        elif row.get("request_id"):
            by_key.setdefault((endpoint, variant, row["request_id"]), []).append(row)
    latest = 0.0
    for line in lines:
        value = line.value
        latest = max(latest, _end(value))
        if not value.get("endpoint") or value.get("method") != "POST" or not str(value.get("path") or "").endswith("/infer"):
            continue
        variant = _variant(value)
        key = (str(value["endpoint"]), variant or "", str(value.get("request_id") or ""))
        if state.alone.pop("\n".join(key), None) is not None:
            continue  # Its server's line was told alone, long ago.
        candidates = by_key.get(key)
        half = candidates.pop(0) if candidates else None
        if half is None and variant is not None and key[2]:
            state.alone["\n".join(key)] = now + _LATE  # A server may still be at it after the consumer was told 504, or hung up.
        found.append(_observed(value, variant, half))
    until = now if caught_up else latest
    # A copy is on disk at once, its original only when the gateway next writes: told early, copies would look like too many.
    due: list[dict[str, Any]] = []
    early: list[dict[str, Any]] = []
    for row in copies:
        is_due = row.get("due") or _end(row) <= latest or (caught_up and now - _end(row) >= _ORIGINAL_SOON)
        (due if is_due else early).append(row)
    room = max(0, limit - len(found))
    found += [_copy(row) for row in due[:room]]
    all_told = len(due) <= room
    state.waiting = [*({**row, "due": True} for row in due[room:]), *early]
    for key, left in by_key.items():
        for row in left:
            if state.alone.pop("\n".join(key), None) is not None:
                continue
            if until - _end(row) < _GRACE:
                state.waiting.append(row)
            elif row.get("probe"):
                continue
            elif len(found) >= limit:
                state.waiting.append(row)
                all_told = False
            else:
                state.alone["\n".join(key)] = now + _LATE
                found.append(_unseen(key, row))
    state.alone = {key: at for key, at in state.alone.items() if at > now}
    return found, all_told


def _cut(gateway: Batch, horizon: float) -> None:
    late = next((index for index, line in enumerate(gateway.lines) if _end(line.value) > horizon), None)
    if late is not None:
        gateway.give_back(late)


def _name(log: Path) -> str:
    return f"{log.parent.parent.name}/{log.parent.name}"


def _end(value: Mapping[str, Any]) -> float:
    """When a request ended, by either log's line (epoch seconds)."""
    length = value.get("latency_ms")
    return float(value["time"]) + float((value.get("ms") if length is None else length) or 0) / 1000


def _variant(value: Mapping[str, Any]) -> str | None:
    """Who answered, as the server itself says; of a request that reached none, who should have: it counts against that variant."""
    if value.get("variant"):
        return str(value["variant"])
    cluster = str(value.get("cluster") or "").split("/")
    return cluster[1] if len(cluster) > 1 else None


def _observed(value: Mapping[str, Any], variant: str | None, row: Mapping[str, Any] | None) -> Observation:
    status = int(value.get("status") or 0) or _HUNG_UP
    micros = value.get("us")
    slices = _slices(value)
    error = ""
    if row is not None:
        slices.update(row.get("slices") or {})
    if status >= 400:
        error = str((row or {}).get("error") or "") or ("the consumer hung up" if status == _HUNG_UP else str(value.get("details") or ""))
    return Observation(
        endpoint=str(value["endpoint"]),
        variant=variant,
        request_id=str(value.get("request_id") or ""),
        time=datetime.fromtimestamp(float(value["time"]), UTC),
        status=status,
        milliseconds=float(micros) / 1000 if micros is not None else float(value.get("ms") or 0),
        pinned=value.get("kind") in ("pinned", "unknown"),
        probe=bool(value.get("probe")),
        slices=slices,
        split=str(value.get("split") or ""),
        **_predicted(row),
        error=error,
    )


def _copy(row: Mapping[str, Any]) -> Observation:
    endpoint, variant = row["log"].split("/")
    return _from_row(endpoint, variant, row, shadow=True)


def _unseen(key: Key, row: Mapping[str, Any]) -> Observation:
    return _from_row(key[0], key[1], row, shadow=False)


def _from_row(endpoint: str, variant: str, row: Mapping[str, Any], *, shadow: bool) -> Observation:
    return Observation(
        endpoint=endpoint,
        variant=variant,
        request_id=str(row.get("request_id") or ""),
        time=datetime.fromtimestamp(float(row["time"]), UTC),
        status=int(row.get("status") or 0),
        milliseconds=float(row.get("latency_ms") or 0),
        shadow=shadow,
        probe=bool(row.get("probe")),
        slices=dict(row.get("slices") or {}),
        **_predicted(row),
        error=str(row.get("error") or ""),
    )


def _predicted(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    return {
        "score": row.get("score"),
        "output": row.get("output"),
        "input_hash": row.get("input_hash"),
        "fields": dict(row.get("fields") or {}),
    }


def _slices(value: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for number in range(SLICES):
        key, _, label = str(value.get(f"slice{number}") or "").partition("=")
        if key and label:
            found[key] = label
    return found
