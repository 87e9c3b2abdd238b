"""The servers as one process with a child: `python -m mlconsole_aws_offline.server --folder DIR`; ready when DIR/ready.json is there."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlconsole_aws_offline.lifeline import hold_on

READY = "ready.json"
_COMING_UP = 30.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Listen, start ministack, say so, serve until TERM (or until stdin ends, with `--lifeline`)."""
    options = _options(arguments)
    if options.lifeline:
        hold_on()
    folder = Path(options.folder)
    # moto reads these when it is imported.
    os.environ["MOTO_ACCOUNT_ID"] = options.account
    os.environ.setdefault("AWS_DEFAULT_REGION", options.region)
    for name in ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
    listener, theirs = _preferred(options.prefer) or _listen(options.port), _listen(options.ministack_port)
    port = theirs.getsockname()[1]
    child = _ministack(folder, theirs, options.account, options.region)
    theirs.close()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = _server(listener, port, options)
    _wait(child, port)
    urls = {"pid": os.getpid(), "front": f"http://127.0.0.1:{server.port}", "ministack": f"http://127.0.0.1:{port}"}
    (folder / f"{READY}.new").write_text(json.dumps(urls), encoding="utf-8")
    (folder / f"{READY}.new").rename(folder / READY)
    server.serve_forever()


def _server(listener: socket.socket, ministack: int, options: argparse.Namespace) -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from mlconsole_aws_offline.front import Front
    from mlconsole_aws_offline.part import Part

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_expect_100(self) -> bool:
            return True  # werkzeug itself says to go on; said twice, a client takes the second for the answer.

        def log_request(self, *_: Any) -> None:
            pass

    moto = DomainDispatcherApplication(create_backend_app)
    front = Front(moto, ministack, Part(options.account, options.region, ministack, Path(options.folder)), options.region)
    listener.listen(256)
    host, port = listener.getsockname()[:2]
    return make_server(host, port, front, threaded=True, request_handler=Handler, fd=listener.detach())


def _ministack(folder: Path, listener: socket.socket, account: str, region: str) -> subprocess.Popen[bytes]:
    # Its stdin is a pipe of ours that nobody writes to: it ends when this process does.
    scratch = folder / "ministack"
    scratch.mkdir(mode=0o700, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV")}
    environment.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(listener.getsockname()[1]),
        MINISTACK_ACCOUNT_ID=account,
        MINISTACK_REGION=region,
        SERVICES="appconfig,appconfigdata,monitoring,cloudwatch,cloudtrail,logs,sns,sqs,events,lambda,s3,sts,iam",
        CLOUDTRAIL_RECORDING="1",
        LOG_LEVEL="WARNING",
        HOME=str(scratch),
        TMPDIR=str(scratch),
        S3_DATA_DIR=str(scratch / "s3"),
        STATE_DIR=str(scratch / "state"),
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
    )
    log = os.open(folder / "ministack.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "mlconsole_aws_offline.stack", str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=[listener.fileno()],
        )
    finally:
        os.close(log)


def _wait(child: subprocess.Popen[bytes], port: int) -> None:
    import http.client

    deadline = time.monotonic() + _COMING_UP
    while time.monotonic() < deadline:
        if child.poll() is not None:
            sys.exit(f"ministack ended with {child.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.02)
        finally:
            connection.close()
    sys.exit(f"ministack did not answer within {_COMING_UP:g} s")


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _preferred(port: int) -> socket.socket | None:
    try:
        return _listen(port) if port else None
    except OSError:
        return None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlconsole_aws_offline.server", description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ministack-port", type=int, default=0)
    parser.add_argument("--account", default="123456789012")
    parser.add_argument("--region", default="eu-central-1")
    parser.add_argument("--prefer", type=int, default=0, help="a port that is taken if nobody else has it")
    parser.add_argument("--token", default="", help="by which it is found again")
    parser.add_argument("--lifeline", action="store_true", help="end when stdin does")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
