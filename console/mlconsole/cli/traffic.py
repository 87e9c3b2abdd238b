"""`traffic set|clear|show`: who gets which share."""

from __future__ import annotations

from typing import Annotated

import typer

from mlconsole.cli.changes import BreakGlass, carry_out, first_repair
from mlconsole.cli.common import Run, command, pairs
from mlconsole.cli.completion import complete_endpoint
from mlconsole.core.traffic import Shadow, parse_percent
from mlconsole.plugin.errors import UsageError

app = typer.Typer(help="Who gets which share of the requests.", no_args_is_help=True)

_Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", autocompletion=complete_endpoint)]


@command(app, "set", changing=True)
def set_traffic(
    run: Run,
    endpoint: _Endpoint,
    shares: Annotated[list[str] | None, typer.Argument(metavar="VARIANT=PERCENT")] = None,
    slice_value: Annotated[str | None, typer.Option("--slice", metavar="KEY=VALUE", help="Only for requests of that slice.")] = None,
    shadow: Annotated[
        str | None, typer.Option("--shadow", metavar="VARIANT=PERCENT|none", help="Copies for a variant; left out, it stays.")
    ] = None,
    break_glass: BreakGlass = "",
) -> None:
    """Set shares, for all requests or one slice; a shadow.

    Who is not named gets 0; but exactly one serving variant left unnamed takes the rest.
    """
    from mlconsole.engine.planning import plan_traffic

    named = {name: parse_percent(value) for name, value in pairs(shares or [], "a share: VARIANT=PERCENT is wanted, like v4=10").items()}
    if not named and shadow is None:
        raise UsageError("No share was named. Nothing was changed.", next="Write VARIANT=PERCENT, like v4=10, or --shadow.")
    copies = None if shadow in (None, "none") else _shadow(str(shadow))
    where = _slice(slice_value) if slice_value is not None else None
    first_repair(run, endpoint)
    plan = plan_traffic(
        run.session,
        endpoint,
        named,
        slice_value=where,
        shadow=copies,
        end_shadow=shadow == "none",
        reason=run.shared.reason,
        break_glass=break_glass,
    )
    carry_out(run, plan)


@command(app, "clear", changing=True)
def clear(
    run: Run, endpoint: _Endpoint, slice_value: Annotated[str, typer.Option("--slice", metavar="KEY=VALUE")], break_glass: BreakGlass = ""
) -> None:
    """Let a slice be served like all the others again."""
    from mlconsole.engine.planning import plan_traffic

    first_repair(run, endpoint)
    where = _slice(slice_value)
    plan = plan_traffic(run.session, endpoint, {}, slice_value=where, clear_slice=True, reason=run.shared.reason, break_glass=break_glass)
    carry_out(run, plan)


@command(app, "show")
def show(run: Run, endpoint: _Endpoint) -> None:
    """The same as `endpoints show`."""
    from mlconsole.cli.endpoints import show as look

    look(run, endpoint)


def _slice(text: str) -> tuple[str, str]:
    return next(iter(pairs([text], "a slice: KEY=VALUE is wanted, like language=de").items()))


def _shadow(text: str) -> Shadow:
    name, value = next(iter(pairs([text], "a shadow: VARIANT=PERCENT or none is wanted, like v5=20").items()))
    return Shadow(name, parse_percent(value))
