"""A workspace of what a backend has already: looked at through a plugin's discovery, written so that a person can read and change it."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.documents import Layout
from mlconsole.core.text import did_you_mean, is_name, neutralise
from mlconsole.engine.calls import Calls
from mlconsole.plugin.errors import InvalidFile, MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.core.clock import Clock
    from mlconsole.core.models import Json
    from mlconsole.plugin.discovering import Found, FoundDocument, FoundEnvironment

_PATIENCE = 300.0
"""Seconds that looking may take: hundreds of endpoints are described one by one."""
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:@+-]*[A-Za-z0-9_/+-]|[A-Za-z_]")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_WIDE = 100
_FIELDS = {"endpoint": "/endpoint", "share": "/share", "split": "/split", "fields": "/fields", "threshold": "/threshold"}


@dataclass(frozen=True)
class Sketch:
    """A workspace that is not written yet: the text of its file, and the documents beside it."""

    found: Found
    text: str
    files: Mapping[str, bytes]


def sketch(plugin: str, folder: Path, said: Mapping[str, Json], *, environment: str = "", clock: Clock | None = None) -> Sketch:
    """Look through a plugin's eyes; nothing is written. `said`: the plugin's options that are known already.

    Raises:
        UsageError: there is no such plugin, or it can't discover.
        AuthFailed, Refused, Unavailable: what the backend says.
    """
    from mlconsole.core.clock import SystemClock
    from mlconsole.plugin import Context, loading

    loaded = loading.load(plugin)
    if "discovery" not in loaded.factories:
        able = [one.name for one in loading.load_all()[0] if "discovery" in one.factories]
        raise UsageError(f"The plugin {plugin} can't tell what is there. {did_you_mean(plugin, able)}", next="mlconsole init DIR")
    named = environment if is_name(environment) else ""
    with tempfile.TemporaryDirectory(prefix="mlconsole-") as state:  # there is no workspace yet that it could lie in
        context = Context(named, folder.absolute(), Path(state), said, clock or SystemClock())
        discovery = loaded.factories["discovery"](context)
        found: Found = Calls(plugin).ask("looking at what is there", discovery.found, deadline=_PATIENCE)
    files = {f"config/{one.name}{one.suffix}": one.body for one in found.documents}
    return Sketch(found, written(plugin, found, _name(folder)), files)


def create(folder: Path, made: Sketch) -> None:
    """Write it, whole or not at all.

    Raises:
        UsageError: it would overwrite something.
        InvalidFile: what was found can't be told in mlconsole.yaml; nothing is left of it.
    """
    from mlconsole.engine.starting import free, unwritable
    from mlconsole.plugin import loading
    from mlconsole.workspace import load, options_for

    free(str(folder), sample=False)
    for name in made.files:
        if (folder / name).exists():
            raise UsageError(f"{folder / name} is there already; nothing was made.", next="Choose another folder, or move it away.")
    with _or_nothing(folder, made):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, body in made.files.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(body)
            (folder / "mlconsole.yaml").write_text(made.text, encoding="utf-8")
        except OSError as error:
            raise unwritable(folder, error) from error
        workspace = load(folder / "mlconsole.yaml")
        for environment in workspace.environments.values():
            for name in dict.fromkeys(environment.roles.values()):
                options_for(environment, loading.load(name))


@contextmanager
def _or_nothing(folder: Path, made: Sketch) -> Iterator[None]:
    """What was begun is taken away when it can't be finished; what was there before stays."""
    before = {one for one in (folder, folder / "config") if one.exists()}
    try:
        yield
    except BaseException as error:
        for name in ("mlconsole.yaml", *made.files):
            (folder / name).unlink(missing_ok=True)
        for one in (folder / "config", folder):
            if one not in before:
                shutil.rmtree(one, ignore_errors=True)
        if isinstance(error, InvalidFile):
            raise MLConsoleError(f"What was found makes no workspace: {error.message} Nothing was made.", next=error.next) from error
        raise


def written(plugin: str, found: Found, name: str) -> str:
    """The text of mlconsole.yaml: what is needed, said in the order in which a person asks."""
    lines = [
        f"# Made by mlconsole init --from {plugin} of what was found in {_comment(found.place)}.",
        "# It is yours now: change it as you like. Its state lies beside this file in .mlconsole/.",
        f"workspace: {_scalar(name)}",
        f"default_environment: {_scalar(_default(found))}",
        "",
        "environments:",
    ]
    for environment in found.environments:
        lines += [*_environment(plugin, environment), ""]
    models = dict.fromkeys(one.model for environment in found.environments for one in environment.endpoints)
    if models:
        lines += ["models:                    # add golden queries, which gate a deployment: {golden: golden/NAME.jsonl}"]
        lines += [f"  {_scalar(model)}: {{}}" for model in models]
        lines.append("")
    endpoints = {one.name: one for environment in found.environments for one in environment.endpoints}
    if endpoints:
        lines.append("endpoints:")
        for one in endpoints.values():
            told = f"only to look at: {one.read_only}" if one.read_only else one.told
            lines.append(f"  {_scalar(one.name)}: {{model: {_scalar(one.model)}}}".ljust(44) + (f"  # {_comment(told)}" if told else ""))
        lines.append("")
    if found.documents:
        lines.append("configs:")
        for document in found.documents:
            lines += _document(document)
        lines.append("")
    if found.remarks:
        lines += ["# Seen, and not taken or not clear:", *(f"# - {_comment(one)}" for one in found.remarks), ""]
    return "\n".join(lines)


