"""Endpoints: how each is (desired, reported, observed), taking over what others made, asking one for a prediction, reading its logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlconsole.core.live import Live, Transition, VariantState, as_live, content_of, differences
from mlconsole.core.models import Json
from mlconsole.core.observed import Observed
from mlconsole.core.operations import Operation
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Standing, Variant, describe_content
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.core.traffic import WHOLE, Traffic
from mlconsole.core.transitions import revert_target
from mlconsole.engine.access import Deed
from mlconsole.engine.changing import is_alive
from mlconsole.engine.gates import example_request, invocation
from mlconsole.engine.observing import observe
from mlconsole.engine.planning import changed_outside
from mlconsole.engine.telling import operation_view, release_view
from mlconsole.engine.views import EndpointView, ExampleView, ReleaseView, ShadowView, State, StatusView, VariantView
from mlconsole.plugin.errors import BackendError, Conflict, MLConsoleError, NotFound, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Answer, HttpExample, Invocation

_ORDER = {state: place for place, state in enumerate(State)}


@dataclass(frozen=True)
class _Facts:
    """All that is known of one endpoint at a moment, before it is judged."""

    name: str
    release: Release | None
    live: Live | None
    trouble: MLConsoleError | None
    operation: Operation | None
    alive: bool
    observed: Observed | None


def overview(session: Session, *, window: float | None = None, observed: Mapping[str, Observed] | None = None) -> StatusView:
    """Every endpoint of the environment, worst first. With `window` (s) what was observed in that time is counted too; `observed` says it
    in its place, for who watches all the time.
    """
    environment = session.environment
    names = [row.name for row in session.registry.endpoints(environment.name)]
    trouble: MLConsoleError | None = None
    try:
        names += [name for name in session.backend.list() if name not in names]
    except BackendError as error:
        # Anything else is ours to mend first: a plugin that is not there, options that are wrong.
        trouble = error
    live: dict[str, Live | MLConsoleError] = dict.fromkeys(names, trouble) if trouble is not None else session.backend.describe_all(names)
    if observed is None:
        observed = observe(session, names, window=window) if window is not None and trouble is None else {}
    views = []
    for name in names:
        facts = _facts(session, name, live[name], observed.get(name))
        if facts.release is not None and facts.release.content == NOTHING and not (facts.live and facts.live.exists):
            continue  # deleted, and really gone
        views.append(replace(_view(session, facts), way_back=_way_back(session, facts)))
    running = tuple(
        operation_view(operation, alive=is_alive(session, operation), records=session.registry.steps(operation.id))
        for operation in session.registry.unfinished(environment.name)
    )
    return StatusView(
        workspace=session.workspace.name,
        environment=environment.name,
        production=environment.production,
        read_only=session.read_only,
        at=session.clock.now(),
        endpoints=tuple(sorted(views, key=lambda view: (_ORDER[view.state], view.name))),
        running=running,
        trouble=trouble.message if trouble else "",
        trouble_next=trouble.next if trouble else "",
    )


def show(session: Session, endpoint: str, *, window: float = 600.0) -> EndpointView:
    """One endpoint in full: variants in three columns, slices, shadow, the running change, the way back, and a request for curl.

    Raises:
        UnknownName: there is no such endpoint, neither here nor at the backend.
    """
    live: Live | MLConsoleError
    try:
        live = session.backend.describe(endpoint)
    except MLConsoleError as error:
        live = error
    recorded = session.registry.live_release(session.environment.name, endpoint)
    gone = recorded is None or recorded.release.content == NOTHING
    running = any(one.endpoint == endpoint for one in session.registry.unfinished(session.environment.name))
    if gone and not running:
        if isinstance(live, MLConsoleError):
            if recorded is None:
                raise live
            raise session.unknown_endpoint(endpoint)
        if not live.exists:
            raise session.unknown_endpoint(endpoint)
    observed = observe(session, [endpoint], window=window).get(endpoint) if isinstance(live, Live) else None
    facts = _facts(session, endpoint, live, observed)
    return replace(_view(session, facts), way_back=_way_back(session, facts), example=_example(session, facts))


def adopt(session: Session, endpoint: str, *, reason: str = "", only_look: bool = False) -> ReleaseView:
    """Take an endpoint over as it is: release #1 *as found*; or, when it was changed outside, keep that as a new release.

    With `only_look` nothing is kept; the release is the one that would be.

    Raises:
        UnknownName: the backend has no such endpoint.
        UsageError: nothing to adopt; it is as its live release says.
    """
    session.access.require(Deed.LOOK if only_look else Deed.ADOPT)
    live = session.backend.describe(endpoint)
    if not live.exists:
        raise UnknownName(
            f'There is no endpoint "{endpoint}" at the backend of {session.environment.name}. '
            f"{did_you_mean(endpoint, session.backend.list())}"
        )
    if live.transition is Transition.IN_PROGRESS:
        raise Conflict(f"{endpoint} is changing at the backend just now. Nothing was adopted.", next="Try again when it is settled.")
    recorded = session.registry.live_release(session.environment.name, endpoint)
    if recorded is not None and changed_outside(live, recorded.release) is None:
        raise UsageError(f"Nothing to adopt: {endpoint} is #{recorded.release.number}, as mlconsole left it.")
    running = [one for one in session.registry.unfinished(session.environment.name) if one.endpoint == endpoint]
    if running:
        raise Conflict(f"{endpoint} has an unfinished change, {running[0].id}.", next=f"mlconsole recover {running[0].id}")
    found = Release(
        environment=session.environment.name,
        endpoint=endpoint,
        number=0,
        content=_known(session, content_of(live)),
        kind=ReleaseKind.KEPT if recorded else ReleaseKind.AS_FOUND,
        created=session.clock.now(),
        actor=session.actor,
        reason=reason,
        made_from=recorded.release.number if recorded else None,
    )
    if only_look:
        newest = session.registry.releases(session.environment.name, endpoint, limit=1)
        return release_view(replace(found, number=newest[0].release.number + 1 if newest else 1), Standing.PENDING)
    return release_view(session.registry.adopt(found), Standing.LIVE)


def invoke(
    session: Session, endpoint: str, inputs: Mapping[str, Json] | None, *, variant: str | None = None
) -> tuple[Answer, Invocation, HttpExample | None]:
    """Ask an endpoint for a prediction as a consumer would, or one of its variants by name. Without inputs: a real example.

    Raises:
        UnknownName: no such endpoint or variant.
        Unavailable: nobody answered.
    """
    session.access.require(Deed.ASK)
    recorded = session.registry.live_release(session.environment.name, endpoint)
    content = recorded.release.content if recorded else None
    if content is None or content == NOTHING:
        live = session.backend.describe(endpoint)
        if not live.exists:
            raise session.unknown_endpoint(endpoint)
        content = content_of(live)
    if variant is not None and content.variant(variant) is None:
        raise UnknownName(f'{endpoint} has no variant "{variant}". {did_you_mean(variant, content.names)}')
    chosen = content.variant(variant) if variant else _leading(content)
    registered = session.registry.version(chosen.model, chosen.version) if chosen else None
    if inputs is not None:
        request = invocation(dict(inputs), registered)
    else:
        request = example_request(session, chosen.model if chosen else "", registered)
    answer = session.backend.invoke(endpoint, request, variant)
    return answer, request, session.backend.example(endpoint, request)


def logs(session: Session, endpoint: str, variant: str | None, lines: int) -> tuple[str, Sequence[str]]:
    """The last lines of a variant's log, made harmless; of the one with most traffic when none is named.

    Raises:
        UnknownName: no such endpoint or variant.
    """
    live = session.backend.describe(endpoint)
    if not live.exists:
        raise session.unknown_endpoint(endpoint)
    if variant is None:
        leading = _leading(content_of(live))
        variant = leading.name if leading else live.variants[0].name
    elif live.variant(variant) is None:
        raise UnknownName(f'{endpoint} has no variant "{variant}". {did_you_mean(variant, [there.name for there in live.variants])}')
    try:
        return variant, [neutralise(line) for line in session.backend.logs(endpoint, variant, lines)]
    except NotFound as error:
        raise UnknownName(error.message, next=error.next) from error


def _facts(session: Session, name: str, live: Live | MLConsoleError, observed: Observed | None) -> _Facts:
    recorded = session.registry.live_release(session.environment.name, name)
    operation = next((one for one in session.registry.unfinished(session.environment.name) if one.endpoint == name), None)
    return _Facts(
        name=name,
        release=recorded.release if recorded else None,
        live=live if isinstance(live, Live) else None,
        trouble=live if isinstance(live, MLConsoleError) else None,
        operation=operation,
        alive=operation is not None and is_alive(session, operation),
        observed=observed,
    )


def _judge(facts: _Facts) -> tuple[State, str, str]:
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
            f"changed outside mlconsole ({told})",
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
    return State.OK, "", ""


def _view(session: Session, facts: _Facts) -> EndpointView:
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


def _way_back(session: Session, facts: _Facts) -> str:

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


def _example(session: Session, facts: _Facts) -> ExampleView | None:
    if facts.live is None or not facts.live.url:
        return None
    leading = _leading(facts.release.content if facts.release else content_of(facts.live))
    if leading is None:
        return None
    registered = session.registry.version(leading.model, leading.version)
    if registered is None:
        return None
    example = session.backend.example(facts.name, example_request(session, leading.model, registered))
    return ExampleView(example.method, example.path, dict(example.headers), example.body) if example else None


def _leading(content: Content) -> Variant | None:
    traffic = content.traffic
    if traffic is None:
        return content.variants[0] if content.variants else None
    return max(content.variants, key=lambda variant: traffic.share(variant.name), default=None)


def _known(session: Session, content: Content) -> Content:
    """What was found, with model and version filled in where the bytes are those of a registered version."""
    by_digest = {version.artifact.digest: version for version in session.registry.versions()}
    variants = []
    for variant in content.variants:
        version = by_digest.get(variant.digest)
        variants.append(replace(variant, model=version.model, version=version.version) if version else variant)
    return Content(tuple(variants), content.traffic)


def _because(reason: str) -> str:
    return f" ({neutralise(reason)})" if reason else ""


def address(session: Session, endpoint: str) -> str | None:
    """Where consumers ask the endpoint, if it has an address of its own."""
    return session.backend.describe(endpoint).url


def example_inputs(session: Session, endpoint: str) -> Mapping[str, Json]:
    """Inputs of a real query for an endpoint, to be changed and sent.

    Raises:
        UnknownName: no such endpoint.
    """
    recorded = session.registry.live_release(session.environment.name, endpoint)
    chosen = _leading(recorded.release.content) if recorded else None
    if chosen is None:
        raise session.unknown_endpoint(endpoint)
    return example_request(session, chosen.model, session.registry.version(chosen.model, chosen.version)).inputs
