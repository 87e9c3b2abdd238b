"""Config documents as the world has them, and how time changes them; mutable as its other records are."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from mlconsole.core.documents import WHOLE, Document, LiveDocument
from mlconsole.core.live import Transition
from mlconsole.core.models import Json
from mlconsole.plugin.roles import DocumentReport, StoredVersion


@dataclass
class VersionRecord:
    """A version as the world has it: immutable once it is there."""

    digest: str
    created: str
    note: str
    body: str
    """Base64: the world's file is JSON, and a document may be anything."""


@dataclass
class Published:
    """Which version is published, to whom, and what the others read."""

    version: int
    digest: str
    share: int = WHOLE
    before: int | None = None
    before_digest: str = ""

    @classmethod
    def of(cls, document: Document) -> Published:
        """What a step wants; at whole share nobody reads an older one."""
        if document.share == WHOLE:
            return cls(document.version, document.digest)
        return cls(document.version, document.digest, document.share, document.before, document.before_digest)


@dataclass
class Publication:
    """A publication under way. `due` None: it is stuck."""

    wanted: Published
    due: float | None
    rolls_back: bool = False
    fails: str = ""
    wrong_bytes: bool = False


@dataclass
class DocumentRecord:
    """A document as the world has it."""

    name: str
    versions: dict[str, VersionRecord] = field(default_factory=dict)
    published: Published | None = None
    count: int = 0
    """How many publications there were."""
    under_way: Publication | None = None
    problem: str = ""
    """Why the last publication failed."""
    earlier: dict[str, Json] | None = None
    """What a late read sees: the report before the last start."""
    late_until: float = 0.0

    @property
    def latest(self) -> int:
        """The highest number of a version; 0: there is none."""
        return max(map(int, self.versions), default=0)

    def add(self, number: int, body: bytes, digest: str, created: str, note: str) -> None:
        """A version that was not there."""
        self.versions[str(number)] = VersionRecord(digest, created, note, base64.b64encode(body).decode())

    def body(self, number: int) -> bytes | None:
        """The bytes of a version; None: there is none of that number."""
        found = self.versions.get(str(number))
        return None if found is None else base64.b64decode(found.body)


def document_from_json(body: Mapping[str, Json]) -> DocumentRecord:
    """The record that `asdict` wrote."""
    versions = {number: VersionRecord(**version) for number, version in body["versions"].items()}
    published = Published(**body["published"]) if body["published"] else None
    moving = body["under_way"]
    under_way = Publication(**{**moving, "wanted": Published(**moving["wanted"])}) if moving else None
    return DocumentRecord(**{**body, "versions": versions, "published": published, "under_way": under_way})


def report_of(record: DocumentRecord | None, name: str) -> DocumentReport:
    """The record as the role reports it."""
    if record is None:
        return DocumentReport(LiveDocument(name))
    moving = record.under_way
    transition = Transition.IN_PROGRESS if moving else Transition.FAILED if record.problem else Transition.SETTLED
    told = f"DEPLOYING (deployment {record.count})" if moving else f"COMPLETE (deployment {record.count})" if record.count else ""
    live = LiveDocument(name, latest=record.latest, publication=told)
    if record.published is not None:
        live = LiveDocument(name=name, **asdict(record.published), latest=record.latest, publication=told)
    return DocumentReport(live, transition, record.problem)


def report_to_json(report: DocumentReport) -> dict[str, Json]:
    """A report as the world's file keeps it for late reads."""
    return {"document": asdict(report.document), "transition": report.transition.value, "reason": report.reason}


def report_from_json(body: Mapping[str, Json]) -> DocumentReport:
    """The report that `report_to_json` wrote."""
    return DocumentReport(LiveDocument(**body["document"]), Transition(body["transition"]), body["reason"])


def stored(record: DocumentRecord, number: int) -> StoredVersion:
    """A version as it is listed."""
    found = record.versions[str(number)]
    return StoredVersion(number, found.digest, len(base64.b64decode(found.body)), datetime.fromisoformat(found.created), found.note)


def advance(record: DocumentRecord, elapsed: float) -> None:
    """Let the publication end that is due by now."""
    moving = record.under_way
    if moving is None or moving.due is None or moving.due > elapsed:
        return
    record.under_way = None
    if moving.rolls_back:
        return
    if moving.fails:
        record.problem = moving.fails
        return
    record.published = moving.wanted
    if moving.wrong_bytes:
        record.published.digest = f"sha256:{hashlib.sha256(f'wrong {moving.wanted.digest}'.encode()).hexdigest()}"
