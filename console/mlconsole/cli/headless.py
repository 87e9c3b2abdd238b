"""The story without a person: deploy, shift, shadow, revert; a threshold published and taken back. Each step is checked against the traffic
that was really observed, and against what an application that polls really reads.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mlconsole.cli.common import Run, tidying
from mlconsole.cli.demo import CONFIG, prepare, publish, replay, serve, until
from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.core.text import duration
from mlconsole.core.traffic import Shadow, percent
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.core.plans import Plan
    from mlconsole.engine.session import Session

_RATE = 200
ENOUGH = 400
"""Requests after which an observed share is judged (at 10 %: ± 6 points of a percent at four standard errors)."""


SLICE, FORMER, THRESHOLD = "pl", 0.48, 0.47
"""The threshold that is published: whose, what it is in the sample workspace, and what it becomes."""

_COPIES = 1200
"""The same for copies: they are told up to 0.2 s before their originals, which has to be little beside all of them."""


@dataclass
class Checks:
    run: Run
    session: Session
    held: list[dict[str, Any]] = field(default_factory=list)

    def that(self, what: str, figures: str, true: bool) -> None:
        """Note a check; a false one is told at once and makes the whole story fail at its end."""
        self.held.append({"check": what, "held": true, "figures": figures})
        self.run.say(f"{'✔' if true else '✖'} {what}: {figures}")


def walk(run: Run, kind: str = "") -> None:
    """Walk the story (of that kind of sample) in a folder of its own, clean up, and leave with exit code 0 only if every check held."""
    place = Path(tempfile.mkdtemp(prefix="mlconsole-demo-"))
    shutil.rmtree(place)  # `init` makes it
    with tidying():
        try:
            session = prepare(run, place, kind)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        from mlconsole.cli.headless_aws import story as aws_story

        checks = Checks(run, session)
        try:
            (_story if not kind else aws_story)(run, session, checks)
        finally:
            _clean(run, session, place, checks)
    failed = [check for check in checks.held if not check["held"]]
    message = f"{len(failed)} of {len(checks.held)} checks did not hold: {'; '.join(check['check'] for check in failed)}."
    error = {"code": "not_held", "message": message, "next": "The figures of each check say how far off it was."} if failed else None
    if run.json:
        run.emit({"held": not failed, "checks": checks.held, **({"error": error} if error else {})})
    if error:
        run.warn(f"✖ {error['message']} {error['next']}")
        raise typer.Exit(1)
    run.say(f"✔ all {len(checks.held)} checks held, cleaned up")
    raise typer.Exit(0)


def _story(run: Run, session: Session, checks: Checks) -> None:
    from mlconsole.engine import machine
    from mlconsole.engine.endpoints import show
    from mlconsole.engine.planning import plan_deploy, plan_revert, plan_traffic

    machine.up(session)
    serve(session, "relevance", "3")
    replay(session, "relevance", _RATE)
    until(session, "100 answered requests", 30.0, lambda: show(session, "relevance").requests >= 100, run.say)
    view = show(session, "relevance")
    checks.that("v3 serves all of the traffic", f"{view.requests} requests, {view.failed} failed", only(view, "v3") and view.failed == 0)

    first = view.release
    do(session, plan_deploy(session, "relevance", "4", share=1000))
    check_share(run, session, checks, "deployed v4 at 10 %", "v4", 1000)
    do(session, plan_traffic(session, "relevance", {"v4": 2500}))
    check_share(run, session, checks, "shifted v4 to 25 %", "v4", 2500)
    do(session, plan_traffic(session, "relevance", {"v4": 10_000}, slice_value=("language", "pl")))
    check_slice(run, session, checks, "pl", "v4", 10_000)
    do(session, plan_traffic(session, "relevance", {}, slice_value=("language", "pl"), clear_slice=True))

    do(session, plan_traffic(session, "relevance", {"v4": 0}, shadow=Shadow("v4", 5000)))
    until(session, f"{_COPIES} requests under the shadow", 60.0, lambda: show(session, "relevance").requests >= _COPIES, run.say)
    view = show(session, "relevance")
    copies = view.shadow.observed if view.shadow else None
    seen = Shares(view.requests, {"v4": round((copies or 0) * view.requests / 10_000)})
    checks.that(
        "shadow v4 gets copies of 50 %, and answers nobody",
        f"copies {percent(round(copies or 0))} % of {view.requests}, answered by v4: {share(view, 'v4')}",
        copies is not None and not beyond_chance(seen, "v4", 5000) and only(view, "v3"),
    )

    began = session.clock.elapsed()
    do(session, plan_revert(session, "relevance", to=first))
    took = session.clock.elapsed() - began
    until(session, f"{ENOUGH} requests after the revert", 60.0, lambda: show(session, "relevance").requests >= ENOUGH, run.say)
    view = show(session, "relevance")
    only_first = [variant.name for variant in view.variants] == ["v3"] and view.shadow is None
    checks.that(
        f"reverted to #{first} in {duration(took)}",
        f"v4 gets {share(view, 'v4')} of {view.requests} requests, no copies",
        only(view, "v3") and only_first,
    )
    _configuration(run, session, checks)
    traffic = machine.run_action(session, "traffic-status", {"endpoint": "relevance"})
    checks.that(
        "no request failed in all of this",
        f"{traffic['sent']} sent, {traffic['failed']} failed",
        traffic["failed"] == 0 and traffic["sent"] > 0,
    )


def _configuration(run: Run, session: Session, checks: Checks) -> None:
    """A threshold is published, and taken back; an application that polls reads the one, then the other."""
    from mlconsole.engine import configuring, trusting
    from mlconsole.engine.publishing import plan_config_revert, plan_publish

    trusting.allow(session.workspace)  # our own copy, in a folder that goes in a moment; it is checked by a program of its own
    with _Application(session) as application:
        first = publish(session)
        until(session, f"an application that reads config {first}", 20.0, lambda: application.read(first), run.say)
        before = application.threshold()
        configuring.edit(session, CONFIG, {f"/relevance/{SLICE}/threshold": THRESHOLD}, reason=f"{SLICE} misses some")
        do(session, plan_publish(session, CONFIG))
        second = configuring.document(session, CONFIG).version or 0
        began = session.clock.elapsed()
        until(session, f"an application that reads config {second}", 20.0, lambda: application.read(second), run.say)
        took = session.clock.elapsed() - began
        after = application.threshold()
        checks.that(
            f"published {SLICE} threshold {before:g} → {THRESHOLD:g}",
            f"an application that polls reads {after:g} (config {second}) {duration(took)} later",
            (before, after) == (FORMER, THRESHOLD),
        )
        do(session, plan_config_revert(session, CONFIG))
        until(session, f"an application that reads config {first} again", 20.0, lambda: application.read(first), run.say)
        back = application.threshold()
        checks.that("reverted it", f"the application reads {back:g} again (config {first})", back == before and not application.trouble())


class _Application:
    """The sample workspace's client, as a process of its own that polls."""

    def __init__(self, session: Session) -> None:
        root = session.workspace.root
        folder = root / ".mlconsole" / "local" / session.environment.name / "config"
        self._command = [sys.executable, str(root / "client" / "configclient.py"), str(folder), CONFIG, "--client", "headless"]
        self._log = root / ".mlconsole" / "application.log"

    def __enter__(self) -> _Application:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*self._command, "--watch"], stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def read(self, version: int) -> bool:
        """Whether that version is what it read last."""
        told = self._log.read_text(encoding="utf-8").splitlines()
        return bool(told) and f"{CONFIG} {version}, publication" in told[-1]

    def threshold(self) -> float:
        """The threshold of a language, in the bytes that an application reads just now."""
        body = subprocess.run(self._command, capture_output=True, check=True, timeout=20.0).stdout
        return float(json.loads(body)["relevance"][SLICE]["threshold"])

    def trouble(self) -> bool:
        """Whether it ever had to keep an older version because of what it found."""
        return "is kept" in self._log.read_text(encoding="utf-8")


