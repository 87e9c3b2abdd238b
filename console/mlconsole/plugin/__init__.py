"""What an adapter's author imports: role protocols, options, errors, and the conformance suite with its simulator.

A plugin is a module-level `Plugin` object that an entry point in the group `mlconsole.plugins` names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlconsole.plugin.options import Option

if TYPE_CHECKING:
    from mlconsole.core.models import Json
    from mlconsole.plugin.roles import Context

ROLES = (
    "serving",
    "traffic",
    "predictions",
    "config",
    "metrics",
    "alarms",
    "catalog",
    "lifecycle",
    "actions",
    "authors",
    "account",
    "discovery",
)
"""The roles there are, by the names that `mlconsole.yaml` binds."""

KINDS = ("probe", "notifier")
"""Roles that are not bound to an environment but made where mlconsole.yaml says `kind: NAME`: each such plugin plays one, and its options
are that probe's or notifier's own."""

OWN_KEYS: Mapping[str, tuple[str, ...]] = {"probe": ("kind", "every", "repair"), "notifier": ("kind", "after", "only")}
"""What mlconsole.yaml itself says of each probe and notifier, beside the options that its plugin declares: those can't be called so."""

GROUP = "mlconsole.plugins"
"""The entry-point group in which plugins are found, ours and a stranger's alike."""


@dataclass(frozen=True)
class Plugin:
    """A backend: its name, its options, and a factory for each role that it plays.

    Factories import what they need when they are called; importing the plugin's module stays cheap.
    """

    name: str
    version: str
    summary: str
    factories: Mapping[str, Callable[[Context], Any]]
    options: tuple[Option, ...] = field(default=())
    policy: Callable[[Context, Collection[str]], Json] | None = None
    """What the backend has to allow, at least, for these roles of an environment, in its own words (an IAM policy)."""


def __getattr__(name: str) -> Any:
    # The roles are imported by who asks for them: reading mlconsole.yaml, for which a first frame waits, needs only their names.
    if name == "Context":
        from mlconsole.plugin.roles import Context

        return Context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["GROUP", "KINDS", "OWN_KEYS", "ROLES", "Context", "Option", "Plugin"]
