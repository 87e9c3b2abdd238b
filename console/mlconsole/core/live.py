"""The live state as a backend reports it, and how far it is from what a release wants."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mlconsole.core.documents import WHOLE, Document, LiveDocument, document_of
from mlconsole.core.releases import NOTHING, Content, Variant
from mlconsole.core.traffic import Shadow, SliceSplit, Split, Traffic, percent

READ_ONLY = "read-only"
"""The resource of a live variant that says why it can't be changed from here: *it is serverless* (foreign text)."""


class VariantState(StrEnum):
    """How a variant is, as its backend says."""

    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"
    STOPPING = "stopping"


class Transition(StrEnum):
    """Whether the backend is changing the endpoint by itself just now."""

    SETTLED = "settled"
    IN_PROGRESS = "in progress"
    FAILED = "failed"


@dataclass(frozen=True)
class LiveVariant:
    """A variant as it is. `digest` None: the backend can't say which bytes run (then it equals nothing that we want)."""

    name: str
    state: VariantState
    model: str | None = None
    version: str | None = None
    digest: str | None = None
    reason: str = ""
    """Why it is not ready, in the backend's words (foreign text)."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """What it runs on, for people: `pid`, `port`, `machines`, `memory`, …; not compared."""
    since: datetime | None = None


@dataclass(frozen=True)
class Live:
    """An endpoint as it is: reported variants and reported traffic."""

    endpoint: str
    variants: tuple[LiveVariant, ...] = ()
    traffic: Traffic | None = None
    transition: Transition = Transition.SETTLED
    reason: str = ""
    url: str | None = None
    release: str | None = None
    """The release that the backend says it runs (`relevance@staging#3`), where it can carry such a mark."""
    document: LiveDocument | None = None
    """The config document, for a document's own target and while a change carries one; else not asked for."""

    @property
    def exists(self) -> bool:
        """Whether there is anything of this endpoint at all."""
        published = document_of(self.endpoint) is not None and self.document is not None and self.document.version is not None
        return bool(self.variants) or self.traffic is not None or published

    @property
    def only_to_look_at(self) -> str:
        """Why it can't be changed from here; empty: it can."""
        return next((there.resources[READ_ONLY] for there in self.variants if READ_ONLY in there.resources), "")

    def variant(self, name: str) -> LiveVariant | None:
        """The variant of that name."""
        return next((variant for variant in self.variants if variant.name == name), None)


@dataclass(frozen=True)
class Difference:
    """One field in which the live state is not as wanted; all three for people."""

    what: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: wanted {self.wanted}, found {self.found}"


def differences(live: Live, content: Content) -> tuple[Difference, ...]:
    """Where `live` is not what `content` wants, in the fields that a release sets. Empty: it stands (invariant 3).

    A variant that stands by, reached by nobody, has to be there with the right bytes; that it is ill is told elsewhere and holds no
    release up (the stable version may be the broken one, and then forward must stay open: trap 12).
    """
    traffic = content.traffic
    reached = [v for v in content.variants if traffic is not None and (traffic.reaches(v.name) or _is_shadow(traffic, v.name))]
    standing_by = [variant for variant in content.variants if variant not in reached]
    found = variant_differences(live, tuple(reached)) + variant_differences(live, tuple(standing_by), ready=False)
    found += traffic_differences(live.traffic, traffic)
    wanted = set(content.names)
    found += [Difference(f"variant {extra.name}", "none", extra.state) for extra in live.variants if extra.name not in wanted]
    found += document_differences(live.document, content.document)
    return tuple(found)


def document_differences(found: LiveDocument | None, wanted: Document | None) -> list[Difference]:
    """Where the published version is not the wanted one; a release that wants none is content with any."""
    if wanted is None:
        return []
    what = f"config {wanted.name}"
    if found is None or found.version is None:
        return [Difference(what, f"version {wanted.version}", "nothing published")]
    if found.digest != wanted.digest:
        return [Difference(what, f"version {wanted.version}", f"version {found.version} ({short_digest(found.digest)})")]
    if found.share != wanted.share:
        return [Difference(f"{what}, share of clients", f"{percent(wanted.share)} %", f"{percent(found.share)} %")]
    if wanted.share < WHOLE and found.before_digest != wanted.before_digest:
        return [Difference(f"{what}, other clients", f"version {wanted.before}", f"version {found.before}")]
    return []


def variant_differences(live: Live, variants: tuple[Variant, ...], *, ready: bool = True) -> list[Difference]:
    """Which of the wanted variants are not there, other bytes than wanted, or (with `ready`) not ready."""
    result: list[Difference] = []
    for variant in variants:
        there = live.variant(variant.name)
        if there is None:
            result.append(Difference(f"variant {variant.name}", "ready", "not there"))
        elif there.digest != variant.digest:
            found = f"digest {short_digest(there.digest)}" if there.digest else "unknown bytes"
            result.append(Difference(f"variant {variant.name}", f"digest {short_digest(variant.digest)}", found))
        elif ready and there.state is not VariantState.READY:
            result.append(Difference(f"variant {variant.name}", "ready", f"{there.state}{f' ({there.reason})' if there.reason else ''}"))
    return result


