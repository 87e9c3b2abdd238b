"""Versions in words: what one is here, what deploying it would do, how it stands beside another. Models puts these into its panes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlconsole.core.models import variant_name
from mlconsole.core.text import duration
from mlconsole.core.traffic import percent
from mlconsole.engine.comparing import Beside, Judgement, beside, commit_text, figure, headline, lower_is_better, short_label
from mlconsole.engine.views import EndpointView, Snapshot, VersionView
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.screens.endpoints import wrapped
from mlconsole.tui.signs import BOLD, CYAN, DIM, GREEN, YELLOW, Signs
from mlconsole.tui.table import Row

_STYLES = {"live": BOLD, "canary": CYAN, "retired": DIM, "standing by": "", "candidate": ""}
_SIGNS = {
    Judgement.BETTER: ("ok", GREEN),
    Judgement.WELL: ("ok", GREEN),
    Judgement.WORSE: ("look", YELLOW),
    Judgement.LOOK: ("look", YELLOW),
}
_PHONE = 46


@dataclass
class Shelf:
    """All versions of a snapshot, found by name and by model without looking through ten thousand of them."""

    environment: str
    at: datetime
    """By which ages are told; it moves on while all else stays."""
    by_name: dict[str, VersionView] = field(default_factory=dict)
    of_model: dict[str, list[VersionView]] = field(default_factory=dict)
    """Newest first."""
    live: dict[str, str] = field(default_factory=dict)
    """Endpoint → the version with the greatest share there: what people mean by *live*."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Shelf:
        """The versions of a snapshot."""
        shelf = cls(snapshot.status.environment, snapshot.status.at, live=leading_versions(snapshot))
        for one in reversed(snapshot.versions):
            shelf.of_model.setdefault(one.model, []).append(one)
            shelf.by_name[one.name] = one
        return shelf

    def state(self, version: VersionView) -> str:
        """What a version is in this environment, in one word."""
        share = version.runs_in.get(self.environment)
        if share is not None:
            # More than one endpoint may have the model: live behind any of them is live.
            return "live" if version.name in self.live.values() else "canary" if share else "standing by"
        return "retired" if version.ran and not version.runs_in else "candidate"

    def live_one(self, version: VersionView) -> VersionView | None:
        """The live version behind the endpoint of a version's model."""
        found = self.by_name.get(self.live.get(version.endpoint, ""))
        return found if found is not None and found.model == version.model else None

    def other_than(self, version: VersionView, marked: Sequence[str]) -> VersionView | None:
        """What a version is shown beside: the marked one, else the live one, else the one before it (after it, if it is the first)."""
        siblings = self.of_model.get(version.model, [])
        place = next((index for index, one in enumerate(siblings) if one.name == version.name), 0)
        candidates = [*(self.by_name.get(name) for name in marked), self.live_one(version)]
        candidates += [*siblings[place + 1 : place + 2], *siblings[:place][-1:]]
        return next((one for one in candidates if one is not None and one.model == version.model and one.name != version.name), None)

    def missing_slices(self, version: VersionView) -> list[str]:
        """The slices that the live one knows and this one does not."""
        live = self.live_one(version)
        known = {value for values in version.slices.values() for value in values}
        return [value for values in live.slices.values() for value in values if value not in known] if live else []

    def title(self, version: VersionView) -> str:
        """`v7 candidate`."""
        return f"{variant_name(version.version)} {self.state(version)}"


def leading_versions(snapshot: Snapshot) -> dict[str, str]:
    """Endpoint → the version with the greatest share."""
    leading = ((one.name, max(one.variants, key=lambda variant: variant.desired or 0, default=None)) for one in snapshot.status.endpoints)
    return {name: f"{variant.model}@{variant.version}" for name, variant in leading if variant is not None and variant.desired}


class _Cells(Mapping[str, "str | Span"]):
    """The cells of a version, made when they are looked at: of ten thousand rows a screen shows twenty."""

    __slots__ = ("_made", "_of")

    def __init__(self, shelf: Shelf, one: VersionView, slice_value: str) -> None:
        self._of = shelf, one, slice_value
        self._made: dict[str, str | Span] | None = None

    def _cells(self) -> dict[str, str | Span]:
        if self._made is None:
            shelf, one, slice_value = self._of
            state, best = shelf.state(one), headline(one, slice_value)
            runs = _runs_text(one, shelf.environment)
            self._made = {
                "name": (one.name, BOLD),
                "state": (state, _STYLES[state]),
                "runs": runs if one.runs_in else (runs, DIM),
                "age": "",
                "commit": (commit_text(one), YELLOW if one.dirty else "" if one.commit else DIM),
                "figure": f"{short_label(best[0])} {figure(best[1])}" if best else ("–", DIM),
            }
        return self._made

    def __getitem__(self, key: str) -> str | Span:
        if key == "age":
            shelf, one, _ = self._of
            return _age((shelf.at - one.registered).total_seconds())
        return self._cells()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells())

    def __len__(self) -> int:
        return len(self._cells())


