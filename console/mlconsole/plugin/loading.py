"""Finding plugins by their entry points, in three grains: names (imports nothing), one, all.

Which plugins are installed is somebody else's doing, so that nothing here trusts them: a plugin that can't be imported, is no `Plugin` or
shares its name with another one is named and set aside, and the others work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlconsole.core.errors import MLConsoleError, UnknownName
from mlconsole.core.text import did_you_mean, is_name, neutralise
from mlconsole.plugin import GROUP, KINDS, OWN_KEYS, ROLES, Option, Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_LONGEST = 300
"""So much of a stranger's exception is told."""


class BrokenPlugin(MLConsoleError):
    """A plugin that is installed and can't be used; `message` says which and why."""

    code = "broken_plugin"


@dataclass(frozen=True)
class Broken:
    """A plugin that was set aside, and why, for people."""

    name: str
    problem: str


def names() -> list[str]:
    """The names of all installed plugins, in order; imports none of them."""
    return sorted(_found())


def load(name: str) -> Plugin:
    """The plugin of that name.

    Raises:
        UnknownName: none is installed under it.
        BrokenPlugin: it can't be imported, is no plugin, or two packages bring one of that name.
    """
    found = _found()
    if name not in found:
        known = neutralise(did_you_mean(name, found))
        raise UnknownName(f'There is no plugin "{neutralise(name)}". {known}', next="mlconsole plugins list shows what is installed.")
    return _load(name, found[name])


def load_all() -> tuple[list[Plugin], list[Broken]]:
    """All plugins that work, and those that don't, both by name."""
    working: list[Plugin] = []
    broken: list[Broken] = []
    for name, points in sorted(_found().items()):
        try:
            working.append(_load(name, points))
        except BrokenPlugin as error:
            broken.append(Broken(neutralise(name), error.message))
    return working, broken


def _found() -> dict[str, list[EntryPoint]]:
    from importlib.metadata import entry_points  # not needed by those who only ask for the class `Broken`

    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        # A package that is on the path twice is one package.
        found.setdefault(point.name, {})[(point.value, _package(point))] = point
    return {name: list(points.values()) for name, points in found.items()}


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


def _load(name: str, points: list[EntryPoint]) -> Plugin:
    if len(points) > 1:
        both = " and ".join(f"{_package(point)} ({point.value})" for point in sorted(points, key=_package))
        raise BrokenPlugin(
            neutralise(f'Plugin "{name}" is brought by {both}: which is meant is not to be guessed.'),
            next="Uninstall one of the packages.",
        )
    point = points[0]
    if not point.pattern.match(point.value):
        raise _broken(point, f'its entry point "{point.value}" is not of the form module:object')
    try:
        loaded = point.load()
    except (Exception, SystemExit) as error:
        # A stranger's module may raise anything; a person gets one sentence.
        reason = " ".join(str(error).split()) or "no reason given"
        raise _broken(point, f"{type(error).__name__}: {reason}") from error
    if not isinstance(loaded, Plugin):
        raise _broken(point, f"{point.value} is no mlconsole.plugin.Plugin but a {type(loaded).__name__}")
    problem = _problem(name, loaded)
    if problem:
        raise _broken(point, problem)
    return loaded


def _broken(point: EntryPoint, reason: str) -> BrokenPlugin:
    told = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
    package = point.dist.name if point.dist is not None else "its package"
    return BrokenPlugin(
        neutralise(f'Plugin "{point.name}" of {_package(point)} can\'t be loaded: {told}.'),
        next=neutralise(f"Repair or uninstall {package}; all other plugins work."),
    )


def _problem(name: str, plugin: Any) -> str:
    """What makes a `Plugin` unusable, empty when nothing does. Python holds no stranger to our annotations: the fields may be anything."""
    if plugin.name != name:
        return f'its entry point is called "{name}", the plugin calls itself "{plugin.name}"'
    if not is_name(name):
        return "its name is none: letters, digits, dot, dash and underscore are wanted"
    if not isinstance(plugin.version, str) or not isinstance(plugin.summary, str):
        return "its version and its summary have to be texts"
    try:
        factories = dict(plugin.factories)
        options = tuple(plugin.options)
    except (TypeError, ValueError):
        return "its factories have to be a mapping, its options a tuple"
    for role, factory in factories.items():
        if role not in (*ROLES, *KINDS):
            return f'it plays "{role}", and there is no such role. {did_you_mean(str(role), (*ROLES, *KINDS))}'.rstrip(".")
        if not callable(factory):
            return f'its factory for "{role}" can\'t be called'
    if not all(isinstance(option, Option) for option in options):
        return "its options have to be declared as mlconsole.plugin.Option"
    kinds = [role for role in factories if role in KINDS]
    if kinds and len(factories) > 1:
        return f"it is a {kinds[0]}, and can play no other role beside it"
    taken = [option.name for option in options for kind in kinds if option.name in OWN_KEYS[kind]]
    if taken:
        return f'its option "{taken[0]}" is mlconsole.yaml\'s own word there'
    twice = {option.name for option in options if [other.name for other in options].count(option.name) > 1}
    return f"it declares the option {min(twice)} twice" if twice else ""
