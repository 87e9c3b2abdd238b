"""The tutor of the demo: a line in the attention row, station by station. Each ends by itself when the thing was really observed.

Pure: it reads snapshots, and is told of answers to a person's own requests; it draws nothing and asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlconsole.core.observed import Shares, beyond_chance
from mlconsole.engine.views import EndpointView, Snapshot, VariantView

_ENDPOINT, _BETTER = "relevance", "4"
_ENOUGH = 100
"""Requests that have to be seen before an observed share proves anything."""


@dataclass(frozen=True)
class _Step:
    station: int
    text: str
    proof: Callable[[Tutor, EndpointView], bool]


class Tutor:
    """Where a person is in the story: ask it, deploy, watch, shift, go back."""

    STATIONS = 2

    def __init__(self) -> None:
        self._at = 0
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
        if not step.proof(self, endpoint):
            return False
        better = _better(endpoint)
        self._share_before = (better.desired or 0) if better else 0
        self._at += 1
        if self.done or _STEPS[self._at].station != step.station:
            self.just_done = f"{step.station}/{self.STATIONS} done. {_DONE[step.station]}"
        return True

    @property
    def done(self) -> bool:
        """Whether all stations are done."""
        return self._at >= len(_STEPS)

    @property
    def text(self) -> str:
        """What to do next, for the attention row."""
        if self.done:
            return "tutor done. Your own: mlconsole init · : for commands · ? for keys · esc ends the tutor"
        step = _STEPS[self._at]
        return f"tutor {step.station}/{self.STATIONS}  {step.text}"

    # The proofs.

    def _asked(self, _: EndpointView) -> bool:
        return self._answered

    def _deployed(self, endpoint: EndpointView) -> bool:
        better = _better(endpoint)
        return better is not None and bool(better.desired) and better.state == "ready" and endpoint.operation is None

    def _observed(self, endpoint: EndpointView) -> bool:
        return all(_as_desired(one) for one in endpoint.variants) and _better(endpoint) is not None

    def _shifted(self, endpoint: EndpointView) -> bool:
        better = _better(endpoint)
        return better is not None and (better.desired or 0) > self._share_before and _as_desired(better) and endpoint.failed == 0

    def _back(self, endpoint: EndpointView) -> bool:
        better = _better(endpoint)
        less = better is None or (better.desired or 0) < self._share_before
        return less and endpoint.operation is None and all(_as_desired(one) for one in endpoint.variants)


_STEPS = (
    _Step(1, "This is live. Press i, then enter, to send relevance an event of your own", Tutor._asked),
    _Step(2, "Press 1, choose relevance@4 (better), press D, then y: it gets 10 %", Tutor._deployed),
    _Step(2, "Press 3 and watch OBSERVED reach DESIRED: that is the proof, not the OK", Tutor._observed),
    _Step(2, "On Canary slide v4 up with → (or e and a number), then T and y", Tutor._shifted),
    _Step(2, "Now u, then y: back to where it was, and watch v4 go", Tutor._back),
)
_DONE = {1: "Your request was answered, and the answer says by which version.", 2: "You have deployed, shifted and gone back."}


def _better(endpoint: EndpointView) -> VariantView | None:
    return next((one for one in endpoint.variants if one.version == _BETTER), None)


def _as_desired(one: VariantView) -> bool:
    """Whether enough requests were seen, and the observed share is the desired one as far as chance allows."""
    if one.observed is None or one.desired is None or one.observed_n < _ENOUGH:
        return False
    shares = Shares(one.observed_n, {one.name: round(one.observed * one.observed_n / 10_000)})
    return not beyond_chance(shares, one.name, one.desired)