def version_row(shelf: Shelf, one: VersionView, slice_value: str) -> Row:
    """A version as a row."""
    runs = " ".join(one.runs_in)
    return Row(
        one.name,
        _Cells(shelf, one, slice_value),
        text=f"{one.name} {shelf.state(one)} {runs} {commit_text(one)} {one.owner} {one.description}",
    )


def _newest(shelf: Shelf, one: VersionView, slice_value: str) -> Any:
    del shelf, slice_value
    return -one.registered.timestamp()


def _running(shelf: Shelf, one: VersionView, slice_value: str) -> Any:
    del slice_value
    return -one.runs_in.get(shelf.environment, -1), not one.runs_in


def _best(shelf: Shelf, one: VersionView, slice_value: str) -> Any:
    del shelf
    found = headline(one, slice_value)
    return float("inf") if found is None else found[1] if lower_is_better(found[0]) else -found[1]


ORDERS: tuple[tuple[str, Callable[[Shelf, VersionView, str], Any] | None], ...] = (
    ("by model", None),
    ("newest first", _newest),
    ("running first", _running),
    ("best figure first", _best),
)
"""Each order's name, and what it goes by; the first is the one in which the rows are given."""


@dataclass(frozen=True)
class Going:
    """What deploying a version would do; `off`: why it can't be done just now."""

    shelf: Shelf
    version: VersionView
    there: EndpointView | None
    gates: str
    off: str

    @property
    def place(self) -> str:
        """Where it would go."""
        return f"to {self.shelf.environment}, behind {self.version.endpoint}"

    @property
    def arrival(self) -> str:
        """What it would meet there."""
        there, version = self.there, self.version
        if there is None or not there.variants:
            return "a new endpoint: it gets all requests"
        mine = next((one for one in there.variants if (one.model, one.version) == (version.model, version.version)), None)
        return f"it is there with {percent(mine.desired or 0)} %" if mine is not None else f"beside {there.content}"

    @property
    def way_back(self) -> str:
        """How one would get back from it."""
        if self.there is None or self.there.release is None:
            return "way back: X removes it"
        return f"way back: u to #{self.there.release} {self.there.content}"

    def lines(self, width: int, signs: Signs) -> list[Line]:
        """In a pane of its own."""
        told = wrapped(self.off, width, YELLOW) if self.off else []
        for index, piece in enumerate(wrapped(self.place, width - 3, "")):
            told.append(line(("D  " if index == 0 else "   ", DIM if self.off else BOLD), *piece))
        known, missing = " ".join(value for values in self.version.slices.values() for value in values), self._missing(signs)
        arrival = f"{self.arrival}, with the share you type" if self.there is not None and self.there.variants else self.arrival
        running = ", which keeps running" if self.there is not None and self.there.release is not None else ""
        texts = [(arrival, ""), (f"knows {known}" if known else "", ""), (missing, YELLOW), (f"gates: {self.gates}", "")]
        for text, words in [*texts, (self.way_back + running, "")]:
            told += [line("   ", *piece) for piece in wrapped(text, width - 3, words)] if text else []
        return told

    def short(self, signs: Signs) -> list[Line]:
        """In two lines."""
        missing = self._missing(signs)
        first = (self.off, YELLOW) if self.off else (f"D {self.place}: {self.arrival}", "")
        return [line(first), line((f"{missing} · " if missing else "", YELLOW), f"{self.way_back} · gates: {self.gates}")]

    def _missing(self, signs: Signs) -> str:
        missing = self.shelf.missing_slices(self.version)
        return f"{signs.look} does not know {', '.join(missing)}, as the live one does" if missing else ""


