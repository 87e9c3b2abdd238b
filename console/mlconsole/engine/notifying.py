"""Notifying: what the outbox holds is handed to the channels of the environment, again and again until it is taken or given up."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from mlconsole.core.text import neutralise
from mlconsole.core.wording import clock
from mlconsole.engine.access import Deed
from mlconsole.plugin.errors import InvalidRequest, MLConsoleError, Refused
from mlconsole.plugin.roles import Notice, Notifier

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.registry import WatcherRow

_TIMEOUT = 10.0
"""Seconds that a channel gets for one notice."""

_AT_ONCE = 20

_GAP = 60.0
"""Seconds without a watcher, from its last sign of life on, of which people have to hear."""


class Postman:
    """Delivers the notices of one environment. One at a time; a channel that hangs holds up the others for its timeout only."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._channels: dict[str, Notifier] = {}
        self.trouble = ""
        """Why the last delivery failed; empty when it did not."""

    def deliver(self) -> int:
        """Send what is due; how many were taken."""
        session = self._session
        sent = 0
        for entry in session.registry.due_notices(session.environment.name, session.clock.now(), limit=_AT_ONCE):
            try:
                self._channel(entry.channel).send(entry.notice, _TIMEOUT)
            except MLConsoleError as error:
                final = isinstance(error, Refused | InvalidRequest)
                self.trouble = f"{entry.channel}: {neutralise(error.message)}"
                session.registry.notice_failed(entry, self.trouble, not final, session.clock.now())
            except Exception as error:  # noqa: BLE001 - a notifier's own bug: the other channels still have to hear
                self.trouble = f"{entry.channel}: {type(error).__name__}: {neutralise(str(error))}"
                session.registry.notice_failed(entry, self.trouble, True, session.clock.now())
            else:
                session.registry.notice_sent(entry, session.clock.now())
                self.trouble = ""
                sent += 1
        return sent

    def _channel(self, name: str) -> Notifier:
        if name not in self._channels:
            settings = self._session.environment.channels.get(name)
            if settings is None:
                raise Refused(f"There is no channel {name} in mlconsole.yaml any more.")
            self._channels[name] = self._session.made(settings, "notifier")
        return self._channels[name]


def try_channel(session: Session, name: str) -> None:
    """Send a notice that says it is only a trial, so that a channel is known to work before it is needed.

    Raises:
        BackendError: what the channel said.
        NotAllowed: read only.
    """
    session.access.require(Deed.WATCH)
    settings = session.environment.channels[name]
    notifier: Notifier = session.made(settings, "notifier")
    title = f"{session.workspace.name} {session.environment.name}: a trial of this channel, nothing is wrong"
    notifier.send(
        Notice(f"trial:{session.clock.now().isoformat()}", title, (f"asked for by {session.actor}",), "info", session.environment.name),
        _TIMEOUT,
    )


def tell_of_gap(session: Session, former: WatcherRow) -> bool:
    """Put into the outbox that nobody watched, where the former watcher died without a word and that is longer ago than a moment.

    It is a page when something was wrong when it died, or a change ran meanwhile; else it is only told. True: there was such a time.
    """
    registry, environment, now = session.registry, session.environment.name, session.clock.now()
    if former.alive or former.ended is not None or (now - former.beat).total_seconds() <= _GAP:
        return False
    alarms = registry.alarms(environment, open_only=True)
    changes = [one for one in registry.operations(environment, limit=20) if one.ended is None or one.ended > former.beat]
    lines = [f"{former.holder} (pid {former.pid}) watched until then: {former.dead_because}"]
    lines += [f"open: alarm {one.number}, {', '.join(one.endpoints) or environment} {one.worst.question}" for one in alarms]
    lines += [f"meanwhile: {one.plan.kind} {one.endpoint}, {one.state}" for one in changes]
    lines.append(f"mlconsole health --env {environment}")
    notice = Notice(
        key=f"{session.workspace.name}:{environment}:unwatched:{former.token}",
        title=neutralise(f"nobody watched {environment} from {clock(former.beat, now)} to {clock(now, now)}"),
        lines=tuple(neutralise(line) for line in lines),
        severity="page" if alarms or changes else "info",
        environment=environment,
    )
    for channel in session.environment.channels.values():
        if channel.after_minutes is None and channel.takes(notice.severity):
            registry.enqueue(environment, f"unwatched:{former.token}", channel.name, notice)
    return True


class Pulse:
    """The outgoing heartbeat: a URL that is asked at an interval, so that somebody else notices when it stops."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next = 0.0
        self.trouble = ""

    def beat(self) -> None:
        """Ask it, when it is time. The URL is a secret: it is in no message."""
        ping = self._session.environment.ping
        now = self._session.clock.elapsed()
        if ping is None or now < self._next:
            return
        self._next = now + ping.every
        url = ping.url or os.environ.get(ping.url_env or "", "")
        if not url:
            self.trouble = f"the outgoing heartbeat has no URL ({ping.url_env} is not set)"
            return
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
                answer.read(1024)
            self.trouble = ""
        except (OSError, ValueError, urllib.error.URLError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__
            self.trouble = f"the outgoing heartbeat is not taken: {neutralise(str(reason))}"
            self._next = now + min(ping.every, 15.0)
