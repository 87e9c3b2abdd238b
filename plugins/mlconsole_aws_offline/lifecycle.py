"""`local up`, `down`, `status` where AWS is on this machine: the servers, what an account has from the start, and traffic."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from mlconsole.plugin import Context
from mlconsole.plugin.errors import Refused, Unavailable
from mlconsole.plugin.roles import Part
from mlconsole_aws_offline import kept
from mlconsole_aws_offline.addresses import Addresses, ask, config_text
from mlconsole_aws_offline.traffic import Traffics

_COMING_UP = 60.0
_NEEDED = ("boto3", "flask", "jsonschema", "ministack", "moto", "onnxruntime", "uvicorn")


class OfflineLifecycle:
    """See `plugin.roles.Lifecycle`."""

    def __init__(self, context: Context) -> None:
        self._options = context.options
        self._root = context.root
        self._state = context.state
        self._folder = context.state / "servers"
        self._config = context.root / str(context.options["config_file"])
        self._traffics = Traffics(context)

    def up(self) -> Sequence[Part]:
        """The servers (those that run are found again), the config file that leads to them, the account's own things, then traffic."""
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise Refused(f"{missing[0]} is not installed, so there is no AWS on this machine.", next="pip install 'mlconsole[demo-aws]'")
        with kept.locked(self._state, seconds=_COMING_UP):
            addresses = self._running()
            if addresses is None:
                addresses = self._start()
                ask(addresses.front, "/_offline/control", self._settings())
            self._write_config(addresses)
            from mlconsole_aws_offline.account import prepare

            prepare(self._options, self._root, self._config, addresses.front)
            self._traffics.again()
        return self.parts()

    def down(self) -> Sequence[Part]:
        """Traffic first, then the servers; all that they held is gone with them."""
        stopped = [part for part in self.parts() if part.state != "stopped"]
        with kept.locked(self._state):
            self._traffics.stop_all()
            kept.stop(self._folder)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._config.unlink(missing_ok=True)
        return stopped

    def parts(self) -> Sequence[Part]:
        """The servers, and whatever replays events."""
        addresses = Addresses.read(self._folder / "ready.json")
        pid = kept.find(self._folder)
        if addresses is None:
            return self._traffics.parts() if pid is None else [Part("aws", "not ready", f"pid {pid}", healthy=False)]
        where = addresses.front.removeprefix("http://")
        if pid is None:
            ended = Part("aws", "dead", f"{where}: {kept.last_line(self._folder) or 'it ended'}; all it held is gone", healthy=False)
            return [ended, *self._traffics.parts()]
        services = "SageMaker (moto and ours), S3, AppConfig and CloudWatch (ministack)"
        return [Part("aws", "running", f"{where} (pid {pid}): {services}", healthy=True), *self._traffics.parts()]

    def address(self, service: str) -> str | None:
        """`@aws` is where all services answer."""
        addresses = Addresses.read(self._folder / "ready.json") if service == "aws" else None
        return urlsplit(addresses.front).netloc if addresses is not None else None

    def _running(self) -> Addresses | None:
        """The servers that run, if they answer; a hung one is ended."""
        if kept.find(self._folder) is None:
            return None
        found = Addresses.read(self._folder / "ready.json")
        if found is not None:
            try:
                ask(found.front, "/_offline/calls", seconds=5.0)
                return found
            except (OSError, ValueError):
                pass
        kept.stop(self._folder)
        return None

    def _start(self) -> Addresses:
        before = Addresses.read(self._folder / "ready.json")
        shutil.rmtree(self._folder, ignore_errors=True)
        arguments = ["--folder", str(self._folder), "--account", str(self._options["account"]), "--region", str(self._options["region"])]
        if before is not None:  # at the same address, if it is free: other programs may have it
            arguments += ["--prefer", str(urlsplit(before.front).port)]
        kept.start(self._folder, "mlconsole_aws_offline.server", arguments)
        deadline = time.monotonic() + _COMING_UP
        while time.monotonic() < deadline:
            found = Addresses.read(self._folder / "ready.json")
            if found is not None:
                return found
            if kept.find(self._folder) is None:
                why = kept.last_line(self._folder)
                raise Refused(f"The AWS servers ended at once: {why}", next=f"Look at {self._folder / 'log'}.")
            time.sleep(0.02)
        raise Unavailable(f"The AWS servers did not answer within {_COMING_UP:g} s.", next=f"Look at {self._folder / 'log'}.")

    def _settings(self) -> dict[str, object]:
        said = self._options
        return {
            "updating_seconds": said["updating_seconds"],
            "weights_seconds": float(said["updating_seconds"]) / 4,
            "deleting_seconds": float(said["updating_seconds"]) / 4,
            "minute_seconds": said["minute_seconds"],
            "metrics_seconds": 1.0,
            "metrics_period": 10,
            "capture_seconds": 2.0,
            "capture_keep_seconds": 1800.0,
            "warm": True,
        }

    def _write_config(self, addresses: Addresses) -> None:
        text = config_text(addresses.front, profile=str(self._options["profile"]), region=str(self._options["region"]))
        self._config.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = Path(f"{self._config}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(self._config)
