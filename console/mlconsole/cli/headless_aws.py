"""The story on AWS, without a person: where applications read their shares in AppConfig and each variant is a SageMaker endpoint; then
where SageMaker splits the requests of one endpoint. Each step is checked against the requests that SageMaker really captured, and against
what the application that asks it saw.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mlconsole.cli.common import Run
from mlconsole.cli.demo import CONFIG, publish, replay, serve, until
from mlconsole.cli.headless import ENOUGH, FORMER, SLICE, THRESHOLD, Checks, check_share, check_slice, do, only, share
from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.core.text import duration
from mlconsole.core.traffic import percent

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_RATE = 40
_PATIENCE = 90.0
"""Seconds until something is seen: applications read AppConfig every 15 s."""


def story(run: Run, session: Session, checks: Checks) -> None:
    """Both layouts, one after the other."""
    from mlconsole.workspace import environment

    _in_config(run, session, checks)
    _in_weights(run, run.open(environment(run.workspace, "production", {}), quiet=True), checks)


def _in_config(run: Run, session: Session, checks: Checks) -> None:
    from mlconsole.engine.endpoints import show
    from mlconsole.engine.planning import plan_deploy, plan_revert, plan_traffic

    first = _begun(session)
    until(session, "100 answered requests", _PATIENCE, lambda: show(session, "relevance").requests >= 100, run.say)
    view = show(session, "relevance")
    checks.that("v3 serves all of the traffic", f"{view.requests} requests, {view.failed} failed", only(view, "v3") and view.failed == 0)
    do(session, plan_deploy(session, "relevance", "4", share=1000))
    check_share(run, session, checks, "deployed v4 at 10 %, in AppConfig", "v4", 1000)
    do(session, plan_traffic(session, "relevance", {"v4": 2500}))
    check_share(run, session, checks, "shifted v4 to 25 %", "v4", 2500)
    do(session, plan_traffic(session, "relevance", {"v4": 10_000}, slice_value=("language", SLICE)))
    check_slice(run, session, checks, SLICE, "v4", 10_000)
    _threshold(run, session, checks)

    began = session.clock.elapsed()
    do(session, plan_revert(session, "relevance", to=first))
    took = session.clock.elapsed() - began
    until(session, f"{ENOUGH} requests after the revert", _PATIENCE, lambda: show(session, "relevance").requests >= ENOUGH, run.say)
    view = show(session, "relevance")
    checks.that(
        f"reverted to #{first} in {duration(took)}, the threshold stays",
        f"v4 gets {share(view, 'v4')} of {view.requests} requests",
        only(view, "v3") and [variant.name for variant in view.variants] == ["v3"] and _live_threshold(session) == THRESHOLD,
    )
    _threshold_back(session, checks)
    _none_failed(session, checks)


def _in_weights(run: Run, session: Session, checks: Checks) -> None:
    from mlconsole.engine.planning import plan_deploy, plan_revert, plan_traffic

    first = _begun(session)
    _answered(run, session, checks, "in production one endpoint serves v3", 0)
    do(session, plan_deploy(session, "relevance", "4", share=1000))
    _answered(run, session, checks, "v4 is a second production variant with 10 %", 1000)
    do(session, plan_traffic(session, "relevance", {"v4": 5000}))
    _answered(run, session, checks, "its weight moved to 50 %", 5000)
    do(session, plan_revert(session, "relevance", to=first))
    _answered(run, session, checks, f"production is back at #{first}", 0)
    _none_failed(session, checks)


def _answered(run: Run, session: Session, checks: Checks, what: str, desired: int) -> None:
    """The share of v4 as SageMaker says it, and as the application saw who answered: CloudWatch's own figures are minutes late."""
    from mlconsole.engine import machine
    from mlconsole.engine.endpoints import show

    def told() -> tuple[float, Counter[str]]:
        found: Any = machine.run_action(session, "traffic-status", {"endpoint": "relevance"})
        return float(found.get("time") or 0.0), Counter(found.get("answered_by") or {})

    sent, began = Shares(), session.clock.now().timestamp()
    # It tells each second what it saw: of the last one, some was before.
    until(session, "word from the application", _PATIENCE, lambda: told()[0] > began, run.say)
    before = told()[1]

    def enough() -> bool:
        nonlocal sent
        found = told()[1] - before
        sent = Shares(found.total(), {"v4": found["v4"]})
        return sent.n >= ENOUGH

    until(session, f"{ENOUGH} answers after: {what}", _PATIENCE, enough, run.say)
    one = show(session, "relevance")
    reported = next((variant.reported or 0 for variant in one.variants if variant.name == "v4"), 0)
    figures = f"desired {percent(desired)} %, reported {percent(reported)} %, answered {sent.by_variant['v4']} of {sent.n}"
    checks.that(what, figures, reported == desired and not beyond_chance(sent, "v4", desired))


def _begun(session: Session) -> int:
    """Servers, the document, v3 with traffic; the release that it is."""
    from mlconsole.engine import machine, trusting

    trusting.allow(session.workspace)  # our own copy, in a folder that goes in a moment; it is checked by a program of its own
    machine.up(session)
    publish(session)
    serve(session, "relevance", "3")
    replay(session, "relevance", _RATE)
    record = session.registry.live_release(session.environment.name, "relevance")
    assert record is not None
    return record.release.number


def _threshold(run: Run, session: Session, checks: Checks) -> None:
    """A threshold is published; the application that asks SageMaker reads it."""
    from mlconsole.engine import configuring, machine
    from mlconsole.engine.publishing import plan_publish

    before = _live_threshold(session)
    configuring.edit(session, CONFIG, {f"/relevance/{SLICE}/threshold": THRESHOLD}, reason=f"{SLICE} misses some")
    do(session, plan_publish(session, CONFIG))
    live = configuring.document(session, CONFIG)
    began = session.clock.elapsed()

    def reads() -> bool:
        return machine.run_action(session, "traffic-status", {"endpoint": "relevance"}).get("reads") == live.digest

    until(session, f"an application that reads config {live.version}", _PATIENCE, reads, run.say)
    took = session.clock.elapsed() - began
    after = _live_threshold(session)
    checks.that(
        f"published {SLICE} threshold {before:g} → {THRESHOLD:g}",
        f"the application reads config {live.version} {duration(took)} later, by AppConfig's data plane",
        (before, after) == (FORMER, THRESHOLD),
    )


def _threshold_back(session: Session, checks: Checks) -> None:
    from mlconsole.engine.publishing import plan_config_revert

    do(session, plan_config_revert(session, CONFIG))
    back = _live_threshold(session)
    checks.that("reverted the threshold by itself", f"{SLICE} has {back:g} again", back == FORMER)


def _live_threshold(session: Session) -> float:
    import json

    from mlconsole.engine import configuring

    return float(json.loads(configuring.bytes_of(session, CONFIG, "live"))["relevance"][SLICE]["threshold"])


def _none_failed(session: Session, checks: Checks) -> None:
    from mlconsole.engine import machine

    traffic = machine.run_action(session, "traffic-status", {"endpoint": "relevance"})
    figures = f"{traffic['sent']} sent in {session.environment.name}, {traffic['failed']} failed"
    checks.that("no request failed in all of this", figures, traffic["failed"] == 0 and bool(traffic["sent"]))
