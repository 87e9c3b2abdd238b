"""Probing: the environment's probes are asked, each at its own interval, and none of them waits for another."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.plugin.errors import MLConsoleError, UnknownName
from mlconsole.plugin.roles import Probe, Sighting

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.workspace.health import ProbeSettings

_TIMEOUT = 5.0
"""Seconds that a probe gets for one look."""

_CUT = 300


@dataclass
class _Asked:
    """One probe between two looks."""

    due: float = 0.0
    thread: threading.Thread | None = None
    began: float = 0.0
    seen: Sighting | None = None


class Prober:
    """Asks the probes of one environment in daemon threads; what they saw is written down when it is collected."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: dict[str, _Asked] = {}

    def run(self, *, wait: bool = False) -> None:
        """Write down what was seen since the last time, and begin what is due. With `wait` all of it is seen before this returns."""
        self._collect()
        now = self._session.clock.elapsed()
        for settings in self._session.environment.probes.values():
            asked = self._asked.setdefault(settings.name, _Asked())
            if asked.thread is not None:
                if now - asked.began > 4 * _TIMEOUT and asked.seen is None:
                    asked.seen = Sighting(None, f"the probe itself hangs since {now - asked.began:.0f} s")
                continue
            if now >= asked.due:
                asked.due = now + settings.every
                asked.began = now
                asked.thread = threading.Thread(target=self._look, args=(settings, asked), daemon=True, name=f"probe {settings.name}")
                asked.thread.start()
        if wait:
            until = time.monotonic() + 2 * _TIMEOUT  # for all of them: one that hangs does not add to the next one's time
            for asked in self._asked.values():
                if asked.thread is not None:
                    asked.thread.join(max(0.0, until - time.monotonic()))
            self._collect()

    def _look(self, settings: ProbeSettings, asked: _Asked) -> None:
        asked.seen = _seen(self._session, settings)

    def _collect(self) -> None:
        found = []
        for name, asked in self._asked.items():
            if asked.seen is not None:
                found.append((name, self._session.environment.probes[name].kind, asked.seen))
                asked.seen = None
            if asked.thread is not None and not asked.thread.is_alive():
                asked.thread = None
        self._session.registry.probes_seen(self._session.environment.name, found, self._session.clock.now())


def look_at(session: Session, name: str) -> Sighting:
    """One look by one probe, now.

    Raises:
        UnknownName: there is no such probe here.
    """
    settings = session.environment.probes.get(name)
    if settings is None:
        raise UnknownName(f'There is no probe "{name}" in {session.environment.name}. {did_you_mean(name, session.environment.probes)}')
    return _seen(session, settings)


def _seen(session: Session, settings: ProbeSettings) -> Sighting:
    """What it sees; whatever goes wrong in asking is *can't be asked*, which is no failure of what it looks at."""
    try:
        probe: Probe = session.made(settings, "probe")
        seen = probe.look(_TIMEOUT)
    except MLConsoleError as error:
        seen = Sighting(None, str(error))
    except Exception as error:  # noqa: BLE001 - a probe's own bug says nothing of what it looks at
        seen = Sighting(None, f"the probe failed: {type(error).__name__}: {error}")
    return replace(seen, text=neutralise(seen.text)[:_CUT])
