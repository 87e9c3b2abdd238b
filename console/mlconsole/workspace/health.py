"""What mlconsole.yaml says about watching: probes, channels, logs of applications, and what an endpoint's health is judged by."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.health import Question, Settings
from mlconsole.core.text import is_name, neutralise
from mlconsole.plugin import OWN_KEYS, Plugin
from mlconsole.plugin.validation import Located, Problems, Sort, check, shown
from mlconsole.workspace.grammar import CHANNEL, FILE, PROBE

if TYPE_CHECKING:
    from mlconsole.core.models import Json

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}://[^/?#\s]{0,500}@")
_SECRET = re.compile(r"(?:.*_)?(?:password|passwd|secret|token|api_?key)", re.IGNORECASE)
_TOKEN = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_-]{16,}")
_QUERY = re.compile(r"[?&](?:[^=&#]{0,40}[_-])?(?:key|token|secret|password|sig|signature|auth)=[^&#]", re.IGNORECASE)


@dataclass(frozen=True)
class Ping:
    """The guardian's own sign of life: a URL asked for at an interval, so that somebody else notices when it stops."""

    url_env: str | None
    """The environment variable that holds the URL: who knows it could feign that the guardian lives."""
    every: float
    """s."""
    url: str | None = None
    """The URL itself, where it is no secret: one of the two is there."""


@dataclass(frozen=True)
class ProbeSettings:
    """A probe as the file says it; its plugin's own options are validated when it is made: `kind_options`."""

    name: str
    kind: str
    """The plugin that looks."""
    every: float
    """s between two looks."""
    repair: str | None
    """The action that repairs what it finds."""
    node: Located = field(repr=False, compare=False)
    where: str = field(default=FILE, compare=False)
    """How errors call the file."""


@dataclass(frozen=True)
class ChannelSettings:
    """A way to tell people, as the file says it; its plugin's own options are validated when it is made: `kind_options`."""

    name: str
    kind: str
    """The plugin that tells."""
    after_minutes: float | None
    """A second channel: it hears of a page that nobody has acknowledged for so long. None: it hears at once."""
    only: tuple[str, ...]
    """The severities that go here; none named: all."""
    node: Located = field(repr=False, compare=False)
    where: str = field(default=FILE, compare=False)
    """How errors call the file."""

    def takes(self, severity: str) -> bool:
        """Whether a notice of that severity goes here."""
        return not self.only or severity in self.only


@dataclass(frozen=True)
class ApplicationLog:
    """JSON lines in which an application tells of its own requests."""

    name: str
    endpoint: str
    files: str
    """An absolute path with `*` and `?`."""
    fields: Mapping[str, str]
    """Ours (time, request_id, status, milliseconds, error, score) → the line's key, for those that the file names; a dot goes inside."""
    slices: Mapping[str, str]
    """Slice key → the line's key."""


def kind_options(settings: ProbeSettings | ChannelSettings, plugin: Plugin) -> Mapping[str, Json]:
    """The options of a probe or a channel, validated against its plugin's own declaration, defaults filled in: for `Context.options`.

    Raises:
        InvalidFile: with the line of what is wrong, also when the plugin is of another sort.
    """
    probe = isinstance(settings, ProbeSettings)
    role, what, own = ("probe", "probe", PROBE) if probe else ("notifier", "way to tell people", CHANNEL)
    problems = Problems(settings.where)
    if role not in plugin.factories:
        text = f'kind: the plugin "{shown(plugin.name)}" is no {what}: it plays {shown(", ".join(plugin.factories)) or "nothing"}.'
        problems.add(settings.node.at("kind"), text, next="mlconsole plugins list shows what each one is.")
        problems.raise_first()
    # Ours are looked at again beside the plugin's, so that a misspelt key hears the nearest of both.
    values = check((*own, *plugin.options), settings.node, problems)
    problems.raise_first()
    return {name: value for name, value in values.items() if name not in OWN_KEYS[role]}


def build_ping(given: Mapping[str, Any], node: Located, problems: Problems) -> Ping | None:
    """The guardian's ping, if the file names one."""
    here = node.get("ping")
    if here is None or here.sort is Sort.NOTHING:
        return None
    one = given["ping"]
    if (one["url_env"] is None) == (one["url"] is None):
        text = f"{shown(here.path)} has {'two URLs' if one['url'] else 'no URL'}: one of url_env and url is wanted."
        problems.add(here, text, next="Write url_env: NAME, the environment variable that holds it.", key=True)
    return Ping(one["url_env"], float(one["every"]), one["url"])


