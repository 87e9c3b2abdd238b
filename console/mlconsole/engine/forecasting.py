"""Forecasting: what a version was said to do when it was published, kept with it, and looked at again until it is proven or broken."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlconsole.core.documents import WHOLE, Document, LiveDocument, config_target
from mlconsole.core.entries import entries
from mlconsole.core.forecasts import Forecast, ForecastVerdict, Look, forecast_of, look
from mlconsole.core.redeciding import decide
from mlconsole.core.text import neutralise
from mlconsole.core.wording import count
from mlconsole.documents import read
from mlconsole.engine import documenting
from mlconsole.engine.announcing import channels_for
from mlconsole.engine.documentviews import ForecastRowView, ForecastView
from mlconsole.engine.whatifs import captured, rows_of
from mlconsole.plugin.errors import MLConsoleError
from mlconsole.plugin.roles import Notice

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_DAYS = 7.0
"""Days back that a forecast is made from."""

_LATE = 15.0
"""Seconds that a prediction may take until it is stored; what is younger is counted the next time."""


@dataclass(frozen=True)
class Kept:
    """A forecast as it is kept: one entry, and how it stood when it was last looked at."""

    forecast: Forecast
    pointer: str
    alerts: int = 0
    n: int = 0
    verdict: ForecastVerdict = ForecastVerdict.OPEN
    text: str = ""


@dataclass(frozen=True)
class Sheet:
    """All of a version's forecasts. `since`: from when they are counted, None until all clients read it; `counted`: up to when they are."""

    version: int
    published: datetime
    rows: tuple[Kept, ...]
    since: datetime | None = None
    counted: datetime | None = None


def keep(session: Session, document: Document) -> None:
    """Keep with a version what it is expected to do; once, when it is first published. A forecast that can't be made is none, and stops
    nothing."""
    name = document.name
    if session.registry.forecast(session.environment.name, name, document.version) is not None:
        return
    before = documenting.version_bytes(session, name, document.before, document.before_digest) if document.before is not None else None
    rows = rows_of(session, name, before, documenting.version_bytes(session, name, document.version, document.digest), _DAYS).rows
    _save(session, name, Sheet(document.version, session.clock.now(), tuple(Kept(forecast_of(row), row.pointer) for row in rows)))


def forecast(session: Session, name: str, version: int) -> ForecastView | None:
    """How a version's forecast stands; None: it has none."""
    sheet = _load(session, name, version)
    if sheet is None:
        return None
    rows = tuple(
        ForecastRowView(
            neutralise(one.forecast.model),
            neutralise(one.forecast.slice),
            one.forecast.before,
            one.forecast.a_day if one.forecast.touched else one.forecast.before,
            one.alerts,
            one.n,
            str(one.verdict),
            one.text,
        )
        for one in sheet.rows
    )
    return ForecastView(version, sheet.published, rows, all(one.verdict.over for one in sheet.rows))


def look_again(session: Session) -> None:
    """Look at the forecasts of what is live again, and tell people of each that is proven or broken by now, once."""
    for name in session.workspace.configs if session.backend.keeps_documents else ():
        recorded = session.registry.live_release(session.environment.name, config_target(name))
        document = recorded.release.content.document if recorded is not None else None
        if document is None or document.share < WHOLE:
            continue
        sheet = _load(session, name, document.version)
        if sheet is not None and not all(one.verdict.over for one in sheet.rows):
            _look(session, name, sheet)


def _look(session: Session, name: str, sheet: Sheet) -> None:
    now = session.clock.now()
    since = sheet.since or _everywhere(session, name)
    until = now - timedelta(seconds=_LATE)
    counted = sheet.counted or since
    if counted is None or since is None or until <= counted:
        return
    touched = sum(one.forecast.touched for one in sheet.rows)
    new = _counts(session, name, sheet, counted, until)
    rows = []
    for one in sheet.rows:
        alerts, n = new.get(one.pointer, (0, 0))
        alerts, n = one.alerts + alerts, one.n + n
        seen = look(one.forecast, alerts, n, since=since, now=now, touched=touched, kept=one.verdict)
        if seen.verdict is not one.verdict and seen.verdict in (ForecastVerdict.PROVEN, ForecastVerdict.BROKEN):
            _tell(session, name, sheet, one, seen)
        rows.append(replace(one, alerts=alerts, n=n, verdict=seen.verdict, text=seen.text))
    _save(session, name, replace(sheet, rows=tuple(rows), since=since, counted=until))


