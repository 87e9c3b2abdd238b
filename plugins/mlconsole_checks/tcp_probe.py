"""The probe `tcp`: an address takes connections."""

from __future__ import annotations

import time

from mlconsole.plugin import Context
from mlconsole.plugin.roles import Sighting
from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, connect, parse_address


class TcpProbe:
    """See `plugin.roles.Probe`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options

    def look(self, timeout: float) -> Sighting:
        """Connect once, and say nothing."""
        began = time.monotonic()
        try:
            host, port = parse_address(self._options["address"])
            connect(host, port, Deadline.after(min(timeout, self._options["timeout"]))).close()
        except Unasked as error:
            return Sighting(None, str(error))
        except Unanswered as error:
            return Sighting(False, str(error))
        milliseconds = (time.monotonic() - began) * 1000
        return Sighting(True, f"connected in {milliseconds:.0f} ms", round(milliseconds, 1), "ms")