def build_probes(
    given: Mapping[str, Any], node: Located, where: str, actions: Iterable[str], problems: Problems
) -> dict[str, ProbeSettings]:
    """The probes of an environment; `actions` are those that are offered there."""
    result = {}
    for name, one in given["probes"].items():
        here = node.at("probes", name)
        repair = one["repair"]
        if repair is not None and repair not in actions:
            text = f'repair: there is no action "{shown(repair)}" here.'
            problems.add(here.at("repair"), text, meant=repair, known=actions)
        result[name] = ProbeSettings(name, one["kind"], float(one["every"]), repair, here, where)
    return result


def build_channels(given: Mapping[str, Any], node: Located, where: str) -> dict[str, ChannelSettings]:
    """The channels of an environment."""
    return {
        name: ChannelSettings(
            name,
            one["kind"],
            None if one["after"] is None else float(one["after"]),
            tuple(dict.fromkeys(one["only"])),
            node.at("notify", name),
            where,
        )
        for name, one in given["notify"].items()
    }


def build_logs(
    given: Mapping[str, Any], node: Located, root: Path, endpoints: Iterable[str], problems: Problems
) -> dict[str, ApplicationLog]:
    """The logs of applications in an environment."""
    result = {}
    for name, one in given["application_logs"].items():
        here = node.at("application_logs", name)
        if one["endpoint"] not in endpoints:
            text = f'there is no endpoint "{shown(one["endpoint"])}".'
            problems.add(here.at("endpoint"), text, meant=one["endpoint"], known=endpoints)
        fields = {field: key for field, key in one["fields"].items() if key}
        if "time" not in fields:
            problems.add(here.at("fields", "time"), f"{shown(here.path)}.fields.time names no key.")
        # The workspace's own folder may be called anything, also with a star in it.
        files = one["files"] if one["files"].startswith("/") else f"{glob.escape(str(root))}/{one['files']}"
        result[name] = ApplicationLog(name, one["endpoint"], files, fields, one["slices"])
    return result


def build_settings(given: Mapping[str, Any]) -> Settings:
    """What an endpoint's health is judged by."""
    return Settings(
        errors=float(given["errors"]),
        slice_errors=float(given["slice_errors"]),
        latency_ms=given["latency_ms"],
        cutoff_days=given["cutoff_days"],
        silent=given["silent"],
        pages=frozenset(Question(name) for name in given["pages"]),
    )


def refuse_secrets(node: Located, problems: Problems) -> None:
    """Note each secret that stands in what the file says of actions, and an environment of its probes, channels and ping; none is repeated.

    mlconsole.yaml lies in a repository: it holds names of environment variables, never what is in them.
    """
    for group in ("ping", "probes", "notify", "actions"):
        found = node.get(group)
        if found is not None:
            _refuse(found, "", problems, paths=group in ("ping", "notify"))


def _refuse(node: Located, key: str, problems: Problems, *, paths: bool) -> None:
    """`paths`: URLs with a token in their path are secrets too, as those of webhooks are. Those of a dependency may have long names."""
    if node.sort is Sort.MAP:
        for name, child in node.value.items():
            # A map under a key like `headers_env` holds names of variables, too.
            _refuse(child, key if key.endswith("_env") else name, problems, paths=paths)
        return
    if node.sort is Sort.LIST:
        for child in node.value:
            _refuse(child, key, problems, paths=paths)
        return
    if node.sort is not Sort.TEXT:
        return
    what, variable = shown(node.path), key if key.endswith("_env") else f"{key}_env"
    then = f"Put it into an environment variable, and write its name: {neutralise(variable[:60])}: NAME."
    if key == "run":
        then = "Put it into an environment variable that the command reads."
    if key.endswith("_env"):
        if not _VARIABLE.fullmatch(node.value):
            text = f"{what} has to be the name of an environment variable: letters, digits and underscore, no digit first."
            problems.add(node, text, next=then)
    elif _PASSWORD.search(node.value):
        problems.add(node, f"{what} holds a user or a password in a URL, and this file is no place for secrets.", next=then)
    elif _SECRET.fullmatch(key):
        problems.add(node, f"{what} is a secret, and this file is no place for secrets.", next=then)
    elif _secret_url(node.value, paths=paths):
        problems.add(node, f"{what} is a URL that lets in whoever knows it, and this file is no place for secrets.", next=then)


def _secret_url(text: str, *, paths: bool) -> bool:
    scheme, separator, rest = text.partition("://")
    if not separator or " " in scheme:
        return False
    if _QUERY.search(rest):
        return True
    _, _, path = rest.partition("/")
    return paths and any(_TOKEN.fullmatch(part) for part in re.split(r"[/?&=#]", path))


def check_named(node: Located, what: str, problems: Problems) -> None:
    """Note the keys of a group that can't be names."""
    for name, child in node.value.items() if node.sort is Sort.MAP else ():
        if not is_name(name):
            rule = "letters, digits, dot, dash and underscore, at most 64, a letter or digit at both ends."
            problems.add(child, f'"{shown(name)}" can\'t name {what}: {rule}', key=True)
