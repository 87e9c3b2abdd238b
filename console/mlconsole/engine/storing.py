"""What an environment's store keeps: config documents, asked with deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlconsole.core.documents import WHOLE, Document, LiveDocument, document_of
from mlconsole.core.live import Live, Transition
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step
from mlconsole.core.text import neutralise
from mlconsole.core.traffic import percent
from mlconsole.engine.bound import READ, Bound, traffic_document
from mlconsole.plugin.errors import BackendError, MLConsoleError, UsageError
from mlconsole.plugin.roles import Schemas, StoredVersion, Watching

_WORSE = {Transition.SETTLED: 0, Transition.IN_PROGRESS: 1, Transition.FAILED: 2}


class Storing(Bound):
    """The store of config documents, where the environment has one."""

    @property
    def keeps_documents(self) -> bool:
        """Whether a role for config documents is bound."""
        return "config" in self._environment.roles

    def document_versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest versions that the store keeps, newest first."""
        store = self.config()
        return self._calls.ask(f"listing the versions of config {document}", lambda: store.versions(document, limit), deadline=READ)

    def document_bytes(self, document: str, number: int) -> bytes:
        """The bytes of a version."""
        store = self.config()
        return self._calls.ask(f"reading config {document} {number}", lambda: store.read(document, number), deadline=READ)

    def document_schemas(self, document: str) -> Sequence[bytes]:
        """The schemas against which the store itself holds what is published."""
        store = self.config()
        if not isinstance(store, Schemas):
            return ()
        return self._calls.ask(f"asking for the schemas of config {document}", lambda: store.schemas(document), deadline=READ)

    def document_watching(self, document: str) -> str | None:
        """What the store itself watches while it publishes; empty: nothing just now. None: it never does, or can't be asked."""
        store = self.config()
        if not isinstance(store, Watching):
            return None
        try:
            told = self._calls.ask(f"asking what watches config {document}", lambda: store.watching(document), deadline=READ)
        except BackendError:
            return None
        return neutralise(told)

    def published(self, endpoint: str, document: str | None) -> Document | None:
        """A config document as an endpoint's change has left it: the one that it carried, or the one that says who gets which share. None:
        there is no such document, or nobody could tell.
        """
        if document_of(endpoint) is not None:
            return None
        name = document or traffic_document(self._traffic())
        if name is None:
            return None
        try:
            there = self._described_document(Live(endpoint), name).document
        except MLConsoleError:
            return None  # it is seen as changed outside, and may be kept
        if there is None or there.version is None:
            return None
        return Document(name, there.version, there.digest, there.share, there.before, there.before_digest)

    def _check_document(self, document: Document) -> None:
        limits = self.config().limits()
        whole = document.share == WHOLE
        if not whole and not limits.growth:
            raise UsageError(f"{self.name} publishes to all clients at once, not to {percent(document.share)} %. Nothing was changed.")
        if document.share % limits.share_granularity:
            text = f"{self.name} publishes in steps of {percent(limits.share_granularity)} %; {percent(document.share)} % is between two."
            raise UsageError(f"{text} Nothing was changed.")

    def _described_document(self, live: Live, name: str) -> Live:
        store = self.config()
        report = self._calls.ask(f"asking for config {name}", lambda: store.report(name), deadline=READ)
        return replace(live, document=report.document, **joined(live, report.transition, report.reason))

    def _document_steps(self, live: Live, target: Content) -> list[Step]:
        if target.document is None:
            return []
        there = live.document or LiveDocument(target.document.name)
        return list(self.config().steps(there, target.document))


def joined(live: Live, transition: Transition, reason: str) -> dict[str, Any]:
    """Transition and reason of two roles as one: the worse decides."""
    worse = transition if _WORSE[transition] > _WORSE[live.transition] else live.transition
    return {"transition": worse, "reason": "; ".join(dict.fromkeys(one for one in (live.reason, reason) if one))}
