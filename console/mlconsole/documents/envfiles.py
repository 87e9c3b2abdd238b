"""Environment files (`RELEVANCE_DE_THRESHOLD=0.62`) → edits of a document: where people come from who have had no config documents.

What a name means is a proposal, for a person to look at before it is published. Every line is accounted for: it became an edit, says what
the document says already, or is listed with the reason why not. What looks like a secret is neither taken over nor repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mlconsole.core.configdiff import same
from mlconsole.core.documents import MOST_BYTES, Layout
from mlconsole.core.findings import Finding, Severity
from mlconsole.core.models import Json
from mlconsole.core.pointers import MISSING, get, join, parse, told
from mlconsole.documents.envlines import EnvLine, env_lines
from mlconsole.documents.envvalues import fitting, secret_name, secret_value

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\dA-Za-z_]+")
_MOST = 200
"""Findings; the rest is counted."""


@dataclass(frozen=True)
class Unplaced:
    """A name of the file that became no edit, and why. Its value is not repeated: nobody said that it may be shown."""

    name: str
    line: int
    why: str


@dataclass(frozen=True)
class EnvFile:
    """What an environment file would change in a document."""

    edits: Mapping[str, Json]
    """JSON pointer → new value."""
    findings: tuple[Finding, ...] = ()
    """`line` is that of the environment file, `pointer` that in the document."""
    unplaced: tuple[Unplaced, ...] = ()


def import_env(text: str, value: Json, layout: Layout, *, at: str = "", known: Mapping[str, Sequence[str]] | None = None) -> EnvFile:
    """What the lines of an environment file would change in a document with this value.

    A name is taken apart into words, and looked for in the document below `at`: `DELAY_RISK_EU_THRESHOLD` is `/delay-risk/EU/threshold`.
    The fields that the layout knows are found in entries that lack them, too, and in entries of the `known` models (model → values of its
    slice) that are not there yet. Numbers, flags and lists (by comma) are read as what stands there now.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return EnvFile({}, (Finding(Severity.STOP, "size", "The environment file is larger than 1 MB: nothing of it is taken over."),))
    importing = _Import(value, layout, at, known or {})
    for line in importing.counting(env_lines(text)):
        importing.take(line)
    return importing.result()


