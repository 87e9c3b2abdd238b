"""The tutor of the demo: a line in the attention row, station by station. Each ends by itself when the thing was really observed.

Pure: it reads snapshots, and is told of answers to a person's own requests; it draws nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.core.text import duration
from mlconsole.engine.views import ActionRunView, AlarmView, EndpointView, FindingView, Snapshot, VariantView
from mlconsole.tui.attention import open_alarms
from mlconsole.tui.figures import share

_ENDPOINT, _BETTER = "relevance", "4"
_LANGUAGE = "language=de"
_PLAIN, _WHOLLY = 0.05, 0.99
_ENOUGH = 100
"""Requests that have to be seen before an observed share proves anything."""


@dataclass(frozen=True)
class _Step:
    station: int
    text: str
    proof: Callable[[Tutor, EndpointView, Snapshot], bool]


class Tutor:
    """Where a person is in the story: ask it, deploy, watch, shift, go back; then break it in two ways, and see that it is caught."""

    def __init__(self) -> None:
        self.drills = False
        """There are drills here: then there are the stations that need them."""
        self._at = 0
        self._known_alarms: frozenset[int] = frozenset()
        """Those that were open when the station began: they prove nothing."""
        self._proof = ""
        """What was observed at the station that is done, for its sentence."""
        self._answered = False
        self._share_before = 0
        self.just_done = ""
        """What was just completed, for the message line; read once."""

    def answered(self, endpoint: str) -> None:
        """A person's own request was answered."""
        self._answered = self._answered or endpoint == _ENDPOINT

    def see(self, snapshot: Snapshot) -> bool:
        """Look at a new state of the world; whether a step is done by it."""
        endpoint = snapshot.endpoint(_ENDPOINT)
        if self.done or endpoint is None:
            return False
        step = _STEPS[self._at]
        if not step.proof(self, endpoint, snapshot):
            return False
        better = _better(endpoint)
        self._share_before = (better.desired or 0) if better else 0
        self._at += 1
        if self._at >= len(_STEPS) or _STEPS[self._at].station != step.station:
            self.just_done = f"{step.station}/{self.stations} done. {self._proof or _DONE[step.station]}"
            self._proof, self._known_alarms = "", frozenset(one.number for one in open_alarms(snapshot))
        return True

    @property
    def done(self) -> bool:
        """Whether all stations are done."""
        return self._at >= len(_STEPS) or _STEPS[self._at].station > self.stations

    @property
    def stations(self) -> int:
        """How many there are."""
        return 4 if self.drills else 2

    @property
    def text(self) -> str:
        """What to do next, for the attention row."""
        if self.done:
            return "tutor done. Your own: mlconsole init · : for commands · ? for keys · esc ends the tutor"
        step = _STEPS[self._at]
        return f"tutor {step.station}/{self.stations}  {step.text}"

    # The proofs.

    def _asked(self, _: EndpointView, __: Snapshot) -> bool:
        return self._answered

    def _deployed(self, endpoint: EndpointView, _: Snapshot) -> bool:
        better = _better(endpoint)
        return better is not None and bool(better.desired) and better.state == "ready" and endpoint.operation is None

    def _observed(self, endpoint: EndpointView, _: Snapshot) -> bool:
        return all(_as_desired(one) for one in endpoint.variants) and _better(endpoint) is not None

    def _shifted(self, endpoint: EndpointView, _: Snapshot) -> bool:
        better = _better(endpoint)
        return better is not None and (better.desired or 0) > self._share_before and _as_desired(better) and endpoint.failed == 0

    def _back(self, endpoint: EndpointView, _: Snapshot) -> bool:
        better = _better(endpoint)
        less = better is None or (better.desired or 0) < self._share_before
        return less and endpoint.operation is None and all(_as_desired(one) for one in endpoint.variants)

    def _collapsed(self, _: EndpointView, snapshot: Snapshot) -> bool:
        alarm, finding = self._caught(snapshot, "identical")
        if alarm is None or finding is None:
            return False
        began = max((run.started for run in _drills_run(snapshot) if run.started <= alarm.opened), default=alarm.since)
        seconds = max(0.0, (alarm.opened - began).total_seconds())
        plain = "OK" if _plain_is_quiet(snapshot) else "that too"
        told = duration(max(1.0, seconds))
        self._proof = f"caught after {told} and {finding.n} predictions; a plain 5 % error alarm: would say {plain}"
        return True

    def _language(self, _: EndpointView, snapshot: Snapshot) -> bool:
        finding = self._caught(snapshot, "errors", _LANGUAGE)[1]
        health = snapshot.health.endpoint(_ENDPOINT) if snapshot.health is not None else None
        whole = health.figures.errors if health is not None else None
        if finding is None or health is None or whole is None:
            return False
        own = next((one.figures.errors for one in health.slices if one.slice == _LANGUAGE), None)
        if own is None:
            return False
        wholly = "wholly" if own >= _WHOLLY else f"by {share(own)}"
        self._proof = f"{_LANGUAGE.partition('=')[2]} failed {wholly}; in the total that is {share(whole)}"
        return True

    def _caught(self, snapshot: Snapshot, question: str, slice_name: str = "") -> tuple[AlarmView, FindingView] | tuple[None, None]:
        """The finding of an open alarm that is really there, newer than the station."""
        for alarm in open_alarms(snapshot):
            for finding in alarm.findings:
                fits = finding.question == question and finding.endpoint == _ENDPOINT and not finding.well
                new = alarm.number not in self._known_alarms or bool(slice_name)
                if fits and new and (not slice_name or slice_name in finding.slices):
                    return alarm, finding
        return None, None


_STEPS = (
    _Step(1, "This is live. Press i, then enter, to send relevance an event of your own", Tutor._asked),
    _Step(2, "Press 1, choose relevance@4 (better), press D, then y: it gets 10 %", Tutor._deployed),
    _Step(2, "Press 3 and watch OBSERVED reach DESIRED: that is the proof, not the OK", Tutor._observed),
    _Step(2, "On Canary slide v4 up with → (or e and a number), then T and y", Tutor._shifted),
    _Step(2, "Now u, then y: back to where it was, and watch v4 go", Tutor._back),
    _Step(3, 'Press ! and choose a drill: "collapsed version"; then 5, and take a sip of tea', Tutor._collapsed),
    _Step(4, 'Press ! and choose "broken language"; then 5: see which part of it fails', Tutor._language),
)
_DONE = {1: "Your request was answered, and the answer says by which version.", 2: "You have deployed, shifted and gone back."}


def _drills_run(snapshot: Snapshot) -> list[ActionRunView]:
    return [one for one in (snapshot.health.runs if snapshot.health is not None else ()) if one.action.startswith("drill-")]


def _plain_is_quiet(snapshot: Snapshot) -> bool:
    """Whether an alarm on 5 % of errors over all requests sleeps; what is not known is not said to be quiet."""
    health = snapshot.health.endpoint(_ENDPOINT) if snapshot.health is not None else None
    return health is not None and health.figures.errors is not None and health.figures.errors < _PLAIN


def _better(endpoint: EndpointView) -> VariantView | None:
    return next((one for one in endpoint.variants if one.version == _BETTER), None)


def _as_desired(one: VariantView) -> bool:
    """Whether enough requests were seen, and the observed share is the desired one as far as chance allows."""
    if one.observed is None or one.desired is None or one.observed_n < _ENOUGH:
        return False
    shares = Shares(one.observed_n, {one.name: round(one.observed * one.observed_n / 10_000)})
    return not beyond_chance(shares, one.name, one.desired)