def do(session: Session, plan: Plan) -> None:
    """Carry a plan out; what does not come to stand ends the story."""
    from mlconsole.engine import changing

    outcome = changing.run(session, plan)
    if not outcome.done:
        raise MLConsoleError(outcome.sentence)


def check_share(run: Run, session: Session, checks: Checks, what: str, variant: str, desired: int) -> None:
    """A variant's share (bp), as wanted, as reported, and as really observed."""
    from mlconsole.engine.endpoints import show

    until(session, f"{ENOUGH} requests after: {what}", 60.0, lambda: show(session, "relevance").requests >= ENOUGH, run.say)
    view = show(session, "relevance")
    one = next(each for each in view.variants if each.name == variant)
    shares = Shares(one.observed_n, {variant: round((one.observed or 0) * one.observed_n / 10_000)})
    text = f"desired {percent(desired)} %, reported {percent(one.reported or 0)} %, observed {share(view, variant)} of {one.observed_n}, "
    right = one.reported == desired and one.observed_n > 0 and not beyond_chance(shares, variant, desired)
    checks.that(what, f"{text}failed {view.failed}", right and view.failed == 0)


def check_slice(run: Run, session: Session, checks: Checks, value: str, variant: str, desired: int) -> None:
    """A language's own split, as really observed."""
    from mlconsole.engine.endpoints import show

    def seen() -> Any:
        return show(session, "relevance").observed_by_slice.get(value, {})

    until(session, f"requests in {value}", 60.0, lambda: bool(seen()) and show(session, "relevance").requests >= ENOUGH, run.say)
    view = show(session, "relevance")
    observed = view.observed_by_slice[value].get(variant, 0.0)
    checks.that(
        f"language {value} goes to {variant} alone",
        f"observed {observed / 100:.1f} % in {value}, failed {view.failed}",
        observed == desired and view.failed == 0,
    )


def _clean(run: Run, session: Session, place: Path, checks: Checks) -> None:
    from mlconsole.engine import machine, trusting

    others = [run.open(one, quiet=True) for one in run.workspace.environments.values() if one.name != session.environment.name]
    attempts: list[Callable[[], Any]] = [
        *(partial(machine.down, one) for one in (session, *others)),
        lambda: trusting.revoke(session.workspace),
        lambda: shutil.rmtree(place),
    ]
    left = "nothing left running"
    for attempt in attempts:
        try:
            attempt()
        except (MLConsoleError, OSError) as error:
            left = f"left behind in {place}: {error}"
    checks.that("cleaned up", left, left == "nothing left running")


def only(view: Any, name: str) -> bool:
    """Whether nobody else was seen to answer."""
    return all(variant.observed is None or variant.observed == (10_000 if variant.name == name else 0) for variant in view.variants)


def share(view: Any, name: str) -> str:
    found = next((variant.observed for variant in view.variants if variant.name == name), None)
    return "0 %" if found is None else f"{found / 100:.1f} %"
