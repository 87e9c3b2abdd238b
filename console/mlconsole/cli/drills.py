"""The drills of the demo: something really breaks, so that one sees who notices, and what by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from mlconsole.cli.common import Run, columns
from mlconsole.core.text import did_you_mean
from mlconsole.plugin.errors import UsageError

DRILLS: Mapping[str, tuple[str, str]] = {
    "collapsed-rollout": ("v5 begins at 10 % by the policy quick", "a guard takes it back by itself; make tea"),
    "collapsed-version": ("v5 answers every event alike, with 200", "identical predictions; errors stay at 0 %"),
    "broken-language": ("v6 refuses every German event", "errors in de 100 %; of all requests that is 2 %"),
    "silent-language": ("no German event comes any more", "de fell silent; nothing fails at all"),
    "slow-version": ("v7 is right, and late", "latency"),
    "emptied-redis": ("v2's word vectors are thrown away", "redis-embeddings, and identical predictions; F or `repair` fills it again"),
    "dead-server": ("the live version's server is killed", "errors 100 %"),
    "end": ("all of it is put back", "each alarm closes when every language is proven well again"),
}
"""Name → what happens, and what should be noticed. Each is the action `drill-NAME` of the sample workspace."""


def told() -> list[str]:
    """The drills by name, one line each."""
    return columns([["", name, what, f"→ {noticed}"] for name, (what, noticed) in DRILLS.items()], wide=3)


def run_drill(run: Run, place: Path, name: str, tool: str) -> None:
    """Run a drill in the demo's workspace; `tool` is how this program is called for it."""
    from mlconsole.engine import acting
    from mlconsole.workspace import environment, load

    if name not in DRILLS:
        raise UsageError(f'There is no drill "{name}". {did_you_mean(name, DRILLS)}', next=f"Drills: {', '.join(DRILLS)}.")
    if not (place / "mlconsole.yaml").exists():
        raise UsageError(f"There is no demo in {place}. Nothing was done.", next="Start it: mlconsole demo")
    run.use(load(place / "mlconsole.yaml"))
    session = run.open(environment(run.workspace, run.shared.env, {}), quiet=True)
    action = f"drill-{name}"
    offered = acting.find(session, action)
    what, noticed = DRILLS[name]
    run.say(f"drill {name}: {what} …")
    asked = acting.ask(session, action, {}, reason="a drill")
    ended = acting.wait(session, asked.id, run.shared.timeout if run.shared.timeout is not None else offered.time_limit + 60.0)
    good = ended.state == "done"
    if run.json:
        run.emit({"drill": name, "done": good, "run": ended.id, "told": ended.told, "notice": noticed})
    run.say(f"{'✔' if good else '✖'} {ended.told}", indent=2)
    if not good:
        raise typer.Exit(1)
    run.say(f"should be noticed: {noticed}", indent=2)
    run.say(f"  {tool} health      who notices, since when, and what would help")
    run.say(f"  {tool} status      the same in a few lines")
    if name != "end":
        run.say(f"  mlconsole demo {place} --drill end      puts all of it back")
