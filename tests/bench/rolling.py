"""Rollouts that guard themselves: how fast a bad variant is taken back on real servers. (What faults make of them: `faults_simulated`,
`faults_real`.)

*Revert time*: from the end of the first request after which a guard says *fail*, found afterwards by judging the recorded predictions one
after the other as the guard does, until the last request that the bad variant got was sent, as the consumers themselves noted it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.bench.figures import Figure, Say, at_most, median, none_of
from tests.bench.guardians import begin, ended, guardian, real
from tests.bench.house import ENDPOINT, House
from tests.bench.load import Load, failures

from mlconsole.core.guards import GuardEvidence, results
from mlconsole.core.profiles import baseline_of
from mlconsole.core.rollouts import Rollout, RolloutState
from mlconsole.core.summaries import Key, Summary
from mlconsole.core.traffic import WHOLE
from mlconsole.core.verdicts import Verdict
from mlconsole.engine import conducting
from mlconsole.engine.session import Session
from mlconsole.observations.summarising import digest
from mlconsole.plugin.roles import Observation

_RATE = 100.0
_BAD = ("5", "6", "7")


def measure(long: bool, say: Say) -> Iterator[Figure]:
    """Revert time."""
    with real() as made:
        yield from _reverts(made, 9 if long else 2, say)


def _reverts(made: House, times: int, say: Say) -> Iterator[Figure]:
    session, seconds, wrong, sent = made.session, [], list[str](), 0
    failed: list[str] = []
    say(f"{times} rollouts of bad versions under {_RATE:g} requests a second")
    with guardian(made):
        for turn in range(times):
            # What refuses German and what is slow fail requests by themselves; only a collapsed one never does.
            version = _BAD[turn % 3] if times > 3 else "5" if turn % 2 == 0 else "7"
            with Load(made, rate=_RATE) as load:
                time.sleep(3.0)  # the stable version's own traffic, which the guards compare with
                begun = begin(session, version)
                over = ended(session, begun)
                time.sleep(1.0)  # a request that the bad one still gets is to be caught: that none comes is no condition to wait for
                answers = load.stop()
            sent += len(answers)
            if over.state is not RolloutState.REVERTED:
                wrong.append(f"v{version}: {over.state}: {over.why}")
                continue
            if version != "6":
                failed += failures(answers)
            decided = _decided(session, over)
            last = max((one.sent for one in answers if one.variant == over.variant), default=None)
            if decided is None or last is None:
                wrong.append(f"v{version}: {'nothing decides' if decided is None else 'no request was seen'}: {over.why}")
                continue
            say(f"v{version}: {last - decided:.2f} s ({over.why[:80]})")
            seconds.append(last - decided)
    bound = conducting._LOOK + 0.5
    told = f"median {median(seconds):.2f} s, longest {max(seconds, default=float('nan')):.2f} s, of {len(seconds)}"
    yield at_most("first deciding prediction → last request that the bad variant got", max(seconds, default=99.0), bound, told, all=seconds)
    yield none_of("bad versions that were not taken back", wrong, f"{len(wrong)} of {times}")
    yield none_of("failed requests in these", failed, f"{len(failed)} of {sent}")


def _decided(session: Session, rollout: Rollout) -> float | None:
    """The end of the first request after which a guard says fail, by what was recorded."""
    began = rollout.stage_began
    assert began is not None
    since = began.timestamp() - 700.0
    found: list[Observation] = []
    predictions = session.backend.predictions()
    assert predictions is not None
    cursor = predictions.cursor_at(datetime.fromtimestamp(since, UTC))
    while True:
        page = predictions.read(cursor)
        cursor = page.cursor
        found += [one for one in page.observations if one.endpoint == ENDPOINT and not one.probe]
        if page.at_end:
            break
    found.sort(key=_end)
    version = session.registry.version(ENDPOINT, rollout.variant.removeprefix("v"))
    windows: dict[Key, dict[int, Summary]] = {}
    baselines = {rollout.variant: baseline_of(version)} if version is not None else {}
    traffic = rollout.present.content.traffic
    assert traffic is not None
    split = {"": {name: share / WHOLE for name, share in traffic.split.items()}}
    for one in found:
        _put(windows, one)
        if _end(one) < began.timestamp() or one.variant != rollout.variant:
            continue
        evidence = GuardEvidence(ENDPOINT, windows, rollout.variant, rollout.stable, began.timestamp(), split, baselines)
        if any(each.verdict is Verdict.FAIL and each.judged for each in results(rollout, evidence, _end(one))):
            return _end(one)
    return None


def _end(one: Observation) -> float:
    return one.time.timestamp() + one.milliseconds / 1000


def _put(windows: dict[Key, dict[int, Summary]], one: Observation) -> None:
    """Count it where the store would."""
    for (start, key), summary in digest([one], lambda _, labels, __: tuple(f"{name}={value}" for name, value in labels)).summaries.items():
        windows.setdefault(key, {}).setdefault(start, Summary()).merge(summary)
