"""Where the servers answer, and the config file in boto3's own format that says so: a workspace needs `profile:` and `config_file:`."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ACCOUNT, REGION, PROFILE = "123456789012", "eu-central-1", "mlconsole-test"
KEY, SECRET = "AKIAOFFLINEOFFLINE00", "offline-no-secret"
"""They open nothing: the servers look at no signature."""

_SERVICES = (
    "appconfig", "appconfigdata", "application_auto_scaling", "cloudtrail", "cloudwatch", "cloudwatch_logs", "iam", "pricing", "s3",
    "sagemaker", "sagemaker_runtime", "service_quotas", "sns", "sts",
)  # fmt: skip


@dataclass(frozen=True)
class Addresses:
    """The servers that run."""

    pid: int
    front: str
    ministack: str

    @staticmethod
    def read(path: Path) -> Addresses | None:
        """What a server wrote when it was ready; None: nothing (yet)."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return Addresses(int(found["pid"]), str(found["front"]), str(found["ministack"]))
        except (OSError, ValueError, KeyError):
            return None


def config_text(front: str, *, profile: str = PROFILE, region: str = REGION) -> str:
    """An `~/.aws/config` whose profile leads to the servers, whatever the service."""
    services = "".join(f"{service} =\n  endpoint_url = {front}\n" for service in _SERVICES)
    return (
        f"[profile {profile}]\nregion = {region}\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        f"endpoint_url = {front}\nservices = offline\noutput = json\n\n[services offline]\n{services}"
    )


def ask(front: str, path: str, settings: Mapping[str, Any] | None = None, *, seconds: float = 30.0) -> dict[str, Any]:
    """Our own side of the servers: `/_offline/control`, `/_offline/reset`, `/_offline/calls`.

    Raises:
        OSError: they do not answer.
        ValueError: they refuse.
    """
    where = urlsplit(front)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=seconds)
    try:
        body = None if settings is None else json.dumps(dict(settings)).encode()
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        found: dict[str, Any] = json.loads(reply.read() or b"{}")
        if reply.status != 200:
            raise ValueError(f"{path} answers {reply.status}: {found}")
        return found
    finally:
        connection.close()
