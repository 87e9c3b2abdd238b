"""How an endpoint is: what is wanted, reported and observed put together, judged, and said in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, Transition, VariantState, as_live, content_of, differences
from mlconsole.core.observed import Observed
from mlconsole.core.operations import Operation
from mlconsole.core.releases import NOTHING, Content, Release, Variant, describe_content
from mlconsole.core.text import duration, neutralise
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.core.transitions import revert_target
from mlconsole.engine.authoring import told_of
from mlconsole.engine.changing import is_alive
from mlconsole.engine.gates import example_request
from mlconsole.engine.planning import changed_outside
from mlconsole.engine.telling import operation_view
from mlconsole.engine.views import EndpointView, ExampleView, ShadowView, State, VariantView
from mlconsole.plugin.errors import MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


@dataclass(frozen=True)
class Facts:
    """All that is known of one endpoint at a moment, before it is judged."""

    name: str
    release: Release | None
    live: Live | None
    trouble: MLConsoleError | None
    operation: Operation | None
    alive: bool
    observed: Observed | None
    author: str = ""
    """Who changed it outside, in words, as far as that is known."""


def facts_of(session: Session, name: str, live: Live | MLConsoleError, observed: Observed | None, *, wait: float = 0.0) -> Facts:
    """All that is known of an endpoint just now. Who changed it outside is waited for `wait` seconds at most."""
    recorded = session.registry.live_release(session.environment.name, name)
    operation = next((one for one in session.registry.unfinished(session.environment.name) if one.endpoint == name), None)
    author = ""
    if isinstance(live, Live) and recorded is not None and operation is None and changed_outside(live, recorded.release) is not None:
        author = told_of(session, recorded.release, live, wait=wait)
    return Facts(
        name=name,
        release=recorded.release if recorded else None,
        live=live if isinstance(live, Live) else None,
        trouble=live if isinstance(live, MLConsoleError) else None,
        operation=operation,
        alive=operation is not None and is_alive(session, operation),
        observed=observed,
        author=author,
    )


def _judge(facts: Facts) -> tuple[State, str, str]:
    """State, why, and what to do about it; the worst finding decides."""
    name = facts.name
    if facts.trouble is not None or facts.live is None:
        trouble = facts.trouble
        return State.NO_DATA, trouble.message if trouble else "nothing is known", trouble.next if trouble else ""
    if facts.operation is not None and not facts.alive:
        then = describe_content(facts.operation.plan.then)
        why = f"change {facts.operation.id} (to {then}) was interrupted, nobody drives it"
        return State.LOOK, why, f"mlconsole recover {facts.operation.id}"
    if facts.operation is not None:
        return State.CHANGING, f"{facts.operation.state}: {describe_content(facts.operation.plan.then)}", ""
    looked = f"only to look at: {neutralise(facts.live.only_to_look_at)}" if facts.live.only_to_look_at else ""
    if facts.release is None and looked and all(there.digest is None for there in facts.live.variants):
        # Nothing could be found as it was left, so there is nothing to take over; how it is, is told all the same.
        failed = facts.live.transition is Transition.FAILED
        return (State.FAILING, neutralise(facts.live.reason), "") if failed else (State.OK, looked, "")
    if facts.release is None:
        return State.LOOK, "exists at the backend, but mlconsole did not make it", f"mlconsole endpoints adopt {name}"
    content = facts.release.content
    ill = [there for there in facts.live.variants if there.state is VariantState.FAILED]
    serving = [there for there in ill if content.traffic and content.traffic.reaches(there.name)]
    if serving:
        why = "; ".join(f"{there.name} serves and is {there.state}{_because(there.reason)}" for there in serving)
        return State.FAILING, why, f"mlconsole revert {name}, or mlconsole endpoints logs {name}"
    outside = changed_outside(facts.live, facts.release)
    if outside is not None:
        told = "; ".join(str(left) for left in differences(facts.live, content)[:3]) or "other variants"
        return (
            State.LOOK,
            f"changed outside {facts.author}: {told}" if facts.author else f"changed outside mlconsole ({told})",
            f"put ours back: mlconsole revert {name}; keep theirs: mlconsole endpoints adopt {name}",
        )
    if facts.live.transition is Transition.FAILED:
        return State.FAILING, f"the backend says it failed: {neutralise(facts.live.reason)}", ""
    if facts.live.transition is Transition.IN_PROGRESS:
        return State.CHANGING, "the backend is changing it", ""
    if ill:
        why = "; ".join(f"{there.name} stands by and is {there.state}{_because(there.reason)}" for there in ill)
        return State.LOOK, why, f"mlconsole endpoints logs {name} --variant {ill[0].name}"
    left = differences(facts.live, content)
    if left:
        return State.CHANGING, "; ".join(str(difference) for difference in left[:2]), ""
    return State.OK, looked, ""


def view_of(session: Session, facts: Facts) -> EndpointView:
    """The facts as a face shows them."""
    state, finding, advice = _judge(facts)
    release, live, observed = facts.release, facts.live, facts.observed
    content = release.content if release else (content_of(live) if live else NOTHING)
    traffic = content.traffic
    return EndpointView(
        name=facts.name,
        environment=session.environment.name,
        state=state,
        finding=finding,
        next=advice,
        url=live.url if live else None,
        release=release.number if release else None,
        release_name=release.name if release else "",
        content=describe_content(content),
        changed=release.created if release else None,
        changed_by=str(release.actor) if release else "",
        variants=_variants(content, live, observed, known=release is not None),
        by_slice={entry.value: dict(entry.split) for entry in traffic.by_slice} if traffic else {},
        slice_key=traffic.by_slice[0].key if traffic and traffic.by_slice else "",
        reported_by_slice={entry.value: dict(entry.split) for entry in live.traffic.by_slice} if live and live.traffic else {},
        observed_by_slice=_observed_slices(traffic, observed),
        shadow=_shadow(traffic, live, observed),
        operation=operation_view(facts.operation, alive=facts.alive) if facts.operation else None,
        requests=observed.n if observed else 0,
        failed=observed.failed if observed else 0,
        seconds=observed.seconds if observed else 0.0,
        differences=tuple(str(left) for left in differences(live, content)) if live and release else (),
        author=facts.author,
    )


def _variants(content: Content, live: Live | None, observed: Observed | None, *, known: bool) -> tuple[VariantView, ...]:
    names = dict.fromkeys([*content.names, *(there.name for there in (live.variants if live else ()))])
    shares = observed.shares() if observed else None
    views = []
    for name in names:
        wanted = content.variant(name)
        there = live.variant(name) if live else None
        reported = live.traffic.share(name) if live and live.traffic and name in live.traffic.split else None
        views.append(
            VariantView(
                name=name,
                model=neutralise(wanted.model if wanted else (there.model if there and there.model else "unknown")),
                version=neutralise(wanted.version if wanted else (there.version if there and there.version else "unknown")),
                state=str(there.state) if there else ("missing" if live else "no data"),
                reason=neutralise(there.reason) if there else "",
                desired=content.traffic.share(name) if known and content.traffic and wanted else None,
                reported=reported,
                observed=shares.share(name) if shares else None,
                observed_n=shares.n if shares else 0,
                observed_seconds=round(observed.seconds, 1) if observed else 0.0,
                resources={key: neutralise(value) for key, value in there.resources.items()} if there else {},
            )
        )
    return tuple(views)


def _observed_slices(traffic: Traffic | None, observed: Observed | None) -> Mapping[str, Mapping[str, float]]:
    if traffic is None or observed is None:
        return {}
    result: dict[str, dict[str, float]] = {}
    for entry in traffic.by_slice:
        shares = observed.shares(f"{entry.key}={entry.value}")
        result[entry.value] = {name: share for name in entry.split if (share := shares.share(name)) is not None}
    return result


def _shadow(traffic: Traffic | None, live: Live | None, observed: Observed | None) -> ShadowView | None:
    wanted = traffic.shadow if traffic else None
    there = live.traffic.shadow if live and live.traffic else None
    shadow = wanted or there
    if shadow is None:
        return None
    copies = observed.copies.get(shadow.variant, 0) if observed else 0
    return ShadowView(
        variant=shadow.variant,
        desired=wanted.sample if wanted else 0,
        reported=there.sample if there and there.variant == shadow.variant else None,
        observed=copies * WHOLE / observed.n if observed and observed.n else None,
    )


def way_back_of(session: Session, facts: Facts) -> str:
    """Where `u` would lead, in one line; empty where nothing can be said."""

    if facts.release is None or facts.live is None:
        return ""
    if facts.operation is not None:
        return f"to {describe_content(facts.operation.revert_to)}, as stored when change {facts.operation.id} started"
    history = [(entry.release, entry.standing) for entry in session.registry.releases(session.environment.name, facts.name, limit=1000)]
    try:
        target = revert_target(history)
    except UsageError:
        return "this is a revert already; name a release with --to"
    if target is None:
        return "none: this is the first release that stood"
    try:
        steps = session.backend.steps(as_live(facts.release.content, facts.name), target.content)
    except MLConsoleError:
        return f"to #{target.number}: {describe_content(target.content)}"
    return f"to #{target.number}: {describe_content(target.content)}, about {duration(sum(step.seconds for step in steps))}"


def example_of(session: Session, facts: Facts) -> ExampleView | None:
    """A real request for curl; None where the endpoint has no address, or nothing tells what to ask."""
    if facts.live is None or not facts.live.url:
        return None
    leading = leading_variant(facts.release.content if facts.release else content_of(facts.live))
    if leading is None:
        return None
    registered = session.registry.version(leading.model, leading.version)
    if registered is None:
        return None
    example = session.backend.example(facts.name, example_request(session, leading.model, registered))
    return ExampleView(example.method, example.path, dict(example.headers), example.body) if example else None


def leading_variant(content: Content) -> Variant | None:
    """The variant with most of the traffic."""
    traffic = content.traffic
    if traffic is None:
        return content.variants[0] if content.variants else None
    return max(content.variants, key=lambda variant: traffic.share(variant.name), default=None)


def _because(reason: str) -> str:
    return f" ({neutralise(reason)})" if reason else ""
