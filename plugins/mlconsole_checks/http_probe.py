"""The probe `http`: a URL answers with the status, the text and the speed that are wanted. A redirect is an answer, and not followed."""

from __future__ import annotations

import time

from mlconsole.plugin import Context
from mlconsole.plugin.roles import Sighting
from mlconsole.plugin.web import Reply, ask, variable
from mlconsole.plugin.wire import Deadline, Unanswered, Unasked, short


class HttpProbe:
    """See `plugin.roles.Probe`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options

    def look(self, timeout: float) -> Sighting:
        """Ask once."""
        options = self._options
        deadline = Deadline.after(min(timeout, options["timeout"]))
        began = time.monotonic()
        secrets: dict[str, str] = {}
        try:
            if (options["url"] is None) == (options["url_env"] is None):
                raise Unasked("one of url and url_env is wanted")
            url = options["url"] or variable(options["url_env"])
            secrets = {header: variable(name) for header, name in options["headers_env"].items()}
            reply = ask(options["method"], url, deadline, headers=secrets)
        except Unasked as error:
            return Sighting(None, str(error))
        except Unanswered as error:
            return Sighting(False, str(error))
        milliseconds = (time.monotonic() - began) * 1000
        said = reply.body[:4096].decode("utf-8", "replace")
        # Whoever answers may send back what it was sent; a secret is looked for before the text is cut, or its half would stay.
        for secret in secrets.values():
            said = said.replace(secret, "…").replace(secret.rpartition(" ")[2], "…")
        wrong = self._wrong(reply, short(said, 80), milliseconds)
        return Sighting(not wrong, "; ".join(wrong) or f"{reply.status} in {milliseconds:.0f} ms", round(milliseconds, 1), "ms")

    def _wrong(self, reply: Reply, said: str, milliseconds: float) -> list[str]:
        options, wrong = self._options, []
        wanted = options["status"]
        good = reply.status == wanted if wanted is not None else 200 <= reply.status < 300
        if not good:
            where = " (it sends elsewhere, and nobody went there)" if 300 <= reply.status < 400 else ""
            wrong.append(f"{reply.status}, wanted {wanted or '2xx'}{where}{f': {said}' if said else ''}")
        if options["contains"] is not None and options["contains"].encode() not in reply.body:
            begin = "" if reply.whole else "the first MB of "
            wrong.append(f'{begin}the answer does not contain "{short(options["contains"], 60)}"')
        if options["latency_ms"] is not None and milliseconds > options["latency_ms"]:
            wrong.append(f"{milliseconds:.0f} ms, wanted at most {options['latency_ms']:g} ms")
        return wrong