def beside_lines(shelf: Shelf, one: VersionView, other: VersionView, found: Sequence[Beside], width: int, signs: Signs) -> list[Line]:
    """The comparison as a table: what, in one, in the other with the difference, what follows."""
    titles = (shelf.title(one), shelf.title(other))
    # What follows from a line matters more than the whole of its values: it gets its room first; a difference is never cut.
    what = min(20 if width >= 70 else 14, max(len("WHAT"), *(len(each.what) for each in found)))
    apart = max(len(each.difference) for each in found)
    gate = min(44, (width - what) * (4 if width < 90 else 5) // 10, 2 + max(len(each.why) for each in found))
    most = max(7, (width - what - apart - gate - 8) // 2)
    left = min(most, max(len(titles[0]), *(len(each.one) for each in found)))
    right = min(most, max(len(titles[1]), *(len(each.other) for each in found)))
    told = [line((f"{'WHAT':<{what}}  {_cut(titles[0], left)}  {_cut(titles[1], right)}  {'':<{apart}}  GATE", DIM))]
    for each in found:
        decides = BOLD if each.judgement in (Judgement.BETTER, Judgement.WORSE) else ""
        told.append(
            line(
                f"{_cut(each.what, what)}  {_cut(each.one, left)}  ",
                (_cut(each.other, right), decides),
                (f"  {each.difference:<{apart}}  ", decides),
                *_gate(each, signs),
            )
        )
    return told


def tally(found: Sequence[Beside], signs: Signs) -> str:
    """What a comparison comes to."""
    counts = {word: sum(1 for each in found if each.judgement is word) for word in Judgement}
    parts = [f"{signs.ok} {counts[Judgement.BETTER]} better"] if counts[Judgement.BETTER] else []
    parts += [f"{signs.look} {counts[Judgement.WORSE]} worse"] if counts[Judgement.WORSE] else []
    parts += [f"{signs.look} {counts[Judgement.LOOK]} to judge"] if counts[Judgement.LOOK] else []
    return "  ".join(parts) or f"{signs.ok} nothing to judge"


def pair(version: VersionView, other: VersionView, width: int) -> str:
    """`v7 beside v6`; with the model's name where there is room."""
    told = f"{variant_name(version.version)} beside {variant_name(other.version)}"
    return f"{version.model} · {told}" if width >= 76 else told


def phone_rows(shelf: Shelf, keys: Sequence[str], here: str, marked: set[str], slice_value: str, signs: Signs) -> list[Line]:
    """Some versions, one in a line."""
    told = []
    for key in keys:
        one = shelf.by_name[key]
        state, best = shelf.state(one), headline(one, slice_value)
        mark = signs.cursor if key == here else "*" if key in marked else " "
        number = f"{short_label(best[0])} {figure(best[1])}" if best else "–"
        told.append(line(mark, (_cut(key, 19), BOLD), " ", (_cut(state, 11), _STYLES[state]), f" {number[:13]:>13}"))
    return told


def phone_going(going: Going) -> list[Line]:
    """What deploying would do, for a phone."""
    first = wrapped(going.off, _PHONE, YELLOW) if going.off else wrapped(f"D {going.place}: {going.arrival}", _PHONE, "")
    return [*first, *wrapped(going.way_back, _PHONE, DIM)]


def phone_beside(version: VersionView, other: VersionView, slice_value: str, signs: Signs) -> list[Line]:
    """The figures, then what a person has to judge."""
    found = beside(other, version, slice_value)
    told = [line((pair(version, other, _PHONE), BOLD), f"  {tally(found, signs)}")]
    for each in [*(each for each in found if each.difference), *(each for each in found if each.judgement is Judgement.LOOK)]:
        figures = f"{each.other} {each.difference}  " if each.difference else ""
        room = _PHONE - 16 - len(figures) - len(signs.look) - 1
        told.append(line(f"{_cut(each.what, 15)} {figures}", *_gate(each, signs, room)))
    return told


def deploy_why_off(there: EndpointView | None) -> str:
    """Why nothing can be deployed behind an endpoint just now; empty when it can."""
    if there is None:
        return ""
    if there.operation is not None:
        return f"D is off: {there.name} is changing ({there.operation.doing or there.operation.state}). u on 2 Endpoints goes back."
    if there.release is None and there.variants:
        return f"D is off: mlconsole did not make {there.name}. K on 2 Endpoints takes it over as it is."
    if "changed outside" in there.finding:
        return f"D is off: {there.name} was changed outside mlconsole. On 2 Endpoints: u puts ours back, K keeps theirs."
    return ""


def _gate(each: Beside, signs: Signs, most: int = 200) -> tuple[Span, ...]:
    """A judgement with its sign; only the sign has a colour."""
    name, words = _SIGNS.get(each.judgement, ("", ""))
    return (f"{getattr(signs, name)} " if name else "", words), (_cut(each.why, most).rstrip(), "")


def _runs_text(version: VersionView, environment: str) -> str:
    places = sorted(version.runs_in.items(), key=lambda place: place[0] != environment)
    return " · ".join(f"{name} {percent(share)} %" for name, share in places) or "–"


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: max(0, width - 1)] + "…"


def _age(seconds: float) -> str:
    return "now" if seconds < 60 else duration(max(120, seconds))
