"""`health native`, `health arm`, `health drill`: the backend's own alarms, which watch when nobody of ours does."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, columns, command
from mlconsole.core.text import neutralise

if TYPE_CHECKING:
    from mlconsole.core.alarm_rules import AlarmRule
    from mlconsole.engine.views import ProbeView


def add(app: typer.Typer) -> None:
    """Add the commands to `health`."""

    @command(app)
    def native(run: Run) -> None:
        """The backend's own alarms: how they are, and which of them can never fire.

        Exit 1 when one is set off, or can't do what it is for; 6 when they can't be read.
        """
        from mlconsole.engine import nativealarms
        from mlconsole.plugin.errors import Unavailable

        seen = nativealarms.look(run.session, anew=True)
        if seen.alarms is None:
            raise Unavailable(f"The backend's alarms can't be read: {seen.trouble}")
        views = nativealarms.views(seen)
        found = list(nativealarms.findings(seen))
        if run.json:
            from mlconsole.cli.health import plain

            wrong = [{"alarm": one.name, **dataclasses.asdict(finding)} for one, finding in found]
            run.emit({"alarms": [plain(one) for one in views], "findings": plain(wrong)})
        elif not views:
            run.say("No alarm of the backend is watched. Make some: mlconsole health arm ENDPOINT")
        else:
            for line in told(views):
                run.say(line)
            for one, finding in found:
                run.say(
                    f"{'✖' if finding.stops else '▲'} {neutralise(one.name)}: {neutralise(finding.text)} {finding.next}".rstrip(), indent=2
                )
        if any(one.ok is False for one in views) or any(finding.stops for _, finding in found):
            raise typer.Exit(1)

    @command(app, changing=True)
    def arm(
        run: Run,
        endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
        errors: Annotated[
            float | None, typer.Option("--errors", min=0, max=100, metavar="PERCENT", help="So many may fail. Else 5.")
        ] = None,
        latency: Annotated[float | None, typer.Option("--latency", min=1, metavar="MS", help="So slow may p95 be.")] = None,
    ) -> None:
        """Make the alarms at the backend that an endpoint's variants need: they watch it when nobody of ours does."""
        from mlconsole.engine import nativealarms

        several = nativealarms.wanted(run.session, endpoint, errors=None if errors is None else errors / 100, latency_ms=latency)
        for one in several:
            run.say(f"{'changes' if one.there else 'makes'}  {one.rule.name}  {_condition(one.rule)}")
            for finding in one.findings:
                run.say(f"  {'✖' if finding.stops else '▲'} {finding.text} {finding.next}".rstrip(), indent=4)
        if run.shared.dry_run:
            run.say("Nothing was changed.")
        else:
            _agree(run, f"{len(several)} alarms of {endpoint}", endpoint)
            nativealarms.create(run.session, several)
            run.say(f"✔ {len(several)} alarms watch {endpoint}")
        if run.json:
            names = [one.rule.name for one in several]
            run.emit({"endpoint": endpoint, "alarms": names, "made": not run.shared.dry_run})

    @command(app, changing=True)
    def drill(run: Run, name: Annotated[str, typer.Argument(metavar="ALARM", help="Its name at the backend.")]) -> None:
        """Set an alarm of the backend off, to see who hears of it. Not in production; it ends by itself within its period."""
        from mlconsole.engine import nativealarms

        if run.shared.dry_run:
            run.say(f"{name} would be set off. Nothing was changed.")
            return
        _agree(run, f"setting off {name}", name)
        nativealarms.drill(run.session, name)
        if run.json:
            run.emit({"alarm": name, "set_off": True})
        run.say(f"✔ {name} is set off: whoever it tells hears of it now. It ends by itself.")


def told(views: Sequence[ProbeView]) -> list[str]:
    """The alarms for people, one line each."""
    return columns([[_sign(one.ok), one.name, ", ".join(one.endpoints) or "–", one.text] for one in views], wide=3)


def _sign(ok: bool | None) -> str:
    return "✔" if ok else "✖" if ok is False else "?"


def _condition(rule: AlarmRule) -> str:
    return f"{rule.variant}: {rule.condition}"


def _agree(run: Run, what: str, name: str) -> None:
    """Somebody has to say yes.

    Raises:
        ConfirmationNeeded: nobody did.
    """
    from mlconsole.plugin.errors import ConfirmationNeeded

    if run.shared.yes or run.shared.confirm == name:
        return
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not run.json
    if not (interactive and typer.confirm(f"Go on with {what} in {run.environment.name}?", default=False)):
        raise ConfirmationNeeded("Nobody said yes to this. Nothing was changed.", next="Add --yes.")
