"""Endpoints: how each is (desired, reported, observed), taking over what others made, asking one for a prediction, reading its logs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlconsole.core.documents import document_of
from mlconsole.core.live import Live, Transition, content_of
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.observed import Observed
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Standing
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.engine.access import Deed
from mlconsole.engine.adopting import require_known, versions_for
from mlconsole.engine.authoring import REFUSING
from mlconsole.engine.changing import is_alive
from mlconsole.engine.gates import example_request, invocation
from mlconsole.engine.judging import example_of, facts_of, leading_variant, view_of, way_back_of
from mlconsole.engine.observing import observe
from mlconsole.engine.planning import changed_outside
from mlconsole.engine.telling import operation_view, release_view
from mlconsole.engine.views import EndpointView, ReleaseView, State, StatusView
from mlconsole.plugin.errors import BackendError, Conflict, MLConsoleError, NotFound, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.plugin.roles import Answer, HttpExample, Invocation

_ORDER = {state: place for place, state in enumerate(State)}


@dataclass(frozen=True)
class Look:
    """What the backend says of the endpoints of an environment: how each is, or why that can't be told; `trouble`: of none of them."""

    live: Mapping[str, Live | MLConsoleError]
    trouble: MLConsoleError | None = None


def look(session: Session, names: Sequence[str], *, patience: float | None = None) -> Look:
    """Ask the backend for these endpoints, and for those that it has beyond them; for `patience` seconds at most, where it is given."""
    try:
        names = [*names, *(name for name in session.backend.list() if name not in names)]
    except BackendError as error:
        # Anything else is ours to mend first: a plugin that is not there, options that are wrong.
        return Look(dict.fromkeys(names, error), error)
    return Look(session.backend.describe_all(names, patience=patience))


def overview(
    session: Session, *, window: float | None = None, observed: Mapping[str, Observed] | None = None, looked: Look | None = None
) -> StatusView:
    """Every endpoint of the environment, worst first. With `window` (s) what was observed in that time is counted too; `observed` and
    `looked` say it in its place, for who watches all the time.
    """
    environment = session.environment
    if looked is None:
        looked = look(session, [row.name for row in session.registry.endpoints(environment.name)])
    live, trouble, names = looked.live, looked.trouble, list(looked.live)
    if observed is None:
        observed = observe(session, names, window=window) if window is not None and trouble is None else {}
    views = []
    for name in names:
        facts = facts_of(session, name, live[name], observed.get(name))
        if facts.release is not None and facts.release.content == NOTHING and not (facts.live and facts.live.exists):
            continue  # deleted, and really gone
        views.append(replace(view_of(session, facts), way_back=way_back_of(session, facts)))
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


def whole(session: Session) -> StatusView:
    """`overview` with health in it: who watches, what is wrong, and how each endpoint really does."""
    looked = look(session, [row.name for row in session.registry.endpoints(session.environment.name)])
    status = overview(session, looked=looked)
    if not session.environment.looked_at:
        return status
    if not (session.workspace.root / ".mlconsole" / "observations.db").exists():
        # Nobody ever looked at health here: a guardian, the console or `mlconsole health` begins that, not a command that only looks.
        from mlconsole.engine.healthviews import watcher_view

        return replace(status, watcher=watcher_view(session.registry.watcher(session.environment.name)))
    # All that judges is imported only where something is to be judged: a script that asks for the state waits for it otherwise.
    from mlconsole.engine.combining import with_health
    from mlconsole.engine.health import HealthWatch

    live = {name: there for name, there in looked.live.items() if isinstance(there, Live)}
    return with_health(status, HealthWatch(session).look(live))


def show(session: Session, endpoint: str, *, window: float = 600.0) -> EndpointView:
    """One endpoint in full: variants in three columns, slices, shadow, the running change, the way back, and a request for curl.

    Raises:
        UnknownName: there is no such endpoint, neither here nor at the backend.
    """
    coming = session.backend.describing(endpoint)  # while the registry is opened, which takes as long
    recorded = session.registry.live_release(session.environment.name, endpoint)
    live = coming.result()
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
    facts = facts_of(session, endpoint, live, observed, wait=REFUSING)
    return replace(view_of(session, facts), way_back=way_back_of(session, facts), example=example_of(session, facts))