def _environment(plugin: str, one: FoundEnvironment) -> Iterator[str]:
    yield f"  {_scalar(one.name)}:" + (f"  # {_comment(one.about)}" if one.about else "")
    yield f"    production: {'true' if one.production else 'false'}".ljust(36) + "  # whether going forward wants names typed"
    for role in one.roles:
        yield f"    {role}: {plugin}".ljust(36) + f"  # {_comment(one.comments[role])}" if role in one.comments else f"    {role}: {plugin}"
    if one.traffic_in is not None:
        yield f"    traffic_in: {_scalar(one.traffic_in)}".ljust(36) + "  # applications read in it who gets which share"
    yield "    options:"
    yield f"      {plugin}:"
    yield from _options(one.options, "        ", "", one.comments)


def _options(options: Mapping[str, Json], indent: str, path: str, comments: Mapping[str, str]) -> Iterator[str]:
    for key, value in options.items():
        here = f"{path}{key}"
        said = f"  # {_comment(comments[here])}" if here in comments else ""
        if said and (isinstance(value, Mapping) or len(indent) + len(key) + len(_flow(value)) + len(said) > _WIDE):
            yield f"{indent}{said.strip()}"
            said = ""
        if not isinstance(value, Mapping) or (path and _short(value)):
            yield f"{indent}{_scalar(key)}: {_flow(value)}{said}"
        else:
            yield f"{indent}{_scalar(key)}:{said}"
            yield from _options(value, f"{indent}  ", f"{here}.", comments)


def _short(value: Mapping[str, Json]) -> bool:
    return not any(isinstance(inside, Mapping) for inside in value.values()) and len(_flow(value)) < _WIDE


def _document(one: FoundDocument) -> Iterator[str]:
    yield f"  {_scalar(one.name)}:"
    yield f"    file: config/{one.name}{one.suffix}"
    if one.layout is None:
        yield f"    # Say where an entry stands in it, for it could not be told: {_comment(one.why)}"
        yield '    # entries: "/{model}/{slice}"'
        yield "    # fields: {split: /split, endpoint: /endpoint, share: /share}"
        return
    yield f"    entries: {json.dumps(one.layout.entries)}".ljust(44) + "  # where an entry stands"
    if one.layout.slices:
        yield f"    slices: {_flow(dict(one.layout.slices))}"
    fields = _fields(one.layout)
    if fields:
        yield f"    fields: {_flow(fields)}"


def _fields(layout: Layout) -> dict[str, str]:
    """What stands elsewhere than where it is looked for anyway."""
    return {name: value for name, usual in _FIELDS.items() if (value := str(getattr(layout, name))) != usual}


def _default(found: Found) -> str:
    """The environment that is meant when none is named: rather one that nobody depends on."""
    return min(found.environments, key=lambda one: one.production).name


def _name(folder: Path) -> str:
    letters = "".join(char if char.isascii() and char.isalnum() else "-" for char in folder.resolve().name)[:64]
    return letters.strip("-") or "workspace"


def _flow(value: Json) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inside)}" for key, inside in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return _scalar(value)


def _scalar(value: Json) -> str:
    """A value in YAML, plain where nobody could read it otherwise."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.casefold() not in _WORDS:
        return value
    return json.dumps(value)


def _comment(text: str) -> str:
    return neutralise(" ".join(text.split()))


def tells(made: Sketch) -> Iterator[str]:
    """What was found, in a few lines."""
    for environment in made.found.environments:
        changeable = [one for one in environment.endpoints if not one.read_only]
        rest = len(environment.endpoints) - len(changeable)
        held = f", shares in config {environment.traffic_in}" if environment.traffic_in else ""
        looked = f", {rest} more only to look at" if rest else ""
        yield f"{environment.name}: {_count(len(changeable), 'endpoint')}{held}{looked} · {environment.about}"
    for document in made.found.documents:
        yield f"config {document.name}: " + (f"entries at {document.layout.entries}" if document.layout else f"look at it: {document.why}")
    yield from made.found.remarks


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
