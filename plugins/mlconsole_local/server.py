"""One variant's model server: `python -m mlconsole_local.server --artifact … --digest … --port …`, on loopback."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from mlconsole_local.artifact import BadArtifact, load
from mlconsole_local.state import LOOPBACK, READY, write_text

WRONG_DIGEST, BAD_ARTIFACT, PORT_TAKEN, NOT_INSTALLED = 3, 4, 5, 6
"""Exit codes: each comes with one sentence as the log's last line."""

# Envoy lets go of an idle connection first (after 10 minutes); if both sides did it at the same time, a request could fall between.
_KEEP_ALIVE = 2 * 3600
_DRAIN = 15


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the artifact, load it, listen, answer until SIGTERM, finish what is in flight."""
    options = _options(arguments)
    try:
        loaded = load(Path(options.artifact))
    except BadArtifact as error:
        _end(BAD_ARTIFACT, str(error))
    if loaded.digest != options.digest:
        _end(WRONG_DIGEST, f"the artifact at {options.artifact} is not what was registered: {loaded.digest}, not {options.digest}")
    try:
        import uvicorn

        from mlconsole_local.app import App, Who
        from mlconsole_local.model import Model
        from mlconsole_local.predlog import PredictionLog

        model = Model(loaded, dict(options.connection))
    except ImportError as error:
        _end(NOT_INSTALLED, f"{error.name} is not installed: pip install 'mlconsole[local]'")
    except BadArtifact as error:
        _end(BAD_ARTIFACT, str(error))
    who = Who(options.endpoint, options.variant, options.model, options.version, loaded.digest)
    del loaded  # The graph lives in onnxruntime now: these bytes would only be in memory twice.
    log = PredictionLog(Path(options.log), limit=options.log_bytes)
    # asyncio sets TCP_NODELAY only on sockets that say TCP; without it each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, options.port))
    except OSError as error:
        _end(PORT_TAKEN, f"port {options.port} can't be used: {error.strerror}")
    app = App(who, model, log, options.slices, partial(_note_ready, Path(options.log).with_name(READY)))
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAIN,
    )
    print(f"{options.endpoint}/{options.variant} listens on {LOOPBACK}:{options.port}, pid {os.getpid()}", flush=True)
    asyncio.run(_serve(uvicorn.Server(config), listener))
    app.close()
    log.close()
    print("ended as asked", flush=True)
    os._exit(0)  # Python would wait for a prediction that nobody waits for any more, and then take everything apart.


def _note_ready(note: Path) -> None:
    """A full disk only costs the note: then silence counts as loading for a while longer."""
    with suppress(OSError):
        write_text(note, f"{os.getpid()}\n")


async def _serve(server: Any, listener: socket.socket) -> None:
    """uvicorn's own handlers would send the signal again at the end, and so make an ordinary end look like a killed one."""
    server.capture_signals = nullcontext
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    await server.serve([listener])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlconsole_local.server", description=__doc__)
    parser.add_argument("--artifact", required=True, help="a file .onnx, or a folder with model.onnx and serving.json")
    parser.add_argument("--digest", required=True, help="sha256:…; other bytes are not served")
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--log", required=True, help="the prediction log, JSON lines")
    parser.add_argument("--log-bytes", type=int, default=64 << 20, help="rotate the prediction log at this size")
    parser.add_argument("--slices", type=_slices, default={}, help='slice key → JSON pointer: {"language": "/language"}')
    parser.add_argument("--connection", type=_connection, action="append", default=[], help="NAME=HOST:PORT of what the model reads from")
    return parser.parse_args(arguments)


def _slices(text: str) -> dict[str, str]:
    value = json.loads(text)
    if not isinstance(value, dict) or not all(isinstance(pointer, str) and pointer.startswith("/") for pointer in value.values()):
        raise argparse.ArgumentTypeError("an object of JSON pointers is wanted")
    return value


def _connection(text: str) -> tuple[str, tuple[str, int]]:
    name, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not name or not host or not port.isdecimal():
        raise argparse.ArgumentTypeError("NAME=HOST:PORT is wanted")
    return name, (host, int(port))


def _end(code: int, why: str) -> NoReturn:
    print(why, file=sys.stderr, flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