def adopt(session: Session, endpoint: str, *, reason: str = "", only_look: bool = False) -> ReleaseView:
    """Take an endpoint over as it is: release #1 *as found*; or, when it was changed outside, keep that as a new release. Bytes that
    nobody registered become versions, where the backend can serve them again.

    With `only_look` nothing is kept; the release is the one that would be.

    Raises:
        UnknownName: the backend has no such endpoint.
        UsageError: nothing to adopt; it is as its live release says.
    """
    session.access.require(Deed.LOOK if only_look else Deed.ADOPT)
    if (document := document_of(endpoint)) is not None:
        raise UsageError(f"config {document} is no endpoint. Nothing was adopted.", next=f"mlconsole config adopt {document}")
    live = session.backend.describe(endpoint)
    if not live.exists:
        raise UnknownName(
            f'There is no endpoint "{endpoint}" at the backend of {session.environment.name}. '
            f"{did_you_mean(endpoint, session.backend.list())}"
        )
    require_known(live)
    if live.transition is Transition.IN_PROGRESS:
        raise Conflict(f"{endpoint} is changing at the backend just now. Nothing was adopted.", next="Try again when it is settled.")
    recorded = session.registry.live_release(session.environment.name, endpoint)
    if recorded is not None and changed_outside(live, recorded.release) is None:
        raise UsageError(f"Nothing to adopt: {endpoint} is #{recorded.release.number}, as mlconsole left it.")
    running = [one for one in session.registry.unfinished(session.environment.name) if one.endpoint == endpoint]
    if running:
        raise Conflict(f"{endpoint} has an unfinished change, {running[0].id}.", next=f"mlconsole recover {running[0].id}")
    made = versions_for(session, endpoint, live)
    found = Release(
        environment=session.environment.name,
        endpoint=endpoint,
        number=0,
        content=_known(session, content_of(live), made),
        kind=ReleaseKind.KEPT if recorded else ReleaseKind.AS_FOUND,
        created=session.clock.now(),
        actor=session.acting(),
        reason=reason,
        made_from=recorded.release.number if recorded else None,
    )
    if only_look:
        newest = session.registry.releases(session.environment.name, endpoint, limit=1)
        return release_view(replace(found, number=newest[0].release.number + 1 if newest else 1), Standing.PENDING)
    for version in made:
        session.registry.add_version(version)
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
    chosen = content.variant(variant) if variant else leading_variant(content)
    registered = session.registry.version(chosen.model, chosen.version) if chosen else None
    if inputs is not None:
        request = invocation(dict(inputs), registered)
    else:
        request = example_request(session, chosen.model if chosen else "", registered)
    if variant is None and session.environment.traffic_in is not None:
        variant = _as_applications_choose(session, endpoint, request)
    answer = session.backend.invoke(endpoint, request, variant)
    return answer, request, session.backend.example(endpoint, request)


def _as_applications_choose(session: Session, endpoint: str, request: Invocation) -> str | None:
    """A variant, drawn by the shares that applications read for a request with these slices; None: nothing tells them whom to ask."""
    traffic = session.backend.describe(endpoint).traffic
    if traffic is None:
        return None
    key, value = next(((key, value) for key, value in request.slices.items() if traffic.slice_split(key, value) != traffic.split), ("", ""))
    split = traffic.slice_split(key, value)
    return random.choices(list(split), list(split.values()))[0] if any(split.values()) else None


def logs(session: Session, endpoint: str, variant: str | None, lines: int) -> tuple[str, Sequence[str]]:
    """The last lines of a variant's log, made harmless; of the one with most traffic when none is named.

    Raises:
        UnknownName: no such endpoint or variant.
    """
    live = session.backend.describe(endpoint)
    if not live.exists:
        raise session.unknown_endpoint(endpoint)
    if variant is None:
        leading = leading_variant(content_of(live))
        variant = leading.name if leading else live.variants[0].name
    elif live.variant(variant) is None:
        raise UnknownName(f'{endpoint} has no variant "{variant}". {did_you_mean(variant, [there.name for there in live.variants])}')
    try:
        return variant, [neutralise(line) for line in session.backend.logs(endpoint, variant, lines)]
    except NotFound as error:
        raise UnknownName(error.message, next=error.next) from error


def _known(session: Session, content: Content, made: Sequence[ModelVersion] = ()) -> Content:
    """What was found, with model and version filled in where the bytes are those of a registered version, or of one that is `made`."""
    by_digest = {version.artifact.digest: version for version in (*session.registry.versions(), *made)}
    variants = []
    for variant in content.variants:
        version = by_digest.get(variant.digest)
        variants.append(replace(variant, model=version.model, version=version.version) if version else variant)
    return Content(tuple(variants), content.traffic)


def address(session: Session, endpoint: str) -> str | None:
    """Where consumers ask the endpoint, if it has an address of its own."""
    return session.backend.describe(endpoint).url


def example_inputs(session: Session, endpoint: str) -> Mapping[str, Json]:
    """Inputs of a real query for an endpoint, to be changed and sent.

    Raises:
        UnknownName: no such endpoint.
    """
    recorded = session.registry.live_release(session.environment.name, endpoint)
    chosen = leading_variant(recorded.release.content) if recorded else None
    if chosen is None:
        raise session.unknown_endpoint(endpoint)
    return example_request(session, chosen.model, session.registry.version(chosen.model, chosen.version)).inputs
