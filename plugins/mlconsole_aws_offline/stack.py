"""ministack in a process of its own: `python -m mlconsole_aws_offline.stack`, on a socket that is handed over, until its stdin ends."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

from mlconsole_aws_offline.appconfig import fill_gaps, set_minute
from mlconsole_aws_offline.lifeline import hold_on

CONTROL, EVENT = "/_offline/control", "/_offline/event"


def main() -> None:
    """Serve on the socket whose descriptor is the only argument."""
    hold_on()
    listener = socket.socket(fileno=int(sys.argv[1]))
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app

    fill_gaps()

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 3600
    config.accesslog = None
    config.errorlog = "-"
    config.loglevel = "WARNING"
    asyncio.run(_serve(serve, _Ours(app), config))


class _Ours:
    """ministack's application, and two addresses of ours: settings, and what CloudTrail is to know of calls that went elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] not in (CONTROL, EVENT):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), bool(message.get("more_body"))
        said = json.loads(body)
        if scope["path"] == CONTROL:
            set_minute(float(said.get("minute_seconds", 60.0)))
        else:
            from ministack.services import cloudtrail

            cloudtrail.record_event(**said)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def _serve(serve: Any, app: Any, config: Any) -> None:
    await serve(app, config, shutdown_trigger=asyncio.Event().wait)


if __name__ == "__main__":
    main()
