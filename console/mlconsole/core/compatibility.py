"""Compatibility: which config versions and which code a model version says it works with, and whether a pair is known not to work.

A model version declares it in its metadata:

    works_with:
      config: {models: ">=112"}      # also "112-120", "112, 115", "<=120", 112
      code: ["4f2c91a", "b81e"]      # commits, or what they begin with

What is not declared is not known, and nothing is refused for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlconsole.core.errors import UsageError
from mlconsole.core.models import Json
from mlconsole.core.text import did_you_mean, neutralise

_RANGE = re.compile(r"(?:(?P<sign>>=|<=|>|<)\s*(?P<border>\d{1,9})|(?P<low>\d{1,9})(?:\s*[-–]\s*(?P<high>\d{1,9}))?)")
_COMMIT = re.compile(r"[0-9a-f]{4,64}")
_HOW = 'Write it like ">=112", "112-120" or "112, 115".'
_SHORTEST = 7
"""An abbreviated commit may be compared with a longer one from so many digits on."""


@dataclass(frozen=True)
class Versions:
    """Which versions of a document: ranges of numbers, both ends included; None: no end."""

    ranges: tuple[tuple[int, int | None], ...]
    text: str
    """As it was declared."""

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(low <= number and (high is None or number <= high) for low, high in self.ranges)


@dataclass(frozen=True)
class WorksWith:
    """What a model version declares."""

    config: Mapping[str, Versions] = field(default_factory=dict)
    """Document → its versions; a document that is not named may have any."""
    code: tuple[str, ...] = ()
    """Commits, or what they begin with; none: any code."""

    @property
    def says_something(self) -> bool:
        """Whether it declares anything."""
        return bool(self.config or self.code)


@dataclass(frozen=True)
class Compatibility:
    """Whether a model version, the config versions and the code work together. `ok` None: a declaration is there, and what it is about is
    not known."""

    ok: bool | None
    text: str
    document: str = ""
    """The document that does not fit; empty: none, or it is the code."""
    next: str = ""
    """What would work."""


def works_with(declared: Json) -> WorksWith:
    """What `works_with` in a version's metadata says; None: nothing.

    Raises:
        UsageError: it is not as it has to be, with what is.
    """
    if declared is None:
        return WorksWith()
    if not isinstance(declared, Mapping):
        raise UsageError(
            f"works_with is {_shown(declared)}: config and code are wanted in it.", next='As in works_with: {config: {models: ">=112"}}'
        )
    for key in declared:
        if key not in ("config", "code"):
            raise UsageError(f"works_with has no {_shown(key)}. {did_you_mean(str(key)[:64], ('config', 'code'))}")
    config, code = declared.get("config"), declared.get("code")
    if config is not None and not isinstance(config, Mapping):
        raise UsageError(
            f"works_with.config is {_shown(config)}: each config document is named in it.", next='As in config: {models: ">=112"}'
        )
    return WorksWith(
        {str(document): parse_versions(one, f"works_with.config.{neutralise(str(document))}") for document, one in (config or {}).items()},
        _commits(code),
    )


def parse_versions(declared: Json, what: str = "The range") -> Versions:
    """Ranges of version numbers, separated by commas; each part alone is enough.

    Raises:
        UsageError: one is none, it holds nothing, or all numbers.
    """
    if isinstance(declared, list | tuple):
        parts = [str(one) for one in declared]
    elif isinstance(declared, str) or (isinstance(declared, int) and not isinstance(declared, bool)):
        parts = str(declared).split(",")
    else:
        raise UsageError(f"{what} is {_shown(declared)}: version numbers are wanted.", next=_HOW)
    text = ", ".join(part.strip() for part in parts)
    ranges = tuple(_range(part.strip(), text, what) for part in parts)
    if len(ranges) > 1 and _everything(ranges):
        raise UsageError(f'{what} is "{neutralise(text)}": each part alone is enough, so that every version fits.', next=_HOW)
    return Versions(ranges, text)


def compatible(declared: WorksWith, config: Mapping[str, int | None], code: str | None, *, model: str = "it") -> Compatibility:
    """Whether a model version works with these config versions (document → number; None: nothing is published) and this code (its commit).

    `model` is what the version is called: `relevance@7`.
    """
    unknown = ""
    for document, versions in declared.config.items():
        number = config.get(document)
        if number is None:
            there = "has no published version" if document in config else "is not known here"
            unknown = unknown or f"{model} works with config {_name(document)} {versions.text}, and that {there}"
        elif number not in versions:
            text = f"{model} does not work with config {_name(document)} {number}: it declares {versions.text}"
            return Compatibility(False, text, document)
    if declared.code and code is None:
        unknown = unknown or f"{model} works with the code {', '.join(declared.code)} only, and which code runs is not known"
    elif declared.code and code is not None and not any(_same_commit(one, code) for one in declared.code):
        return Compatibility(False, f"{model} does not work with the code {neutralise(code[:12])}: it declares {', '.join(declared.code)}")
    if unknown:
        return Compatibility(None, unknown)
    return Compatibility(True, "works with what is live" if declared.says_something else "declares nothing")


def nearest_config(versions: Versions, available: Iterable[int], wanted: int) -> int | None:
    """The available config version nearest to the wanted one that fits, the newer of two; None: none does."""
    fitting = [number for number in available if number in versions]
    return min(fitting, key=lambda number: (abs(number - wanted), -number), default=None)


def nearest_model(
    declared: Mapping[str, WorksWith], order: Sequence[str], config: Mapping[str, int | None], code: str | None, wanted: str
) -> str | None:
    """The model version nearest to the wanted one that is not known not to work, the newer of two; None: there is none.

    `order`: all versions, oldest first. One that declares that it works comes before those that declare nothing: they may well not work.
    """
    middle = order.index(wanted) if wanted in order else len(order)
    found = []
    for place, version in enumerate(order):
        mine = declared.get(version, WorksWith())
        ok = compatible(mine, config, code).ok
        if version != wanted and ok is not False:
            found.append((not (ok and mine.says_something), abs(place - middle), -place, version))
    return min(found)[-1] if found else None


def judge(
    declared: Mapping[str, WorksWith],
    order: Sequence[str],
    version: str,
    config: Mapping[str, int | None],
    code: str | None,
    *,
    model: str,
    available: Mapping[str, Iterable[int]] | None = None,
) -> Compatibility:
    """Whether a model version may go live (or back) beside these config versions and this code, and where not, the nearest that does.

    `declared` is version → declaration, `order` all versions of the model, oldest first, `available` document → its versions.
    """
    mine = declared.get(version, WorksWith())
    found = compatible(mine, config, code, model=f"{model}@{version}")
    if found.ok is not False:
        return found
    told = []
    number = config.get(found.document) if found.document else None
    if found.document and number is not None:
        near = nearest_config(mine.config[found.document], (available or {}).get(found.document, ()), number)
        told.append(
            f"config {_name(found.document)} {near} works with it"
            if near is not None
            else f"no version of config {_name(found.document)} does"
        )
    other = nearest_model(declared, order, config, code, version)
    if other is None:
        told.append(f"no other version of {model} does")
    else:
        says = "works with what is live" if declared.get(other, WorksWith()).says_something else "declares nothing"
        told.append(f"{model}@{other} {says}")
    return Compatibility(False, found.text, found.document, f"The nearest: {'; '.join(told)}.")


def _range(part: str, text: str, what: str) -> tuple[int, int | None]:
    found = _RANGE.fullmatch(part)
    if found is None:
        hint = ' Each part alone is enough: a range is written "112-120".' if re.fullmatch(r"[<>=\d\s]+", part) else ""
        raise UsageError(f'{what} is "{neutralise(text)[:60]}", and "{neutralise(part)[:40]}" is no range of versions.{hint}', next=_HOW)
    if found["sign"]:
        border = int(found["border"])
        low, high = {">=": (border, None), ">": (border + 1, None), "<=": (1, border), "<": (1, border - 1)}[found["sign"]]
    else:
        low = int(found["low"])
        high = int(found["high"]) if found["high"] else low
    if high is not None and high < max(low, 1):
        raise UsageError(f'{what} is "{neutralise(text)[:60]}", and in "{neutralise(part)}" there is no version at all.', next=_HOW)
    return low, high


def _everything(ranges: Iterable[tuple[int, int | None]]) -> bool:
    reached = 0
    for low, high in sorted(ranges, key=lambda one: one[0]):
        if low > reached + 1:
            return False
        if high is None:
            return True
        reached = max(reached, high)
    return False


def _commits(code: Json) -> tuple[str, ...]:
    if code is None:
        return ()
    listed = [code] if isinstance(code, str) else code
    if not isinstance(listed, list | tuple):
        raise UsageError(f"works_with.code is {_shown(code)}: a list of commits is wanted.", next='As in code: ["4f2c91a"]')
    for one in listed:
        if not isinstance(one, str):
            raise UsageError(f"works_with.code has {_shown(one)} in it, which is no text.", next='Put commits in quotes: code: ["1234567"]')
        if not _COMMIT.fullmatch(one.lower()):
            raise UsageError(
                f'works_with.code has "{neutralise(one)[:60]}" in it: a commit, or its first 4 or more hexadecimal digits, is wanted.'
            )
    return tuple(one.lower() for one in listed)


def _same_commit(declared: str, code: str) -> bool:
    code = code.lower()
    return code.startswith(declared) or (len(code) >= _SHORTEST and declared.startswith(code))


def _name(name: str) -> str:
    return neutralise(name)


def _shown(value: Json) -> str:
    text = neutralise(str(value))
    return f'"{text[:40]}"'