class _Import:
    """The lines of one file, as they find their places."""

    def __init__(self, value: Json, layout: Layout, at: str, known: Mapping[str, Sequence[str]]) -> None:
        self._value = value
        self._layout = layout
        self._at = at
        self._below = get(value, at)
        self._placed: dict[str, tuple[EnvLine, Json]] = {}
        self._findings: list[Finding] = []
        self._unplaced: list[Unplaced] = []
        self._entries: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for entry in _entry_pointers(value, layout, known):
            own = _words_of(entry.removeprefix(at))
            if (entry == at or entry.startswith(f"{at}/")) and own:
                self._entries.setdefault(own[0], []).append((own, entry))

    def counting(self, lines: Iterator[EnvLine]) -> list[EnvLine]:
        """The lines that count: those that can be read, and of a name that stands there twice the last one, as for a shell."""
        by_name: dict[str, EnvLine] = {}
        for line in lines:
            if line.problem:
                self._leave(line, line.problem, "syntax", Severity.STOP)
                continue
            earlier = by_name.pop(line.name, None)
            if earlier is not None:
                self._leave(earlier, f"it stands on line {line.line} again, and the last one counts", "duplicate")
            by_name[line.name] = line
        return list(by_name.values())

    def take(self, line: EnvLine) -> None:
        """Find the place of a line, or list it as not taken over."""
        if secret_name(line.name) or secret_value(line.text):
            why = "it looks like a secret, and secrets do not belong into a config document"
            self._leave(line, why, "secret", Severity.STOP)
            return
        found = self._meant(_words(line.name))
        if len(found) != 1:
            may_be = " or ".join(told(pointer) for pointer in found[:3])
            self._leave(line, f"it may mean {may_be}" if found else "nothing in the document is called so", "unplaced")
            return
        new, why = fitting(line.text, self._kind(found[0]))
        clash = next((one for one in self._placed if _overlap(one, found[0])), None)
        if why:
            self._leave(line, f"{told(found[0])} {why}", "value")
        elif clash is not None:
            self._leave(line, f"{self._placed[clash][0].name} on line {self._placed[clash][0].line} means {told(clash)}, too", "twice")
        else:
            self._placed[found[0]] = (line, new)
            if line.refers:
                written = f"{line.name} names another variable: {told(found[0])} gets its name as it is written, nothing is put in for it."
                self._findings.append(Finding(Severity.LOOK, "reference", written, found[0], line.line))

    def result(self) -> EnvFile:
        """What came of all lines. What is the same stays out of the edits; members of objects that are not there yet come with them."""
        edits: dict[str, Json] = {}
        unchanged = 0
        for pointer, (_, new) in self._placed.items():
            if same(get(self._value, pointer), new):
                unchanged += 1
                continue
            parts = parse(pointer)
            missing = next((count for count in range(1, len(parts)) if get(self._value, join(parts[:count])) is MISSING), len(parts))
            if missing == len(parts):
                edits[pointer] = new
                continue
            place = edits.setdefault(join(parts[:missing]), {})
            for part in parts[missing:-1]:
                place = place.setdefault(part, {})
            place[parts[-1]] = new
        findings = sorted(self._findings[:_MOST], key=lambda one: one.line or 0)
        if len(self._findings) > _MOST:
            findings.append(Finding(Severity.LOOK, "more", f"There are {len(self._findings) - _MOST} more of the file's lines to look at."))
        if unchanged:
            findings.append(Finding(Severity.OK, "same", f"{unchanged} of the file's values stand in the document already."))
        return EnvFile(edits, tuple(findings), tuple(sorted(self._unplaced, key=lambda one: one.line)))

    def _leave(self, line: EnvLine, why: str, rule: str, severity: Severity = Severity.LOOK) -> None:
        self._unplaced.append(Unplaced(line.name, line.line, why))
        told_so = f"{line.name} is not taken over: {why}." if line.name else f"{why[:1].upper()}{why[1:]}: it is not taken over."
        self._findings.append(Finding(severity, rule, told_so, line=line.line))

    def _meant(self, words: tuple[str, ...]) -> list[str]:
        """The pointers that a name may mean: of what is there, else of the fields that the layout knows."""
        if not words or self._below is MISSING:
            return []
        there = [self._at + pointer for pointer in _paths(self._below, words)]
        if there:
            return list(dict.fromkeys(there))
        layout = self._layout
        fields = [one for one in (layout.endpoint, layout.share, layout.split, layout.fields, layout.threshold) if one]
        entries = [(own, entry) for own, entry in self._entries.get(words[0], ()) if words[: len(own)] == own]
        return list(dict.fromkeys(entry + one for own, entry in entries for one in fields if _words_of(one) == words[len(own) :]))

    def _kind(self, pointer: str) -> Json:
        """A value of the kind that belongs at a pointer: what stands there now, else what the layout says of that field; MISSING: any."""
        now = get(self._value, pointer)
        if now is not MISSING and now is not None:
            return now
        layout = self._layout
        kinds: tuple[tuple[str, Json], ...] = (
            (layout.endpoint, ""),
            (layout.share, 0),
            (layout.split, {}),
            (layout.fields, []),
            (layout.threshold, 0.0),
        )
        return next((kind for ending, kind in kinds if ending and pointer.endswith(ending)), MISSING)


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    """A name as words, in whichever way it parts them: `delay-risk`, `DELAY_RISK` and `delayRisk` are the same."""
    return tuple(word.casefold() for word in _WORD.findall(name))


def _words_of(pointer: str) -> tuple[str, ...]:
    return tuple(word for part in parse(pointer) for word in _words(part))


def _paths(value: Json, words: tuple[str, ...]) -> Iterator[str]:
    """The pointers inside a value whose names are these words, one after the other."""
    if not words:
        yield ""
    elif isinstance(value, Mapping):
        for name, member in value.items():
            own = _words(name)
            if own and words[: len(own)] == own:
                yield from (join([name]) + rest for rest in _paths(member, words[len(own) :]))


def _entry_pointers(value: Json, layout: Layout, known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Where entries stand, or would stand, by the layout."""
    before, _, after = layout.entries.partition("/{model}")
    inside = get(value, before, {})
    models = inside if isinstance(inside, Mapping) else {}
    for model in dict.fromkeys([*models, *known]):
        outer = before + join([model])
        middle, by_slice, end = after.partition("/{slice}")
        if not by_slice:
            yield outer + after
            continue
        there = get(value, outer + middle, {})
        slices = there if isinstance(there, Mapping) else {}
        for slice_ in dict.fromkeys([*slices, *known.get(model, ())]):
            yield outer + middle + join([slice_]) + end


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
