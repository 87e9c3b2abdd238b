"""Traffic held in configuration: applications read in a config document who gets which share, and split requests themselves.

This traffic role writes those fields through whatever keeps config documents, so that sliders, rollouts and reverts work there as anywhere.
Each step is built on the live document: what others changed in it since stays. All endpoints of a document share its scope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mlconsole.core.documents import WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.entries import Entry, entries
from mlconsole.core.live import Live, traffic_differences
from mlconsole.core.models import Json
from mlconsole.core.pointers import REMOVE
from mlconsole.core.releases import Content
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import duration
from mlconsole.core.traffic import SliceSplit, Split, Traffic, percent
from mlconsole.documents import Reading, read, splice
from mlconsole.plugin.errors import Conflict, Refused
from mlconsole.plugin.roles import ConfigStore, Limits, Order, TrafficReport

if TYPE_CHECKING:
    from mlconsole.workspace import ConfigSettings

_ALL = "*"
"""The entry that is meant for every slice without one of its own."""


class ConfigTraffic:
    """A traffic role over a store of config documents. `models`: endpoint → the model whose entries say its split."""

    def __init__(self, store: ConfigStore, settings: ConfigSettings, models: Mapping[str, str]) -> None:
        self._store, self._settings, self._models = store, settings, models
        self.document = settings.name
        self._kept: tuple[str, bytes, Reading] | None = None
        """The version that was read last: its digest, its bytes, what they say. All endpoints of the document ask for it at each look."""

    def limits(self) -> Limits:
        """Whole basis points, and splits by the slice that the document goes by; no copies."""
        return Limits(share_granularity=1, slices=True, shadow=False)

    def scope(self, endpoint: str) -> str:
        """The document's."""
        return self._store.scope(self.document)

    def report(self, endpoint: str) -> TrafficReport:
        """The split as the published document says it: the row `*`, else the one that most rows have, is that for all requests."""
        report = self._store.report(self.document)
        there = report.document
        if there.version is None:
            return TrafficReport(None, report.transition, report.reason)
        traffic = self._traffic(endpoint, self._read(there.version, there.digest))
        reason = report.reason
        if there.share < WHOLE:
            reason = reason or f"config {self.document} {there.version} is read by {percent(there.share)} % of the clients"
        return TrafficReport(traffic, report.transition, reason)

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """One publication, where the shares are not as wanted."""
        if not traffic_differences(live.traffic, target.traffic):
            return ()
        seconds = self._store.limits().poll_lag
        if target.traffic is None:
            summary = f"take the shares of {live.endpoint} out of config {self.document}"
        else:
            summary = f"write the shares into config {self.document}: {_shares(target.traffic)}"
        return (
            Step(
                "traffic",
                f"publish {self.document}",
                f"{summary} (everywhere within {duration(seconds)})" if seconds else summary,
                Phase.SHIFT,
                traffic=target.traffic,
                gone=target.traffic is None,
                seconds=seconds,
                deadline=max(60.0, 4 * seconds),
            ),
        )

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Publish the live document with this endpoint's shares in it (or without them, where it is gone), as its next version.

        Raises:
            Conflict: it is being published to a part of the clients just now; somebody else published meanwhile (the optimistic lock).
            Refused: nothing is published, or it has no entries of this endpoint's model.
        """
        if step.traffic is None and not step.gone:
            return
        there = self._store.report(self.document).document
        if there.version is None:
            raise Refused(f"Config {self.document} is not published, so no application reads shares in it.", next="Publish it first.")
        if there.share < WHOLE:
            raise Conflict(
                f"Config {self.document} {there.version} is with {percent(there.share)} % of the clients just now.",
                next=f"Let that come to its end first: mlconsole rollout status config:{self.document}",
            )
        before = self._read(there.version, there.digest)
        body = self.written(endpoint, before, step.traffic) if step.traffic is not None else self._without(endpoint, before)
        if body != before:
            document = Document(self.document, there.latest + 1, digest_of(body), before=there.version, before_digest=there.digest)
            native = self._store.steps(there, document)
        elif order.back:
            # Already so; but another version may be on its way, or a call that may still come: the store stops it, and has the newer token.
            document = Document(self.document, there.version, there.digest)
            native = self._store.steps(LiveDocument(self.document), document)
        else:
            return
        for one in native:  # a stage of a rollout waits by itself, and leaves the store free meanwhile
            self._store.start(self.document, one, replace(order, documents={document.digest: body, there.digest: before}, at_once=True))

    def written(self, endpoint: str, body: bytes, traffic: Traffic) -> bytes:
        """The document with the endpoint's shares in it; all else byte for byte.

        Raises:
            Refused: as `edits`.
        """
        edits = self.edits(endpoint, body, traffic)
        return splice(body, self._settings.format, edits) if edits else body

    def _without(self, endpoint: str, body: bytes) -> bytes:
        """The document without any share of the endpoint; all else byte for byte."""
        found = [entry.pointer + self._settings.layout.split for entry in self._entries(endpoint, body) if entry.split is not None]
        return splice(body, self._settings.format, dict.fromkeys(found, REMOVE)) if found else body

    def edits(self, endpoint: str, body: bytes, traffic: Traffic) -> dict[str, Json]:
        """Pointer → new split, for every entry of the endpoint's model whose split is not as wanted.

        Raises:
            Refused: the document has no entries of it, or none for a slice that is to have a split of its own.
        """
        found = self._entries(endpoint, body)
        if not found:
            model = self._models.get(endpoint, endpoint)
            raise Refused(f"Config {self.document} has no entries of {model}: nowhere to write who gets which share of {endpoint}.")
        known = {entry.slice for entry in found}
        key = self._settings.layout.slice_key(self._models.get(endpoint, endpoint))
        for own in traffic.by_slice:
            if own.key != key or own.value not in known:
                text = f"Config {self.document} has no entry for {own.key} {own.value} of {endpoint}, so it can't have a split of its own."
                raise Refused(text)
        edits: dict[str, Json] = {}
        for entry in found:
            wanted = traffic.split if entry.slice in ("", _ALL) else traffic.slice_split(key, entry.slice)
            # Who has nothing is named with 0 where the split for all does, so that it can be told from one that is not there.
            wanted = {**dict.fromkeys(traffic.split, 0), **wanted}
            if dict(entry.split or {}) != dict(wanted):
                edits[entry.pointer + self._settings.layout.split] = {name: _number(share) for name, share in wanted.items()}
        return edits

    def expressed(self, endpoint: str, content: Content) -> Content:
        """A content as this role tells it back: a slice whose split is that for all has none of its own, and where the document has no row
        for all, that for all is the one which most rows would have. So two ways of saying the same are one.
        """
        traffic = content.traffic
        if traffic is None:
            return content
        there = self._store.report(self.document).document
        rows = () if there.version is None else self._entries(endpoint, self._read(there.version, there.digest))
        key = self._settings.layout.slice_key(self._models.get(endpoint, endpoint))
        named = dict.fromkeys(traffic.split, 0)
        splits = {
            row.slice: {**named, **(traffic.split if row.slice in ("", _ALL) else traffic.slice_split(key, row.slice))} for row in rows
        }
        told = _as_told(splits or {"": traffic.split}, key)
        own = tuple(replace(one, split=splits[one.value]) for one in told.by_slice)  # who has nothing is named, as people wrote it
        # One that no row is for is kept, so that it is refused and not forgotten.
        homeless = tuple(one for one in traffic.by_slice if one.key != key or one.value not in splits)
        return replace(content, traffic=replace(traffic, split=told.split, by_slice=(*own, *homeless)))

    def _read(self, version: int, digest: str) -> bytes:
        kept = self._kept
        if kept is None or kept[0] != digest:
            body = self._store.read(self.document, version)
            kept = self._kept = digest, body, read(body, self._settings.format)
        return kept[1]

    def _entries(self, endpoint: str, body: bytes) -> list[Entry]:
        """The entries of the endpoint's model."""
        model, kept = self._models.get(endpoint, endpoint), self._kept
        reading = kept[2] if kept is not None and kept[1] is body else read(body, self._settings.format)
        return [entry for entry in entries(reading.value, self._settings.layout) if entry.model == model]

    def _traffic(self, endpoint: str, body: bytes) -> Traffic | None:
        found = [entry for entry in self._entries(endpoint, body) if entry.split]
        if not found:
            return None
        splits = {entry.slice: dict(entry.split or {}) for entry in found}
        return _as_told(splits, self._settings.layout.slice_key(self._models.get(endpoint, endpoint)))


def _as_told(splits: Mapping[str, Split], key: str) -> Traffic:
    """The splits of rows as one: the row for all, else the split that most rows have (the first of several), is that for all."""
    common = splits.get(_ALL) or splits.get("")
    if common is None:
        counted = Counter(tuple(sorted(split.items())) for split in splits.values())
        common = dict(counted.most_common(1)[0][0])
    own = tuple(
        SliceSplit(key, name, _given(split)) for name, split in splits.items() if name not in ("", _ALL) and _given(split) != _given(common)
    )
    return Traffic(dict(common), own)


def _given(split: Split) -> dict[str, int]:
    return {name: share for name, share in split.items() if share}


def _shares(traffic: Traffic) -> str:
    splits = [("", traffic.split), *((f"{own.value}: ", own.split) for own in traffic.by_slice)]
    return " · ".join(label + " · ".join(f"{name} {percent(share)}" for name, share in split.items()) for label, split in splits)


def _number(share: int) -> Json:
    """A share in percent, whole where it is."""
    return share // 100 if share % 100 == 0 else share / 100
