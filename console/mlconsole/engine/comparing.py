"""Two versions beside each other, judged where a judgement is possible. Standard library only: a screen asks this at each cursor move."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from mlconsole.core.evaluation import Compared, Figure, figure, figures, lower_is_better, metric_label
from mlconsole.core.models import UNKNOWN
from mlconsole.engine.views import VersionView


class Judgement(StrEnum):
    """What a line says of the new version. What a person has to weigh is LOOK; nothing here stops a deployment."""

    BETTER = "better"
    WORSE = "worse"
    LOOK = "look"
    WELL = "well"
    NONE = ""


@dataclass(frozen=True)
class Beside:
    """One line: what, in the one that is there, in the one looked at, their difference, and what follows from it."""

    what: str
    one: str
    other: str
    difference: str = ""
    judgement: Judgement = Judgement.NONE
    why: str = ""


def beside(one: VersionView, other: VersionView, slice_value: str = "") -> list[Beside]:
    """`other` beside `one`; with a slice's value only the figures of that slice."""
    return [
        *_figures(one, other, slice_value),
        _evaluation(one, other),
        *_signatures(one, other),
        _slices(one, other),
        _code(one, other),
        _data(one, other),
        _bytes(one, other),
        _told("preprocessing", one.preprocessing, other.preprocessing, "prepared otherwise: the same request may mean another"),
        _told("threshold", _number(one.threshold), _number(other.threshold), "it says yes from another score"),
        *_pairs("", one.parameters, other.parameters),
        *_pairs("needs ", _pins(one.dependencies), _pins(other.dependencies)),
    ]


def short_label(name: str) -> str:
    """The same where there is little room: `accuracy/de` is `acc. de`."""
    whole, _, part = name.partition("/")
    label = whole.upper() if len(whole) <= 3 else whole if len(whole) <= 5 else f"{whole[:3]}."
    return f"{label} {part}" if part else label


def headline(version: VersionView, slice_value: str = "") -> tuple[str, float] | None:
    """The first metric, of that slice when one is asked for; None when it has no such figure."""
    name = next((name for name in version.metrics if "/" not in name), None) or next(iter(version.metrics), None)
    if name is None:
        return None
    wanted = f"{name.partition('/')[0]}/{slice_value}" if slice_value else name
    return (wanted, version.metrics[wanted]) if wanted in version.metrics else None


