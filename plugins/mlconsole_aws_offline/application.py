"""An application as it could be yours: `python -m mlconsole_aws_offline.application --events FILE --model NAME …`.

It reads in AppConfig which endpoint each language (or region) asks, and who of its variants gets which part; it asks SageMaker about
recorded events at a steady rate, and tells CloudWatch how it went. It knows nothing of mlconsole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlconsole_aws_offline.account import session
from mlconsole_aws_offline.kept import write_json

_WORKERS = 8
_METRICS_EVERY = 5.0


class Config:
    """The document, read again and again with AppConfig's data plane: each token once, an empty body means unchanged."""

    def __init__(self, client: Any, where: Mapping[str, str], poll: int) -> None:
        self._client, self._where, self._poll = client, where, poll
        self.value: Mapping[str, Any] = {}
        self.problem = ""
        self.digest = ""
        """What it reads: sha256:…; empty before it has read anything."""
        self._token = ""

    def run(self, ending: threading.Event) -> None:
        """Until the end."""
        while True:
            wait = float(self._poll)
            try:
                if not self._token:
                    found = self._client.start_configuration_session(**self._where, RequiredMinimumPollIntervalInSeconds=self._poll)
                    self._token = found["InitialConfigurationToken"]
                found = self._client.get_latest_configuration(ConfigurationToken=self._token)
                self._token = found["NextPollConfigurationToken"]
                body = found["Configuration"].read()
                if body:
                    self.value, self.digest = json.loads(body), f"sha256:{hashlib.sha256(body).hexdigest()}"
                self.problem = ""
            except Exception as error:  # noqa: BLE001 - it keeps what it has, and says so
                self.problem, self._token = f"{type(error).__name__}: {error}", ""
                wait = 1.0 if not self.value else wait
            if not self.value:
                wait = 1.0  # Nothing is published yet.
            if ending.wait(wait):
                return


