"""Plans: from what somebody wants to the transition that would do it, shown before anything happens."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from mlconsole.core.documents import Document, config_target, document_of, target_told
from mlconsole.core.live import Live, Transition, VariantState, as_live, differences, fingerprint
from mlconsole.core.models import ModelVersion, variant_name
from mlconsole.core.plans import Plan
from mlconsole.core.releases import NOTHING, Content, Release, ReleaseKind, Standing, Variant, describe_content
from mlconsole.core.steps import Step
from mlconsole.core.text import did_you_mean, duration, is_name, neutralise
from mlconsole.core.traffic import Shadow, percent
from mlconsole.core.transitions import deployed, removed, revert_target, shared, slice_cleared
from mlconsole.engine import evaluating, fitting, glass
from mlconsole.engine.access import Deed
from mlconsole.engine.arranging import cold, gated_steps, way_back
from mlconsole.engine.artifacts import check_artifact
from mlconsole.engine.authoring import signed, told_of
from mlconsole.engine.session import Session
from mlconsole.plugin.errors import ChangedOutside, Conflict, Locked, NotAllowed, UnknownName, UsageError


def plan_deploy(
    session: Session,
    model: str,
    version: str,
    *,
    endpoint: str | None = None,
    share: int | None = None,
    name: str | None = None,
    reason: str = "",
    break_glass: str = "",
    config: str | None = None,
) -> Plan:
    """A version comes to stand behind an endpoint: ready at 0 %, or with `share` (bp) of the traffic; on a new endpoint with all of it.

    With `config`, the draft of that document is published in the same change: model, config and traffic go forward, and back, as one.

    Raises:
        UnknownName: no such model or version.
        DigestMismatch: the artifact is no longer what was registered.
        ChangedOutside: the endpoint is not what its live release says.
        NotAllowed: its figures are worse than those of what serves, and the environment's gates stop that.
    """
    break_glass = break_glass.strip()
    registered = find_version(session, model, version)
    target = endpoint or session.workspace.endpoint_for(model)
    if not is_name(target):
        raise UsageError(f"{target!r} can't name an endpoint: letters, digits, dash, dot and underscore are wanted.")
    check_artifact(session, registered)
    live, record = current(session, target)
    now = record.content if record else NOTHING
    variant = Variant(name or variant_name(version), model, version, registered.artifact.digest)
    weighed = evaluating.weigh(session, target, now, registered)
    then = deployed(now, variant, share)
    words = ["deploy", registered.name, "--endpoint", target]
    words += ["--variant", name] if name else []
    words += ["--traffic", percent(share)] if share is not None else []
    skipped: tuple[str, ...] = evaluating.require(session, weighed, break_glass, variant.name)
    notes: tuple[str, ...] = tuple(weighed.notes)
    published = None
    if config is not None:
        from mlconsole.engine.publishing import carrying

        live, then, published, told, passed_over = carrying(session, config, target, live, then, reason=reason, break_glass=break_glass)
        words += ["--config", config]
        skipped, notes = (*skipped, *passed_over), (*notes, *told)
    there = live.variant(variant.name)
    dead = there is not None and there.state is VariantState.FAILED
    return make_plan(
        session,
        target,
        ReleaseKind.DEPLOY,
        live,
        record,
        then,
        words=words,
        reason=reason,
        break_glass=break_glass,
        gated=True,
        skipped=skipped,
        notes=notes,
        published=published,
        anew=variant.name if dead else None,  # who asks for a version that stands by dead wants it to stand by ready
    )


def plan_traffic(
    session: Session,
    endpoint: str,
    shares: Mapping[str, int],
    *,
    slice_value: tuple[str, str] | None = None,
    shadow: Shadow | None = None,
    end_shadow: bool = False,
    clear_slice: bool = False,
    reason: str = "",
    break_glass: str = "",
) -> Plan:
    """Other shares for the variants that are there (bp), for all requests or for one slice value; a shadow set, moved or ended."""
    live, record = current(session, endpoint)
    if record is None:
        raise session.unknown_endpoint(endpoint)
    if slice_value is not None:
        check_slice(session, record.content, *slice_value)
    words = ["traffic", "clear" if clear_slice else "set", endpoint, *(f"{name}={percent(share)}" for name, share in shares.items())]
    words += ["--slice", "=".join(slice_value)] if slice_value else []
    words += ["--shadow", f"{shadow.variant}={percent(shadow.sample)}"] if shadow else ["--shadow", "none"] if end_shadow else []
    if clear_slice and slice_value:
        then = slice_cleared(record.content, *slice_value)
    else:
        then = shared(record.content, shares, slice_value, shadow, end_shadow=end_shadow)
    return make_plan(session, endpoint, ReleaseKind.TRAFFIC, live, record, then, words=words, reason=reason, break_glass=break_glass)


def plan_remove(session: Session, endpoint: str, variant: str, *, reason: str = "", break_glass: str = "") -> Plan:
    """A variant that nobody reaches is taken away. It can come back: the release before has it still."""
    live, record = current(session, endpoint)
    if record is None:
        raise session.unknown_endpoint(endpoint)
    then = removed(record.content, variant)
    words = ["endpoints", "remove", endpoint, variant]
    return make_plan(
        session,
        endpoint,
        ReleaseKind.REMOVE,
        live,
        record,
        then,
        words=words,
        reason=reason,
        break_glass=break_glass,
        confirm=variant,
        notes=_needed_to_go_back(session, endpoint, variant),
    )


def plan_delete(session: Session, endpoint: str, *, reason: str = "", break_glass: str = "") -> Plan:
    """The whole endpoint goes, with all its variants. What is in its address stops answering."""
    live, record = current(session, endpoint)
    if record is None:
        raise session.unknown_endpoint(endpoint)
    note = f"Removes {endpoint} with {', '.join(record.content.names) or 'nothing behind it'}. Whoever asks it gets no answer from then on."
    words = ["endpoints", "delete", endpoint]
    return make_plan(
        session,
        endpoint,
        ReleaseKind.DELETE,
        live,
        record,
        NOTHING,
        words=words,
        reason=reason,
        break_glass=break_glass,
        confirm=endpoint,
        notes=(note,),
    )


def plan_revert(session: Session, endpoint: str, *, to: int | None = None, reason: str = "") -> Plan:
    """Back to an earlier release, as a new release that equals it. Works whatever the live state is: no rule ever forbids going back.

    Raises:
        UsageError: the live release is a revert already and `to` is not given, or there is nothing to go back to.
        UnknownName: no such release.
        ChangedOutside: it takes a config document back with it, and later changes touched the same values there.
    """
    if (document := document_of(endpoint)) is not None:
        from mlconsole.engine.publishing import plan_config_revert

        return plan_config_revert(session, document, to=to, reason=reason)
    live = session.backend.describe(endpoint)
    recorded = session.registry.live_release(session.environment.name, endpoint)
    record = recorded.release if recorded else None
    if record is None:
        raise session.unknown_endpoint(endpoint)
    outside = fingerprint(live) != fingerprint(as_live(record.content, endpoint))
    target = _release_to(session, endpoint, record, to, outside=outside)
    words = ["revert", endpoint, "--to", str(target.number)]
    for variant in target.content.variants:
        there = live.variant(variant.name)
        if there is None or there.digest != variant.digest:
            stored = session.registry.version(variant.model, variant.version)
            if stored is None:
                raise Conflict(
                    f"#{target.number} needs {variant.model}@{variant.version}, which is not registered and not running.",
                    next="Register it again (mlconsole models register), or name another release with --to.",
                )
    who = f" {told_of(session, record, live)}".rstrip() if outside else ""
    notes: tuple[str, ...] = (f"The endpoint was changed outside mlconsole{who}; this puts #{target.number} back.",) if outside else ()
    then, published = target.content.served, None
    if any(one.content.document is not None for one, _ in _history(session, endpoint) if one.number > target.number):
        from mlconsole.engine.publishing import taken_back

        live, then, published, told = taken_back(session, endpoint, target, then)
        notes += told
    return make_plan(
        session,
        endpoint,
        ReleaseKind.REVERT,
        live,
        record,
        then,
        words=words,
        reason=reason,
        equals=target.number,
        notes=notes,
        published=published,
    )


def make_plan(
    session: Session,
    endpoint: str,
    kind: ReleaseKind,
    live: Live,
    record: Release | None,
    then: Content,
    *,
    words: list[str],
    reason: str = "",
    equals: int | None = None,
    break_glass: str = "",
    gated: bool = False,
    skipped: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    confirm: str | None = None,
    anew: str | None = None,
    published: Document | None = None,
    staged: bool = False,
) -> Plan:
    """The plan from the live state to `then`, kept in the registry so that `apply` can run it.

    `confirm` is a name that has to be typed wherever it is done; in production every way forward wants the endpoint's. `anew`: a variant
    that is brought up as if it were not there. `skipped`: gates that were passed over before any step. `published`: the config document as
    it is live, where `then` carries another version of it; `live` has to hold it too. `staged`: it is a stage of a rollout, whose driver
    heeds freezes itself.

    Raises:
        NotAllowed: nothing goes forward just now, and nobody broke the glass.
    """
    session.access.require(Deed.PLAN)
    backend, break_glass = session.backend, break_glass.strip()
    then = backend.expressed(endpoint, then)
    backend.check(endpoint, then)
    now = record.content.served if record else NOTHING
    if published is not None:
        now = replace(now, document=published)
    if not staged:
        fits, misfits = fitting.require(session, endpoint, kind, now, then, break_glass)
        notes, skipped = (*notes, *fits), (*skipped, *misfits)
    seen = replace(live, variants=tuple(there for there in live.variants if there.name != anew)) if anew else live
    steps, passed_over = gated_steps(session, seen, now, then, break_glass) if gated else (backend.steps(seen, then), ())
    one_line = bool(words)
    words += ["--break-glass", break_glass] if break_glass else []
    if kind is ReleaseKind.REVERT:
        notes += cold(live, steps)
    elif confirm is None and session.environment.production:
        confirm = endpoint
    plan = Plan(
        id="",
        environment=session.environment.name,
        endpoint=endpoint,
        scope=backend.scope(endpoint),
        kind=kind,
        made_at=session.clock.now(),
        made_by=session.actor,
        made_from=fingerprint(live),
        made_from_release=record.number if record else None,
        now=now,
        then=then,
        steps=steps,
        way_back=way_back(session, endpoint, record, now, then),
        also=backend.scope(config_target(then.document.name)) if then.document is not None and document_of(endpoint) is None else "",
        command=shlex.join(["mlconsole", *words, "--env", session.environment.name, *(["--reason", reason] if reason else [])]),
        reason=glass.reason_with(reason, break_glass),
        equals=equals,
        skipped_gates=(*skipped, *passed_over),
        notes=notes,
        confirm=confirm,
    )
    if plan.nothing_to_do:
        return plan
    gates = (*plan.skipped_gates, *(() if staged else glass.thawed(session, kind, break_glass)))
    plan = replace(plan, skipped_gates=gates, notes=(*plan.notes, *glass.skipped_told(gates, break_glass)))
    if session.read_only:
        return plan
    plan = replace(plan, id=session.registry.new_plan_id())
    if not one_line:  # no one line says this; the plan itself is kept, and can be applied by its id
        plan = replace(plan, command=shlex.join(["mlconsole", "apply", plan.id, "--env", session.environment.name]))
    session.registry.save_plan(plan)
    return plan


def current(session: Session, endpoint: str) -> tuple[Live, Release | None]:
    """The live state and the live release, which have to agree before anything goes forward.

    What an endpoint was applied with is not part of that: a config document goes its own way since.

    Raises:
        Locked: a change of ours is not at its end there, so that the state between is nobody's to build on.
        ChangedOutside: they do not, or somebody else made the endpoint and nobody adopted it.
        Conflict: the backend is changing it just now.
    """
    _check_free(session, endpoint)
    live = session.backend.describe(endpoint)
    if live.transition is Transition.IN_PROGRESS:
        raise Conflict(
            f"{target_told(endpoint)} is changing at the backend just now, and no change of ours does that. Nothing was changed.",
            next="Try again when it is settled; going back is possible at once: mlconsole revert.",
        )
    recorded = session.registry.live_release(session.environment.name, endpoint)
    if recorded is None:
        if live.exists:
            raise ChangedOutside(
                f"{target_told(endpoint)} exists in {session.environment.name}, but mlconsole did not make it.",
                next=f"Take it over as it is, as release #1: {_adopting(endpoint)} --env {session.environment.name}",
            )
        return live, None
    outside = changed_outside(live, recorded.release)
    if outside is not None:
        raise signed(session, outside, recorded.release, live)
    return live, replace(recorded.release, content=recorded.release.content.served)


def _check_free(session: Session, endpoint: str) -> None:
    environment, scope = session.environment.name, session.backend.scope(endpoint)
    running = next((one for one in session.registry.unfinished(environment) if scope in one.plan.scopes), None)
    if running is None:
        return
    row = next((row for row in session.registry.leases(environment) if row.alive and row.lease.scope == scope), None)
    if row is None:
        mine, others = target_told(endpoint), target_told(running.endpoint)
        whose = mine if running.endpoint == endpoint else f"{others}, which shares its lock with {mine},"
        raise Locked(
            f"{whose} has a change that was interrupted, {running.id}. Nothing was changed.",
            next=f"Finish it one way or the other first: mlconsole recover {running.id} --env {environment}",
        )
    doing = ", ".join(part for part in (neutralise(row.lease.purpose), f"alive {duration(row.age)} ago") if part)
    since = row.lease.taken_at.astimezone()
    raise Locked(
        f"{target_told(scope)} is locked by {neutralise(str(row.lease.holder))} since {since:%H:%M} ({doing}). Nothing was changed.",
        next=f"Wait: mlconsole wait {running.id} --env {environment}",
    )


def changed_outside(live: Live, release: Release) -> ChangedOutside | None:
    """The finding that a live state is not its live release, though no operation of ours made it so; None when they agree.

    Which bytes run and who gets what counts; a variant that is ill is a failure, not a change.
    """
    wanted = as_live(release.content, release.endpoint)
    if fingerprint(live) == fingerprint(wanted):
        return None
    found = differences(_all_ready(live), release.content)
    told = "; ".join(str(difference) for difference in found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return ChangedOutside(
        f"{target_told(release.endpoint)} was changed outside mlconsole: #{release.number} is not what is live "
        f"({told or 'other variants'}).",
        next=f"Changes are refused until you choose: mlconsole revert {release.endpoint} --env {release.environment} puts ours back, "
        f"{_adopting(release.endpoint)} --env {release.environment} keeps theirs.",
    )


def _adopting(target: str) -> str:
    document = document_of(target)
    return f"mlconsole endpoints adopt {target}" if document is None else f"mlconsole config adopt {document}"


def find_version(session: Session, model: str, version: str) -> ModelVersion:
    """A registered version.

    Raises:
        UnknownName: no such model or version; with the nearest names.
    """
    found = session.registry.version(model, version)
    if found is not None:
        return found
    models = session.registry.models()
    if model not in models:
        known = {*models, *session.workspace.models}
        if model in known:
            raise UnknownName(f"No version of {model} is registered yet.", next=f"mlconsole models register {model}@{version} PATH")
        raise UnknownName(f'There is no model "{model}". {did_you_mean(model, known)}', next="mlconsole models list shows them.")
    versions = [stored.version for stored in session.registry.versions(model)]
    raise UnknownName(
        f'{model} has no version "{version}". {did_you_mean(version, versions)}', next=f"mlconsole models list {model} shows them."
    )


def _needed_to_go_back(session: Session, endpoint: str, variant: str) -> tuple[str, ...]:
    """Trap 3: what is removed may be what going back leads to; it can be started again, but not in no time."""
    try:
        target = revert_target(_history(session, endpoint))
    except UsageError:
        return ()
    if target is None or target.content.traffic is None or not target.content.traffic.reaches(variant):
        return ()
    return (f"{variant} is what answers in #{target.number}, where going back leads now. Without it, that has to start it again first.",)


def _history(session: Session, endpoint: str) -> list[tuple[Release, Standing]]:
    found = session.registry.releases(session.environment.name, endpoint, limit=1000)
    return [(entry.release, entry.standing) for entry in found]


def _all_ready(live: Live) -> Live:
    return replace(live, variants=tuple(replace(variant, state=VariantState.READY) for variant in live.variants))


def _release_to(session: Session, endpoint: str, record: Release, to: int | None, *, outside: bool) -> Release:
    environment = session.environment.name
    if to is None:
        if outside:
            return record
        found = revert_target(_history(session, endpoint))
        if found is None:
            raise UsageError(f'Nothing to go back to: #{record.number} "{record.kind}" is the first release of {endpoint} that stood.')
        return found
    named = session.registry.release(environment, endpoint, to)
    if named is None:
        numbers = [f"#{entry.release.number}" for entry in session.registry.releases(environment, endpoint, limit=8)]
        raise UnknownName(f"{endpoint} has no release #{to}. Known: {', '.join(numbers)}.", next=f"mlconsole releases list {endpoint}")
    if named.standing is Standing.FAILED:
        raise NotAllowed(f"#{to} never came to stand; there is nothing to go back to.", next=f"mlconsole releases list {endpoint}")
    if named.release.content == NOTHING:
        raise UsageError(f"#{to} deleted {endpoint}.", next=f"To delete it again: mlconsole endpoints delete {endpoint}")
    return named.release


def check_slice(session: Session, content: Content, key: str, value: str) -> None:
    """Refuse a slice that no variant of the content declares (UnknownName)."""
    declared: dict[str, set[str]] = {}
    for variant in content.variants:
        stored = session.registry.version(variant.model, variant.version)
        for entry in stored.signature.slices if stored else ():
            declared.setdefault(entry.key, set()).update(entry.values)
    if key not in declared:
        raise UnknownName(f'No variant of this endpoint declares a slice "{key}". {did_you_mean(key, declared)}')
    if declared[key] and value not in declared[key]:
        raise UnknownName(f'"{value}" is no {key} that is declared here. {did_you_mean(value, declared[key])}')


def sentence(plan: Plan) -> str:
    """The plan's heart in one line: `#42 v6 100 %  →  #43 v7 100 %`."""
    return f"{describe_content(plan.now)}  →  {describe_content(plan.then)}"


def in_steps(step: Step) -> str:
    """What a step asks for, for the journal's *asked* column."""
    asked = [f"{variant.name} ready" for variant in step.ensures] + [f"{name} gone" for name in step.removes]
    if step.traffic is not None:
        asked.append(" ".join(f"{name} {percent(share)} %" for name, share in step.traffic.split.items()))
        asked += [f"{e.value}: " + " ".join(f"{n} {percent(s)} %" for n, s in e.split.items() if s) for e in step.traffic.by_slice]
        if step.traffic.shadow:
            asked.append(f"shadow {step.traffic.shadow.variant} {percent(step.traffic.shadow.sample)} %")
    if step.document is not None:
        asked.append(f"config {step.document.name} {step.document.version} for {percent(step.document.share)} %")
    return ", ".join(asked) or step.summary
