"""Whose captured data lie where: the folders `ENDPOINT/VARIANT/` below the capture prefix, and which endpoint and variant each is here."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mlconsole.core.models import ModelVersion
from mlconsole.plugin import Context
from mlconsole.plugin.errors import AuthFailed, BackendError, NotFound, Refused
from mlconsole_aws.capture_lines import Stream
from mlconsole_aws.clients import AT_ONCE, Clients
from mlconsole_aws.marks import PINNED, PROBE
from mlconsole_aws.naming import ONLY, Names

_LOOKS = 60.0
"""Seconds between two looks at which folders there are, where nothing else was released."""
_KNOWN = 300.0
"""Seconds for which it is known how an endpoint captures, and which folders it has."""


@dataclass(frozen=True)
class Capturing:
    """How a SageMaker endpoint captures, as the service says."""

    percent: int | None = None
    """So many of a hundred requests; None: nobody could say."""
    running: bool = True
    shadows: frozenset[str] = frozenset()
    """Its variants that get copies."""


class Streams:
    """The folders of one environment. Where the registry says what was released here, only those of its variants are read: others may
    capture to the same place."""

    def __init__(self, context: Context, clients: Clients, bucket: str, prefix: str) -> None:
        self._context, self._clients, self._bucket, self._prefix = context, clients, bucket, prefix
        self._names = Names.of(clients.section("sagemaker"), by_name=context.by_name)
        self._found: tuple[float, dict[str, Stream]] | None = None
        self._released: Mapping[tuple[str, str], ModelVersion | None] | None = None
        self._folders: dict[str, tuple[float, list[str]]] = {}
        self._capturing: dict[str, tuple[float, Capturing]] = {}
        self._lock = threading.Lock()

    def all(self) -> Mapping[str, Stream]:
        """Folder (`relevance/v6`) → whose it is.

        Raises:
            BackendError: AWS could not say.
        """
        with self._lock:
            now = self._context.clock.elapsed()
            # Of our own registry: who was released a moment ago is read at once.
            released = self._context.released() if self._context.released is not None else None
            if self._found is None or released != self._released or now - self._found[0] >= _LOOKS:
                self._released = released
                self._found = now, dict(self._discovered() if released is None else self._of(released))
            return self._found[1]

    def capturing(self) -> dict[str, tuple[int, bool]]:
        """SageMaker endpoint → so many of a hundred requests are captured, and whether it goes on: of those that do not capture all."""
        known = {native: one for native, (_, one) in self._capturing.items() if one.percent is not None}
        return {native: (one.percent or 0, one.running) for native, one in known.items() if one.percent != 100 or not one.running}

    def _of(self, released: Mapping[tuple[str, str], ModelVersion | None]) -> Iterator[tuple[str, Stream]]:
        self._ask_all({self._names.native(endpoint, variant) for endpoint, variant in released})
        for (endpoint, variant), version in released.items():
            native = self._names.native(endpoint, variant)
            # By name each variant has a SageMaker endpoint of its own, whose one production variant may be called as somebody else liked.
            for folder in self._variants(native) or [ONLY] if self._context.by_name else [variant]:
                yield f"{native}/{folder}", self._stream(native, folder, endpoint, variant, version)

    def _discovered(self) -> Iterator[tuple[str, Stream]]:
        """Everything there, by the names alone: nobody says what was released."""
        meant = {native: found for native in self._below("") if (found := self._names.reading(native)) is not None}
        self._ask_all(meant)
        for native, (endpoint, variant) in meant.items():
            for folder in self._variants(native):
                yield f"{native}/{folder}", self._stream(native, folder, endpoint, variant if self._context.by_name else folder, None)

    def _ask_all(self, natives: Collection[str]) -> None:
        """What each is asked for below, of several at a time."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="captured") as pool:
            list(pool.map(self._ask, natives))
            if self._context.by_name:
                list(pool.map(self._variants, natives))

    def _stream(self, native: str, folder: str, endpoint: str, variant: str, version: ModelVersion | None) -> Stream:
        shadow = folder in self._ask(native).shadows
        return Stream(endpoint, variant, version, shadow, pinned=self._context.by_name, probes=PROBE, chosen=PINNED)

    def _variants(self, native: str) -> list[str]:
        """The production variants that it captured of, ever."""
        now = self._context.clock.elapsed()
        before = self._folders.get(native)
        if before is None or not before[1] or now - before[0] >= _KNOWN:
            before = self._folders[native] = now, self._below(f"{native}/")
        return before[1]

    def _below(self, folder: str) -> list[str]:
        start = f"{self._prefix}{folder}"
        pages = self._clients.pages(
            "s3", "list_objects_v2", "CommonPrefixes", token="NextContinuationToken", Bucket=self._bucket, Prefix=start, Delimiter="/"
        )
        return [str(one["Prefix"])[len(start) :].rstrip("/") for one in pages]

    def _ask(self, native: str) -> Capturing:
        """How it captures. Who may not look still reads what is there."""
        now = self._context.clock.elapsed()
        before = self._capturing.get(native)
        if before is not None and now - before[0] < (_LOOKS if before[1].percent is None else _KNOWN):
            return before[1]
        try:
            found = self._clients.call("sagemaker", "describe_endpoint", EndpointName=native)
            capture = found.get("DataCaptureConfig") or {}
            settled = found.get("EndpointStatus") == "InService"
            capturing = Capturing(
                percent=int(capture["CurrentSamplingPercentage"]) if capture.get("EnableCapture") else 0 if settled else None,
                running=not capture or capture.get("CaptureStatus") != "Stopped",
                shadows=frozenset(str(one["VariantName"]) for one in found.get("ShadowProductionVariants") or ()),
            )
        except (NotFound, Refused):
            capturing = Capturing()
        except AuthFailed:
            raise
        except BackendError:
            if before is None:
                raise  # A copy would count as an answer.
            capturing = before[1]
        self._capturing[native] = now, capturing
        return capturing
