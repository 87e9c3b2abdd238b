"""A staged traffic: what somebody put together at leisure on Canary becomes one plan, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlconsole.core.errors import InvalidTraffic
from mlconsole.core.releases import Content, ReleaseKind
from mlconsole.core.traffic import Shadow, SliceSplit, Split, Traffic, percent, same
from mlconsole.core.transitions import shared, staged
from mlconsole.engine.planning import check_slice, current, make_plan
from mlconsole.plugin.errors import Conflict

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.session import Session


def plan_staged(
    session: Session, endpoint: str, traffic: Traffic, *, made_from: int | None = None, reason: str = "", break_glass: str = ""
) -> Plan:
    """All of a staged traffic at once: the split for all requests, those of slices, the shadow.

    Raises:
        Conflict: it was staged on the release `made_from`, and that is not the live one any more.
        InvalidTraffic: a variant that is not there, or what the backend can't express.
    """
    live, record = current(session, endpoint)
    if record is None:
        raise session.unknown_endpoint(endpoint)
    if made_from is not None and made_from != record.number:
        raise Conflict(
            f"This was staged on #{made_from} of {endpoint}, live is #{record.number} by now. Nothing was changed.",
            next="Look at what is live, and stage it again.",
        )
    then = staged(record.content, traffic)
    for entry in then.traffic.by_slice if then.traffic else ():
        if entry not in (record.content.traffic.by_slice if record.content.traffic else ()):
            check_slice(session, record.content, entry.key, entry.value)
    words = traffic_words(endpoint, record.content.traffic, then.traffic)
    return make_plan(session, endpoint, ReleaseKind.TRAFFIC, live, record, then, words=words, reason=reason, break_glass=break_glass)


def traffic_words(endpoint: str, now: Traffic | None, then: Traffic | None) -> list[str]:
    """The one `traffic` command that leads from here to there; empty when it takes more than one."""
    if now is None or then is None:
        return []
    before, after = _own(now), _own(then)
    changed: list[tuple[str, str] | None] = [None] if dict(now.split) != dict(then.split) else []
    changed += [where for where in after if before.get(where) != after[where]]
    cleared = [where for where in before if where not in after]
    if cleared:
        alone = len(cleared) == 1 and not changed and now.shadow == then.shadow
        return ["traffic", "clear", endpoint, "--slice", "=".join(cleared[0])] if alone else []
    if len(changed) > 1:
        return []
    shadow = then.shadow if then.shadow != now.shadow else None
    end = now.shadow is not None and then.shadow is None
    where = changed[0] if changed else None
    for named in _namings(now, then, where) if changed else [{}]:
        if _leads(now, then, named, where, shadow, end):
            words = ["traffic", "set", endpoint, *(f"{name}={percent(share)}" for name, share in named.items())]
            words += ["--slice", "=".join(where)] if where else []
            return words + (["--shadow", f"{shadow.variant}={percent(shadow.sample)}"] if shadow else ["--shadow", "none"] if end else [])
    return []


def _own(traffic: Traffic) -> dict[tuple[str, str], dict[str, int]]:
    return {(entry.key, entry.value): {name: entry.split.get(name, 0) for name in traffic.split} for entry in traffic.by_slice}


def _namings(now: Traffic, then: Traffic, where: tuple[str, str] | None) -> Iterator[Mapping[str, int]]:
    """Ways to write a split, the shortest first: what changed without the one that takes the rest, then all that serve."""
    old: Split = now.split if where is None else now.slice_split(*where)
    new: Split = then.split if where is None else then.slice_split(*where)
    changed = [name for name in new if new[name] != old.get(name, 0)]
    rest = max(changed, key=lambda name: new[name], default="")
    yield {name: new[name] for name in changed if name != rest}
    yield {name: new[name] for name in new if new[name] or name in changed}


def _leads(now: Traffic, then: Traffic, named: Mapping[str, int], where: tuple[str, str] | None, shadow: Shadow | None, end: bool) -> bool:
    if not named and where is not None:
        return False
    try:
        found = shared(Content((), now), named, where, shadow, end_shadow=end).traffic
    except InvalidTraffic:
        return False
    return same(found, then) and found is not None and _slices(found) == _slices(then)


def _slices(traffic: Traffic) -> set[tuple[str, str]]:
    entries: tuple[SliceSplit, ...] = traffic.by_slice
    return {(entry.key, entry.value) for entry in entries}
