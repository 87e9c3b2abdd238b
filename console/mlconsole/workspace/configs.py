"""The config documents that mlconsole.yaml declares: where one begins, how applications read it, and who else checks it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlconsole.core.documents import Format, Layout
from mlconsole.plugin.validation import Located, Problems, shown

_FORMATS = {".json": Format.JSON, ".yaml": Format.YAML, ".yml": Format.YAML}

_POINTERS = ("endpoint", "share", "split", "fields", "threshold")


@dataclass(frozen=True)
class ValidatorSettings:
    """A check of the team's own: it either runs a command, or calls a function of an installed plugin."""

    run: tuple[str, ...] | None = None
    """The command and its arguments, `{python}` standing for our own Python; in the workspace's folder, never through a shell."""
    call: str | None = None
    """`package.module:function`."""
    time_limit: float = 10.0

    @property
    def name(self) -> str:
        """How it is called in findings."""
        return self.call or " ".join(self.run or ())


@dataclass(frozen=True)
class ConfigSettings:
    """One config document as the file says it (absolute paths)."""

    name: str
    file: Path
    """What it begins with."""
    format: Format
    schema: Path | None
    layout: Layout
    policy: str
    """The policy that its rollouts grow by."""
    before_traffic: bool = True
    """In a change that carries model, config and traffic: the config is published before requests go elsewhere."""
    validators: tuple[ValidatorSettings, ...] = ()
    description: str = ""
    node: Located | None = field(default=None, repr=False, compare=False)


def build_configs(
    given: Mapping[str, Any], node: Located, root: Path, models: Collection[str], policies: Collection[str], problems: Problems
) -> dict[str, ConfigSettings]:
    """The config documents of a workspace."""
    return {name: _config(name, one, node.at("configs", name), root, models, policies, problems) for name, one in given.items()}


def _config(
    name: str,
    given: Mapping[str, Any],
    here: Located,
    root: Path,
    models: Collection[str],
    policies: Collection[str],
    problems: Problems,
) -> ConfigSettings:
    file = root / str(given["file"])
    if file.suffix not in _FORMATS:
        problems.add(here.at("file"), f"{shown(here.path)}.file has to end in {', '.join(_FORMATS)}: that says how it is written.")
    if given["policy"] not in policies:
        problems.add(here.at("policy"), f'there is no policy "{shown(given["policy"])}".', meant=given["policy"], known=policies)
    for model in given["slices"]:
        if model not in models:
            problems.add(here.at("slices"), f'slices: there is no model "{shown(model)}".', meant=model, known=models)
    entries = given["entries"]
    if not re.fullmatch(r"(/[^/]+)*", entries) or entries.count("{model}") != 1 or entries.count("{slice}") > 1:
        text = f"{shown(here.path)}.entries is a JSON pointer with {{model}} in it once, and {{slice}} at most once."
        problems.add(here.at("entries"), text, next="As in entries: /{model}/{slice}")
    fields = given["fields"] or {}
    for pointer in _POINTERS:
        value = fields.get(pointer)
        if value and not value.startswith("/"):
            problems.add(here.at("fields", pointer), f"{shown(here.path)}.fields.{pointer} is a JSON pointer inside an entry: /{value}")
    layout = Layout(
        entries=entries,
        slices=tuple(given["slices"].items()),
        differ=tuple(given["differ"]),
        **{pointer: fields[pointer] for pointer in _POINTERS if fields.get(pointer) is not None},
    )
    return ConfigSettings(
        name,
        file,
        _FORMATS.get(file.suffix, Format.JSON),
        root / given["schema"] if given["schema"] else None,
        layout,
        given["policy"],
        given["order"] == "before",
        tuple(_validator(one, here.at("validators", place), problems) for place, one in enumerate(given["validators"])),
        given["description"],
        here,
    )


def _validator(given: Mapping[str, Any], here: Located, problems: Problems) -> ValidatorSettings:
    run, call = given["run"], given["call"]
    if bool(run) == bool(call):
        problems.add(here, f"{shown(here.path)} runs a command or calls a function: run: or call:, one of the two.", key=True)
    if call and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", call):
        problems.add(here.at("call"), f"{shown(here.path)}.call is written package.module:function.")
    return ValidatorSettings(tuple(run) if run else None, call, given["time_limit"])