def traffic_differences(found: Traffic | None, wanted: Traffic | None) -> list[Difference]:
    """Which shares are reported other than wanted, in every slice and in the shadow."""
    if wanted is None or found is None:
        return [] if wanted is found else [Difference("traffic", _told(wanted), _told(found))]
    result = _split_differences("", found.split, wanted.split)
    # A variant at 0 % that is routed can be asked for by name and is one step from traffic; one that is not routed is neither.
    for name in sorted(set(found.split) ^ set(wanted.split)):
        if not found.split.get(name, 0) and not wanted.split.get(name, 0):
            result.append(Difference(f"share of {name}", _told_share(wanted.split, name), _told_share(found.split, name)))
    slices = {(entry.key, entry.value): entry for entry in (*found.by_slice, *wanted.by_slice)}
    for key, value in slices:
        result += _split_differences(f" in {key}={value}", found.slice_split(key, value), wanted.slice_split(key, value))
        has = [_entry(traffic, key, value) is not None for traffic in (wanted, found)]
        if has[0] != has[1] and not _split_differences("", found.slice_split(key, value), wanted.slice_split(key, value)):
            result.append(Difference(f"split of {key}={value}", *("of its own" if own else "as for all" for own in has)))
    if _shadow(found) != _shadow(wanted):
        result.append(Difference("shadow", _told_shadow(wanted.shadow), _told_shadow(found.shadow)))
    return result


def content_of(live: Live) -> Content:
    """The live state as a release's content, for *as found* and *kept* releases; variants that are going away are left out."""
    if not live.exists:
        return NOTHING
    there = live.document
    if there is not None and there.version is not None and document_of(live.endpoint) is not None:
        return Content(document=Document(there.name, there.version, there.digest, there.share, there.before, there.before_digest))
    return Content(
        tuple(
            Variant(there.name, there.model or "unknown", there.version or "unknown", there.digest or "unknown")
            for there in live.variants
            if there.state is not VariantState.STOPPING
        ),
        live.traffic,
    )


def as_live(content: Content, endpoint: str) -> Live:
    """The live state in which a content stands, everything ready."""
    return Live(
        endpoint,
        tuple(LiveVariant(v.name, VariantState.READY, v.model, v.version, v.digest) for v in content.variants),
        content.traffic,
        document=None if content.document is None else live_document(content.document),
    )


def live_document(document: Document) -> LiveDocument:
    """A document as its store reports it once it stands."""
    one = document
    return LiveDocument(one.name, one.version, one.digest, one.share, one.before, one.before_digest, latest=one.version)


def fingerprint(live: Live) -> str:
    """A short hash of what a plan builds on: which bytes run under which name and who gets which share; not how well they are.

    Of a config document: which bytes which share of the clients reads. What an endpoint was applied with is not part of what it is.
    """
    traffic = live.traffic
    body: dict[str, object] = {
        "variants": sorted([variant.name, variant.digest or ""] for variant in live.variants),
        "split": sorted(traffic.split.items()) if traffic else None,
        "slices": sorted([entry.key, entry.value, sorted(_given(entry.split).items())] for entry in traffic.by_slice) if traffic else None,
        "shadow": [traffic.shadow.variant, traffic.shadow.sample] if traffic and _shadow(traffic) and traffic.shadow else None,
    }
    if live.document is not None and document_of(live.endpoint) is not None:
        one = live.document
        body["document"] = [one.digest, one.share, one.before_digest if one.share < WHOLE else ""]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def short_digest(digest: str | None) -> str:
    """`sha256:9e2b7aa…` as people compare it: the first twelve hex digits."""
    return (digest or "unknown").removeprefix("sha256:")[:12]


def _given(split: Split) -> dict[str, int]:
    """Only who gets something: inside a slice a backend has no place for a 0."""
    return {name: share for name, share in split.items() if share}


def _split_differences(where: str, found: Split, wanted: Split) -> list[Difference]:
    return [
        Difference(f"share of {name}{where}", _told_share(wanted, name), _told_share(found, name))
        for name in sorted({*found, *wanted})
        if found.get(name, 0) != wanted.get(name, 0)
    ]


def _told_share(split: Split, name: str) -> str:
    return f"{percent(split[name])} %" if name in split else "none"


def _entry(traffic: Traffic, key: str, value: str) -> SliceSplit | None:
    return next((entry for entry in traffic.by_slice if (entry.key, entry.value) == (key, value)), None)


def _shadow(traffic: Traffic) -> Shadow | None:
    return traffic.shadow if traffic.shadow and traffic.shadow.sample else None


def _is_shadow(traffic: Traffic, name: str) -> bool:
    shadow = _shadow(traffic)
    return shadow is not None and shadow.variant == name


def _told(traffic: Traffic | None) -> str:
    if traffic is None:
        return "none"
    return ", ".join(f"{name} {percent(share)} %" for name, share in traffic.split.items() if share)


def _told_shadow(shadow: Shadow | None) -> str:
    return f"{shadow.variant} {percent(shadow.sample)} %" if shadow and shadow.sample else "none"
