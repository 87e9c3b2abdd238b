"""`config publish|revert|adopt`: a draft becomes the next version, by stages or at once; and back."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli.common import Run, command
from mlconsole.cli.completion import complete_document
from mlconsole.core.documents import config_target, target_told
from mlconsole.plugin.errors import UsageError

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The document.", autocompletion=complete_document)]


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, changing=True)
    def publish(
        run: Run,
        name: _Name,
        policy: Annotated[
            str | None, typer.Option("--policy", metavar="NAME", help="Grow by its stages; else by the document's own.")
        ] = None,
        at_once: Annotated[bool, typer.Option("--at-once", help="To all clients, without stages and guards.")] = False,
        attended: Annotated[bool, typer.Option("--attended", help="Nobody else watches: this command drives it, and has to stay.")] = False,
        break_glass: Annotated[str, typer.Option("--break-glass", metavar="REASON", help="Publish what lint stops; stays visible.")] = "",
    ) -> None:
        """Publish the draft, by stages or --at-once.

        It becomes the next version. By the stages of a policy guards decide, and take it back by themselves. In production it wants the
        slice typed that it is about (--confirm pl), or the document's name where it is about more.
        """
        from mlconsole.cli.changes import carry_out, first_repair
        from mlconsole.cli.rollout import carry_out as roll_out
        from mlconsole.engine import documenting, growing
        from mlconsole.engine import publishing as engine

        if at_once and (policy is not None or attended):
            raise UsageError(
                f"--at-once has no stages, and {'--attended' if policy is None else '--policy'} is about some. Nothing was published.",
                next="Name one of the two.",
            )
        documenting.settings(run.session, name)
        first_repair(run, config_target(name))
        if at_once:
            plan = engine.plan_publish(run.session, name, reason=run.shared.reason, break_glass=break_glass)
            carry_out(run, plan, question=_question(run, name, plan.confirm))
            return
        rollout = growing.plan_config_rollout(
            run.session, name, policy=policy, reason=run.shared.reason, break_glass=break_glass, attended=attended
        )
        roll_out(run, rollout, attended=attended, question=_question(run, name, rollout.confirm))

    command(app, "deploy", changing=True, hidden=True)(publish)

    @command(app, changing=True)
    def revert(
        run: Run,
        name: _Name,
        to: Annotated[str | None, typer.Option("--to", metavar="RELEASE", help="All of it as it was at that release.")] = None,
        change: Annotated[
            str | None, typer.Option("--change", metavar="RELEASE", help="Only what that release changed; later changes stay.")
        ] = None,
    ) -> None:
        """Put back only what the last publication changed.

        Later changes of others stay. Where they touched the same values it is refused, with their names (exit 5). A rollout under way goes
        back.
        """
        go_back(run, name, to=to, change=change)

    for alias in ("rollback", "undo", "abort"):
        command(app, alias, changing=True, hidden=True)(revert)

    @command(app, changing=True)
    def adopt(run: Run, name: _Name) -> None:
        """Keep what somebody else published.

        As a release of its own; nothing happens at the backend.
        """
        from mlconsole.cli.releases import release_json
        from mlconsole.engine import configuring

        kept = configuring.adopt(run.session, name, reason=run.shared.reason, only_look=run.shared.dry_run)
        if run.json:
            run.emit({"plan" if run.shared.dry_run else "release": release_json(kept)})
        if run.shared.dry_run:
            run.say(f'Nothing has happened. It would be config {name} #{kept.number} "{kept.kind}": {kept.content}.')
        else:
            run.say(f'✔ config {name} is #{kept.number} "{kept.kind}": {kept.content}.')


def go_back(run: Run, name: str, *, to: str | None = None, change: str | None = None) -> None:
    """A document goes back; a rollout of it, or a change under way, is stopped and goes back by itself."""
    from mlconsole.cli.changes import carry_out, finish, first_repair, stoppable
    from mlconsole.engine import changing, documenting
    from mlconsole.engine.publishing import plan_config_revert

    session = run.session
    documenting.settings(session, name)
    target = config_target(name)
    if to is not None and change is not None:
        raise UsageError("--to and --change were both given: one of the two. Nothing was changed.")
    release, undone = release_number(target, to), release_number(target, change)
    named = release is not None or undone is not None
    if not run.shared.dry_run and not session.read_only:
        claim = session.registry.claim(session.environment.name, target)
        if claim is not None and not named:
            _rollout_back(run, claim.id)
            return
        with stoppable() as stop:
            ended = changing.go_back_now(session, target, stop=stop)
            if ended is not None and not named:
                stop.over = True
                finish(run, ended, back_is_fine=True)
                return
        first_repair(run, target)
    carry_out(run, plan_config_revert(session, name, to=release, change=undone, reason=run.shared.reason))


def release_number(target: str, text: str | None) -> int | None:
    """The number of a release as people name it: `2`, `#2`, `relevance#2`.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    number = text.rpartition("#")[2]
    if not (number.isascii() and number.isdigit()) or len(number) > 9 or int(number) < 1:
        raise UsageError(
            f'"{text}" is no release of {target_told(target)}: a number like 2 is wanted.', next=f"mlconsole releases list {target}"
        )
    return int(number)


def _rollout_back(run: Run, rollout: str) -> None:
    from mlconsole.cli.rollout import emit, steer
    from mlconsole.core.rollouts import RolloutState
    from mlconsole.engine import rolling

    if rolling.find(run.session, rollout).state is not RolloutState.GOING_BACK:
        steer(run, rollout, "revert", "it goes back", tell_json=False)
    view = rolling.wait(run.session, rollout, "reverted", run.timeout)
    if run.json:
        emit(run, view)
    run.say(f"✔ {view.events[-1][1]}" if view.events else f"✔ {target_told(view.endpoint)} is back", indent=2)
    if view.state == "failed":
        raise typer.Exit(1)


def _question(run: Run, name: str, wanted: str | None) -> str:
    """What a person is asked in production: which slice they mean, where it is about one. What is `wanted` is not said then: they have to
    know it.
    """
    from mlconsole.engine import configuring

    if wanted is None or wanted == name:
        return f"This changes production. Type the document's name to publish it ({name})"
    view = configuring.document(run.session, name)
    about = f": {view.draft.about}" if view.draft is not None else ""
    return f"This changes production{about}. Which {view.slice_word} do you mean?"