def size_text(count: int) -> str:
    """Bytes for people."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1024:.0f} KB" if count >= 1024 else f"{count} B"


def commit_text(version: VersionView) -> str:
    """The commit in seven characters, a mark when there was more than it."""
    if not version.commit:
        return "unknown"
    return version.commit[:7] + (" dirty" if version.dirty else "")


def _figures(one: VersionView, other: VersionView, slice_value: str) -> list[Beside]:
    if UNKNOWN in (one.evaluation_set, other.evaluation_set):
        return [Beside("metrics", "", "", "", Judgement.LOOK, "they do not compare: what one was measured on is not known")]
    if one.evaluation_set != other.evaluation_set:
        return [Beside("metrics", "", "", "", Judgement.LOOK, "they do not compare: measured on different evaluation sets")]
    found = [line for line in figures(one.metrics, other.metrics) if not slice_value or line.name.partition("/")[2] == slice_value]
    if not found:
        return [Beside("metrics", "", "", "", Judgement.NONE, f"none of {slice_value}" if slice_value else "none")]
    return [_figure_line(line) for line in found]


_JUDGED = {
    Compared.BETTER: Judgement.BETTER,
    Compared.WORSE: Judgement.WORSE,
    Compared.SAME: Judgement.WELL,
    Compared.ONLY_ONE: Judgement.NONE,
    Compared.UNCLEAR: Judgement.LOOK,
}


def _figure_line(line: Figure) -> Beside:
    told = line.compared
    difference, less = "", ""
    if told in (Compared.BETTER, Compared.WORSE):
        rise = (line.new or 0.0) - (line.old or 0.0)
        difference = ("+" if rise > 0 else "−") + figure(abs(rise))
        less = " (less is better)" if lower_is_better(line.name) else ""
    return Beside(metric_label(line.name), figure(line.old), figure(line.new), difference, _JUDGED[told], str(told) + less)


def _evaluation(one: VersionView, other: VersionView) -> Beside:
    texts = (_short(one.evaluation_set, 6), _short(other.evaluation_set, 6))
    if UNKNOWN in (one.evaluation_set, other.evaluation_set):
        return Beside("evaluation set", *texts, "", Judgement.LOOK, "not known of one of them")
    if one.evaluation_set == other.evaluation_set:
        return Beside("evaluation set", *texts, "", Judgement.WELL, "the same set, so the figures compare")
    return Beside("evaluation set", *texts, "", Judgement.LOOK, "another set")


def _signatures(one: VersionView, other: VersionView) -> list[Beside]:
    if not all(version.inputs or version.outputs for version in (one, other)):  # it was found running, and nobody wrote that down
        sides = (("fields it reads", one.inputs, other.inputs), ("what it gives", one.outputs, other.outputs))
        return [Beside(what, _names(mine), _names(yours), "", Judgement.LOOK, "not known of one of them") for what, mine, yours in sides]
    return [
        _fields("fields it reads", one.inputs, other.inputs, more="callers have to send"),
        _fields("what it gives", one.outputs, other.outputs, less="callers lose"),
    ]


def _fields(what: str, one: tuple[str, ...], other: tuple[str, ...], *, more: str = "more:", less: str = "no longer") -> Beside:
    names = (_names(one), _names(other))
    if set(one) == set(other):
        return Beside(what, *names, "", Judgement.WELL, "the same")
    before, after = (dict(field.partition(" ")[::2] for field in fields) for fields in (one, other))
    told = []
    if new := [name for name in after if name not in before]:
        told.append(f"{more} {', '.join(new)}")
    if gone := [name for name in before if name not in after]:
        told.append(f"{less} {', '.join(gone)}")
    told += [f"{name} is {after[name]}, was {kind}" for name, kind in before.items() if after.get(name, kind) != kind]
    return Beside(what, *names, "", Judgement.LOOK, "; ".join(told))


def _slices(one: VersionView, other: VersionView) -> Beside:
    before, after = ([value for values in version.slices.values() for value in values] for version in (one, other))
    texts = (" ".join(before) or "none", " ".join(after) or "none")
    if missing := [value for value in before if value not in after]:
        return Beside("slices", *texts, "", Judgement.LOOK, f"does not know {', '.join(missing)}")
    more = [value for value in after if value not in before]
    return Beside("slices", *texts, "", Judgement.WELL, f"{', '.join(more)} too" if more else "the same")


def _code(one: VersionView, other: VersionView) -> Beside:
    texts = (commit_text(one), commit_text(other))
    if other.dirty:
        return Beside("code", *texts, "", Judgement.LOOK, "made from what was not committed")
    if not other.commit:
        return Beside("code", *texts, "", Judgement.LOOK, "from an unknown commit")
    return Beside("code", *texts, "", Judgement.WELL, "the same commit" if one.commit == other.commit else "committed")


def _data(one: VersionView, other: VersionView) -> Beside:
    texts = (one.data_cutoff, other.data_cutoff)
    try:
        days = (date.fromisoformat(other.data_cutoff[:10]) - date.fromisoformat(one.data_cutoff[:10])).days
    except ValueError:
        return Beside("data until", *texts)
    if days < 0:
        return Beside("data until", *texts, "", Judgement.LOOK, f"{-days} days older")
    return Beside("data until", *texts, "", Judgement.WELL, f"{days} days fresher" if days else "the same day")


def _bytes(one: VersionView, other: VersionView) -> Beside:
    texts = (f"{size_text(one.size)} {_short(one.digest, 7)}", f"{size_text(other.size)} {_short(other.digest, 7)}")
    if one.digest == other.digest:
        return Beside("size, digest", *texts, "", Judgement.LOOK, "the very same bytes")
    factor = other.size / one.size if one.size else 0.0
    why = f"{factor:.1f} times as large; " if factor >= 1.5 else ""
    return Beside("size, digest", *texts, "", Judgement.NONE, f"{why}the plan checks the bytes")


def _told(what: str, one: str, other: str, why: str) -> Beside:
    same = one == other
    return Beside(what, one, other, "", Judgement.WELL if same else Judgement.LOOK, "the same" if same else why)


def _pairs(prefix: str, one: Mapping[str, str], other: Mapping[str, str]) -> list[Beside]:
    names = dict.fromkeys([*one, *other])
    return [Beside(f"{prefix}{name}", one.get(name, "–"), other.get(name, "–")) for name in names if one.get(name) != other.get(name)]


def _pins(dependencies: Iterable[str]) -> dict[str, str]:
    return {name: version or "any" for name, _, version in (pin.partition("==") for pin in dependencies)}


def _short(digest: str, count: int) -> str:
    """The first digits of a hash; what is no hash stays as it is named."""
    return digest.removeprefix("sha256:")[:count] if re.fullmatch(r"(sha256:)?[0-9a-f]{12,}", digest) else digest[:16]


def _names(fields: Iterable[str]) -> str:
    return ", ".join(field.partition(" ")[0] for field in fields)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


__all__ = [
    "Beside",
    "Judgement",
    "beside",
    "commit_text",
    "figure",
    "headline",
    "lower_is_better",
    "metric_label",
    "short_label",
    "size_text",
]