def _counts(session: Session, name: str, sheet: Sheet, begin: datetime, end: datetime) -> dict[str, tuple[int, int]]:
    """Pointer → alerts and requests of its entry in a stretch of time, under what is live."""
    known = documenting.settings(session, name)
    there = session.backend.describe(config_target(name)).document or LiveDocument(name)
    body = documenting.live_bytes(session, name, there)
    if body is None:
        return {}
    span = begin.timestamp(), end.timestamp()
    found = {entry.pointer: entry for entry in entries(read(body, known.format).value, known.layout)}
    counts: dict[str, tuple[int, int]] = {}
    seen: dict[str, object] = {}
    for one in sheet.rows:
        entry = found.get(one.pointer)
        if entry is None or entry.threshold is None:
            continue
        if entry.model not in seen:
            seen[entry.model] = captured(session, entry.model, known.layout.slice_key(entry.model), span)[0]
        columns = seen[entry.model]
        assert isinstance(columns, dict)
        for value, column in columns.items():
            if not entry.slice or value == entry.slice:
                tally = decide(column, None, entry.threshold, [span], most=0)
                alerts, n = counts.get(one.pointer, (0, 0))
                counts[one.pointer] = alerts + (tally.then or 0), n + tally.n
    return counts


def _everywhere(session: Session, name: str) -> datetime | None:
    """When every client had read what is live."""
    since = session.registry.live_since(session.environment.name, config_target(name))
    return None if since is None else since + timedelta(seconds=session.backend.config().limits().poll_lag)


def _tell(session: Session, name: str, sheet: Sheet, one: Kept, seen: Look) -> None:
    where = "PROD" if session.environment.production else session.environment.name.upper()
    entry = " · ".join(part for part in (one.forecast.model, one.forecast.slice) if part)
    notice = Notice(
        key=f"{session.workspace.name}:forecast:{name}:{sheet.version}:{one.pointer}",
        title=neutralise(f"{where} config {name} {sheet.version} · {entry}: forecast {seen.verdict}"),
        lines=(
            neutralise(
                f"forecast {count(one.forecast.a_day or 0.0)} alerts a day (before {count(one.forecast.before or 0.0)}): {seen.text}"
            ),
            f"Read: ssh {session.actor.host} mlconsole config forecast {name} --env {session.environment.name}",
        ),
        severity="info",
        environment=session.environment.name,
        fields={"config": name, "version": sheet.version, "entry": entry, "verdict": str(seen.verdict)},
    )
    for channel in channels_for(session, notice):
        session.registry.enqueue(session.environment.name, notice.key, channel, notice)


def _save(session: Session, name: str, sheet: Sheet) -> None:
    body = {
        "version": sheet.version,
        "published": sheet.published.isoformat(),
        "since": sheet.since.isoformat() if sheet.since else None,
        "counted": sheet.counted.isoformat() if sheet.counted else None,
        "rows": [{**asdict(one), "verdict": str(one.verdict)} for one in sheet.rows],
    }
    session.registry.save_forecast(session.environment.name, name, sheet.version, json.dumps(body, separators=(",", ":")))


def _load(session: Session, name: str, version: int) -> Sheet | None:
    text = session.registry.forecast(session.environment.name, name, version)
    if text is None:
        return None
    body = json.loads(text)
    rows = tuple(
        Kept(Forecast(**one["forecast"]), one["pointer"], one["alerts"], one["n"], ForecastVerdict(one["verdict"]), one["text"])
        for one in body["rows"]
    )
    return Sheet(body["version"], datetime.fromisoformat(body["published"]), rows, _when(body["since"]), _when(body["counted"]))


def _when(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def keep_quietly(session: Session, document: Document) -> None:
    """`keep`, where a trouble with it must hold nothing up: it is told, and that is all."""
    try:
        keep(session, document)
    except MLConsoleError as error:
        session.tell("note", f"no forecast of config {document.name} {document.version}: {error.message}")