class Application:
    """Sends events. `names` says how an endpoint is called; with {variant} in it, the application chooses one."""

    def __init__(self, runtime: Any, watch: Any, config: Config, options: argparse.Namespace) -> None:
        self._runtime, self._watch, self._config, self._options = runtime, watch, config, options
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(maxsize=max(_WORKERS, int(options.rate)))
        self._sent = self._failed = self._late = self._left_out = 0
        self._by_status: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._untold: Counter[tuple[str, str, str, str]] = Counter()
        self._last_error = ""
        self._began = time.time()

    def end(self) -> None:
        """Send nothing more."""
        self._ending.set()

    def run(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Until `end`."""
        reader = threading.Thread(target=self._config.run, args=(self._ending,), daemon=True)
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(_WORKERS)]
        for thread in (reader, *workers):
            thread.start()
        number, began, told, measured = 0, time.monotonic(), 0.0, time.monotonic()
        self._tell("running")
        while not self._ending.wait(max(0.0, began + number / self._options.rate - time.monotonic())):
            now = time.monotonic()
            if now - (began + number / self._options.rate) > 5.0:  # The machine slept: what was missed is not made up for in one burst.
                began = now - number / self._options.rate
            if now - told >= 1.0:
                told = now
                self._tell("running")
            if now - measured >= _METRICS_EVERY:
                measured = now
                self._measure()
            event = events[number % len(events)]
            number += 1
            try:
                self._queue.put_nowait(event)
            except queue.Full:
                with self._lock:
                    self._late += 1
        for _ in workers:
            with suppress(queue.Full):
                self._queue.put(None, timeout=1.0)
        for thread in workers:
            thread.join(5.0)
        self._measure()
        self._tell("ended")

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            inputs = event["inputs"]
            slice_ = str(inputs.get(self._options.key, ""))
            entries = self._config.value.get(self._options.model, {})
            # Told by which input entries go, it takes those alone; told nothing, any entry will do.
            entry = entries.get(slice_) or entries.get("*") or (None if self._options.key else next(iter(entries.values()), None))
            if entry is None or (self._by_variant and not any((entry.get("split") or {}).values())):
                with self._lock:
                    self._left_out += 1
                continue
            variant = _chosen(entry.get("split")) if self._by_variant else ""
            endpoint = str(entry["endpoint"])
            name = self._options.names.format(endpoint=endpoint, variant=variant)
            wanted = {*entry.get("fields", inputs), self._options.key}
            body = json.dumps({"inputs": [_column(key, value) for key, value in inputs.items() if key in wanted and value is not None]})
            try:
                reply = self._runtime.invoke_endpoint(EndpointName=name, Body=body.encode(), ContentType="application/json")
                reply["Body"].read()
                self._count("200", "", endpoint, variant or reply["InvokedProductionVariant"], slice_)
            except Exception as error:  # noqa: BLE001 - whatever it is, it counts as failed
                response = getattr(error, "response", {})
                status = str(response.get("OriginalStatusCode") or response.get("Error", {}).get("Code") or type(error).__name__)
                self._count(status, str(error)[:200], endpoint, variant, slice_)

    @property
    def _by_variant(self) -> bool:
        return "{variant}" in self._options.names

    def _count(self, status: str, error: str, endpoint: str, variant: str, slice_: str) -> None:
        with self._lock:
            self._sent += 1
            self._failed += status != "200"
            self._by_status[status] += 1
            self._answered[variant] += status == "200"
            self._untold["Requests", endpoint, variant, slice_] += 1
            self._untold["Errors", endpoint, variant, slice_] += status != "200"
            self._last_error = error or self._last_error

    def _measure(self) -> None:
        if not self._options.metrics:
            return
        with self._lock:
            untold, self._untold = self._untold, Counter()
        names = ("Endpoint", "Variant", self._options.key.capitalize())
        data = [
            {
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in zip(names, where, strict=True) if value],
                "Value": float(count),
                "Unit": "Count",
            }
            for (metric, *where), count in untold.items()
        ]
        with suppress(Exception):
            for start in range(0, len(data), 500):
                self._watch.put_metric_data(Namespace=self._options.metrics, MetricData=data[start : start + 500])

    def _tell(self, state: str) -> None:
        with self._lock:
            told = {
                "state": state,
                "pid": os.getpid(),
                "began": self._began,
                "time": time.time(),
                "rate": self._options.rate,
                "sent": self._sent,
                "failed": self._failed,
                "late": self._late,
                "answered_by": dict(self._answered),
                "nobody_to_ask": self._left_out,
                "by_status": dict(self._by_status),
                "last_error": self._last_error or self._config.problem,
                "reads": self._config.digest,
            }
        with suppress(OSError):
            write_json(self._options.status, told)


def _chosen(split: Mapping[str, float]) -> str:
    return random.choices(list(split), list(split.values()))[0]


def _column(name: str, value: Any) -> dict[str, Any]:
    datatype = "BOOL" if isinstance(value, bool) else "BYTES" if isinstance(value, str) else "INT64" if isinstance(value, int) else "FP64"
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


def read_events(path: Path) -> list[Mapping[str, Any]]:
    """The events of a file of JSON lines.

    Raises:
        ValueError: not of the format.
    """
    found: list[Mapping[str, Any]] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                event = json.loads(line)
                if not isinstance(event, dict) or not isinstance(event.get("inputs"), dict):
                    raise ValueError(f"{path}, line {number}: an event with inputs is wanted")
                found.append(event)
    if not found:
        raise ValueError(f"{path} has no events")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask until SIGTERM."""
    parser = argparse.ArgumentParser(prog="mlconsole_aws_offline.application", description=__doc__)
    parser.add_argument("--token", default="", help="by which it is found again")
    parser.add_argument("--events", required=True, type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", required=True, help="by which input the model's entries go")
    parser.add_argument("--names", required=True, help="how an endpoint is called")
    parser.add_argument("--rate", required=True, type=float)
    parser.add_argument("--config-file", required=True, type=Path)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--application", required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--document", required=True)
    parser.add_argument("--poll", required=True, type=int)
    parser.add_argument("--metrics", default="")
    parser.add_argument("--status", required=True, type=Path)
    options = parser.parse_args(arguments)
    try:
        events = read_events(options.events)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    from botocore.config import Config as Botocore

    here = session(options.config_file, options.profile)
    once = Botocore(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=_WORKERS, read_timeout=30)
    where = {
        "ApplicationIdentifier": options.application,
        "EnvironmentIdentifier": options.environment,
        "ConfigurationProfileIdentifier": options.document,
    }
    config = Config(here.client("appconfigdata", config=once), where, options.poll)
    application = Application(here.client("sagemaker-runtime", config=once), here.client("cloudwatch", config=once), config, options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: application.end())
    application.run(events)


if __name__ == "__main__":
    main()
