"""Checks that a probe or a notifier runs against itself: it keeps its time, raises what it may, lets no foreign text or secret through."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import BackendError, InvalidRequest, Refused, Throttled, Unavailable
from mlconsole.plugin.roles import Notice, Notifier, Probe, Sighting

_T = TypeVar("_T")
_LONGEST = 400
_PATIENCE = 20.0
"""Seconds after which something hangs, however slow the machine is."""

HOSTILE = "\x1b[31mred\x1b[2J \u202egnp.exe\x9b2J\r\nsecond line"
"""What a server may send to a terminal."""


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """What a call gives or raises; a call that hangs fails the check and does not hold it."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the check's own thread
            answers.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert answers, f"it still hangs after {seconds} s"
    value, error = answers[0]
    if error is not None:
        raise error
    result: _T = value
    return result


@dataclass(frozen=True)
class ProbeBench:
    """A probe on its test bench: the same one, made for targets of each sort."""

    well: Probe
    """Its target is there, and as it should be."""
    ill: Probe
    """Its target answers, and is not as it should be."""
    dead: Probe
    """Nobody is where its target should be."""
    hanging: Probe
    """Somebody takes its connection, and never answers."""
    impossible: Probe
    """It can't be asked: an address that is none, a password that is not set."""
    hostile: Probe | None = None
    """Its target answers with `HOSTILE`."""


class ProbeConformance:
    """Subclass it as `Test…` and override the fixture `bench`."""

    @pytest.fixture
    def bench(self) -> ProbeBench:
        """The probe on its bench; your subclass gives it."""
        raise NotImplementedError("give the suite a bench: override the fixture `bench`")

    def test_it_tells_well_from_ill(self, bench: ProbeBench) -> None:
        """Only an explicit good answer is one."""
        well, ill = _look(bench.well), _look(bench.ill)
        assert well.ok is True, well
        assert ill.ok is False, ill

    def test_it_says_what_it_saw(self, bench: ProbeBench) -> None:
        """A page repeats these words: `ok` alone helps nobody at night."""
        for probe in (bench.well, bench.ill, bench.dead, bench.impossible):
            text = _look(probe).text
            assert 0 < len(text) <= _LONGEST, text
            assert neutralise(text) == text

    def test_a_dead_target_is_seen_and_not_raised(self, bench: ProbeBench) -> None:
        """The dependency is ill, not the probe: an exception would be told as the probe's own failure."""
        assert _look(bench.dead).ok is False

    def test_what_can_not_be_asked_is_no_failure_of_the_target(self, bench: ProbeBench) -> None:
        """Else a password that ran out wakes somebody for a Redis that is well."""
        assert _look(bench.impossible).ok is None

    def test_it_keeps_its_time(self, bench: ProbeBench) -> None:
        """Others are waiting for the same guardian."""
        assert _look(bench.hanging, 0.3).ok is not True

    def test_it_can_be_asked_again_and_by_several_at_once(self, bench: ProbeBench) -> None:
        """One object serves for ever; a look that was given up may still be at it."""
        seen: list[Sighting] = []
        threads = [threading.Thread(target=lambda: seen.append(_look(bench.well)), daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
        assert [one.ok for one in [*seen, _look(bench.well)]] == [True] * 5

    def test_foreign_text_is_data(self, bench: ProbeBench) -> None:
        """What a server answers goes to terminals and logs (invariant 11)."""
        if bench.hostile is None:
            pytest.skip("this probe repeats nothing that its target says")
        text = _look(bench.hostile).text
        assert neutralise(text) == text
        assert len(text) <= _LONGEST


@dataclass(frozen=True)
class NotifierBench:
    """A notifier on its test bench: the same one, made for receivers of each sort."""

    good: Notifier
    received: Callable[[], Sequence[str]]
    """What its receiver got so far, each as one text."""
    dead: Notifier
    """Nobody takes what it sends."""
    hanging: Notifier
    """Its receiver never says that it has it."""
    refusing: Notifier | None = None
    """Its receiver will never take it."""
    secrets: Sequence[str] = ()
    """What may stand in no error."""


NOTICE = Notice(
    "31:page:1",
    f"PROD relevance: ALL PREDICTIONS IDENTICAL since 08:52 {HOSTILE}",
    ("every language · 47 predictions so far", HOSTILE),
    "page",
    "production",
    31,
    {"endpoints": ["relevance"], "share": 0.97, "said": HOSTILE, "odd": float("nan")},
)


class NotifierConformance:
    """Subclass it as `Test…` and override the fixture `bench`."""

    @pytest.fixture
    def bench(self) -> NotifierBench:
        """The notifier on its bench; your subclass gives it."""
        raise NotImplementedError("give the suite a bench: override the fixture `bench`")

    def test_it_hands_over_what_has_to_be_told(self, bench: NotifierBench) -> None:
        """Title and lines arrive, once, with the key by which a receiver drops a second copy."""
        within(_PATIENCE, lambda: bench.good.send(NOTICE, 10.0))
        (text,) = bench.received()
        assert "PROD relevance: ALL PREDICTIONS IDENTICAL since 08:52" in text
        assert "47 predictions so far" in text
        assert NOTICE.key in text

    def test_foreign_text_is_data(self, bench: NotifierBench) -> None:
        """A page is read on a terminal, too (invariant 11)."""
        within(_PATIENCE, lambda: bench.good.send(NOTICE, 10.0))
        (text,) = bench.received()
        assert neutralise(text, keep_newlines=True) == text

    def test_nobody_there_is_worth_another_try(self, bench: NotifierBench) -> None:
        """The outbox tries again only what may work later."""
        for notifier, seconds in ((bench.dead, 5.0), (bench.hanging, 0.3)):
            with pytest.raises((Unavailable, Throttled)):
                within(_PATIENCE, lambda notifier=notifier, seconds=seconds: notifier.send(NOTICE, seconds))  # type: ignore[misc]

    def test_a_refusal_is_told_from_trouble(self, bench: NotifierBench) -> None:
        """A webhook that was deleted is no reason to knock for hours."""
        refusing = bench.refusing
        if refusing is None:
            pytest.skip("this notifier can't tell a refusal from trouble")
        with pytest.raises((Refused, InvalidRequest)):
            within(_PATIENCE, lambda: refusing.send(NOTICE, 5.0))

    def test_no_error_holds_a_secret(self, bench: NotifierBench) -> None:
        """Errors go to screens, logs and the registry (invariant 10)."""
        for notifier in (bench.dead, bench.hanging, bench.refusing):
            if notifier is None:
                continue
            with pytest.raises(BackendError) as caught:
                within(_PATIENCE, lambda notifier=notifier: notifier.send(NOTICE, 0.3))  # type: ignore[misc]
            told = str(caught.value)
            assert neutralise(told) == told
            assert not [secret for secret in bench.secrets if secret in told]


def _look(probe: Probe, timeout: float = 5.0) -> Sighting:
    seen = within(_PATIENCE, lambda: probe.look(timeout))
    assert isinstance(seen, Sighting)
    return seen
