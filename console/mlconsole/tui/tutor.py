"""The tutor of the demo: a line in the attention row, station by station. Each ends by itself when the thing was really observed.

Pure: it reads snapshots, and is told of answers to a person's own requests; it draws nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.core.text import duration
from mlconsole.engine.views import ActionRunView, AlarmView, EndpointView, FindingView, RolloutView, Snapshot, VariantView
from mlconsole.tui.attention import open_alarms
from mlconsole.tui.figures import share
from mlconsole.tui.rollout_words import failing, stage_name

_ENDPOINT, _BETTER, _COLLAPSED = "relevance", "4", "v5"
_LANGUAGE = "language=de"
_PLAIN, _WHOLLY = 0.05, 0.99
_ENOUGH = 100
"""Requests that have to be seen before an observed share proves anything."""


@dataclass(frozen=True)
class _Step:
    station: str
    text: str
    proof: Callable[[Tutor, EndpointView, Snapshot], bool]
    needs: frozenset[str] = frozenset()
    """What has to be possible here: `drills`, `rollouts`."""
    instead: frozenset[str] = frozenset()
    """It is left out where all of this is possible."""


@dataclass
class Left:
    """What a person left behind who quit the console at the last station: the place in the story, and the rollouts with their stages."""

    at: int = 0
    stages: Mapping[str, int] = field(default_factory=dict)


class Tutor:
    """Where a person is in the story: ask it, deploy, watch, shift, go back; then break it in two ways, and see that it is caught."""

    def __init__(self, opened: datetime | None = None, left: Left | None = None) -> None:
        """`opened`: when the console was; `left`: what its last one left behind at the last station."""
        self.drills = False
        """There are drills here: then there are the stations that need them."""
        self.rollouts = False
        """A rollout of the endpoint can be begun here."""
        self._opened = opened
        self._left: dict[str, int] = dict(left.stages) if left else {}
        """Rollout → the stage that it was last seen in by a console that was closed, or at the first look of this one."""
        self._at = left.at if left and left.at < len(_STEPS) else 0
        self._known_alarms: frozenset[int] = frozenset()
        """Those that were open when the station began: they prove nothing."""
        self._known_rollouts: frozenset[str] = frozenset()
        """The same of rollouts that were over, or ran."""
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
        self.rollouts = bool(snapshot.policies.get(_ENDPOINT))
        for one in snapshot.rollouts:  # what was begun before this console, and nobody wrote down where it was
            if self._opened is not None and one.started < self._opened and not one.over:
                self._left.setdefault(one.id, one.stage)
        step = self._step
        if step is None or endpoint is None or not step.proof(self, endpoint, snapshot):
            return False
        better = _better(endpoint)
        self._share_before = (better.desired or 0) if better else 0
        number, stations = self._number(step), self.stations
        self._at = _STEPS.index(step) + 1
        following = self._step
        if following is None or following.station != step.station:
            self.just_done = f"{number}/{stations} done. {self._proof or _DONE[step.station]}"
            self._proof, self._known_alarms = "", frozenset(one.number for one in open_alarms(snapshot))
            self._known_rollouts = frozenset(one.id for one in snapshot.rollouts)
        return True

    @property
    def done(self) -> bool:
        """Whether all stations are done."""
        return self._step is None

    @property
    def stations(self) -> int:
        """How many there are."""
        return len(self._stations)

    @property
    def text(self) -> str:
        """What to do next, for the attention row."""
        step = self._step
        if step is None:
            return "tutor done. Your own: mlconsole init · : for commands · ? for keys · esc ends the tutor"
        return f"tutor {self._number(step)}/{self.stations}  {step.text}"

    def leaves(self, snapshot: Snapshot | None) -> Left | None:
        """What the next console has to know: only at the last station, which is about leaving."""
        step = self._step
        if step is None or step.station != "window" or snapshot is None:
            return None
        return Left(self._at, {one.id: one.stage for one in snapshot.rollouts if one.endpoint == _ENDPOINT and not one.over})

    def _there(self, step: _Step) -> bool:
        """Whether that step is possible here."""
        able = {name for name, there in (("drills", self.drills), ("rollouts", self.rollouts)) if there}
        return step.needs <= able and not (step.instead and step.instead <= able)

    @property
    def _step(self) -> _Step | None:
        return next((step for step in _STEPS[self._at :] if self._there(step)), None)

    @property
    def _stations(self) -> list[str]:
        return list(dict.fromkeys(step.station for step in _STEPS if self._there(step)))

    def _number(self, step: _Step) -> int:
        return self._stations.index(step.station) + 1

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

    # With rollouts.

    def _rolling(self, endpoint: EndpointView, snapshot: Snapshot) -> bool:
        """The version that is known to be bad is on its way, or was."""
        return self._bad_one(snapshot) is not None or self._collapsed(endpoint, snapshot)

    def _caught_alone(self, endpoint: EndpointView, snapshot: Snapshot) -> bool:
        """A guard said fail, the rollout went back, and nobody reaches the version any more."""
        one = self._bad_one(snapshot)
        if one is None:
            return self._collapsed(endpoint, snapshot)  # deployed without a rollout: then it is an alarm that catches it
        found = failing(one)
        variant = next((each for each in endpoint.variants if each.name == one.variant), None)
        if one.state != "reverted" or not found or (variant is not None and bool(variant.observed)):
            return False
        began, decided = _decided(one)
        seen = max(guard.n for guard in found)
        took = duration(max(1.0, (decided - began).total_seconds()))
        plain = "OK" if _plain_is_quiet(snapshot) else "that too"
        self._proof = f"caught after {took} and {seen} requests, by itself; a plain 5 % error alarm: would say {plain}"
        return True

    def _bad_one(self, snapshot: Snapshot) -> RolloutView | None:
        known = self._known_rollouts
        return next(
            (one for one in snapshot.rollouts if one.endpoint == _ENDPOINT and one.variant == _COLLAPSED and one.id not in known), None
        )

    def _begun(self, _: EndpointView, snapshot: Snapshot) -> bool:
        return any(one.endpoint == _ENDPOINT and not one.over and one.state != "going back" for one in snapshot.rollouts)

    def _went_on(self, _: EndpointView, snapshot: Snapshot) -> bool:
        """A rollout that is older than this console is further than it was when the console before was left."""
        for one in snapshot.rollouts:
            before = self._left.get(one.id)
            older = self._opened is not None and one.started < self._opened
            if one.endpoint == _ENDPOINT and older and before is not None and (one.stage > before or one.state == "done"):
                self._proof = f"it went on without you, to {stage_name(one)}: the console is only a window"
                return True
        return False

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


_DRILLS, _ROLLOUTS = frozenset({"drills"}), frozenset({"rollouts"})
_STEPS = (
    _Step("ask", "This is live. Press i, then enter, to send relevance an event of your own", Tutor._asked),
    _Step("deploy", "Press 1, choose relevance@4 (better), press D, then y: it gets 10 %", Tutor._deployed),
    _Step("deploy", "Press 3 and watch OBSERVED reach DESIRED: that is the proof, not the OK", Tutor._observed),
    _Step("deploy", "On Canary slide v4 up with → (or e and a number), then T and y", Tutor._shifted),
    _Step("deploy", "Now u, then y: back to where it was, and watch v4 go", Tutor._back),
    _Step(
        "collapsed",
        'Press ! and choose a drill: "collapsed version"; then 5, and take a sip of tea',
        Tutor._collapsed,
        _DRILLS,
        instead=_ROLLOUTS,
    ),
    _Step("collapsed", 'Press ! and choose a drill: "collapsed rollout"; then 3, and hands off', Tutor._rolling, _DRILLS | _ROLLOUTS),
    _Step("collapsed", "now take a sip of tea: nobody has to do anything", Tutor._caught_alone, _DRILLS | _ROLLOUTS),
    _Step("language", 'Press ! and choose "broken language"; then 5: see which part of it fails', Tutor._language, _DRILLS),
    _Step("window", "A good one now (after the drill end): 3, R, choose relevance@4, then y", Tutor._begun, _DRILLS | _ROLLOUTS),
    _Step("window", "3, R, choose relevance@4, then y: a rollout in stages", Tutor._begun, _ROLLOUTS, instead=_DRILLS),
    _Step("window", "q leaves, the rollout goes on; make demo again comes back and sees it", Tutor._went_on, _ROLLOUTS),
)
_DONE = {
    "ask": "Your request was answered, and the answer says by which version.",
    "deploy": "You have deployed, shifted and gone back.",
}


def _decided(one: RolloutView) -> tuple[datetime, datetime]:
    """When the stage that failed began to be measured, and when its guard decided: by the rollout's own events."""
    place = next((index for index, (_, text) in enumerate(one.events) if one.why and one.why in text), None)
    if place is None:
        return one.started, one.ended or one.started
    return (one.events[place - 1][0] if place else one.started), one.events[place][0]


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
